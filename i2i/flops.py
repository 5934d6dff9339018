"""How much arithmetic a training step is, counted by torch as it happens: exact, and the same on every machine."""

from __future__ import annotations

from itertools import islice
from typing import Any

from accelerate import Accelerator
from torch.utils.flop_counter import FlopCounterMode

from i2i import training
from i2i.data.batches import loader
from i2i.methods import METHODS
from i2i.recipe import Recipe
from i2i.trainer import Trainer

STEPS = 12  # a multiple of the usual numbers of critic steps


def per_image(wanted: Recipe, data: training.Prepared) -> float:
    """Floating point operations of convolutions and matrix products, forward and backward, for each image seen in
    training: the mean over twelve steps from the first on, for methods whose players do not all move in each step."""
    view = training._view(wanted)
    samples, _ = training._open(wanted, data, METHODS[wanted.method.name].reads, view)
    trainer = Trainer(training._method(wanted, view, samples), wanted, samples, Accelerator(cpu=True))
    batches: Any = islice(loader(samples, batch=wanted.data.batch), STEPS)
    with FlopCounterMode(display=False) as counter:
        for batch in batches:
            trainer.step(batch)
            trainer.steps += 1
    return counter.get_total_flops() / STEPS / wanted.data.batch

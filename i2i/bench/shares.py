"""Where the time of a training step goes: each operator of torch is timed, and counted with its kind of work."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

OPERATORS = {
    "convolutions": r"conv",
    "products": r"mm|[._]linear",
    "norms": r"(batch|group|layer|instance)_norm",
    "losses": r"_loss|cross_entropy|softplus|log_softmax",
    "activations": r"relu|threshold|tanh|sigmoid|dropout|bernoulli",
    "copies": r"copy|cat\.|clone|fill|zero|full|empty|pixel_shuffle",
}
"""Kinds of work, and what is found in the names of the operators that do it."""
KINDS = ("optimizer", *OPERATORS, "rest")
"""The optimizer: all that its step calls. A loss that is written out, like a mean of squares, is in the rest."""


class Stopwatch(TorchDispatchMode):
    """While it is on, every operator is waited for, on a GPU too; ``spent`` are the seconds of each of ``KINDS``."""

    def __init__(self) -> None:
        super().__init__()
        self.spent = dict.fromkeys(KINDS, 0.0)
        self.optimizing = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        began = time.perf_counter()
        result = func(*args, **(kwargs or {}))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.spent["optimizer" if self.optimizing else kind(str(func))] += time.perf_counter() - began
        return result

    def mark(self, optimizing: bool) -> None:
        self.optimizing = optimizing


def shares(run: Callable[[], object]) -> dict[str, float]:
    """The share of each of ``KINDS`` in the time that operators take in a run, which should not be the first; they add
    up to 1. What Python does between them is not counted."""
    watch = Stopwatch()
    hooks = (
        register_optimizer_step_pre_hook(lambda *_: watch.mark(True)),
        register_optimizer_step_post_hook(lambda *_: watch.mark(False)),
    )
    try:
        with watch:
            run()
    finally:
        for hook in hooks:
            hook.remove()
    total = sum(watch.spent.values())
    return {name: seconds / total for name, seconds in watch.spent.items()}


def kind(operator: str) -> str:
    """One of ``KINDS``: of ``aten.convolution_backward.default`` that is convolutions."""
    return next((found for found, pattern in OPERATORS.items() if re.search(pattern, operator)), "rest")

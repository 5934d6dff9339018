"""What a network that draws pictures is measured by: always the same pictures, drawn from one seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from i2i.latents import Latent
from i2i.metrics import Meter, Metric, Setting

SEED = 0
MANY = 64  # pictures that are drawn at once


@dataclass(frozen=True)
class Draws:
    """A network that draws pictures: ``net`` is given z [N, latent.size] and, where there are classes, int64 [N]."""

    net: Callable[..., Tensor]
    latent: Latent
    classes: int = 0

    def pictures(self, count: int, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
        """``count`` pictures in batches, each with the classes that were asked for (all 0 where there are none): the
        same at every call, each class as often as the others."""
        random = np.random.default_rng(SEED)
        for first in range(0, count, MANY):
            many = min(MANY, count - first)
            z = torch.from_numpy(self.latent.draw(many, random)).to(device)
            labels = torch.arange(first, first + many, device=device) % max(1, self.classes)
            yield self.net(z, labels) if self.classes else self.net(z), labels


class DrawnMeters:
    """Meters of one sampler. They are shown ``count`` drawn pictures at once, held-out ones as these come."""

    def __init__(self, draws: Draws, metrics: Mapping[str, Metric], setting: Setting, count: int):
        fit = ("sets", "asked") if draws.classes else ("sets",)
        new = {name: metric.new(setting) for name, metric in metrics.items() if metric.needs in fit}
        self.sets, self.asked = (
            {name: meter for name, meter in new.items() if metrics[name].needs == needs} for needs in ("sets", "asked")
        )
        for pictures, labels in draws.pictures(count if new else 0, torch.device(setting.device)):
            for meter in self.sets.values():
                meter.update(pictures, pictures[:0])
            for meter in self.asked.values():
                meter.update(pictures, labels)

    def update(self, held_out: Tensor) -> None:
        for meter in self.sets.values():
            meter.update(held_out[:0], held_out)

    def of(self, name: str, end: str) -> dict[str, Meter]:
        """The end of a number's name -> the meter of the metric ``name``, if it was measured."""
        meters = self.sets | self.asked
        return {end: meters[name]} if name in meters else {}

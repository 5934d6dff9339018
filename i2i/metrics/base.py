"""What a metric is: a meter that is shown outputs beside targets, batch by batch, and says at the end what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from i2i.errors import DataError

Needs = Literal["pairs", "maps", "sets", "labels", "asked"]
"""pairs: an output and its target. maps: a pair whose target is a label map of a known palette. sets: two collections
of pictures that need not belong together. labels: the answers of a classifier and the true classes. asked: drawn
pictures and the classes that were asked for."""


@dataclass(frozen=True)
class Labels:
    """Labelled pictures from which a measure's own classifier is learned: files of images and labels, see
    ``i2i.data.arrays``. ``test`` are those on which it is tried, () if there are none."""

    dataset: str
    train: tuple[Path, Path]
    test: tuple[Path, Path] | tuple[()] = ()


class Meter(Protocol):
    """One measurement from its beginning to its end."""

    def update(self, output: Tensor, target: Tensor) -> None:
        """Take in a batch.

        Pictures are float32 [N, C, H, W] in [-1, 1]; for sets the two N may differ and may be 0. For labels ``output``
        is logits [N, classes] and ``target`` int64 [N], -1 where the class is not known; for asked, pictures and int64
        [N].

        Raises:
            DataError: pictures that the metric cannot measure.
        """

    def compute(self) -> dict[str, float]:
        """The numbers, by the metric's ``keys``.

        Raises:
            DataError: what was taken in is too little.
        """


@dataclass
class Setting:
    """What meters of one evaluation share.

    palette: colors of the label maps, float64 [classes, 3] from 0 to 255. labels: what a measure may learn classes
    from. say: is told what takes long.
    """

    device: torch.device | str = "cpu"
    palette: Tensor | None = None
    labels: Labels | None = None
    say: Callable[[str], None] = lambda line: None
    loaded: dict[Any, Any] = field(default_factory=dict)

    def network(self, load: Callable[[torch.device | str], Any]) -> Any:
        """What ``load`` gives for the device, loaded once."""
        if load not in self.loaded:
            self.loaded[load] = load(self.device)
        return self.loaded[load]


@dataclass(frozen=True)
class Metric:
    """A row of METRICS.

    keys: what its meter computes; the first says what is best. packages: those whose version belongs beside the
    number. least: pixels that each side of a picture must have. pictures: of each set, at least. backend: what else
    belongs beside the number. learns: it has to learn classes from ``Setting.labels``.
    """

    needs: Needs
    keys: tuple[str, ...]
    new: Callable[[Setting], Meter]
    packages: tuple[str, ...] = ()
    least: int = 1
    pictures: int = 1
    backend: str | Callable[[Setting], str] = ""
    learns: bool = False

    def measured_by(self, setting: Setting) -> str:
        """``backend`` in words."""
        return self.backend if isinstance(self.backend, str) else self.backend(setting)


class Mean:
    """The mean over pictures of a measure of pairs."""

    def __init__(self, measure: Callable[[Tensor, Tensor], list[float]], name: str, least: int):
        self.measure, self.name, self.least = measure, name, least
        self.found: list[float] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        height, width = target.shape[-2:]
        if min(height, width) < self.least:
            wants = f"{self.name} needs pictures of {self.least} pixels a side or more"
            raise DataError(f"{wants}, these have {width} x {height}: take larger ones, or another metric")
        self.found.extend(self.measure(output, target))

    def compute(self) -> dict[str, float]:
        return {self.name: sum(self.found) / len(self.found)}


def per_picture(
    measure: Callable[[Tensor, Tensor], list[float]], packages: tuple[str, ...] = (), least: int = 1
) -> Metric:
    """A metric that is the mean of ``measure`` and has its name."""
    name = measure.__name__
    return Metric("pairs", (name,), lambda setting: Mean(measure, name, least), packages, least)

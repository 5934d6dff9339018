"""Held-out pictures, and how networks are measured on them: by a training at intervals, by ``i2i eval`` once."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from i2i.data import pictures
from i2i.data.batches import Images, Labelled, Pair, Reads, Reduced, Unpaired, loader, open_split
from i2i.data.layouts import as_unpaired
from i2i.data.reduced import ReducedPictures, Reduction
from i2i.data.samples import Samples
from i2i.data.transforms import View
from i2i.drawing import MANY, DrawnMeters, Draws
from i2i.errors import UsageError
from i2i.history import goal
from i2i.holes import draw
from i2i.methods.base import enlarged
from i2i.metrics import METRICS, Labels, Meter, Metric, Setting, find
from i2i.nets.context import completed
from i2i.nets.used import seeded
from i2i.translator import margin

if TYPE_CHECKING:
    from i2i.card import Card
    from i2i.data.layouts import Split
    from i2i.training import Prepared

DEFAULTS = ("psnr_rgb", "ssim_rgb", "label_accuracy"), ("psnr_y_b4", "ssim_y_b4"), ("accuracy",)
DRAWN = ("fd_digits", "prdc_digits", "accuracy_asked_digits")
"""What is measured unless something is asked for: of pairs, of enlarged pictures, of classifiers, of drawn pictures; as
far as it fits."""

Net = Callable[[Tensor], Tensor]


@dataclass
class Held:
    """Pictures that are not trained on: what sheets show, and what is measured (None: there are no such pictures)."""

    split: str
    shown: Samples
    measured: Samples | None


@dataclass(frozen=True)
class Way:
    """A network that makes a batch's b from its a, or the other way ``back``. ``maps``: its results are label maps of a
    known palette. ``fills``: it fills holes instead: it is given b with a hole, and its mask, and makes b."""

    net: Net
    back: bool = False
    maps: bool = False
    fills: bool = False


@dataclass(frozen=True)
class Subject:
    """What is measured, by the names that users know: translations ("a2b"), classifiers: pictures to logits, and what
    draws pictures."""

    ways: Mapping[str, Way]
    classifiers: Mapping[str, Net]
    samplers: Mapping[str, Draws] = field(default_factory=dict)

    @property
    def fills(self) -> bool:
        """Whether what it makes are pictures with their holes filled."""
        return any(way.fills for way in self.ways.values())

    def names(self, metric: Metric) -> dict[str, str]:
        """What the metric measures -> the end of the names of its numbers: none if there is one such thing only."""
        things = [*{"labels": self.classifiers, "asked": self.samplers}.get(metric.needs, self.ways)]
        things += [*self.samplers] if metric.needs == "sets" else []
        return {thing: "" if len(things) == 1 else f"_{thing}" for thing in things}

    def score(self, values: Mapping[str, float], metric: Metric) -> float | None:
        """The number by which the best is chosen: the first of the metric, the mean over what it measures."""
        found = [values[key] for end in self.names(metric).values() if (key := metric.keys[0] + end) in values]
        return fmean(found) if found else None


def as_read(reads: type, split: Split) -> Split:
    """A split as methods that read ``reads`` see it."""
    return as_unpaired(split) if reads is Unpaired and split.kind == "paired" else split


def open_measured(reads: Reads, split: Split, view: View, who: str, reduction: Reduction | None) -> Samples:
    """A split for measuring a method that reads ``reads``: pairs are pairs, also for a method that does not need them.

    Raises:
        DataError: see ``open_split``.
    """
    kind: Reads = reads
    if reads in (Pair, Unpaired):
        colorization = split.kind == "single" and view.channels == (1, 3)
        kind = Pair if split.kind in ("aligned", "paired") or colorization else Unpaired
    return open_split(kind, split, replace(view, train=False), who=who, reduction=reduction)


def fitted(run: Net, multiple: int, scale: int) -> Net:
    """A network as ``i2i translate`` runs it: pictures are padded by reflection where they do not fit, and cropped."""

    def call(x: Tensor) -> Tensor:
        top, left = added = margin(tuple(x.shape[2:]), multiple)
        if not any(map(any, added)):
            return run(x)
        padded = np.pad(x.numpy(force=True), ((0, 0), (0, 0), top, left), mode="reflect")
        y = run(torch.from_numpy(padded).to(x.device))
        height, width = (scale * side for side in x.shape[2:])
        return y[..., scale * top[0] :, scale * left[0] :][..., :height, :width]

    return call


def named(net: nn.Module) -> Callable[..., Tensor]:
    """A network as it is used, without gradients: a classifier, [N, C, H, W] -> logits, or what draws pictures. A copy,
    made now."""
    used = copy.deepcopy(net).eval()

    def call(*inputs: Tensor) -> Tensor:
        with torch.inference_mode():
            return used(*inputs).float()

    return call


def palette_of(card: Card) -> Tensor | None:
    """The colors of the label maps, if the data set has some: float64 [classes, 3]."""
    return torch.tensor(list(card.palette.colors.values()), dtype=torch.float64) if card.palette else None


def labels_of(data: Prepared, direction: str) -> Labels | None:
    """What a measure may learn the classes of the data set from, those of the domain that would be painted."""
    train, test = (data.layout.splits.get(name) for name in ("train", "test"))
    if train is None or train.kind != "arrays":
        return None
    side = -1 if direction == "a2b" else 0
    return Labels(
        data.card.name, (train.a[side], train.b[side]), (test.a[side], test.b[side]) if test is not None else ()
    )


def better(key: str, value: float | None, before: float | None) -> bool:
    """Whether ``value`` is an improvement of the number ``key``; whatever is measured is better than nothing."""
    if value is None or not math.isfinite(value):
        return False
    return before is None or (value < before if goal(key) == "lower is better" else value > before)


def chosen(
    asked: Sequence[str], subject: Subject, samples: Samples, size: tuple[int, int], count: int
) -> dict[str, Metric]:
    """The metrics that were asked for, else those of ``DEFAULTS`` that fit; the first says what is best.

    Args:
        size: height and width of the pictures, but for those to be enlarged, which have sizes of their own.
        count: pictures of each side that will be measured.

    Raises:
        UsageError: no such metric, it fits neither the data nor the model, or two would give a number one name.
    """
    least = smallest(samples, count) if isinstance(samples, ReducedPictures) else min(size)
    if asked:
        metrics = {name: find(name) for name in asked}
        by: dict[str, str] = {}
        for name, metric in metrics.items():
            for key in metric.keys:
                if (first := by.setdefault(key, name)) != name:
                    raise UsageError(f"{first} and {name} both measure {key}, named after the file: rename one of them")
            if why := unfit(metric, subject, samples, count):
                raise UsageError(f"{name} does not fit: {why}")
            if metric.least > least:
                raise UsageError(f"{name} needs {metric.least} pixels a side or more, the smallest picture has {least}")
        return metrics
    pairs, enlargements, labels = DEFAULTS
    names = {Pair: pairs, Reduced: enlargements, Labelled: (*labels, *pairs)}.get(samples.reads, ())
    names = (*DRAWN, *labels) if subject.samplers else names
    metrics = {name: METRICS[name] for name in names}
    return {n: m for n, m in metrics.items() if m.least <= least and not unfit(m, subject, samples, count)}


def unfit(metric: Metric, subject: Subject, samples: Samples, count: int) -> str:
    """Why a metric cannot be measured here; empty if it can."""
    if metric.needs == "labels":
        if not subject.classifiers:
            return "it measures classifiers, and this model has none"
        return "" if samples.classes else "it needs labels, and these pictures have none"
    if metric.learns and not samples.classes:
        return "it learns classes from labelled pictures, and these have no labels: take fd_effnet"
    if metric.needs == "asked":
        return "" if any(s.classes for s in subject.samplers.values()) else "this model draws nothing for a class"
    if not subject.ways and not subject.samplers:
        return "it measures pictures, and this model makes none: take accuracy"
    if metric.needs == "sets":
        a, b = (min(count, n) for n in samples.sizes)
        a = b if subject.fills else a
        few = f"it needs {metric.pictures} pictures of each set at least, there are {a} and {b}"
        return few if min(a, b) < metric.pictures else ""
    if not subject.ways:
        return "it compares outputs with their targets, and drawn pictures have none: take fd_digits or fd_effnet"
    if samples.reads not in (Pair, Reduced) and not subject.fills:
        return "it compares outputs with their targets, and these pictures are no pairs: take fd_effnet, for two sets"
    if metric.needs == "maps" and not any(way.maps for way in subject.ways.values()):
        return "it reads label maps by their colors, and this model makes none, or the data set's card has no palette"
    return ""


def smallest(samples: ReducedPictures, count: int) -> int:
    """Pixels of the shortest side among the pictures that are measured."""
    scale = samples.reduction.scale
    sides = (side for file in samples.files[:count] for side in pictures.size(file))
    return min(side - side % scale for side in sides)


class Meters:
    """The meters of one translation: of its outputs, and of the naive copies of its inputs."""

    def __init__(self, way: Way, metrics: Mapping[str, Metric], setting: Setting):
        needs = ("pairs", "sets", "maps") if way.maps else ("pairs", "sets")
        self.net, self.back, self.fills = way.net, way.back, way.fills
        self.outputs, self.copies = (
            {name: metric.new(setting) for name, metric in metrics.items() if metric.needs in needs} for _ in range(2)
        )
        self.copied, self.seen = False, 0

    def update(self, batch: Any, left: Sequence[int]) -> None:
        """Take in a batch, of its a and b no more than are ``left``: the shorter side begins again at its end."""
        if not self.outputs:
            return
        a, b = batch.a[: left[0]], batch.b[: left[1]]
        if self.fills:
            self.update_filled(b)
            return
        given, target = (b, a) if self.back else (a, b)
        output = self.net(given) if len(given) else given
        for meter in self.outputs.values():
            meter.update(output, target)
        if isinstance(batch, Reduced) or given.shape[1:] == target.shape[1:]:
            self.copied = True
            copy = enlarged(batch) if isinstance(batch, Reduced) else given
            for meter in self.copies.values():
                meter.update(copy, target)

    def update_filled(self, x: Tensor) -> None:
        """Pictures beside their holes filled; the naive copy is the picture with its hole. Whatever the model was
        trained with, the holes are squares of a quarter to a half of the side, the same at every time."""
        with seeded(self.seen, x.device):
            hole = draw("square", x, (0.25, 0.5))
        self.seen += len(x)
        empty = completed(torch.zeros_like(x), x, hole)
        output = completed(self.net(torch.cat([x, hole], 1)), x, hole)
        self.copied = True
        for name, meter in self.outputs.items():
            meter.update(output, x)
            self.copies[name].update(empty, x)

    def of(self, name: str, end: str) -> dict[str, Meter]:
        """The end of a number's name -> the meter of the metric ``name`` that finds it, if it was measured."""
        found = {end: self.outputs, f"{end}_input": self.copies if self.copied else {}}
        return {tail: meters[name] for tail, meters in found.items() if name in meters}


def measure(
    subject: Subject, samples: Samples, metrics: Mapping[str, Metric], setting: Setting, count: int
) -> dict[str, float]:
    """The numbers for the first ``count`` pictures of each side; ``..._input`` for the naive copies of the inputs.

    The caller's random numbers are not touched, and the same networks give the same numbers.

    Raises:
        DataError: pictures that cannot be read, or that a metric cannot measure.
    """
    device, stop = torch.device(setting.device), min(count, len(samples))
    size = MANY if samples.reads in (Labelled, Images) else 1  # what has one size goes together
    values: dict[str, float] = {}
    with seeded(0, device):
        ways = {name: Meters(way, metrics, setting) for name, way in subject.ways.items()}
        samplers = {name: DrawnMeters(draws, metrics, setting, stop) for name, draws in subject.samplers.items()}
        labels = {name: metric for name, metric in metrics.items() if metric.needs == "labels"}
        answers = {thing: {name: m.new(setting) for name, m in labels.items()} for thing in subject.classifiers}
        batches = loader(samples, batch=size, shuffle=False, stop=stop, device=device)
        for first, batch in zip(range(0, stop, size), batches, strict=True):
            left = [max(0, min(count, n) - first) for n in samples.sizes]
            for meters in ways.values():
                meters.update(batch, left)
            for drawn in samplers.values():
                drawn.update(batch.x)
            for thing, named in answers.items():
                pictures, known = batch[-2:]
                for meter in named.values():
                    meter.update(subject.classifiers[thing](pictures), known)
        made: dict[str, Meters | DrawnMeters] = {**ways, **samplers}
        for name, metric in metrics.items():
            for thing, end in subject.names(metric).items():
                found = {end: answers[thing][name]} if metric.needs == "labels" else made[thing].of(name, end)
                for tail, meter in found.items():
                    values |= {f"{key}{tail}": value for key, value in meter.compute().items()}
    return values

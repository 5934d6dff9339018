"""Labelled pictures: those that show their label on one side; the domain to adapt to, or all pictures, on the other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from i2i.data import arrays
from i2i.data.samplers import Place, mix, permutation
from i2i.data.samples import Samples
from i2i.data.sides import Decoder, Half, Side
from i2i.data.transforms import Augment, View, gray, resize
from i2i.errors import DataError

if TYPE_CHECKING:
    from i2i.data.layouts import Split

UNKNOWN = -1


class Shown(NamedTuple):
    """How many pictures show their label, equally many of each class, drawn from ``seed``; 0: all."""

    number: int
    seed: int


class Numbered:
    """Pictures of an array with their labels, resized and in the wanted channels: uint8 [H, W, C], never written to."""

    def __init__(self, images: Path, labels: Path, channels: int, size: tuple[int, int]):
        self.pixels, self.labels = arrays.load(images, labels)
        self.channels, self.size = channels, size
        if self.pixels.shape[3] not in (1, 3):
            raise DataError(f"{images}: {self.pixels.shape[3]} channels: pictures have 1 (gray) or 3 (RGB)")
        self.rows = np.arange(len(self.pixels))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> np.ndarray:
        picture = np.asarray(self.pixels[self.rows[i]])
        if picture.shape[2] > self.channels:
            picture = gray(picture)
        picture = resize(picture, self.size)
        return picture if picture.shape[2] == self.channels else picture.repeat(self.channels, axis=2)

    def label(self, i: int) -> int:
        return int(self.labels[self.rows[i]])

    def shown(self, shown: Shown | None, where: Path) -> np.ndarray:
        """The pictures that show their label, equally many of each class: a pure function of the labels and the seed.

        Raises:
            DataError: fewer than one for each class, or more than a class has.
        """
        if shown is None or not shown.number:
            return self.rows
        classes = np.unique(self.labels[self.labels >= 0])
        each, rest = divmod(shown.number, max(1, len(classes)))
        rarest = min((int((self.labels == c).sum()) for c in classes), default=0)
        if rest or not 1 <= each <= rarest:
            fit = f"a multiple of {len(classes)} (its classes) up to {len(classes) * rarest}"
            raise DataError(f"data.labelled={shown.number}: {where.name} allows {fit}")
        kept = []
        for c in classes:
            mine = np.flatnonzero(self.labels == c)
            kept.append(mine[permutation(len(mine), mix(shown.seed, int(c)))[:each]])
        return np.sort(np.concatenate(kept))


def plain_side(
    split: Split, view: View, cache_bytes: int, shown: Shown | None, plain: tuple[tuple[Path, ...], Half]
) -> Side:
    """Pictures without labels.

    Raises:
        DataError: labels are asked for.
    """
    channels = view.channels[1]
    side = Side(*plain, Decoder(), channels, channels, view.resized)
    side.keep(cache_bytes)
    if shown and shown.number:
        raise DataError(f"data.labelled={shown.number}: {split.a[0].parent} holds pictures without labels")
    return side


class LabelledPictures(Samples):
    """Samples for the batch ``Labelled``: (a, its label, b, its label).

    One labelled set gives the pictures that show their label as a, and all of them as b. Two labelled domains are a and
    b. Pictures without labels, ``plain``, are b, and a is empty.
    """

    def __init__(
        self, reads: type, split: Split, view: View, cache_bytes: int, shown: Shown | None,
        plain: tuple[tuple[Path, ...], Half],
    ):  # fmt: skip
        files = list(zip(split.a, split.b, strict=True)) if split.kind == "arrays" else []
        if view.direction == "b2a":
            files.reverse()
        self.a: Numbered | None = None
        self.b: Numbered | Side
        if files:
            self.a = Numbered(*files[0], view.channels[0], view.resized)
            self.b = Numbered(*files[-1], view.channels[1], view.resized)
            self.a.rows = self.a.shown(shown, files[0][1])
            self.classes = 1 + max(int(n.labels.max(initial=-1)) for n in (self.a, self.b))
        else:
            self.b = plain_side(split, view, cache_bytes, shown, plain)
        super().__init__(reads, (len(self.a) if self.a else 1, len(self.b)), tied=False)
        if not len(self.b) or (self.a is not None and not len(self.a)):
            raise DataError(f"{split.a[0]}: no images in this split")
        self._augment = Augment(view)

    def __getitem__(self, place: Place) -> tuple[np.ndarray, int, np.ndarray, int]:
        b = self._augment.single(self.b[place.b], mix(place.seed, 1))
        if self.a is None or isinstance(self.b, Side):
            return b, UNKNOWN, b, UNKNOWN
        a = self._augment.single(self.a[place.a], mix(place.seed, 0))
        return a, self.a.label(place.a), b, self.b.label(place.b)

    def __getitems__(self, places: list[Place]) -> tuple[Tensor, ...] | DataError:
        parts = super().__getitems__(places)
        if isinstance(parts, DataError):
            return parts
        a, a_labels, b, b_labels = (t if t.dtype == torch.uint8 else t.long() for t in parts)
        return (a, a_labels, b, b_labels) if self.a else (a[:0], a_labels[:0], b, b_labels)


class LabelledImages(Samples):
    """Samples for the batch ``Images``: (picture, its label), all there are; the label only where it is shown.

    Of two labelled domains, as of two domains without labels, the one that would be painted.
    """

    def __init__(
        self, reads: type, split: Split, view: View, cache_bytes: int, shown: Shown | None,
        plain: tuple[tuple[Path, ...], Half],
    ):  # fmt: skip
        self.x: Numbered | Side
        if split.kind == "arrays":
            files = list(zip(split.a, split.b, strict=True))
            images, labels = files[-1 if view.direction == "a2b" else 0]
            self.x = Numbered(images, labels, view.channels[1], view.resized)
            self.labels = np.full(len(self.x), UNKNOWN, np.int64)
            known = self.x.shown(shown, labels)
            self.labels[known] = self.x.labels[known]
            self.classes = 1 + int(self.x.labels.max(initial=-1))
        else:
            self.x = plain_side(split, view, cache_bytes, shown, plain)
            self.labels = np.full(len(self.x), UNKNOWN, np.int64)
        super().__init__(reads, (len(self.x), len(self.x)), tied=True)
        if not len(self.x):
            raise DataError(f"{split.a[0]}: no images in this split")
        self._augment = Augment(view)

    def __getitem__(self, place: Place) -> tuple[np.ndarray, np.ndarray]:
        return self._augment.single(self.x[place.a], place.seed), self.labels[place.a]

"""Pictures too large to be translated whole: how much memory there is for them, and cutting them into tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from i2i.errors import DataError, UsageError, did_you_mean
from i2i.memory import shown

Way = Literal["exact", "fast"]
WAYS: tuple[Way, ...] = ("exact", "fast")
PICTURE, ANSWER = 18, 24  # bytes of each pixel of a picture, and of its answer: as read, in floats, as written
LIKELY = 8192  # bytes of each pixel of the answer that no usual network takes more of


def way(text: str) -> Way:
    """
    Raises:
        UsageError: neither exact nor fast.
    """
    for one in WAYS:
        if text == one:
            return one
    raise UsageError(f"tiles {text!r}{did_you_mean(text, WAYS)} (exact or fast)")


@dataclass(frozen=True)
class Budget:
    """Bytes that one picture may take: for all, and for the network where that is not in the same memory."""

    total: int
    device: int | None = None
    tiles: Way = "exact"

    def most(self, scale: int) -> int:
        """Pixels of the largest picture that may be read."""
        return self.total // (PICTURE + scale**2 * ANSWER)

    def room(self, pixels: int, scale: int) -> int:
        """What is left for the network beside a picture of so many pixels and its answer.

        Raises:
            DataError: nothing is.
        """
        own = pixels * (PICTURE + scale**2 * ANSWER)
        if own >= self.total:
            raise DataError(
                f"{pixels / 1e6:.3g} million pixels take {shown(own)} by themselves, {shown(self.total)} of memory may "
                f"be used: allow more (--memory {shown(2 * own).replace(' ', '')}), or cut the picture"
            )
        return self.total - own if self.device is None else self.device


class Padded:
    """A picture [H, W, C] with borders as ``np.pad`` reflects them, of which parts can be had: no copy of the whole."""

    def __init__(self, values: np.ndarray, margins: list[tuple[int, int]]):
        self.values = values
        sides = zip(values.shape[:2], margins, strict=True)
        self.rows, self.columns = (np.pad(np.arange(side), m, mode="reflect") for side, m in sides)
        self.shape = (len(self.rows), len(self.columns))

    def part(self, top: int, bottom: int, left: int, right: int) -> np.ndarray:
        """float32 [1, C, rows, columns], memory of its own."""
        some = self.values[self.rows[top:bottom, None], self.columns[left:right]]
        return np.ascontiguousarray(some.transpose(2, 0, 1)[None], dtype=np.float32)


@dataclass(frozen=True)
class Cut:
    """Tiles of ``side`` pixels, of which ``margin`` on each side are shared with the next; ``reach`` of these are no
    good, because what lies beyond the tile has a say in them."""

    side: int
    margin: int
    reach: int

    def along(self, length: int) -> list[tuple[int, int]]:
        """Where tiles begin and end on a side of the picture."""
        step = self.side - 2 * self.margin
        number = max(1, -(-(length - 2 * self.margin) // step))
        return [(i * step, min(length, i * step + self.side)) for i in range(number)]

    def weights(self, start: int, stop: int, length: int, scale: int) -> np.ndarray:
        """float32 [(stop - start) * scale]: from 0 to 1 over what is shared and good; of two tiles they add up to 1."""
        shared = 2 * self.margin * scale
        lost = 0.0 if self.reach > self.margin else min(self.reach * scale, (shared - 1) / 2)
        place = np.arange((stop - start) * scale)
        ramp = np.clip((place - lost + 0.5) / max(shared - 2 * lost, 1), 0, 1)
        up = ramp if start else 1
        down = ramp[::-1] if stop < length else 1
        return np.asarray(up * down * np.ones_like(ramp), np.float32)


def cut(picture: Padded, room: int, per_pixel: int, multiple: int, scale: int, reach: int | None) -> Cut:
    """The largest tiles that fit; they share as much as the network's reach asks for, but at most half of a tile.

    Raises:
        DataError: not even the smallest tile fits.
    """
    height, width = picture.shape
    longest = max(height, width)
    shared = width * scale**2 * ANSWER  # bytes of a row of the picture while tiles are put together

    def bytes_of(side: int) -> int:
        return min(side, height) * (min(side, width) * per_pixel + shared)

    sides = range(4 * multiple, longest + multiple, multiple) or range(4 * multiple, 4 * multiple + 1)
    best = max((side for side in sides if bytes_of(side) <= room), default=0)
    if not best:
        raise DataError(f"a tile takes {shown(bytes_of(sides[0]))}, {shown(room)} are left for it: allow more memory")
    most = best // 4 // multiple * multiple
    wanted = most if reach is None else -(-reach // multiple) * multiple
    far = longest if reach is None else reach
    return Cut(best, min(most, max(wanted, multiple)), far)


def blended(run: Callable[[np.ndarray], np.ndarray], picture: Padded, plan: Cut, scale: int) -> Iterator[np.ndarray]:
    """The answer to ``picture`` from its tiles, from the first row to the last: float32 [rows, W * scale, C']."""
    height, width = picture.shape
    bands, places = plan.along(height), plan.along(width)
    kept: Any = None  # what the next band adds to
    for i, (top, bottom) in enumerate(bands):
        band: Any = None
        for left, right in places:
            y = run(picture.part(top, bottom, left, right))[0].transpose(1, 2, 0)
            if band is None:
                band = np.zeros(((bottom - top) * scale, width * scale, y.shape[2]), np.float32)
            across = plan.weights(left, right, width, scale)[:, None]
            band[:, left * scale : right * scale] += y * across
        band *= plan.weights(top, bottom, height, scale)[:, None, None]
        if kept is not None:
            band[: len(kept)] += kept
        ready = len(band) if i + 1 == len(bands) else (bands[i + 1][0] - top) * scale
        yield band[:ready]
        kept = band[ready:].copy()

"""One side of a data set: its files as pictures of one size, decoded once when there is room to keep them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from i2i.data import pictures
from i2i.data.cache import DecodedCache
from i2i.data.transforms import gray, resize
from i2i.errors import DataError

Half = Literal["whole", "left", "right"]


class Decoder:
    """Reads pictures and remembers the last one: the halves of a side-by-side file are decoded once for both."""

    def __init__(self) -> None:
        self._last: tuple[Path, int, np.ndarray] | None = None

    def __call__(self, path: Path, channels: int) -> np.ndarray:
        if self._last is None or self._last[:2] != (path, channels):
            self._last = (path, channels, pictures.read(path, channels))
        return self._last[2]

    def __getstate__(self) -> dict[str, None]:
        return {"_last": None}


class Side:
    """The pictures of one side, all resized to one size; each is decoded and resized once if the cache has room for it.

    The cache keeps them after the resize, which draws nothing at random: that is smaller than the decoded file and
    spares the resize too.

    Args:
        half: which part of each file belongs to this side.
        decoder: shared between the halves of the same files.
        reads: channels to decode; ``channels``: of the pictures given, the same or 1.
        size: height and width.
    """

    def __init__(
        self, files: tuple[Path, ...], half: Half, decoder: Decoder, reads: int, channels: int, size: tuple[int, int]
    ):
        self.files, self.half, self.size = files, half, size
        self._decoder, self._reads, self._channels = decoder, reads, channels
        self._cache = DecodedCache([], 0)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*self.size, self._channels)

    def keep(self, limit: int) -> None:
        """Cache up to ``limit`` bytes."""
        self._cache = DecodedCache([self.shape] * len(self), limit)

    def __getitem__(self, i: int) -> np.ndarray:
        """uint8 [H, W, C], not to be written to.

        Raises:
            DataError: the file cannot be read, or is too narrow to hold two pictures.
        """
        if (kept := self._cache.get(i)) is not None:
            return kept
        picture = resize(cut(self._decoder(self.files[i], self._reads), self.half, self.files[i]), self.size)
        if self._channels < self._reads:
            picture = gray(picture)
        self._cache.put(i, picture)
        return picture


def cut(picture: np.ndarray, half: Half, path: Path) -> np.ndarray:
    """The part of a picture [H, W, C] that belongs to one side; of an odd width the right half is the wider one.

    Raises:
        DataError: ``path`` is too narrow to hold two pictures.
    """
    if half == "whole":
        return picture
    middle = picture.shape[1] // 2
    if not middle:
        raise DataError(f"{path}: one pixel wide, expected two pictures side by side")
    return picture[:, :middle] if half == "left" else picture[:, middle:]

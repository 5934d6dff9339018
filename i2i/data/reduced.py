"""Pictures and the same made smaller, for super-resolution: crops in training, else whole pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from i2i.data import pictures
from i2i.data.bicubic import imresize
from i2i.data.cache import DecodedCache
from i2i.data.samplers import Place, mix
from i2i.data.samples import Samples
from i2i.data.sides import Half, cut
from i2i.data.transforms import Degrade, View
from i2i.errors import DataError

Degradation = Literal["bicubic", "blind"]


class Reduction(NamedTuple):
    """``scale``: how many times smaller. ``degradation``: bicubic as MATLAB's imresize; blind blurs it before and adds
    noise and JPEG traces after, drawn anew for each sample."""

    scale: int
    degradation: Degradation = "bicubic"


class ReducedPictures(Samples):
    """Samples for the batch ``Reduced``. In training b is a random crop of ``view.size`` pixels at full resolution,
    turned and mirrored at random if ``view.flip``, else the whole picture cut to a multiple of the scale.
    ``half`` says which part of each file is the picture.

    Raises:
        DataError: the crop is no multiple of the scale.
    """

    def __init__(
        self, reads: type, files: tuple[Path, ...], view: View, reduction: Reduction, cache_bytes: int,
        half: Half = "whole",
    ):  # fmt: skip
        super().__init__(reads, (len(files), len(files)), tied=True)
        if any(side % reduction.scale for side in view.size):
            height, width = view.size
            raise DataError(f"data.size {height}x{width}: not a multiple of the scale {reduction.scale}")
        self.files, self.view, self.reduction, self.half = files, view, reduction, half
        self.channels = view.channels[1]
        self._cache = DecodedCache([], 0)
        if cache_bytes:
            self._cache = DecodedCache([(*self._size(f), self.channels) for f in files], cache_bytes)
        self._degrade = Degrade() if reduction.degradation == "blind" else None

    def __getitem__(self, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """uint8 [H / scale, W / scale, C] and [H, W, C]."""
        picture, scale = self._decoded(place.b), self.reduction.scale
        if self.view.train:
            large = self._crop(picture, place.seed)
        else:
            height, width = (side - side % scale for side in picture.shape[:2])
            large = picture[:height, :width]
            if not large.size:
                raise DataError(f"{self.files[place.b]}: below {scale} pixels: nothing is left of it at 1/{scale}")
        large = np.ascontiguousarray(large)
        blurred = self._degrade.blur(large, place.seed) if self._degrade else large
        small = imresize(blurred, 1 / scale)
        return (self._degrade.spoil(small, place.seed) if self._degrade else small), large

    def _size(self, file: Path) -> tuple[int, int]:
        height, width = pictures.size(file)
        return height, {"whole": width, "left": width // 2, "right": width - width // 2}[self.half]

    def _decoded(self, i: int) -> np.ndarray:
        picture = self._cache.get(i)
        if picture is None:
            picture = cut(pictures.read(self.files[i], self.channels), self.half, self.files[i])
            self._cache.put(i, picture)
        return picture

    def _crop(self, picture: np.ndarray, seed: int) -> np.ndarray:
        (height, width), (high, wide) = picture.shape[:2], self.view.size
        if height < high or width < wide:  # too small: reflected until it is large enough
            add = ((0, max(0, high - height)), (0, max(0, wide - width)), (0, 0))
            picture = np.pad(picture, add, mode="symmetric")
            height, width = picture.shape[:2]
        top, left = mix(seed, 1) % (height - high + 1), mix(seed, 2) % (width - wide + 1)
        crop = picture[top : top + high, left : left + wide]
        if not self.view.flip:
            return crop
        draw = mix(seed, 3)
        crop = crop[::-1] if draw & 1 else crop
        crop = crop[:, ::-1] if draw & 2 else crop
        return crop.swapaxes(0, 1) if draw & 4 and high == wide else crop

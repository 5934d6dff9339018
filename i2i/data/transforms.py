"""How pictures become samples: resize, then random crop and flip drawn from the sample's own seed."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from i2i.data.samplers import mix
from i2i.errors import DataError

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask the network for a newer version
import albumentations as A


@dataclass(frozen=True)
class View:
    """How the pictures of a split become samples.

    Attributes:
        size: height and width of a sample.
        load: resize to this first, then crop ``size`` at random; None resizes straight to ``size``.
        flip: mirror half of the samples.
        channels: of a and b, 1 (gray) or 3 (RGB), after the direction is applied.
        direction: b2a swaps the sides: the batch's ``a`` is then the data set's b.
        train: False resizes straight to ``size`` and draws nothing at random.

    Raises:
        DataError: a size that cannot be, or ``load`` smaller than ``size``.
    """

    size: tuple[int, int]
    load: tuple[int, int] | None = None
    flip: bool = True
    channels: tuple[int, int] = (3, 3)
    direction: Literal["a2b", "b2a"] = "a2b"
    train: bool = True

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise DataError(f"size {_by(self.size)}: a sample needs at least one pixel")
        if self.load and (self.load[0] < self.size[0] or self.load[1] < self.size[1]):
            raise DataError(f"load {_by(self.load)} is smaller than size {_by(self.size)}: nothing to crop from")
        if not {*self.channels} <= {1, 3}:
            raise DataError(f"channels {self.channels}: each side has 1 (gray) or 3 (RGB)")

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width that every picture is resized to, before anything random."""
        return self.load if self.train and self.load else self.size


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """uint8 [H, W, C] resized to ``size`` by Pillow's bicubic filter, as the published Pix2Pix and CycleGAN do.

    Pillow widens the filter when it shrinks, so nothing aliases; OpenCV's bicubic reads four pixels whatever the scale
    and is useless for photos several times larger (a zone plate of 2000 pixels resized to 286 keeps 60 % of its
    amplitude as moire there, nothing here). It is slower (2 ms), but the cache keeps the result.
    """
    if picture.shape[:2] == size:
        return picture
    flat = picture[..., 0] if picture.shape[2] == 1 else picture
    done = Image.fromarray(flat).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(done).reshape(*size, picture.shape[2])


def gray(picture: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3] -> [H, W, 1] by the ITU-R 601 weights."""
    return np.asarray(Image.fromarray(picture).convert("L"))[..., None]


class Augment:
    """Random crop and flip of a sample, drawn from the sample's seed alone; no global generator is touched."""

    def __init__(self, view: View):
        steps: list[A.BasicTransform] = []
        if view.train and view.resized != view.size:
            steps.append(A.RandomCrop(height=view.size[0], width=view.size[1]))
        if view.train and view.flip:
            steps.append(A.HorizontalFlip(p=0.5))
        self._compose = A.Compose(steps, additional_targets={"b": "image"}) if steps else None
        self._random, self._generator = random.Random(0), np.random.Generator(np.random.PCG64(0))
        if self._compose:
            # One stream through all steps. Compose.set_random_seed would give every step a stream of the same seed,
            # so that the flip would follow from where the crop fell; it also costs 0.1 ms a sample, _seed 0.01.
            self._compose.set_random_state(self._generator, self._random)

    def pair(self, a: np.ndarray, b: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """The same draw for both: uint8 [H, W, C] each, of one height and width."""
        if self._compose is None:
            return a, b
        self._seed(seed)
        done = self._compose(image=a, b=b)
        return done["image"], done["b"]

    def single(self, picture: np.ndarray, seed: int) -> np.ndarray:
        """One draw for one picture: uint8 [H, W, C]."""
        if self._compose is None:
            return picture
        self._seed(seed)
        return self._compose(image=picture)["image"]

    def _seed(self, seed: int) -> None:
        reseed(self._random, self._generator, seed)


class Degrade:
    """What a picture went through before it became small, drawn from the sample's seed: blur, then noise and JPEG.

    The classical degradation model (Zhang et al. 2021, "Designing a practical degradation model", arXiv:2103.14006,
    eq. 1) with the ranges: isotropic Gaussian blur of 0.2 to 3 pixels before the reduction, Gaussian noise of 1 to 15
    gray levels in two of three pictures, JPEG of quality 40 to 95 in three of four, after it.
    """

    def __init__(self) -> None:
        self._random, self._generator = random.Random(0), np.random.Generator(np.random.PCG64(0))
        self._blur = A.Compose([A.GaussianBlur(blur_limit=0, sigma_limit=(0.2, 3.0), p=1.0)])
        noise = A.GaussNoise(std_range=(1 / 255, 15 / 255), p=0.67)
        self._spoil = A.Compose([noise, A.ImageCompression(quality_range=(40, 95), p=0.75)])
        for compose in (self._blur, self._spoil):
            compose.set_random_state(self._generator, self._random)

    def blur(self, picture: np.ndarray, seed: int) -> np.ndarray:
        """uint8 [H, W, C] -> the same, blurred."""
        reseed(self._random, self._generator, mix(seed, 4))
        return self._blur(image=picture)["image"].reshape(picture.shape)

    def spoil(self, picture: np.ndarray, seed: int) -> np.ndarray:
        """uint8 [H, W, C] -> the same, with noise and JPEG traces."""
        reseed(self._random, self._generator, mix(seed, 5))
        return self._spoil(image=picture)["image"].reshape(picture.shape)


def reseed(generator: random.Random, numbers: np.random.Generator, seed: int) -> None:
    """Both start anew from ``seed``."""
    generator.seed(seed)
    state = {"state": mix(seed, 1) << 64 | mix(seed, 2), "inc": mix(seed, 3) | 1}
    numbers.bit_generator.state = {"bit_generator": "PCG64", "state": state, "has_uint32": 0, "uinteger": 0}

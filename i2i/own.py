"""A picture's own pixels, upright and as deep as they came, and how to answer in the same kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from i2i.data import deep, pictures
from i2i.errors import DataError, UsageError

NPY = b"\x93NUMPY"
SUFFIXES = pictures.SUFFIXES | {".npy"}
"""Lower-case: what is taken for a picture in a folder. What a file is, its content says."""


@dataclass(frozen=True)
class Own:
    """The pixels of one picture. ``Translator`` takes it like any other picture, and answers with another one.

    Palettes and other ways to store color are RGB here, as Pillow converts them.
    """

    pixels: np.ndarray  # [H, W, C]: uint8, uint16, int32 or float; the last channel is alpha if ``alpha``
    alpha: bool
    white: float
    kind: Literal["own", "pil", "array"] = "own"
    flat: bool = False  # an array [H, W], without a channel axis
    icc: bytes | None = None  # the color profile of the file

    def answer(self, pixels: np.ndarray) -> Any:
        """``pixels`` [H', W', C'] of the same range, as the kind of picture that this one was.

        Pillow holds nothing but gray in more than 8 bits: color becomes 8 bits as a PIL image.
        """
        if self.kind == "array":
            return pixels[..., 0] if self.flat and pixels.shape[2] == 1 else pixels
        icc = self.icc if self.icc and fits(self.icc, pixels.shape[2]) else None
        if self.kind == "own":
            return replace(self, pixels=pixels, alpha=pixels.shape[2] in (2, 4), icc=icc)
        image = to_image(pixels if pixels.shape[2] == 1 else in_depth(pixels, self.white, 255))
        if icc:
            image.info["icc_profile"] = icc
        return image

    def eight_bits(self) -> Image.Image:
        return to_image(in_depth(self.pixels, self.white, 255))


def to_image(pixels: np.ndarray) -> Image.Image:
    """[H, W, C] as a PIL image: uint8, or one channel of anything that Pillow has."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))


def own(picture: Any) -> Own:
    """The pixels of a picture: a path, a PIL image, an array, or what this gave before.

    Raises:
        DataError: a file that cannot be read, or an array of another shape, type or range.
        UsageError: none of these kinds.
    """
    if isinstance(picture, Own):
        return picture
    if isinstance(picture, str | Path):
        return replace(read(Path(picture)), kind="pil", flat=False)
    if isinstance(picture, Image.Image):
        return replace(_of_image(picture), kind="pil")
    if isinstance(picture, np.ndarray):
        return _of_array(picture)
    raise UsageError(
        f"{type(picture).__name__} is no picture: give a path, a PIL image, a NumPy array or a list of them"
    )


def read(path: Path, data: bytes | None = None) -> Own:
    """The picture or array in a file, or in ``data``, which then only bears the name ``path``.

    Raises:
        DataError: it cannot be read; names ``path``.
    """
    with pictures.source(path, data) as file:
        is_array = file.read(len(NPY)) == NPY
    if is_array:
        try:
            return replace(_of_array(pictures.array(path, data)), kind="own", flat=False)
        except DataError as e:
            raise e if str(path) in str(e) else DataError(f"{path}: {e}") from e
    with pictures.opened(path, data) as image:
        tiles = deep.other_half(image)
        if tiles is None:
            return _of_image(image)
        with pictures.opened(path, data) as other:
            pixels = pictures.upright(deep.joined(image, other, tiles), image)
        return Own(pixels, pixels.shape[2] in (2, 4), 65535, icc=_profile(image))


def _of_image(image: Image.Image) -> Own:
    image.load()
    if image.mode.startswith(("I", "F")):
        values = pictures.upright(np.asarray(image), image)[..., None]
        if values.dtype.kind == "f":
            return Own(values, False, pictures.white(np.nan_to_num(values)), icc=_profile(image))
        whole = np.uint16 if values.min() >= 0 and values.max() <= 65535 else np.int32
        values, key = values.astype(whole), image.info.get("transparency")
        if whole == np.uint16 and isinstance(key, int):  # one gray is transparent
            values = np.concatenate([values, np.where(values == key, 0, 65535).astype(whole)], axis=2)
        return Own(values, values.shape[2] == 2, 65535, icc=_profile(image))
    gray, alpha = image.mode in ("1", "L", "LA", "La"), pictures.has_alpha(image)
    if alpha:
        stored = image.convert("LA") if gray else pictures.rgba(image)
        return Own(pictures.upright(np.array(stored), image), True, 255, icc=_profile(image))
    return Own(pictures.to_array(image, 1 if gray else 3), False, 255, icc=_profile(image))


def _of_array(array: np.ndarray) -> Own:
    shape = list(array.shape)
    if array.ndim not in (2, 3) or 0 in shape or (array.ndim == 3 and shape[2] > 4):
        raise DataError(f"an array {shape} is not a picture: [H, W] or [H, W, C] with 1 to 4 channels")
    floats = np.issubdtype(array.dtype, np.floating)
    if not floats and array.dtype not in (np.uint8, np.uint16):
        raise DataError(f"an array of {array.dtype} is not a picture: uint8 (0 to 255) or float (0 to 1) or uint16")
    if floats and not (array.min() >= -1e-3 and array.max() <= 1 + 1e-3):  # a NaN fails both
        low, high = array.min(), array.max()
        raise DataError(f"float pictures go from 0 to 1, this one from {low:g} to {high:g}: scale it, or give uint8")
    pixels = array.reshape(*array.shape[:2], -1)
    white = 1 if floats else int(np.iinfo(array.dtype).max)
    return Own(pixels, pixels.shape[2] in (2, 4), white, "array", array.ndim == 2)


def _profile(image: Image.Image) -> bytes | None:
    icc = image.info.get("icc_profile")
    return icc if isinstance(icc, bytes) and len(icc) >= 128 else None  # 128: the header of a profile


def fits(icc: bytes, channels: int) -> bool:
    """Whether a color profile is of pictures with so many channels: of gray or of RGB (ICC.1, bytes 16 to 19)."""
    return icc[16:20] == (b"GRAY" if channels < 3 else b"RGB ")


def in_depth(pixels: np.ndarray, white: float, new: int) -> np.ndarray:
    """Pixels of which ``white`` is the brightest, in 8 bits (``new`` 255) or 16 (65535), rounded to the nearest."""
    dtype = np.uint8 if new == 255 else np.uint16
    if pixels.dtype == dtype:
        return pixels
    with np.errstate(over="ignore"):
        values = np.nan_to_num(pixels.astype(np.float32), nan=0.0) * np.float32(new / white)
    return np.rint(np.clip(values, 0, new)).astype(dtype)

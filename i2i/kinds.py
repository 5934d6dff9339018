"""Pictures of any kind as numbers for a network, and the network's numbers back as the same kind of picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from i2i.own import Own, own

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow makes gray

BLOCK = 256  # rows

JPEG: dict[str, Any] = {"quality": 95, "subsampling": 0}


@dataclass(frozen=True)
class Taken:
    """A picture as a network wants it, and what is needed to answer in kind."""

    values: np.ndarray  # float32 [H, W, C] in [-1, 1]
    own: Own

    @property
    def alpha(self) -> np.ndarray | None:
        """[H, W] as it came."""
        return self.own.pixels[..., -1] if self.own.alpha else None


def take(picture: Any, channels: int) -> Taken:
    """``picture`` (PIL image, path, array, or its own pixels) for a network of 1 or 3 input channels.

    Raises:
        DataError: a file that cannot be read, or an array of another shape, type or range.
        UsageError: none of these kinds.
    """
    source = own(picture)
    color = source.pixels[..., : 1 if source.pixels.shape[2] < 3 else 3]
    if source.alpha:  # not laid on white: putting the alpha back would fade the edges twice
        hidden = source.pixels[..., -1:] == 0  # where nothing shows, anything may be stored: white, as in training
        color = np.where(hidden, np.array(source.white, color.dtype), color)
    if color.dtype == np.uint8 and channels < color.shape[2]:
        color = np.asarray(Image.fromarray(color).convert("L"))[..., None]  # rounded, as in training
    values = color.astype(np.float32)
    if source.kind != "array" and color.dtype != np.uint8:
        values = np.clip(np.nan_to_num(values, nan=0.0), 0, source.white)
    values = in_channels(values, channels)
    values /= np.float32(source.white / 2)  # in place: a large picture is not held twice
    values -= 1
    return Taken(values, source)


def give(taken: Taken, values: np.ndarray) -> Any:
    """``values``, float [H, W, 1 or 3] around [-1, 1], as the kind of picture that ``taken`` was."""
    white, dtype = taken.own.white, taken.own.pixels.dtype
    if dtype == np.int32:  # what a network paints lies within 16 bits
        dtype = np.dtype(np.uint16)

    def stored(brightness: np.ndarray) -> np.ndarray:
        # Rounded to nearest; the reference code truncates, which darkens every picture by half a level.
        return (np.rint(brightness) if dtype.kind == "u" else brightness).astype(dtype)

    pixels = in_blocks(lambda part: stored(np.clip((part + 1) / 2, 0, 1) * np.float32(white)), values)
    if taken.alpha is not None:
        alpha = taken.alpha
        if alpha.shape != pixels.shape[:2]:
            alpha = stored(np.clip(scaled(alpha[..., None].astype(np.float32), pixels.shape[:2])[..., 0], 0, white))
        pixels = np.concatenate([pixels, alpha[..., None].astype(dtype)], axis=2)
    return taken.own.answer(pixels)


def in_blocks(change: Callable[[np.ndarray], np.ndarray], values: np.ndarray) -> np.ndarray:
    """``change(values)``, which changes each value by itself, a few rows at a time: little is made on the way."""
    first = change(values[:BLOCK])
    result = np.empty((len(values), *first.shape[1:]), first.dtype)
    result[:BLOCK] = first
    for start in range(BLOCK, len(values), BLOCK):
        result[start : start + BLOCK] = change(values[start : start + BLOCK])
    return result


def scaled(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 [H, W, C] resized to ``size`` (height, width): bicubic, antialiased, whatever the range of the values."""
    planes = [Image.fromarray(np.ascontiguousarray(values[..., c])) for c in range(values.shape[2])]
    return np.stack([np.asarray(p.resize(size[::-1], Image.Resampling.BICUBIC)) for p in planes], axis=2)


def in_channels(color: np.ndarray, channels: int) -> np.ndarray:
    """Float [H, W, 1 or 3] with 1 or 3 channels."""
    if color.shape[2] == channels:
        return color
    return np.repeat(color, 3, axis=2) if channels == 3 else (color @ LUMA)[..., None]

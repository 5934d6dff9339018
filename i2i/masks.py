"""What is missing in a picture: masks and boxes as arrays, and what was painted put among the picture's own pixels."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from i2i.data import pictures
from i2i.errors import DataError, UsageError
from i2i.kinds import in_channels, scaled
from i2i.own import Own

Box = Sequence[int]
"""x, y, width, height in pixels, from the upper left corner."""

WAYS = "a mask (white is filled), a box x,y,width,height, or a picture with transparent parts"
TOUCHED = 1 / 256  # a pixel of the resized picture is missing if more than that of it was


def painted(own: Own, values: np.ndarray, hole: np.ndarray) -> Any:
    """The picture with ``values``, float [H, W, 1 or 3] around [-1, 1], where ``hole`` [H, W] is set, and opaque there.

    Everything else is the picture's own, bit for bit.
    """
    colors = own.pixels.shape[2] - own.alpha
    new = in_channels(np.clip((values + 1) / 2, 0, 1), colors)[hole] * own.white
    pixels = own.pixels.copy()
    pixels[hole, :colors] = np.rint(new) if pixels.dtype.kind in "ui" else new
    if own.alpha:
        pixels[hole, colors] = own.white
    return own.answer(pixels)


def missing(own: Own, mask: np.ndarray | None, box: Box | None) -> np.ndarray:
    """Where the picture is to be filled: bool [H, W]. Without mask and box, where it is not opaque.

    Raises:
        UsageError: nothing says where; the mask is not of the picture's size; the box is not inside the picture.
    """
    height, width = own.pixels.shape[:2]
    if mask is not None and box is not None:
        raise UsageError("a mask and a box: give one of them")
    if mask is not None:
        if mask.shape != (height, width):
            has = f"{mask.shape[1]} x {mask.shape[0]}"
            raise UsageError(f"the mask has {has} pixels, the picture {width} x {height}: it covers pixel by pixel")
        return mask
    hole = np.zeros((height, width), bool)
    if box is not None:
        x, y, w, h = _whole(box)
        if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
            raise UsageError(f"box {x},{y},{w},{h} does not lie inside the picture of {width} x {height} pixels")
        hole[y : y + h, x : x + w] = True
    elif own.alpha:
        hole = own.pixels[..., -1] < own.white
    if not hole.any():
        raise UsageError(f"this model fills what is missing, and nothing is: give {WAYS}")
    return hole


def _whole(box: Box) -> tuple[int, ...]:
    try:
        x, y, width, height = (index(part) for part in box)
    except (TypeError, ValueError) as e:
        raise UsageError(f"box {box!r}: expected four whole numbers: x, y, width, height in pixels") from e
    return x, y, width, height


def read_mask(mask: Any) -> np.ndarray:
    """A mask (path, PIL image, array of bool, uint8 or float [H, W]) as bool [H, W]: True where it is more white than
    black. What is transparent in a mask marks nothing.

    Raises:
        DataError: a file that cannot be read, or an array of another kind.
    """
    if isinstance(mask, str | Path):
        with pictures.opened(Path(mask)) as image:
            return _read_image(image)
    if isinstance(mask, Image.Image):
        return _read_image(mask)
    if isinstance(mask, np.ndarray) and mask.ndim in (2, 3) and mask.size and (mask.ndim == 2 or mask.shape[2] == 1):
        flat = mask.reshape(mask.shape[:2])
        if flat.dtype in (np.bool_, np.uint8) or flat.dtype.kind == "f":
            return flat >= {"b": True, "u": 128, "f": 0.5}[flat.dtype.kind]
    what = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
    raise DataError(f"{what} is no mask: give a path, a PIL image, or an array [H, W] of bool, uint8 or float (0 to 1)")


def _read_image(image: Image.Image) -> np.ndarray:
    alpha = pictures.alpha_of(image)
    if alpha is None:
        return pictures.to_array(image, 1)[..., 0] >= 128
    gray = pictures.upright(np.array(pictures.rgba(image).convert("L")), image)
    return gray.astype(int) * alpha >= 128 * 255


def read_box(text: str) -> tuple[int, int, int, int]:
    """``"10,20,64,48"`` -> (10, 20, 64, 48).

    Raises:
        UsageError: anything else than four whole numbers.
    """
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as e:
        raise UsageError(f"box {text!r}: expected x,y,width,height in pixels, like 10,20,64,48") from e
    return x, y, width, height


def for_network(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Float32 [H, W, C + 1]: the picture, empty where it is missing, and the mask: 1 is missing."""
    return np.dstack([np.where(hole[..., None], 0, values), hole]).astype(np.float32)


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The same [H, W, C + 1] at ``size`` (height, width): a pixel is missing if any of it was."""
    smaller = scaled(values, size)
    smaller[..., -1] = np.abs(smaller[..., -1]) > TOUCHED  # bicubic weights can be negative
    return smaller

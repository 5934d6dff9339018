"""Pictures of any kind as numbers for a network, and the network's numbers back as the same kind of picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from i2i.data import pictures
from i2i.errors import DataError, UsageError

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow makes gray

JPEG: dict[str, Any] = {"quality": 95, "subsampling": 0}
FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", JPEG),
    ".jpeg": ("JPEG", JPEG),
    ".webp": ("WEBP", {"quality": 95}),
    ".tif": ("TIFF", {}),
    ".tiff": ("TIFF", {}),
}  # what can be written: suffix -> Pillow's name, options


@dataclass(frozen=True)
class Taken:
    """A picture as a network wants it, and what is needed to answer in kind."""

    values: np.ndarray  # float32 [H, W, C] in [-1, 1]
    alpha: np.ndarray | None  # [H, W] as it came: uint8, or the float type of the array
    kind: Literal["pil", "array"]
    dtype: Any = np.uint8
    flat: bool = False  # an array [H, W], without a channel axis


def take(picture: Any, channels: int) -> Taken:
    """``picture`` (PIL image, path or array) for a network of 1 or 3 input channels.

    Raises:
        DataError: a file that cannot be read, or an array of another shape, type or range.
        UsageError: neither of these kinds.
    """
    if isinstance(picture, str | Path):
        with pictures.opened(Path(picture)) as image:
            return _take_image(image, channels)
    if isinstance(picture, Image.Image):
        return _take_image(picture, channels)
    if isinstance(picture, np.ndarray):
        return _take_array(picture, channels)
    raise UsageError(
        f"{type(picture).__name__} is no picture: give a path, a PIL image, a NumPy array or a list of them"
    )


def give(taken: Taken, values: np.ndarray) -> Any:
    """``values``, float [H, W, 1 or 3] around [-1, 1], as the kind of picture that ``taken`` was."""
    unit = np.clip((values + 1) / 2, 0, 1)
    # Rounded to nearest; the reference code truncates, which darkens every picture by half a level.
    pixels = np.rint(unit * 255).astype(np.uint8) if taken.dtype == np.uint8 else unit.astype(taken.dtype)
    if taken.alpha is not None:
        alpha = taken.alpha
        if alpha.shape != pixels.shape[:2]:
            unit = scaled(alpha[..., None].astype(np.float32), pixels.shape[:2])[..., 0]
            alpha = np.clip(np.rint(unit), 0, 255) if taken.dtype == np.uint8 else np.clip(unit, 0, 1)
        pixels = np.concatenate([pixels, alpha[..., None].astype(taken.dtype)], axis=2)
    if taken.kind == "pil":
        return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))
    return pixels[..., 0] if taken.flat and pixels.shape[2] == 1 else pixels


def scaled(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 [H, W, C] resized to ``size`` (height, width): bicubic, antialiased, whatever the range of the values."""
    planes = [Image.fromarray(np.ascontiguousarray(values[..., c])) for c in range(values.shape[2])]
    return np.stack([np.asarray(p.resize(size[::-1], Image.Resampling.BICUBIC)) for p in planes], axis=2)


def save(image: Image.Image, path: Path) -> None:
    """Writes a picture in the format of its suffix, whole or not at all; its folder is made.

    Raises:
        UsageError: a suffix that is none of ``FORMATS``.
        DataError: the format cannot hold this picture (WebP and JPEG have a largest size).
        OSError: the place cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: pictures are written as {', '.join(FORMATS)}")
    kind, options = FORMATS[path.suffix.lower()]
    deep = image.mode.startswith(("I", "F"))
    if (kind == "JPEG" and image.mode not in ("L", "RGB")) or (kind == "WEBP" and deep):
        image = Image.fromarray(pictures.to_array(image, 1 if image.mode == "LA" else 3).squeeze())
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        encode(image, part, kind, options, path)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def encode(image: Image.Image, part: Path, kind: str, options: dict[str, Any], path: Path) -> None:
    """Writes to ``part`` what will be ``path``; for errors see ``save``."""
    try:
        image.save(part, kind, **options)
    except Exception as e:  # each of Pillow's encoders complains in its own class: ValueError, SystemError, OSError ...
        if isinstance(e, OSError) and e.errno:  # not the encoder: the disk
            raise
        what = f"this picture of {image.width} x {image.height} pixels ({str(e) or type(e).__name__})"
        other = "tiff" if image.mode == "F" else "png"  # which PNG cannot hold
        raise DataError(f"{path}: {kind} cannot hold {what}: choose {other}, or make it smaller") from e


def _take_image(image: Image.Image, channels: int) -> Taken:
    alpha = pictures.alpha_of(image)
    if alpha is None:
        pixels = pictures.to_array(image, channels)
    else:  # the colors as stored, not laid on white: else putting the alpha back would fade the edges twice
        color = (image.convert("LA") if image.mode == "La" else image).convert("RGBA").convert("RGB")
        color.info.pop("transparency", None)
        pixels = pictures.to_array(color, channels)
        pixels[alpha == 0] = 255  # where nothing shows, anything may be stored: white, as in training
    return Taken(pixels / np.float32(127.5) - 1, alpha, "pil")


def _take_array(array: np.ndarray, channels: int) -> Taken:
    shape = list(array.shape)
    if array.ndim not in (2, 3) or 0 in shape or (array.ndim == 3 and shape[2] > 4):
        raise DataError(f"an array {shape} is not a picture: [H, W] or [H, W, C] with 1 to 4 channels")
    floats = np.issubdtype(array.dtype, np.floating)
    if not floats and array.dtype != np.uint8:
        raise DataError(f"an array of {array.dtype} is not a picture: uint8 (0 to 255) or float (0 to 1)")
    if floats and not (array.min() >= -1e-3 and array.max() <= 1 + 1e-3):  # a NaN fails both
        low, high = array.min(), array.max()
        raise DataError(f"float pictures go from 0 to 1, this one from {low:g} to {high:g}: scale it, or give uint8")
    pixels = array.reshape(*array.shape[:2], -1)
    alpha = pixels[..., -1] if pixels.shape[2] in (2, 4) else None
    color = pixels[..., : 1 if pixels.shape[2] < 3 else 3].astype(np.float32)
    if alpha is not None:
        color[alpha == 0] = 1 if floats else 255
    color = in_channels(color, channels)
    values = color * 2 - 1 if floats else color / np.float32(127.5) - 1
    return Taken(values, alpha, "array", array.dtype, array.ndim == 2)


def in_channels(color: np.ndarray, channels: int) -> np.ndarray:
    """Float [H, W, 1 or 3] with 1 or 3 channels."""
    if color.shape[2] == channels:
        return color
    return np.repeat(color, 3, axis=2) if channels == 3 else (color @ LUMA)[..., None]

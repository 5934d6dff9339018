"""Labelled sets: ``<split>-images.npy`` (uint8 [N, H, W] or [N, H, W, C]) and ``<split>-labels.npy`` (int64 [N])."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from i2i.errors import DataError

_IMAGES = re.compile(r"(.+)-images\.npy", re.IGNORECASE)


def find(root: Path) -> dict[str, tuple[Path, Path]]:
    """(images, labels) for each split that a folder has, by the split's name as written; empty if there is none.

    Raises:
        DataError: images without labels.
    """
    found = {}
    for path in sorted(root.iterdir()):
        if match := _IMAGES.fullmatch(path.name):
            labels = path.with_name(f"{match[1]}-labels.npy")
            if not labels.is_file():
                raise DataError(f"{labels}: no such file, and {path.name} needs it: int64 [N], a label for each image")
            found[match[1]] = (path, labels)
    return found


def load(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays, mapped from the disk rather than read: uint8 [N, H, W, C], integer [N].

    Raises:
        DataError: not arrays, of the wrong type or shape, or not of equal number.
    """
    pixels, numbers = _array(images), _array(labels)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
        raise DataError(f"{images}: expected uint8 [N, H, W] or [N, H, W, C], found {_about(pixels)}")
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1:
        raise DataError(f"{labels}: expected int64 [N], found {_about(numbers)}")
    if len(pixels) != len(numbers):
        raise DataError(f"{labels}: {len(numbers)} labels for the {len(pixels)} images of {images.name}")
    return (pixels if pixels.ndim == 4 else pixels[..., None]), numbers


def _array(path: Path) -> np.ndarray:
    try:
        # A plain view of the mapped file: each slice of a memmap is one again, which costs more than its pixels.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as e:
        raise DataError(
            f"{path}: not a readable .npy file of numbers ({(str(e) or type(e).__name__).splitlines()[0][:100]})"
        ) from e


def _about(array: np.ndarray) -> str:
    return f"{array.dtype} {list(array.shape)}"

"""Any picture file as one kind of array: uint8 [H, W, 3] or [H, W, 1], upright, without alpha.

What happens to the unusual ones:

    palette, CMYK, YCbCr, LAB, HSV    their color as RGB (Adobe's inverted CMYK included)
    gray read as 3 channels           repeated;   color read as 1 channel: luminance (ITU-R 601)
    alpha, transparent colors         laid on white; ``alpha_of`` gives the alpha by itself
    16 and 32 bit integers            0..65535 becomes 0..255, rounded to the nearest; what lies outside is clipped
    floating point                    fractions of white if all lie in 0..1, else 0..255, clipped; NaN is black
    EXIF orientation                  applied
    animations, several pages         the first frame
"""

from __future__ import annotations

import io
import logging
import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError

from i2i import paths
from i2i.errors import DataError, I2IError

SUFFIXES = frozenset(
    {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm"}
    | {".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)  # lower-case; matched case-insensitively

_ORIENTATION = 0x0112  # EXIF and TIFF tag; 1 is upright, 5 to 8 swap width and height
_TIFF_WIDTH, _TIFF_HEIGHT = 0x0100, 0x0101
_ALPHA_MODES = frozenset(["LA", "La", "PA", "RGBA", "RGBa"])

# Pillow warns above its limit of pixels and refuses above twice that. The refusal is kept (as a DataError); the warning
# would only frighten owners of large cameras. Set once, here: a filter that is changed per call is not thread-safe.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
# Of damage that its decoders get over: a picture that is translated all the same needs no lines about it.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())  # else Python prints what nobody has asked to be told


def trust(pixels: int) -> None:
    """From now on, pictures of so many pixels are read, for which there is memory; never fewer than Pillow allows."""
    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, -(-pixels // 2))  # it refuses what has twice as many


@contextmanager
def source(path: Path, data: bytes | None = None) -> Iterator[BinaryIO]:
    """The file, open, or ``data`` in its place; whatever goes wrong in reading it becomes a DataError that names it.

    Raises:
        DataError: missing, empty, truncated, corrupt, not a picture, or too large to be safe.
    """
    try:
        with path.open("rb") if data is None else io.BytesIO(data) as file:
            yield file
    except I2IError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
        raise DataError(
            f"{path}: more than {most_pixels() // 1_000_000} million pixels, refused because such a file can be a "
            "decompression bomb: make it smaller or cut it into pieces (or, if you trust it, give i2i translate the "
            "--memory for it, or raise PIL.Image.MAX_IMAGE_PIXELS in Python)"
        ) from e
    except Exception as e:  # a decoder raises nearly anything on a damaged file: SyntaxError, ValueError, struct.error
        raise DataError(f"{path}: not a readable picture ({_reason(path, data, e)})") from e


@contextmanager
def opened(path: Path, data: bytes | None = None) -> Iterator[Image.Image]:
    """The picture file, or ``data`` in its place, opened with Pillow; for errors see ``source``."""
    # An open file, not a path: given a path, Pillow maps raw TIFFs into memory and garbles those stored turned.
    with source(path, data) as file, Image.open(file) as image:
        yield image


def array(path: Path, data: bytes | None = None) -> np.ndarray:
    """The array in an .npy file, of any type but Python objects; for errors see ``source``."""
    with source(path, data) as file:
        shape, _, dtype = _npy_header(file)
        if math.prod(shape[:2]) > most_pixels():
            raise Image.DecompressionBombError
        here = file.tell()
        if file.seek(0, os.SEEK_END) - here < math.prod(shape) * dtype.itemsize:
            raise EOFError  # before room is made for all that the header promises
        file.seek(0)
        values = np.lib.format.read_array(file, allow_pickle=False)
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def _npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def most_pixels() -> int:
    """What Pillow refuses to open has more pixels than this."""
    return (Image.MAX_IMAGE_PIXELS or sys.maxsize) * 2


def read(path: Path, channels: int = 3) -> np.ndarray:
    """The picture as uint8 [H, W, channels], ``channels`` 1 or 3; see the head of this file for what becomes of what.

    Raises:
        DataError: the file cannot be read as a picture.
    """
    with opened(path) as image:
        return to_array(image, channels)


def size(path: Path) -> tuple[int, int]:
    """(height, width) as ``read`` would give them, from the header alone.

    Raises:
        DataError: the header cannot be read as a picture's.
    """
    with opened(path) as image:
        return upright_size(image)


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(height, width) of an opened picture after its EXIF orientation, without decoding it."""
    width, height = image.size
    tags = getattr(image, "tag_v2", {})
    if image.format == "TIFF" and _ORIENTATION in tags:  # Pillow may have turned .size already: the tags are as stored
        width, height = int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT])
    return (width, height) if _orientation(image) >= 5 else (height, width)


def to_array(image: Image.Image, channels: int = 3) -> np.ndarray:
    """An opened picture as uint8 [H, W, channels], writable and contiguous; the picture itself is left as it is.

    Raises:
        ValueError: ``channels`` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, not {channels}")
    image.load()
    turn = _orientation(image)
    if image.mode.startswith(("I", "F")):
        gray = _deep_to_8bit(np.asarray(image))
        return _turned(np.repeat(gray[:, :, None], channels, axis=2), turn)
    if has_alpha(image):
        color = rgba(image)
        image = Image.alpha_composite(Image.new("RGBA", color.size, "white"), color)
    if channels == 1 and image.mode not in ("1", "L"):
        image = image.convert("RGB")  # not every mode has a way to gray
    image = image.convert("L" if channels == 1 else "RGB")
    pixels = np.array(image)
    return _turned(pixels[:, :, None] if channels == 1 else pixels, turn)


def has_alpha(image: Image.Image) -> bool:
    """Whether the picture says anything about transparency: an alpha channel, or transparent colors of a palette."""
    return image.mode in _ALPHA_MODES or ("transparency" in image.info and image.mode in ("1", "L", "P", "RGB"))


def alpha_of(image: Image.Image) -> np.ndarray | None:
    """The alpha of an opened picture as uint8 [H, W] (255 is opaque), upright as in ``to_array``; None without one."""
    image.load()
    if not has_alpha(image):
        return None
    return upright(np.array(rgba(image).getchannel("A")), image)


def upright(pixels: np.ndarray, image: Image.Image) -> np.ndarray:
    """[H, W, ...] as stored in ``image``, turned as its EXIF orientation asks."""
    return _turned(pixels, _orientation(image))


def rgba(image: Image.Image) -> Image.Image:
    """A picture that has alpha, in any mode, as RGBA."""
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _deep_to_8bit(values: np.ndarray) -> np.ndarray:
    """uint16, int32 or float [H, W] to uint8 by the rules at the head of this file."""
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, nan=0.0, posinf=255.0, neginf=0.0)
        return np.rint((values * (255 / white(values))).clip(0, 255)).astype(np.uint8)
    return ((values.astype(np.int64).clip(0, 65535) + 128) // 257).astype(np.uint8)  # 257 is odd: no ties to break


def white(values: np.ndarray) -> float:
    """What is white in a picture of floats: 1 if all lie in 0..1, else 255."""
    return 1.0 if values.size and values.min() >= 0 and values.max() <= 1 else 255.0


def _orientation(image: Image.Image) -> int:
    try:
        turn = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # damaged EXIF is no reason to refuse a picture that decodes
        return 1
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """[H, W, ...] turned as the EXIF orientation ``turn`` asks: 5 to 8 are transposed first, then mirrored."""
    if turn >= 5:
        pixels = pixels.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def knows_avif() -> bool:
    """Whether this Pillow reads and writes AVIF: since 11.3, and not in every wheel."""
    Image.init()
    return "AVIF" in Image.SAVE


def no_avif() -> str:
    return f"this Pillow {PIL.__version__} has no AVIF: pip install -U pillow, 11.3 or newer has it"


def _reason(path: Path, data: bytes | None, error: Exception) -> str:
    """A few words for what Pillow or the operating system said."""
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if data is None and paths.is_dir(path):
        return "it is a folder"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if (path.stat().st_size if data is None and path.is_file() else data) in (0, b""):
        return "the file is empty"
    if isinstance(error, MemoryError):
        return "too large for the memory"
    if isinstance(error, UnidentifiedImageError):
        if path.suffix.lower() == ".avif" and not knows_avif():
            return no_avif()
        return "not a picture, or of a kind that Pillow does not know"
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, EOFError) or "truncated" in text.lower():
        return "the file is truncated"
    return text[:1].lower() + text[1:100]

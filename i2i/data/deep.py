"""Color of 16 bits: Pillow reads its upper halves only and writes none of it.

Reading uses Pillow's decoders twice: they can be told to take the other byte of each sample. Writing is short, because
PNG and TIFF hold such pictures as plain rows. Gray of 16 bits needs nothing of this: Pillow's own ``I;16`` holds it.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

_LITTLE = sys.byteorder == "little"
_OTHER = {"16B": "16L", "16L": "16B", "16N": "16B" if _LITTLE else "16L"}  # Pillow: which byte of a sample is kept
_COLOR = {2: 4, 3: 2, 4: 6}  # channels -> the color type of PNG
_PLANES = 284  # TIFF tag, PlanarConfiguration: 1 is pixel by pixel
ROWS = 256  # that are compressed at once


def other_half(image: Image.Image) -> list[Any] | None:
    """How to decode what Pillow leaves out of this picture, opened and not loaded: its tiles, for a second copy of it.

    None if there is nothing, or no way: premultiplied, CMYK, and planes one after the other.
    """
    tiles: Sequence[Any] = getattr(image, "tile", None) or ()
    if getattr(image, "tag_v2", {}).get(_PLANES, 1) != 1:
        return None
    changed = []
    for tile in tiles:
        args = tile[3]
        raw = args[0] if isinstance(args, tuple) and args else args
        if raw == "LA;16B" and image.mode == "RGBA" and image.format == "PNG":
            other = "RGBA"  # both bytes of both channels: as many as a pixel of RGBA has
        else:
            name, _, depth = str(raw).partition(";")
            if name not in ("RGB", "RGBA") or name != image.mode or depth not in _OTHER:
                return None
            other = f"{name};{_OTHER[depth]}"
        changed.append(_with(tile, (other, *args[1:]) if isinstance(args, tuple) else other))
    return changed or None


def _with(tile: Any, args: Any) -> Any:
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)  # older Pillow: plain tuples


def joined(upper: Image.Image, other: Any, tiles: list[Any]) -> np.ndarray:
    """uint16 [H, W, 2, 3 or 4], as stored, from two opened copies of one picture; ``tiles`` as in ``other_half``."""
    key = upper.info.get("transparency")
    other.tile = tiles
    other.load()  # by itself: numpy hides what goes wrong in it
    upper.load()
    low = np.array(other)
    if tiles[0][3] == "RGBA":
        return np.ascontiguousarray(low).view(">u2").astype(np.uint16)
    pixels = np.array(upper).astype(np.uint16) << 8 | low
    if pixels.shape[2] == 3 and isinstance(key, tuple) and len(key) == 3:  # one color is transparent
        alpha = (pixels != np.array(key)).any(axis=2, keepdims=True) * np.uint16(65535)
        pixels = np.concatenate([pixels, alpha.astype(np.uint16)], axis=2)
    return pixels


def write_png(file: BinaryIO, pixels: np.ndarray, icc: bytes | None) -> None:
    """uint16 [H, W, 2, 3 or 4] (gray with alpha, RGB, RGBA) as PNG (ISO/IEC 15948)."""

    def chunk(kind: bytes, data: bytes) -> None:
        file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

    height, width, channels = pixels.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOR[channels], 0, 0, 0))
    if icc:
        chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))
    squeeze, above = zlib.compressobj(6), np.zeros((1, width * channels * 2), np.uint8)
    for start in range(0, height, ROWS):
        some = np.ascontiguousarray(pixels[start : start + ROWS], dtype=">u2")
        rows = some.reshape(-1, width * channels).view(np.uint8)
        filtered = np.full((len(rows), rows.shape[1] + 1), 2, np.uint8)  # 2: each row is the difference to the last
        filtered[:, 1:] = rows - np.vstack([above, rows[:-1]])
        chunk(b"IDAT", squeeze.compress(filtered.tobytes()))
        above = rows[-1:]
    chunk(b"IDAT", squeeze.flush())
    chunk(b"IEND", b"")


def write_tiff(file: BinaryIO, pixels: np.ndarray, icc: bytes | None) -> None:
    """uint16 [H, W, 3 or 4] as an uncompressed TIFF 6.0.

    Raises:
        ValueError: four gigabytes or more, which TIFF cannot hold.
    """
    height, width, channels = pixels.shape
    size, profile = pixels.size * 2, icc or b""
    if size + len(profile) + 1000 >= 2**32:
        raise ValueError("four gigabytes are its limit")
    start = 8  # of the pixels; what else is longer than four bytes follows them
    extra = start + size
    short, long, undefined = 3, 4, 7
    tags = [
        (256, long, 1, width), (257, long, 1, height), (258, short, channels, extra), (259, short, 1, 1),
        (262, short, 1, 2), (273, long, 1, start), (277, short, 1, channels), (278, long, 1, height),
        (279, long, 1, size),
    ]  # fmt: skip
    if channels == 4:
        tags.append((338, short, 1, 2))  # the alpha is not multiplied into the colors
    if profile:
        tags.append((34675, undefined, len(profile), extra + 2 * channels))
    tail = struct.pack(f"<{channels}H", *[16] * channels) + profile
    tail += b"\0" * (len(tail) % 2)
    file.write(struct.pack("<2sHI", b"II", 42, extra + len(tail)))
    file.write(np.ascontiguousarray(pixels, dtype="<u2").data)
    file.write(tail + struct.pack("<H", len(tags)))
    for tag, kind, count, value in tags:
        file.write(struct.pack("<HHII", tag, kind, count, value))
    file.write(struct.pack("<I", 0))

"""Pictures as files: whole or not at all, as deep as the format holds them."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from i2i.data import deep, pictures
from i2i.errors import DataError, UsageError
from i2i.own import Own, fits, in_depth, own, to_image

FORMATS: dict[str, tuple[str, int]] = {
    ".png": ("PNG", 65535),
    ".jpg": ("JPEG", 255),
    ".jpeg": ("JPEG", 255),
    ".webp": ("WEBP", 255),
    ".tif": ("TIFF", 65535),
    ".tiff": ("TIFF", 65535),
    ".bmp": ("BMP", 255),
    ".avif": ("AVIF", 255),
    ".npy": ("NPY", 65535),
}
"""What can be written: suffix -> Pillow's name, and the brightest whole number that it holds."""

QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}
"""Of what drops detail: where hardly any is dropped."""

OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"subsampling": 0}, "AVIF": {"subsampling": "4:4:4"}}
OPAQUE = ("JPEG", "BMP")  # hold no alpha: it is laid on white

DRAFT = re.compile(r"\.i2i-([0-9a-f]{16})-\d+\.part")
"""The name of what is being written: of which file (``digest``), by which process."""
STALE = 3600.0  # seconds after which nobody is at a draft any more


def save(image: Image.Image | Own, path: Path, quality: int | None = None) -> None:
    """Writes a picture in the format of its suffix, whole or not at all; its folder is made.

    Raises:
        UsageError: a suffix that is none of ``FORMATS``, or AVIF where Pillow has none.
        DataError: the format cannot hold this picture (WebP and JPEG have a largest size).
        OSError: the place cannot be written.
    """
    check(path.suffix, str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = draft(path)
    try:
        encode(image, part, path.suffix, quality, str(path))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check(suffix: str, what: str, quality: int | None = None) -> None:
    """
    Raises:
        UsageError: pictures are not written so, not by this Pillow, or without any quality to choose.
    """
    if suffix.lower() not in FORMATS:
        raise UsageError(f"{what}: pictures are written as {', '.join(FORMATS)}")
    kind = FORMATS[suffix.lower()][0]
    if kind == "AVIF" and not pictures.knows_avif():
        raise UsageError(f"{what}: {pictures.no_avif()}")
    if quality is None:
        return
    if kind not in QUALITY:
        raise UsageError(f"{what}: nothing is lost in {kind}, so no quality can be chosen: take jpg, webp or avif")
    if not 1 <= quality <= 100:
        raise UsageError(f"quality {quality}: from 1 (small files) to 100")


def draft(path: Path) -> Path:
    """Where a file grows until it is whole."""
    return path.with_name(f".i2i-{digest(path)}-{os.getpid()}.part")


def digest(path: Path) -> str:
    """What stands for the file's name in that of its draft, which thereby is never too long for the disk."""
    return hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]


def sweep(targets: list[Path]) -> None:
    """Removes what killed runs have left in the folders of ``targets``: their drafts, and whatever is stale."""
    names: dict[Path, set[str]] = {}
    for target in targets:
        names.setdefault(target.parent, set()).add(digest(target))
    for folder, mine in names.items():
        for path in folder.glob(".i2i-*.part"):
            found = DRAFT.fullmatch(path.name)
            try:
                if found and (found[1] in mine or time.time() - path.stat().st_mtime > STALE):
                    path.unlink()
            except OSError:  # somebody else was faster, or may and we may not
                pass


def encode(
    image: Image.Image | Own,
    file: Path | BinaryIO,
    suffix: str,
    quality: int | None = None,
    name: str = "the picture",
) -> None:
    """Writes to ``file`` what will be ``name``; for errors see ``save``."""
    kind, brightest = FORMATS[suffix.lower()]
    try:
        if isinstance(image, Own) or kind == "NPY":
            _encode_own(own(image), file, kind, brightest, quality)
        else:
            _encode_image(image, file, kind, quality)
    except Exception as e:  # each of Pillow's encoders complains in its own class: ValueError, SystemError, OSError ...
        if isinstance(e, OSError) and e.errno:  # not the encoder: the disk
            raise
        width, height = image.pixels.shape[1::-1] if isinstance(image, Own) else image.size
        what = f"this picture of {width} x {height} pixels ({str(e) or type(e).__name__})"
        other = "tiff" if getattr(image, "mode", "") == "F" else "png"  # which PNG cannot hold
        raise DataError(f"{name}: {kind} cannot hold {what}: choose {other}, or make it smaller") from e


def _encode_own(picture: Own, file: Path | BinaryIO, kind: str, brightest: int, quality: int | None) -> None:
    pixels, icc = picture.pixels, picture.icc
    gray = pixels.shape[2] == 1
    if kind == "NPY":
        with _opened(file) as out:
            np.lib.format.write_array(out, pixels[..., 0] if gray else pixels, allow_pickle=False)
        return
    if not (kind == "TIFF" and gray and pixels.dtype.kind in "fi"):  # which TIFF holds as they are
        pixels = in_depth(pixels, picture.white, 255 if pixels.dtype == np.uint8 else brightest)
    if pixels.dtype == np.uint16 and not gray:
        with _opened(file) as out:
            if kind == "PNG":
                deep.write_png(out, pixels, icc)
            else:
                deep.write_tiff(out, pixels[..., [0, 0, 0, 1]] if pixels.shape[2] == 2 else pixels, icc)
        return
    image = to_image(pixels)
    if icc:
        image.info["icc_profile"] = icc
    _encode_image(image, file, kind, quality)


def _encode_image(image: Image.Image, file: Path | BinaryIO, kind: str, quality: int | None) -> None:
    options, icc = dict(OPTIONS.get(kind, {})), image.info.get("icc_profile")
    if kind in QUALITY:
        options["quality"] = QUALITY[kind] if quality is None else quality
    eight_bits = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA")
    if (kind in OPAQUE and image.mode not in ("L", "RGB")) or (kind in ("WEBP", "AVIF") and not eight_bits):
        image = to_image(pictures.to_array(image, 1 if image.mode == "LA" else 3))
    if icc and kind != "BMP" and fits(icc, len(image.getbands())):
        options["icc_profile"] = icc
    image.save(file, kind, **options)


@contextmanager
def _opened(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    if isinstance(file, Path):
        with file.open("wb") as out:
            yield out
    else:
        yield file

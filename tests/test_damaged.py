"""Damaged files, thousands: each ends in a picture or in one line that names it; nothing crashes, nothing hangs."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from exports_for_tests import make_exported
from PIL import Image

from i2i import own, writing

ROOT = Path(__file__).parents[1]
SIZE = (24, 31)  # height, width: numbers that are found again in a header
LIBTIFF = re.compile(r"(_?(TIFF|JPEG|ZIP|LZW|Fax|PackBits|OJPEG)\w*|tempfile\.tif|MissingRequired): ")
"""What the library itself prints, below Python, about a file that it then refuses or mends."""
LIMITED = """
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
except ImportError:
    pass
from i2i import cli
cli.main()
"""


def samples() -> dict[str, tuple[str, bytes]]:
    """Name -> suffix and content: each format, and what is special in some."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    pixels = np.stack([rows * 9, columns * 7, rows * columns, 255 - rows * 5], axis=2).astype(np.uint8)
    color, gray = Image.fromarray(pixels[..., :3]), Image.fromarray(pixels[..., 0])
    deep = (pixels.astype(np.uint16) * 257)[..., :3]
    exif = Image.Exif()
    exif[0x0112] = 6

    def of(image: Image.Image, format: str, **options: object) -> bytes:
        file = io.BytesIO()
        image.save(file, format, **options)
        return file.getvalue()

    def ours(values: np.ndarray, suffix: str) -> bytes:
        file = io.BytesIO()
        writing.encode(own.Own(values, False, 65535), file, suffix)
        return file.getvalue()

    frames = {"save_all": True, "append_images": [gray.convert("RGB"), color.rotate(90)]}
    return {
        "png": (".png", of(color, "PNG")),
        "png alpha": (".png", of(Image.fromarray(pixels), "PNG", exif=exif)),
        "png palette": (".png", of(color.quantize(16), "PNG", transparency=3)),
        "png 16": (".png", ours(deep, ".png")),
        "png gray 16": (".png", of(Image.fromarray(deep[..., 0]), "PNG")),
        "png bits": (".png", of(gray.convert("1"), "PNG")),
        "apng": (".png", of(color, "PNG", **frames)),
        "jpeg": (".jpg", of(color, "JPEG", exif=exif)),
        "jpeg progressive": (".jpg", of(color, "JPEG", progressive=True, icc_profile=b"x" * 300)),
        "jpeg cmyk": (".jpg", of(color.convert("CMYK"), "JPEG")),
        "webp": (".webp", of(color, "WEBP")),
        "webp lossless": (".webp", of(Image.fromarray(pixels), "WEBP", lossless=True, exif=exif)),
        "webp frames": (".webp", of(color, "WEBP", **frames)),
        "tiff": (".tif", of(color, "TIFF")),
        "tiff lzw": (".tif", of(color, "TIFF", compression="tiff_lzw")),
        "tiff zip": (".tif", of(Image.fromarray(pixels), "TIFF", compression="tiff_adobe_deflate")),
        "tiff jpeg": (".tif", of(color, "TIFF", compression="jpeg")),
        "tiff fax": (".tif", of(gray.convert("1"), "TIFF", compression="group4")),
        "tiff float": (".tif", of(Image.fromarray(rows / np.float32(24)), "TIFF")),
        "tiff 16": (".tif", ours(deep, ".tif")),
        "bmp": (".bmp", of(color, "BMP")),
        "bmp palette": (".bmp", of(color.quantize(16), "BMP")),
        "gif": (".gif", of(color, "GIF")),
        "gif frames": (".gif", of(color, "GIF", **frames)),
        "avif": (".avif", of(color, "AVIF")),
        "avif alpha": (".avif", of(Image.fromarray(pixels), "AVIF")),
        "jp2": (".jp2", of(color, "JPEG2000")),
        "ppm": (".ppm", of(color, "PPM")),
        "pbm": (".pbm", of(gray.convert("1"), "PPM")),
        "tga": (".tga", of(color, "TGA", compression="tga_rle")),
        "npy": (".npy", ours(deep, ".npy")),
    }


def huge(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    """Another size where the header states it; a PNG's checksum is right again."""
    kinds = [">H", "<H", ">I", "<I"]
    places = [
        (at, kind)
        for kind in kinds
        for side in SIZE
        for at in range(min(len(data) - 4, 600))
        if data[at : at + struct.calcsize(kind)] == struct.pack(kind, side)
    ]
    damaged = bytearray(data)
    for i in random.permutation(len(places))[: random.integers(1, 5)]:
        at, kind = places[i]
        most = 2 ** (8 * struct.calcsize(kind)) - 1
        struct.pack_into(kind, damaged, at, min(most, int(random.choice([0, 1, 25, 4000, 40_000, 65_535, 2**31 - 1]))))
    if damaged[:4] == b"\x89PNG":
        struct.pack_into(">I", damaged, 29, zlib.crc32(damaged[12:29]))
    return bytes(damaged)


def flipped(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    damaged = bytearray(data)
    for at in random.integers(0, len(data), random.integers(1, 12)):
        damaged[at] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def overwritten(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    damaged = bytearray(data)
    for at in random.integers(0, min(len(data), 400), random.integers(1, 9)):  # the headers above all
        damaged[at] = int(random.choice([0, 1, 127, 128, 255, random.integers(256)]))
    return bytes(damaged)


def zeroed(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    start = int(random.integers(len(data)))
    length = int(random.integers(1, 64))
    return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]


def truncated(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    return data[: int(random.integers(len(data)))]


def without_a_piece(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    start, length = int(random.integers(len(data))), int(random.integers(1, 40))
    return data[:start] + data[start + length :]


def with_a_piece_twice(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    start, length = int(random.integers(len(data))), int(random.integers(1, 40))
    return data[: start + length] + data[start:]


def crossed(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    return data[: int(random.integers(4, 100))] + others[random.integers(len(others))][int(random.integers(4, 100)) :]


def whole(random: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    return data


WAYS: list[Callable[[np.random.Generator, bytes, list[bytes]], bytes]] = [
    huge, flipped, overwritten, zeroed, truncated, without_a_piece, with_a_piece_twice, crossed, whole,
]  # fmt: skip


def damaged(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """(name, content): mostly with the suffix of its format, sometimes with another's."""
    random = np.random.default_rng(seed)
    known = samples()
    contents = [data for _, data in known.values()]
    suffixes = [suffix for suffix, _ in known.values()]
    for number in range(count):
        kind = list(known)[number % len(known)]
        way = WAYS[random.integers(len(WAYS))]
        suffix = known[kind][0] if way is not whole and random.random() < 0.9 else str(random.choice(suffixes))
        yield f"{number:05}-{kind.replace(' ', '_')}-{way.__name__}{suffix}", way(random, known[kind][1], contents)


def translated(folder: Path, model: Path, out: Path) -> tuple[int, str]:
    """All of a folder in a process of its own, which may not take more than 8 GB and two minutes."""
    command = [sys.executable, "-c", LIMITED, "translate", str(folder), "--model", str(model), "--out", str(out)]
    command += ["--workers", "1"]  # what libtiff prints in two threads runs into each other
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, done.stderr


def check(tmp_path: Path, seed: int, count: int) -> int:
    """How many ended in a picture."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name, content in damaged(seed, count):
        (folder / name).write_bytes(content)
    if not (tmp_path / "m").exists():
        make_exported(tmp_path / "m")
    code, said = translated(folder, tmp_path / "m", out)
    lines = said.splitlines()
    assert code in (0, 1), f"seed {seed}: exit code {code}: {said[-2000:]}"
    strange = "\n".join(line for line in lines if not line.startswith("failed: ") and not LIBTIFF.match(line))
    assert strange == "", f"seed {seed}"
    done = {path.stem for path in out.iterdir()}
    for path in folder.iterdir():
        named = sum(line.startswith((f"failed: {path}: ", f"failed: {out / path.stem}.")) for line in lines)
        assert named + (path.stem in done) == 1, (
            f"seed {seed}: {path.name}: in {named} lines, done: {path.stem in done}"
        )
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    return len(done)


def test_hundreds_of_damaged_files(tmp_path: Path) -> None:
    done = check(tmp_path, seed=0, count=310)
    assert 60 < done < 250  # some are mended by their decoders, some are not


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_ten_thousand_damaged_files(tmp_path: Path) -> None:
    for seed in range(1, 41):
        (tmp_path / str(seed)).mkdir()
        check(tmp_path / str(seed), seed, count=250)

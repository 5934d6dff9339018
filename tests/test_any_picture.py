"""No picture is refused and no size fails: every way to store one, every size, every method's network."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from exports_for_tests import doubled, make_exported
from models_for_tests import make_model
from PIL import Image
from small import small_method

from i2i import own, writing
from i2i.many import translate_many
from i2i.methods import METHODS
from i2i.translator import Translator, load
from i2i.zoo import ZOO

SIZES = [(1, 1), (17, 17), (255, 255), (256, 256), (257, 257), (1100, 700), (2, 3000)]
"""Height, width."""
STORED = {
    "1": ".png", "L": ".jpg", "LA": ".png", "P": ".gif", "PA": ".png", "RGB": ".webp", "RGBA": ".avif",
    "CMYK": ".jpg", "CMYK in TIFF": ".tif", "I;16": ".png", "I;16 in TIFF": ".tiff", "I": ".tif", "F": ".tif",
    "RGB in BMP": ".bmp", "YCbCr": ".jpg", "16 bits of RGB": ".png", "16 bits of RGBA": ".tiff", "bytes": ".npy",
    "halves": ".npy", "turned": ".jpg",
}  # fmt: skip
"""A way to store a picture, and what in."""
ALPHA = {"LA", "PA", "RGBA", "16 bits of RGBA", "halves"}
DEEP = {"I;16", "I;16 in TIFF", "I", "F", "16 bits of RGB", "16 bits of RGBA", "halves"}


def store(path: Path, way: str, size: tuple[int, int]) -> None:
    """A picture of that size with something to see in it."""
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([rows * 3, columns * 2, rows + columns, (rows + 50) % 200], axis=2) % 256
    mode = way.partition(" in ")[0]
    if way.startswith("16 bits"):
        channels = 4 if way.endswith("A") else 3
        writing.save(own.Own((pixels[..., :channels] * 257).astype(np.uint16), channels == 4, 65535), path)
    elif path.suffix == ".npy":
        np.save(path, pixels[..., 0].astype(np.uint8) if way == "bytes" else (pixels / 255).astype(np.float16))
    elif mode in ("I;16", "I", "F"):
        dtype = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        Image.fromarray((pixels[..., 0] * (257 if mode != "F" else 1)).astype(dtype)).save(path)
    elif way == "turned":
        exif = Image.Exif()
        exif[0x0112] = 8
        Image.fromarray(pixels[..., :3].astype(np.uint8)).rotate(-90, expand=True).save(path, exif=exif)
    else:
        image = Image.fromarray(pixels.astype(np.uint8), "RGBA")
        image = image if mode in ("LA", "PA", "RGBA") else image.convert("RGB")
        if mode == "PA":  # a palette with alpha, as PNG stores it
            image.quantize(32).save(path)
        else:
            image.convert(mode).save(path)


def check(translate: Translator, folder: Path, out: Path, ways: dict[str, tuple[str, tuple[int, int]]]) -> None:
    box = (0, 0, 1, 1) if translate.product.masked else None
    done = translate_many(translate, [folder], out, box=box)
    assert done.failed == []
    assert len(done.done) == len(ways)
    for source, target in done.done:
        way, (height, width) = ways[source.stem]
        result = own.read(target).pixels
        scale = translate.product.scale
        assert result.shape[:2] == (height * scale, width * scale), f"{way} {height} x {width}"
        assert (result.shape[2] in (2, 4)) == (way in ALPHA), f"{way} {height} x {width}"
        assert (result.dtype == np.uint16) == (way in DEEP), f"{way} {height} x {width}"


def fill(folder: Path, wanted: list[tuple[str, tuple[int, int]]]) -> dict[str, tuple[str, tuple[int, int]]]:
    folder.mkdir()
    ways = {}
    for number, (way, size) in enumerate(wanted):
        ways[f"{number:03}"] = (way, size)
        store(folder / f"{number:03}{STORED[way]}", way, size)
    return ways


def test_every_way_and_size_through_one_network(tmp_path: Path) -> None:
    make_exported(tmp_path / "m")
    small = [size for size in SIZES if size[0] * size[1] < 10_000]
    large = [size for size in SIZES if size not in small]
    # Every way in the small sizes, every size in some way.
    wanted = [*itertools.product(STORED, small), *zip(itertools.cycle(STORED), large * 2, strict=False)]
    check(load(tmp_path / "m"), tmp_path / "in", tmp_path / "out", fill(tmp_path / "in", wanted))


def test_every_way_through_a_network_that_enlarges(tmp_path: Path) -> None:
    wanted = [(way, (9, 14)) for way in STORED]
    make_exported(tmp_path / "m", doubled(), scale=2)
    check(load(tmp_path / "m"), tmp_path / "in", tmp_path / "out", fill(tmp_path / "in", wanted))


def networks(name: str, path: Path, *norms: str) -> list[Translator]:
    """The method's generators, small and untrained."""
    found, method = [], small_method(name)
    for key, net in method.products.items():
        for norm in norms or (method.inference.norm,):
            make_model(path / f"{key}-{norm}", net.config, norm=norm)
            found.append(load(path / f"{key}-{norm}"))
    return found


@pytest.mark.parametrize("name", sorted({*METHODS} - {*ZOO}))
def test_every_size_through_every_method(tmp_path: Path, name: str) -> None:
    ways = fill(tmp_path / "in", [("RGB", (1, 1)), ("RGBA", (17, 17)), ("L", (2, 300)), ("16 bits of RGB", (65, 31))])
    for number, translate in enumerate(networks(name, tmp_path, "image", "running")):
        check(translate, tmp_path / "in", tmp_path / f"out{number}", ways)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*METHODS} - {*ZOO}))
def test_every_way_in_every_size_through_every_method(tmp_path: Path, name: str) -> None:
    for number, translate in enumerate(networks(name, tmp_path)):
        for way in STORED:
            folder = tmp_path / f"{number}-{way}"
            check(translate, folder, tmp_path / f"{number}-{way}-out", fill(folder, [(way, size) for size in SIZES]))

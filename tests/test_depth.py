"""As deep as it came: 16 bits, floats, color profiles, arrays in files, and formats that hold less."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from exports_for_tests import graph_of, make_exported
from onnx import helper
from PIL import Image, ImageCms

from i2i import own, writing
from i2i.data import pictures
from i2i.errors import DataError, UsageError
from i2i.many import translate_many
from i2i.own import Own
from i2i.translator import Translator, load

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def deep(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 65536, shape, dtype=np.uint16)


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    """A network that gives what it gets: what comes out says what went in."""
    path = tmp_path_factory.mktemp("models") / "same"
    make_exported(path, graph_of([helper.make_node("Identity", ["input"], ["output"])], (3, 3)))
    return load(path)


@pytest.fixture(scope="module")
def gray(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    path = tmp_path_factory.mktemp("models") / "gray"
    make_exported(path, graph_of([helper.make_node("Identity", ["input"], ["output"])], (1, 1)))
    return load(path)


def png(pixels: np.ndarray, *chunks: bytes) -> bytes:
    """16 bits per channel, rows stored as they are."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    parts = [chunk(b"IHDR", header), *(chunk(c[:4], c[4:]) for c in chunks), chunk(b"IDAT", zlib.compress(rows))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


# -- read --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_is_read_to_the_last_bit(tmp_path: Path, channels: int) -> None:
    pixels = deep(7, 5, channels)
    (tmp_path / "x.png").write_bytes(png(pixels))
    read = own.read(tmp_path / "x.png")
    assert np.array_equal(read.pixels, pixels)
    assert (read.pixels.dtype, read.white, read.alpha) == (np.uint16, 65535, channels in (2, 4))
    assert np.array_equal(own.read(Path("stdin"), png(pixels)).pixels, pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_color_of_16_bits(tmp_path: Path, channels: int) -> None:
    pixels = deep(4, 6, channels)
    pixels[1, 2] = pixels[3, 3] = pixels[0, 0]
    pixels[2, 2] = pixels[0, 0] ^ 1  # the same but for one bit: not transparent
    (tmp_path / "x.png").write_bytes(png(pixels, b"tRNS" + pixels[0, 0].astype(">u2").tobytes()))
    read = own.read(tmp_path / "x.png")
    assert np.array_equal(read.pixels[..., :-1], pixels)
    assert np.argwhere(read.pixels[..., -1] == 0).tolist() == [[0, 0], [1, 2], [3, 3]]
    assert set(np.unique(read.pixels[..., -1])) == {0, 65535}


def tiff(pixels: np.ndarray, order: str, packed: bool, planes: bool = False) -> bytes:
    """16 bits per channel in one strip, or in one for each plane; big-endian if ``order`` is ``>``."""
    height, width, channels = pixels.shape
    parts = list(np.moveaxis(pixels, 2, 0)) if planes else [pixels]
    strips = [part.astype(f"{order}u2").tobytes() for part in parts]
    strips = [zlib.compress(strip) for strip in strips] if packed else strips
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    starts = np.cumsum([8, *map(len, strips)]).tolist()
    lists = struct.pack(f"{order}{len(strips)}I", *starts[:-1]) + struct.pack(
        f"{order}{len(strips)}I", *map(len, strips)
    )
    after = starts[-1] + len(bits)
    n = len(strips)
    where, sizes = (after, after + 4 * n) if n > 1 else (starts[0], len(strips[0]))
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, starts[-1]), (259, 3, 1, 8 if packed else 1),
        (262, 3, 1, 2), (273, 4, n, where), (277, 3, 1, channels), (278, 4, 1, height), (279, 4, n, sizes),
        (284, 3, 1, 2 if planes else 1), *([(338, 3, 1, 2)] if channels == 4 else []),
    ]  # fmt: skip
    folder = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        folder += struct.pack(f"{order}HHI", tag, kind, count)
        folder += struct.pack(f"{order}HH" if short else f"{order}I", *([value, 0] if short else [value]))
    start = after + len(lists)
    mark = {"<": b"II", ">": b"MM"}[order]
    return mark + struct.pack(f"{order}HI", 42, start) + b"".join(strips) + bits + lists + folder + struct.pack("I", 0)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_of_16_bits_is_read_to_the_last_bit(tmp_path: Path, channels: int, order: str, packed: bool) -> None:
    pixels = deep(40, 33, channels)
    (tmp_path / "x.tif").write_bytes(tiff(pixels, order, packed))
    assert np.array_equal(own.read(tmp_path / "x.tif").pixels, pixels)


def test_a_turned_picture_of_16_bits_is_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = deep(7, 5, 3)
    (tmp_path / "x.png").write_bytes(png(pixels, b"eXIf" + exif.tobytes()[6:]))
    assert np.array_equal(own.read(tmp_path / "x.png").pixels, np.rot90(pixels, -1))


def test_what_pillow_reads_in_another_way_stays_at_8_bits(tmp_path: Path) -> None:
    pixels = deep(9, 8, 3)
    (tmp_path / "planes.tif").write_bytes(tiff(pixels, "<", packed=True, planes=True))
    read = own.read(tmp_path / "planes.tif")
    assert read.pixels.dtype == np.uint8
    assert np.abs(read.pixels - pixels / 257).max() <= 1


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", "<f4", ">f8", "f2"])
@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 1), (5, 4, 2), (5, 4, 3), (5, 4, 4)])
def test_npy(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).uniform(0, 1, shape)
    white = {"u1": 255, "<u2": 65535, ">u2": 65535}.get(dtype, 1)
    array = (values * white).astype(dtype)
    np.save(tmp_path / "x.npy", array)
    read = own.read(tmp_path / "x.npy")
    assert np.array_equal(read.pixels.reshape(shape), array)
    assert (read.white, read.alpha) == (white, len(shape) == 3 and shape[2] in (2, 4))
    (tmp_path / "x.npy").replace(tmp_path / "x.png")  # the content says what it is
    assert np.array_equal(own.read(tmp_path / "x.png").pixels, read.pixels)


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text) + 1) + text.encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (900000000, 3)}"), ": more than "),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (9000, 9000, 3)}"), " (the file is truncated)"),
        (header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 2)}") + b"x" * 99, " (object arrays cannot"),
        (header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2)"), " ("),
        (
            header("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2, 5)}") + bytes(20),
            "x.npy: an array [2, 2, 5]",
        ),
        (b"\x93NUMPY", " ("),
        (b"\x93NUMPY\x09\x09", " ("),
    ],
)
def test_an_array_that_is_none_is_one_line(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(DataError) as e:
        own.read(tmp_path / "x.npy")
    assert str(e.value).startswith(f"{tmp_path / 'x.npy'}: ")
    assert reason.lower() in str(e.value).lower()
    assert "\n" not in str(e.value)


# -- written -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tiff", ".npy"])
def test_16_bits_are_written_to_the_last_bit(tmp_path: Path, channels: int, suffix: str) -> None:
    """What we write is what others read: our own reader, and Pillow."""
    pixels = deep(600, 21, channels)  # more rows than are compressed at once
    path = tmp_path / f"x{suffix}"
    writing.save(Own(pixels, channels in (2, 4), 65535, icc=SRGB if channels > 2 else None), path)
    expected = pixels[..., [0, 0, 0, 1]] if (channels, suffix) == (2, ".tiff") else pixels
    assert np.array_equal(own.read(path).pixels, expected)
    if suffix != ".npy":
        assert own.read(path).icc == (SRGB if channels > 2 else None)
        with Image.open(path) as image:
            image.load()
            assert image.size == (21, 600)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("size", [(24, 1), (1, 24), (1, 1), (5, 3)])
def test_however_the_pixels_lie_in_memory(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    planes = deep(3, *size)
    for pixels in (
        planes.transpose(1, 2, 0),
        np.asfortranarray(planes.transpose(1, 2, 0))[::-1],
        deep(*size, 6)[..., ::2],
    ):
        writing.save(Own(pixels, False, 65535), tmp_path / f"x{suffix}")
        assert np.array_equal(own.read(tmp_path / f"x{suffix}").pixels, pixels)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".avif"])
def test_8_bits_are_what_is_left_in_other_formats(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint16)
    writing.save(Own(ramp, False, 65535), tmp_path / f"x{suffix}")
    assert np.abs(pictures.read(tmp_path / f"x{suffix}") - ramp / 257).mean() < 2


def test_tiff_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.uint16), (40_000, 20_000, 3), (0, 0, 0))
    with pytest.raises(
        DataError, match=r"^the picture: TIFF cannot hold this picture of 20000 x 40000 pixels \(four g"
    ):
        writing.encode(Own(huge, False, 65535), io.BytesIO(), ".tiff")


# -- through the network -----------------------------------------------------------------------------------------------


def test_16_bits_in_16_bits_out(identity: Translator, gray: Translator, tmp_path: Path) -> None:
    color, mono, alpha = deep(13, 9, 3), deep(13, 9, 1), deep(13, 9, 4)
    alpha[..., 3] |= 1
    for name, pixels in (("color", color), ("mono", mono), ("alpha", alpha)):
        (tmp_path / f"{name}.png").write_bytes(png(pixels))
    translate_many(identity, [tmp_path / f"{n}.png" for n in ("color", "mono", "alpha")], tmp_path / "out")
    assert np.array_equal(own.read(tmp_path / "out/color.png").pixels, color)
    assert np.array_equal(own.read(tmp_path / "out/mono.png").pixels, np.repeat(mono, 3, axis=2))
    assert np.array_equal(own.read(tmp_path / "out/alpha.png").pixels, alpha)
    translate_many(gray, [tmp_path / "mono.png"], tmp_path / "gray.tiff")
    with Image.open(tmp_path / "gray.tiff") as image:
        assert image.mode == "I;16"
        assert np.array_equal(np.asarray(image), mono[..., 0])
    assert np.array_equal(identity(color), color)  # arrays too
    assert identity(tmp_path / "color.png").mode == "RGB"  # all that Pillow has
    assert np.abs(np.asarray(identity(tmp_path / "color.png")) - color / 257).max() <= 0.51


@pytest.mark.parametrize("white", [1, 255])
def test_floats_keep_what_the_format_holds(gray: Translator, identity: Translator, tmp_path: Path, white: int) -> None:
    values = np.random.default_rng(0).uniform(0, white, (9, 12)).astype(np.float32)
    Image.fromarray(values).save(tmp_path / "x.tif")
    translate_many(gray, [tmp_path / "x.tif"], tmp_path / "x-out.tiff")
    translate_many(gray, [tmp_path / "x.tif"], tmp_path / "out")
    translate_many(identity, [tmp_path / "x.tif"], tmp_path / "color", format="tiff")
    np.testing.assert_allclose(own.read(tmp_path / "x-out.tiff").pixels[..., 0], values, atol=1e-5 * white)
    with Image.open(tmp_path / "out/x.png") as image:
        assert image.mode == "I;16"
        np.testing.assert_allclose(np.asarray(image) / 65535, values / white, atol=1e-5)
    np.testing.assert_allclose(own.read(tmp_path / "color/x.tiff").pixels[..., 1] / 65535, values / white, atol=1e-5)


def test_arrays_in_files(identity: Translator, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    floats = np.random.default_rng(0).uniform(0, 1, (9, 12, 3)).astype(np.float32)
    np.save(tmp_path / "in/floats.npy", floats)
    np.save(tmp_path / "in/bytes.npy", (floats * 255).astype(np.uint8))
    np.save(tmp_path / "in/labels.npy", np.arange(5))
    done = translate_many(identity, [tmp_path / "in"], tmp_path / "out", format="npy")
    assert len(done.failed) == 1
    assert done.failed[0].startswith(f"{tmp_path / 'in/labels.npy'}: an array [5] is not a picture")
    np.testing.assert_allclose(np.load(tmp_path / "out/floats.npy"), floats, atol=1e-6)
    assert np.array_equal(np.load(tmp_path / "out/bytes.npy"), (floats * 255).astype(np.uint8))
    translate_many(identity, [tmp_path / "in/floats.npy"], tmp_path / "png")
    np.testing.assert_allclose(own.read(tmp_path / "png/floats.png").pixels / 65535, floats, atol=1e-5)


# -- color profiles ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "tiff", "avif"])
def test_the_color_profile_is_kept(identity: Translator, tmp_path: Path, format: str) -> None:
    Image.fromarray((deep(8, 8, 3) >> 8).astype(np.uint8)).save(tmp_path / "x.png", icc_profile=SRGB)
    translate_many(identity, [tmp_path / "x.png"], tmp_path / "out", format=format)
    with Image.open(tmp_path / f"out/x.{format}") as image:
        assert image.info["icc_profile"] == SRGB
    with Image.open(tmp_path / "x.png") as image:
        assert identity(image).info["icc_profile"] == SRGB


def test_a_profile_of_other_colors_is_not(identity: Translator, gray: Translator, tmp_path: Path) -> None:
    """CMYK comes out as RGB, color as gray: their profiles would say nonsense about that."""
    other = SRGB[:16] + b"CMYK" + SRGB[20:]
    Image.new("RGB", (8, 8), "red").convert("CMYK").save(tmp_path / "print.tif", icc_profile=other)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "color.png", icc_profile=SRGB)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "short.png", icc_profile=b"x" * 20)
    for name, translate in (("print.tif", identity), ("color.png", gray), ("short.png", identity)):
        assert "icc_profile" not in translate(tmp_path / name).info
        assert translate_many(translate, [tmp_path / name], tmp_path / "out").failed == []
        with Image.open(tmp_path / "out" / Path(name).with_suffix(".png")) as image:
            assert "icc_profile" not in image.info


# -- formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", sorted(writing.FORMATS))
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_is_written_in_every_format(tmp_path: Path, suffix: str, mode: str) -> None:
    for size in ((1, 1), (5, 3)):
        image = Image.new("L", size, 200).convert("RGBA").convert("RGB" if mode in ("P", "CMYK") else "RGBA")
        image = Image.fromarray(np.full(size[::-1], 51400, np.uint16)) if mode == "I;16" else image.convert(mode)
        writing.save(own.own(image), tmp_path / f"x{suffix}")
        assert np.abs(own.read(tmp_path / f"x{suffix}").eight_bits().convert("L").getpixel((0, 0)) - 200) <= (
            {"1": 55, "P": 5}.get(mode, 3)
        )


def test_quality(identity: Translator, tmp_path: Path) -> None:
    Image.fromarray((deep(64, 64, 3) >> 8).astype(np.uint8)).save(tmp_path / "x.png")
    for format in ("jpg", "webp", "avif"):
        sizes = []
        for quality in (10, None, 100):
            translate_many(
                identity, [tmp_path / "x.png"], tmp_path / "out", format=format, quality=quality, overwrite=True
            )
            sizes.append((tmp_path / f"out/x.{format}").stat().st_size)
        assert sizes == sorted(set(sizes)), format
    for options, said in (
        ({"quality": 50}, "format png: nothing is lost in PNG, so no quality can be chosen: take jpg, webp or avif"),
        ({"quality": 0, "format": "jpg"}, "quality 0: from 1 (small files) to 100"),
        ({"quality": 101, "format": "webp"}, "quality 101: from 1 (small files) to 100"),
    ):
        with pytest.raises(UsageError) as e:
            translate_many(identity, [tmp_path / "x.png"], tmp_path / "new", **options)
        assert str(e.value) == said
    with pytest.raises(UsageError, match=r"x.jpg: is not of the format png: leave one of the two out$"):
        translate_many(identity, [tmp_path / "x.png"], tmp_path / "x.jpg", format="png")


def test_a_pillow_without_avif_says_so(identity: Translator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "x.avif").write_bytes(b"\0\0\0 ftypheic and so on")
    monkeypatch.delitem(Image.SAVE, "AVIF", raising=False)
    with pytest.raises(UsageError, match=r"^format avif: this Pillow .* has no AVIF: pip install -U pillow, 11.3 or"):
        translate_many(identity, [tmp_path / "x.png"], tmp_path / "out", format="avif")
    with pytest.raises(DataError, match=r"x.avif: not a readable picture \(this Pillow .* has no AVIF"):
        identity(tmp_path / "x.avif")

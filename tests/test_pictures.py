"""Every kind of picture file becomes the same kind of array, or one clear line."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from i2i.data import pictures
from i2i.errors import DataError


def checker(height: int = 6, width: int = 10) -> np.ndarray:
    """uint8 [H, W, 3] without any symmetry, saturated enough for every color space."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 40, columns * 25, (rows + columns) * 16], axis=2).astype(np.uint8)


def save(path: Path, picture: Image.Image | np.ndarray, **options: object) -> Path:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(path, **options)
    return path


@pytest.mark.parametrize("name", ["x.png", "x.bmp", "x.tif", "x.ppm", "x.PNG", "x.tga"])
def test_lossless_rgb_is_exact_and_writable(tmp_path: Path, name: str) -> None:
    got = pictures.read(save(tmp_path / name, checker()))
    np.testing.assert_array_equal(got, checker())
    assert got.dtype == np.uint8
    assert got.flags.writeable
    assert got.flags.c_contiguous
    assert Path(name).suffix.lower() in pictures.SUFFIXES


OLD = int(PIL.__version__.partition(".")[0]) < 13  # it cannot read the YCbCr TIFF that it writes itself
YCBCR = pytest.param("YCbCr", marks=pytest.mark.skipif(OLD, reason="a defect of older Pillow"))


@pytest.mark.parametrize("mode", ["CMYK", YCBCR, "LAB", "RGBX"])
def test_color_spaces_come_back_as_rgb(tmp_path: Path, mode: str) -> None:
    flat = Image.new("RGB", (8, 5), (200, 60, 90))
    if mode == "LAB":
        from PIL import ImageCms

        to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
        odd = ImageCms.applyTransform(flat, to_lab)
    else:
        odd = flat.convert(mode)
    path = save(tmp_path / "x.tif", odd)
    assert np.abs(pictures.read(path)[2, 2].astype(int) - (200, 60, 90)).max() <= 3
    gray = pictures.read(path, channels=1)
    assert gray.shape == (5, 8, 1)
    assert abs(int(gray[0, 0, 0]) - 105) <= 3  # 0.299 R + 0.587 G + 0.114 B


def test_hsv_in_memory() -> None:
    got = pictures.to_array(Image.new("RGB", (4, 4), (200, 60, 90)).convert("HSV"))
    assert np.abs(got[0, 0].astype(int) - (200, 60, 90)).max() <= 3


def test_cmyk_jpeg_as_adobe_writes_it(tmp_path: Path) -> None:
    """Adobe stores CMYK inverted and says so in a marker; read wrongly, red comes out as cyan on black."""
    path = save(tmp_path / "x.jpg", Image.new("RGB", (16, 16), (230, 20, 30)).convert("CMYK"), quality=95)
    assert b"Adobe" in path.read_bytes()
    assert np.abs(pictures.read(path)[8, 8].astype(int) - (230, 20, 30)).max() <= 6


def test_palette_with_and_without_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (4, 3))
    image.putpalette([10, 20, 30, 0, 0, 0])
    image.putpixel((1, 0), 1)
    opaque = save(tmp_path / "opaque.png", image)
    np.testing.assert_array_equal(pictures.read(opaque)[0, :2], [[10, 20, 30], [0, 0, 0]])
    see_through = save(tmp_path / "half.png", image, transparency=bytes([255, 0]))
    np.testing.assert_array_equal(pictures.read(see_through)[0, :2], [[10, 20, 30], [255, 255, 255]])
    with Image.open(see_through) as opened:
        alpha = pictures.alpha_of(opened)
    assert alpha is not None
    assert alpha.shape == (3, 4)
    assert alpha[0].tolist() == [255, 0, 255, 255]
    with Image.open(opaque) as opened:
        assert pictures.alpha_of(opened) is None


def test_alpha_is_laid_on_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 3, 4), np.uint8)
    pixels[0, :, 3] = 0, 128, 255
    path = save(tmp_path / "x.png", pixels)
    assert pictures.read(path)[0, :, 0].tolist() == [255, 127, 0]
    assert pictures.read(path, channels=1)[0, :, 0].tolist() == [255, 127, 0]


@pytest.mark.parametrize("mode", ["LA", "La", "PA", "RGBa", "RGBA"])
def test_every_alpha_mode_has_its_alpha(mode: str) -> None:
    source = Image.new("LA", (5, 4), (90, 200))
    if mode == "PA":
        image = Image.new("PA", (5, 4), (1, 200))
        image.putpalette([0, 0, 0, 90, 90, 90])
    else:
        image = source.convert("RGBA").convert("RGBa") if mode == "RGBa" else source.convert(mode)
    alpha = pictures.alpha_of(image)
    assert alpha is not None
    assert (alpha == 200).all()
    expected = round(90 * 200 / 255 + 255 * 55 / 255)
    got = pictures.to_array(image).astype(int)
    assert got.shape == (4, 5, 3)
    assert np.abs(got - expected).max() <= 1


def test_transparent_color_of_plain_png(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", checker(), transparency=(0, 0, 0))
    assert pictures.read(path)[0, 0].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(pictures.read(path)[1:], checker()[1:])


def test_gray_is_repeated_and_bilevel_is_black_and_white(tmp_path: Path) -> None:
    gray = checker()[:, :, 0]
    path = save(tmp_path / "x.png", gray)
    np.testing.assert_array_equal(pictures.read(path), np.repeat(gray[:, :, None], 3, axis=2))
    np.testing.assert_array_equal(pictures.read(path, channels=1), gray[:, :, None])
    bits = save(tmp_path / "bits.png", Image.fromarray(gray > 100))
    np.testing.assert_array_equal(pictures.read(bits)[:, :, 1], np.where(gray > 100, 255, 0))


@pytest.mark.parametrize(("name", "kind"), [("x.png", np.uint16), ("x.tif", np.uint16), ("x.tif", np.int32)])
def test_deep_integers_are_rounded_not_cut(tmp_path: Path, name: str, kind: type) -> None:
    deep = np.array([[0, 128, 129, 257], [32767, 65406, 65407, 65535]], kind)
    got = pictures.read(save(tmp_path / name, deep), channels=1)[:, :, 0]
    assert got.tolist() == [[0, 0, 1, 1], [127, 254, 255, 255]]


def test_deep_integers_out_of_range_are_clipped(tmp_path: Path) -> None:
    path = save(tmp_path / "x.tif", np.array([[-5, 70000]], np.int32))
    assert pictures.read(path, channels=1).ravel().tolist() == [0, 255]


def test_sixteen_bit_rgb_png(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + np.array([65535, 0, 32896], ">u2").tobytes()
    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    path = tmp_path / "x.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    )
    assert pictures.read(path)[0, 0].tolist() == [255, 0, 128]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([0.0, 0.5, 1.0], [0, 128, 255]), ([0.0, 0.5, 254.6], [0, 0, 255]), ([-4.0, np.nan, 1000.0], [0, 0, 255])],
)
def test_float_tiff(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    path = save(tmp_path / "x.tif", np.array([values], np.float32))
    assert pictures.read(path, channels=1).ravel().tolist() == expected


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation(tmp_path: Path, turn: int, suffix: str) -> None:
    """A bright corner must land where every viewer shows it; header and pixels must agree on the size."""
    corner = {1: (0, 0), 2: (0, 1), 3: (1, 1), 4: (1, 0), 5: (0, 0), 6: (0, 1), 7: (1, 1), 8: (1, 0)}[turn]
    pixels = np.zeros((32, 48, 4 if suffix != ".jpg" else 3), np.uint8)
    pixels[:16, :16] = 255
    pixels[..., 3:] = 255
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path / f"x{suffix}", pixels, exif=exif)
    got = pictures.read(path)
    height, width = (32, 48) if turn < 5 else (48, 32)
    assert got.shape == (height, width, 3)
    assert pictures.size(path) == (height, width)
    bright = got[:: height - 1, :: width - 1, 0] > 128
    assert np.argwhere(bright).tolist() == [list(corner)]
    with pictures.opened(path) as image:
        alpha = pictures.alpha_of(image)
        assert (alpha is None) == (suffix == ".jpg")
        assert alpha is None or alpha.shape == (height, width)


def test_unusable_exif_is_no_obstacle(tmp_path: Path) -> None:
    image = Image.fromarray(checker())
    image.info["exif"] = b"Exif\0\0not a TIFF header"
    assert pictures.to_array(image).shape == (6, 10, 3)
    exif = Image.Exif()
    exif[0x0112] = 99
    assert pictures.size(save(tmp_path / "x.png", checker(), exif=exif)) == (6, 10)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    assert pictures.read(tmp_path / "x.gif")[0, 0].tolist() == [255, 0, 0]


def test_the_callers_picture_is_left_alone() -> None:
    image = Image.new("P", (4, 4))
    image.putpalette([10, 20, 30])
    pictures.to_array(image)[:] = 0
    assert image.mode == "P"
    assert image.convert("RGB").getpixel((0, 0)) == (10, 20, 30)


def test_one_or_three_channels_only() -> None:
    with pytest.raises(ValueError, match="channels must be 1 or 3, not 4"):
        pictures.to_array(Image.new("RGB", (2, 2)), channels=4)


def truncated(suffix: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, {".jpg": "JPEG", ".png": "PNG"}[suffix])
    return buffer.getvalue()[:3000]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.jpg", b"", "the file is empty"),
        ("page.jpg", b"<html>404 not found</html>", "not a picture, or of a kind that Pillow does not know"),
        ("cut.jpg", truncated(".jpg"), "the file is truncated"),
        ("cut.png", truncated(".png"), "the file is truncated"),
    ],
)
def test_what_is_not_a_picture_is_named(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        pictures.read(path)
    assert str(error.value) == f"{path}: not a readable picture ({reason})"


def test_every_kind_of_damage_is_a_data_error(tmp_path: Path) -> None:
    """Bytes overwritten anywhere: either a picture of the right shape, or a DataError with one line; nothing else."""
    path, random = tmp_path / "x", np.random.default_rng(1)
    messages = []
    for kind in ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"):
        buffer = io.BytesIO()
        Image.fromarray(checker(24, 24)).save(buffer, kind)
        for _ in range(12):
            damaged = bytearray(buffer.getvalue())
            for at in random.integers(0, len(damaged), 12):
                damaged[at] = random.integers(256)
            path.write_bytes(damaged)
            try:
                assert pictures.read(path).ndim == 3
            except DataError as e:
                messages.append(str(e))
    assert len(messages) > 20
    assert all(m.startswith(f"{path}: ") and "\n" not in m for m in messages)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.png: not a readable picture \(no such file\)"):
        pictures.read(tmp_path / "gone.png")
    with pytest.raises(DataError, match=r"not a readable picture \(it is a folder\)"):
        pictures.size(tmp_path)


def test_decompression_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x.png", Image.new("L", (3000, 1000)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    for look in (pictures.read, pictures.size):
        with pytest.raises(DataError) as error:
            look(path)
        message = str(error.value)
        assert message.startswith(f"{path}: more than 2 million pixels")
        assert "make it smaller" in message
        assert "\n" not in message


def test_a_large_picture_is_read_without_a_warning(tmp_path: Path) -> None:
    path = save(tmp_path / "x.png", Image.new("L", (1500, 1000)))
    code = (
        "import sys; from pathlib import Path; from PIL import Image; from i2i.data import pictures\n"
        "Image.MAX_IMAGE_PIXELS = 1_000_000\n"
        "sys.exit(0 if pictures.read(Path(sys.argv[1])).shape == (1000, 1500, 3) else 1)"
    )
    root = Path(pictures.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")

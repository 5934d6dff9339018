"""Holes in any picture: what is known comes back to the bit, what is hidden has no influence, one way or the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models_for_tests import make_model
from PIL import Image
from typer.testing import CliRunner

import i2i
from i2i import callers, cli, exporting, folder, masks, models, nets, parity, writing
from i2i.errors import DataError, ModelError, UsageError
from i2i.many import translate_many
from i2i.translator import Translator

COLOR = nets.ContextConfig(width=4, halvings=2, blocks=1)
GRAY = COLOR.model_copy(update={"inputs": 1, "outputs": 1})


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    for name, config in {"color": COLOR, "gray": GRAY}.items():
        make_model(root / name, config, gain=0.6)
    make_model(root / "whole", nets.UNetConfig(depth=3, width=4))
    return {path.name: path for path in root.iterdir()}


@pytest.fixture(scope="module")
def fill(places: dict[str, Path]) -> Translator:
    return i2i.load(places["color"])


@pytest.fixture(scope="module")
def fill_gray(places: dict[str, Path]) -> Translator:
    return i2i.load(places["gray"])


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def hole_in(height: int, width: int) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[height // 4 : height // 2, width // 3 : width // 3 + 7] = True
    return hole


# -- every kind of picture ---------------------------------------------------------------------------------------------


def palette() -> Image.Image:
    return Image.fromarray(noise(23, 34)).quantize(32)


def sixteen() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 65536, (23, 34), dtype=np.uint16)


PICTURES: dict[str, tuple[Any, str]] = {
    "gray": (Image.fromarray(noise(23, 34, 1)[..., 0]), "L"),
    "two colors": (Image.fromarray(noise(23, 34, 1)[..., 0]).convert("1"), "L"),
    "color": (Image.fromarray(noise(23, 34)), "RGB"),
    "gray with alpha": (Image.fromarray(noise(23, 34, 2)), "LA"),
    "color with alpha": (Image.fromarray(noise(23, 34, 4)), "RGBA"),
    "palette": (palette(), "RGB"),
    "print": (Image.fromarray(noise(23, 34)).convert("CMYK"), "RGB"),
    "16 bits": (Image.fromarray(sixteen()), "I;16"),
    "32 bits that fit 16": (Image.fromarray(sixteen().astype(np.int32)), "I;16"),
    "32 bits": (Image.fromarray(sixteen().astype(np.int32) * 3 - 40_000), "I"),
    "floats": (Image.fromarray(sixteen().astype(np.float32) / 65535), "F"),
    "floats to 255": (Image.fromarray(sixteen().astype(np.float32) / 257), "F"),
}
ARRAYS: dict[str, np.ndarray] = {
    **{f"bytes of {c}": noise(23, 34, c) for c in (1, 2, 3, 4)},
    "flat bytes": noise(23, 34, 1)[..., 0],
    **{f"float32 of {c}": noise(23, 34, c).astype(np.float32) / np.float32(255.5) for c in (1, 2, 3, 4)},
    **{f"float64 of {c}": noise(23, 34, c) / 255.5 for c in (1, 2, 3, 4)},
    "half": noise(23, 34, 3).astype(np.float16) / np.float16(256),
}


def raw(image: Image.Image) -> np.ndarray:
    """The picture's own numbers, stated once more."""
    if image.mode.startswith(("I", "F")):
        return np.array(image)
    return np.array(image.convert("L" if image.mode == "1" else "RGB") if image.mode in ("1", "P", "CMYK") else image)


@pytest.mark.parametrize("resize", [None, 16, 40])
@pytest.mark.parametrize("model", ["color", "gray"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_comes_back_but_for_its_hole(
    fill: Translator, fill_gray: Translator, name: str, model: str, resize: int | None
) -> None:
    picture, mode = PICTURES[name]
    hole = hole_in(23, 34)
    result = (fill if model == "color" else fill_gray)(picture, mask=hole, resize=resize)
    assert result.mode == mode
    before, after = raw(picture), np.array(result)
    assert after.shape == before.shape
    assert np.array_equal(after[~hole], before[~hole])
    assert (after[hole] != before[hole]).mean() > 0.5
    if mode in ("LA", "RGBA"):
        assert (after[hole][:, -1] == 255).all()


@pytest.mark.parametrize("resize", [None, 16])
@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_but_for_its_hole(fill: Translator, name: str, resize: int | None) -> None:
    picture, hole = ARRAYS[name], hole_in(23, 34)
    before = picture.copy()
    result = fill(picture, mask=hole, resize=resize)
    assert np.array_equal(picture, before), "the picture itself was changed"
    assert (result.shape, result.dtype) == (picture.shape, picture.dtype)
    assert np.array_equal(result[~hole], picture[~hole])
    assert (result[hole] != picture[hole]).mean() > 0.4


def test_what_is_painted_is_as_deep_as_the_picture(fill: Translator) -> None:
    """The same colors, in 8 bits, 16 bits and floats: what is painted differs by the rounding alone."""
    gray, hole = noise(24, 32, 1)[..., 0], hole_in(24, 32)
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    floats = Image.fromarray(gray.astype(np.float32) / 255)
    eight = np.array(fill(Image.fromarray(gray), mask=hole)).astype(float)
    sixteen_bits = np.array(fill(deep, mask=hole)) / 257
    fractions = np.array(fill(floats, mask=hole)) * 255
    assert np.abs(eight - sixteen_bits).max() <= 0.51
    np.testing.assert_allclose(sixteen_bits, fractions, atol=0.01)
    assert len(np.unique(np.array(fill(deep, mask=hole))[hole] % 257)) > 10


def test_a_turned_photo_comes_upright_and_its_mask_too(fill: Translator, tmp_path: Path) -> None:
    pixels, hole = noise(20, 30), hole_in(30, 20)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    result = np.array(fill(tmp_path / "turned.png", mask=hole))
    upright = np.rot90(pixels, -1)
    assert np.array_equal(result[~hole], upright[~hole])
    assert np.array_equal(result, fill(np.ascontiguousarray(upright), mask=hole))


@pytest.mark.parametrize("suffix", ["png", "tiff", "jpg", "webp"])
def test_deep_pictures_are_written_in_every_format(fill: Translator, tmp_path: Path, suffix: str) -> None:
    picture = Image.fromarray(sixteen())
    result = fill(picture, mask=hole_in(23, 34))
    writing.save(result, tmp_path / f"x.{suffix}")
    with Image.open(tmp_path / f"x.{suffix}") as again:
        if suffix in ("png", "tiff"):
            assert np.array_equal(np.array(again), np.array(result))
        else:  # formats of 8 bits and with losses: the same picture, not a clipped one
            assert np.abs(np.array(again.convert("L")) - np.array(result) / 257.0).mean() < 30


def test_floats_do_not_fit_into_png(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.png: PNG cannot hold this picture .*: choose tiff, or make it smaller$"):
        writing.save(Image.fromarray(np.zeros((3, 2), np.float32)), tmp_path / "x.png")


# -- nothing leaks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resize", [None, 12, 50])
@pytest.mark.parametrize("size", [(16, 16), (21, 34), (9, 40)])
def test_what_is_hidden_has_no_influence(fill: Translator, size: tuple[int, int], resize: int | None) -> None:
    """Neither directly nor through the padding or the resizing: a hole at two borders, of a picture that is padded."""
    one, hole = noise(*size), np.zeros(size, bool)
    hole[: size[0] // 2, -size[1] // 2 :] = True
    other = one.copy()
    other[hole] = 255 - other[hole]
    results = [fill(picture, mask=hole, resize=resize) for picture in (one, other)]
    assert np.array_equal(*results)
    assert results[0][hole].std() > 3


@pytest.mark.parametrize("config", [COLOR, COLOR.model_copy(update={"low_resolution": "none"})])
def test_the_network_does_not_look_into_the_hole(config: nets.ContextConfig) -> None:
    torch.manual_seed(0)
    net = nets.build(config)
    nets.initialise(net, "kaiming")
    x = torch.rand(2, 3, 16, 24, requires_grad=True)
    hole = torch.zeros(2, 1, 16, 24)
    hole[:, :, 3:11, 5:20] = 1
    y = net(torch.cat([x, hole], 1))
    (slope,) = torch.autograd.grad(y.square().sum(), x)
    assert not slope[hole.expand_as(x) > 0].any()
    assert slope[hole.expand_as(x) == 0].abs().min() > 0, "what is known is not all looked at"
    filled = torch.where(hole > 0, torch.tensor(float("nan")), x)
    assert torch.equal(net(torch.cat([filled, hole], 1)), y)


# -- masks, boxes, alpha -----------------------------------------------------------------------------------------------


def test_a_mask_in_every_kind_is_one_mask(fill: Translator, tmp_path: Path) -> None:
    picture, hole = noise(23, 34), hole_in(23, 34)
    white = hole.astype(np.uint8) * 255
    expected = fill(picture, mask=hole)
    Image.fromarray(white).save(tmp_path / "mask.png")
    drawn = np.zeros((23, 34, 4), np.uint8)
    drawn[hole] = 255  # white on a transparent layer
    for mask in (
        white, white[..., None], white / 255.0, hole.astype(np.float32), Image.fromarray(white), Image.fromarray(hole),
        Image.fromarray(white).convert("P"), Image.fromarray(white).convert("RGB"), Image.fromarray(drawn),
        Image.fromarray(white.astype(np.uint16) * 257), tmp_path / "mask.png", str(tmp_path / "mask.png"),
        np.where(hole, np.uint8(128), np.uint8(127)),
    ):  # fmt: skip
        assert np.array_equal(fill(picture, mask=mask), expected)


def test_a_box_is_a_mask(fill: Translator) -> None:
    picture, hole = noise(23, 34), np.zeros((23, 34), bool)
    hole[4:9, 10:30] = True
    assert np.array_equal(fill(picture, box=(10, 4, 20, 5)), fill(picture, mask=hole))
    assert np.array_equal(fill(picture, box=(0, 0, 34, 23)), fill(picture, mask=np.ones((23, 34), bool)))


@pytest.mark.parametrize("as_image", [False, True])
def test_what_is_transparent_is_missing(fill: Translator, as_image: bool) -> None:
    picture, hole = noise(23, 34, 4), hole_in(23, 34)
    picture[..., 3] = np.where(hole, 60, 255)
    result = np.array(fill(Image.fromarray(picture) if as_image else picture))
    assert np.array_equal(result[~hole], picture[~hole])
    assert (result[..., 3] == 255).all()
    assert np.array_equal(result[..., :3], fill(np.ascontiguousarray(picture[..., :3]), mask=hole))


def test_an_empty_mask_changes_nothing(fill: Translator) -> None:
    picture = noise(23, 34)
    assert np.array_equal(fill(picture, mask=np.zeros((23, 34), bool)), picture)


def test_several_pictures_have_one_mask(fill: Translator) -> None:
    several, hole = [noise(23, 34, seed=i) for i in range(3)], hole_in(23, 34)
    together = fill(several, mask=hole)
    assert all(np.array_equal(one, fill(p, mask=hole)) for one, p in zip(together, several, strict=True))


WAYS = "a mask (white is filled), a box x,y,width,height, or a picture with transparent parts"
WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, f"this model fills what is missing, and nothing is: give {WAYS}"),
    ({"mask": np.zeros((9, 8), bool)}, "the mask has 8 x 9 pixels, the picture 34 x 23: it covers pixel by pixel"),
    ({"mask": np.zeros((23, 34), bool), "box": (1, 1, 2, 2)}, "a mask and a box: give one of them"),
    ({"box": (30, 0, 5, 5)}, "box 30,0,5,5 does not lie inside the picture of 34 x 23 pixels"),
    ({"box": (0, 20, 5, 4)}, "box 0,20,5,4 does not lie inside the picture of 34 x 23 pixels"),
    ({"box": (-1, 0, 5, 5)}, "box -1,0,5,5 does not lie inside the picture of 34 x 23 pixels"),
    ({"box": (0, 0, 0, 5)}, "box 0,0,0,5 does not lie inside the picture of 34 x 23 pixels"),
    ({"box": (0, 0, 5)}, "box (0, 0, 5): expected four whole numbers: x, y, width, height in pixels"),
    ({"box": (0, 0, 5, 2.5)}, "box (0, 0, 5, 2.5): expected four whole numbers: x, y, width, height in pixels"),
    ({"mask": 3}, "int is no mask: give a path, a PIL image, or an array [H, W] of bool, uint8 or float (0 to 1)"),
    ({"mask": np.zeros((23, 34, 3), np.uint8)}, "uint8 [23, 34, 3] is no mask: give a path, a PIL image, or an array "
     "[H, W] of bool, uint8 or float (0 to 1)"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "said"), WRONG, ids=[said[:30] for _, said in WRONG])
def test_a_wrong_mask_or_box_is_one_clear_line(fill: Translator, where: dict[str, Any], said: str) -> None:
    for picture in (noise(23, 34), Image.fromarray(np.dstack([noise(23, 34), np.full((23, 34), 255, np.uint8)]))):
        with pytest.raises((UsageError, DataError)) as e:
            fill(picture, **where)
        assert str(e.value) == said


def test_a_model_of_whole_pictures_takes_no_mask(places: dict[str, Path], tmp_path: Path) -> None:
    whole = i2i.load(places["whole"])
    Image.fromarray(noise(8, 8)).save(tmp_path / "a.png")
    wheres: tuple[dict[str, Any], ...] = ({"mask": np.ones((8, 8), bool)}, {"box": (0, 0, 1, 1)})
    for where in wheres:
        said = r"^whole: translates whole pictures: leave the mask or box out$"
        with pytest.raises(UsageError, match=said):
            whole(noise(8, 8), **where)
        with pytest.raises(UsageError, match=said):
            translate_many(whole, [tmp_path / "a.png"], tmp_path / "out", **where)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["1,2,3", "1,2,3,4,5", "1,2,x,4", "", "1.5,2,3,4"])
def test_a_box_that_is_none(text: str) -> None:
    with pytest.raises(UsageError) as e:
        masks.read_box(text)
    assert str(e.value) == f"box {text!r}: expected x,y,width,height in pixels, like 10,20,64,48"


# -- one result, however it is asked for -------------------------------------------------------------------------------


def run(*words: Any) -> Any:
    return CliRunner().invoke(cli.app, ["translate", *map(str, words)])


@pytest.mark.parametrize("where", ["mask", "box", "alpha"])
def test_the_command_line_paints_what_python_does(places: dict[str, Path], tmp_path: Path, where: str) -> None:
    picture, hole = noise(23, 34), np.zeros((23, 34), bool)
    hole[4:9, 10:30] = True
    Image.fromarray(hole).save(tmp_path / "mask.png")
    alpha = [np.where(hole, 0, 255).astype(np.uint8)] if where == "alpha" else []
    Image.fromarray(np.dstack([picture, *alpha])).save(tmp_path / "a.png")
    words = {"mask": ["--mask", tmp_path / "mask.png"], "box": ["--box", "10,4,20,5"], "alpha": []}[where]
    done = run(tmp_path / "a.png", "--model", places["color"], "--out", tmp_path / "out", "--device", "cpu", *words)
    assert done.exit_code == 0, done.output
    result = np.array(Image.open(tmp_path / "out" / "a.png"))
    assert np.array_equal(result[..., :3], i2i.load(places["color"], device="cpu")(picture, mask=hole))


def test_the_command_line_says_what_is_wrong_before_it_begins(places: dict[str, Path], tmp_path: Path) -> None:
    Image.fromarray(noise(23, 34)).save(tmp_path / "a.png")
    common = (tmp_path / "a.png", "--model", places["color"], "--out", tmp_path / "out")
    gone = run(*common, "--mask", tmp_path / "gone.png")
    assert isinstance(gone.exception, DataError)
    assert not (tmp_path / "out").exists()
    assert isinstance(run(*common, "--box", "1,2").exception, UsageError)
    outside = run(*common, "--box", "30,0,9,9")
    assert outside.exit_code == 1
    assert f"failed: {tmp_path / 'a.png'}: box 30,0,9,9 does not lie inside" in outside.output


# -- exported ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(places: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exporting.export(places["color"], tmp_path_factory.mktemp("exported") / "onnx")


def test_the_exported_model_paints_the_same(places: dict[str, Path], exported: Path) -> None:
    one, other = i2i.load(places["color"]), i2i.load(exported)
    assert folder.read_info(exported).products["a2b"].masked
    for size in ((16, 16), (23, 34), (64, 40)):
        picture, hole = noise(*size), hole_in(*size)
        expected, result = one(picture, mask=hole), other(picture, mask=hole)
        assert np.array_equal(result[~hole], picture[~hole])
        assert np.abs(result.astype(int) - expected).max() <= 1
        assert (result != expected).mean() <= 0.001


def test_the_program_in_its_readme_runs(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    picture, hole = noise(24, 32), hole_in(24, 32)
    Image.fromarray(picture).save("picture.jpg", quality=100, subsampling=0)
    Image.fromarray(hole).save("mask.png")
    info = folder.read_info(exported)
    (tmp_path / "model.onnx").write_bytes((exported / "model.onnx").read_bytes())
    exec(callers.python(info), {})
    given, result = np.array(Image.open("picture.jpg")), np.array(Image.open("translated.png"))
    assert np.array_equal(result[~hole], given[~hole])
    assert np.abs(result.astype(int) - i2i.load(exported)(given, mask=hole)).max() <= 1
    text = (exported / "README.md").read_text(encoding="utf-8")
    assert "i2i translate picture.jpg --mask mask.png --model" in text
    assert "The last channel of the input is the mask: 1 where the picture is missing, else 0." in text


def test_eight_bits_are_calibrated_with_holes(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / "data").mkdir(exist_ok=True)
        Image.fromarray(np.clip(noise(8, 8, seed=i) / 3 + 80, 0, 255).astype(np.uint8)).resize((64, 64)).save(
            tmp_path / "data" / f"{i}.png"
        )
    make_model(tmp_path / "m", COLOR, dataset=str(tmp_path / "data"), gain=0.2)
    out = exporting.export(tmp_path / "m", tmp_path / "int8", "onnx-int8")
    assert folder.read_info(out).export.proofs["a2b"].psnr > 20
    half = exporting.export(tmp_path / "m", tmp_path / "fp16", "onnx-fp16")
    assert folder.read_info(half).export.proofs["a2b"].psnr > 40


def test_compared_pictures_have_masks_of_zero_and_one() -> None:
    given = parity.with_holes(parity.pictures)(3, 4, (16, 24))
    assert given.shape == (3, 4, 16, 24)
    assert np.array_equal(given[:, :3], parity.pictures(3, 3, (16, 24)))
    assert set(np.unique(given[:, 3])) == {0, 1}
    assert all(0 < mask.mean() < 0.5 for mask in given[:, 3])
    assert not np.array_equal(parity.holes(1, (16, 24), 1), parity.holes(1, (16, 24), 2))


# -- the folder --------------------------------------------------------------------------------------------------------


def test_the_folder_says_that_it_fills(places: dict[str, Path]) -> None:
    assert dict(models.show(places["color"]))["fills"] == "what a mask or a box marks, or what is transparent"
    assert "fills" not in dict(models.show(places["whole"]))
    text = (places["color"] / "README.md").read_text(encoding="utf-8")
    assert "i2i translate picture.jpg --mask mask.png --model path/to/this/folder" in text
    assert 'translate("picture.jpg", mask="mask.png")' in text
    assert "mask" not in (places["whole"] / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"masked": False}, "a2b: masked is False, but its network has True: correct it there"),
        ({"scale": 2}, "what fills holes gives pictures of the size and the channels that it takes"),
        ({"channels": [3, 1]}, "what fills holes gives pictures of the size and the channels that it takes"),
    ],
)
def test_a_description_that_its_network_contradicts(tmp_path: Path, facts: dict[str, Any], said: str) -> None:
    make_model(tmp_path / "m", COLOR)
    path = tmp_path / "m" / "i2i.json"
    tree = json.loads(path.read_text())
    tree["products"]["a2b"].update(facts)
    path.write_text(json.dumps(tree))
    with pytest.raises(ModelError) as e:
        i2i.load(tmp_path / "m")
    assert said in str(e.value)

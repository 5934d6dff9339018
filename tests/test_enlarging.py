"""A model that enlarges, from the trained folder to the picture: exported, called, given any kind of picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from models_for_tests import make_model
from PIL import Image

import i2i
from i2i import callers, cli, exporting, folder, kinds, nets, parity
from i2i.errors import DataError
from i2i.run_onnx import OnnxEngine
from i2i.translator import Translator

ROOT = Path(__file__).parents[1]
BY_4 = nets.SRResNetConfig(scale=4, blocks=1, width=8)


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def make(path: Path, config: nets.SRResNetConfig = BY_4) -> Path:
    make_model(path, config, norm="running", settled=True, gain=0.06, method="srresnet", dataset="none")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("enlarging") / "m")


@pytest.fixture(scope="module")
def exported(model: Path) -> Path:
    return exporting.export(model)


# -- exported ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 8])
def test_other_scales_are_exported_with_parity(scale: int, tmp_path: Path) -> None:
    make(tmp_path / "m", BY_4.model_copy(update={"scale": scale, "inputs": 1, "outputs": 1}))
    out = exporting.export(tmp_path / "m")
    pixels = noise(9, 14, 1)
    expected, result = i2i.load(tmp_path / "m")(pixels), i2i.load(out)(pixels)
    assert result.shape == (9 * scale, 14 * scale, 1)
    assert np.abs(result.astype(int) - expected).max() <= 1


def test_the_exported_network_takes_any_size(model: Path, exported: Path) -> None:
    torch_one, onnx_one = i2i.load(model), i2i.load(exported)
    assert isinstance(onnx_one.engine, OnnxEngine)
    for size in ((1, 1), (8, 8), (17, 40), (64, 24)):
        pixels = noise(*size)
        expected, result = torch_one(pixels), onnx_one(pixels)
        assert result.shape == expected.shape == (4 * size[0], 4 * size[1], 3)
        assert np.abs(result.astype(int) - expected).max() <= 1
        assert size == (1, 1) or result.std() > 10  # there is something to compare
    graph = onnx.load(exported / "model.onnx").graph
    dims = [[d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*graph.input, *graph.output)]
    assert dims[0][0] == dims[1][0] == "batch"
    assert dims[0][1:] == [3, "height", "width"]
    assert dims[1][1] == 3
    assert all(isinstance(d, str) for d in dims[1][2:])
    x = parity.pictures(3, 3, (12, 20))
    together = onnx_one.engine.run(x)
    for i in range(3):
        np.testing.assert_allclose(together[i : i + 1], onnx_one.engine.run(x[i : i + 1]), atol=2e-5)


def test_it_is_compared_at_the_size_that_it_takes(exported: Path) -> None:
    info = folder.read_info(exported)
    assert info.size == (64, 64)  # of the large pictures that it learned from
    assert info.export.sizes == parity.sizes((16, 16), 1)
    assert info.export.sizes[0] == (16, 16)
    assert info.export.proofs["a2b"].max <= 1e-4


def test_the_readme_says_how_much_larger_and_its_caller_runs(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (exported / "README.md").read_text()
    assert "the result is 4 times as large" in text
    assert "The output is 4 times as high and as wide as the input." in text
    code = text.split("```python\n")[1].split("```")[0]
    assert "multiples" not in code
    assert code == callers.python(folder.read_info(exported))
    (tmp_path / "model.onnx").write_bytes((exported / "model.onnx").read_bytes())
    Image.fromarray(noise(21, 30)).save(tmp_path / "picture.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    with Image.open("translated.png") as image:
        result = np.asarray(image).astype(int)
    assert result.shape == (84, 120, 3)
    assert np.abs(result - np.asarray(i2i.load(exported)("picture.jpg"))).max() <= 1


def test_smaller_numbers(model: Path, pictures: Path, tmp_path: Path) -> None:
    half = exporting.export(model, tmp_path / "half", "onnx-fp16")
    assert folder.read_info(half).export.proofs["a2b"].psnr > 55
    short = exporting.export(model, tmp_path / "short", "onnx-int8", calibrate=pictures)
    facts = folder.read_info(short).export
    assert facts.calibrated == 5
    assert facts.proofs["a2b"].psnr > 30
    for out in (half, short):
        assert i2i.load(out)(noise(10, 11)).shape == (40, 44, 3)


# -- translated --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["torch", "onnx"])
def enlarge(request: pytest.FixtureRequest, model: Path, exported: Path) -> Translator:
    return i2i.load(model if request.param == "torch" else exported)


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("RGB", "RGB"), ("L", "RGB"), ("1", "RGB"), ("P", "RGB"), ("I;16", "RGB"), ("RGBA", "RGBA"), ("LA", "RGBA")],
)
def test_every_kind_of_picture_comes_back_four_times_as_large(enlarge: Translator, mode: str, expected: str) -> None:
    image = Image.fromarray(noise(9, 12))
    given = sixteen_bits(image) if mode == "I;16" else image.convert(mode)
    assert given.mode == mode
    result = enlarge(given)
    assert (result.mode, result.size) == (expected, (48, 36))
    if mode == "I;16":  # nothing but its upper eight bits is lost
        assert np.array_equal(np.asarray(result), np.asarray(enlarge(image.convert("L"))))


def test_alpha_is_enlarged_with_the_picture(enlarge: Translator) -> None:
    pixels = noise(10, 12, 4)
    pixels[..., 3] = np.tile(np.linspace(40, 250, 12).round(), (10, 1))
    for given in (pixels, Image.fromarray(pixels)):
        result = np.asarray(enlarge(given))
        assert result.shape == (40, 48, 4)
        assert np.array_equal(result[..., :3], np.asarray(enlarge(pixels[..., :3])))
        alpha = result[..., 3].astype(float)
        inner = (np.arange(8, 40) + 0.5) / 4 - 0.5
        np.testing.assert_allclose(alpha[:, 8:40], np.tile(40 + inner * 210 / 11, (40, 1)), atol=1.5)
        assert (np.diff(alpha[0]) >= 0).all()
    for level in (0, 128, 255):
        pixels[..., 3] = level
        assert (enlarge(pixels)[..., 3] == level).all()


def test_hard_alpha_does_not_run_over(enlarge: Translator) -> None:
    pixels = noise(8, 8, 4)
    pixels[..., 3] = 0
    pixels[:, 4:, 3] = 255
    eight = enlarge(pixels)[..., 3]
    assert (eight[:, :8] <= 10).all()  # an overshoot that wrapped around would be near 255
    assert (eight[:, 24:] >= 245).all()
    floats = enlarge((pixels / 255).astype(np.float32))
    assert floats.dtype == np.float32
    assert floats.shape == (32, 32, 4)
    assert floats.min() >= 0
    assert floats.max() <= 1
    np.testing.assert_allclose(floats * 255, enlarge(pixels), atol=1)


def test_alpha_of_an_equal_size_is_not_touched() -> None:
    taken = kinds.take(noise(5, 6, 4), 3)
    assert np.array_equal(kinds.give(taken, np.zeros((5, 6, 3), np.float32))[..., 3], taken.alpha)


def test_resize_changes_the_work_but_not_the_size_of_the_answer(enlarge: Translator) -> None:
    pixels = np.asarray(Image.fromarray(noise(6, 8)).resize((40, 30)))
    plain = enlarge(pixels)
    for short in (15, 30, 45):
        result = enlarge(pixels, resize=short)
        assert result.shape == plain.shape == (120, 160, 3)
        assert np.array_equal(result, plain) == (short == 30)
    assert enlarge(noise(9, 5, 4), resize=10).shape == (36, 20, 4)


def test_a_list_of_several_sizes(enlarge: Translator) -> None:
    given = [noise(9, 12), noise(20, 8, seed=1), noise(9, 12, seed=2)]
    results = enlarge(given)
    assert [r.shape for r in results] == [(36, 48, 3), (80, 32, 3), (36, 48, 3)]
    for one, result in zip(given, results, strict=True):
        assert np.abs(enlarge(one).astype(int) - result).max() <= 1


def test_the_command(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    Image.fromarray(noise(9, 12)).save(tmp_path / "x.png")
    Image.fromarray(noise(10, 10, 4)).save(tmp_path / "y.png")
    words = ["translate", str(tmp_path / "x.png"), str(tmp_path / "y.png"), "--model", str(model), "--sheet"]
    for more in ([], ["--resize", "5"]):
        monkeypatch.setattr(sys, "argv", ["i2i", *words, "--out", str(tmp_path / f"out{len(more)}"), *more])
        with pytest.raises(SystemExit) as e:
            cli.main()
        assert (e.value.code or 0, capsys.readouterr().err) == (0, "")
        for name, mode, size in (("x", "RGB", (48, 36)), ("y", "RGBA", (40, 40))):
            with Image.open(tmp_path / f"out{len(more)}" / f"{name}.png") as image:
                assert (image.mode, image.size) == (mode, size)


def test_it_enlarges_without_torch(exported: Path, tmp_path: Path) -> None:
    Image.fromarray(noise(9, 12)).save(tmp_path / "x.png")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import i2i\n"
        f"print(i2i.load({str(exported)!r})({str(tmp_path / 'x.png')!r}).size)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == ("(48, 36)", "")


def test_too_little_memory_is_one_line(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translate = i2i.load(model)

    def full(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(translate.engine, "net", full)
    with pytest.raises(DataError, match=r"^12 x 9 pixels are too many for the memory of cpu: make it smaller"):
        translate(noise(9, 12))

"""A file that takes raw pixels gives the pictures of i2i translate, of any size, and says so only if it does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from exports_for_tests import doubled, graph_of, make_exported, mirrored
from models_for_tests import make_model
from onnx import helper
from PIL import Image

import i2i
from i2i import cli, exporting, folder, kinds, nets, pixels
from i2i.errors import ModelError, UsageError

SIZES = ((1, 1), (1, 40), (5, 9), (17, 40), (64, 64), (66, 71))


def session(model: onnx.ModelProto | Path) -> onnxruntime.InferenceSession:
    what = model if isinstance(model, Path) else model.SerializeToString()
    return onnxruntime.InferenceSession(what, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto | Path, x: np.ndarray) -> np.ndarray:
    return session(model).run(["translated"], {"pixels": x})[0]


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


# ---------------------------------------------------------------- the graph by itself


def test_every_level_comes_back():
    same = graph_of([helper.make_node("Identity", ["input"], ["output"])], (3, 3))
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    assert np.array_equal(run(pixels.wrapped(same, 32), levels), levels)


def test_values_are_rounded_half_to_even_and_clipped():
    """The network answers with the values between two levels, whatever it is given."""
    between = (np.arange(5, dtype=np.float32) + 0.5) / 127.5 - 1
    values = np.concatenate([np.array([-9, -1, 9], np.float32), between])
    nodes = [
        helper.make_node("Mul", ["input", "none"], ["nothing"]),
        helper.make_node("Add", ["nothing", "values"], ["output"]),
    ]
    fixed = graph_of(nodes, (1, 1), none=np.zeros(1, np.float32), values=values[None, None, None])
    answer = run(pixels.wrapped(fixed, 1), np.zeros((1, 8, 8, 1), np.uint8))[0, 0, :, 0]
    taken = kinds.take(np.zeros((1, 8), np.uint8), 1)
    assert np.array_equal(answer, kinds.give(taken, values[None, :, None])[0])
    assert list(answer[:3]) == [0, 0, 255]


@pytest.mark.parametrize("multiple", [1, 4, 32])
def test_what_the_network_sees_is_what_the_translator_pads(multiple):
    """A network that answers with its own borders cannot hide them: its whole input is one more output here."""
    same = graph_of([helper.make_node("Identity", ["input"], ["output"])], (3, 3))
    inside = pixels.wrapped(same, multiple)
    inside.graph.output.append(helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, None))
    seen = {}

    class Engine:
        batch = 1

        def run(self, x):
            return seen.setdefault("x", x)

    info = folder.Info(
        name="x", method="none", dataset="none", size=(8, 8), images=0, default="a2b",
        inference=folder.Inference(norm="running", dropout=False),
        products={"a2b": folder.Product(source="a", target="b", generator={}, multiple=multiple)},
    )  # fmt: skip
    for size in SIZES:
        seen.clear()
        x = picture(*size)
        i2i.Translator(Engine(), info, "a2b")(x)
        answer, given = session(inside).run(["translated", "input"], {"pixels": x[None]})
        assert np.array_equal(given, seen["x"])
        assert np.array_equal(answer[0], x)


def test_a_larger_answer_is_cropped_at_its_own_scale():
    x = picture(5, 11)
    assert np.array_equal(run(pixels.wrapped(doubled(), 4, 2), x[None])[0], x.repeat(2, axis=0).repeat(2, axis=1))


def test_the_graph_says_what_it_takes():
    model = pixels.wrapped(mirrored((1, 3)), 4)
    onnx.checker.check_model(model, full_check=True)
    (given,), (answer,) = session(model).get_inputs(), session(model).get_outputs()
    assert (given.name, given.type, given.shape) == ("pixels", "tensor(uint8)", ["batch", "rows", "columns", 1])
    assert (answer.name, answer.type, answer.shape[3]) == ("translated", "tensor(uint8)", 3)


# ---------------------------------------------------------------- the engine


@pytest.mark.parametrize("channels", [(3, 3), (1, 3), (3, 1)])
def test_the_translator_gives_the_same_pictures_from_either_file(tmp_path, channels):
    make_exported(tmp_path / "floats", mirrored(channels))
    make_exported(tmp_path / "raw", mirrored(channels), raw=True)
    floats, raw = i2i.load(tmp_path / "floats"), i2i.load(tmp_path / "raw")
    for c in (1, 2, 3, 4):
        difference = np.abs(raw(picture(13, 30, c)).astype(int) - floats(picture(13, 30, c)))
        to_gray = channels[0] == 1 and c > 2  # an array in color becomes gray between two levels: rounded here
        assert difference.max() <= (1 if to_gray else 0)
    shown = Image.fromarray(picture(13, 30))
    assert np.array_equal(np.asarray(raw(shown)), np.asarray(floats(shown)))
    several = [picture(*size, channels[0], seed) for seed, size in enumerate(((9, 9), (9, 9), (20, 4)))]
    assert all(np.array_equal(a, b) for a, b in zip(raw(several), floats(several), strict=True))
    values = np.random.default_rng(0).uniform(0, 1, (13, 30, 3))
    assert np.abs(raw(values) - floats(values)).max() <= 1.5 / 255  # rounded on the way in and on the way out


def test_a_file_that_is_not_what_its_description_says(tmp_path):
    for raw, kind in ((True, "float"), (False, "uint8")):
        place = tmp_path / kind
        make_exported(place, raw=raw)
        path = place / "i2i.json"
        path.write_text(path.read_text().replace(f'"pixels": {str(raw).lower()}', f'"pixels": {str(not raw).lower()}'))
        with pytest.raises(ModelError, match=f"does not fit i2i.json: .* 3 and 3 channels in {kind} are expected"):
            i2i.load(place)


# ---------------------------------------------------------------- the export


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    """A trained model, and its network as ONNX."""
    model = tmp_path_factory.mktemp("pixels") / "m"
    make_model(model, nets.UNetConfig(depth=3, width=4), settled=True)
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        original = exporting.to_onnx
        patch.setattr(exporting, "to_onnx", lambda *a: kept.append(original(*a)) or kept[-1])
        out = exporting.export(model, pixels=True)
    return model, out, kept[0]


@pytest.fixture
def as_made(made, monkeypatch):
    def noted(*_):
        model = onnx.ModelProto()
        model.CopyFrom(made[2])
        return model

    monkeypatch.setattr(exporting, "to_onnx", noted)
    return made


def test_pictures_are_those_of_torch(made):
    model, out, _ = made
    assert out.name == "m-onnx-pixels"
    torch_one, raw_one = i2i.load(model), i2i.load(out)
    for size in SIZES:
        x = picture(*size)
        expected = torch_one(x).astype(int)
        assert expected.shape == (*size, 3)
        for answer in (run(out / "model.onnx", x[None])[0], raw_one(x)):
            assert np.abs(answer - expected).max() <= 1
    together = run(out / "model.onnx", np.stack([picture(9, 20), picture(9, 20, seed=1)]))
    assert np.abs(together[1] - torch_one(picture(9, 20, seed=1)).astype(int)).max() <= 1


def test_what_was_found_is_said(made):
    _, out, _ = made
    info = folder.read_info(out)
    proof = info.export.proofs["a2b"]
    assert (info.export.target, info.export.pixels) == ("onnx-pixels", True)
    assert info.export.picture_sizes == ((1, 1), (7, 16), (9, 17), (16, 16))
    assert (proof.levels, proof.differing) == (0, 0)
    assert proof.bytes == (out / "model.onnx").stat().st_size
    assert proof.max <= 1e-4  # of the network inside
    said = "model.onnx: raw pixels of 1x1, 7x16, 9x17, 16x16: the very pictures of i2i translate"
    assert f"{said}.\n" in (out / "README.md").read_text()
    raw = (out / "model.onnx").read_bytes()
    assert b"stack_trace" not in raw
    assert b".py" not in raw


def test_the_command(as_made, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["i2i", "export", str(as_made[0]), "--pixels", "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as e:
        cli.main()
    assert not e.value.code
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("model.onnx: raw pixels of 1x1, ")


@pytest.mark.parametrize("kind", ["fp16", "int8"])
def test_with_smaller_numbers_inside(as_made, tmp_path, pairs, kind):
    target = tmp_path / "mine.yaml"
    target.write_text(f"about: x\nopset: 18\nprecision: {kind}\ntolerance: 2.0\npixels: true\ncalibrate: 3\n")
    out = exporting.export(as_made[0], tmp_path / "out", target, calibrate=pairs if kind == "int8" else None)
    facts = folder.read_info(out).export
    assert (facts.target, facts.pixels, facts.proofs["a2b"].levels) == ("mine", True, 0)
    x = picture(13, 30)
    assert np.abs(run(out / "model.onnx", x[None])[0] - i2i.load(as_made[0])(x).astype(int)).mean() < 8


def test_other_pictures_are_refused(as_made, tmp_path, monkeypatch):
    original = pixels.wrapped
    monkeypatch.setattr(pixels, "wrapped", lambda model, multiple, scale: original(model, 2 * multiple, scale))
    with pytest.raises(ModelError, match=r"a2b: raw pixels give pictures that differ by \d+ of 255 levels from those "):
        exporting.export(as_made[0], tmp_path / "out", pixels=True)
    assert list(tmp_path.iterdir()) == []


def test_what_fills_holes_takes_no_raw_pixels(tmp_path):
    make_model(tmp_path / "m", nets.ContextConfig(width=4))
    with pytest.raises(UsageError, match=r"m: fills holes: raw pixels have no place for its mask, .* than onnx-pixels"):
        exporting.export(tmp_path / "m", pixels=True)


def test_differences_are_counted(tmp_path):
    onnx.save(pixels.wrapped(mirrored(), 4), tmp_path / "x.onnx")

    def one_off(x):
        y = run(tmp_path / "x.onnx", x[None])[0].astype(int)
        y[0, 0, 0] += 2 if y[0, 0, 0] < 128 else -2
        return y

    found = pixels.compare(one_off, tmp_path / "x.onnx", 3, ((5, 4), (5, 4)))
    assert (found.max, found.differing) == (2, 1 / 60)
    other = pixels.compare(lambda x: np.zeros((1, 1, 3), int), tmp_path / "x.onnx", 3, ((5, 4),))
    assert other.max == 255

"""An exported model that draws pictures draws those of the torch network, or it does not come into being."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from models_for_tests import make_sampler
from onnx import numpy_helper
from PIL import Image
from small import small_recipe, train_small

import i2i as toolkit
from i2i import callers, exporting, exporting_sampler, folder, nets, parity, shipped
from i2i.bound import Bound
from i2i.draw_onnx import OnnxSampler
from i2i.errors import ModelError, UsageError
from i2i.latents import Latent
from i2i.zoo import ZOO

ROOT = Path(__file__).parent.parent
NETWORKS = {
    "dcgan": (nets.DCGANConfig(width=8, size=(8, 12), classes=3, spectral=True), Latent(noise=8)),
    "conditional": (nets.DCGANConfig(width=8, size=(8, 12), classes=3, norm="conditional"), Latent(noise=8)),
    "biggan": (
        nets.SNGANConfig(
            width=16, most=2, size=(16, 24), classes=3, norm="conditional", embedding=6, chunks=True, spectral=True,
            attention=2,
        ),
        Latent(noise=10),
    ),
    "mlp": (
        nets.MLPConfig(width=16, layers=2, size=(8, 10), outputs=1),
        Latent(noise=4, prior="uniform", choices=(3, 300), codes=2),
    ),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, tuple[Path, Path, onnx.ModelProto]]:
    """By name: the model, what was exported of it, and the ONNX network with the exporter's notes."""
    found, kept, original = {}, [], exporting_sampler.sampler_to_onnx
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting_sampler, "sampler_to_onnx", lambda *a: kept.append(original(*a)) or kept[-1])
        for name, (config, latent) in NETWORKS.items():
            root = tmp_path_factory.mktemp("export")
            make_sampler(root / "m", config, latent)
            found[name] = (root / "m", exporting.export(root / "m"), kept[-1])
    return found


@pytest.fixture
def as_made(made, monkeypatch):
    """Exports again what was exported before, changed by a function: without waiting for torch."""

    def as_made(name, change=lambda model: None):
        model = onnx.ModelProto()
        model.CopyFrom(made[name][2])
        change(model)
        monkeypatch.setattr(exporting_sampler, "sampler_to_onnx", lambda *a: model)
        return made[name][0]

    return as_made


def arrays(pictures) -> np.ndarray:
    return np.stack([np.asarray(p).astype(int) for p in pictures])


def nearly(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.std() > 10 and np.abs(a - b).max() <= 1 and (a != b).mean() < 0.001


@pytest.mark.parametrize("name", NETWORKS)
def test_both_engines_draw_the_same(made, name):
    model, out, _ = made[name]
    ours, theirs = toolkit.load(model), toolkit.load(out)
    assert isinstance(theirs.engine, OnnxSampler)
    assert nearly(arrays(ours(70, seed=3)), arrays(theirs(70, seed=3)))
    theirs.engine.batch = 3
    assert nearly(arrays(ours(7, seed=3)), arrays(theirs(7, seed=3)))


def test_on_bound_buffers_it_draws_the_same(made):
    """As on a GPU, in the memory of the CPU: latents and classes too have buffers."""
    theirs = toolkit.load(made["dcgan"][1], device="cpu")
    expected = arrays(theirs(5, seed=3))
    theirs.engine.bound = Bound(theirs.engine.session, "cpu")
    assert np.array_equal(arrays(theirs(5, seed=3)), expected)
    assert list(theirs.engine.bound.last) == [((5, 8), (5,))]


def test_styles_are_exported_with_all_that_can_be_asked_of_them(tmp_path, monkeypatch):
    styles = nets.StyleGAN2Config(width=8, most=1, layers=2, style=8, size=(8, 12))
    make_sampler(tmp_path / "m", styles, Latent(noise=8))
    out = exporting.export(tmp_path / "m")
    file = onnx.load(out / "model.onnx")
    assert [value.name for value in file.graph.input] == ["z", "truncation"]
    assert not {node.op_type for node in file.graph.node} & {"RandomNormal", "RandomNormalLike", "RandomUniform"}
    ours, theirs = toolkit.load(tmp_path / "m"), toolkit.load(out)
    for asked in ({}, {"truncation": 0.5}, {"mix": 2}, {"mix": 1, "truncation": 0.7}):
        assert nearly(arrays(ours(7, seed=3, **asked)), arrays(theirs(7, seed=3, **asked)))
    text = (out / "README.md").read_text()
    assert "Input `z` is float32 [batch, 4, 8]: 8 normal values. Each of 4 layers has its own. Input `trunc" in text
    code = callers.drawing(folder.read_info(out).sampler)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("model.onnx").symlink_to(out / "model.onnx")
    exec(compile(code, "README.md", "exec"), {})
    assert nearly(arrays(map(Image.open, sorted(Path().glob("*.png")))), arrays(theirs(16, seed=0)))


def of_their_kind() -> list:
    """The methods that draw; those that share class and network with another one take their time under slow."""
    seen: set = set()
    found = []
    for name, method in sorted(ZOO.items()):
        generator = getattr(method.Config(), "generator", None)
        kind = (method.__mro__[1], getattr(generator, "net", name))
        found.append(pytest.param(name, marks=pytest.mark.slow if kind in seen else ()))
        seen.add(kind)
    return found


@pytest.mark.parametrize("name", of_their_kind())
def test_every_method_of_the_zoo_exports_what_it_draws_with(name, tmp_path, digits):
    run = train_small(tmp_path / "run", small_recipe(name, digits, images=4, data={"batch": 2}))
    out = exporting.export(run)
    assert out == run / "onnx"
    ours, theirs = toolkit.load(run), toolkit.load(out)
    assert folder.read_info(out).export.proofs["sampler"].max <= 1e-4
    assert np.abs(arrays(ours(7, seed=3)) - arrays(theirs(7, seed=3))).max() <= 1


@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_proven_is_in_the_folder(made, name):
    model, out, _ = made[name]
    info, before = folder.read_info(out), folder.read_info(model)
    facts = info.export
    assert out == model.with_name("m-onnx")
    assert (facts.batches, facts.latents, facts.sizes, facts.opset) == ((1, 3), 16, (before.sampler.size,), 18)
    proof = facts.proofs["sampler"]
    assert 0 < proof.mean < proof.max <= facts.tolerance == 1e-4
    assert proof.bytes == (out / "model.onnx").stat().st_size
    assert info.sampler == before.sampler.model_copy(update={"file": "model.onnx"})
    assert sorted(p.name for p in out.iterdir()) == ["README.md", "i2i.json", "model.onnx"]
    lines = shipped.summary(info)
    assert lines[0].startswith("model.onnx: ")
    assert lines[1:] == ["compared on 16 latents, 1 and 3 at once"]
    assert str(ROOT).encode() not in (out / "model.onnx").read_bytes()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_has_a_free_batch_and_no_work_that_training_left(made, name):
    file = onnx.load(made[name][1] / "model.onnx")
    onnx.checker.check_model(file, full_check=True)
    classes = NETWORKS[name][0].classes
    assert [value.name for value in file.graph.input] == (["z", "labels"] if classes else ["z"])
    for value in (*file.graph.input, *file.graph.output):
        dims = value.type.tensor_type.shape.dim
        assert [bool(d.dim_param) for d in dims] == [True] + [False] * (len(dims) - 1)
    assert {node.op_type for node in file.graph.node} <= {
        "Add", "BatchNormalization", "Cast", "Concat", "Conv", "ConvTranspose", "Equal", "Gather", "Gemm", "LeakyRelu",
        "MatMul", "Mul", "Relu", "Reshape", "Resize", "Softmax", "Split", "Tanh", "Transpose", "Unsqueeze",
    }  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_program_beside_it_draws_what_i2i_draws(made, name, tmp_path, monkeypatch):
    out = made[name][1]
    code = callers.drawing(folder.read_info(out).sampler)
    assert f"```python\n{code}```\n" in (out / "README.md").read_text()
    assert code.count("\n") <= 11
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").symlink_to(out / "model.onnx")
    exec(compile(code, "README.md", "exec"), {})
    files = sorted(tmp_path.glob("*.png"))
    assert [f.name for f in files] == [f"{i:05}.png" for i in range(16)]
    assert nearly(arrays(map(Image.open, files)), arrays(toolkit.load(out)(16, seed=0)))


def test_the_readme(made):
    text = (made["dcgan"][1] / "README.md").read_text()
    for words in (
        "A model that draws color pictures of 8 x 12, of 3 classes, from 8 normal values.",
        "Input `z` is float32 [batch, 8]: 8 normal values. Input `labels` is int64 [batch]: which of the classes 0 to",
        "The output is float32 [batch, 3, 8, 12] from -1 to 1; the batch is free.",
        "Compared with the torch network on 16 latents, 1 and 3 at once:",
        "i2i generate -n 64 --seed 0 --label 2 --sheet --model path/to/this/folder",
    ):
        assert words in text
    assert "translate" not in text


def test_without_torch_it_draws(made, tmp_path):
    out = made["dcgan"][1]
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'safetensors', 'onnx', 'accelerate'): sys.modules[name] = None\n"
        "from i2i.cli import main\n"
        f"sys.argv = ['i2i', 'generate', '-n', '3', '--model', '{out}', '--out', '{tmp_path}/drawn']\n"
        "main()\n"
        f"sys.argv = ['i2i', 'generate', '-n', '3', '--model', '{out}', '--out', '{tmp_path}/s.png', '--sheet']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code.replace("main()\n", "try: main()\nexcept SystemExit: pass\n")],
        cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert nearly(arrays(map(Image.open, sorted((tmp_path / "drawn").iterdir()))), arrays(toolkit.load(out)(3)))
    assert (tmp_path / "s.png").is_file()


def damage(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "ConvTranspose")
    (weight,) = [t for t in model.graph.initializer if t.name == node.input[1]]
    array = numpy_helper.to_array(weight).copy()
    array += 0.5
    weight.CopyFrom(numpy_helper.from_array(array, weight.name))


def test_a_wrong_layer_is_named_and_nothing_is_kept(as_made, tmp_path):
    model = as_made("dcgan", damage)
    with pytest.raises(ModelError) as e:
        exporting.export(model, tmp_path / "out")
    assert str(e.value).startswith(f"{model}: the exported network differs from torch by ")
    assert " at once, from latent " in str(e.value)
    assert "the target onnx allows 0.0001; worst layer: model." in str(e.value)
    assert str(e.value).endswith("; nothing was kept")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision(as_made, made, name, tmp_path):
    out = exporting.export(as_made(name), tmp_path / "half", target="onnx-fp16")
    facts = folder.read_info(out).export
    assert (facts.precision, facts.latents) == ("fp16", 16)
    assert 55 < facts.proofs["sampler"].psnr < 100
    files = (onnx.load(place / "model.onnx") for place in (out, made[name][1]))
    halved, whole = (sum(len(t.raw_data) for t in file.graph.initializer) for file in files)
    assert halved < 0.6 * whole
    assert np.abs(arrays(toolkit.load(out)(5)) - arrays(toolkit.load(made[name][1])(5))).max() < 8


@pytest.mark.parametrize("name", NETWORKS)
def test_eight_bits(as_made, made, name, tmp_path, capfd):
    out = exporting.export(as_made(name), tmp_path / "small", target="onnx-int8")
    assert capfd.readouterr() == ("", "")
    info = folder.read_info(out)
    assert (info.export.precision, info.export.calibrated) == ("int8", 32)
    assert 30 < info.export.proofs["sampler"].psnr < 70
    assert "calibrated with 32 latents, compared on others" in shipped.summary(info)
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(out / "model.onnx").graph.initializer}
    graph = onnx.load(made[name][1] / "model.onnx").graph
    exact = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    looked_up = {node.input[0] for node in graph.node if node.op_type == "Gather"}  # in tables of norms, a row a class
    large = {name for name, array in exact.items() if array.ndim > 1 and array.dtype == np.float32} - looked_up
    assert large
    assert not large & stored.keys()
    assert sum(a.dtype == np.int8 and a.ndim > 1 for a in stored.values()) == len(large)


def test_ranges_come_from_other_latents_than_those_that_are_compared():
    sampler = folder.Sampler(generator={}, latent=Latent(noise=3), classes=4, size=(8, 8))
    z, labels = exporting_sampler.given(sampler, 6, 2, 0)
    np.testing.assert_array_equal(z, sampler.latent.numbered(8, 0)[2:])
    assert labels.tolist() == [2, 3, 0, 1, 2, 3]
    assert labels.dtype == np.int64
    assert exporting_sampler.PROVEN != exporting_sampler.CALIBRATED
    assert len(exporting_sampler.given(sampler.model_copy(update={"classes": 0}), 1, 0, 0)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixels": True}, r"m: draws pictures and takes none: raw pixels \(target onnx-pixels\)"),
        ({"target": "web"}, r"m: draws pictures and takes none: a page for browsers \(target web\)"),
        ({"target": "onnx-int8", "calibrate": "shapes"}, "m: draws pictures and takes none: it is calibrated"),
    ],
)
def test_what_only_a_translator_has(made, tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        exporting.export(made["dcgan"][0], tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("change", [{"size": (16, 16)}, {"latent": Latent(noise=9)}, {"classes": 0}, {"channels": 1}])
def test_a_file_that_is_not_what_the_folder_says(made, change):
    info = folder.read_info(made["dcgan"][1])
    other = info.model_copy(update={"sampler": info.sampler.model_copy(update=change)})
    with pytest.raises(ModelError, match=r"model\.onnx: does not fit i2i\.json: it should draw (color|gray) pictures"):
        OnnxSampler(made["dcgan"][1], other, device="cpu")


def test_answers_are_compared_until_one_is_none(made):
    import torch

    good, bad = np.zeros((1, 2), np.float32), np.full((1, 2), np.nan, np.float32)
    found = parity.summed([(torch.ones(1, 2), good + 0.5, (1, 7)), (torch.zeros(1, 2), good, (3, 8))])
    assert (found.max, found.mean, found.worst) == (0.5, 0.25, (1, 7))
    assert parity.summed([(torch.zeros(1, 2), good, (1, 0)), (torch.zeros(1, 2), bad, (3, 1))]).worst == (3, 1)

"""An exported model answers like the torch network, or it does not come into being."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from models_for_tests import make_model
from onnx import numpy_helper
from PIL import Image
from small import FOLDERS, small_recipe, train_small

import i2i
from i2i import cli, exporting, folder, models, nets, parity, paths, precision, shipped
from i2i.calibration import Samples
from i2i.errors import DataError, MissingExtra, ModelError, UsageError
from i2i.methods import METHODS
from i2i.nets import frozen
from i2i.nets.used import Used
from i2i.run_onnx import OnnxEngine
from i2i.run_torch import load_net
from i2i.translator import Translator
from i2i.zoo import ZOO

ROOT = Path(__file__).parent.parent

UNET = nets.UNetConfig(depth=3, width=4)
RESNET = nets.ResNetConfig(blocks=1, width=4)
ENCDEC = nets.EncDecConfig(depth=3, width=4)
NETWORKS = {
    "unet, batch norm by the picture": (UNET, "image"),
    "unet, batch norm as learned, resize": (UNET.model_copy(update={"up": "resize"}), "running"),
    "unet, instance norm, gray": (UNET.model_copy(update={"norm": "instance", "inputs": 1, "outputs": 1}), "running"),
    "unet, no norm": (UNET.model_copy(update={"norm": "none"}), "running"),
    "resnet, batch norm by the picture, resize": (RESNET.model_copy(update={"norm": "batch", "up": "resize"}), "image"),
    "resnet, batch norm as learned": (RESNET.model_copy(update={"norm": "batch"}), "running"),
    "resnet, instance norm": (RESNET, "running"),
    "resnet, no norm, resize": (RESNET.model_copy(update={"norm": "none", "up": "resize"}), "running"),
    "encoder-decoder, batch norm as learned": (ENCDEC, "running"),
    "encoder-decoder, by the picture but for its bottleneck": (
        ENCDEC.model_copy(update={"depth": 1, "bottleneck": 6}), "image",
    ),
}
"""Every family with every norm in every mode, and both ways to double."""


@dataclass(frozen=True)
class Made:
    """A trained model, what was exported of it, and the ONNX network with the exporter's notes."""

    model: Path
    out: Path
    net: torch.nn.Module
    noted: onnx.ModelProto

    @property
    def file(self) -> onnx.ModelProto:
        return onnx.load(self.out / "model.onnx")

    def nodes(self) -> set[str]:
        return {node.op_type for node in self.file.graph.node}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    return {}


@pytest.fixture
def get(made: dict[str, Made], tmp_path_factory: pytest.TempPathFactory):
    """Exports a network of the table, once for all tests: it takes seconds."""

    def get(name: str) -> Made:
        if name not in made:
            model = tmp_path_factory.mktemp("export") / "m"
            config, norm = NETWORKS[name]
            make_model(model, config, norm=norm, settled=True, gain=0.13 if config.norm == "none" else 0.3)
            kept = []
            with pytest.MonkeyPatch.context() as patch:
                original = exporting.to_onnx
                patch.setattr(exporting, "to_onnx", lambda *a: kept.append((a[0], original(*a))) or kept[-1][1])
                out = exporting.export(model)
            made[name] = Made(model, out, *kept[0])
        return made[name]

    return get


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


# ---------------------------------------------------------------- it answers like torch


@pytest.mark.parametrize("name", NETWORKS)
def test_pictures_are_the_same_through_either_engine(get, name):
    made = get(name)
    torch_one, onnx_one = i2i.load(made.model), i2i.load(made.out)
    assert isinstance(onnx_one.engine, OnnxEngine)
    channels = onnx_one.product.channels[0]
    for size in ((8, 8), (17, 40), (64, 64), (130, 71)):
        pixels = picture(*size, channels)
        expected, result = torch_one(pixels), onnx_one(pixels)
        assert result.shape == expected.shape
        assert result.std() > 10  # there is something to compare
        assert np.abs(result.astype(int) - expected).max() <= 1
        assert (result != expected).mean() <= 0.001


@pytest.mark.parametrize("name", NETWORKS)
def test_a_picture_does_not_notice_its_neighbors(get, name):
    made = get(name)
    engine = i2i.load(made.out).engine
    x = parity.pictures(3, engine.channels[0], (32, 48))
    together = engine.run(x)
    for i in range(3):
        np.testing.assert_allclose(together[i : i + 1], engine.run(x[i : i + 1]), atol=2e-5)


SUMMED = 5e-4
"""What 1024 pixels may differ by, a sixteenth of a level of 255: onnxruntime's InstanceNormalization adds up a million
values in single precision, each time off by up to 6e-5, where torch stays within 4e-5 of double precision after nine
blocks. Means by rows and then by columns are exact to 4e-6, but take two and a half times as long at every size."""

FAR = {"unet, batch norm by the picture", "resnet, instance norm"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAR else pytest.mark.slow) for name in NETWORKS]
)
def test_sizes_far_from_those_that_were_compared(get, name):
    made = get(name)
    sizes = [(64, 64), (1024, 64), (40, 1000), (1024, 1024)]
    engine = i2i.load(made.out).engine
    found = parity.compare(made.net, engine.run, engine.channels[0], sizes, batches=(1,))
    assert found.max <= (1e-4 if name in FAR or not frozen.sees_whole(made.net) else SUMMED)


@pytest.mark.parametrize("name", NETWORKS)
def test_what_was_proven_is_in_the_folder(get, name):
    made = get(name)
    info = folder.read_info(made.out)
    before = folder.read_info(made.model)
    facts = info.export
    assert facts.sizes == ((64, 64), (32, 64), (24, 48 if info.products["a2b"].multiple == 8 else 44))
    assert facts.batches == (1, 3)
    assert facts.opset == 18
    proof = facts.proofs["a2b"]
    assert 0 < proof.mean < proof.max <= facts.tolerance == 1e-4
    assert proof.psnr > 90
    assert proof.bytes == (made.out / "model.onnx").stat().st_size
    said, net = facts.tiles["a2b"], made.net
    assert (said.statistics, said.reach) == (frozen.sees_whole(net), frozen.reach(net.config))
    assert said.per_pixel == frozen.per_pixel(net, net.config.inputs, net.multiple) > 0
    changed = {"products", "export", "inference"}
    assert info.model_dump(exclude=changed) == before.model_dump(exclude=changed)
    assert info.products["a2b"] == before.products["a2b"].model_copy(update={"file": "model.onnx"})
    assert sorted(p.name for p in made.out.iterdir()) == ["Dockerfile", "README.md", "i2i.json", "model.onnx"]
    assert [p.name for p in made.out.parent.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_of_this_machine_is_in_the_file(get, name):
    made = get(name)
    raw = (made.out / "model.onnx").read_bytes()
    for words in (ROOT, Path(torch.__file__).parent, made.model, Path.home() if Path.home() != Path("/") else ROOT):
        assert str(words).encode() not in raw
    for words in (b"site-packages", b"stack_trace", b".py", b"nn.modules"):
        assert words not in raw
    graph = made.file.graph
    assert not any(part.metadata_props for part in (*graph.node, *graph.input, *graph.initializer, *graph.value_info))
    assert b"stack_trace" in made.noted.SerializeToString()  # the exporter does write them
    assert str(ROOT) not in (made.out / "i2i.json").read_text() + (made.out / "README.md").read_text()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_is_dynamic_and_simple(get, name):
    made = get(name)
    onnx.checker.check_model(made.file, full_check=True)
    for value in (*made.file.graph.input, *made.file.graph.output):
        dims = value.type.tensor_type.shape.dim
        assert [bool(d.dim_param) for d in dims] == [True, False, True, True]
    assert made.nodes() <= {
        "Add", "Concat", "Conv", "ConvTranspose", "InstanceNormalization", "LeakyRelu", "Pad", "Relu", "Resize", "Tanh",
    }  # fmt: skip
    config, norm = NETWORKS[name]
    by_the_picture = config.norm == "instance" or (config.norm == "batch" and norm == "image")
    assert ("InstanceNormalization" in made.nodes()) == by_the_picture


@pytest.fixture
def data(request: pytest.FixtureRequest, name: str) -> Path:
    return request.getfixturevalue(FOLDERS[METHODS[name].reads])


@pytest.mark.parametrize("name", sorted(METHODS.keys() - ZOO.keys()))
def test_every_method_exports_its_products(name, data, tmp_path):
    run = train_small(tmp_path / "run", small_recipe(name, data, images=2))
    out = exporting.export(run)
    assert out == run / "onnx"
    info = folder.read_info(out)
    trained = folder.read_info(models.find(run))
    assert info.export.proofs.keys() == info.products.keys() == trained.products.keys()
    assert all(proof.max <= 1e-4 for proof in info.export.proofs.values())
    quiet = trained.model_copy(update={"inference": info.inference})
    pixels = picture(50, 37)
    for product in info.products:
        net = Used(load_net(models.find(run), quiet, product), quiet.inference)
        where = {"box": (9, 14, 20, 25)} if info.products[product].masked else {}
        expected = Translator(TorchNet(net), quiet, product)(pixels, **where)
        result = i2i.load(out, direction=product)(pixels, **where)
        assert np.abs(result.astype(int) - expected).max() <= 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sorted(METHODS.keys() - ZOO.keys()))
def test_every_method_answers_like_torch_from_64_to_1024_pixels(name, data, tmp_path):
    """Sides of the larger of picture and answer. The odd size is no multiple of more than the network needs."""
    run = train_small(tmp_path / "run", small_recipe(name, data, images=2))
    info = folder.read_info(out := exporting.export(run))
    for key, product in info.products.items():
        k, inputs = product.multiple, product.inputs
        given = parity.with_holes(parity.pictures) if product.masked else parity.pictures
        net, engine = Used(load_net(models.find(run), info, key), info.inference), OnnxEngine(out, info, key, "cpu")
        small, large = (-(-side // (k * product.scale)) * k for side in (64, 1024))
        odd = tuple((-(-side // k) | 1) * k for side in (small + 1, small + 33))
        found = parity.compare(net, engine.run, inputs, ((small, small), odd, (large, small)), (1, 3), given)
        assert found.max <= 1e-4, f"{key}: {found}"
        found = parity.compare(net, engine.run, inputs, ((large, large),), (1,), given)
        assert found.max <= (SUMMED if frozen.sees_whole(net.net) else 1e-4), f"{key}: {found}"


class TorchNet:
    batch = 1

    def __init__(self, net):
        self.net = net

    def run(self, x):
        return self.net(torch.from_numpy(x)).numpy()


def test_without_torch_it_translates(get, tmp_path):
    made = get("unet, batch norm by the picture")
    Image.fromarray(picture(30, 50)).save(tmp_path / "x.png")
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'safetensors', 'onnx', 'accelerate'): sys.modules[name] = None\n"
        "from i2i.cli import main\n"
        f"sys.argv = ['i2i', 'translate', '{tmp_path}/x.png', '--model', '{made.out}', '--out', '{tmp_path}/y.png']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = np.asarray(Image.open(tmp_path / "y.png")).astype(int)
    assert np.abs(result - i2i.load(made.model)(picture(30, 50))).max() <= 1


# ---------------------------------------------------------------- or it does not come into being


@pytest.fixture
def as_made(get, monkeypatch):
    """Exports again what was exported before, changed by a function: without waiting for torch."""

    def as_made(name, change=lambda model: None):
        made = get(name)
        model = onnx.ModelProto()
        model.CopyFrom(made.noted)
        change(model)
        monkeypatch.setattr(exporting, "to_onnx", lambda *a: model)
        return made

    return as_made


def damage(value: float, number: int):
    """Adds to one weight of the given convolution."""

    def change(model: onnx.ModelProto) -> None:
        convolution = [node for node in model.graph.node if node.op_type.startswith("Conv")][number]
        (weight,) = [t for t in model.graph.initializer if t.name == convolution.input[1]]
        array = numpy_helper.to_array(weight).copy()
        array.flat[0] += value
        weight.CopyFrom(numpy_helper.from_array(array, weight.name))

    return change


@pytest.mark.parametrize(
    ("name", "number", "layer"),
    [
        ("unet, batch norm by the picture", 1, "model.model.1.model.1 (Halve)"),
        ("unet, batch norm as learned, resize", 1, "model.model.1.model.2 (BatchNorm2d)"),  # folded into one node
        ("resnet, instance norm", 3, "model.10.conv_block.1 (Conv2d)"),
    ],
)
def test_a_wrong_layer_is_named_and_nothing_is_kept(as_made, tmp_path, name, number, layer):
    made = as_made(name, damage(0.5, number))
    with pytest.raises(ModelError) as e:
        exporting.export(made.model, tmp_path / "deep" / "out")
    assert str(e.value).startswith(f"{made.model}: a2b: the exported network differs from torch by ")
    assert f"worst layer: {layer}, whose own error is " in str(e.value)
    assert str(e.value).endswith("; nothing was kept")
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_is_not_finite_is_refused(as_made, tmp_path):
    made = as_made("resnet, instance norm", damage(np.nan, 2))
    with pytest.raises(ModelError, match=r"answer at 1 x 64x64 is not finite .* worst layer: model\.7 \(Conv2d\)"):
        exporting.export(made.model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_refused_export_leaves_the_earlier_one(as_made, tmp_path):
    made = as_made("resnet, instance norm")
    exporting.export(made.model, tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    strict = tmp_path / "strict.yaml"
    strict.write_text("about: never\nopset: 18\nprecision: fp32\ntolerance: 0\n")
    with pytest.raises(
        ModelError, match=r"at \S+ x \S+ \(\d+ dB over all\), the target strict allows 0; worst layer: "
    ):
        exporting.export(made.model, tmp_path / "out", target=strict)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "strict.yaml"]


def test_a_trained_model_is_never_replaced_and_an_exported_one_not_exported(as_made, tmp_path):
    made = as_made("resnet, instance norm")
    with pytest.raises(ModelError, match="holds a trained model: choose another place"):
        exporting.export(made.model, made.model)
    with pytest.raises(ModelError, match="is an exported model: export the one it was made from"):
        exporting.export(made.out, tmp_path / "out")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ModelError, match="exists and is not a model folder"):
        exporting.export(made.model, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_a_missing_package_is_named(get, monkeypatch, package):
    made = get("resnet, instance norm")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"this needs {package}, .*'i2i-toolkit\[export\]'"):
        exporting.export(made.model)


# ---------------------------------------------------------------- half precision


def test_half_precision(as_made, tmp_path):
    made = as_made("resnet, batch norm as learned")
    out = exporting.export(made.model, tmp_path / "half", target="onnx-fp16")
    facts = folder.read_info(out).export
    assert (facts.precision, facts.target) == ("fp16", "onnx-fp16")
    assert 55 < facts.proofs["a2b"].psnr < 100
    assert (out / "model.onnx").stat().st_size < 0.6 * (made.out / "model.onnx").stat().st_size
    model = onnx.load(out / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {t.data_type for t in model.graph.initializer if t.dims} <= {
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.INT64,
    }
    assert np.abs(i2i.load(out)(picture(31, 40)).astype(int) - i2i.load(made.model)(picture(31, 40))).max() < 8


def test_norms_stay_in_single_precision(get):
    model = precision.halved(get("unet, batch norm by the picture").noted)
    types = {v.name: v.type.tensor_type.elem_type for v in onnx.shape_inference.infer_shapes(model).graph.value_info}
    types |= {t.name: t.data_type for t in model.graph.initializer}
    norms = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
    assert {types[name] for node in norms for name in node.input} == {onnx.TensorProto.FLOAT}
    convolutions = [node for node in model.graph.node if node.op_type.startswith("Conv")]
    assert {types[name] for node in convolutions for name in node.input} == {onnx.TensorProto.FLOAT16}


def test_doubling_keeps_its_scales(as_made, tmp_path):
    made = as_made("unet, batch norm as learned, resize")
    out = exporting.export(made.model, tmp_path / "half", target="onnx-fp16")
    assert i2i.load(out)(picture(24, 40)).shape == (24, 40, 3)


def test_a_weight_beyond_half_precision(as_made, tmp_path):
    made = as_made("resnet, instance norm", damage(1e6, 0))
    with pytest.raises(ModelError, match=r"1e\+06 is too large for half precision"):
        exporting.export(made.model, tmp_path / "half", target="onnx-fp16")
    assert not (tmp_path / "half").exists()


# ---------------------------------------------------------------- eight bits


def eight_bits(tmp_path: Path, least_psnr: float) -> Path:
    target = tmp_path / "small.yaml"
    target.write_text(
        f"about: 8 bits\nopset: 18\nprecision: int8\ncalibrate: 3\ntolerance: 2.0\nleast_psnr: {least_psnr}\n"
    )
    return target


def test_eight_bits(as_made, tmp_path, pairs, capfd):
    made = as_made("resnet, batch norm as learned")
    out = exporting.export(made.model, tmp_path / "small", eight_bits(tmp_path, 20), calibrate=pairs)
    assert capfd.readouterr() == ("", "")  # onnxruntime's advice is not for our users
    info = folder.read_info(out)
    assert (info.export.precision, info.export.calibrated) == ("int8", 3)
    assert 20 < info.export.proofs["a2b"].psnr < 70
    assert "calibrated with 3 pictures, compared on others" in shipped.summary(info)
    assert "Calibrated with 3 pictures" in (out / "README.md").read_text()
    model = onnx.load(out / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert not any(part.metadata_props for part in (model, *model.graph.node))
    weights = {node.input[1]: node.op_type for node in model.graph.node if node.op_type.startswith("Conv")}
    assert set(weights.values()) == {"Conv", "ConvTranspose"}
    integers = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    assert {stored[integers[name]].dtype for name in weights} == {np.dtype(np.int8)}
    largest = {name: np.abs(stored[integers[name]].astype(int)).max() for name in weights}
    assert all(largest[name] <= 64 for name, kind in weights.items() if kind == "Conv")  # 7 bits: no overflow anywhere
    before = {t.name: numpy_helper.to_array(t) for t in made.file.graph.initializer}
    for name in (name for name, kind in weights.items() if kind == "ConvTranspose"):
        widened = stored[integers[name]] * stored[f"{name}_scale"][:, None, None]
        assert np.abs(widened - before[name]).max() <= np.abs(before[name]).max() / 250
    assert i2i.load(out)(picture(31, 40)).shape == (31, 40, 3)


def test_eight_bits_that_spoil_the_pictures_are_refused(as_made, tmp_path, pairs):
    made = as_made("resnet, batch norm as learned")
    with pytest.raises(ModelError, match=r"dB over all\), the target small allows 2 and wants 90 dB"):
        exporting.export(made.model, tmp_path / "out", eight_bits(tmp_path, 90), calibrate=pairs)
    assert not (tmp_path / "out").exists()


def test_the_pictures_to_calibrate_with(as_made, tmp_path, pairs):
    made = as_made("resnet, instance norm")
    target = eight_bits(tmp_path, 20)
    with pytest.raises(
        DataError, match=r"facades: not downloaded yet: .*\(to calibrate with other pictures: --calibrate"
    ):
        exporting.export(made.model, tmp_path / "out", target)
    with pytest.raises(DataError, match="3 pictures are too few to calibrate with: 4 at least"):
        exporting.export(made.model, tmp_path / "out", target, calibrate=pairs / "val" / "A")
    with pytest.raises(UsageError, match="the target onnx needs no pictures to calibrate with"):
        exporting.export(made.model, tmp_path / "out", calibrate=pairs)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("product", "side"), [("a2b", "A"), ("b2a", "B")])
def test_calibration_sees_the_domain_that_is_translated(tmp_path, pairs, product, side):
    """The pairs of the fixture are negatives of each other; side by side they are one file."""
    make_model(tmp_path / "m", both=True)
    info = folder.read_info(tmp_path / "m")
    wide = tmp_path / "wide" / "train"
    wide.mkdir(parents=True)
    for path in (pairs / "train" / "A").iterdir():
        both = [np.asarray(Image.open(pairs / "train" / s / path.name)) for s in "AB"]
        Image.fromarray(np.concatenate(both, axis=1)).save(wide / path.name)
    expected = {np.asarray(Image.open(p)).tobytes() for p in (pairs / "train" / side).iterdir()}
    for root in (pairs, tmp_path / "wide"):
        samples = Samples(root, info, product)
        given = [*samples.calibrating(99, (32, 32)), *samples.held_out(3, 3, (32, 32))[:1, None]]
        assert {
            np.rint((x.reshape(3, 32, 32).transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8).tobytes() for x in given
        } == expected
        assert samples.held_out(3, 3, (8, 16)).shape == (3, 3, 8, 16)


# ---------------------------------------------------------------- what is said


def test_the_command(as_made, tmp_path, capsys, monkeypatch):
    made = as_made("resnet, instance norm")
    monkeypatch.setattr(sys, "argv", ["i2i", "export", str(made.model), "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as e:
        cli.main()
    said = capsys.readouterr()
    assert (e.value.code or 0, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == str(tmp_path / "out")
    assert re.fullmatch(r"model.onnx: 40 KiB, opset 18, fp32; differs from torch by \S+ at most \(\d+ dB\)", lines[1])
    assert lines[2:] == ["compared at 64x64, 32x64, 24x44 (height x width), 1 and 3 at once"]
    shown = dict(models.show(tmp_path / "out" / "model.onnx"))
    assert shown["weights"] == "0.0 MiB"
    assert shown["exported"] == lines[2]


def test_the_command_without_torch(made, tmp_path, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, "i2i.exporting")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(sys, "argv", ["i2i", "export", "x"])
    with pytest.raises(SystemExit):
        cli.main()
    assert (
        "error: this needs torch, which is not installed: pip install 'i2i-toolkit[export]'" in capsys.readouterr().err
    )


def test_dropout_as_noise_is_left_out_and_said_so(as_made, tmp_path):
    made = as_made("unet, batch norm by the picture")
    tree = json.loads((made.model / "i2i.json").read_text())
    tree["inference"]["dropout"] = True
    noisy = tmp_path / "noisy"
    noisy.mkdir()
    (noisy / "model.safetensors").write_bytes((made.model / "model.safetensors").read_bytes())
    (noisy / "i2i.json").write_text(json.dumps(tree))
    info = folder.read_info(exporting.export(noisy))
    assert info.export.noise_removed
    assert not info.inference.dropout
    assert "dropout, the noise of the trained model, is off in the exported one" in shipped.summary(info)[-1]
    assert "this one answers without it" in (tmp_path / "noisy-onnx" / "README.md").read_text()
    assert not folder.read_info(made.out).export.noise_removed
    assert not any("dropout" in line for line in shipped.summary(folder.read_info(made.out)))


@pytest.mark.parametrize("name", ["resnet, instance norm", "unet, instance norm, gray"])
def test_the_caller_in_the_readme_runs(get, name, tmp_path, monkeypatch):
    made = get(name)
    text = (made.out / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert code.strip().count("\n") <= 10
    (tmp_path / "model.onnx").write_bytes((made.out / "model.onnx").read_bytes())
    channels = folder.read_info(made.out).products["a2b"].channels[0]
    pixels = picture(48, 64, channels)
    Image.fromarray(pixels.squeeze()).save(tmp_path / "picture.jpg")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    result = np.asarray(Image.open("translated.png")).astype(int)
    assert np.abs(result - np.asarray(i2i.load(made.out)(Image.open("picture.jpg")))).max() <= 1


def test_the_targets_are_valid_and_say_their_command():
    assert exporting.targets() == ["onnx", "onnx-fp16", "onnx-int8", "web"]
    for path in paths.data("export").glob("*.yaml"):
        name, _ = exporting.load_target(path.stem)
        assert path.read_text().startswith(f"# i2i export RUN --target {name}\n")


def test_an_unknown_target(tmp_path):
    with pytest.raises(UsageError, match="unknown export target 'onx'; did you mean 'onnx'"):
        exporting.export("anything", target="onx")
    tree = {"about": "x", "opset": 18, "precision": "fp32", "tolerence": 1.0}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tree))
    with pytest.raises(UsageError, match=r"mine.yaml:4: tolerence: unknown key; did you mean 'tolerance'"):
        exporting.export("anything", target=tmp_path / "mine.yaml")


@pytest.mark.parametrize(
    ("trained", "multiple", "expected"),
    [
        ((256, 256), 256, [(256, 256), (256, 512), (512, 512)]),
        ((256, 256), 4, [(256, 256), (128, 256), (88, 172)]),
        ((128, 128), 128, [(128, 128), (128, 256), (256, 256)]),
        ((30, 50), 8, [(32, 56), (16, 56), (16, 40)]),
        ((8, 8), 4, [(8, 8), (8, 12), (12, 12)]),
        ((64, 32), 32, [(64, 32), (64, 64), (32, 32)]),
    ],
)
def test_the_sizes_that_are_compared(trained, multiple, expected):
    found = list(parity.sizes(trained, multiple))
    assert found == expected
    assert len(set(found)) == 3
    assert any(height != width for height, width in found)
    assert all(height % multiple == width % multiple == 0 for height, width in found)

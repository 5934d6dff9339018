"""CUT, PyTorch-GAN, BasicSR: recognised by keys alone, and their pictures to 1e-6."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from models_for_tests import make_model
from PIL import Image
from projects_for_tests import PROJECTS, project
from torch import Tensor, nn

import i2i
from i2i import exporting, folder, nets, paths
from i2i.errors import ModelError, UsageError
from i2i.foreign import convert, import_model
from i2i.nets import FlatContextConfig, FlatUNetConfig, MSRResNetConfig, ResNetConfig, SRResNetTanhConfig, build
from i2i.nets.context import coarse
from i2i.nets.used import Used
from i2i.run_torch import load_net

MEAN, STD = (torch.tensor(n).double()[:, None, None] for n in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
TINY = {"width": 4, "blocks": 2}
FLAT = {
    "pix2pix": FlatUNetConfig(width=2),
    "DiscoGAN": FlatUNetConfig(width=4, depth=6, bias=True, quiet=2),
    "DualGAN": FlatUNetConfig(width=4, depth=7, norm="affine", last="transpose"),
}
CCGAN = FlatContextConfig(width=4, norm="batch", innermost_norm=True, quiet=2, last="plain")


def noise(*size: int) -> Tensor:
    return torch.rand(1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 2 - 1


def imported(path: Path, net: nn.Module, name: str = "theirs", **options) -> tuple[folder.Info, list[str]]:
    torch.save(net.state_dict(), path / f"{name}.pth")
    made = import_model(path / f"{name}.pth", name, **options)
    return folder.read_info(made.folder), made.notes


@torch.no_grad()
def same(x: Tensor, theirs: Tensor, name: str = "theirs") -> None:
    """The model's answer to ``x`` is ``theirs`` to 1e-6 in double precision, and the engine's about so in single."""
    where = paths.models() / name
    info = folder.read_info(where)
    ours = Used(load_net(where, info, info.default).double(), info.inference)
    ours.net.double()
    assert theirs.std() > 0.02, "a flat picture proves nothing"
    y = ours.net(x)
    torch.testing.assert_close(y, theirs, rtol=0, atol=1e-6)
    single = i2i.load(name, device="cpu").engine.run(x.float().numpy())
    np.testing.assert_allclose(single, theirs.numpy(), rtol=0, atol=1e-4)


# The same pictures


@pytest.mark.parametrize(
    ("options", "config"),
    [
        ({}, {"down": "blur", "up": "blur"}),
        ({"down": False}, {"up": "blur"}),
        ({"up": False, "dropout": True}, {"down": "blur", "dropout": 0.5}),
        ({"norm": "batch", "inputs": 1}, {"down": "blur", "up": "blur", "norm": "batch", "inputs": 1}),
        ({"down": False, "up": False}, {}),
    ],
)
def test_cut(tmp_path, options, config):
    net = project("cut", **TINY, **options)
    info, _ = imported(tmp_path, net, dropout=False)
    assert info.products["a2b"].generator == ResNetConfig(**TINY, **config).model_dump(mode="json")
    x = noise(options.get("inputs", 3), 24, 36)
    net.double().train()
    for layer in net.modules():
        layer.train(not isinstance(layer, nn.Dropout))  # the norms by the picture
    with torch.no_grad():
        same(x, net(x))


def test_the_cyclegan_of_pytorch_gan(tmp_path):
    net = project("cycle", **TINY)
    info, notes = imported(tmp_path, net)
    assert info.products["a2b"].generator == ResNetConfig(**TINY, up="nearest").model_dump(mode="json")
    assert notes == ["the file does not say which way it translates: taken as a2b (--direction b2a)"]
    x = noise(3, 24, 36)
    with torch.no_grad():
        same(x, net.double()(x))


@pytest.mark.parametrize(("method", "config"), FLAT.items())
def test_the_unets_of_pytorch_gan(tmp_path, method, config):
    net = project("unet", method=method, width=config.width)
    info, _ = imported(tmp_path, net, dropout=False)
    assert info.products["a2b"].generator == config.model_dump(mode="json")
    assert info.products["a2b"].multiple == 2**config.depth
    x = noise(3, 2**config.depth, 2 ** (config.depth + 1))
    with torch.no_grad():
        same(x, net.double()(x))


@pytest.mark.parametrize(("method", "stays"), [("pix2pix", "on"), ("DiscoGAN", "off"), ("DualGAN", "on")])
def test_dropout_is_as_where_the_project_shows_its_samples(tmp_path, method, stays):
    net = project("unet", method=method, width=2)
    info, notes = imported(tmp_path, net, direction="a2b")
    other = {"on": "--no-dropout", "off": "--dropout"}[stays]
    assert notes == [
        f"the file does not say whether dropout stays on: taken as {stays}, as in PyTorch-GAN's {method} ({other})"
    ]
    assert info.inference == folder.Inference(norm="image", dropout=stays == "on")
    if stays == "on":
        x = noise(3, 256, 256).float()
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(5)
            theirs = net.train()(x)
        answer = i2i.load("theirs", device="cpu", seed=5).engine.run(x.numpy())
        np.testing.assert_allclose(answer, theirs.numpy(), rtol=0, atol=1e-5)


def test_ccgan_paints_holes(tmp_path):
    net = project("unet", method="CCGAN", width=4)
    info, notes = imported(tmp_path, net, dropout=False)
    product = info.products["a2b"]
    assert product.generator == CCGAN.model_dump(mode="json")
    assert (product.masked, product.channels, product.multiple, info.size) == (True, (3, 3), 64, (128, 128))
    assert info.inference == folder.Inference(norm="running", dropout=False)
    assert notes == [
        "the file does not say by which statistics its batch norms work: taken as those that it holds "
        "(in i2i.json: inference.norm)"
    ]
    x, mask, net = noise(3, 64, 128), torch.zeros(1, 1, 64, 128).double(), net.double()
    with torch.no_grad():
        same(torch.cat([x, mask], 1), net(x, F.avg_pool2d(x, 4)))
        mask[:, :, 10:30, 40:70] = 1
        small = F.avg_pool2d(coarse(x, mask, 5), 4)
        same(torch.cat([x, mask], 1), net(torch.where(mask > 0, -1.0, x), small))
        inside, outside = mask.bool().expand_as(x), torch.ones(1, 3, 64, 128, dtype=torch.bool)
        outside[:, :, 8:32, 40:72] = False  # whole fours
    assert torch.equal(small[F.avg_pool2d(outside.double(), 4) == 1], F.avg_pool2d(x, 4)[F.avg_pool2d(
        outside.double(), 4
    ) == 1])  # fmt: skip
    other = torch.where(inside, torch.zeros_like(x), x)
    run = i2i.load("theirs", device="cpu").engine.run
    answers = [run(torch.cat([one, mask], 1).float().numpy()) for one in (x, other)]
    assert np.array_equal(*answers), "what is missing has no influence"
    picture = Image.fromarray(((x[0].permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8))
    filled = np.asarray(i2i.load("theirs", device="cpu")(picture, box=(40, 10, 30, 20)))
    assert (filled != np.asarray(picture)).any()
    assert (filled == np.asarray(picture))[:10].all()


def through(net: nn.Module, x: Tensor, values: str) -> Tensor:
    """What a network of pictures in other values makes of one in [-1, 1], as one in [-1, 1]."""
    if values == "signed":
        return net(x)
    unit = x / 2 + 0.5
    y = net(unit) if values == "unit" else net((unit - MEAN) / STD) * STD + MEAN
    return (y - 0.5) * 2


@pytest.mark.parametrize(
    ("options", "values", "config"),
    [
        ({}, None, {"values": "imagenet"}),
        ({"doublings": 1}, "signed", {"values": "signed", "scale": 2}),
        ({"doublings": 3}, "unit", {"values": "unit", "scale": 8}),
        ({"channels": 1}, None, {"values": "signed", "inputs": 1, "outputs": 1}),
    ],
)
def test_the_srgan_of_pytorch_gan(tmp_path, options, values, config):
    net = project("srgan", **TINY, **options)
    info, notes = imported(tmp_path, net, values=values)
    product, wanted = info.products["a2b"], SRResNetTanhConfig(**TINY, **config)
    assert product.generator == wanted.model_dump(mode="json")
    assert (product.scale, product.multiple) == (wanted.scale, 1)
    assert info.inference == folder.Inference(norm="running", dropout=False)
    assert len(notes) == (2 if values is None else 1)  # whose statistics
    if options == {}:
        assert notes[1] == (
            "the file does not say what its values mean: taken as normalised by ImageNet's mean and deviation, as in "
            "PyTorch-GAN's SRGAN (--range signed or --range unit)"
        )
    x, net = noise(wanted.inputs, 9, 13), net.double()
    with torch.no_grad():
        same(x, through(net, x, wanted.values))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("old", [False, True])
def test_basicsr(tmp_path, scale, old):
    net = project("basicsr", **TINY, scale=scale, old=old)
    info, notes = imported(tmp_path, net)
    product = info.products["a2b"]
    assert product.generator == MSRResNetConfig(**TINY, scale=scale).model_dump(mode="json")
    assert (product.scale, product.multiple, info.size) == (scale, 1, (128, 128))
    assert notes == [
        f"the file does not say what its values mean: taken as from 0 to 1, as in {'MMSR' if old else 'BasicSR'} "
        "(--range signed or --range imagenet)"
    ]
    x, net = noise(3, 9, 13), net.double()
    with torch.no_grad():
        same(x, through(net, x, "unit"))


def test_a_picture_grows_through_an_imported_network(tmp_path):
    """On the very levels: what the network gives in [0, 1], times 255, rounded."""
    net = project("basicsr", **TINY, scale=3)
    for parameter in net.parameters():
        parameter.data.mul_(0.3)  # so that not all is clipped
    imported(tmp_path, net)
    picture = np.random.default_rng(0).integers(0, 256, (11, 8, 3), dtype=np.uint8)
    with torch.no_grad():
        y = net(torch.from_numpy(picture.transpose(2, 0, 1)[None] / np.float32(255)))[0].permute(1, 2, 0)
    expected = (y.clamp(0, 1) * 255).round().numpy()
    answer = i2i.load("theirs", device="cpu")(picture)
    assert answer.shape == (33, 24, 3)
    assert np.abs(answer - expected).max() <= 1
    assert (answer != expected).mean() < 0.01


# The published sizes


@pytest.mark.parametrize(
    ("kind", "options", "tensors", "parameters", "config"),
    [
        ("cut", {}, 52, 11_378_179, ResNetConfig(down="blur", up="blur")),
        ("cycle", {}, 48, 11_378_179, ResNetConfig(up="nearest")),
        ("unet", {"method": "pix2pix"}, 17, 54_404_099, FlatUNetConfig()),
        ("unet", {"method": "DiscoGAN"}, 24, 29_241_731, FLAT["DiscoGAN"].model_copy(update={"width": 64})),
        ("unet", {"method": "DualGAN"}, 37, 41_828_995, FLAT["DualGAN"].model_copy(update={"width": 64})),
        ("unet", {"method": "CCGAN"}, 63, 29_257_731, CCGAN.model_copy(update={"width": 64})),
        ("srgan", {}, 268, 1_550_486, SRResNetTanhConfig()),
        ("basicsr", {}, 74, 1_517_571, MSRResNetConfig()),
    ],
)  # fmt: skip
def test_the_published_sizes_are_recognised(kind, options, tensors, parameters, config):
    with torch.device("cpu" if kind == "cut" else "meta"):  # CUT's filters are looked at
        theirs = PROJECTS[kind](**options)
    assert (len(theirs.state_dict()), nets.count(theirs)) == (tensors, parameters)
    found, state = convert(theirs.state_dict())
    assert found == config
    with torch.device("meta"):
        net = build(config)
    assert nets.count(net) == parameters
    assert list(state) == list(net.state_dict())


# What is refused, and why


def refusal(state: dict[str, Tensor]) -> str:
    with pytest.raises(ModelError) as e:
        convert(state, "w.pth")
    assert "\n" not in str(e.value)
    return str(e.value).removeprefix("w.pth: ")


def without(state: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    assert key in state
    return {k: t for k, t in state.items() if k != key}


def test_almost():
    cut = dict(project("cut", **TINY).state_dict())
    assert refusal({**cut, "model.7.filt": torch.ones(8, 1, 3, 3)}) == (
        "almost a resnet of CUT, but 'model.7.filt' is none of its filters 1, 2, 1 and 1, 3, 3, 1"
    )
    cycle = dict(project("cycle", **TINY).state_dict())
    said = "almost a resnet of PyTorch-GAN's CycleGAN, but 'model.10.block.5.weight' is missing"
    assert refusal(without(cycle, "model.10.block.5.weight")) == said
    gray = dict(project("cycle", **TINY, channels=1).state_dict())
    assert "from 1 to 1 channels, with which that project cuts its pictures" in refusal(gray)
    flat = dict(project("unet", method="DiscoGAN", width=2).state_dict())
    older = {**flat, "down2.model.0.weight": torch.zeros(4, 2, 3, 3)}
    assert refusal(older) == (
        "almost a U-Net of PyTorch-GAN's DiscoGAN, but 'down2.model.0.weight' has shape [4, 2, 3, 3], expected "
        "[4, 2, 4, 4]"
    )
    assert refusal(without(flat, "final.2.weight")).endswith("but 'final.2.weight' is missing")
    old = dict(project("basicsr", **TINY, old=True).state_dict())
    said = "almost a MSRResNet of MMSR, but 'recon_trunk.1.conv2.bias' is missing"
    assert refusal(without(old, "recon_trunk.1.conv2.bias")) == said
    new = dict(project("basicsr", **TINY).state_dict())
    assert "makes 20 channels of 4: neither 4 nor 9 times as many" in refusal(
        {**new, "upconv1.weight": torch.zeros(20, 4, 3, 3)}
    )
    assert refusal({**new, "conv_last.weight": torch.zeros(1, 4, 3, 3)}) == (
        "a network that i2i does not build (Value error, 3 channels in and 1 out: the picture is added to the result)"
    )


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (("conv_first.weight", "body.0.rdb1.conv1.weight"), "the RRDBNet of ESRGAN and Real-ESRGAN"),
        (("RRDB_trunk.0.RDB1.conv1.weight",), "the RRDBNet of ESRGAN and Real-ESRGAN"),
        (("conv_first.weight", "body.0.conv1.weight", "conv_after_body.weight"), "the EDSR of BasicSR"),
        (("convs.0.conv.modulation.weight",), "a StyleGAN2 generator"),
    ],
)
def test_networks_that_are_known_and_not_built(keys, what):
    assert refusal({key: torch.zeros(1) for key in keys}) == f"{what}: not a network that i2i builds"


def halving(*widths: int, kernel: int = 4, norm: bool = False, filters: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for c, d in zip((3, *widths), widths, strict=False):
        layers += [nn.Conv2d(c, d, kernel, 2, 1), *([nn.BatchNorm2d(d)] if norm else []), nn.LeakyReLU(0.2)]
        if filters:
            layers[-1].register_buffer("filt", torch.ones(d, 1, 3, 3))
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, kernel, bias=False))


@pytest.mark.parametrize(
    "layers",
    [halving(4, 8, 16, 32), halving(4, 8, norm=True), halving(4, 8, kernel=3), halving(4, 8, filters=True)],
    ids=["cyclegan, pix2pix, discogan", "dualgan", "ccgan", "cut"],
)
def test_discriminators_of_all_projects(layers):
    net = nn.Module()
    net.model = layers
    said = "a discriminator: it judges pictures and makes none; import the generator (net_G)"
    assert refusal(net.state_dict()) == said
    lacks_a_verdict = without(net.state_dict(), list(net.state_dict())[-1])
    assert refusal(lacks_a_verdict).startswith("not recognised: looked for the generators of ")


def test_a_range_where_there_is_none(tmp_path):
    with pytest.raises(UsageError, match=r"--range unit: .*resnet, which goes from -1 to 1: leave it out"):
        imported(tmp_path, project("cycle", **TINY), values="unit")
    with pytest.raises(UsageError, match="--range bytes: one of signed, unit, imagenet"):
        imported(tmp_path, project("basicsr", **TINY), values="bytes")
    with pytest.raises(UsageError, match="imagenet for colors only"):
        imported(tmp_path, project("basicsr", **TINY, channels=1), values="imagenet")


# Exported

EXPORTED = [
    ("msrresnet", MSRResNetConfig(width=4, blocks=1, scale=3), {}),
    ("flat_context", CCGAN.model_copy(update={"depth": 3}), {"norm": "running", "gain": 0.1}),
    ("flat_unet", FLAT["DualGAN"].model_copy(update={"depth": 4}), {}),
    ("flat_unet, padded", FLAT["DiscoGAN"].model_copy(update={"depth": 4}), {}),
    ("resnet, blur", ResNetConfig(**TINY, down="blur", up="blur"), {}),
    ("resnet, nearest", ResNetConfig(**TINY, up="nearest"), {}),
    ("srresnet_tanh", SRResNetTanhConfig(**TINY), {"norm": "running"}),
]


@pytest.mark.parametrize(
    ("config", "mode"),
    [pytest.param(c, m, id=name, marks=pytest.mark.slow if n else ()) for n, (name, c, m) in enumerate(EXPORTED)],
)
def test_an_exported_one_answers_like_torch(tmp_path, config, mode):
    make_model(tmp_path / "m", config, **mode)
    proof = folder.read_info(exporting.export(tmp_path / "m")).export.proofs["a2b"]
    assert proof.max < 1e-4

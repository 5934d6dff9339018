"""Networks: the published layouts to the letter, values against a plain computation, and clear refusals."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import pytest
import torch
import torch.nn.functional as F
from pydantic import TypeAdapter
from torch import Tensor, nn

from i2i import nets
from i2i.errors import ModelError, RecipeError
from i2i.nets import EncDecConfig, PatchConfig, ResNetConfig, UNetConfig
from i2i.nets.blocks import InstanceNorm, ResizeConv
from i2i.nets.context import coarse
from i2i.strict import Strict, read_yaml, validate

TINY = [
    UNetConfig(depth=5, width=2),
    UNetConfig(depth=6, width=2, norm="instance", inputs=1),
    UNetConfig(depth=2, width=2, norm="none", outputs=4),
    UNetConfig(depth=3, width=2, up="resize"),
    ResNetConfig(blocks=1, width=2),
    ResNetConfig(blocks=2, width=2, norm="batch", dropout=0.5, inputs=1),
    ResNetConfig(blocks=1, width=2, norm="none", up="resize", outputs=1),
    EncDecConfig(depth=2, width=2),
    EncDecConfig(depth=1, width=2, norm="instance", bottleneck=3, up="resize", inputs=1, outputs=4),
]
PATCHES = [PatchConfig(layers=n, width=2, norm=norm) for n in (0, 1, 2, 3) for norm in ("batch", "instance", "none")]


def name(config: Strict) -> str:
    return "-".join(f"{v}" for v in config.model_dump().values())


def picture(config, size: int, count: int = 1) -> Tensor:
    return torch.rand(count, config.inputs, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


# The published layouts, stated independently of the code: (key, shape) in order.

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def layer(key: str, shape: tuple[int, ...], bias: int = 0, norm: int = 0, norm_key: str = "") -> Shapes:
    """A convolution, its bias of that many values, and a batch norm of that many channels behind it."""
    yield f"{key}.weight", shape
    if bias:
        yield f"{key}.bias", (bias,)
    if norm:
        for buffer in ("weight", "bias", "running_mean", "running_var"):
            yield f"{norm_key}.{buffer}", (norm,)
        yield f"{norm_key}.num_batches_tracked", ()


def numbered(prefix: str, index: int, shape: tuple[int, ...], out: int, batch: bool) -> Shapes:
    """A convolution followed by the norm at the next index; a bias only where there is no batch norm."""
    return layer(f"{prefix}{index}", shape, 0 if batch else out, out if batch else 0, f"{prefix}{index + 1}")


def unet_keys(c: UNetConfig) -> Shapes:
    batch, up = c.norm == "batch", 0 if c.norm == "batch" else 1
    wide = [c.width, 2 * c.width, 4 * c.width] + [8 * c.width] * c.depth
    path = ["model.model."] + ["model.model.1.model." + "3.model." * i for i in range(c.depth - 1)]
    last = c.depth - 1
    yield from layer(path[0] + "0", (wide[0], c.inputs, 4, 4), wide[0] * up)
    for i in range(1, last):
        yield from numbered(path[i], 1, (wide[i], wide[i - 1], 4, 4), wide[i], batch)
    yield from layer(path[last] + "1", (wide[last], wide[last - 1], 4, 4), wide[last] * up)
    yield from numbered(path[last], 3, (wide[last], wide[last - 1], 4, 4), wide[last - 1], batch)
    for i in reversed(range(1, last)):
        yield from numbered(path[i], 5, (2 * wide[i], wide[i - 1], 4, 4), wide[i - 1], batch)
    yield from layer(path[0] + "3", (2 * wide[0], c.outputs, 4, 4), c.outputs)


def resnet_keys(c: ResNetConfig) -> Shapes:
    batch, w = c.norm == "batch", c.width
    yield from numbered("model.", 1, (w, c.inputs, 7, 7), w, batch)
    yield from numbered("model.", 4, (2 * w, w, 3, 3), 2 * w, batch)
    yield from numbered("model.", 7, (4 * w, 2 * w, 3, 3), 4 * w, batch)
    for block in range(10, 10 + c.blocks):
        for index in (1, 6 if c.dropout else 5):
            yield from numbered(f"model.{block}.conv_block.", index, (4 * w, 4 * w, 3, 3), 4 * w, batch)
    end = 10 + c.blocks
    yield from numbered("model.", end, (4 * w, 2 * w, 3, 3), 2 * w, batch)
    yield from numbered("model.", end + 3, (2 * w, w, 3, 3), w, batch)
    yield from layer(f"model.{end + 7}", (c.outputs, w, 7, 7), c.outputs)


def patch_keys(c: PatchConfig) -> Shapes:
    batch, w = c.norm == "batch", c.width
    if c.layers == 0:
        yield from layer("net.0", (w, c.inputs, 1, 1), w)
        yield from numbered("net.", 2, (2 * w, w, 1, 1), 2 * w, batch)
        yield from layer("net.5", (1, 2 * w, 1, 1), 0 if batch else 1)
        return
    wide = [w, 2 * w, 4 * w] + [8 * w] * c.layers
    yield from layer("model.0", (w, c.inputs, 4, 4), w)
    for i in range(1, c.layers + 1):
        yield from numbered("model.", 3 * i - 1, (wide[i], wide[i - 1], 4, 4), wide[i], batch)
    yield from layer(f"model.{3 * c.layers + 2}", (1, wide[c.layers], 4, 4), 1)


NORMS = ("batch", "instance", "none")
PUBLISHED = [
    *(UNetConfig(depth=d, norm=n) for d in (2, 3, 4, 5, 6, 7, 8, 9) for n in NORMS),
    *(UNetConfig(depth=7, width=w, dropout=0, inputs=1, outputs=4) for w in (16, 32)),
    *(ResNetConfig(blocks=b, norm=n, dropout=d) for b in (1, 6, 9) for n in NORMS for d in (0, 0.5)),
    ResNetConfig(width=16, inputs=1, outputs=4),
    *(PatchConfig(layers=i, norm=n, inputs=6) for i in range(6) for n in NORMS),
    PatchConfig(width=16, inputs=2),
]


@pytest.mark.parametrize("config", PUBLISHED, ids=name)
def test_keys_order_and_shapes_are_the_published_ones(config):
    expected = {"unet": unet_keys, "resnet": resnet_keys, "patch": patch_keys}[config.net](config)
    with torch.device("meta"):
        net = nets.build(config)
    assert [(key, tuple(value.shape)) for key, value in net.state_dict().items()] == list(expected)


@pytest.mark.parametrize(
    ("config", "tensors", "parameters"),
    [
        (ResNetConfig(), 48, 11_378_179),
        (ResNetConfig(dropout=0.5), 48, 11_378_179),
        (ResNetConfig(blocks=6), 36, 7_837_699),
        (ResNetConfig(norm="batch"), 140, 11_383_427),
        (UNetConfig(), 82, 54_413_955),
        (UNetConfig(depth=7), 70, 41_828_995),
        (UNetConfig(depth=7, width=32, most=4), 70, 3_382_083),
        (UNetConfig(norm="instance"), 32, 54_409_603),
        (PatchConfig(norm="instance"), 10, 2_764_737),
        (PatchConfig(inputs=6), 22, 2_768_705),
        (PatchConfig(inputs=6, layers=5), 34, 11_159_361),
        (PatchConfig(inputs=6, layers=0), 9, 9_024),
    ],
)
def test_counts_are_the_published_ones(config, tensors, parameters):
    with torch.device("meta"):
        net = nets.build(config)
    assert (len(net.state_dict()), nets.count(net)) == (tensors, parameters)


# The numbers, computed again from the state_dict with plain functions: no in-place steps, strides and slopes spelt out.


class Plain:
    def __init__(self, net: nn.Module, norm: str):
        self.t, self.norm = dict(net.named_parameters()), norm

    def normed(self, x: Tensor, key: str) -> Tensor:
        if self.norm == "none":
            return x
        dims = (0, 2, 3) if self.norm == "batch" else (2, 3)
        x = (x - x.mean(dims, keepdim=True)) / (x.var(dims, correction=0, keepdim=True) + 1e-5).sqrt()
        if self.norm == "batch":
            x = x * self.t[f"{key}.weight"].view(-1, 1, 1) + self.t[f"{key}.bias"].view(-1, 1, 1)
        return x

    def conv(self, x: Tensor, key: str, stride: int = 1, pad: int = 0, reflect: int = 0) -> Tensor:
        x = F.pad(x, [reflect] * 4, mode="reflect") if reflect else x
        return F.conv2d(x, self.t[f"{key}.weight"], self.t.get(f"{key}.bias"), stride, pad)

    def grow(self, x: Tensor, key: str, extra: int = 0) -> Tensor:
        return F.conv_transpose2d(x, self.t[f"{key}.weight"], self.t.get(f"{key}.bias"), 2, 1, extra)


def plain_unet(p: Plain, x: Tensor, depth: int) -> Tensor:
    path = ["model.model."] + ["model.model.1.model." + "3.model." * i for i in range(depth - 1)]
    skips = [p.conv(x, path[0] + "0", 2, 1)]
    for at in path[1:]:
        y = p.conv(F.leaky_relu(skips[-1], 0.2), at + "1", 2, 1)
        skips.append(y if at == path[-1] else p.normed(y, at + "2"))
    y = p.normed(p.grow(F.relu(skips.pop()), path[-1] + "3"), path[-1] + "4")
    for at in reversed(path[1:-1]):
        y = p.normed(p.grow(F.relu(torch.cat([skips.pop(), y], 1)), at + "5"), at + "6")
    return p.grow(F.relu(torch.cat([skips.pop(), y], 1)), path[0] + "3").tanh()


def plain_resnet(p: Plain, x: Tensor, blocks: int) -> Tensor:
    y = F.relu(p.normed(p.conv(x, "model.1", reflect=3), "model.2"))
    y = F.relu(p.normed(p.conv(y, "model.4", 2, 1), "model.5"))
    y = F.relu(p.normed(p.conv(y, "model.7", 2, 1), "model.8"))
    for i in range(10, 10 + blocks):
        z = F.relu(p.normed(p.conv(y, f"model.{i}.conv_block.1", reflect=1), f"model.{i}.conv_block.2"))
        y = y + p.normed(p.conv(z, f"model.{i}.conv_block.5", reflect=1), f"model.{i}.conv_block.6")
    end = 10 + blocks
    y = F.relu(p.normed(p.grow(y, f"model.{end}", 1), f"model.{end + 1}"))
    y = F.relu(p.normed(p.grow(y, f"model.{end + 3}", 1), f"model.{end + 4}"))
    return p.conv(y, f"model.{end + 7}", reflect=3).tanh()


def plain_patch(p: Plain, x: Tensor, layers: int) -> Tensor:
    if layers == 0:
        y = F.leaky_relu(p.conv(x, "net.0"), 0.2)
        return p.conv(F.leaky_relu(p.normed(p.conv(y, "net.2"), "net.3"), 0.2), "net.5")
    y = F.leaky_relu(p.conv(x, "model.0", 2, 1), 0.2)
    for i in range(1, layers + 1):
        at = 3 * i - 1
        y = F.leaky_relu(p.normed(p.conv(y, f"model.{at}", 2 if i < layers else 1, 1), f"model.{at + 1}"), 0.2)
    return p.conv(y, f"model.{3 * layers + 2}", 1, 1)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("net", ["unet", "resnet", "patch", "pixel"])
def test_values_and_gradients_are_those_of_the_plain_computation(net, norm):
    config, plain, depth = {
        "unet": (UNetConfig(depth=6, width=2, norm=norm, dropout=0), plain_unet, 6),
        "resnet": (ResNetConfig(blocks=2, width=3, norm=norm), plain_resnet, 2),
        "patch": (PatchConfig(layers=3, width=2, norm=norm), plain_patch, 3),
        "pixel": (PatchConfig(layers=0, width=2, norm=norm), plain_patch, 0),
    }[net]
    torch.manual_seed(0)
    module = nets.build(config).double()
    x = picture(config, 64, 2).double().requires_grad_()
    before = x.detach().clone()
    y, expected = module(x), plain(Plain(module, norm), x, depth)
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-11)
    leaves = [x, *module.parameters()]
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    got, want = (torch.autograd.grad((out * weight).sum(), leaves) for out in (y, expected))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-8)
    assert torch.equal(x, before), "the input was changed in place"


@pytest.mark.parametrize("config", TINY, ids=name)
def test_every_generator_says_what_it_is(config):
    net = nets.build(config)
    assert net.config is config
    assert net.scale == 1
    levels = 2 if config.net == "resnet" else config.depth
    assert net.multiple == 2**levels * (4 if getattr(config, "bottleneck", 0) else 1)
    size = max(net.multiple, 8)
    x = picture(config, size)
    y = net(x)
    assert y.shape == (1, config.outputs, size, size)
    assert y.abs().max() <= 1
    assert net(x.expand(2, -1, -1, -1)).shape == (2, config.outputs, size, size)


def test_dropout_is_where_it_was_published():
    def where(config):
        with torch.device("meta"):
            return [(n, m.p) for n, m in nets.build(config).named_modules() if isinstance(m, nn.Dropout)]

    inner = "model.model.1.model.3.model.3.model.3.model."  # the fifth level, the first of the middle ones
    assert where(UNetConfig(dropout=0.25)) == [(inner + "3.model." * i + "7", 0.25) for i in (2, 1, 0)]
    assert where(UNetConfig(depth=7)) == [(inner + "3.model." * i + "7", 0.5) for i in (1, 0)]
    assert where(UNetConfig(dropout=0)) == []
    assert where(ResNetConfig(blocks=2, dropout=0.5)) == [
        ("model.10.conv_block.4", 0.5),
        ("model.11.conv_block.4", 0.5),
    ]
    assert where(ResNetConfig()) == []


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (
            UNetConfig(depth=4, width=1),
            (1, 3, 32, 40),
            "this U-Net (depth 4) needs height and width to be a multiple of 16, not 32 x 40: pad or resize",
        ),
        (
            ResNetConfig(width=1),
            (1, 3, 30, 32),
            "this ResNet needs height and width to be a multiple of 4 and at least 8, not 30 x 32: pad or resize",
        ),
        (
            ResNetConfig(width=1),
            (1, 3, 4, 32),
            "this ResNet needs height and width to be a multiple of 4 and at least 8, not 4 x 32: pad or resize",
        ),
        (
            PatchConfig(width=1),
            (1, 3, 23, 64),
            "this discriminator (3 layers) needs height and width to be at least 24, not 23 x 64: pad or resize",
        ),
        (
            UNetConfig(depth=4),
            (1, 1, 16, 16),
            "this U-Net (depth 4) takes a batch [N, 3, height, width], not [1, 1, 16, 16]",
        ),
        (ResNetConfig(inputs=1), (1, 8, 8), "this ResNet takes a batch [N, 1, height, width], not [1, 8, 8]"),
        (
            PatchConfig(layers=0, inputs=6),
            (1, 3, 8, 8),
            "this discriminator (0 layers) takes a batch [N, 6, height, width], not [1, 3, 8, 8]",
        ),
    ],
)
def test_a_wrong_batch_is_refused_in_words(config, shape, message):
    with torch.device("meta"), pytest.raises(ModelError) as e:
        nets.build(config)(torch.zeros(shape))
    assert str(e.value) == message


@pytest.mark.parametrize("config", PATCHES, ids=name)
def test_the_smallest_picture_of_a_discriminator(config):
    size = 3 * 2**config.layers if config.layers else 2
    out = size if config.layers == 0 else 1
    assert nets.build(config)(picture(config, size)).shape == (1, 1, out, out)


@pytest.mark.parametrize(("layers", "pixels"), list(enumerate([1, 16, 34, 70, 142, 286])))
def test_receptive_field_is_the_measured_one(layers, pixels):
    config = PatchConfig(layers=layers, width=1, norm="none")
    assert nets.receptive_field(config) == pixels
    net = nets.build(config)
    for p in net.parameters():
        nn.init.constant_(p, 0.1)  # all positive: no path cancels or is cut off
    x = torch.ones(1, 3, 2 * pixels, 3 * pixels, requires_grad=True)
    y = net(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    rows, columns = x.grad[0].sum(0).nonzero(as_tuple=True)
    assert (len(rows.unique()), len(columns.unique())) == (pixels, pixels)


# Instance norm


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (3.0, 0.1), (10.0, 0.01)])
def test_instance_norm_in_channels_last(mean: float, deviation: float, training: bool) -> None:
    """torch's own group norm is off by 10 there: the variance drowns in the square of the mean."""
    x = mean + deviation * torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    norm = InstanceNorm(8, affine=True).train(training)
    wanted = torch.group_norm(x.double(), 8, None, None, norm.eps)
    last = x.to(memory_format=torch.channels_last).requires_grad_(training)
    y = norm(last)
    assert (y - wanted).abs().max() < 2e-4
    if training:
        plain = x.clone().requires_grad_()
        slopes = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
        for one in (plain, last):
            (norm(one) * slopes).sum().backward()
        assert plain.grad is not None
        assert last.grad is not None
        assert (plain.grad - last.grad).abs().max() < 1e-3 * plain.grad.abs().max()


def test_instance_norm_equals_that_of_torch():
    torch.manual_seed(0)
    x = torch.randn(3, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 5, 6, 7, dtype=torch.float64)
    ours, theirs = InstanceNorm(5), nn.InstanceNorm2d(5)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-10, atol=1e-12)
    (got,), (want,) = (torch.autograd.grad((norm(x) * weight).sum(), x) for norm in (ours, theirs))
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)
    assert not ours.state_dict()


@pytest.mark.parametrize(
    "config",
    [
        ResNetConfig(blocks=1, width=8),
        UNetConfig(depth=3, width=8, norm="instance", dropout=0),
        PatchConfig(norm="instance"),
    ],
    ids=name,
)
@pytest.mark.parametrize("count", [1, 2])
def test_gradients_do_not_depend_on_the_memory_format(config, count):
    """nn.InstanceNorm2d of torch 2.14 is more than 100 % off here, on a CPU with a batch of one."""

    def gradients(memory_format):
        torch.manual_seed(0)
        net = nets.build(config).to(memory_format=memory_format)
        x = picture(config, 32, count).contiguous(memory_format=memory_format).requires_grad_()
        y = net(x)
        y.backward(torch.linspace(-1, 1, y.numel()).view(y.shape).contiguous(memory_format=memory_format))
        return [x.grad, *(p.grad for p in net.parameters())]

    plain, last = gradients(torch.contiguous_format), gradients(torch.channels_last)
    largest = max(g.abs().max() for g in plain)
    for a, b in zip(plain, last, strict=True):
        assert (a - b).abs().max() < 1e-4 * largest


# Doubling by resize


def test_resize_convolution_leaves_no_checkerboard():
    """A flat picture stays flat, whatever the weights; a transposed convolution paints its own pattern."""
    torch.manual_seed(0)
    flat = torch.full((1, 3, 4, 4), 0.7)
    smooth, transposed = ResizeConv(3, 2, bias=True)(flat), nn.ConvTranspose2d(3, 2, 4, 2, 1)(flat)
    assert smooth.shape == transposed.shape == (1, 2, 8, 8)
    assert smooth.std(dim=(2, 3)).max() < 1e-6
    assert transposed[..., 2:-2, 2:-2].std(dim=(2, 3)).max() > 1e-2


@pytest.mark.parametrize(
    "config", [UNetConfig(depth=3, width=2, up="resize"), ResNetConfig(width=2, up="resize")], ids=name
)
def test_resize_replaces_every_transposed_convolution(config):
    def keys(up):
        return list(nets.build(config.model_copy(update={"up": up})).state_dict())

    net = nets.build(config)
    doublings = {"unet": 3, "resnet": 2}[config.net]
    assert sum(isinstance(m, ResizeConv) for m in net.modules()) == doublings
    assert not any(isinstance(m, nn.ConvTranspose2d) for m in net.modules())
    changed = [k for k in keys("resize") if k not in keys("transpose")]
    assert changed
    assert [k.replace(".conv.", ".") for k in keys("resize")] == keys("transpose")
    assert all(".conv." in k for k in changed)


# First weights


@pytest.mark.parametrize(
    ("init", "gain", "std"),
    [
        ("normal", 0.02, 0.02),
        ("normal", 0.1, 0.1),
        ("xavier", 0.02, 0.02 * (2 / (128 * 16 + 64 * 16)) ** 0.5),
        ("kaiming", 0.02, (2 / (64 * 16)) ** 0.5),
        ("orthogonal", 0.02, 0.02 / (64 * 16) ** 0.5),
        ("orthonormal", 0.02, 1 / (64 * 16) ** 0.5),
    ],
)
def test_first_weights(init, gain, std):
    net = nn.Sequential(
        nn.Conv2d(64, 128, 4), nn.BatchNorm2d(128), InstanceNorm(128), nn.Linear(128, 1), nn.Embedding(128, 1024)
    ).requires_grad_(False)
    nn.init.constant_(net[1].bias, 3.0)
    torch.manual_seed(0)
    nets.initialise(net, init, gain)
    assert net[0].weight.std() == pytest.approx(std, rel=0.02)
    assert abs(net[0].weight.mean()) < 0.02 * std
    assert net[1].weight.mean() == pytest.approx(1, abs=0.4 * gain)
    assert net[1].weight.std() == pytest.approx(gain, rel=0.3)
    assert all(layer.bias.eq(0).all() for layer in (net[0], net[1], net[3]))
    if init != "xavier":  # whose fan-out is another
        assert net[4].weight.std() == pytest.approx(std, rel=0.02)
    if init in ("orthogonal", "orthonormal"):
        rows, length = net[0].weight.flatten(1), gain if init == "orthogonal" else 1
        torch.testing.assert_close(rows @ rows.T, length**2 * torch.eye(128), rtol=0, atol=1e-6 * length / 0.02)


@pytest.mark.parametrize("config", [TINY[0], TINY[3], TINY[4], PATCHES[0], PATCHES[-3]], ids=name)
def test_first_weights_repeat_with_the_seed_and_reach_every_layer(config):
    def weights(seed):
        net = nets.build(config)
        for p in net.parameters():
            nn.init.constant_(p, 7.0)
        torch.manual_seed(seed)
        nets.initialise(net)
        return net.state_dict()

    a, b, c = weights(1), weights(1), weights(2)
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert not any((v == 7).any() for v in a.values())
    assert all(not torch.equal(a[k], c[k]) for k in a if k.endswith("weight"))


# Test-time norms


@pytest.mark.parametrize("config", [TINY[0], TINY[3], TINY[5]], ids=name)
def test_per_image_is_batch_norm_at_batch_one(config):
    torch.manual_seed(0)
    net = nets.build(config).double()
    nets.initialise(net, gain=0.3)
    x = picture(config, 64, 3).double()
    net(x + 0.3)  # running statistics that would be wrong for x
    for m in net.modules():
        m.train(not isinstance(m, nn.Dropout))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    single = nets.per_image(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in single.modules())
    together = single(x)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    one_by_one = torch.cat([net(image) for image in x.split(1)])
    torch.testing.assert_close(together, one_by_one, rtol=0, atol=1e-10)
    torch.testing.assert_close(single(x[1:2]), together[1:2], rtol=0, atol=1e-10)
    assert (net.eval()(x) - together).abs().max() > 1e-3, "running statistics would have done as well"


def test_per_image_norm_in_single_precision():
    torch.manual_seed(0)
    norm, x = nn.BatchNorm2d(4), 5 * torch.randn(3, 4, 32, 32) + 2
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    one_by_one = torch.cat([norm(image) for image in x.split(1)])
    torch.testing.assert_close(nets.per_image(norm)(x), one_by_one, rtol=0, atol=2e-6)


def test_per_image_copies_and_leaves_the_rest():
    net = nets.build(ResNetConfig(blocks=1, width=2, norm="batch", dropout=0.5)).eval()
    single = nets.per_image(net)
    assert (single.config, single.multiple, single.scale) == (net.config, net.multiple, net.scale)
    assert [type(m) for m in net.modules() if not isinstance(m, nn.BatchNorm2d)] == [
        type(m) for m in single.modules() if not isinstance(m, InstanceNorm)
    ]
    assert not any(m.training for m in single.modules())
    assert set(dict(single.named_parameters())) == set(dict(net.named_parameters()))
    with torch.no_grad():
        for p in single.parameters():
            p.zero_()
    assert all(p.abs().sum() > 0 for k, p in net.named_parameters() if k.endswith("weight"))
    norm = nets.per_image(nn.BatchNorm2d(3, eps=0.5, affine=False))
    assert isinstance(norm, InstanceNorm)
    assert (norm.eps, norm.weight) == (0.5, None)


# Configs


INSTANCE = PatchConfig(norm="instance")


class Method(Strict):
    generator: Annotated[nets.Generator, nets.starting_from(UNetConfig(depth=7))] = UNetConfig(depth=7)
    discriminator: Annotated[PatchConfig, nets.starting_from(INSTANCE)] = INSTANCE


class Recipe(Strict):
    method: Method = Method()


def read(tmp_path: Path, text: str) -> Method:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    tree, source = read_yaml(path, RecipeError)
    return validate(Recipe, tree, source, RecipeError).method


@pytest.mark.parametrize(
    ("block", "generator"),
    [
        ("{width: 16}", UNetConfig(depth=7, width=16)),
        ("{net: unet, width: 16}", UNetConfig(depth=7, width=16)),
        ("{depth: 6, dropout: 0}", UNetConfig(depth=6, dropout=0)),
        ("{net: resnet, blocks: 6}", ResNetConfig(blocks=6)),
        ("{}", UNetConfig(depth=7)),
    ],
)
def test_a_block_says_only_what_differs(tmp_path, block, generator):
    assert read(tmp_path, f"method:\n  generator: {block}\n").generator == generator


def test_a_block_of_a_discriminator_keeps_the_norm_of_its_method(tmp_path):
    method = read(tmp_path, "method: {discriminator: {layers: 2}}")
    assert method.discriminator == PatchConfig(layers=2, norm="instance")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (
            "{net: unett}",
            "3: method.generator.net: 'unett' is not known; did you mean 'unet'? "
            "(one of unet, lab_unet, resnet, encdec)",
        ),
        (
            "{widht: 16}",
            "3: method.generator.widht: unknown key; did you mean 'width'? "
            "(known here: net, depth, width, most, norm, dropout, up, inputs, outputs)",
        ),
        (
            "{net: resnet, skip: 6}",
            "3: method.generator.skip: unknown key "
            "(known here: net, blocks, width, norm, dropout, down, up, inputs, outputs)",
        ),
        (
            "{norm: batchnorm}",
            "3: method.generator.norm: 'batchnorm' is not known; did you mean 'batch'? (one of batch, instance, none)",
        ),
        ("{depth: 1}", "3: method.generator.depth: input should be greater than or equal to 2, not 1"),
        ("resnet", "2: method.generator: expected 'key: value' lines, not 'resnet'"),
    ],
)
def test_a_wrong_block_names_line_key_and_way_out(tmp_path, block, message):
    with pytest.raises(RecipeError) as e:
        read(tmp_path, f"method:\n  generator:\n    {block}\n")
    assert str(e.value) == f"{tmp_path / 'r.yaml'}:{message}"


@pytest.mark.parametrize("config", TINY, ids=name)
def test_a_config_survives_being_written(config):
    assert TypeAdapter(nets.Generator).validate_python(config.model_dump(mode="json")) == config


# The context network


CONTEXTS = [
    nets.ContextConfig(halvings=2, blocks=1, width=2),
    nets.ContextConfig(halvings=1, blocks=5, width=3, norm="batch", low_resolution="none", inputs=1, outputs=1),
    nets.ContextConfig(halvings=4, blocks=1, width=2, norm="none"),
]


def holed(config: nets.ContextConfig, height: int, width: int, count: int = 2) -> Tensor:
    g = torch.Generator().manual_seed(3)
    x = torch.rand(count, config.inputs + 1, height, width, generator=g) * 2 - 1
    x[:, -1] = 0
    x[:, -1, height // 4 : height // 2, width // 4 : -width // 4] = 1
    return x


@pytest.mark.parametrize("config", CONTEXTS, ids=name)
def test_a_context_network_says_what_it_is(config):
    net = nets.build(config)
    assert (net.config, net.scale, net.multiple) == (config, 1, 2 ** (config.halvings + 1))
    assert nets.takes_mask(net)
    assert not nets.takes_mask(nets.build(TINY[0]))
    for size in ((net.multiple, net.multiple), (2 * net.multiple, 3 * net.multiple)):
        y = net(holed(config, *size))
        assert y.shape == (2, config.outputs, *size)
        assert y.abs().max() <= 1
    with pytest.raises(ModelError, match=f"needs height and width to be a multiple of {net.multiple}, not"):
        net(torch.zeros(1, config.inputs + 1, net.multiple, net.multiple + 2))
    with pytest.raises(ModelError, match=rf"takes a batch \[N, {config.inputs + 1}, height, width\]"):
        net(torch.zeros(1, config.inputs, net.multiple, net.multiple))


def test_a_context_network_has_as_many_parameters_as_its_layers():
    w, c = 4, 3
    widths = [w, 2 * w, 4 * w]
    expected = (9 * (c + 1) + 1) * w + sum((16 * a + 1) * b for a, b in pairwise(widths))
    expected += 2 * 2 * (9 * widths[-1] + 1) * widths[-1]  # two blocks of two convolutions
    expected += sum((9 * b + 1) * a for a, b in pairwise(widths)) + (9 * 2 * w + 1) * c
    assert nets.count(nets.build(nets.ContextConfig(halvings=2, blocks=2, width=w))) == expected


def test_a_picture_does_not_notice_its_neighbors_in_a_context_network():
    torch.manual_seed(0)
    net = nets.build(CONTEXTS[0])
    nets.initialise(net, "kaiming")
    x = holed(CONTEXTS[0], 16, 24)
    together = net(x)
    for i in range(2):
        torch.testing.assert_close(together[i : i + 1], net(x[i : i + 1]), rtol=0, atol=1e-5)


def test_a_context_network_sees_across_its_hole():
    torch.manual_seed(0)
    net = nets.build(nets.ContextConfig(halvings=2, blocks=4, width=4, norm="none", low_resolution="none"))
    nets.initialise(net, "kaiming")
    x = torch.zeros(1, 4, 64, 64)
    x[:, 3, 8:56, 8:56] = 1
    x.requires_grad_()
    (slope,) = torch.autograd.grad(net(x)[0, :, 32, 32].sum(), x)
    seen = slope[0, :3].abs().sum(0) > 0
    assert seen[0].any()
    assert seen[-1].any()
    assert seen[:, 0].any()
    assert seen[:, -1].any()


def test_the_coarse_fill_by_hand():
    """Four quarters of 4x4 pixels: one is partly known, one wholly missing beside a known one, all by averages."""
    picture, mask = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    picture[..., :4, :4] = 0.4
    picture[..., 0, 0] = 0.8
    picture[..., 4:, :] = -0.5
    mask[..., 0, 1] = 1  # its 2x2 knows 0.8, 0.4, 0.4
    mask[..., :4, 4:] = 1  # nothing known in its 4x4: the mean of all that is known at the coarsest level
    picture[..., 0, 1], picture[..., :4, 4:] = 99, 77
    fill = coarse(picture, mask, 2)
    assert torch.equal(fill[mask == 0], picture[mask == 0])
    assert fill[0, 0, 0, 1].item() == pytest.approx(1.6 / 3)
    corner = (1.6 / 3 + 0.4 + 0.4 + 0.4) / 4
    assert fill[..., :4, 4:].unique().tolist() == pytest.approx([(corner - 0.5 - 0.5) / 3])
    one = coarse(picture, mask, 1)  # one level only: what is missing there is the mean of the 2x2 averages
    assert one[0, 0, 2, 6].item() == pytest.approx((1.6 / 3 + 3 * 0.4 - 8 * 0.5) / 12)
    assert not coarse(picture, torch.ones_like(mask), 2).any()


# The classifier that judges


@pytest.mark.parametrize("norm", NORMS)
def test_a_classifier_of_any_size_has_two_heads_on_one_trunk(norm):
    config = nets.JudgeConfig(stages=2, convolutions=2, width=3, norm=norm, classes=5, inputs=1)
    net = nets.build(config)
    assert net.config is config
    for size in ((4, 4), (17, 30)):
        x = torch.rand(2, 1, *size)
        assert net(x).shape == (2, 5)
        assert net.judge(x).shape == (2, 1)
    net.eval()
    features = net.features(x)
    torch.testing.assert_close(net(x), F.linear(features, net.label.weight, net.label.bias))
    torch.testing.assert_close(net.judge(x), F.linear(features, net.real.weight, net.real.bias))
    with pytest.raises(ModelError, match=r"this discriminator \(2 stages\) needs height and width to be at least 4"):
        net(torch.rand(1, 1, 3, 8))


def test_a_classifier_is_the_plain_computation():
    torch.manual_seed(0)
    net = nets.build(nets.JudgeConfig(stages=2, width=2, classes=3)).double()
    x = torch.rand(2, 3, 8, 12, dtype=torch.float64)
    convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert [tuple(c.weight.shape) for c in convolutions] == [(2, 3, 3, 3), (4, 2, 3, 3)]
    y = x
    for c in convolutions:
        y = F.avg_pool2d(F.leaky_relu(F.conv2d(y, c.weight, c.bias, padding=1), 0.2), 2)
    expected = y.mean((2, 3)) @ net.label.weight.T + net.label.bias
    torch.testing.assert_close(net(x), expected)


def test_a_judge_without_classes_names_none():
    net = nets.build(nets.JudgeConfig(stages=1, width=2))
    assert net.judge(torch.rand(1, 3, 4, 4)).shape == (1, 1)
    with pytest.raises(ModelError, match="knows no classes"):
        net(torch.rand(1, 3, 4, 4))

"""The networks of DiscoGAN: layouts and counts of the released ones, values by plain functions, clear refusals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i import nets
from i2i.errors import ModelError, RecipeError
from i2i.folder import Inference
from i2i.methods.base import new_generator
from i2i.nets import EncDecConfig, PatchConfig, PlainConfig
from i2i.nets.used import Used


def shapes(net: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(p.shape) for p in net.parameters() if p.ndim == 4]


ENCODER = [(64, 3, 4, 4), (128, 64, 4, 4), (256, 128, 4, 4), (512, 256, 4, 4)]
DECODER = [(512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]


@pytest.mark.parametrize(
    ("config", "layers", "norms", "parameters"),
    [
        (EncDecConfig(), [*ENCODER, *DECODER], [128, 256, 512, 256, 128, 64], 5_513_856),
        (
            EncDecConfig(bottleneck=100),
            [*ENCODER, (100, 512, 4, 4), (100, 512, 4, 4), *DECODER],
            [128, 256, 512, 100, 512, 256, 128, 64],
            7_153_480,
        ),
        (PlainConfig(), [*ENCODER, (1, 512, 4, 4)], [128, 256, 512], 2_765_568),
    ],
    ids=["four layers", "five layers", "discriminator"],
)
def test_layouts_are_the_released_ones(config, layers, norms, parameters):
    with torch.device("meta"):
        net = nets.build(config)
    assert shapes(net) == layers
    assert [m.num_features for m in net.modules() if isinstance(m, nn.BatchNorm2d)] == norms
    assert nets.count(net) == parameters
    assert all(m.bias is None for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("bottleneck", [0, 5])
def test_values_are_those_of_the_plain_computation(norm, bottleneck):
    torch.manual_seed(0)
    config = EncDecConfig(depth=2, width=3, bottleneck=bottleneck, norm=norm, outputs=1)
    net = nets.build(config).double()
    nets.initialise(net, gain=0.3)
    parameters = iter(net.parameters())

    def layer(x: Tensor, up: bool, stride: int, last: bool = False, normed: bool = True) -> Tensor:
        weight, pad = next(parameters), 0 if stride == 1 else 1
        bias = None if norm == "batch" else next(parameters)
        x = (F.conv_transpose2d if up else F.conv2d)(x, weight, bias, stride, pad)
        if not normed or norm == "none":
            return x
        if norm == "batch":
            return F.batch_norm(x, None, None, next(parameters), next(parameters), training=True)
        return x if x.shape[2] == 1 else F.instance_norm(x)

    x = torch.rand(3, 3, 16, 16).double()
    y = F.leaky_relu(layer(x, False, 2, normed=False), 0.2)
    y = F.leaky_relu(layer(y, False, 2), 0.2)
    assert y.shape == (3, 6, 4, 4)
    if bottleneck:
        y = F.leaky_relu(layer(y, False, 1), 0.2)
        assert y.shape == (3, 5, 1, 1)
        y = F.relu(layer(y, True, 1))
    y = F.relu(layer(y, True, 2))
    expected = layer(y, True, 2, normed=False).tanh()
    assert next(parameters, None) is None
    torch.testing.assert_close(net(x), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("bottleneck", [0, 7])
@pytest.mark.parametrize("up", ["transpose", "resize"])
def test_what_an_encoder_decoder_says_of_itself_holds(bottleneck, up):
    net = nets.build(EncDecConfig(depth=2, width=2, bottleneck=bottleneck, up=up, inputs=1))
    assert (net.multiple, net.scale) == (16 if bottleneck else 4, 1)
    net.eval()
    for height, width in ((net.multiple, net.multiple), (3 * net.multiple, 2 * net.multiple)):
        y = net(torch.rand(1, 1, height, width))
        assert y.shape == (1, 3, height, width)
        assert y.abs().max() <= 1


@pytest.mark.parametrize(
    ("config", "shape", "message"),
    [
        (
            EncDecConfig(width=1),
            (1, 3, 64, 40),
            "this encoder-decoder (depth 4) needs height and width to be a multiple of 16, not 64 x 40: pad or resize",
        ),
        (
            EncDecConfig(width=1, bottleneck=9),
            (1, 3, 64, 48),
            "this encoder-decoder (depth 4) needs height and width to be a multiple of 16 and at least 64, "
            "not 64 x 48: pad or resize",
        ),
        (
            EncDecConfig(width=1, norm="instance"),
            (1, 3, 16, 32),
            "this encoder-decoder (depth 4) needs height and width to be a multiple of 16 and at least 32, "
            "not 16 x 32: pad or resize",
        ),
        (
            PlainConfig(width=1),
            (1, 3, 63, 64),
            "this plain discriminator (depth 4) needs height and width to be at least 64, not 63 x 64: pad or resize",
        ),
        (
            PlainConfig(width=1, inputs=6),
            (1, 3, 64, 64),
            "this plain discriminator (depth 4) takes a batch [N, 6, height, width], not [1, 3, 64, 64]",
        ),
    ],
)
def test_a_wrong_batch_is_refused_in_words(config, shape, message):
    with torch.device("meta"), pytest.raises(ModelError) as e:
        nets.build(config)(torch.zeros(shape))
    assert str(e.value) == message


@pytest.mark.parametrize(
    ("size", "depth"), [((64, 64), 4), ((32, 32), 3), ((256, 128), 4), ((96, 96), 4), ((48, 80), 3)]
)
def test_the_depth_is_what_the_size_allows(size, depth):
    net = new_generator(EncDecConfig(width=1), 3, 3, size, "normal")
    assert net.config.depth == depth
    assert net.eval()(torch.zeros(1, 3, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize(("size", "near"), [((36, 36), "32x32"), ((70, 128), "64x128"), ((16, 16), "32x32")])
def test_a_size_that_cannot_be_halved_is_refused(size, near):
    said = rf"data\.size: an encoder-decoder halves {size[0]}x{size[1]} only \d times: take {near} instead"
    with pytest.raises(RecipeError, match=said):
        new_generator(EncDecConfig(width=1), 3, 3, size, "normal")
    height, width = map(int, near.split("x"))
    new_generator(EncDecConfig(width=1), 3, 3, (height, width), "normal")


# The bottleneck


def test_one_picture_alone_cannot_be_normalized_over_its_batch():
    net = nets.build(EncDecConfig(depth=2, width=2, bottleneck=3))
    with pytest.raises(ModelError, match=r"data\.batch=2 or more, or method\.generator\.bottleneck=0"):
        net(torch.rand(1, 3, 16, 16))
    net(torch.rand(2, 3, 16, 16))
    net(torch.rand(1, 3, 16, 32))  # more than one number
    net.eval()(torch.rand(1, 3, 16, 16))
    nets.build(EncDecConfig(depth=2, width=2, bottleneck=3, norm="instance"))(torch.rand(1, 3, 16, 16))


@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("mode", ["image", "running"])
def test_a_picture_still_matters_behind_the_bottleneck(norm, mode):
    """Statistics of a single pixel would leave nothing of it: all pictures would be translated alike."""
    torch.manual_seed(0)
    net = nets.build(EncDecConfig(depth=2, width=4, bottleneck=6, norm=norm))
    nets.initialise(net, gain=0.3)
    x = torch.rand(8, 3, 16, 16) * 2 - 1
    net(x)
    y = Used(net, Inference(norm=mode, dropout=False))(x)
    assert (y[0] - y[1]).abs().max() > 0.05
    assert torch.allclose(Used(net, Inference(norm=mode, dropout=False))(x[:1]), y[:1], atol=1e-5)


# Discriminators


@pytest.mark.parametrize(("depth", "pixels"), [(1, 10), (2, 22), (3, 46), (4, 94)])
def test_a_plain_verdict_sees_the_whole_picture(depth, pixels):
    """4 x 4 windows after ``depth`` halvings reach over a picture of 4 * 2 ** depth pixels and its borders."""
    net = nets.build(PlainConfig(depth=depth, width=1, norm="none"))
    for p in net.parameters():
        nn.init.constant_(p, 0.1)
    x = torch.ones(1, 3, 2 * pixels, 2 * pixels, requires_grad=True)
    y = net(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    rows, columns = x.grad[0].sum(0).nonzero(as_tuple=True)
    assert (len(rows.unique()), len(columns.unique())) == (pixels, pixels)
    assert pixels > 4 * 2**depth
    side = 4 * 2**depth
    assert net(torch.zeros(2, 3, side, side)).shape == (2, 1, 1, 1)


@pytest.mark.parametrize(
    ("config", "features"),
    [
        (PlainConfig(width=2), [(2, 4, 16, 16), (2, 8, 8, 8), (2, 16, 4, 4)]),
        (PatchConfig(width=2), [(2, 4, 16, 16), (2, 8, 8, 8), (2, 16, 7, 7)]),
        (PatchConfig(width=2, layers=1), [(2, 4, 31, 31)]),
        (PatchConfig(width=2, layers=0), [(2, 4, 64, 64)]),
    ],
)
def test_features_are_the_activations_of_the_hidden_layers(config, features):
    torch.manual_seed(0)
    net = nets.build(config)
    x = torch.rand(2, 3, 64, 64)
    logits, seen = net.with_features(x)
    assert torch.equal(logits, net(x))
    assert [tuple(f.shape) for f in seen] == features
    layers = net.net if config.net == "patch" and not config.layers else net.model
    last = max(i for i, layer in enumerate(layers) if isinstance(layer, nn.LeakyReLU))
    torch.testing.assert_close(seen[-1], layers[: last + 1](x))
    assert all(f.min() < 0 for f in seen), "a leaky ReLU lets some of the negative through"

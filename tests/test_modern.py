"""The networks and games of the zoo's modern family, against what their papers say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from i2i import nets
from i2i.errors import ModelError
from i2i.nets import SNGANConfig, SNGANCriticConfig
from i2i.nets.attention import Attention
from i2i.nets.modulated import SelfModulated


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


# -- residual networks -------------------------------------------------------------------------------------------------


def test_the_residual_pair_has_the_widths_of_the_paper() -> None:
    generator, critic = nets.build(SNGANConfig(latent=128)), nets.build(SNGANCriticConfig())
    assert generator.shape == (256, 4, 4)
    assert [block.second.out_channels for block in generator.blocks] == [256, 256, 256]
    assert [layer.outer.out_channels for layer in critic.trunk[:-1]] == [128] * 4
    assert [layer.halve for layer in critic.trunk[:-1]] == [True, True, False, False]
    large = nets.build(SNGANConfig(latent=128, size=(128, 128), width=64, most=16))
    assert large.shape == (1024, 4, 4)
    assert [block.second.out_channels for block in large.blocks] == [1024, 512, 256, 128, 64]


@pytest.mark.parametrize("size", [(28, 28), (32, 48), (64, 64)])
@pytest.mark.parametrize("norm", ["batch", "self", "none"])
def test_residual_networks_of_many_sizes(size: tuple[int, int], norm: str) -> None:
    wide = {"width": 4, "size": size, "attention": 2}
    generator = nets.build(SNGANConfig(norm=norm, latent=5, classes=3, spectral=True, outputs=1, **wide))
    critic = nets.build(SNGANCriticConfig(answers=2, inputs=1, halvings=4, plain=1, **wide))
    x = generator(torch.randn(2, 5), torch.tensor([0, 2]))
    assert x.shape == (2, 1, *size)
    assert critic(x).shape == (2, 2)
    attending = [[m.f.in_channels for m in net.modules() if isinstance(m, Attention)] for net in (generator, critic)]
    assert attending == [[4], [4]]


def test_spectral_norm_bounds_the_slope_of_the_residual_critic() -> None:
    critic = nets.build(SNGANCriticConfig(width=6))
    nets.initialise(critic, "kaiming")
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 4 * 2 + 2 + 1
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.25)
        assert not layer.bias.any()


def test_a_block_is_its_branches() -> None:
    critic = nets.build(SNGANCriticConfig(width=4, spectral=False, halvings=1, plain=1))
    first, second = critic.trunk[0], critic.trunk[1]
    x = torch.randn(2, 3, 32, 32)
    whole = nn.functional.avg_pool2d(first.outer(first.inner(x).relu()) + first.beside(x), 2)
    torch.testing.assert_close(first(x), whole)
    assert isinstance(second.beside, nn.Identity)
    torch.testing.assert_close(second(whole), whole + second.outer(second.inner(whole.relu()).relu()))
    torch.testing.assert_close(critic.features(x), second(whole).relu().sum((2, 3)))


def test_attention_that_no_features_are_small_enough_for() -> None:
    with pytest.raises(ModelError, match="attention=8: features are at most 4 times smaller than the pictures"):
        nets.build(SNGANConfig(attention=8))
    with pytest.raises(ModelError, match="attention=8: features are at most 4 times"):
        nets.build(SNGANCriticConfig(attention=8))


def test_attention_starts_as_no_layer_and_sees_every_place() -> None:
    layer = Attention(8, lambda part: part)
    x = torch.randn(2, 8, 3, 5)
    assert torch.equal(layer(x), x)
    layer.gamma.data.fill_(0.5)
    f, g, h = (part(x).flatten(2) for part in (layer.f, layer.g, layer.h))
    expected = torch.zeros(2, 1, 15)
    for n in range(2):
        for j in range(15):
            scores = torch.stack([(f[n, :, i] * g[n, :, j]).sum() for i in range(15)])
            expected[n, :, j] = (h[n] * scores.softmax(0)).sum(1)
    torch.testing.assert_close(layer(x), x + 0.5 * layer.v(expected.unflatten(2, (3, 5))))
    changed = x.clone()
    changed[0, :, 0, 0] += 1
    assert (layer(changed)[0, :, 2, 4] != layer(x)[0, :, 2, 4]).any()
    layer(x).sum().backward()
    assert layer.gamma.grad.item() != 0


def test_self_modulation_scales_and_shifts_what_is_normalized() -> None:
    norm = SelfModulated(2, 3)
    for network, said in ((norm.scale, [1.0, -1.0]), (norm.shift, [0.5, 0.0])):
        network[2].weight.data.zero_()
        network[2].bias.data.copy_(torch.tensor(said))
    x, z = torch.randn(4, 2, 5, 5), torch.randn(4, 3)
    plain = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), unbiased=False, keepdim=True) + 1e-5).sqrt()
    y = norm(x, z)
    torch.testing.assert_close(y[:, 0], 2 * plain[:, 0] + 0.5)
    assert not y[:, 1].any()
    fresh = nets.build(SNGANConfig(width=4, latent=3, norm="self"))
    assert fresh.norm.scale[0].out_features == 32

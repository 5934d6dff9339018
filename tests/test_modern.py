"""The networks and games of the zoo's modern family, against what their papers say."""

from __future__ import annotations

import pytest
import torch
from small import small_config
from torch import nn

from i2i import nets
from i2i.data.batches import Images
from i2i.errors import ModelError, RecipeError
from i2i.losses import path_lengths
from i2i.losses.penalties import r1_penalty
from i2i.methods.base import Task, together
from i2i.nets import (
    SNGANConfig,
    SNGANCriticConfig,
    StyleGAN2Config,
    StyleGAN2CriticConfig,
    StyleGANConfig,
    StyleGANCriticConfig,
)
from i2i.nets.attention import Attention
from i2i.nets.equalized import BatchDeviation, EqualConv, EqualLinear, PixelNorm
from i2i.nets.modulated import SelfModulated
from i2i.nets.stylegan import Adaptive
from i2i.nets.stylegan2 import Modulated, StyleGAN2, blurred, doubled
from i2i.zoo import ZOO
from i2i.zoo.stylegan2 import StyleGAN2 as StyleGAN2Method


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


# -- styles ------------------------------------------------------------------------------------------------------------


def small_style(**changes: object) -> StyleGAN2:
    config = {"width": 4, "latent": 6, "style": 8, "layers": 2, "size": (16, 16), "outputs": 1, "mixing": 0.0}
    return nets.build(StyleGAN2Config(**{**config, **changes}))


def test_equalized_layers_keep_the_variance_of_what_comes_in() -> None:
    x = torch.randn(512, 300)
    assert EqualLinear(300, 200)(x).var().item() == pytest.approx(1, abs=0.05)
    slow = EqualLinear(300, 200, start=0.5, rate=0.01)
    assert slow.weight.std().item() == pytest.approx(100, rel=0.05)
    assert slow(x).var().item() == pytest.approx(1, abs=0.05)
    assert slow(x).mean().item() == pytest.approx(0.5, abs=0.05)
    assert EqualConv(40, 50, 3)(torch.randn(8, 40, 9, 9))[..., 1:-1, 1:-1].var().item() == pytest.approx(1, abs=0.05)
    assert PixelNorm()(torch.tensor([[3.0, 4.0]])).flatten().tolist() == pytest.approx([3 / 12.5**0.5, 4 / 12.5**0.5])


def test_demodulated_features_have_unit_variance_whatever_the_style() -> None:
    conv = Modulated(64, 32, 3, style=8, demodulate=True)
    w = 5 * torch.randn(4, 8)
    y = conv(torch.randn(4, 64, 24, 24), w)[..., 1:-1, 1:-1]
    assert y.std((1, 2, 3)).tolist() == pytest.approx([1] * 4, abs=0.1)
    plain = Modulated(64, 32, 3, style=8, demodulate=False)
    assert plain(torch.randn(4, 64, 24, 24), w).std() > 2


def test_modulation_is_that_of_the_weights() -> None:
    conv = Modulated(3, 5, 3, style=8, demodulate=True)
    x, w = torch.randn(2, 3, 6, 6), torch.randn(2, 8)
    s = conv.style(w)
    for i in range(2):
        weight = conv.weight * conv.scale * s[i][None, :, None, None]  # eq. 1
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()  # eq. 3
        expected = nn.functional.conv2d(x[i : i + 1], weight, padding=1)
        torch.testing.assert_close(conv(x, w)[i : i + 1], expected, rtol=1e-4, atol=1e-5)


def test_a_picture_is_the_same_in_evaluation_and_noisy_in_training() -> None:
    net = small_style()
    for layer in net.layers:
        layer.noise.strength.data.fill_(0.5)
    z = torch.randn(2, 6)
    assert not torch.equal(net(z), net(z))
    net.eval()
    assert torch.equal(net(z), net(z))
    assert net(100 * z).abs().max() <= 1


def test_each_layer_can_have_a_z_of_its_own() -> None:
    net = small_style().eval()
    assert net.styles == 2 * 2 + 2
    one, other = torch.randn(2, 1, 6)
    same = one[:, None].repeat(1, net.styles, 1)
    torch.testing.assert_close(net(same), net(one))
    late = same.clone()
    late[:, -1] = other
    mixed, w = net(late), net.styled(late)
    torch.testing.assert_close(w[:, :-1], net.styled(one)[:, :-1])
    torch.testing.assert_close(w[:, -1], net.styled(other)[:, -1])
    assert not torch.allclose(mixed, net(one))
    with pytest.raises(ModelError, match=r"nor is this a z for each of 6 layers"):
        net(same[:, :3])


def test_truncation_draws_w_to_the_mean_of_all() -> None:
    net = small_style().train()
    seen = torch.zeros(8)
    for _ in range(3):
        z = torch.randn(16, 6)
        net(z)
        seen = 0.995 * seen + 0.005 * net.mapping(z).mean(0)
    torch.testing.assert_close(net.w_mean, seen)
    net.eval()
    z = torch.randn(2, 6)
    torch.testing.assert_close(net(z, torch.ones(2)), net(z))
    torch.testing.assert_close(net.styled(z, torch.zeros(2)), seen.expand(2, 6, -1))
    half = net.styled(z, torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(half[0], (net.styled(z)[0] + seen) / 2)
    torch.testing.assert_close(half[1], net.styled(z)[1])


def test_mixing_gives_the_last_layers_another_style() -> None:
    net = small_style(mixing=1.0).train()
    w = torch.zeros(200, net.styles, 8)
    changed = net.mixed(w).any(2)
    assert not changed[:, 0].any()
    assert changed[:, -1].all()
    assert (changed[:, 1:] >= changed[:, :-1]).all()  # from one layer on to the last
    assert set(changed.sum(1).tolist()) == {1, 2, 3, 4, 5}
    none = small_style(mixing=0.0).train()
    assert (none.styled(torch.randn(3, 6)).std(1) == 0).all()
    some = small_style(mixing=0.5).train().mixed(w).any(2)[:, -1].float().mean()
    assert some.item() == pytest.approx(0.5, abs=0.12)


def test_doubling_and_blurring_are_the_filter_1_3_3_1() -> None:
    spike = torch.zeros(1, 1, 8, 8)
    spike[0, 0, 4, 4] = 1.0
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    torch.testing.assert_close(doubled(spike)[0, 0, 7:11, 7:11], torch.outer(row, row) / 16)
    torch.testing.assert_close(blurred(spike, around=2)[0, 0, 3:7, 3:7], torch.outer(row, row) / 64)
    assert blurred(spike, around=1, stride=2).shape == (1, 1, 4, 4)


def test_the_deviation_of_a_batch_by_hand() -> None:
    x = torch.zeros(4, 1, 2, 2)
    x[1] = 2.0
    said = BatchDeviation(most=2)(x)  # groups are pictures 0 and 2, 1 and 3
    assert said.shape == (4, 2, 2, 2)
    assert said[:, 1].flatten(1).mean(1).tolist() == pytest.approx([1e-4, 1, 1e-4, 1], abs=1e-5)
    assert BatchDeviation(most=4)(x[:3])[:, 1, 0, 0].tolist() == pytest.approx([8**0.5 / 3] * 3)
    assert BatchDeviation()(x[:1])[0, 1, 0, 0].item() == pytest.approx(1e-4)


def test_critics_that_look_at_the_batch_never_see_real_pictures_and_fakes_together() -> None:
    net, sizes = nets.build(StyleGAN2CriticConfig(width=4, size=(16, 16))), []
    net.register_forward_hook(lambda _, given, out: sizes.append(len(given[0])))
    together(net, torch.randn(4, 3, 16, 16), torch.randn(4, 3, 16, 16))
    assert sizes == [4, 4]


def test_the_style_says_mean_and_deviation_of_what_a_layer_draws() -> None:
    layer = Adaptive(3, (6, 6), style=4)
    layer.noise.strength.data.fill_(0.3)
    w = torch.randn(2, 4)
    y = layer(torch.randn(2, 3, 6, 6), w)
    torch.testing.assert_close(y.mean((2, 3)), layer.shift(w), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(y.std((2, 3), unbiased=False), layer.scale(w).abs(), rtol=1e-3, atol=1e-4)
    assert layer.scale(torch.zeros(1, 4)).tolist() == [[1.0] * 3]


def test_each_layer_of_stylegan_has_its_style() -> None:
    net = nets.build(StyleGANConfig(width=4, latent=6, style=8, layers=2, size=(28, 28), outputs=1)).eval()
    assert net.styles == len(net.layers) == 6
    w = torch.randn(1, 6, 8)
    drawn = net.picture(w)
    assert drawn.shape == (1, 1, 28, 28)
    for i in range(6):
        other = w.clone()
        other[:, i] += 1
        assert not torch.allclose(net.picture(other), drawn)
    assert nets.build(StyleGANCriticConfig(width=4, size=(28, 28), inputs=1)).features(drawn).shape == (1, 16)


def test_networks_that_know_no_classes_are_refused_where_there_are_some() -> None:
    task = Task(size=(32, 32), classes=3)
    cgan = ZOO["cgan"].Config
    with pytest.raises(
        RecipeError, match=r"^method\.generator\.net: 'stylegan2' cannot be asked for classes"
    ):
        ZOO["cgan"](cgan(generator=StyleGAN2Config(width=4, layers=1)), task)
    with pytest.raises(RecipeError, match=r"^method\.discriminator\.net: stylegan2_critic cannot be shown classes"):
        ZOO["cgan"](cgan(discriminator=StyleGAN2CriticConfig(width=4)), task)
    with pytest.raises(ModelError, match="StyleGAN2 knows no classes"):
        nets.build(StyleGAN2Config(classes=3))


@pytest.mark.parametrize(
    ("name", "what", "why"),
    [
        ("infogan", "generator", "this method draws from 62 normal values, a choice of 10 and 2 codes"),
        ("dcgan", "generator", "this method draws from 100 uniform values"),
        ("ebgan", "decoder", "a code belongs to one picture"),
        ("began", "decoder", "a code belongs to one picture"),
        *((name, "generator", "a code belongs to one picture") for name in ("aae", "vae", "bigan", "o_gan")),
    ],
)
def test_styles_are_mixed_with_those_of_another_z_only_where_it_is_like_the_first(
    name: str, what: str, why: str
) -> None:
    style = {"net": "stylegan2", "width": 4, "layers": 1, "style": 8}
    task = Task(size=(32, 32))
    with pytest.raises(RecipeError, match=rf"^method\.{what}\.mixing: 0\.9 takes a second z, .* {why}: set 0$"):
        ZOO[name](ZOO[name].Config.model_validate({**small_config(name), what: style}), task)
    once = {**small_config(name), what: {**style, "mixing": 0.0}}
    assert ZOO[name](ZOO[name].Config.model_validate(once), task)


def test_a_player_without_weights_to_charge_is_refused_an_orthogonal_penalty() -> None:
    progan, task = {"net": "progan", "width": 4, "most": 1}, Task(size=(32, 32), classes=3)
    for name, changed in (
        ("dcgan", {"generator": progan}),
        ("dcgan", {"discriminator": {"net": "progan_critic", "width": 4, "most": 1}}),
        ("biggan", {"generator": progan}),
    ):
        (what,) = changed
        block = {**small_config(name), **changed, "orthogonal": 0.1}
        with pytest.raises(RecipeError, match=rf"^method\.orthogonal: 0\.1, but of method\.{what} no layer .*: set 0$"):
            ZOO[name](ZOO[name].Config.model_validate(block), task)
        assert ZOO[name](ZOO[name].Config.model_validate({**block, "orthogonal": 0.0}), task)


# -- StyleGAN2 ---------------------------------------------------------------------------------------------------------


def test_r1_of_a_linear_critic_is_half_its_squared_slope() -> None:
    slope = torch.randn(3, 4, 4)
    found = r1_penalty(lambda x: (x * slope).sum((1, 2, 3))[:, None], torch.randn(5, 3, 4, 4))
    torch.testing.assert_close(found, slope.square().sum() / 2)


def test_path_lengths_of_a_linear_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of one pixel row, each layer's w times a matrix: J^T y is the matrix, transposed, times y."""
    matrices = torch.randn(2, 3, 8)  # two layers, from 3 values to 8 pixels
    w = torch.randn(5, 2, 3, requires_grad=True)
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    found = path_lengths(lambda w: torch.einsum("nlk,lkp->np", w, matrices).view(5, 1, 2, 4), w)
    gradients = matrices.sum(2) / 8**0.5
    torch.testing.assert_close(found, gradients.square().sum(1).mean().sqrt().expand(5))


def test_the_path_is_charged_to_g_now_and_then_by_how_far_it_is_from_its_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {**small_config("stylegan2"), "path": 3.0, "path_every": 2, "path_decay": 0.5}
    method = StyleGAN2Method(StyleGAN2Method.Config.model_validate(small), Task(a=1, b=1, size=(32, 32)))
    monkeypatch.setattr("i2i.zoo.stylegan2.path_lengths", lambda draw, w: torch.tensor([4.0, 8.0]))
    batch = Images(torch.zeros(4, 1, 32, 32), torch.zeros(4, dtype=torch.int64))
    for it, mean in ((0, 3.0), (1, 3.0), (2, 4.5)):
        terms = dict(method.step(batch, it))["G"]
        assert method.a.item() == mean
        expected = {0: 2 * 3 * (1 + 25) / 2, 1: None, 2: 2 * 3 * (0.25 + 12.25) / 2}[it]
        assert ("path" in terms) == (expected is not None)
        if expected is not None:
            assert terms["path"].item() == pytest.approx(expected)
    assert "a" in method.state_dict()


def test_the_path_is_charged_however_many_steps_d_has_for_one_of_g() -> None:
    small = {**small_config("stylegan2"), "n_critic": 2, "path_every": 2}
    method = StyleGAN2Method(StyleGAN2Method.Config.model_validate(small), Task(a=1, b=1, size=(32, 32)))
    batch = Images(torch.zeros(2, 1, 32, 32), torch.zeros(2, dtype=torch.int64))
    charged = {it: "path" in terms for it in range(8) for who, terms in method.step(batch, it) if who == "G"}
    assert charged == {1: True, 3: False, 5: True, 7: False}

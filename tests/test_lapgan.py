"""LAPGAN: its pyramid, the chain of its levels and the order of its moves, against its paper."""

from __future__ import annotations

from math import log, log1p

import pytest
import torch
from test_zoo import made, moves, pictures
from torch import Tensor, nn

from i2i import nets
from i2i.data.batches import Images
from i2i.errors import ModelError, RecipeError
from i2i.methods.base import Method, Task
from i2i.nets import LapGANConfig, LapGANCriticConfig, count
from i2i.nets.blur import BlurUp
from i2i.nets.lapgan import LapGAN, halved, planes, pyramid, sizes
from i2i.zoo import ZOO

DIGIT = {"size": (28, 28)}


def small(**changes: object) -> LapGAN:
    torch.manual_seed(0)
    config = {"width": 4, "dense": 8, "latent": 784 + 196 + 5, "outputs": 1, **DIGIT, **changes}
    return nets.build(LapGANConfig(**config))


# -- the pyramid -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ((28, 28), [7, 14, 28]),
        ((32, 48), [8, 16, 32]),
        ((64, 64), [8, 16, 32, 64]),
        ((36, 60), [9, 18, 36]),
        ((15, 20), [15]),
    ],
)
def test_pictures_are_halved_while_both_sides_are_even_and_7_pixels_remain(size, sides) -> None:
    assert [height for height, _ in sizes(size)] == sides
    assert planes(size) == [height * width for height, width in sizes(size)[1:]]
    assert sizes(size)[-1] == size


def test_halving_is_the_filter_1_3_3_1() -> None:
    spike = torch.zeros(1, 1, 16, 16)
    spike[0, 0, 5, 6] = 64.0
    # Of the pixels 3 to 6 are made row 2 and column 2, of 5 to 8 row 3 and column 3.
    expected = torch.zeros(8, 8)
    expected[2:4, 2:4] = torch.outer(torch.tensor([3.0, 1.0]), torch.tensor([1.0, 3.0]))
    torch.testing.assert_close(halved(spike)[0, 0], expected)
    flat = torch.full((1, 1, 8, 8), 0.25)  # also at the borders
    torch.testing.assert_close(halved(flat), flat[..., :4, :4])
    torch.testing.assert_close(BlurUp()(halved(flat)), flat)


@pytest.mark.parametrize("size", [(28, 28), (64, 32)])
def test_smooth_pictures_and_details_give_the_picture_back(size: tuple[int, int]) -> None:
    x = torch.rand(2, 3, *size) * 2 - 1
    levels = pyramid(x)
    assert [tuple(real.shape[2:]) for real, _ in levels] == sizes(size)
    assert levels[-1][0] is x
    assert levels[0][1] is None
    details = [real - low for real, low in levels[1:]]
    assert all(detail.abs().max() > 0.1 for detail in details)
    again = levels[0][0]
    for detail in details:
        again = BlurUp()(again) + detail
    torch.testing.assert_close(again, x, rtol=0, atol=1e-6)


# -- networks ----------------------------------------------------------------------------------------------------------


def test_the_parameters_of_each_level() -> None:
    for norm, more in (("none", 0), ("batch", 2 * 2 * 1200)):
        generator = nets.build(LapGANConfig(width=32, latent=1080, norm=norm, outputs=1, **DIGIT))
        assert [count(net) for net in generator.levels] == [
            100 * 1200 + 1200 + 1200 * 1200 + 1200 + more + 1200 * 49 + 49,
            *[2 * 32 * 25 + 32 + 32 * 32 * 25 + 32 + 32 * 25 + 1] * 2,
        ]
    critic = nets.build(LapGANCriticConfig(width=32, inputs=1, **DIGIT))
    convolutions = 32 * 25 + 32 + 32 * 64 * 25 + 64
    assert [count(net) for net in critic.levels] == [
        49 * 600 + 600 + 600 * 600 + 600 + 600 + 1,
        convolutions + 64 * 4 * 4 + 1,
        convolutions + 64 * 7 * 7 + 1,
    ]


def test_a_picture_is_drawn_by_the_chain_of_all_levels() -> None:
    net = small()
    z = torch.randn(2, 784 + 196 + 5)
    coarsest, middle, finest = net.parts(z)
    assert torch.equal(torch.cat([middle, finest, coarsest], 1), z)
    x = net.levels[0](coarsest)
    assert x.shape == (2, 1, 7, 7)
    for net_k, noise, side in ((net.levels[1], middle, 14), (net.levels[2], finest, 28)):
        low = BlurUp()(x)
        x = (low + net_k.model(torch.cat([low, noise.view(2, 1, side, side)], 1))).clamp(-1, 1)
    torch.testing.assert_close(net(z), x)
    assert x.std() > 0.1
    for detail in net.levels[1:]:
        nn.init.zeros_(detail.model[-1].weight)
        nn.init.zeros_(detail.model[-1].bias)
    torch.testing.assert_close(net(z), BlurUp()(BlurUp()(net.levels[0](coarsest))))
    nn.init.constant_(net.levels[2].model[-1].bias, 3.0)
    assert torch.equal(net(z), torch.ones(2, 1, 28, 28))


def test_critics_leave_features_out_in_training_alone() -> None:
    torch.manual_seed(0)
    critic = nets.build(LapGANCriticConfig(width=4, dense=16, dropout=0.5, inputs=1, **DIGIT))
    whole = nets.build(LapGANCriticConfig(width=4, dense=16, dropout=0, inputs=1, **DIGIT))
    whole.load_state_dict(critic.state_dict())
    for net, same, side in zip(critic.levels, whole.levels, (7, 14, 28), strict=True):
        x = torch.randn(3, 1, side, side)
        assert net(x).shape == (3, 1)
        assert not torch.equal(net(x), net(x))
        torch.testing.assert_close(same.train()(x), net.eval()(x))


def test_what_cannot_be_drawn() -> None:
    with pytest.raises(ModelError, match=r"draws from more than 980 values at 28x28, not 980"):
        small(latent=980)
    with pytest.raises(ModelError, match="LAPGAN knows no classes"):
        small(classes=3)
    config = ZOO["lapgan"].Config()
    with pytest.raises(RecipeError, match=r"^data\.size: a Laplacian pyramid needs even sides of at least 14 .* 28x15"):
        ZOO["lapgan"](config, Task(size=(28, 15)))
    with pytest.raises(RecipeError, match=r"^data\.size: at 256x256 lapgan draws from 87396 values, and 65536 are"):
        ZOO["lapgan"](config, Task(size=(256, 256)))


# -- the game ----------------------------------------------------------------------------------------------------------


def lapgan(**changes: object) -> Method:
    return made("lapgan", **changes)


def test_the_latent_is_that_of_the_coarsest_level_and_planes_of_noise() -> None:
    method = lapgan(latent={"noise": 6, "prior": "normal", "codes": 2})
    assert (method.latent.noise, method.latent.size) == (32 * 32 + 16 * 16 + 6, 32 * 32 + 16 * 16 + 8)
    assert method.latent.prior == "normal"
    assert [part.shape[1] for part in method.G.parts(torch.zeros(1, method.latent.size))] == [8, 256, 1024]
    assert method.described(method.G).latent == method.latent


@pytest.mark.parametrize("gan", ["vanilla", "lsgan"])
def test_the_moves_by_hand(gan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Critics answer with the mean of what they are shown: 1/2 for real pictures; detail is k / 8."""
    method = lapgan(gan=gan)
    for k, critic in enumerate(method.D.levels):
        monkeypatch.setattr(critic, "forward", lambda x: x.mean((1, 2, 3))[:, None])
        monkeypatch.setattr(method.G.levels[k], "forward", lambda noise, low, k=k: low * 0 + k / 8)
    batch = Images(torch.full((2, 1, 32, 32), 0.5), torch.tensor([-1, -1]))
    monkeypatch.setattr(method.G.levels[0], "forward", lambda z: torch.full((2, 1, 8, 8), 0.25))
    found = moves(method, batch=batch)
    assert [who for who, _ in found] == list(method.players) == ["D0", "G0", "D1", "G1", "D2", "G2"]
    logits = {0: 0.25, 1: 0.5 + 1 / 8, 2: 0.5 + 2 / 8}  # of fakes: l + h
    for who, terms in found:
        fake = logits[int(who[1])]
        if gan == "vanilla":
            expected = {"real": log1p(2.718281828**-0.5), "fake": log(1 + 2.718281828**fake)}
            fooled = log(1 + 2.718281828**-fake)
        else:
            expected, fooled = {"real": 0.5**2, "fake": fake**2}, (fake - 1) ** 2
        assert {k: v.item() for k, v in terms.items()} == pytest.approx(expected if who[0] == "D" else {"gan": fooled})


def test_each_level_learns_from_its_own_pictures_alone() -> None:
    method = lapgan()
    before = dict(moves(method))
    for other in (0, 1, 2):
        mixed = lapgan()
        for net in (mixed.G.levels[other], mixed.D.levels[other]):
            for p in net.parameters():
                nn.init.normal_(p, 0, 0.1)
        after = dict(moves(mixed))
        for who, terms in before.items():
            same = all(torch.equal(terms[name], after[who][name]) for name in terms)
            assert same == (int(who[1]) != other), f"{who}, where level {other} is another one"


def test_detail_is_drawn_beside_real_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    method, seen = lapgan(), {}
    for k in (1, 2):

        def detail(noise: Tensor, low: Tensor, k: int = k) -> Tensor:
            seen[k] = low
            return 0 * low

        monkeypatch.setattr(method.G.levels[k], "forward", detail)
    batch = pictures()
    for who, terms in moves(method, batch=batch):
        if who in ("D1", "D2"):
            assert terms["fake"].isfinite()
    for k, (_, low) in enumerate(pyramid(batch.x)[1:], 1):
        assert torch.equal(seen[k], low)

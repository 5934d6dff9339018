"""Losses and penalties against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from i2i.losses import (
    CONTESTS,
    GAMES,
    WASSERSTEIN,
    clip_weights,
    divergence_penalty,
    dragan_penalty,
    feature_matching,
    gaussian_kl,
    gradient_penalty,
    l1,
    l2,
    orthogonal_penalty,
    pulling_away,
    quadratic_potential,
    r1_penalty,
)
from i2i.nets import PatchConfig, build

LOGITS = torch.tensor([[2.0, -1.0], [0.5, 0.0]])


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


@pytest.mark.parametrize(
    ("game", "real", "fake", "fool"),
    [
        (
            GAMES["vanilla"],
            sum(softplus(-x) for x in (2, -1, 0.5, 0)) / 4,
            sum(softplus(x) for x in (2, -1, 0.5, 0)) / 4,
            sum(softplus(-x) for x in (2, -1, 0.5, 0)) / 4,
        ),
        (GAMES["lsgan"], (1 + 4 + 0.25 + 1) / 4, (4 + 1 + 0.25 + 0) / 4, (1 + 4 + 0.25 + 1) / 4),
        (GAMES["hinge"], (0 + 2 + 0.5 + 1) / 4, (3 + 0 + 1.5 + 1) / 4, -1.5 / 4),
        (WASSERSTEIN, -1.5 / 4, 1.5 / 4, -1.5 / 4),
    ],
    ids=[*GAMES, "wasserstein"],
)
def test_games(game, real, fake, fool):
    for function, value in zip(game, (real, fake, fool), strict=True):
        assert function(LOGITS).item() == pytest.approx(value)
        assert function(LOGITS.bfloat16()).dtype == torch.float32


def test_the_wasserstein_game_cannot_be_chosen_without_a_bound():
    assert WASSERSTEIN not in GAMES.values()


def test_reconstruction():
    x, y = torch.tensor([1.0, -1.0, 0.5, 0.0]), torch.tensor([0.0, 1.0, 0.5, 0.5])
    assert l1(x, y).item() == pytest.approx((1 + 2 + 0 + 0.5) / 4)
    assert l2(x, y).item() == pytest.approx((1 + 4 + 0 + 0.25) / 4)


def test_feature_matching():
    fake = [torch.tensor([[1.0, 2.0], [3.0, 0.0]]), torch.tensor([[[1.0]], [[-1.0]]])]  # means (2, 1) and 0
    real = [torch.tensor([[0.0, 0.0], [0.0, 4.0]]), torch.tensor([[[3.0]], [[3.0]]])]  # means (0, 2) and 3
    assert feature_matching(fake, real).item() == pytest.approx((4 + 1) / 2 + 9)
    order = [f.flip(0) for f in fake]
    assert feature_matching(order, real) == feature_matching(fake, real)
    for tensor in (*fake, *real):
        tensor.requires_grad_()
    feature_matching(fake, real).backward()
    assert all(f.grad is not None for f in fake)
    assert all(r.grad is None for r in real)
    with pytest.raises(ValueError, match="shorter"):
        feature_matching(fake, real[:1])


class Linear(nn.Module):
    """Two verdicts a picture: the sums of its left and of its right column, each times a weight."""

    def __init__(self, left: float, right: float):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([left, right]))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight).sum((1, 2))[:, None, None]  # [N, 1, 1, 2]


def test_gradient_penalty_of_a_linear_critic():
    """Its slope is the same everywhere: half of each weight in both rows, since a picture's value is the mean."""
    critic = Linear(3.0, 4.0)
    real, fake = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2)
    slope = math.sqrt(2 * (1.5**2 + 2**2))
    penalty = gradient_penalty(critic, real, fake)
    assert penalty.item() == pytest.approx((slope - 1) ** 2)
    penalty.backward()
    # d/dw of (|slope| - 1)^2 with |slope|^2 = (w1^2 + w2^2) / 2
    expected = [2 * (slope - 1) * w / (2 * slope) for w in (3.0, 4.0)]
    assert critic.weight.grad.tolist() == pytest.approx(expected)


def test_gradient_penalty_is_one_for_each_picture():
    """The critic is x^2: the slope is 2 x, at 1 for the first picture and at 3 for the second."""
    pictures = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    penalty = gradient_penalty(lambda x: x.square(), pictures, pictures)
    assert penalty.item() == pytest.approx(((2 - 1) ** 2 + (6 - 1) ** 2) / 2)


def test_gradient_penalty_is_taken_between_real_and_fake():
    torch.manual_seed(0)
    seen = []
    real, fake = torch.zeros(200, 1, 1, 2), torch.ones(200, 1, 1, 2)
    gradient_penalty(lambda x: seen.append(x.detach()) or x.square(), real, fake)
    (between,) = seen
    assert torch.equal(between[..., 0], between[..., 1]), "one point for a whole picture"
    share = between[:, 0, 0, 0]
    assert 0 <= share.min() < 0.05
    assert 0.95 < share.max() <= 1
    assert share.unique().numel() > 190


def test_gradient_penalty_of_a_flat_critic_can_be_learned_from():
    critic = Linear(0.0, 0.0)
    penalty = gradient_penalty(critic, torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert penalty.item() == 1
    penalty.backward()
    assert critic.weight.grad.isfinite().all()


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_gradient_penalty_is_exact_under_bfloat16_and_reaches_every_weight(norm):
    torch.manual_seed(0)
    critic = build(PatchConfig(layers=1, width=4, norm=norm))
    real, fake = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 16, 16)

    def taken(autocast: bool, critic=critic) -> Tensor:
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            critic(real)  # weights in bfloat16 are kept by autocast, and must not be found again
            return gradient_penalty(critic, real, fake.bfloat16())

    penalty = taken(True)
    assert penalty.dtype == torch.float32
    assert torch.equal(penalty, taken(False))
    penalty.backward()
    weights = [p for name, p in critic.named_parameters() if name.endswith("weight")]
    assert all(p.grad.abs().sum() > 0 for p in weights)


def test_gradient_penalty_with_a_compiled_critic():
    """torch.compile has no second derivatives; the forward of the network itself has."""
    torch.manual_seed(0)
    critic = build(PatchConfig(layers=1, width=2, norm="none"))
    critic.compile(backend="aot_eager")
    x = torch.rand(1, 3, 8, 8)
    gradient_penalty(critic.forward, x, x).backward()
    assert critic.model[0].weight.grad is not None


# -- contests: a game may compare the two batches ----------------------------------------------------------------------

REAL, FAKE = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [-2.0]])
PARTITION = math.log(sum(math.exp(x) for x in (1, 3, 0, -2)))
CONTEST_VALUES = {
    # what D is charged, what G is charged
    "vanilla": (
        {"real": (softplus(-1) + softplus(-3)) / 2, "fake": (softplus(0) + softplus(-2)) / 2},
        (softplus(0) + softplus(2)) / 2,
    ),
    "saturating": (
        {"real": (softplus(-1) + softplus(-3)) / 2, "fake": (softplus(0) + softplus(-2)) / 2},
        (math.log(1 / 2) + math.log(1 - 1 / (1 + math.exp(2)))) / 2,  # log(1 - D), D the sigmoid of the score
    ),
    "boundary": (
        {"real": (softplus(-1) + softplus(-3)) / 2, "fake": (softplus(0) + softplus(-2)) / 2},
        (0 + (math.log(1 / (1 + math.exp(2))) - math.log(1 - 1 / (1 + math.exp(2)))) ** 2 / 2) / 2,
    ),
    "lsgan": ({"real": (0 + 4) / 2, "fake": (0 + 4) / 2}, (1 + 9) / 2),
    "hinge": ({"real": 0.0, "fake": (1 + 0) / 2}, 1.0),
    "wasserstein": ({"real": -2.0, "fake": -1.0}, 1.0),
    "softmax": ({"softmax": PARTITION - (1 + 3) / 2}, PARTITION - (1 + 3 + 0 - 2) / 4),
    "relativistic": ({"relative": (softplus(-1) + softplus(-5)) / 2}, (softplus(1) + softplus(5)) / 2),
    "relativistic_average": (  # the means are 2 and -1
        {"relative": (softplus(-2) + softplus(-4)) / 2 + (softplus(-2) + softplus(-4)) / 2},
        (softplus(2) + softplus(4)) / 2 + (softplus(2) + softplus(4)) / 2,
    ),
}


@pytest.mark.parametrize("name", CONTESTS)
def test_contests(name):
    contest, (judged, fooled) = CONTESTS[name], CONTEST_VALUES[name]
    found = contest.judge(REAL, FAKE)
    assert {key: value.item() for key, value in found.items()} == pytest.approx(judged, abs=1e-6)
    assert contest.fool(FAKE, REAL).item() == pytest.approx(fooled, abs=1e-6)
    assert contest.fool(FAKE.bfloat16(), REAL.bfloat16()).dtype == torch.float32
    unseen = contest.fool(FAKE, REAL + 1)
    assert (unseen.item() != pytest.approx(fooled, abs=1e-6)) == contest.compares
    assert contest.bounded == (name != "wasserstein")


def test_divergence_penalty_of_a_linear_critic():
    real, fake = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2)
    slope = math.sqrt(2 * (1.5**2 + 2**2))
    assert divergence_penalty(Linear(3.0, 4.0), real, fake, power=6.0).item() == pytest.approx(slope**6, rel=1e-5)
    assert divergence_penalty(Linear(3.0, 4.0), real, fake, power=2.0).item() == pytest.approx(slope**2, rel=1e-5)


def test_r1_is_taken_at_real_pictures():
    real = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    assert r1_penalty(lambda x: x.square(), real).item() == pytest.approx((2**2 + 6**2) / 2 / 2)


def test_dragan_looks_around_real_pictures():
    torch.manual_seed(0)
    seen = []
    real = torch.tensor([-1.0, 1.0]).repeat(500).view(250, 1, 2, 2)
    penalty = dragan_penalty(lambda x: seen.append(x.detach()) or 3 * x, real)
    assert penalty.item() == pytest.approx((3 / 4 * 2 - 1) ** 2)  # 3 / 4 for each of four pixels: a slope of 3 / 2
    away = seen[0] - real
    assert away.min() >= 0
    assert 0.45 < away.max() <= 0.5 * real.std()
    assert (away.std((1, 2, 3)) > 0).all(), "each pixel has noise of its own"


@pytest.mark.parametrize(("norm", "distance"), [(1, (1 + 3) / 2), (2, math.sqrt((1 + 9) / 2))])
def test_quadratic_potential(norm, distance):
    real, fake = torch.tensor([[[[1.0, 3.0]]]]), torch.zeros(1, 1, 1, 2)
    value = quadratic_potential(torch.tensor([[5.0]]), torch.tensor([[1.0]]), real, fake, norm, weight=10.0)
    assert value.item() == pytest.approx(4**2 / (2 * 10 * distance))


def test_orthogonal_penalty():
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert orthogonal_penalty(layer).item() == pytest.approx(2 * (1 * 3 + 2 * 4) ** 2)
    layer.weight.data = torch.tensor([[3.0, 0.0], [0.0, 0.1]])
    assert orthogonal_penalty(layer).item() == 0  # lengths do not count
    tall = nn.Linear(1, 3, bias=False)
    assert orthogonal_penalty(tall).item() == pytest.approx(0, abs=1e-6)  # a single column
    up = nn.ConvTranspose2d(2, 1, 1, bias=False)
    up.weight.data = torch.tensor([[[[2.0]]], [[[3.0]]]])
    assert orthogonal_penalty(up).item() == pytest.approx(0, abs=1e-6)  # one row: the picture that comes out


def test_clipped_weights():
    layer = nn.Linear(2, 1)
    layer.weight.data, layer.bias.data = torch.tensor([[0.5, -0.005]]), torch.tensor([-3.0])
    clip_weights(layer, 0.01)
    assert layer.weight.flatten().tolist() == pytest.approx([0.01, -0.005])
    assert layer.bias.tolist() == pytest.approx([-0.01])


def test_gaussian_kl():
    mean, log_variance = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[0.0, math.log(4)], [0.0, 0.0]])
    assert gaussian_kl(mean, log_variance).item() == pytest.approx(((1 + 0) + (4 - 1 - math.log(4))) / 2 / 2)


def test_pulling_away():
    codes = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 5.0]])
    assert pulling_away(codes).item() == pytest.approx(2 * (0.5 + 0 + 0.5) / 6)
    assert pulling_away(codes[:1]).item() == 0

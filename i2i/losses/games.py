"""Adversarial games: what D and G minimize, functions of the discriminator's raw outputs (logits, any shape).

Most games charge each picture by itself: three functions, for D of real and of fake pictures, for G of fakes. A contest
is any game of two: it may compare real pictures with fakes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

GanName = Literal["vanilla", "lsgan", "hinge"]


class Game(NamedTuple):
    """What the two players minimize, each a function of logits of any shape."""

    real: Callable[[Tensor], Tensor]
    fake: Callable[[Tensor], Tensor]
    fool: Callable[[Tensor], Tensor]


def _target(value: float) -> Callable[[Tensor], Tensor]:
    return lambda logits: (logits.float() - value).square().mean()


# Logits come in bfloat16 or float16 under autocast: every loss is taken in float32.

GAMES: dict[GanName, Game] = {
    # Goodfellow et al. 2014, arXiv:1406.2661: binary cross-entropy; G in its non-saturating form (section 3).
    "vanilla": Game(
        real=lambda logits: F.softplus(-logits.float()).mean(),
        fake=lambda logits: F.softplus(logits.float()).mean(),
        fool=lambda logits: F.softplus(-logits.float()).mean(),
    ),
    # Mao et al. 2017, arXiv:1611.04076, eq. 9: least squares to the targets a = 0, b = c = 1 (without the factor 1/2).
    "lsgan": Game(real=_target(1.0), fake=_target(0.0), fool=_target(1.0)),
    # Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, eq. 16 and 17.
    "hinge": Game(
        real=lambda logits: F.relu(1 - logits.float()).mean(),
        fake=lambda logits: F.relu(1 + logits.float()).mean(),
        fool=lambda logits: -logits.float().mean(),
    ),
}

# Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1, as something to minimize. Not among GAMES: without a bound on the
# critic's slope (clipped weights, or the penalty below) it has no end, so that a method has to offer both together.
WASSERSTEIN = Game(
    real=lambda scores: -scores.float().mean(),
    fake=lambda scores: scores.float().mean(),
    fool=lambda scores: -scores.float().mean(),
)


class Contest(NamedTuple):
    """What the two players minimize.

    ``judge``: scores of real pictures, scores of fakes -> what D is charged, by name.
    ``fool``: scores of fakes, scores of real pictures -> what G is charged. Unless the contest ``compares``, the second
    is not looked at.
    ``bounded``: the charges have an end by themselves; else something has to bound the slope of D.
    """

    judge: Callable[[Tensor, Tensor], dict[str, Tensor]]
    fool: Callable[[Tensor, Tensor], Tensor]
    compares: bool = False
    bounded: bool = True


def each(game: Game, bounded: bool = True) -> Contest:
    """A game that charges each picture by itself, as a contest."""
    return Contest(
        judge=lambda real, fake: {"real": game.real(real), "fake": game.fake(fake)},
        fool=lambda fake, _: game.fool(fake),
        bounded=bounded,
    )


def _vanilla(fool: Callable[[Tensor], Tensor]) -> Contest:
    return each(GAMES["vanilla"]._replace(fool=fool))


def saturating(fake: Tensor) -> Tensor:
    """Goodfellow et al. 2014, arXiv:1406.2661, eq. 1: G minimizes log(1 - D), which is flat where D is sure."""
    return -F.softplus(fake.float()).mean()


def boundary_seeking(fake: Tensor) -> Tensor:
    """Hjelm et al. 2017, arXiv:1702.08431: G seeks where D is undecided, (log D - log(1 - D))^2 / 2, and the
    difference of the two logarithms is the logit."""
    return fake.float().square().mean() / 2


def smooth_real(real: Tensor, target: float) -> Tensor:
    """Binary cross-entropy of real pictures to a target below 1, which keeps D from being too sure; fakes keep theirs
    (one-sided label smoothing, Salimans et al. 2016, arXiv:1606.03498, section 3.4). 1 is the vanilla game."""
    real = real.float()
    return target * F.softplus(-real).mean() + (1 - target) * F.softplus(real).mean()


def softmax_judge(real: Tensor, fake: Tensor) -> dict[str, Tensor]:
    """Lin 2017, arXiv:1704.06191, section 3: one softmax over both batches, all of it on the real pictures."""
    return {"softmax": _partition(real, fake) - real.float().mean()}


def softmax_fool(fake: Tensor, real: Tensor) -> Tensor:
    """Lin 2017, arXiv:1704.06191, section 3: the same softmax, equally much of it on every picture."""
    return _partition(real, fake) - torch.cat([real.flatten(), fake.flatten()]).float().mean()


def _partition(real: Tensor, fake: Tensor) -> Tensor:
    return torch.cat([real.flatten(), fake.flatten()]).float().logsumexp(0)


def relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """Jolicoeur-Martineau 2018, arXiv:1807.00734, RSGAN: each picture should look more real than its opposite."""
    return F.softplus(worse.float() - better.float()).mean()


def relativistic_average(better: Tensor, worse: Tensor) -> Tensor:
    """Jolicoeur-Martineau 2018, arXiv:1807.00734, RaSGAN: than the other batch on the mean."""
    better, worse = better.float(), worse.float()
    return F.softplus(worse.mean() - better).mean() + F.softplus(worse - better.mean()).mean()


def compared(charge: Callable[[Tensor, Tensor], Tensor]) -> Contest:
    """A contest in which D wants real pictures to do better than fakes, and G the opposite."""
    return Contest(judge=lambda real, fake: {"relative": charge(real, fake)}, fool=charge, compares=True)


CONTESTS: dict[str, Contest] = {
    **{name: each(game) for name, game in GAMES.items()},
    "saturating": _vanilla(saturating),
    "boundary": _vanilla(boundary_seeking),
    "softmax": Contest(softmax_judge, softmax_fool, compares=True),
    "wasserstein": each(WASSERSTEIN, bounded=False),
    "relativistic": compared(relativistic),
    "relativistic_average": compared(relativistic_average),
}

"""Adversarial losses, penalties, reconstruction: pure functions on tensors, one citation each, each gives a scalar.

An adversarial game is three functions of the discriminator's raw outputs (logits, any shape): how D is charged for real
and for fake pictures, and how G is charged for not fooling it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """How far the slope of ``critic`` is from 1 between real and fake pictures, in float32 also under autocast.

    Gulrajani et al. 2017, arXiv:1704.00028, eq. 3, without the weight.

    The value of a picture is the mean of its verdicts, which is what the game above charges. Each picture needs a slope
    of its own: no batch norm in ``critic``.

    Args:
        real, fake: [N, C, H, W] each; the point between them is drawn from torch's global random numbers.
    """
    with torch.autocast(real.device.type, enabled=False):
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = torch.lerp(real.detach().float(), fake.detach().float(), share).requires_grad_()
        values = critic(between).reshape(len(between), -1).mean(1)
        (slopes,) = torch.autograd.grad(values.sum(), between, create_graph=True)
        return (slopes.flatten(1).norm(dim=1) - 1).square().mean()


def feature_matching(fake: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Squared distance of what a discriminator sees in a batch of fakes and in one of real pictures, on the mean.

    Each layer's features [N, ...] are averaged over the batch, their distance over its elements; layers are summed
    (Salimans et al. 2016, arXiv:1606.03498, section 3.1). No gradient flows to ``real``.
    """
    seen = [f.float().mean(0) - r.detach().float().mean(0) for f, r in zip(fake, real, strict=True)]
    return torch.stack([difference.square().mean() for difference in seen]).sum()


def l2(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape (Ledig et al. 2017, arXiv:1609.04802, eq. 4)."""
    return F.mse_loss(output.float(), target.float())


def pairwise_mse(output: Tensor, source: Tensor, mask: Tensor) -> Tensor:
    """How much the differences between the pixels of ``source`` changed, where ``mask`` is set: [N, C, H, W], bool
    [N, 1, H, W] (masked pairwise mean squared error, Bousmalis et al. 2017, arXiv:1612.05424, eq. 5).

    With d = output - source in the k values under a picture's mask: sum(d^2) / k - (sum(d) / k)^2, the mean over the
    batch. A change of all of them by one amount costs nothing. A picture without a masked pixel counts 0.
    """
    d = (output.float() - source.float()) * mask
    k = (mask.sum((1, 2, 3)) * output.shape[1]).clamp_min(1)
    return (d.square().sum((1, 2, 3)) / k - (d.sum((1, 2, 3)) / k).square()).mean()


def l1(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape (Isola et al. 2017, eq. 3)."""
    return F.l1_loss(output.float(), target.float())


def l1_inside(output: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference where ``mask`` [N, 1, H, W] is 1, over all such values of [N, C, H, W]."""
    inside = mask.float().expand_as(target)
    return ((output.float() - target.float()).abs() * inside).sum() / inside.sum().clamp(min=1)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean negative log-likelihood of the right classes: logits [N, K], labels int64 [N]."""
    return F.cross_entropy(logits.float(), labels)

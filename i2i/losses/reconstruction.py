"""How far one thing is from another: pictures, features, labels. Each gives a scalar."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


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


def gaussian_kl(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The divergence of normal distributions [N, K] from the standard one, in nats, the mean over N (Kingma, Welling
    2014, arXiv:1312.6114, appendix B)."""
    mean, log_variance = mean.float(), log_variance.float()
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean() / 2


def pulling_away(codes: Tensor) -> Tensor:
    """The squared cosine between the codes [N, K] of different pictures, the mean over all pairs; of one picture, 0
    (Zhao et al. 2017, arXiv:1609.03126, eq. 4)."""
    unit = F.normalize(codes.float().flatten(1))
    pairs = max(1, len(unit) * (len(unit) - 1))
    cosines = (unit @ unit.T).square()
    return (cosines.sum() - cosines.diagonal().sum()) / pairs


def gaussian_surprise(values: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """The negative log-likelihood of values [N, K] under normal distributions, in nats, summed over K, the mean over N
    (Chen et al. 2016, arXiv:1606.03657, section 6: what Q says of a code)."""
    mean, log_variance = mean.float(), log_variance.float()
    squares = (values.float() - mean).square() / log_variance.exp()
    return ((squares + log_variance + math.log(2 * math.pi)) / 2).sum(1).mean()


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's, between the values of each row: [N, K] and [N, K] -> [N] from -1 to 1 (Su 2019, arXiv:1903.01931)."""
    a, b = (F.normalize(x.float() - x.float().mean(1, keepdim=True)) for x in (a, b))
    return (a * b).sum(1)

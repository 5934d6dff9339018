"""Measures of two sets of pictures by what a feature network sees in them: nothing has to belong together.

A set's features are float [N, D]. All numbers depend on the network, on how pictures were made to fit it, and on N:
compare only what has the same of all three. Only ``fid_inception`` is what papers call FID.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from i2i.errors import DataError
from i2i.metrics.features import Features, extra

Measure = Callable[[Tensor, Tensor], dict[str, float]]
"""Features of outputs and of targets -> numbers."""

SPHERES = 3, 5  # neighbors: of precision and recall, and of density and coverage, as in their papers
LEAST = max(SPHERES) + 1  # pictures of each set that neighbors need
KID_SUBSET = 1000  # pictures
ROWS = 1024  # features that are compared with all others at once


class Sets:
    """Gathers the features of outputs and targets, then measures them."""

    def __init__(self, features: Features, measure: Measure):
        self.features, self.measure = features, measure
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def update(self, output: Tensor, target: Tensor) -> None:
        for pictures, kept in ((output, self.outputs), (target, self.targets)):
            if len(pictures):
                kept.append(self.features(pictures))

    def compute(self) -> dict[str, float]:
        outputs, targets = (torch.cat(kept) if kept else torch.zeros(0, 1) for kept in (self.outputs, self.targets))
        return self.measure(outputs, targets)


def frechet(outputs: Tensor, targets: Tensor) -> float:
    """Frechet distance of the normal distributions with the sets' means and covariances (Heusel et al. 2017,
    arXiv:1706.08500): |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

    With C = A^T A (A: centered features over the root of N - 1) the eigenvalues of C1 C2 are the squared singular
    values of A1 A2^T: the same trace, of a matrix no larger than N x N, and without the eigenvalues a little below zero
    that rounding gives the product of two covariances.
    """
    enough("a Frechet distance", outputs, targets, 2)
    x, y = outputs.double(), targets.double()
    mean = (x.mean(0) - y.mean(0)).square().sum()
    a, b = (rooted(v) for v in (x, y))
    return (mean + a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a @ b.T).sum()).item()


def rooted(x: Tensor) -> Tensor:
    """float64 [N, D] -> A [min(N, D), D] with A^T A the covariance."""
    a = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    return torch.linalg.qr(a, mode="r").R if len(a) > a.shape[1] else a


def neighbors(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """Fidelity: precision, density. Diversity: recall, coverage. By spheres around features that reach their k-th
    nearest neighbor in the same set.

    precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 1 and 2; k = 3): the share of outputs inside a
    sphere of a target, and of targets inside a sphere of an output. density and coverage (Naeem et al. 2020,
    arXiv:2002.09797, section 3; k = 5): in how many spheres of targets an output lies, over k (it may exceed 1), and
    the share of targets whose sphere holds an output.
    """
    k, n = SPHERES
    enough("prdc", outputs, targets, LEAST)
    x, y = outputs.double(), targets.double()
    (reach_x, _), (reach_y, wide_y) = (reaches(v, k, n) for v in (x, y))
    inside = recalled = covered = 0.0
    precise = torch.zeros(len(x), dtype=torch.bool)
    for rows in torch.arange(len(y)).split(ROWS):
        far = torch.cdist(y[rows], x)  # [targets, outputs]
        precise |= (far <= reach_y[rows, None]).any(0)
        recalled += (far <= reach_x).any(1).sum().item()
        within = far <= wide_y[rows, None]
        inside += within.sum().item()
        covered += within.any(1).sum().item()
    return {
        "precision": precise.double().mean().item(),
        "recall": recalled / len(y),
        "density": inside / (n * len(x)),
        "coverage": covered / len(y),
    }


def reaches(x: Tensor, *ks: int) -> list[Tensor]:
    """For each k the distance [N] from every feature to its k-th nearest neighbor in the set, itself not counted."""
    near = [torch.cdist(rows, x).topk(max(ks) + 1, largest=False).values for rows in x.split(ROWS)]
    return [torch.cat(near)[:, k] for k in ks]


def fd(name: str) -> Measure:
    """The Frechet distance, named after the feature network: it is no FID."""
    return lambda outputs, targets: {f"fd_{name}": frechet(outputs, targets)}


def prdc_keys(name: str) -> tuple[str, ...]:
    return tuple(f"{key}_{name}" for key in ("precision", "recall", "density", "coverage"))


def prdc(name: str) -> Measure:
    """Precision, recall, density and coverage, named after the feature network."""
    return lambda outputs, targets: {f"{key}_{name}": v for key, v in neighbors(outputs, targets).items()}


def fid_inception(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """FID by torchmetrics."""
    enough("fid_inception", outputs, targets, 2)
    with extra("torchmetrics"):
        from torchmetrics.image.fid import FrechetInceptionDistance
    meter = FrechetInceptionDistance(feature=_Seen(outputs.shape[1])).set_dtype(torch.float64)
    meter.update(targets.double(), real=True)
    meter.update(outputs.double(), real=False)
    return {"fid_inception": meter.compute().item()}


def kid_inception(outputs: Tensor, targets: Tensor) -> dict[str, float]:
    """KID by torchmetrics (Binkowski et al. 2018, arXiv:1801.01401): unbiased, and not multiplied by anything. Of all
    pictures at once if both sets have as many, and no more than a subset of 1000; else the mean of 100 subsets, each as
    large as the smaller set if that has fewer."""
    enough("kid_inception", outputs, targets, 2)
    with extra("torchmetrics"):
        from torchmetrics.image.kid import KernelInceptionDistance
    size = min(KID_SUBSET, len(outputs), len(targets))
    whole = size == len(outputs) == len(targets)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Metric `Kernel Inception Distance` will save")
        meter = KernelInceptionDistance(feature=_Seen(outputs.shape[1]), subsets=1 if whole else 100, subset_size=size)
    meter.update(targets.double(), real=True)
    meter.update(outputs.double(), real=False)
    return {"kid_inception": meter.compute()[0].item()}


class _Seen(nn.Module):
    """What torchmetrics takes for a feature network: the features are there already."""

    def __init__(self, features: int):
        super().__init__()
        self.num_features = features

    def forward(self, x: Tensor) -> Tensor:
        return x


def enough(what: str, outputs: Tensor, targets: Tensor, least: int) -> None:
    if min(len(outputs), len(targets)) < least:
        there = f"there are {len(outputs)} outputs and {len(targets)} targets"
        raise DataError(f"{what} needs {least} pictures of each set at least, {there}: measure more of them")

"""Minibatch discrimination: Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498, section
3.2."""

from __future__ import annotations

from torch import Tensor, nn


class MinibatchDiscrimination(nn.Module):
    """How like the others of its batch each picture is: features [N, F] -> [N, kernels].

    Each kernel maps features to ``size`` numbers, M; its answer for picture i is the sum over all j of
    exp(-|M_i - M_j|), by the L1 norm: N if all are the same, near 1 if none is like another.
    """

    def __init__(self, features: int, kernels: int, size: int):
        super().__init__()
        self.shape = (kernels, size)
        self.project = nn.Linear(features, kernels * size, bias=False)  # the paper's tensor T

    def forward(self, x: Tensor) -> Tensor:
        m = self.project(x).float().unflatten(1, self.shape)
        return (-(m[:, None] - m[None]).abs().sum(3)).exp().sum(1)

"""Historical averaging: Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498, section
3.3."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class Past(nn.Module):
    """The mean of all that the weights of some networks were, kept in the state of a training."""

    seen: Tensor

    def __init__(self, *nets: nn.Module):
        super().__init__()
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        for i, p in enumerate(weights(nets)):
            self.register_buffer(f"mean_{i}", torch.zeros_like(p))

    def forward(self, nets: Iterable[nn.Module]) -> Tensor:
        """The squared distance of the weights from their mean over all calls, this one included: a scalar."""
        self.seen += 1
        total = torch.zeros((), device=self.seen.device)
        for i, p in enumerate(weights(nets)):
            mean = self.get_buffer(f"mean_{i}")
            mean += (p.detach() - mean) / self.seen
            total = total + (p - mean).float().square().sum()
        return total


def weights(nets: Iterable[nn.Module]) -> Iterable[nn.Parameter]:
    return (p for net in nets for p in net.parameters())

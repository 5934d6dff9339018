"""What plain PyTorch steps share: networks with torch's own norms, Adam as it comes, the other player frozen."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from i2i.nets import InstanceNorm
from i2i.nets.halving import Double, Halve


class PlainStep(Protocol):
    """Learns from one batch and gives the loss terms, named like those of the method: ``player/term``."""

    def __call__(self, batch: Any) -> dict[str, Tensor]: ...


def as_usual(net: nn.Module) -> nn.Module:
    """A copy of a network with torch's own instance norms, which have no weights here, and its own convolutions."""
    net = copy.deepcopy(net)
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, InstanceNorm):
                setattr(parent, name, nn.InstanceNorm2d(child.channels, child.eps))
            elif isinstance(child, Halve | Double):
                layer = nn.Conv2d if isinstance(child, Halve) else nn.ConvTranspose2d
                usual = layer(child.in_channels, child.out_channels, 4, 2, 1, bias=child.bias is not None)
                usual.load_state_dict(child.state_dict())
                setattr(parent, name, usual)
    return net.train()


def adam(*nets: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam(list(parameters(*nets)), 2e-4, betas=(0.5, 0.999))


def require_grad(wanted: bool, *nets: nn.Module) -> None:
    for p in parameters(*nets):
        p.requires_grad = wanted


def parameters(*nets: nn.Module) -> Iterator[nn.Parameter]:
    for net in nets:
        yield from net.parameters()


def verdicts(loss: nn.Module, logits: Tensor, target: float) -> Tensor:
    """``loss`` of logits of any shape to a tensor full of one target."""
    return loss(logits, torch.full_like(logits, target))

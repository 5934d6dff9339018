"""Less memory for more time: activations are not kept for the way back but computed again then, piece by piece (Chen,
Xu, Zhang, Guestrin 2016, "Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from itertools import groupby
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from i2i.nets import lapgan, pixelda, resnet, srresnet

BLOCKS = (pixelda.Residual, resnet.Residual, srresnet.Residual)


def recompute(net: nn.Module) -> None:
    """From now on ``net`` keeps for its gradient no more than what goes into its pieces, and runs each of them once
    more when the gradient is due: the same numbers, bit for bit.

    A chain of residual blocks is cut at every block, and into what is before and after; a pyramid of LAPGAN, whose
    levels learn apart, into these. Any other network is one piece: a U-Net's skips would be kept anyway. Copies made
    later do the same; keys and weights stay as they are.
    """
    chains = [part for part in net.children() if isinstance(part, nn.Sequential)]
    if any(isinstance(layer, BLOCKS) for chain in chains for layer in chain):
        for chain in chains:
            chain.forward = MethodType(_by_pieces, chain)  # type: ignore[method-assign]
    else:
        for piece in net.levels if isinstance(net, lapgan.LapGAN) else [net]:
            piece.forward = MethodType(_whole, piece)


def _whole(net: nn.Module, *given: Any, **named: Any) -> Any:
    forward = partial(type(net).forward, net, **named)
    if not torch.is_grad_enabled():
        return forward(*given)
    before = AsBefore(net)
    return checkpoint(forward, *given, use_reentrant=False, context_fn=lambda: (nullcontext(), before))


def _by_pieces(chain: nn.Sequential, x: Tensor) -> Tensor:
    for piece in pieces(chain):
        x = _whole(piece, x)
    return x


def pieces(chain: nn.Sequential) -> Iterator[nn.Module]:
    """Each residual block, and what lies between them."""
    for block, layers in groupby(chain, lambda layer: isinstance(layer, BLOCKS)):
        if block:
            yield from layers
        else:
            yield nn.Sequential(*layers)


class AsBefore:
    """Inside, the buffers of ``net`` are what they were when this was made; outside, what they are by then. So the
    second run finds what the first one found, such as the vectors that estimate a spectral norm, and leaves no trace:
    running statistics count a batch once."""

    def __init__(self, net: nn.Module):
        places = ((layer, name, b) for layer in net.modules() for name, b in layer.named_buffers(recurse=False))
        self.before = [(layer, name, buffer.clone()) for layer, name, buffer in places]
        self.now: list[Tensor] = []

    def __enter__(self) -> None:
        # Not by copying into them: autograd would take what it has kept of them for damaged.
        self.now = [getattr(layer, name) for layer, name, _ in self.before]
        for layer, name, buffer in self.before:
            setattr(layer, name, buffer.clone())  # to be run once more, if the gradient is taken twice

    def __exit__(self, *failed: object) -> None:
        for (layer, name, _), buffer in zip(self.before, self.now, strict=True):
            setattr(layer, name, buffer)

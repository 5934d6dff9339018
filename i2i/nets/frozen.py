"""What cutting a picture into tiles needs to know of a network, and what it needs to hold still."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from i2i import nets
from i2i.nets.blocks import InstanceNorm

WORK = 2.5  # times its maps: what a run takes, with copies in the layout that convolutions like; 1.2 to 2.2 measured
FARTHEST = 4096  # pixels: what looks farther sees everything


def sees_whole(net: nn.Module) -> bool:
    """Whether its norms take statistics over the whole picture."""
    return any(isinstance(layer, InstanceNorm) for layer in net.modules())


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Inside, the statistics that norms take from the first picture are used for all that follow."""
    handles = [layer.register_forward_hook(First()) for layer in net.modules() if isinstance(layer, InstanceNorm)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class First:
    """A forward hook on an instance norm: from the second picture on, it answers with the statistics of the first."""

    def __init__(self) -> None:
        self.seen: tuple[Tensor, Tensor] | None = None

    def __call__(self, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0]
        if self.seen is None:
            var, mean = torch.var_mean(x, (0, 2, 3), correction=0)
            self.seen = mean, var
            return output
        return F.batch_norm(x, *self.seen, layer.weight, layer.bias, eps=layer.eps)


@torch.inference_mode()
def per_pixel(net: nn.Module, inputs: int, multiple: int) -> int:
    """Bytes for each pixel of a picture that a run of ``net``, [1, inputs, H, W], takes, its answer included."""
    side = multiple * math.ceil(64 / multiple)
    like = next(net.parameters())
    with Living() as living:
        net(torch.zeros(1, inputs, side, side, device=like.device, dtype=like.dtype))
    return math.ceil(WORK * living.most / side**2)


class Living(TorchDispatchMode):
    """How many bytes of what was computed inside were alive at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in made if isinstance(made, tuple | list) else [made]:
            if isinstance(one, Tensor) and (storage := one.untyped_storage()) not in self.known:
                self.known.add(storage)
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
                weakref.finalize(storage, self.gone, storage.nbytes())
        return made

    def gone(self, size: int) -> None:
        self.now -= size


@torch.inference_mode()
def reach(config: Any) -> int | None:
    """How many pixels around a block of ``multiple`` pixels the answer of such a network depends on, but for what its
    norms take from the whole picture; None: on all, or nearly.

    What is no number spreads to all that depends on it. It is put into one block; whatever it reaches in the answer
    depends on that block, and is thus as far from it as what the block itself depends on. How wide the network is
    makes no difference: one as narrow as can be is asked.
    """
    narrow: Any = nets.build(config.model_copy(update={"width": 1}))
    if nets.takes_mask(narrow):  # where nothing is known, it looks as far as it must
        return None
    net, multiple, inputs = without_norms(narrow.eval()), narrow.multiple, config.inputs
    height = 2 * multiple * math.ceil(8 / multiple)
    length = 8 * height
    while length <= 2 * FARTHEST:
        x = torch.zeros(1, inputs, height, length)
        start = length // 2 // multiple * multiple
        x[..., start : start + multiple] = math.nan
        y = net(x)
        hit = y.isnan().any(1).any(1)[0].nonzero()[:, 0]
        scale = y.shape[3] // length
        before, after = start - int(hit.min()) // scale, int(hit.max()) // scale + 1 - start - multiple
        if before < start and start + multiple + after < length:
            return max(before, after, 0)
        length *= 2
    return None


def without_norms(net: nn.Module) -> nn.Module:
    for name, child in net.named_children():
        norm = isinstance(child, InstanceNorm | nn.BatchNorm2d)
        setattr(net, name, nn.Identity() if norm else without_norms(child))
    return net

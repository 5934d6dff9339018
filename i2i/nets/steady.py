"""Norms by a picture's own statistics, held steady from one frame of a clip to the next: they flicker otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from i2i.nets.blocks import InstanceNorm

FRAMES = 16  # that the statistics remember: a frame counts 1/16, of the one 11 frames ago half is left


@contextmanager
def steady(net: nn.Module) -> Iterator[Callable[[], None]]:
    """Inside, all that ``net`` is given are the frames of one clip, in order; how many at once makes no difference.

    What an instance norm, or a batch norm that ``per_image`` has replaced, takes from a frame is averaged with what it
    took from those before: plainly over the first ``FRAMES``, then exponentially. So the first frame of a clip, and
    every frame of a clip without motion, comes out as a picture does. Yielded is a function that says that a new scene
    begins: the next frame counts as a first one.
    """
    running = [(layer, Running()) for layer in net.modules() if isinstance(layer, InstanceNorm)]
    handles = [layer.register_forward_hook(one) for layer, one in running]

    def new_scene() -> None:
        for _, one in running:
            one.seen = 0

    try:
        yield new_scene
    finally:
        for handle in handles:
            handle.remove()


class Running:
    """A forward hook on an instance norm: it answers in its place, from averaged statistics.

    The variance is that of all pixels together which the average covers: how far the means of frames lie apart is part
    of it. This bounds the answer where a frame has few pixels and differs from those before.
    """

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x = inputs[0].float()  # [N, C, H, W]
        if x.shape[2] * x.shape[3] == 1:  # a single pixel is its own mean: the layer gives its bias, steady as it is
            return output
        mean = x.mean((2, 3))
        var = (x - mean[..., None, None]).square().mean((2, 3))
        means, variances = [], []
        for new_mean, new_var in zip(mean, var, strict=True):
            self.seen += 1
            share = max(1 / self.seen, 1 / FRAMES)
            if self.seen == 1:
                self.mean, self.var = new_mean, new_var
            else:  # of two sets of pixels, weighted, the mean and the variance together
                apart = new_mean - self.mean
                self.mean = self.mean + share * apart
                self.var = (1 - share) * self.var + share * new_var + share * (1 - share) * apart**2
            means.append(self.mean)
            variances.append(self.var)
        scale = torch.rsqrt(torch.stack(variances) + layer.eps)
        if layer.weight is not None:
            scale = scale * layer.weight
        shift = -torch.stack(means) * scale
        if layer.bias is not None:
            shift = shift + layer.bias
        return (x * scale[..., None, None] + shift[..., None, None]).to(output.dtype)

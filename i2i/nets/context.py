"""The context generator: paints what is missing in a picture from what is around it (Denton, Gross, Fergus 2016,
arXiv:1611.06430; Pathak et al. 2016, "Context Encoders", arXiv:1604.07379)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Norm, ResizeConv, check, has_bias, norm_layer, widened
from i2i.nets.halving import Halve
from i2i.strict import Strict

DILATIONS = (1, 2, 4, 8)


class ContextConfig(Strict):
    """``halvings``, then ``blocks`` residual blocks that look farther and farther around, then as many doublings.

    ``low_resolution``: "known" fills the hole, before anything else, with ever coarser averages of the known pixels
    around it; "none" leaves it empty. The paper gives its generator the true low resolution of the hole as well, which
    nobody has who wants a hole filled: here training and use see the same.
    """

    net: Literal["context"] = "context"
    halvings: int = Field(3, ge=1, le=6)
    blocks: int = Field(4, ge=1, le=64)
    width: int = Field(32, ge=1, le=1024)
    norm: Norm = "instance"
    low_resolution: Literal["none", "known"] = "known"
    inputs: int = Field(3, ge=1, le=1024)  # of the picture; the mask is one more
    outputs: int = Field(3, ge=1, le=1024)


class Context(nn.Module):
    """[N, inputs + 1, H, W] -> [N, outputs, H, W] in [-1, 1].

    The last channel is the mask: 1 where the picture is missing, 0 where it is known. What the picture holds where it
    is missing has no influence. The answer is a whole picture; what is known is put back over it by ``completed``.

    Raises:
        ModelError: H or W is not a multiple of ``multiple``, or the channels are wrong.
    """

    def __init__(self, config: ContextConfig):
        super().__init__()
        # Twice what the halvings ask for: a norm by the picture's own statistics needs more than one innermost pixel.
        self.config, self.multiple, self.scale = config, 2 ** (config.halvings + 1), 1
        norm, bias = config.norm, has_bias(config.norm)
        widths = widened(config.width, config.halvings + 1)
        self.first = nn.Sequential(nn.Conv2d(config.inputs + 1, widths[0], 3, 1, 1), nn.LeakyReLU(0.2, True))
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for outer, inner in pairwise(widths):
            halve = Halve(outer, inner, bias)
            self.down.append(nn.Sequential(halve, norm_layer(norm, inner), nn.LeakyReLU(0.2, True)))
            merge = ResizeConv(inner, outer, bias=bias), norm_layer(norm, outer), nn.ReLU(True)
            self.up.append(nn.Sequential(*merge))
        around = (DILATIONS[i % len(DILATIONS)] for i in range(config.blocks))
        self.middle = nn.Sequential(*(Dilated(widths[-1], dilation, norm) for dilation in around))
        # What came in at full size is handed on beside what comes back, as in a U-Net; deeper levels are added.
        self.last = nn.Sequential(nn.Conv2d(2 * widths[0], config.outputs, 3, 1, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        check(x, "this context network", self.config.inputs + 1, self.multiple)
        picture, mask = x[:, :-1], x[:, -1:]
        empty = torch.zeros_like(picture)
        fill = coarse(picture, mask, self.config.halvings) if self.config.low_resolution == "known" else empty
        y = self.first(torch.cat([torch.where(mask > 0.5, fill, picture), mask], 1))
        skips = []
        for halve in self.down:
            skips.append(y)
            y = halve(y)
        y = self.middle(y)
        for level in reversed(range(1, len(skips))):
            y = self.up[level](y) + skips[level]
        return self.last(torch.cat([self.up[0](y), skips[0]], 1))


class Dilated(nn.Module):
    """Two 3x3 convolutions, the first with gaps of ``dilation`` (Yu, Koltun 2016, arXiv:1511.07122), added to what
    came in."""

    def __init__(self, width: int, dilation: int, norm: Norm):
        super().__init__()
        bias = has_bias(norm)
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=bias), norm_layer(norm, width), nn.ReLU(True),
            nn.Conv2d(width, width, 3, 1, 1, bias=bias), norm_layer(norm, width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


def coarse(picture: Tensor, mask: Tensor, halvings: int) -> Tensor:
    """``picture`` [N, C, H, W] with what is missing taken from the finest average that knows something.

    Averages of 2x2, 4x4, ... known pixels up to ``halvings``, then the mean of all that is known; 0 if nothing is.
    ``mask`` [N, 1, H, W] is 1 where the picture is missing.
    """
    known = (mask <= 0.5).to(picture.dtype)
    value = torch.where(known > 0, picture, torch.zeros_like(picture))
    levels = [(value, known)]
    for _ in range(halvings):
        # Known or not is 1 or 0 at every level: the smallest share but 0 is a quarter, so that nothing is divided by 0.
        share = F.avg_pool2d(known, 2)
        value = F.avg_pool2d(value * known, 2) / share.clamp(min=0.25)
        known = (share > 0).to(picture.dtype)
        levels.append((value, known))
    value, known = levels.pop()
    fill = (value * known).mean((2, 3), keepdim=True) / known.mean((2, 3), keepdim=True).clamp(min=1e-4)
    fill = known * value + (1 - known) * fill
    for value, known in reversed(levels):
        fill = known * value + (1 - known) * F.interpolate(fill, scale_factor=2.0, mode="nearest")
    return fill


def completed(painted: Tensor, picture: Tensor, mask: Tensor) -> Tensor:
    """The known pixels of ``picture`` and, where ``mask`` [N, 1, H, W] is 1, what was painted."""
    return torch.where(mask > 0.5, painted.to(picture.dtype), picture)

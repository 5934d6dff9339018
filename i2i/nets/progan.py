"""Networks that grow: Karras, Aila, Laine, Lehtinen 2018, "Progressive Growing of GANs for Improved Quality, Stability,
and Variation", arXiv:1710.10196, section 2 and table 2.

How far both have grown is the buffer ``grown``: 1.3 says that the smallest size has been doubled once, and that the
next one counts 0.3. Each size has layers between features and pictures of its own, of which the newest are faded in.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import check, widened
from i2i.nets.dcgan import smallest
from i2i.nets.drawn import DrawsConfig, asked
from i2i.nets.equalized import EqualConv, EqualLinear, Leaky, PixelNorm
from i2i.nets.stylegan2 import EqualizedCriticConfig, judging
from i2i.nets.styles import Times


class ProGANConfig(DrawsConfig):
    """``width`` channels at the full size, twice as many at each half, at most ``most`` times as many. The paper's, for
    1024 pixels: 16 to 512."""

    net: Literal["progan"] = "progan"
    width: int = Field(128, ge=1, le=1024)
    most: Times = 4


class ProGAN(nn.Module):
    """z [N, latent], with classes labels [N] -> [N, outputs, H, W], of the full size: what has not grown yet is what
    has, each pixel repeated. With ``doublings`` no more than so many sizes are run: the picture is as small as that.

    It starts fully grown. A picture is what a linear layer gives; in evaluation it is cut off at -1 and 1. Ours: the
    first layer has a bias for each place, not one for each channel.

    Raises:
        ModelError: a side of the size is no multiple of 4, or z or labels do not fit.
    """

    grown: Tensor

    def __init__(self, config: ProGANConfig):
        super().__init__()
        self.config = config
        self.doublings, left = smallest(config.size)
        widths = widened(config.width, self.doublings + 1, config.most)[::-1]
        most = widths[0]
        self.first = nn.Sequential(
            PixelNorm(), EqualLinear(config.latent + config.classes, most * left[0] * left[1]),
            nn.Unflatten(1, (most, *left)), Leaky(), PixelNorm(), *drawing(most, most),
        )  # fmt: skip
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), *drawing(inner, outer), *drawing(outer, outer))
            for inner, outer in pairwise(widths)
        )
        self.pictures = nn.ModuleList(EqualConv(width, config.outputs, 1) for width in widths)
        self.register_buffer("grown", torch.tensor(float(self.doublings)))

    def forward(self, z: Tensor, labels: Tensor | None = None, doublings: int | None = None) -> Tensor:
        x = self.first(asked(z, labels, self.config))
        drawn = self.pictures[0](x)
        for i, block in enumerate(list(self.blocks)[:doublings]):
            x = block(x)
            drawn = faded(doubled(drawn), self.pictures[i + 1](x), share(self.grown, i))
        return drawn if self.training else drawn.clamp(-1, 1)


def drawing(inputs: int, outputs: int) -> list[nn.Module]:
    return [EqualConv(inputs, outputs, 3), Leaky(), PixelNorm()]


class ProGANCriticConfig(EqualizedCriticConfig):
    """See ``EqualizedCriticConfig``."""

    net: Literal["progan_critic"] = "progan_critic"


class ProGANCritic(nn.Module):
    """[N, inputs, H, W] of the size in its config -> [N, answers], the mirror image of ``ProGAN``. With ``doublings``
    pictures are no larger than so many give.

    Raises:
        ModelError: of another size, a side is no multiple of 4, or the channels are wrong.
    """

    grown: Tensor

    def __init__(self, config: ProGANCriticConfig):
        super().__init__()
        self.config = config
        self.doublings, self.left = smallest(config.size)
        widths = widened(config.width, self.doublings + 1, config.most)[::-1]
        self.pictures = nn.ModuleList(nn.Sequential(EqualConv(config.inputs, width, 1), Leaky()) for width in widths)
        self.blocks = nn.ModuleList(
            nn.Sequential(EqualConv(outer, outer, 3), Leaky(), EqualConv(outer, inner, 3), Leaky(), nn.AvgPool2d(2))
            for inner, outer in pairwise(widths)
        )
        self.last = nn.Sequential(*judging(widths[0], self.left))
        self.head = EqualLinear(widths[0], config.answers)
        self.register_buffer("grown", torch.tensor(float(self.doublings)))

    def features(self, x: Tensor, doublings: int | None = None) -> Tensor:
        """[N, F]: what comes before the verdict."""
        sizes = self.doublings if doublings is None else doublings
        check(x, "this critic", self.config.inputs, size=(self.left[0] * 2**sizes, self.left[1] * 2**sizes))
        seen = self.pictures[sizes](x)
        for i in reversed(range(sizes)):
            x = halved(x)
            seen = faded(self.pictures[i](x), self.blocks[i](seen), share(self.grown, i))
        return self.last(seen)

    def forward(self, x: Tensor, doublings: int | None = None) -> Tensor:
        return self.head(self.features(x, doublings))


def share(grown: Tensor, i: int) -> Tensor:
    """What the size after the ``i``-th counts: the paper's alpha, 0 before it is faded in and 1 from then on."""
    return (grown - i).clamp(0, 1)


def faded(old: Tensor, new: Tensor, alpha: Tensor | float) -> Tensor:
    """From the old to the new (arXiv:1710.10196, figure 2). At 0 and 1 it is exactly one of them, and no gradient goes
    to the other."""
    return (1 - alpha) * old + alpha * new


def doubled(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, 2 H, 2 W]: each pixel repeated."""
    return F.interpolate(x, scale_factor=2.0)


def halved(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, H / 2, W / 2]: the mean of four."""
    return F.avg_pool2d(x, 2)

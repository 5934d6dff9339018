"""StyleGAN: Karras, Laine, Aila 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks",
arXiv:1812.04948: the generator; the critic is that of Karras et al. 2018, arXiv:1710.10196."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from i2i.nets.blocks import InstanceNorm, widened
from i2i.nets.dcgan import smallest
from i2i.nets.equalized import EqualConv, EqualLinear, Leaky
from i2i.nets.stylegan2 import EqualizedCritic, EqualizedCriticConfig, blurred, doubled
from i2i.nets.styles import Noise, Styled, StyledConfig


class StyleGANConfig(StyledConfig):
    """See ``StyledConfig``."""

    net: Literal["stylegan"] = "stylegan"


class StyleGAN(Styled):
    """A generator, see ``Styled``: a learned constant is doubled, with two layers at each size, the first of which
    needs no convolution. Ours: the whole is trained at once, not grown, and the constant starts from random values: the
    paper's ones have no deviation that could be normalized.

    Raises:
        ModelError: a side of the size is no multiple of 4.
    """

    def __init__(self, config: StyleGANConfig):
        doublings, left = smallest(config.size)
        super().__init__(config, 2 * doublings + 2)
        widths = widened(config.width, doublings + 1, config.most)[::-1]
        self.constant = nn.Parameter(torch.randn(1, widths[0], *left))
        self.convolutions, self.layers = nn.ModuleList(), nn.ModuleList()
        for i, (inner, outer) in enumerate(pairwise([0, *widths])):
            size = (left[0] * 2**i, left[1] * 2**i)
            self.convolutions.append(EqualConv(inner, outer, 3, bias=False) if i else nn.Identity())
            self.convolutions.append(EqualConv(outer, outer, 3, bias=False))
            self.layers += [Adaptive(outer, size, config.style) for _ in range(2)]
        self.last = EqualConv(widths[-1], config.outputs, 1)

    def picture(self, w: Tensor) -> Tensor:
        x = self.constant.expand(len(w), -1, -1, -1)
        for i, (convolution, layer) in enumerate(zip(self.convolutions, self.layers, strict=True)):
            x = layer(convolution(doubled(x) if i and i % 2 == 0 else x), w[:, i])
        return self.last(x)


class Adaptive(nn.Module):
    """Noise, bias, leaky ReLU; then every channel of every picture is normalized, scaled and shifted by the style
    (arXiv:1812.04948, eq. 1): [N, C, H, W], [N, style] -> [N, C, H, W]."""

    def __init__(self, channels: int, size: tuple[int, int], style: int):
        super().__init__()
        self.noise = Noise(size, channels)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.activation, self.norm = Leaky(), InstanceNorm(channels)
        self.scale, self.shift = EqualLinear(style, channels, start=1.0), EqualLinear(style, channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = self.norm(self.activation(self.noise(x) + self.bias))
        return self.scale(w)[..., None, None] * x + self.shift(w)[..., None, None]


class StyleGANCriticConfig(EqualizedCriticConfig):
    """See ``EqualizedCriticConfig``."""

    net: Literal["stylegan_critic"] = "stylegan_critic"


class StyleGANCritic(EqualizedCritic):
    """With two convolutions at each size, the second one of stride 2 after a blur."""

    def halving(self, outer: int, inner: int) -> list[nn.Module]:
        return [EqualConv(outer, outer, 3), Leaky(), Blur(), EqualConv(outer, inner, 3, stride=2), Leaky()]


class Blur(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return blurred(x, around=2)

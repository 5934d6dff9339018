"""StyleGAN2: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila 2020, "Analyzing and Improving the Image Quality of
StyleGAN", arXiv:1912.04958: a generator with skips to the picture, a residual critic (section 4.1)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import check, widened
from i2i.nets.dcgan import smallest
from i2i.nets.drawn import SeesConfig
from i2i.nets.equalized import BatchDeviation, EqualConv, EqualLinear, Leaky
from i2i.nets.styles import Noise, Styled, StyledConfig, Times


class StyleGAN2Config(StyledConfig):
    """See ``StyledConfig``."""

    net: Literal["stylegan2"] = "stylegan2"


class StyleGAN2(Styled):
    """A generator, see ``Styled``: a learned constant is doubled, with two modulated convolutions at each size, and at
    each size something is added to the picture.

    Raises:
        ModelError: a side of the size is no multiple of 4.
    """

    def __init__(self, config: StyleGAN2Config):
        doublings, left = smallest(config.size)
        super().__init__(config, 2 * doublings + 2)
        widths = widened(config.width, doublings + 1, config.most)[::-1]
        self.constant = nn.Parameter(torch.randn(1, widths[0], *left))
        layers, pictures = [StyledLayer(widths[0], widths[0], left, config.style)], []
        for i, (inner, outer) in enumerate(pairwise(widths), start=1):
            size = (left[0] * 2**i, left[1] * 2**i)
            layers += [StyledLayer(a, outer, size, config.style) for a in (inner, outer)]
        for width in widths:
            pictures.append(ToPicture(width, config.outputs, config.style))
        self.layers, self.pictures = nn.ModuleList(layers), nn.ModuleList(pictures)

    def picture(self, w: Tensor) -> Tensor:
        x = self.layers[0](self.constant.expand(len(w), -1, -1, -1), w[:, 0])
        drawn = self.pictures[0](x, w[:, 1])
        for i, to_picture in enumerate(list(self.pictures)[1:]):
            first, second = self.layers[2 * i + 1], self.layers[2 * i + 2]
            x = second(first(doubled(x), w[:, 2 * i + 1]), w[:, 2 * i + 2])
            drawn = doubled(drawn) + to_picture(x, w[:, 2 * i + 3])
        return drawn


class Modulated(nn.Module):
    """A convolution whose weights are scaled for each picture by its style, and then so that the output has variance 1
    where the input has (arXiv:1912.04958, eq. 1 to 3).

    Scaling what goes in and what comes out is the same as scaling the weights, without weights for each picture.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, style: int, demodulate: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.style = EqualLinear(style, inputs, start=1.0)
        self.scale, self.padding, self.demodulate = 1 / math.sqrt(inputs * kernel**2), kernel // 2, demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        s, weight = self.style(w), self.weight * self.scale
        y = F.conv2d(x * s[..., None, None], weight, padding=self.padding)
        if not self.demodulate:
            return y
        power = s.float().square() @ weight.float().square().sum((2, 3)).T
        return y * torch.rsqrt(power + 1e-8)[..., None, None]


class StyledLayer(nn.Module):
    """A modulated convolution of 3 x 3, noise, bias, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, size: tuple[int, int], style: int):
        super().__init__()
        self.conv = Modulated(inputs, outputs, 3, style, demodulate=True)
        self.noise = Noise(size, 1)
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))
        self.activation = Leaky()

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.activation(self.noise(self.conv(x, w)) + self.bias)


class ToPicture(nn.Module):
    """Features to a picture: modulated, and not demodulated."""

    def __init__(self, inputs: int, outputs: int, style: int):
        super().__init__()
        self.conv = Modulated(inputs, outputs, 1, style, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(outputs, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        return self.conv(x, w) + self.bias


class EqualizedCriticConfig(SeesConfig):
    """``width`` channels at the full size, twice as many at each half, at most ``most`` times as many."""

    spectral: ClassVar[bool] = False  # other critics can bound their slope so
    width: int = Field(128, ge=1, le=1024)
    most: Times = 4


class EqualizedCritic(nn.Module):
    """[N, inputs, H, W] of the size in its config -> [N, answers]: ``halving`` at each size, what the batch differs by,
    a convolution and two linear layers.

    Raises:
        ModelError: of another size, a side is no multiple of 4, or the channels are wrong.
    """

    def __init__(self, config: EqualizedCriticConfig):
        super().__init__()
        self.config = config
        halvings, left = smallest(config.size)
        widths = widened(config.width, halvings + 1, config.most)
        last = widths[-1]
        self.trunk = nn.Sequential(
            EqualConv(config.inputs, widths[0], 1), Leaky(),
            *(layer for outer, inner in pairwise(widths) for layer in self.halving(outer, inner)),
            *judging(last, left),
        )  # fmt: skip
        self.head = EqualLinear(last, config.answers)

    def halving(self, outer: int, inner: int) -> list[nn.Module]:
        """The layers from one size to the next: [N, outer, H, W] -> [N, inner, H / 2, W / 2]."""
        raise NotImplementedError

    def features(self, x: Tensor) -> Tensor:
        """[N, F]: what comes before the verdict."""
        check(x, "this critic", self.config.inputs, size=self.config.size)
        return self.trunk(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def judging(channels: int, size: tuple[int, int]) -> list[nn.Module]:
    """The last layers before a verdict: [N, channels, H, W] of ``size`` -> [N, channels]."""
    return [
        BatchDeviation(), EqualConv(channels + 1, channels, 3), Leaky(), nn.Flatten(),
        EqualLinear(channels * size[0] * size[1], channels), Leaky(),
    ]  # fmt: skip


class StyleGAN2CriticConfig(EqualizedCriticConfig):
    """See ``EqualizedCriticConfig``."""

    net: Literal["stylegan2_critic"] = "stylegan2_critic"


class StyleGAN2Critic(EqualizedCritic):
    """With residual blocks."""

    def halving(self, outer: int, inner: int) -> list[nn.Module]:
        return [Halving(outer, inner)]


class Halving(nn.Module):
    """Two convolutions, the second of stride 2, beside one of 1 x 1: [N, C, H, W] -> [N, outputs, H / 2, W / 2]."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first, self.second = EqualConv(inputs, inputs, 3), EqualConv(inputs, outputs, 3, stride=2)
        self.beside = EqualConv(inputs, outputs, 1, bias=False)
        self.activation = Leaky()

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.first(x))
        y = self.activation(self.second(blurred(y, around=2)))
        return (y + self.beside(blurred(x, around=1, stride=2))) / math.sqrt(2)


def doubled(x: Tensor) -> Tensor:
    """By the filter 1, 3, 3, 1: that is the bilinear interpolation, but for the borders."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def blurred(x: Tensor, around: int, stride: int = 1) -> Tensor:
    """By the filter 1, 3, 3, 1 in both directions, after so many zeros at each side."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], device=x.device, dtype=x.dtype) / 8
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, stride=stride, padding=around, groups=x.shape[1])

"""Layers at an equalized learning rate, and what goes with them: Karras, Aila, Laine, Lehtinen 2018, "Progressive
Growing of GANs for Improved Quality, Stability, and Variation", arXiv:1710.10196, section 4 and 3."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EqualLinear(nn.Module):
    """[N, inputs] -> [N, outputs]. Weights are drawn from N(0, 1) and multiplied when used by what makes the variance
    of the output that of the input, so that an optimizer moves all layers alike.

    ``start``: the first value of each bias. ``rate``: of learning, by that of other layers; weights start at N(0,
    1 / rate), as large when used (Karras et al. 2019, arXiv:1812.04948, appendix C).
    """

    def __init__(self, inputs: int, outputs: int, start: float = 0.0, rate: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), start / rate))
        self.scale, self.rate = rate / math.sqrt(inputs), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualConv(nn.Module):
    """A convolution of ``kernel`` x ``kernel``, as ``EqualLinear``. Without padding where it has a stride."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale, self.stride = 1 / math.sqrt(inputs * kernel**2), stride
        self.padding = kernel // 2 if stride == 1 else 0

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, self.bias, self.stride, self.padding)


class Leaky(nn.Module):
    """Leaky ReLU; times the square root of 2 it keeps the variance, to which equalized layers are scaled."""

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, 0.2) * math.sqrt(2)


class PixelNorm(nn.Module):
    """The values of each place, or of each row [N, C], to mean square 1 (arXiv:1710.10196, eq. 2)."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


class BatchDeviation(nn.Module):
    """[N, C, H, W] -> [N, C + 1, H, W]: the last channel says how much pictures of a group of ``most`` differ, the mean
    over all features and places of their standard deviation (arXiv:1710.10196, section 3)."""

    def __init__(self, most: int = 4):
        super().__init__()
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        group = next(n for n in range(min(self.most, len(x)), 0, -1) if len(x) % n == 0)
        together = x.float().unflatten(0, (group, -1))  # [group, N / group, C, H, W]
        deviation = (together.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
        said = deviation.repeat(group).to(x.dtype)[:, None, None, None]
        return torch.cat([x, said.expand(-1, 1, *x.shape[2:])], 1)

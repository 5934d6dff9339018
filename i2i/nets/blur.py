"""Halving with a blur, so that what moves by a pixel is not sampled otherwise (Zhang 2019, "Making convolutional
networks shift-invariant again", arXiv:1904.11486), with the filters and borders of CUT (Park et al. 2020,
arXiv:2007.15651)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Blur(nn.Module):
    """[N, C, H, W] -> [N, C, H / 2, W / 2], H and W even: every second pixel after a filter of 1, 2, 1; reflected.

    That filter is the mean of two neighbors, twice.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.avg_pool2d(F.pad(x, [1] * 4, mode="reflect"), 2, 1), 2, 2)


class BlurUp(nn.Module):
    """[N, C, H, W] -> [N, C, 2 H, 2 W]: zeros between the pixels, then a filter of 1, 3, 3, 1; edges are repeated.

    That is linear interpolation: 3/4 of the nearest pixel and 1/4 of the next, on each axis.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)

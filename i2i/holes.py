"""Holes for training: which pixels of a picture are taken away, drawn at random where the pictures are."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Holes = Literal["square", "free-form"]

SEGMENTS = 8  # of a free-form stroke


def draw(kind: Holes, x: Tensor, share: tuple[float, float]) -> Tensor:
    """A hole for every picture of ``x`` [N, C, H, W]: float32 [N, 1, H, W], 1 where it is missing; never empty.

    Each draws its own size, a share of the shorter side between the two of ``share``: the side of a square, or the
    reach of each segment of a stroke. From torch's global random numbers, on the device of ``x``.
    """
    count, _, height, width = x.shape
    low, high = share
    size = (low + (high - low) * torch.rand(count, device=x.device)) * min(height, width)
    return (squares if kind == "square" else strokes)(size, height, width)


def squares(size: Tensor, height: int, width: int) -> Tensor:
    """One square for each of ``size`` [N] pixels, rounded, anywhere inside the picture."""
    side = size.round().clamp(min=1)
    top = (torch.rand_like(side) * (height - side + 1)).floor()
    left = (torch.rand_like(side) * (width - side + 1)).floor()
    rows = _between(torch.arange(height, device=size.device), top, side)
    columns = _between(torch.arange(width, device=size.device), left, side)
    return (rows[:, None, :, None] & columns[:, None, None, :]).float()


def _between(places: Tensor, first: Tensor, count: Tensor) -> Tensor:
    return (places >= first[:, None]) & (places < (first + count)[:, None])


def strokes(size: Tensor, height: int, width: int) -> Tensor:
    """One stroke of a brush a quarter of ``size`` [N] wide: ``SEGMENTS`` segments of up to ``size`` each that turn by
    up to 90 degrees, from anywhere inside; in the manner of Yu et al. 2019, arXiv:1806.03589, with a simpler walk."""
    count, device = len(size), size.device
    bounds = torch.tensor([height, width], device=device)
    start = (torch.rand(count, 1, 2, device=device) * bounds).floor()  # a pixel: even the thinnest brush meets it
    turn = (torch.rand(count, SEGMENTS, device=device) - 0.5) * torch.pi
    turn[:, 0] *= 4  # the first direction is any
    angle = turn.cumsum(1)
    length = torch.rand(count, SEGMENTS, device=device) * size[:, None]
    moves = length[..., None] * torch.stack([angle.sin(), angle.cos()], 2)
    ends = torch.minimum((start + moves.cumsum(1)).clamp(min=0), bounds - 1)
    begins = torch.cat([start, ends[:, :-1]], 1)
    rows, columns = torch.meshgrid(*(torch.arange(s, device=device) for s in (height, width)), indexing="ij")
    pixels = torch.stack([rows, columns], 2).float()  # [H, W, 2]
    reach = (size / 8).clamp(min=0.5)[:, None, None]
    hole = torch.zeros(count, height, width, dtype=torch.bool, device=device)
    for begin, end in zip(begins.unbind(1), ends.unbind(1), strict=True):
        hole |= _distance(pixels, begin, end) <= reach
    return hole[:, None].float()


def _distance(pixels: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    """Of each pixel [H, W, 2] from each segment [N, 2] -> [N, 2]: [N, H, W]."""
    along = (end - begin)[:, None, None]
    away = pixels - begin[:, None, None]
    share = ((away * along).sum(3) / along.square().sum(3).clamp(min=1e-9)).clamp(0, 1)
    return (away - share[..., None] * along).square().sum(3).sqrt()

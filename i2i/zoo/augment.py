"""DiffAugment: Zhao, Liu, Lin, Zhu, Han 2020, "Differentiable Augmentation for Data-Efficient GAN Training",
arXiv:2006.10738: D sees all pictures, real and drawn, only through random changes that gradients flow through.

Each picture has its own change, from torch's global random numbers, with the ranges of the released program: pictures
are [N, C, H, W] in [-1, 1], and what comes in from outside is 0, the middle gray.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Change = Literal["color", "translation", "cutout"]


def augment(x: Tensor, policy: Sequence[Change]) -> Tensor:
    for name in policy:
        x = CHANGES[name](x)
    return x


def color(x: Tensor) -> Tensor:
    """Brightness up or down by 0.5 at most, saturation times 0 to 2, contrast times 0.5 to 1.5."""
    brightness, saturation, contrast = torch.rand(3, len(x), 1, 1, 1, device=x.device)
    x = x + brightness - 0.5
    gray = x.mean(1, keepdim=True)
    x = (x - gray) * (2 * saturation) + gray
    middle = x.mean((1, 2, 3), keepdim=True)
    return (x - middle) * (contrast + 0.5) + middle


def translation(x: Tensor) -> Tensor:
    """Shifted by an eighth of each side at most."""
    places = []
    for side in x.shape[2:]:
        most = rounded(side / 8)
        shift = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
        places.append((torch.arange(side, device=x.device) + shift + 1).clamp(0, side + 1))  # 0 and side + 1: outside
    rows, columns = places
    every = torch.arange(len(x), device=x.device)[:, None, None]
    shifted = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)[every, rows[:, :, None], columns[:, None, :]]
    return shifted.permute(0, 3, 1, 2).contiguous()


def cutout(x: Tensor) -> Tensor:
    """A rectangle of half the height and half the width is blanked; its middle is anywhere in the picture."""
    inside = []
    for side in x.shape[2:]:
        length = rounded(side / 2)
        first = torch.randint(0, side + 1 - length % 2, (len(x), 1), device=x.device) - length // 2
        place = torch.arange(side, device=x.device)
        inside.append((place >= first) & (place < first + length))
    rows, columns = inside
    return x.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def rounded(value: float) -> int:
    """A half is rounded up, as in the released program."""
    return int(value + 0.5)


CHANGES: dict[Change, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}

"""Networks of other projects that take and give other values than [-1, 1]: mapped on the way in and out, exactly."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from i2i.nets.vgg import MEAN, STD

Values = Literal["signed", "unit", "imagenet"]
"""``signed``: from -1 to 1; ``unit``: from 0 to 1; ``imagenet``: the latter, normalized by ImageNet's colors."""


def inward(x: Tensor, values: Values) -> Tensor:
    """A picture in [-1, 1], as a network that takes ``values`` wants it; [N, C, H, W], ``imagenet``: C = 3."""
    if values == "signed":
        return x
    unit = (x + 1) / 2
    return unit if values == "unit" else (unit - _color(MEAN, x)) / _color(STD, x)


def outward(y: Tensor, values: Values) -> Tensor:
    """The inverse of ``inward``."""
    if values == "signed":
        return y
    return 2 * (y if values == "unit" else y * _color(STD, y) + _color(MEAN, y)) - 1


def _color(numbers: tuple[float, ...], like: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=like.dtype, device=like.device)[:, None, None]

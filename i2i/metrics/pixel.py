"""Measures that compare a picture with its target, pixel by pixel."""

from __future__ import annotations

from kornia.metrics import psnr
from torch import Tensor


def as_written(x: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1] in steps of 1/255, float64: the values that a written 8-bit picture has."""
    return ((x.double() + 1) * 127.5).round().clamp(0, 255) / 255


def psnr_rgb(output: Tensor, target: Tensor) -> list[float]:
    """Peak signal-to-noise ratio in dB of every picture of a batch, over all its channels, as 8-bit pictures.

    [N, C, H, W] in [-1, 1] each. Equal pictures count as 100 dB, so that a mean stays finite.
    """
    pairs = zip(as_written(output), as_written(target), strict=True)
    return [min(100.0, psnr(x, y, max_val=1.0).item()) for x, y in pairs]


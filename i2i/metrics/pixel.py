"""Measures that compare a picture with its target, pixel by pixel. All see 8-bit pictures, as they would be written.

``..._rgb``: all channels, nothing cut off. ``..._y_b4``: the convention of super-resolution tables (Ledig et al. 2017,
arXiv:1609.04802, section 3.1): the Y channel, four pixels cut off at each border.
"""

from __future__ import annotations

from kornia.metrics import psnr, ssim
from torch import Tensor

PERFECT = 100.0  # dB that equal pictures count as, so that a mean stays finite
BORDER = 4  # pixels
WINDOW = 11  # pixels of the window of SSIM


def as_written(x: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1] in steps of 1/255, float64: the values that a written 8-bit picture has."""
    x = x.cpu() if x.device.type == "mps" else x  # which has no float64
    return ((x.double() + 1) * 127.5).round().clamp(0, 255) / 255


def psnr_rgb(output: Tensor, target: Tensor) -> list[float]:
    """Peak signal-to-noise ratio in dB of every picture of a batch, over all its channels, as 8-bit pictures.

    [N, C, H, W] in [-1, 1] each. Equal pictures count as 100 dB, so that a mean stays finite.
    """
    return _psnr(255 * as_written(output), 255 * as_written(target))


def ssim_rgb(output: Tensor, target: Tensor) -> list[float]:
    """Structural similarity of every picture, the mean over its channels; see ``_ssim``."""
    return _ssim(255 * as_written(output), 255 * as_written(target))


def l1_rgb(output: Tensor, target: Tensor) -> list[float]:
    """Mean absolute difference of every picture, over all its channels; 1 is from black to white."""
    return (as_written(output) - as_written(target)).abs().flatten(1).mean(1).tolist()


def psnr_y_b4(output: Tensor, target: Tensor) -> list[float]:
    """Peak signal-to-noise ratio in dB of every picture, of its Y channel without the border; the peak is 255."""
    return _psnr(_inner(luma(output)), _inner(luma(target)))


def ssim_y_b4(output: Tensor, target: Tensor) -> list[float]:
    """Structural similarity of every picture, of its Y channel without the border; see ``_ssim``."""
    return _ssim(_inner(luma(output)), _inner(luma(target)))


def luma(x: Tensor) -> Tensor:
    """Y of ITU-R BT.601 as MATLAB's rgb2ycbcr has it: 16 to 235, float64 [N, 1, H, W], not rounded.

    It comes from 8-bit RGB. A gray picture's Y is its value as it is.
    """
    levels = 255 * as_written(x)
    if levels.shape[1] == 1:
        return levels
    red, green, blue = levels.split(1, dim=1)
    return 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255


def _inner(x: Tensor) -> Tensor:
    return x[..., BORDER:-BORDER, BORDER:-BORDER]


def _psnr(x: Tensor, y: Tensor) -> list[float]:
    return [min(PERFECT, psnr(a, b, max_val=255.0).item()) for a, b in zip(x, y, strict=True)]


def _ssim(x: Tensor, y: Tensor) -> list[float]:
    """Wang, Bovik, Sheikh, Simoncelli 2004 (doi:10.1109/TIP.2003.819861): Gaussian window of 11 pixels and sigma 1.5,
    K1 = 0.01, K2 = 0.03, L = 255; the mean over the places where the window lies inside the picture."""
    return ssim(x, y, WINDOW, max_val=255.0, padding="valid").flatten(1).mean(1).tolist()

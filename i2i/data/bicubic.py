"""Bicubic resizing as MATLAB's imresize does it, which is how super-resolution papers make and measure their pictures.

The cubic kernel of Keys 1981 ("Cubic convolution interpolation for digital image processing", a = -1/2); made wider
when the picture shrinks, so that nothing aliases; pixels beyond the border are reflected. Sizes in pixels.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np


def imresize(picture: np.ndarray, scale: float) -> np.ndarray:
    """[H, W, ...] -> [ceil(H * scale), ceil(W * scale), ...], uint8 or floating.

    uint8 is rounded after each direction, as MATLAB does; floats are neither rounded nor clipped.
    """
    if scale == 1:
        return picture.copy()
    height, width = (math.ceil(side * scale) for side in picture.shape[:2])
    down = _along(picture, _weights(picture.shape[0], height, scale))
    return _along(down.swapaxes(0, 1), _weights(picture.shape[1], width, scale)).swapaxes(0, 1)


def _along(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The first direction resized: ``weights`` is [new, old]."""
    whole = picture.dtype == np.uint8
    flat = picture.reshape(len(picture), -1).astype(np.float64 if picture.dtype == np.float64 else np.float32)
    done = (weights.astype(flat.dtype) @ flat).reshape(len(weights), *picture.shape[1:])
    return np.clip(np.floor(done + 0.5), 0, 255).astype(np.uint8) if whole else done


@lru_cache(maxsize=256)
def _weights(old: int, new: int, scale: float) -> np.ndarray:
    """[new, old]: how much each old pixel gives to each new one."""
    width = 4 / min(scale, 1)  # of the kernel, in old pixels
    at = (np.arange(new) + 0.5) / scale - 0.5  # the centers of new pixels, counted in old ones
    first = np.floor(at - width / 2).astype(int)
    taps = first[:, None] + np.arange(math.ceil(width) + 2)
    shares = cubic((at[:, None] - taps) * min(scale, 1))
    shares /= shares.sum(1, keepdims=True)
    period = np.concatenate([np.arange(old), np.arange(old)[::-1]])  # reflected, the border pixel twice
    weights = np.zeros((new, old))
    np.add.at(weights, (np.arange(new)[:, None], period[taps % len(period)]), shares)
    return weights


def cubic(x: np.ndarray) -> np.ndarray:
    """The kernel of Keys 1981, a = -1/2, at distances ``x``."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))

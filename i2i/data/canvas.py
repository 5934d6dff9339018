"""Painting by signed distance in numpy: a canvas that holds a picture and its label map, and a few shapes and lights.

Lengths are in units of 1/128 of the image, x to the right, y down, so that a drawing looks the same at any size. A
shape is a signed distance, positive inside: half a pixel around zero is the smooth edge of the picture, the sign is
the label. Colors are float64 [3, H, W] or broadcast to it, 0 to 255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

UNIT = 128.0
Draw = Callable[[], float]  # the next random number in [0, 1)

# Far from each other and from the painted colors: a label map shown as it is must be a poor picture.
PALETTE: dict[str, tuple[int, int, int]] = {
    "sky": (0, 0, 200),
    "cloud": (0, 220, 255),
    "light": (255, 0, 255),  # the sun, and lit windows
    "mountain": (110, 0, 170),
    "hill": (0, 110, 0),
    "grass": (0, 255, 0),
    "water": (0, 90, 255),
    "path": (255, 255, 0),
    "tree": (0, 160, 110),
    "wood": (255, 130, 0),  # trunks, doors, fences
    "wall": (170, 0, 0),
    "roof": (255, 0, 0),
}
COLORS = np.array(list(PALETTE.values()), dtype=np.uint8)
SKY, CLOUD, LIGHT, MOUNTAIN, HILL, GRASS, WATER, PATH, TREE, WOOD, WALL, ROOF = range(len(PALETTE))


@dataclass(frozen=True)
class Canvas:
    """What is painted, and where its pixels are."""

    picture: np.ndarray  # float64 [3, H, W]
    label: np.ndarray  # uint8 [H, W], a number per region
    x: np.ndarray  # [1, W], middles of the pixels, in units
    y: np.ndarray  # [H, 1]
    scale: float  # pixels per unit

    @classmethod
    def blank(cls, size: int) -> Canvas:
        middle = (np.arange(size) + 0.5) * (UNIT / size)
        picture, label = np.zeros((3, size, size)), np.zeros((size, size), np.uint8)
        return cls(picture, label, middle[None], middle[:, None], size / UNIT)

    def crop(self, left: float, top: float, right: float, bottom: float) -> Canvas:
        """A view of a whole canvas between these lines and a pixel more: painting on it paints the whole."""
        size = self.label.shape[0]
        x0, y0 = (min(size, max(0, int(v * self.scale) - 1)) for v in (left, top))
        x1, y1 = (min(size, max(0, int(v * self.scale) + 2)) for v in (right, bottom))
        picture, label = self.picture[:, y0:y1, x0:x1], self.label[y0:y1, x0:x1]
        return Canvas(picture, label, self.x[:, x0:x1], self.y[y0:y1], self.scale)

    def fill(self, label: int, inside: np.ndarray, color: np.ndarray) -> None:
        """Paint a region; ``inside`` is its signed distance in units."""
        self.tint(np.clip(inside * self.scale + 0.5, 0, 1), color)
        self.label[np.broadcast_to(inside > 0, self.label.shape)] = label

    def tint(self, amount: np.ndarray, color: np.ndarray) -> None:
        """Blend toward ``color`` by ``amount`` (0 to 1); labels stay."""
        self.picture[...] += (color - self.picture) * amount


def rgb(red: float, green: float, blue: float) -> np.ndarray:
    return np.array([red, green, blue], dtype=np.float64)[:, None, None]


def mix(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """From color a (t = 0) to color b (t = 1)."""
    return a + (b - a) * np.clip(t, 0, 1)


def step(low: float, high: float, v: np.ndarray) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((v - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def wave(v: np.ndarray, period: float) -> np.ndarray:
    return np.sin(v * (2 * np.pi / period))


def ball(c: Canvas, x: float, y: float, rx: float, ry: float) -> tuple[np.ndarray, np.ndarray]:
    """An ellipse: (signed distance, light on it as on a ball lit from the upper left, 0 to 1)."""
    u, v = (c.x - x) / rx, (c.y - y) / ry
    r2 = u * u + v * v
    light = 0.42 - 0.40 * u - 0.50 * v + 0.25 * np.sqrt(np.clip(1 - r2, 0, 1))
    return (1 - np.sqrt(r2)) * min(rx, ry), np.clip(light, 0, 1)


def polygon(c: Canvas, *corners: tuple[float, float]) -> np.ndarray:
    """A convex polygon, corners clockwise as seen: its signed distance."""
    inside = np.full(c.label.shape, np.inf)
    for (x0, y0), (x1, y1) in zip(corners, (*corners[1:], corners[0]), strict=True):
        dx, dy = x1 - x0, y1 - y0
        inside = np.minimum(inside, (dx * (c.y - y0) - dy * (c.x - x0)) / np.hypot(dx, dy))
    return inside


def box(c: Canvas, left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.minimum(np.minimum(c.x - left, right - c.x), np.minimum(c.y - top, bottom - c.y))


def bricks(c: Canvas, width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Place within a brick of a wall laid in half bond, on a fixed grid: across (-1 to 1), down (0 to 1)."""
    shift = width / 2 * (np.floor(c.y / height) % 2)
    return (c.x + shift) % width * (2 / width) - 1, c.y % height / height

"""The figure of the toys: for each loss its points on every mixture, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image, ImageDraw

from i2i import sheets
from i2i.zoo.mixtures import COUNT, Mixture

SIDE, SCALE = 180, 3  # pixels of a square; it is painted so many times as large, then reduced: dots are smooth
PAPER, MODE, DOT = (255, 255, 255), (228, 214, 188), (25, 80, 160)
EDGE = 1.25  # the square shows so many times what the modes span


def draw(
    path: Path,
    mixtures: Mapping[str, Mixture],
    points: Mapping[str, Mapping[str, Sequence[np.ndarray]]],
    found: Mapping[str, Sequence[Mapping[str, float]]],
    title: str,
) -> None:
    """Writes a picture: the data, then every loss with the points [N, 2] of its first seed and the means of all.

    Args:
        points: loss -> mixture -> an array for each seed.
        found: loss -> for each seed "<mixture>: modes" and "<mixture>: quality".
    """
    real = {m: mixture.draw(COUNT, np.random.default_rng(0)) for m, mixture in mixtures.items()}
    panels = {"the data": [square(mixture.modes, real[m]) for m, mixture in mixtures.items()]}
    for name, drawn in points.items():
        said = [
            f"{fmean(row[f'{m}: modes'] for row in found[name]):.3g}/{len(mixture.modes)} "
            f"{fmean(row[f'{m}: quality'] for row in found[name]):.0%}"
            for m, mixture in mixtures.items()
        ]
        panels[f"{name} · {', '.join(said)}"] = [square(mixtures[m].modes, drawn[m][0]) for m in mixtures]
    gap = np.full((SIDE, 6, 3), sheets.PAPER, np.uint8)
    tiles = [np.concatenate([part for panel in row for part in (panel, gap)][:-1], 1) for row in panels.values()]
    sheets.save(sheets.wall(tiles, list(panels), title, columns=3), path)


def square(modes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3]: a spot at every mode, a dot at every point."""
    size = SIDE * SCALE
    image = Image.new("RGB", (size, size), PAPER)
    pen = ImageDraw.Draw(image)
    for places, radius, color in ((modes, 6 * SCALE, MODE), (points[np.isfinite(points).all(1)], 1.5, DOT)):
        for x, y in (places / (EDGE * np.abs(modes).max()) + 1) / 2 * size:
            pen.ellipse((x - radius, size - y - radius, x + radius, size - y + radius), color)
    pen.rectangle((0, 0, size - 1, size - 1), outline=sheets.FRAME, width=SCALE)
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS))

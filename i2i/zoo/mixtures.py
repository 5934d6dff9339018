"""Mixtures of normal distributions on the plane, and how what was drawn is counted.

Both mixtures and the count are those of the literature on mode collapse (Metz et al. 2017, arXiv:1611.02163; Srivastava
et al. 2017, arXiv:1705.07761; Lin et al. 2018, arXiv:1712.04086): a point is of high quality if it is no farther from
the nearest mode than three of its standard deviations, and a mode is found if such a point is near it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

REACH = 3.0  # standard deviations
COUNT = 2500  # points that are counted, as in the papers


@dataclass(frozen=True)
class Mixture:
    """Normal distributions of one deviation around ``modes``, float64 [K, 2], each as likely as the others."""

    modes: np.ndarray
    deviation: float

    def draw(self, count: int, random: np.random.Generator) -> np.ndarray:
        """float32 [count, 2]."""
        chosen = self.modes[random.integers(len(self.modes), size=count)]
        return (chosen + self.deviation * random.standard_normal((count, 2))).astype(np.float32)

    def counted(self, points: np.ndarray) -> dict[str, float]:
        """The modes that points [N, 2] found, and the share of points that are of high quality."""
        far = np.linalg.norm(points[:, None].astype(np.float64) - self.modes, axis=2)  # [N, K]
        near, distance = far.argmin(1), far.min(1)
        good = distance <= REACH * self.deviation  # not where a point is no number
        return {"modes": float(len(np.unique(near[good]))), "quality": float(good.mean())}


def ring(modes: int = 8) -> Mixture:
    """Around a circle of radius 2, deviation 0.02 (Metz et al. 2017, appendix A)."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return Mixture(2 * np.stack([np.cos(angles), np.sin(angles)], 1), 0.02)


def grid(side: int = 5) -> Mixture:
    """A square of modes with the distance 2, deviation 0.05 (Lin et al. 2018, section 4.1)."""
    places = 2.0 * np.arange(side) - (side - 1)
    return Mixture(np.stack(np.meshgrid(places, places), -1).reshape(-1, 2), 0.05)


MIXTURES: Mapping[str, Mixture] = {"ring": ring(), "grid": grid()}

"""Adversarial games, penalties, reconstruction: pure functions on tensors, one citation each."""

from __future__ import annotations

from i2i.losses.games import CONTESTS, GAMES, WASSERSTEIN, Contest, Game, GanName, compared, each, smooth_real
from i2i.losses.penalties import (
    clip_weights,
    divergence_penalty,
    dragan_penalty,
    gradient_penalty,
    orthogonal_penalty,
    path_lengths,
    quadratic_potential,
    r1_penalty,
    slopes,
)
from i2i.losses.reconstruction import (
    correlation,
    cross_entropy,
    feature_matching,
    gaussian_kl,
    gaussian_surprise,
    l1,
    l1_inside,
    l2,
    pairwise_mse,
    pulling_away,
)

__all__ = [
    "CONTESTS", "GAMES", "WASSERSTEIN", "Contest", "Game", "GanName", "clip_weights", "compared", "correlation",
    "cross_entropy", "divergence_penalty", "dragan_penalty", "each", "feature_matching", "gaussian_kl",
    "gaussian_surprise", "gradient_penalty", "l1", "l1_inside", "l2", "orthogonal_penalty", "pairwise_mse",
    "path_lengths", "pulling_away", "quadratic_potential", "r1_penalty", "slopes", "smooth_real",
]  # fmt: skip

"""What pictures are drawn from: the same numbers for the same seed, each part of the kind that it says."""

import numpy as np
import pytest
from pydantic import ValidationError

from i2i.latents import Latent


def drawn(latent, count=1000, seed=0):
    return latent.draw(count, np.random.default_rng(seed))


def test_normal_noise():
    z = drawn(Latent(noise=5))
    assert z.shape == (1000, 5)
    assert z.dtype == np.float32
    assert abs(z.mean()) < 0.05
    assert abs(z.std() - 1) < 0.05
    assert np.abs(z).max() > 2


def test_uniform_noise_fills_its_range():
    z = drawn(Latent(noise=5, prior="uniform"))
    assert -1 <= z.min() < -0.99
    assert 0.99 < z.max() <= 1


def test_choices_are_one_hot_and_codes_uniform():
    latent = Latent(noise=2, choices=(10, 3), codes=2)
    z = drawn(latent)
    assert latent.size == z.shape[1] == 17
    for part in (z[:, 2:12], z[:, 12:15]):
        assert ((part == 0) | (part == 1)).all()
        assert (part.sum(1) == 1).all()
        assert (part.sum(0) > 0).all()
    assert -1 <= z[:, 15:].min() < -0.9
    assert 0.9 < z[:, 15:].max() <= 1


def test_one_seed_one_draw():
    latent = Latent(noise=3, choices=(4,), codes=1)
    np.testing.assert_array_equal(drawn(latent, seed=7), drawn(latent, seed=7))
    assert (drawn(latent, seed=7) != drawn(latent, seed=8)).any()


def test_a_choice_needs_two():
    with pytest.raises(ValidationError, match="choices"):
        Latent(noise=3, choices=(1,))

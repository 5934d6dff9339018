"""What pictures are drawn from: the same numbers for the same seed, each part of the kind that it says."""

import numpy as np
import pytest
from pydantic import ValidationError

from i2i.latents import Latent


def drawn(latent, count=1000, seed=0, truncation=None):
    return latent.draw(count, np.random.default_rng(seed), truncation)


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


def test_a_numbered_latent_is_the_same_however_many_there_are():
    latent = Latent(noise=3, choices=(4,), codes=1)
    z = latent.numbered(20, seed=5)
    np.testing.assert_array_equal(latent.numbered(3, seed=5, first=11), z[11:14])
    np.testing.assert_array_equal(latent.numbered(1, 5, first=2), drawn(latent, 1, seed=(5, 2)))
    assert len(np.unique(z[:, 0])) == 20
    assert (latent.numbered(20, seed=6)[:, :3] != z[:, :3]).all()
    assert np.abs(latent.numbered(50, seed=5, truncation=0.5)[:, :3]).max() <= 0.5


def test_a_choice_needs_two():
    with pytest.raises(ValidationError, match="choices"):
        Latent(noise=3, choices=(1,))


def test_truncated_noise_is_normal_noise_without_its_tails():
    z = drawn(Latent(noise=5, choices=(3,), codes=1), truncation=0.7)
    assert 0.69 < np.abs(z[:, :5]).max() <= 0.7
    # Of a normal distribution cut at 0.7: 1 - 2 * 0.7 * density(0.7) / (2 * cumulative(0.7) - 1).
    assert abs(z[:, :5].var() - (1 - 1.4 * 0.312254 / 0.516073)) < 0.006
    assert (z[:, 5:8].sum(1) == 1).all()
    assert 0.9 < np.abs(z[:, 8]).max() <= 1


def test_truncation_leaves_what_is_inside():
    latent = Latent(noise=4)
    plain, cut = drawn(latent, seed=3), drawn(latent, seed=3, truncation=1.0)
    inside = np.abs(plain) <= 1
    assert 0.6 < inside.mean() < 0.75
    np.testing.assert_array_equal(plain[inside], cut[inside])


def test_normal_noise_goes_along_an_arc():
    a, b = np.array([2.0, 0, 0], np.float32), np.array([0, 2.0, 0], np.float32)
    latent = Latent(noise=3)
    np.testing.assert_allclose(latent.between(a, b, 0.5), [2**0.5, 2**0.5, 0], rtol=1e-6)
    np.testing.assert_allclose(latent.between(a, b, 1 / 3), [3**0.5, 1, 0], rtol=1e-6)
    for share, end in ((0.0, a), (1.0, b)):
        np.testing.assert_allclose(latent.between(a, b, share), end, atol=1e-6)
    np.testing.assert_array_equal(latent.between(a, a, 0.5), a)
    np.testing.assert_array_equal(latent.between(a, np.zeros(3, np.float32), 0.5), a / 2)
    assert latent.between(a, b, 0.5).dtype == np.float32


def test_uniform_noise_and_codes_go_straight_and_choices_wait():
    latent = Latent(noise=1, prior="uniform", choices=(2,), codes=1)
    a, b = np.array([1, 1, 0, 0.5], np.float32), np.array([-1, 0, 1, 1.0], np.float32)
    np.testing.assert_array_equal(latent.between(a, b, 0.75), np.array([-0.5, 1, 0, 0.875], np.float32))
    normal = latent.model_copy(update={"prior": "normal", "noise": 2})
    a, b = np.array([3, 0, 1, 0, -1.0], np.float32), np.array([0, 3, 0, 1, 1.0], np.float32)
    np.testing.assert_allclose(normal.between(a, b, 0.5), [4.5**0.5, 4.5**0.5, 1, 0, 0], rtol=1e-6)


def test_what_it_is_in_words():
    assert Latent(noise=100).sentence() == "100 normal values"
    assert Latent(noise=1, prior="uniform", codes=1).sentence() == "1 uniform value and 1 code"
    words = Latent(noise=62, prior="uniform", choices=(10,), codes=2).sentence()
    assert words == "62 uniform values, a choice of 10 and 2 codes"

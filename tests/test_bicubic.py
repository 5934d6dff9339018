"""The resizing of super-resolution papers: what the kernel promises, numbers worked out by hand, the published row."""

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from i2i import card, fetch
from i2i.data.bicubic import _weights, cubic, imresize

sides = st.integers(1, 40)
scales = st.sampled_from([1 / 8, 1 / 4, 1 / 3, 1 / 2, 0.7, 1.3, 2.0, 2.5, 3.0, 4.0, 8.0])
quick = settings(max_examples=60, deadline=None)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, shape)


def kernel(x: float) -> float:
    """Keys 1981, a = -1/2, from its two conditions: a second way to write it."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return -0.5 * (x - 1) * (x - 2) ** 2 if x < 2 else 0.0


def along(signal: np.ndarray, scale: float) -> np.ndarray:
    """The definition, pixel by pixel: the mean of a mirrored signal, weighted by the stretched kernel."""
    old, stretch = len(signal), min(scale, 1.0)
    new = []
    for i in range(math.ceil(old * scale)):
        at = (i + 0.5) / scale - 0.5
        reach = range(math.floor(at - 2 / stretch) - 1, math.ceil(at + 2 / stretch) + 2)
        weights = [kernel((at - j) * stretch) for j in reach]
        mirrored = [j % (2 * old) for j in reach]
        values = [signal[j if j < old else 2 * old - 1 - j] for j in mirrored]
        new.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return np.array(new)


@pytest.mark.parametrize(
    ("x", "value"), [(0, 1), (0.5, 0.5625), (1, 0), (1.5, -0.0625), (2, 0), (3, 0), (-0.5, 0.5625)]
)
def test_the_kernel_at_places_worked_out_by_hand(x: float, value: float) -> None:
    assert cubic(np.array([x]))[0] == pytest.approx(value)
    assert kernel(x) == pytest.approx(value)


def test_half_of_eight_samples_by_hand() -> None:
    # The new pixel 1 lies at 2.5 between the old ones: its weights are the kernel at 0.25, 0.75, 1.25, 1.75, halved.
    near, far = (0.8671875 / 2, 0.2265625 / 2), (-0.0703125 / 2, -0.0234375 / 2)
    assert 2 * sum((*near, *far)) == 1
    signal = np.zeros((8, 1))
    signal[2] = 1  # an impulse shows the weight that each new pixel gives to old pixel 2
    expected = [near[1] + far[1], near[0], far[0], 0]  # of pixel 0, also in the mirror: its taps -3 and 2
    assert imresize(signal, 0.5)[:, 0] == pytest.approx(expected)


def test_double_of_an_impulse_by_hand() -> None:
    signal = np.zeros((5, 1))
    signal[2] = 1
    # New pixels lie a quarter beside the old ones: the kernel at 1.75, 1.25, 0.75, 0.25 and back.
    half = [-0.0234375, -0.0703125, 0.2265625, 0.8671875]
    assert imresize(signal, 2)[1:9, 0] == pytest.approx([*half, *half[::-1]])


@quick
@given(sides, scales, st.integers(0, 99))
def test_it_is_the_definition(side: int, scale: float, seed: int) -> None:
    signal = noise(side, seed=seed)
    np.testing.assert_allclose(imresize(signal[:, None], scale)[:, 0], along(signal, scale), atol=1e-9)


@quick
@given(sides, scales)
def test_weights_sum_to_one(side: int, scale: float) -> None:
    weights = _weights(side, math.ceil(side * scale), scale)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-12)


@quick
@given(sides, sides, scales, st.integers(0, 255))
def test_shape_and_constant_pictures(height: int, width: int, scale: float, level: int) -> None:
    picture = np.full((height, width, 3), level, np.uint8)
    result = imresize(picture, scale)
    assert result.shape == (math.ceil(height * scale), math.ceil(width * scale), 3)
    assert result.dtype == np.uint8
    assert (result == level).all()
    floats = imresize(picture.astype(np.float64), scale)
    np.testing.assert_allclose(floats, level, atol=1e-9)


@quick
@given(st.sampled_from([1 / 4, 1 / 3, 1 / 2, 1.3, 2.0, 2.5, 4.0]), st.floats(-3, 3), st.floats(-3, 3))
def test_slopes_are_kept_away_from_the_border(scale: float, down: float, right: float) -> None:
    y, x = np.mgrid[:60, :48].astype(np.float64)
    result = imresize(down * y + right * x, scale)
    at_y, at_x = (((np.arange(n) + 0.5) / scale - 0.5) for n in result.shape)
    edge = math.ceil(2 * max(1, scale)) + 1
    inner = (slice(edge, -edge), slice(edge, -edge))
    assert result[inner].size
    np.testing.assert_allclose(result[inner], (down * at_y[:, None] + right * at_x)[inner], atol=1e-9)


@quick
@given(sides, sides, scales)
def test_directions_are_independent(height: int, width: int, scale: float) -> None:
    column, row = noise(height, seed=1), noise(width, seed=2)
    expected = imresize(column[:, None], scale)[:, :1] * imresize(row[None], scale)[:1]
    assert expected.shape == (math.ceil(height * scale), math.ceil(width * scale))
    np.testing.assert_allclose(imresize(column[:, None] * row, scale), expected, rtol=1e-9, atol=1e-6)


@quick
@given(sides, scales)
def test_mirrored_pictures_give_mirrored_results(side: int, scale: float) -> None:
    if math.ceil(side * scale) != side * scale:
        return  # the new grid would not lie in the middle
    picture = noise(side, 3)
    np.testing.assert_allclose(imresize(picture[::-1], scale), imresize(picture, scale)[::-1], atol=1e-9)


def test_beyond_the_border_lies_the_mirror_image() -> None:
    picture = noise(16, 12)
    wide = np.pad(picture, 16, mode="symmetric")[:, 4:-4]  # 16 and 12 beyond each side, multiples of 4
    np.testing.assert_allclose(imresize(wide, 1 / 4)[4:-4, 3:-3], imresize(picture, 1 / 4), atol=1e-9)
    np.testing.assert_allclose(imresize(wide, 2)[32:-32, 24:-24], imresize(picture, 2), atol=1e-9)


def test_scale_one_is_an_equal_copy() -> None:
    picture = noise(5, 7, 3)
    result = imresize(picture, 1)
    assert np.array_equal(result, picture)
    assert result is not picture
    result[:] = 0
    assert picture.any()


def test_eight_bits_are_rounded_after_each_direction_and_stay_in_range() -> None:
    picture = noise(20, 24, 3).round().astype(np.uint8)
    expected = picture.astype(np.float64)
    for _ in range(2):
        done = np.apply_along_axis(along, 0, expected, 0.5)
        expected = np.clip(np.floor(done + 0.5), 0, 255).swapaxes(0, 1)
    # The product is taken in single precision: a value within 1e-4 of a half may fall on either side.
    difference = np.abs(imresize(picture, 0.5).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01
    edge = np.repeat(np.array([0, 255], np.uint8), 8)[:, None]
    smooth = imresize(edge.astype(np.float64), 2)
    assert smooth.min() < -5
    assert smooth.max() > 260  # the kernel overshoots; floats keep that
    assert (imresize(edge, 2).min(), imresize(edge, 2).max()) == (0, 255)


def test_floats_keep_their_type() -> None:
    for dtype in (np.float32, np.float64):
        assert imresize(noise(8, 8).astype(dtype), 0.5).dtype == dtype


# -- the published row -------------------------------------------------------------------------------------------------


def luma(picture: np.ndarray) -> np.ndarray:
    """Y of ITU-R 601 from 16 to 235, as MATLAB's rgb2ycbcr."""
    return 16 + picture.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255


def gaussian_means(x: np.ndarray) -> np.ndarray:
    """Means under a Gaussian window of 11 pixels and sigma 1.5, where it lies inside the picture."""
    window = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window /= window.sum()
    rows = np.apply_along_axis(np.convolve, 0, x, window, "valid")
    return np.apply_along_axis(np.convolve, 1, rows, window, "valid")


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, L = 255."""
    mx, my = gaussian_means(x), gaussian_means(y)
    vx, vy = gaussian_means(x * x) - mx**2, gaussian_means(y * y) - my**2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    cross = gaussian_means(x * y) - mx * my
    return float(((2 * mx * my + c1) * (2 * cross + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


@pytest.mark.realdata
def test_the_bicubic_row_of_set5(mirror: str) -> None:
    """Ledig et al. 2017, arXiv:1609.04802, table 2: 28.43 dB at scale 4; Y channel, a border of 4 pixels left out."""
    folder = fetch.download(card.load("set5"), mirror=mirror).folder
    decibels, similar = [], []
    for file in sorted(folder.rglob("*.*")):
        if file.suffix not in (".png", ".bmp"):
            continue
        large = np.asarray(Image.open(file).convert("RGB"))
        large = large[: large.shape[0] // 4 * 4, : large.shape[1] // 4 * 4]
        again = imresize(imresize(large, 1 / 4), 4)
        x, y = luma(again)[4:-4, 4:-4], luma(large)[4:-4, 4:-4]
        decibels.append(10 * math.log10(255**2 / np.square(x - y).mean()))
        similar.append(ssim(x, y))
    assert len(decibels) == 5
    assert fmean(decibels) == pytest.approx(28.43, abs=0.02)
    assert fmean(similar) == pytest.approx(0.811, abs=0.002)

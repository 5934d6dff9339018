"""Statistics that are held over the frames of a clip: as computed by hand, and less flicker than without."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models_for_tests import make_model

import i2i
from i2i import nets
from i2i.nets.blocks import InstanceNorm
from i2i.nets.steady import FRAMES, steady


def frames(*seeds: int, size: int = 4, channels: int = 2) -> torch.Tensor:
    drawn = [torch.randn(channels, size, size, generator=torch.Generator().manual_seed(s)) * (s + 1) + s for s in seeds]
    return torch.stack(drawn)


def test_the_statistics_are_those_of_the_frames_so_far_together() -> None:
    norm = InstanceNorm(2, affine=True)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, 0.5]))
        norm.bias.copy_(torch.tensor([0.1, -1.0]))
    x = frames(0, 1, 2)
    with torch.no_grad(), steady(norm):
        y = norm(x)
    for i in range(3):  # as long as fewer than FRAMES were seen: of all their pixels, each counting the same
        pixels = x[: i + 1].transpose(0, 1).reshape(2, -1)
        mean, var = pixels.mean(1), pixels.var(1, correction=0)
        unit = (x[i] - mean[:, None, None]) / (var + 1e-5).sqrt()[:, None, None]
        expected = unit * torch.tensor([2.0, 0.5])[:, None, None] + torch.tensor([0.1, -1.0])[:, None, None]
        torch.testing.assert_close(y[i], expected)


def test_older_frames_count_less() -> None:
    norm, x = InstanceNorm(1), torch.zeros(FRAMES + 2, 1, 2, 2)
    x[:, 0, 0] = 2.0  # mean 1, variance 1
    x[-2:] += 10.0
    with torch.no_grad(), steady(norm):
        y = norm(x)
    share = 1 / FRAMES
    mean, var = 1.0, 1.0
    for i in (FRAMES, FRAMES + 1):
        apart = 11.0 - mean
        var = (1 - share) * var + share * 1.0 + share * (1 - share) * apart**2
        mean += share * apart
        assert y[i, 0, 0, 0].item() == pytest.approx((12.0 - mean) / (var + 1e-5) ** 0.5, rel=1e-4)


def test_how_many_frames_run_at_once_makes_no_difference() -> None:
    norm, x = InstanceNorm(2), frames(*range(7))
    with torch.no_grad():
        with steady(norm):
            together = norm(x)
        with steady(norm):
            apart = torch.cat([norm(x[:1]), norm(x[1:4]), norm(x[4:])])
        with steady(norm) as new_scene:
            norm(x[:3])
            new_scene()
            anew = norm(x[3:])
    torch.testing.assert_close(together, apart, rtol=0, atol=0)
    torch.testing.assert_close(anew[:1], norm(x[3:4]))
    assert not torch.allclose(anew[1:2], norm(x[4:5]), atol=0.1)


def test_outside_nothing_is_left_and_a_single_pixel_is_what_it_was() -> None:
    norm, x = InstanceNorm(2), frames(0, 1, size=1)
    with torch.no_grad(), steady(norm):
        torch.testing.assert_close(norm(x), torch.zeros(2, 2, 1, 1))
    with torch.no_grad():
        y = frames(3, 4)
        torch.testing.assert_close(norm(y), torch.cat([norm(y[:1]), norm(y[1:])]))
    assert not norm._forward_hooks


NETS = {
    "pix2pix's batch norm": nets.UNetConfig(depth=3, width=4),
    "instance norm": nets.ResNetConfig(blocks=1, width=4),
}


@pytest.fixture(params=NETS)
def engine(request, tmp_path):
    make_model(tmp_path / "m", NETS[request.param])
    return i2i.load(tmp_path / "m", device="cpu").engine


def flickering(count: int = 12) -> np.ndarray:
    """[N, 3, 32, 96]: a bright box at the right comes and goes; the left stays."""
    ramp = np.linspace(-0.8, 0.2, 96, dtype=np.float32) * np.ones((3, 32, 1), np.float32)
    x = np.stack([ramp] * count)
    x[1::2, :, 4:28, 72:92] = 1.0
    return x


def flicker(y: np.ndarray) -> float:
    """Mean change of the left from a frame to the next, after the first ones."""
    return float(np.abs(np.diff(y[4:, :, :, :24], axis=0)).mean())


def test_what_stands_still_flickers_much_less(engine) -> None:
    x = flickering()
    by_frame = engine.run(x)
    with engine.frames():
        held = np.concatenate([engine.run(x[:5]), engine.run(x[5:])])
    assert flicker(by_frame) > 0.01
    assert flicker(held) < 0.35 * flicker(by_frame)
    np.testing.assert_allclose(held[0], by_frame[0], atol=1e-5)


def test_frames_of_a_clip_without_motion_are_the_picture(engine) -> None:
    x = np.repeat(flickering(2)[1:], 20, axis=0)
    with engine.frames():
        held = engine.run(x)
    np.testing.assert_allclose(held, np.repeat(engine.run(x[:1]), 20, axis=0), atol=2e-4)


def test_the_noise_is_the_same_for_each_frame(tmp_path) -> None:
    make_model(tmp_path / "m", nets.UNetConfig(depth=6, width=4, dropout=0.5), dropout=True)
    engine = i2i.load(tmp_path / "m", device="cpu").engine
    x = np.repeat(np.pad(flickering(1), ((0, 0), (0, 0), (16, 16), (16, 16)), mode="edge"), 3, axis=0)
    with engine.frames():
        y = np.concatenate([engine.run(x[:1]), engine.run(x[1:])])
    np.testing.assert_allclose(y[1:], y[:1].repeat(2, 0), atol=1e-5)
    other = i2i.load(tmp_path / "m", device="cpu", seed=5).engine.run(x[:1])
    assert np.abs(other - y[:1]).max() > 0.01

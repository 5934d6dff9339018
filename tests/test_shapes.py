"""The embedded data set: deterministic, laid out as promised, and a task worth learning."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i.data.shapes import PALETTE, generator, make, scene
from i2i.errors import DataError


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode == "RGB"
        return np.asarray(image)


def names(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def test_paired_layout_and_counts(tmp_path: Path):
    make(tmp_path / "shapes", size=32, train=3, val=2, test=1)
    wanted = [
        f"{split}/{side}/{i:04d}.png"
        for split, n in (("test", 1), ("train", 3), ("val", 2))
        for side in "AB"
        for i in range(1, n + 1)
    ]
    assert names(tmp_path / "shapes") == wanted
    label, picture = scene(generator(0, "train", 2), 32)
    np.testing.assert_array_equal(pixels(tmp_path / "shapes/train/A/0002.png"), label)
    np.testing.assert_array_equal(pixels(tmp_path / "shapes/train/B/0002.png"), picture)


def test_unpaired_training_scenes_are_disjoint_and_the_others_match(tmp_path: Path):
    make(tmp_path / "p", size=32, train=4, val=2, test=2)
    make(tmp_path / "u", size=32, train=4, val=2, test=2, unpaired=True)
    assert sorted(p.name for p in (tmp_path / "u").iterdir()) == ["testA", "testB", "trainA", "trainB", "valA", "valB"]
    for split in ("val", "test"):
        for side in "AB":
            for i in (1, 2):
                paired, unpaired = tmp_path / f"p/{split}/{side}/{i:04d}.png", tmp_path / f"u/{split}{side}/{i:04d}.png"
                np.testing.assert_array_equal(pixels(paired), pixels(unpaired))
    true = [pixels(p).tobytes() for p in sorted((tmp_path / "p/train/B").iterdir())]
    assert not set(true) & {pixels(p).tobytes() for p in (tmp_path / "u/trainB").iterdir()}
    assert len(list((tmp_path / "u/trainB").iterdir())) == 4


def test_a_scene_depends_on_seed_split_and_index_only(tmp_path: Path):
    make(tmp_path / "few", size=32, train=2, val=0, test=1)
    make(tmp_path / "many", size=32, train=3, val=2, test=2)
    make(tmp_path / "other", size=32, train=2, val=0, test=1, seed=1)
    assert not (tmp_path / "few/val").exists()
    for name in names(tmp_path / "few"):
        np.testing.assert_array_equal(pixels(tmp_path / "few" / name), pixels(tmp_path / "many" / name))
        assert not np.array_equal(pixels(tmp_path / "few" / name), pixels(tmp_path / "other" / name))
    each = [generator(0, split, i) for split in ("train", "val", "test", "trainB") for i in (1, 2)]
    assert len({scene(rng, 32)[1].tobytes() for rng in each}) == len(each)


def test_the_same_pixels_on_every_machine():
    label, picture = scene(generator(0, "train", 1), 64)
    assert hashlib.sha256(label.tobytes()).hexdigest()[:16] == "996f82f0701bbc15"
    # means of 32 x 32 blocks: robust against a sine that is rounded otherwise, not against another scene
    blocks = picture.reshape(2, 32, 2, 32, 3).mean((1, 3)).reshape(4, 3)
    wanted = [[174.2, 183.6, 157.2], [157.9, 167.5, 169.7], [116.2, 151.1, 66.3], [147.0, 163.2, 83.6]]
    np.testing.assert_allclose(blocks, wanted, atol=0.5)


@pytest.mark.parametrize("size", [64, 100, 128])
def test_any_size_with_palette_colors_only(size: int):
    seen: set[tuple[int, ...]] = set()
    for index in range(1, 13):
        label, picture = scene(generator(0, "val", index), size)
        assert label.shape == picture.shape == (size, size, 3)
        assert label.dtype == picture.dtype == np.uint8
        seen |= {tuple(color) for color in np.unique(label.reshape(-1, 3), axis=0).tolist()}
    assert seen == set(PALETTE.values())


def test_a_size_changes_the_detail_not_the_scene():
    small, large = (scene(generator(0, "val", 3), size)[1] for size in (64, 128))
    reduced = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert psnr(small, reduced) > 22


def test_the_copy_is_poor_and_the_colors_tell_much():
    """A label map is far from its picture, one color per label is already near: there is much to learn, and a way."""
    scenes = [scene(generator(0, "val", i), 64) for i in range(1, 17)]
    labels, pictures = (np.stack(side).reshape(-1, 3) for side in zip(*scenes, strict=True))
    assert psnr(labels, pictures) < 9
    guess = np.zeros(pictures.shape)
    for color in PALETTE.values():
        here = (labels == color).all(1)
        guess[here] = pictures[here].mean(0)
    assert psnr(guess, pictures) > 17


def test_palette_is_distinct():
    colors = np.array(list(PALETTE.values()), dtype=np.int64)
    apart = np.abs(colors[:, None] - colors[None]).sum(-1) + 999 * np.eye(len(colors), dtype=np.int64)
    assert 8 <= len(colors) <= 12
    assert apart.min() >= 80


def test_fast_enough():
    """About 15 ms a scene at 128 pixels; the bound is loose for slow and busy machines."""
    begin = time.process_time()
    for index in range(1, 21):
        scene(generator(0, "train", index), 128)
    assert time.process_time() - begin < 20 * 0.15


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"seed": -1}, "shapes: seed is -1, it must be at least 0"),
        ({"size": 16}, "shapes: size is 16, it must be at least 32"),
        ({"train": -2}, "shapes: train is -2, it must be at least 0"),
    ],
)
def test_numbers_that_make_no_sense(tmp_path: Path, wrong: dict[str, int], message: str):
    with pytest.raises(DataError) as caught:
        make(tmp_path, **wrong)
    assert str(caught.value) == message
    assert names(tmp_path) == []


def test_nothing_is_overwritten(tmp_path: Path):
    (tmp_path / "val/B").mkdir(parents=True)
    with pytest.raises(DataError, match="is already there; remove it or choose another folder"):
        make(tmp_path, size=32, train=1, val=1, test=1)
    assert not (tmp_path / "train").exists()

"""Every trouble that a data set can have is found and named; a good one is told to be good."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i.data import pictures
from i2i.data.check import Report, check
from i2i.data.layouts import recognise
from i2i.errors import DataError


def noise(seed: int, width: int = 16, height: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)


def put(path: Path, pixels: np.ndarray | Image.Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(path)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """trainA/trainB with three pictures a side, testA/testB with one."""
    for i in range(3):
        put(tmp_path / f"trainA/{i}.png", noise(i))
        put(tmp_path / f"trainB/{i}.png", noise(10 + i))
    put(tmp_path / "testA/x.png", noise(20))
    put(tmp_path / "testB/y.png", noise(30))
    return tmp_path


def row(report: Report, topic: str) -> str:
    return dict(report.rows())[topic]


def test_a_good_data_set(good: Path) -> None:
    report = check(good)
    assert report.ok
    assert report.problems == ()
    assert report.rows() == [
        ("layout", "trainA/trainB (unpaired)"),
        ("train", "3 A, 3 B"),
        ("test", "1 A, 1 B"),
        ("size A", "all 16x16"),
        ("color A", "all in color"),
        ("size B", "all 16x16"),
        ("color B", "all in color"),
        ("for 256 px", "8 of 8 are too small and would be enlarged (shortest side 16)"),
        ("kinds", "nothing unusual"),
        ("copies", "none"),
        ("flat", "none"),
        ("unreadable", "none"),
    ]


def test_unreadable_files_are_named(good: Path) -> None:
    (good / "trainB/1.png").write_bytes((good / "trainB/1.png").read_bytes()[:300])
    (good / "testA/z.jpg").write_bytes(b"")
    report = check(good)
    assert report.problems == (
        "trainB/1.png: not a readable picture (the file is truncated)",
        "testA/z.jpg: not a readable picture (the file is empty)",
    )
    assert not report.ok
    assert row(report, "unreadable") == "2"


def test_near_constant_pictures_are_named(good: Path) -> None:
    almost = np.full((16, 16, 3), 90, np.uint8)
    almost[0, 0] = 95
    put(good / "trainA/9.png", almost)
    stripes = np.full((16, 16, 3), 90, np.uint8)
    stripes[::2, :, 2] = 100  # one channel varies by 5 on average: enough
    put(good / "trainA/8.png", stripes)
    report = check(good)
    assert report.problems == ("trainA/9.png: the picture is nearly one color (InstanceNorm turns it into noise)",)
    assert row(report, "flat") == "1"


def test_copies_across_splits_are_problems_and_within_are_counted(good: Path) -> None:
    put(good / "testA/copy.bmp", noise(1))  # another format, the same pixels
    put(good / "trainB/again.png", noise(10))
    report = check(good)
    assert report.problems == ("testA/copy.bmp: the same picture as trainA/1.png: it is in test and in train",)
    assert row(report, "copies") == "1 within a split, 1 across splits"


def test_pairs_of_different_size_and_without_partner(tmp_path: Path) -> None:
    for i in range(4):
        put(tmp_path / f"A/{i}.png", noise(i))
        put(tmp_path / f"B/{i}.png", noise(10 + i, width=16 if i else 12))
    put(tmp_path / "A/lone.png", noise(50))
    report = check(tmp_path)
    assert report.problems == (
        "A/lone.png: no picture of the same name in B",
        "A/0.png: 16x16, but its partner B/0.png is 12x16",
    )
    assert row(report, "train") == "4 pairs, 1 picture without partner"
    assert row(report, "size B") == "12x16 to 16x16, median 16x16, 2 different"


def test_lone_pictures_are_looked_at_too(tmp_path: Path) -> None:
    for i in range(3):
        put(tmp_path / f"A/{i}.png", noise(i))
        put(tmp_path / f"B/{i}.png", noise(10 + i))
    (tmp_path / "A/lone.png").write_bytes(b"x")
    assert "A/lone.png: not a readable picture (not a picture, or of a kind that Pillow does not know)" in (
        check(tmp_path).problems
    )


def test_side_by_side_halves_are_judged_by_themselves(tmp_path: Path) -> None:
    for i in range(40):
        put(tmp_path / f"train/{i:02}.png", noise(i, width=64, height=32))
    flat = noise(99, width=64, height=32)
    flat[:, 32:] = 200
    put(tmp_path / "train/01.png", flat)
    put(tmp_path / "train/03.png", noise(98, width=70, height=32))  # not among the 16 that decide about the layout
    layout = recognise(tmp_path)
    assert layout.splits["train"].kind == "aligned"
    report = check(tmp_path, layout=layout)
    assert set(report.problems) == {
        "train/01.png: the right half is nearly one color (InstanceNorm turns it into noise)",
        "train/03.png: 70x32: not two pictures side by side, which would be about twice as wide as high",
    }
    assert row(report, "train") == "40 pictures, each a pair side by side"
    (tmp_path / "train/03.png").unlink()
    assert row(check(tmp_path), "size") == "all 64x32, two halves of 32x32"


def test_gray_color_and_unusual_kinds(good: Path) -> None:
    gray = noise(3)[..., 0]
    put(good / "trainA/gray.png", gray)
    put(good / "trainA/gray as rgb.png", np.repeat(noise(4)[..., :1], 3, axis=2))
    put(good / "trainA/deep.png", noise(5)[..., 0].astype(np.uint16) * 250)
    put(good / "trainA/alpha.png", np.dstack([noise(6), gray]))
    put(good / "trainB/cmyk.jpg", Image.fromarray(noise(7)).convert("CMYK"))
    put(good / "trainB/palette.gif", Image.fromarray(noise(8)).convert("P"))
    report = check(good)
    assert report.ok
    assert row(report, "color A") == "3 gray, 5 in color"
    assert row(report, "color B") == "all in color"
    assert set(row(report, "kinds").split(", ")) == {"1 with alpha", "1 16 bits or more", "1 CMYK", "1 palette"}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        ((300, 290), "large enough (shortest side 290)"),
        ((300, 260), "large enough (shortest side 260); 2 are enlarged for a random crop out of 286"),
        ((300, 200), "2 of 2 are too small and would be enlarged (shortest side 200)"),
    ],
)
def test_size_for_the_usual_training(tmp_path: Path, size: tuple[int, int], text: str) -> None:
    for i in range(2):
        put(tmp_path / f"{i}.png", noise(i, *size))
    assert row(check(tmp_path), "for 256 px") == text


def test_tiny_pictures_are_problems(tmp_path: Path) -> None:
    put(tmp_path / "a.png", noise(0))
    put(tmp_path / "b.png", noise(1, width=7))
    assert check(tmp_path).problems == ("b.png: 7x16: too small to learn from",)


def test_names_of_domains_and_problems_of_the_layout_are_passed_on(tmp_path: Path) -> None:
    for name in ("train/photo/1.png", "train/sketch/1.png", "extra/1.png"):
        put(tmp_path / name, noise(len(name)))
    report = check(tmp_path)
    assert row(report, "layout") == "train/A (paired, A is photo and B is sketch)"
    assert report.problems == ("extra: not used (1 picture)",)


def test_progress_and_each_file_opened_once(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    opened: list[Path] = []
    lock, original = threading.Lock(), pictures.opened

    def spy(path: Path):
        with lock:
            opened.append(path)
        return original(path)

    layout = recognise(good)
    monkeypatch.setattr(pictures, "opened", spy)
    check(good, layout=layout, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 8) for i in range(1, 9)]
    assert len(opened) == len(set(opened)) == 8


def test_headers_only(good: Path) -> None:
    content = bytearray((good / "trainA/0.png").read_bytes())
    content[60:] = b""
    (good / "trainA/0.png").write_bytes(content)
    report = check(good, full=False)
    assert report.ok
    topics = [topic for topic, _ in report.rows()]
    assert topics == ["layout", "train", "test", "size A", "size B", "for 256 px", "kinds", "unreadable"]


def test_arrays(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (6, 8, 8), dtype=np.uint8)
    images[4] = 7
    images[5] = images[0]
    np.save(tmp_path / "train-images.npy", images)
    np.save(tmp_path / "train-labels.npy", np.array([0, 1, 1, 2, 2, 2]))
    np.save(tmp_path / "test-images.npy", images[2:3])
    np.save(tmp_path / "test-labels.npy", np.array([-1]))
    report = check(tmp_path)
    assert report.rows() == [
        ("layout", "arrays"),
        ("train", "6 images of 8x8, 1 channel"),
        ("train labels", "3 (0: 1, 1: 2, 2: 3)"),
        ("test", "1 image of 8x8, 1 channel"),
        ("test labels", "1 (-1: 1)"),
        ("copies", "1 within a split, 1 across splits"),
        ("flat", "1"),
    ]
    assert report.problems == (
        "train-images.npy[4]: the picture is nearly one color (InstanceNorm turns it into noise)",
        "test-labels.npy: labels below 0, down to -1",
        "test-images.npy[0]: the same picture as train-images.npy[2]: it is in test and in train",
    )


def test_damaged_arrays_are_named(tmp_path: Path) -> None:
    (tmp_path / "train-images.npy").write_bytes(b"junk")
    np.save(tmp_path / "train-labels.npy", np.zeros(3, np.int64))
    problems = check(tmp_path).problems
    assert len(problems) == 1
    assert problems[0].startswith("train-images.npy: not a readable .npy file of numbers (")


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        check(tmp_path / "gone")

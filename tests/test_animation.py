"""Animated pictures: frames, times, repetitions and transparency stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from models_for_tests import make_model
from PIL import Image

import i2i
from i2i import animation, clips
from i2i.errors import DataError

TIMES = [50, 100, 150, 70, 80, 90]
KINDS = {
    "gif": {"disposal": 2, "loop": 3},
    "webp": {"lossless": True, "loop": 0},
    "png": {"disposal": 1, "blend": 0, "loop": 2},
}


@pytest.fixture(scope="module")
def translate(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m"
    make_model(path)
    return i2i.load(path, device="cpu")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def boxes() -> list[Image.Image]:
    """A box that wanders over nothing."""
    frames = []
    for i in range(6):
        pixels = np.zeros((30, 40, 4), np.uint8)
        pixels[5:20, 4 * i : 4 * i + 10] = (255, 40 * i, 0, 255)
        frames.append(Image.fromarray(pixels))
    return frames


def make(name: str, frames: list[Image.Image] | None = None, **options: object) -> Path:
    first, *rest = frames or boxes()
    first.save(name, save_all=True, append_images=rest, duration=TIMES[: len(rest) + 1], **options)
    return Path(name)


def read(path: Path) -> tuple[list[Image.Image], list[float], int | None]:
    with Image.open(path) as image:
        frames, times = [], []
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            times.append(image.info.get("duration"))
            frames.append(image.convert("RGBA"))
        return frames, times, image.info.get("loop")


@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_frames_times_repetitions_and_transparency_stay(translate, here, monkeypatch, source, target):
    monkeypatch.setattr(translate.engine, "run", lambda x: -x)
    path = make(f"a.{source}", **KINDS[source])
    told = []
    assert clips.translate_clip(translate, path, Path(f"out/a.{target}"), progress=lambda *s: told.append(s)) == []
    frames, times, loop = read(Path(f"out/a.{target}"))
    assert (times, loop) == (TIMES, KINDS[source]["loop"])
    for after, before in zip(frames, boxes(), strict=True):
        np.testing.assert_array_equal(np.asarray(after)[..., 3], np.asarray(before)[..., 3])
    assert told == [(path.name, i, 6) for i in range(1, 7)]
    seen = np.asarray(boxes()[3])[..., 3] == 255
    assert np.abs(np.asarray(frames[3])[seen].astype(int) - (0, 255 - 120, 255, 255)).mean() < 12
    assert [p.name for p in Path("out").iterdir()] == [f"a.{target}"]


def test_what_is_shown_once_stays_so(translate, here):
    path = make("once.gif", disposal=2)
    for target, loop in (("gif", None), ("webp", 1), ("png", 1)):
        clips.translate_clip(translate, path, Path(f"new.{target}"))
        assert read(Path(f"new.{target}"))[2] == loop


def test_opaque_animations_have_no_alpha(translate, here):
    path = make("a.gif", [f.convert("RGB") for f in boxes()])
    clips.translate_clip(translate, path, Path("new.webp"))
    with Image.open("new.webp") as image:
        assert (image.n_frames, image.mode) == (6, "RGB")


def test_what_moves_and_what_becomes_of_it(here):
    gif, apng = make("a.gif"), make("b.png")
    boxes()[0].save("still.gif")
    boxes()[0].save("still.png")
    Path("bad.gif").write_bytes(b"GIF89a")
    assert [p for p in sorted(here.iterdir()) if animation.moves(p)] == [here / gif, here / apng]
    assert not animation.moves(Path("missing.gif"))
    assert [clips.suffix(gif, f) for f in (None, "webp", "png", "jpg", "tiff")] == [".gif", ".webp", ".png", None, None]
    assert [clips.suffix(Path("still.gif"), f) for f in (None, "webp")] == [None, None]
    assert [clips.suffix(Path(name), "jpg") for name in ("x.mp4", "x.MOV", "x.avi")] == [".mp4", ".MOV", ".mkv"]
    assert clips.is_clip(gif, Path("x.webp"))
    assert not clips.is_clip(gif, Path("x.jpg"))


def test_damaged_and_too_large_animations_end_in_one_line(translate, here, monkeypatch):
    data = make("a.gif").read_bytes()
    Path("cut.gif").write_bytes(data[: len(data) // 2])
    if animation.moves(Path("cut.gif")):
        with pytest.raises(DataError, match=r"^cut.gif: not a readable picture"):
            clips.translate_clip(translate, Path("cut.gif"), Path("out/cut.gif"))
    monkeypatch.setattr(animation, "PIXELS", 6 * 30 * 40 - 1)
    with pytest.raises(DataError, match=r"^a.gif: 6 frames of 40 x 30 pixels are too many for an animated picture"):
        clips.translate_clip(translate, Path("a.gif"), Path("out/a.gif"))
    monkeypatch.undo()
    monkeypatch.chdir(here)
    Path("out").mkdir()
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: 1 / 0)
    with pytest.raises(DataError, match=r"^out/a.gif: cannot be written \(division by zero\)$"):
        clips.translate_clip(translate, Path("a.gif"), Path("out/a.gif"))
    assert list(Path("out").iterdir()) == []

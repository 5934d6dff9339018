"""What every test gets: its own cache and runs folder, a fresh process state, small data sets made on the spot."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from i2i import cli


@pytest.fixture(autouse=True)
def own_places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache or ./runs, and none downloads from a mirror that it did not ask for."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("I2I_CACHE", str(home / "cache"))
    monkeypatch.setenv("I2I_RUNS", str(home / "runs"))
    monkeypatch.delenv("I2I_MIRROR", raising=False)


MIRROR = os.environ.get("I2I_MIRROR")


@pytest.fixture
def mirror() -> str:
    """The folder of real archives; tests that need it carry the marker realdata."""
    if not MIRROR or not Path(MIRROR).is_dir():
        pytest.skip("I2I_MIRROR names no folder of archives")
    return str(Path(MIRROR).resolve())


def picture(number: int, inverted: bool = False, size: int = 32) -> Image.Image:
    """A small picture with a gradient and a box, different for each number."""
    rng = np.random.default_rng(number)
    ramp = np.linspace(20, 200, size)[:, None, None] * np.ones((1, size, 3)) * rng.uniform(0.4, 1.0, 3)
    y, x = rng.integers(2, size // 2, 2)
    ramp[y : y + size // 3, x : x + size // 3] = rng.integers(0, 255, 3)
    return Image.fromarray((255 - ramp if inverted else ramp).astype(np.uint8))


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """train/A, train/B, val/A, val/B: b is the negative of a."""
    root = tmp_path / "pairs"
    for split, numbers in (("train", range(6)), ("val", range(10, 13))):
        for side in "AB":
            (root / split / side).mkdir(parents=True)
            for n in numbers:
                picture(n, inverted=side == "B").save(root / split / side / f"{n}.png")
    return root


@pytest.fixture
def domains(tmp_path: Path) -> Path:
    """trainA, trainB, testA, testB: nothing links the two."""
    root = tmp_path / "domains"
    counts = {"trainA": range(5), "trainB": range(20, 27), "testA": range(40, 43), "testB": range(50, 52)}
    for folder, numbers in counts.items():
        (root / folder).mkdir(parents=True)
        for n in numbers:
            picture(n, inverted=folder.endswith("B")).save(root / folder / f"{n}.png")
    return root


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """train, test: pictures of one domain, larger than what is cut out of them."""
    root = tmp_path / "pictures"
    for split, numbers in (("train", range(6)), ("test", range(10, 12))):
        (root / split).mkdir(parents=True)
        for n in numbers:
            picture(n, size=40).save(root / split / f"{n}.png")
    return root


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A and B: labelled arrays of three classes; b shows the same bars as a on another ground."""
    root = tmp_path / "digits"
    rng = np.random.default_rng(0)
    for side, ground in (("A", 0), ("B", 120)):
        (root / side).mkdir(parents=True)
        for split, count in (("train", 24), ("test", 9)):
            labels = np.arange(count) % 3
            images = np.full((count, 28, 28, 3), ground, np.uint8)
            for image, label in zip(images, labels, strict=True):
                image += rng.integers(0, 40, image.shape, dtype=np.uint8)
                image[4 + 7 * label : 10 + 7 * label, 4:24] = 255
            np.save(root / side / f"{split}-images.npy", images)
            np.save(root / side / f"{split}-labels.npy", labels)
    return root


class Said(NamedTuple):
    """What a command left: exit code, output, errors."""

    code: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def i2i(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in this process, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["i2i", *map(str, words)])
        capsys.readouterr()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as e:
            code = e.code or 0
        return Said(code, *capsys.readouterr())

    return run

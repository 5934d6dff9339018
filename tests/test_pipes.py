"""From standard input to standard output: the picture and nothing else."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from exports_for_tests import make_exported
from PIL import Image

from i2i import own
from i2i.translator import load

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mirror"
    make_exported(path)
    return path


def encoded(format: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(file, format)
    return file.getvalue()


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def give(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_real_pipe(model: Path, tmp_path: Path) -> None:
    """In a process of its own: no line of a library, no bar, no summary gets into the picture."""
    data = encoded("JPEG")
    command = [sys.executable, "-m", "i2i", "translate", "-", "--model", str(model)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, input=data, capture_output=True, env=env, cwd=tmp_path, check=True)
    assert done.stderr == b""
    with Image.open(io.BytesIO(done.stdout)) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), np.asarray(load(model)(Image.open(io.BytesIO(data)))))
    assert done.stdout.endswith(b"IEND\xaeB`\x82")
    assert list(tmp_path.iterdir()) == []


def test_from_the_pipe_into_a_file(i2i: Command, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, encoded("PNG"))
    assert i2i("translate", "-", "--model", model, "--out", "x.webp").out == "translated 1 of 1: x.webp\n"
    with Image.open("x.webp") as image:
        assert (image.format, image.size) == ("WEBP", (12, 9))
    give(monkeypatch, encoded("PNG"))
    said = i2i("translate", "-", "--model", model, "--out", "x.webp")
    assert (said.code, said.err) == (2, "error: x.webp: exists already: choose another --out, or say --overwrite\n")
    assert i2i("translate", "-", "--model", model, "--out", "x.webp", "--overwrite").code == 0


def test_from_a_file_into_the_pipe(i2i: Command, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.png").write_bytes(encoded("PNG"))
    for words, format in (([], "PNG"), (["--format", "jpg", "--quality", "80"], "JPEG"), (["--format", "npy"], None)):
        file = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(file))
        assert i2i("translate", "a.png", "--out", "-", "--model", model, *words).code == 0
        if format is None:
            assert own.read(Path("stdout"), file.getvalue()).pixels.shape == (9, 12, 3)
        else:
            assert Image.open(io.BytesIO(file.getvalue())).format == format


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "stdin: not a readable picture (the file is empty)"),
        (b"no picture", "stdin: not a readable picture (not a picture, or of a kind that Pillow does not know)"),
        (encoded("PNG")[:200], "stdin: not a readable picture (the file is truncated)"),
        (b"\x93NUMPY\x01", "stdin: not a readable picture (EOF"),
    ],
)
def test_what_is_no_picture(i2i: Command, model: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, said: str) -> None:
    give(monkeypatch, data)
    done = i2i("translate", "-", "--model", model)
    assert (done.code, done.out) == (1, "")
    assert done.err.lower().startswith(f"failed: {said}".lower())
    assert done.err.count("\n") == 1
    assert list(Path().iterdir()) == []


def test_what_does_not_fit_a_pipe(i2i: Command, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give(monkeypatch, encoded("PNG"))
    one = "error: - stands for one picture: no others, no --sheet, no --skip-existing, one process\n"
    for words in (["-", "b.png"], ["-", "--sheet"], ["-", "--skip-existing"], ["a.png", "b.png", "--out", "-"]):
        said = i2i("translate", *words, "--model", model)
        assert (said.code, said.out, said.err) == (2, "", one)
    said = i2i("translate", "-", "--model", model, "--out", "folder")
    assert said.err == (
        f"error: folder: standard input has no name: give --out a file, such as {Path('folder/picture.png')}\n"
    )
    said = i2i("translate", "-", "--model", model, "--format", "gif")
    assert said.err.startswith("error: unknown format 'gif'; did you mean 'tiff'?")
    monkeypatch.setattr(sys, "stdout", Terminal(io.BytesIO()))
    said = i2i("translate", "-", "--model", model)
    assert said.code == 2
    assert said.err == (
        "error: the picture would be printed on the terminal: lead it on with > picture.png, or say --out\n"
    )

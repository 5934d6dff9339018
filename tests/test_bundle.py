"""What lies beside an exported model works for somebody who has only that folder: programs, container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exports_for_tests import make_exported, mirrored
from PIL import Image

import i2i
from i2i import callers, cli, folder, paths, shipped

KINDS = [(raw, channels) for raw in (False, True) for channels in ((3, 3), (1, 1), (1, 3), (3, 1))]


def picture(raw: bool, channels: int) -> Image.Image:
    """Larger than wide, of sides that the network takes as they are; if it takes raw pixels, of none that it takes."""
    size = (13, 31, channels) if raw else (12, 32, channels)
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8).squeeze())


def compared(place: Path, info: folder.Info, call: Callable[[], Path], suffix: str = ".png") -> None:
    """A program that was started in ``place`` writes the picture that i2i makes."""
    given = picture(info.export.pixels, info.products["a2b"].channels[0])
    given.save(place / f"picture{suffix}")
    answer = np.asarray(Image.open(call()))
    expected = np.asarray(i2i.load(place)(given))
    assert answer.shape == expected.shape
    assert np.abs(answer.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("raw", "channels"), KINDS)
def test_python(tmp_path, monkeypatch, raw, channels):
    info = make_exported(tmp_path / "m", mirrored(channels), raw)
    monkeypatch.chdir(tmp_path / "m")

    def call() -> Path:
        code = callers.python(info)
        assert code.count("\n") <= 11
        exec(compile(code.replace("picture.jpg", "picture.png"), "README.md", "exec"), {})
        return Path("translated.png")

    compared(tmp_path / "m", info, call)


@pytest.fixture
def modules() -> Path:
    """Packages of npm: the folder in which ``npm install`` was called."""
    if not (where := os.environ.get("I2I_NODE")):
        pytest.skip("I2I_NODE names no folder where npm has installed onnxruntime-node and sharp")
    assert shutil.which("node"), "I2I_NODE is set, but there is no node"
    for package in ("onnxruntime-node", "sharp"):
        assert (Path(where) / "node_modules" / package).is_dir(), f"{where}: npm has not installed {package} there"
    return Path(where).resolve() / "node_modules"


@pytest.mark.node
@pytest.mark.parametrize(("raw", "channels"), KINDS)
def test_node(tmp_path, modules, raw, channels):
    info = make_exported(tmp_path / "m", mirrored(channels), raw)
    (tmp_path / "m" / "node_modules").symlink_to(modules)

    def call() -> Path:
        code = callers.node(info)
        assert code.count("\n") <= 17
        (tmp_path / "m" / "translate.mjs").write_text(code.replace("picture.jpg", "picture.png"))
        done = subprocess.run(
            ["node", "translate.mjs"], cwd=tmp_path / "m", capture_output=True, text=True, timeout=120
        )
        assert (done.returncode, done.stderr) == (0, "")
        return tmp_path / "m" / "translated.png"

    compared(tmp_path / "m", info, call)


@pytest.mark.node
@pytest.mark.parametrize(("raw", "channels"), KINDS)
def test_cpp(tmp_path, modules, raw, channels):
    """Against the library that onnxruntime-node brings."""
    if not (headers := os.environ.get("I2I_ORT_INCLUDE")):
        pytest.skip("I2I_ORT_INCLUDE names no folder with the headers of onnxruntime")
    libraries = sorted((modules / "onnxruntime-node" / "bin").glob("*/linux/x64/libonnxruntime.so*"))
    if not libraries or not shutil.which("g++"):
        pytest.skip("no library of onnxruntime for this machine, or no g++")
    place = tmp_path / "m"
    info = make_exported(place, mirrored(channels), raw)
    (place / "translate.cpp").write_text(callers.cpp(info))
    built = subprocess.run(
        ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "translate.cpp", "-isystem", headers, libraries[0],
         f"-Wl,-rpath,{libraries[0].parent}", "-o", "translate"],
        cwd=place, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (built.returncode, built.stderr) == (0, "")
    reads, writes = (".pgm" if c == 1 else ".ppm" for c in channels)

    def call() -> Path:
        subprocess.run([place / "translate"], cwd=place, check=True, timeout=60)
        return place / f"translated{writes}"

    compared(place, info, call, reads)
    Image.new("RGB" if channels[0] == 1 else "L", (32, 12)).save(place / f"picture{reads}", "PPM")
    assert subprocess.run([place / "translate"], cwd=place, check=False).returncode == 1  # the other kind of file
    if not raw:
        Image.new("RGB" if channels[0] == 3 else "L", (31, 13)).save(place / f"picture{reads}", "PPM")
        wrong = subprocess.run([place / "translate"], cwd=place, check=False, capture_output=True, text=True)
        assert (wrong.returncode, wrong.stderr) == (1, "sides must be multiples of 4\n")


@pytest.mark.parametrize("raw", [False, True])
def test_the_readme_has_them_all(tmp_path, raw):
    info = make_exported(tmp_path / "m", raw=raw)
    text = shipped.readme(info)
    for language, code in (("python", callers.python), ("js", callers.node), ("cpp", callers.cpp)):
        assert f"```{language}\n{code(info)}```\n" in text
    assert ("uint8 [batch, height, width, channels]" in text) == raw
    assert ("float32 [batch, channels, height, width]" in text) == (not raw)


def test_what_fills_holes_has_a_program_in_python_alone(tmp_path):
    info = make_exported(tmp_path / "m")
    product = info.products["a2b"].model_copy(update={"masked": True})
    masked = info.model_copy(update={"products": {"a2b": product}})
    text = shipped.readme(masked)
    assert f"```python\n{callers.python(masked)}```\n" in text
    assert "mask.png" in text
    assert "```js" not in text
    assert "```cpp" not in text


@pytest.mark.parametrize("program", [callers.python, callers.node, callers.cpp])
def test_a_network_that_takes_every_size_is_not_fitted(tmp_path, program):
    any_size, fours = make_exported(tmp_path / "m", multiple=1), make_exported(tmp_path / "m", multiple=4)
    assert "multiples" in program(fours)
    assert "multiples" not in program(any_size)


# ---------------------------------------------------------------- the container


def dockerfile() -> str:
    return (paths.data("export") / "Dockerfile").read_text()


def test_the_container_installs_what_the_base_install_is(request):
    """Without torch, and with the runtime for a CPU in place of the one for a GPU."""
    text = (Path(request.config.rootpath) / "pyproject.toml").read_text()
    wanted = re.search(r"^dependencies = \[(.*?)^\]", text, re.MULTILINE | re.DOTALL)[1]
    names = set(re.findall(r'^ *"([a-z-]+)', wanted, re.MULTILINE)) - {"onnxruntime-gpu"}
    installed = re.search(r"^RUN pip install --no-cache-dir (.*?) \\$", dockerfile(), re.MULTILINE)[1].split()
    assert set(installed) == names
    assert "numpy" in names


def test_the_container_calls_a_command_that_exists(tmp_path, monkeypatch, capsys):
    """Its entry point and its default words, with the folders of this machine in the place of its own."""
    text = dockerfile()
    words = [
        re.findall(r'"([^"]+)"', re.search(rf"^{key} \[(.*)\]$", text, re.MULTILINE)[1])
        for key in ("ENTRYPOINT", "CMD")
    ]
    make_exported(tmp_path / "model")
    (tmp_path / "in").mkdir()
    picture(False, 3).save(tmp_path / "in" / "x.png")
    places = {f"/{name}": str(tmp_path / name) for name in ("model", "in", "out")}
    command = [places.get(word, word) for word in (*words[0], *words[1])]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as e:
        cli.main()
    assert not e.value.code
    assert (tmp_path / "out" / "x.png").is_file()
    assert "COPY . /model\n" in text

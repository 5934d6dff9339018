"""The models that travel with i2i: small, described, and of use without torch and without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i import folder, models

MODELS = sorted(path for path in models.packaged().iterdir() if path.is_dir())

HEAVY = (
    "torch", "torchvision", "albumentations", "kornia", "accelerate", "safetensors", "scipy", "cv2", "onnx", "sympy",
    "huggingface_hub", "unittest",
)  # fmt: skip

POISONED = """
import sys
sys.modules["torch"] = None
from i2i.cli import main
sys.argv = ["i2i", "translate", *sys.argv[1:]]
main()
"""


@pytest.fixture(params=MODELS, ids=lambda path: path.name)
def shipped(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_it_is_small_and_says_what_it_is(shipped: Path) -> None:
    assert sum(file.stat().st_size for file in shipped.iterdir()) <= 8_000_000
    info = folder.read_info(shipped)
    assert info.name == shipped.name
    assert info.export is not None
    assert info.export.precision == "fp16"
    assert info.licence
    text = (shipped / "README.md").read_text(encoding="utf-8")
    for fact in (info.dataset, f"Pictures seen: {info.images:,}, in ", "psnr_rgb", info.licence):
        assert fact in text


def test_its_name_is_enough_offline_and_without_torch(shipped: Path, tmp_path: Path) -> None:
    label = np.zeros((100, 150, 3), np.uint8) + np.array([0, 48, 255], np.uint8)  # a wall
    label[30:70, 40:60] = label[30:70, 90:110] = (0, 128, 255)  # with two windows
    Image.fromarray(label).save(tmp_path / "label.png")
    arguments = ("label.png", "--model", shipped.name, "--out", "photo.png")
    subprocess.run([sys.executable, "-c", POISONED, *arguments], cwd=tmp_path, check=True, timeout=120)
    photo = np.asarray(Image.open(tmp_path / "photo.png"))
    assert photo.shape == label.shape
    wall, window = photo[75:95, 10:140].mean(), photo[35:65, 42:58].mean()
    assert wall - window > 20  # windows are darker than walls
    assert photo.std() > 20


def test_a_translation_starts_without_what_it_does_not_need(shipped: Path, tmp_path: Path) -> None:
    """It is to stay below 1.5 seconds. How long it takes hangs on what else the machine does; what it imports does not:
    540 modules when this was written."""
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    code = (
        "import sys\n"
        f"sys.argv = ['i2i', 'translate', 'a.png', '--model', {shipped.name!r}, '--device', 'cpu', '--out', 'b.png']\n"
        "from i2i import cli\n"
        "try: cli.main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert (tmp_path / "b.png").is_file(), done.stderr
    loaded = done.stderr.splitlines()[-1].split()
    present = {name.partition(".")[0] for name in loaded}
    assert not present & set(HEAVY)
    assert present >= {"numpy", "onnxruntime", "PIL"}
    assert len(loaded) < 700


def test_it_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert models.find("facades") == models.packaged() / "facades"

from __future__ import annotations

import platform
import re
import shutil
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from i2i import doctor

ROOT = Path(__file__).parent.parent


def named(checks, name):
    return [c for c in checks if c.name == name]


@pytest.fixture
def installed(monkeypatch):
    """Pretend which packages are installed: fill the returned mapping."""
    versions: dict[str, str] = dict.fromkeys(doctor.BASE, "1.0")
    monkeypatch.setattr(doctor, "version", versions.get)
    return versions


def test_the_packages_of_pyproject_are_all_looked_at():
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    def packages(lines):
        return {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in lines if not line.startswith("i2i-toolkit")}

    assert packages(project["dependencies"]) - set(doctor.ENGINES) == set(doctor.BASE)
    for extra in project["optional-dependencies"].keys() - {"all", "dev"}:
        assert packages(project["optional-dependencies"][extra]) - set(doctor.ENGINES) == set(doctor.EXTRAS[extra]), (
            extra
        )


def test_here_everything_needed_is_ok():
    found = doctor.checks()
    assert {c.state for c in found} <= {"ok", "missing", "warning"}
    assert named(found, "python")[0].detail.endswith(sys.version.split()[0])
    assert re.fullmatch(r"\d+\.\d+.*", named(found, "pydantic")[0].detail)
    assert "threads" in named(found, "cpu")[0].detail
    assert all("\n" not in c.detail for c in found)


def test_no_network_and_no_host_name(monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("the network was used"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: pytest.fail("the network was used"))
    monkeypatch.setattr(platform, "node", lambda: "name-of-this-machine")
    monkeypatch.setattr(socket, "gethostname", lambda: "name-of-this-machine")
    found = doctor.checks()
    assert found
    assert not any("name-of-this-machine" in f"{c.name} {c.detail}" for c in found)


def test_nothing_heavy_is_imported_without_devices():
    code = (
        "import sys; from i2i import doctor; doctor.checks(devices=False)\n"
        "print([m for m in ('torch', 'numpy', 'PIL', 'onnxruntime', 'accelerate') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_missing_extras_say_the_pip_line(installed):
    found = doctor.checks(devices=False)
    assert named(found, "torch") == [("torch", "missing", "only for the extra train: pip install 'i2i-toolkit[train]'")]
    assert named(found, "wandb")[0].detail.endswith("pip install 'i2i-toolkit[wandb]'")
    assert not any(c.state == "error" for c in found)


def test_a_missing_base_package_is_an_error(installed):
    del installed["rich"]
    assert named(doctor.checks(devices=False), "rich") == [("rich", "error", "pip install i2i-toolkit")]


@pytest.mark.parametrize("both", [True, False])
def test_both_onnxruntimes_are_a_warning(installed, both):
    installed["onnxruntime-gpu"] = "1.31"
    if both:
        installed["onnxruntime"] = "1.31"
    warnings = [c for c in doctor.checks(devices=False) if c.state == "warning" and "overwrite each other" in c.detail]
    assert len(warnings) == both


def test_albumentationsx_is_a_warning(installed):
    assert not named(doctor.checks(devices=False), "albumentationsx")
    installed["albumentationsx"] = "2.1"
    (check,) = named(doctor.checks(devices=False), "albumentationsx")
    assert check.state == "warning"
    assert "AGPL" in check.detail


def test_a_torch_that_does_not_import_is_reported(installed, monkeypatch):
    installed["torch"] = "2.9"
    monkeypatch.setitem(sys.modules, "torch", None)
    (check,) = named(doctor.checks(), "torch devices")
    assert check.state == "error"
    assert "cannot be imported" in check.detail


def test_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "a" / "b"))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("I2I_RUNS", str(tmp_path / "file" / "runs"))
    found = doctor.checks(devices=False)
    cache, runs = named(found, "cache")[0], named(found, "runs")[0]
    assert cache.state in ("ok", "warning")
    assert "GiB free, not created yet" in cache.detail
    assert (runs.state, runs.detail) == ("error", f"{tmp_path}/file/runs: {tmp_path}/file is a file, not a folder")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_little_space_and_no_right_to_write(tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_RUNS", str(tmp_path))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "total used free")(9, 8, 1))
    assert named(doctor.checks(devices=False), "runs") == [
        ("runs", "warning", f"{tmp_path}, 0.0 GiB free: little space")
    ]
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    detail = f"{tmp_path}: cannot be written (set I2I_RUNS to another folder)"
    assert named(doctor.checks(devices=False), "runs") == [("runs", "error", detail)]


def test_a_gpu_is_described():
    import types

    card = types.SimpleNamespace(name="Card", total_memory=8 * 2**30)
    fake = types.SimpleNamespace(
        cuda=types.SimpleNamespace(
            is_available=lambda: True,
            device_count=lambda: 1,
            get_device_properties=lambda i: card,
            is_bf16_supported=lambda including_emulation: False,
        ),
        version=types.SimpleNamespace(cuda="13.0"),
        backends=types.SimpleNamespace(mps=types.SimpleNamespace(is_available=lambda: False)),
        cpu=types.SimpleNamespace(),
        get_num_threads=lambda: 2,
    )
    assert list(doctor._torch(fake)) == [
        ("cuda:0", "ok", "Card, 8 GiB, CUDA 13.0, no bf16: use fp16"),
        ("cpu", "ok", "2 threads, bf16 not known"),
    ]

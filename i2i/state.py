"""A checkpoint on disk: a tree of tensors and plain values as JSON and safetensors, no pickle, written atomically."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from i2i.errors import TrainingError

TENSOR, PAIRS = "$tensor", "$pairs"


def pack(tree: Any, tensors: dict[str, Tensor], name: str = "") -> Any:
    """``tree`` with every tensor moved into ``tensors`` and every dict with other than text keys spelt as pairs."""
    if isinstance(tree, Tensor):
        key = name.lstrip(".")
        tensors[key] = tree.detach().cpu().contiguous().clone()
        return {TENSOR: key}
    if isinstance(tree, dict):
        inner = [(k, pack(v, tensors, f"{name}.{k}")) for k, v in tree.items()]
        return dict(inner) if all(isinstance(k, str) for k in tree) else {PAIRS: [list(p) for p in inner]}
    if isinstance(tree, list | tuple):
        return [pack(v, tensors, f"{name}.{i}") for i, v in enumerate(tree)]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(f"{name}: a checkpoint holds tensors and plain values only, not {type(tree).__name__}")


def unpack(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """The inverse of ``pack`` (tuples come back as lists)."""
    if isinstance(tree, dict):
        if TENSOR in tree:
            return tensors[tree[TENSOR]]
        if PAIRS in tree:
            return {k: unpack(v, tensors) for k, v in tree[PAIRS]}
        return {k: unpack(v, tensors) for k, v in tree.items()}
    return [unpack(v, tensors) for v in tree] if isinstance(tree, list) else tree


def write(folder: Path, name: str, tree: Any) -> None:
    """``<name>.json`` and ``<name>.safetensors`` in ``folder``, on the disk when this returns."""
    tensors: dict[str, Tensor] = {}
    text = json.dumps(pack(tree, tensors))
    save_file(tensors, folder / f"{name}.safetensors")
    (folder / f"{name}.json").write_text(text, encoding="utf-8")
    for suffix in ("json", "safetensors"):
        _sync(folder / f"{name}.{suffix}")


def read(folder: Path, name: str) -> Any:
    """What ``write`` wrote.

    Raises:
        TrainingError: the files are missing or damaged.
    """
    try:
        tree = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        return unpack(tree, load_file(folder / f"{name}.safetensors"))
    except FileNotFoundError as e:
        raise TrainingError(f"{folder}: the checkpoint has no {Path(str(e.filename or name)).name}") from e
    except (OSError, ValueError, KeyError, SafetensorError) as e:
        way_out = "remove it to use the one before"
        raise TrainingError(f"{folder}/{name}: this checkpoint is damaged ({e}); {way_out}") from e


def publish(draft: Path, final: Path) -> None:
    """Rename a finished folder into place, replacing an old one; what is at ``final`` is always complete."""
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    draft.rename(final)
    shutil.rmtree(old, ignore_errors=True)
    if os.name == "posix":
        _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)  # Windows syncs writable files only
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def rng() -> dict[str, Tensor]:
    """The state of torch's global generators."""
    state = {"cpu": torch.get_rng_state()}
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        state[f"cuda{i}"] = torch.cuda.get_rng_state(i)
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng(state: dict[str, Tensor]) -> None:
    """The inverse of ``rng``; generators of devices that are not here are left out."""
    torch.set_rng_state(state["cpu"])
    for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"cuda{i}" in state:
            torch.cuda.set_rng_state(state[f"cuda{i}"], i)
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])

"""Weights in other people's files: read without running code, found inside of checkpoints."""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from i2i import paths
from i2i.errors import ModelError, did_you_mean

# What a file of tensors calls to build them; everything else that a pickle names is somebody's code.
_TENSOR_PARTS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.(Size|Tensor|device)|torch(\.cuda|\.storage)?\.\w+Storage|torch\.nn\.parameter\.Parameter"
)


# What checkpoints call the weights in them, the better ones first: an average goes before what it averages.
WRAPPERS = (
    "params_ema", "params", "state_dict", "model_state_dict", "netG", "net_G", "net_g", "generator", "G", "model",
)  # fmt: skip


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` or PyTorch file, on the CPU. No code that the file may hold is run.

    Raises:
        ModelError: not a file of weights, cut short, or a pickle that wants to call something.
    """
    return read_entry(path)[0]


def read_entry(path: Path, key: str | None = None) -> tuple[dict[str, Tensor], list[str]]:
    """As ``read_weights``; and what was chosen, in words, where the file holds several sets of weights.

    Args:
        key: which of those; None is that of ``WRAPPERS``, else the only one.

    Raises:
        ModelError: see ``read_weights``; or no such key, or several sets of weights and none that is meant.
    """
    if not paths.is_file(path):
        raise ModelError(f"{path}: no such file")
    found = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    found, notes = _inside(path, found, key)
    if not isinstance(found, Mapping) or not found or not all(isinstance(name, str) for name in found):
        raise ModelError(f"{path}: holds no tensors by name, as state_dict() gives them")
    other = [name for name, value in found.items() if not isinstance(value, Tensor)]
    if other:
        raise ModelError(f"{path}: {other[0]!r} is no tensor: save the generator's state_dict() alone in a file")
    tensors = {name: value.detach() for name, value in found.items()}
    odd = [name for name, t in tensors.items() if t.layout != torch.strided or t.is_quantized or t.device.type != "cpu"]
    if odd:
        raise ModelError(f"{path}: {odd[0]!r} is not a plain tensor (sparse, quantised or without values)")
    if sum(t.numel() * t.element_size() for t in tensors.values()) > path.stat().st_size:
        raise ModelError(f"{path}: damaged: it claims more numbers than it holds")
    return tensors, notes


def _inside(path: Path, found: object, key: str | None) -> tuple[object, list[str]]:
    """The set of weights that a checkpoint holds beside its optimizers and counts; a bare one is what it is."""
    held = list(found.items()) if isinstance(found, Mapping) else []
    entries = {str(name): value for name, value in held if _is_state(value)}
    names = ", ".join(map(repr, entries))
    if key is not None and key not in entries:
        holds = f"holds the weights {names}" if entries else "holds one set of weights, under no key"
        raise ModelError(f"{path}: --key {key}: {holds}{did_you_mean(key, entries)}")
    if not entries:
        return found, []
    if key is not None:
        return entries[key], []
    taken = next((name for name in WRAPPERS if name in entries), None)
    if len(entries) == 1:
        return next(iter(entries.values())), []
    if taken is None:
        raise ModelError(f"{path}: holds the weights {names}: say which (--key {next(iter(entries))})")
    return entries[taken], [f"the file holds the weights {names}: taken {taken!r} (--key)"]


def _is_state(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(name, str) and isinstance(t, Tensor) for name, t in value.items())
    )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as e:
        raise ModelError(f"{path}: damaged, or not safetensors: {str(e).splitlines()[0]}") from e


def _read_torch(path: Path) -> object:
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if not start:
        raise ModelError(f"{path}: the file is empty")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ModelError(f"{path}: a web page, not weights: the download went wrong")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle versions: either it loads or it is refused
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # a damaged pickle can end in any of them
        called = [name for name in _named(path) if not _TENSOR_PARTS.fullmatch(name)]
        if not called:
            raise ModelError(f"{path}: not a file of weights, or cut short or damaged") from e
        raise ModelError(
            f"{path}: refused, nothing was run: this pickle does not only hold tensors, it wants to call "
            f"{', '.join(dict.fromkeys(called[:3]))}; a generator's state_dict() alone is accepted"
        ) from e


def _named(path: Path) -> Iterator[str]:
    """Every function and class that the pickles in a file name, read as text and never looked up."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inner = next(name for name in archive.namelist() if name.endswith("data.pkl"))
                with archive.open(inner) as stream:
                    yield from _names(stream)
        else:
            with path.open("rb") as stream:
                while True:  # the old format is several pickles in a row
                    yield from _names(stream)
    except Exception:
        return  # the pickles end here, or what follows is none


def _names(stream) -> Iterator[str]:
    """The names in one pickle; newer ones are two texts that were pushed before, or remembered from earlier."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    top = ""  # the text that was pushed last, if nothing else was since
    for opcode, arg, _ in pickletools.genops(stream):
        if opcode.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            memo[len(memo) if arg is None else arg] = top
            continue
        if opcode.name in ("GLOBAL", "INST"):
            yield str(arg).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        top = ""
        if opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            top = memo.get(int(arg or 0), "")
        elif opcode.name.endswith(("UNICODE", "UNICODE8", "STRING")):
            top = str(arg)
        if top:
            texts.append(top)

"""Other projects' weights become model folders: read without running code, recognised by their keys, converted.

Known today: the ResNet and U-Net generators of the pix2pix and CycleGAN reference project, old files included.
"""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from i2i import folder, nets, paths
from i2i.errors import ModelError, UsageError
from i2i.nets import Norm, ResNetConfig, UNetConfig
from i2i.obtain import digest

Config = ResNetConfig | UNetConfig
SIZE = (256, 256)  # what the reference project trains on unless told otherwise

# What a file of tensors calls to build them; everything else that a pickle names is somebody's code.
_TENSOR_PARTS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.(Size|Tensor|device)|torch(\.cuda|\.storage)?\.\w+Storage|torch\.nn\.parameter\.Parameter"
)

# Layouts that are known by sight and cannot be built yet: a key that gives them away.
_LATER = {
    r".*\.filt": "the anti-aliased networks of CUT",
    r"model\.\d+\.block\.\d+\.weight": "the CycleGAN of PyTorch-GAN",
    r"down1\.model\.0\.weight": "a U-Net of PyTorch-GAN (pix2pix, DiscoGAN, DualGAN, CCGAN)",
    r"res_blocks\.\d+\.conv_block\.\d+\.weight": "the SRGAN of PyTorch-GAN",
    r"(conv_first|body\.\d+\.conv1)\.weight": "the super-resolution networks of BasicSR",
}


@dataclass(frozen=True)
class Imported:
    """A model folder made from foreign weights, and what had to be assumed."""

    folder: Path
    notes: list[str]


def import_model(
    source: Path,
    name: str,
    *,
    direction: str | None = None,
    domains: tuple[str, str] | None = None,
    dropout: bool | None = None,
    method: str = "imported",
    dataset: str = "not stated",
    licence: str = "",
    origin: str = "",
    expected: str | None = None,
) -> Imported:
    """Converts a file of weights into the model folder ``paths.models() / name``.

    Args:
        direction: "a2b" or "b2a"; None is taken from a file name like ``latest_net_G_B.pth``, else "a2b".
        domains: what it translates from and to.
        dropout: whether it stays on when the model is used; None is on where the network has some, as in Pix2Pix.
        origin: where the weights come from, for the model card; the file's sum is added; "" is the file's name.
        expected: the kind of network that it must be: "resnet" or "unet".

    Raises:
        ModelError: not readable, not recognised, or a model of that name is there already.
        UsageError: the name is no plain word, or there is no such direction.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"--name {name!r}: a model's name is one word of letters, digits, '_', '-' and '.'")
    if direction not in (None, "a2b", "b2a"):
        raise UsageError(f"--direction {direction!r}: a2b or b2a")
    target = paths.models() / name
    if folder.is_model(target):
        raise ModelError(f"{target}: exists already: choose another name (--name), or delete that folder first")
    config, state = convert(read_weights(source), str(source))
    if not {1, 3}.issuperset((config.inputs, config.outputs)):
        has = f"from {config.inputs} to {config.outputs} channels"
        raise ModelError(f"{source}: translates {has}: i2i reads and writes pictures of 1 or 3 channels")
    if expected not in (None, config.net):
        raise ModelError(f"{source}: holds a {config.net}, and {name} must be a {expected}: choose another --name")
    notes = []
    if direction is None:
        direction, said = _direction(source)
        notes += [] if said else ["the file does not say which way it translates: taken as a2b (--direction b2a)"]
    noisy = config.dropout > 0 and (config.net == "resnet" or config.depth > 5)  # below, a U-Net has no such level
    if dropout is None:
        dropout = noisy
        if config.net == "unet" and noisy:
            notes += ["the file does not say whether dropout stays on: taken as on, as in pix2pix (--no-dropout)"]
    way = domains or (("a", "b") if direction == "a2b" else ("b", "a"))
    with torch.device("meta"):
        net: Any = nets.build(config)
    product = folder.Product(
        source=way[0], target=way[1], generator=config.model_dump(mode="json"), multiple=net.multiple,
        channels=(config.inputs, config.outputs),
    )  # fmt: skip
    info = folder.Info(
        name=name, method=method, dataset=dataset, size=SIZE, images=0, products={direction: product},
        default=direction, inference=folder.Inference(norm="image", dropout=dropout), licence=licence,
        origin=f"{origin or source.name} (sha256 {digest(source, None)[0]})",
    )  # fmt: skip
    folder.write(target, info, {direction: state})
    return Imported(target, notes)


def _direction(source: Path) -> tuple[str, bool]:
    """What the reference project's file name says (G_A makes b from a), and whether it says anything."""
    found = re.search(r"_net_G_([AB])$", source.stem)
    return ("b2a" if found and found[1] == "B" else "a2b"), found is not None


# Reading


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` or PyTorch file, on the CPU. No code that the file may hold is run.

    Raises:
        ModelError: not a file of weights, cut short, or a pickle that wants to call something.
    """
    if not paths.is_file(path):
        raise ModelError(f"{path}: no such file")
    found = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_torch(path)
    if not isinstance(found, Mapping) or not found or not all(isinstance(key, str) for key in found):
        raise ModelError(f"{path}: holds no tensors by name, as state_dict() gives them")
    other = [key for key, value in found.items() if not isinstance(value, Tensor)]
    if other:
        raise ModelError(f"{path}: {other[0]!r} is no tensor: save the generator's state_dict() alone in a file")
    tensors = {key: value.detach() for key, value in found.items()}
    odd = [key for key, t in tensors.items() if t.layout != torch.strided or t.is_quantized or t.device.type != "cpu"]
    if odd:
        raise ModelError(f"{path}: {odd[0]!r} is not a plain tensor (sparse, quantised or without values)")
    if sum(t.numel() * t.element_size() for t in tensors.values()) > path.stat().st_size:
        raise ModelError(f"{path}: damaged: it claims more numbers than it holds")
    return tensors


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


# Recognising


def convert(
    tensors: Mapping[str, Tensor], where: str = "these weights"
) -> tuple[ResNetConfig | UNetConfig, dict[str, Tensor]]:
    """The network that the keys and shapes describe, and its state_dict as ``nets.build`` wants it.

    Raises:
        ModelError: a discriminator, or no layout that can be built; ``where`` says whose weights they are.
    """
    state = _cleaned(tensors)
    for pattern, name in _LATER.items():
        if any(re.fullmatch(pattern, key) for key in state):
            raise ModelError(f"{where}: not supported yet by this i2i: {name}")
    try:
        config = _config(state, where)
    except ValidationError as e:
        first = e.errors()[0]
        raise ModelError(f"{where}: a network that i2i does not build ({first['loc'][0]}: {first['msg']})") from e
    with torch.device("meta"):
        expected = nets.build(config).state_dict()
    wrong = _difference(state, expected)
    if wrong:
        raise ModelError(f"{where}: almost a {config.net} of the pix2pix and CycleGAN project, but {wrong}")
    return config, {key: state[key] for key in expected}


def _cleaned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix of parallel training and the statistics that old instance norms carried along, never used.

    Where a prefix has a weight of its own, the statistics are a batch norm's and stay; torch before 0.4.1 did not
    count its batches.
    """
    state = dict(tensors)
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): t for key, t in state.items()}
    for prefix in [key.removesuffix("running_mean") for key in state if key.endswith(".running_mean")]:
        if f"{prefix}weight" in state:
            state.setdefault(f"{prefix}num_batches_tracked", torch.tensor(0))
        else:
            for buffer in ("running_mean", "running_var", "num_batches_tracked"):
                state.pop(prefix + buffer, None)
    return state


def _config(state: Mapping[str, Tensor], where: str) -> Config:
    if "model.model.0.weight" in state:
        return _unet(state, where)
    if any(re.match(r"model\.\d+\.conv_block\.", key) for key in state):
        return _resnet(state, where)
    if "model.0.weight" in state or "net.0.weight" in state:
        raise ModelError(f"{where}: a discriminator: it judges pictures and makes none; import the generator (net_G)")
    raise ModelError(
        f"{where}: not recognised: looked for the generators of the pix2pix and CycleGAN project (keys like "
        f"'model.10.conv_block.1.weight' or 'model.model.0.weight'), found {', '.join(map(repr, list(state)[:3]))}"
    )


def _shape(state: Mapping[str, Tensor], key: str, where: str) -> tuple[int, int]:
    """The first two sizes of a convolution's weight."""
    if key not in state:
        raise ModelError(f"{where}: looks like a generator of the pix2pix and CycleGAN project, but {key!r} is missing")
    if state[key].ndim != 4 or 0 in state[key].shape:
        raise ModelError(f"{where}: {key!r} is no convolution (its shape is {list(state[key].shape)})")
    return state[key].shape[0], state[key].shape[1]


def _resnet(state: Mapping[str, Tensor], where: str) -> ResNetConfig:
    blocks = len({key.split(".")[1] for key in state if re.match(r"model\.\d+\.conv_block\.", key)})
    width, inputs = _shape(state, "model.1.weight", where)
    outputs, _ = _shape(state, f"model.{17 + blocks}.weight", where)
    noisy = [key for key in state if re.fullmatch(r"model\.\d+\.conv_block\.6\.weight", key) and state[key].ndim == 4]
    return ResNetConfig(
        blocks=blocks, width=width, norm="batch" if "model.2.weight" in state else "instance",
        dropout=0.5 if noisy else 0.0, inputs=inputs, outputs=outputs,
    )  # fmt: skip


def _unet(state: Mapping[str, Tensor], where: str) -> UNetConfig:
    """Each level lies inside the one above; the innermost ends the chain."""
    level, depth = "model.model.1.model.", 1
    while f"{level}1.weight" in state:
        inside, level, depth = level, f"{level}3.model.", depth + 1
    if not 2 <= depth <= 12:
        raise ModelError(f"{where}: looks like a U-Net of {depth} levels: i2i builds 2 to 12")
    width, inputs = _shape(state, "model.model.0.weight", where)
    _, outputs = _shape(state, "model.model.3.weight", where)
    norm: Norm = "batch" if f"{inside}4.weight" in state else "instance"
    return UNetConfig(depth=depth, width=width, norm=norm, dropout=0.5, inputs=inputs, outputs=outputs)


def _difference(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """The first thing that does not fit, in words; empty when all fits."""
    missing = [key for key in expected if key not in state]
    if missing and all(key.endswith(".bias") for key in missing):
        return f"{missing[0]!r} is missing: a network trained without norms (--norm none) is not supported"
    if missing:
        return f"{missing[0]!r} is missing"
    for key, t in state.items():
        if key not in expected:
            return f"{key!r} is not expected"
        if t.shape != expected[key].shape:
            return f"{key!r} has shape {list(t.shape)}, expected {list(expected[key].shape)}"
    return ""

"""The torch engine: a model folder becomes a function on arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from i2i import nets, parts, tiles
from i2i.errors import DataError, ModelError, UsageError
from i2i.folder import INFO, TENSORS, Info
from i2i.memory import shown
from i2i.nets import frozen
from i2i.nets.steady import steady
from i2i.nets.used import Used
from i2i.processes import cores, own_gpu
from i2i.providers import GRAPHS, PROVIDERS


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` is the best there is: cuda, then mps, then cpu. Of several processes each has a GPU of its own. On a CPU
    torch is given no more threads than the process has cores: it knows nothing of a container's quota.

    Raises:
        UsageError: no such device, or not on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None and (gpu := own_gpu(torch.cuda.device_count())):
            device = torch.device("cuda", gpu)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        exported = name.lower().partition(":")[0] in {*PROVIDERS, GRAPHS} - {"cpu", "cuda"}
        why = "is for exported models (i2i export)" if exported else "cannot be used here"
        raise UsageError(f"device {name!r} {why}: try auto, cpu, cuda, cuda:1 or mps") from e
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ and cores() < torch.get_num_threads():
        torch.set_num_threads(cores())
    return device


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class TorchEngine:
    """Runs one product of a model folder.

    ``batch`` is how many pictures are worth running at once: one where dropout stays on, because each picture then has
    its own draw.

    ``precision`` bf16: weights and values in bfloat16 and in the order channels_last, which is the fastest for
    convolutions; what dropout draws follows the order of the values in memory, so that with dropout they stay in the
    order of float32: one seed, one result.
    """

    def __init__(
        self, folder: Path, info: Info, product: str, device: str = "auto", seed: int | None = None,
        precision: str = "fp32",
    ):  # fmt: skip
        self.device, self.product, self.precision = pick_device(device), info.products[product], precision
        self.net = Used(load_net(folder, info, product).to(self.device), info.inference, seed)
        self.dtype, self.order = DTYPES[precision], torch.contiguous_format
        if precision == "bf16":
            if not info.inference.dropout:
                self.order = torch.channels_last
            self.net.net.to(self.dtype).to(memory_format=self.order)
        self.in_full = partial(TorchEngine, folder, info, product, device, seed)
        self.clips = 0  # whose frames are being run
        self.batch = 1 if info.inference.dropout else 8

    def run(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C, H, W] in [-1, 1] -> [N, C', H * scale, W * scale]; no picture's result depends on the others.

        Raises:
            DataError: the device has too little memory for pictures of this size.
        """
        with enough(self.device, f"{x.shape[3]} x {x.shape[2]} pixels", "make it smaller (resize)"):
            given = torch.from_numpy(x).to(self.device, self.dtype, memory_format=self.order)
            return self.net(given).cpu().contiguous().numpy()

    @contextmanager
    def frames(self) -> Iterator[Callable[[], None]]:
        """Inside, what is run are frames of a clip: see ``i2i.nets.steady``."""
        _ = self.per_pixel  # measured before: that run is no frame
        self.clips += 1
        try:
            with steady(self.net.net) as new_scene:
                yield new_scene
        finally:
            self.clips -= 1

    def free(self) -> int | None:
        """Bytes of the device that are free, but for a tenth; None: its memory is the computer's."""
        if self.device.type != "cuda":
            return None
        return int(0.9 * torch.cuda.mem_get_info(self.device)[0])

    @cached_property
    def per_pixel(self) -> int:
        """Bytes that ``run`` takes for each pixel of a picture."""
        return frozen.per_pixel(self.net.net, self.product.inputs, self.product.multiple)

    def tiled(self, picture: tiles.Padded, room: int, way: tiles.Way) -> Iterator[np.ndarray]:
        """The answer to one picture, from its first row to its last: float32 [rows, W * scale, C'].

        exact: as ``run`` gives it, see ``i2i.strips``. fast: tile by tile, with the statistics of a reduced copy of the
        picture; where the network looks farther than tiles share, they are blended. In float32 in any case.

        Raises:
            DataError: ``room`` bytes, or those that are free on the disk, are too few.
            UsageError: fast, for a network with noise: each tile would draw its own; or it is a frame of a clip, whose
                statistics are held steady as a whole.
        """
        if self.clips:
            size = f"{picture.shape[1]} x {picture.shape[0]} pixels"
            raise UsageError(f"frames of {size} take more than {shown(room)}: allow more memory, or make them smaller")
        if self.precision != "fp32":
            return self.in_full().tiled(picture, room, way)
        if way == "exact":
            return parts.exact(self.net, self.device, self.product, picture, room)
        return parts.fast(self, self.net, self.product, picture, room)


@contextmanager
def enough(device: torch.device, what: str, way_out: str) -> Iterator[None]:
    """
    Raises:
        DataError: the device had too little memory for what was done inside, see ``what``.
    """
    try:
        yield
    except RuntimeError as e:  # torch.OutOfMemoryError is one of them; a CPU raises the plain class
        if not isinstance(e, torch.OutOfMemoryError) and "allocate memory" not in str(e):
            raise
        raise DataError(f"{what} are too many for the memory of {device}: {way_out}") from e


def load_net(folder: Path, info: Info, product: str) -> nn.Module:
    """The network of one product with its weights, in float32 on the CPU.

    Raises:
        ModelError: not the description of a known network, no or damaged weights, or these do not fit each other or
            what else ``i2i.json`` says.
    """
    try:
        config = TypeAdapter(nets.AnyGenerator).validate_python(info.products[product].generator)
    except ValidationError as e:
        raise unknown(folder, product, e) from e
    with torch.device("meta"):  # no first weights are drawn: fast, and the caller's random numbers stay as they are
        net: Any = nets.build(config)  # torch types every attribute of a network as a tensor or a network
    said = info.products[product]
    facts = {"multiple": net.multiple, "scale": net.scale, "channels": (config.inputs, config.outputs)}
    for key, own in {**facts, "masked": nets.takes_mask(net)}.items():
        if getattr(said, key) != own:
            other = f"{key} is {getattr(said, key)}, but its network has {own}"
            raise ModelError(f"{folder / INFO}: {product}: {other}: correct it there")
    return filled(net, folder, product)


def load_classifier(folder: Path, info: Info, name: str) -> nn.Module:
    """A network that names classes, with its weights, in evaluation mode, on the CPU: [N, C, H, W] -> logits.

    Raises:
        ModelError: not the description of a known network, no or damaged weights, or these do not fit each other.
    """
    try:
        config = TypeAdapter(nets.Classifier).validate_python(info.classifiers[name])
    except ValidationError as e:
        raise unknown(folder, name, e) from e
    with torch.device("meta"):
        net = nets.build(config)
    return filled(net, folder, name).eval()


def filled(net: nn.Module, folder: Path, name: str) -> nn.Module:
    """``net`` with the weights that the model folder holds for ``name``.

    Raises:
        ModelError: they are missing, damaged, or do not fit.
    """
    tensors = read_tensors(folder, name)
    expected = net.state_dict()
    wrong = [
        *(f"tensor {key!r} is missing" for key in expected if key not in tensors),
        *(f"tensor {key!r} is not expected" for key in tensors if key not in expected),
        *(
            f"tensor {key!r} has shape {list(t.shape)}, expected {list(expected[key].shape)}"
            for key, t in tensors.items()
            if key in expected and t.shape != expected[key].shape
        ),
    ]
    if wrong:
        more = f" (and {len(wrong) - 1} more such)" if len(wrong) > 1 else ""
        raise ModelError(f"{folder / TENSORS}: {name} does not fit the network in i2i.json: {wrong[0]}{more}")
    net.load_state_dict({key: t.to(expected[key].dtype) for key, t in tensors.items()}, assign=True)
    return net


def unknown(folder: Path, name: str, e: ValidationError) -> ModelError:
    """The error of a network's config that is none."""
    first = e.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return ModelError(f"{folder}: {name}: no network that this i2i can build ({where}: {first['msg']})")


def read_tensors(folder: Path, product: str) -> dict[str, Tensor]:
    """The state_dict of one product; the tensors of the others are not read.

    Raises:
        ModelError: the file is missing, damaged, or holds nothing for this product.
    """
    path = folder / TENSORS
    if not path.is_file():
        raise ModelError(f"{folder}: {TENSORS} is missing")
    start = f"{product}/"
    try:
        with safe_open(path, "pt") as file:
            tensors = {key.removeprefix(start): file.get_tensor(key) for key in file.keys() if key.startswith(start)}  # noqa: SIM118
    except (SafetensorError, OSError) as e:
        raise ModelError(f"{path}: damaged: {str(e).splitlines()[0]}") from e
    if not tensors:
        raise ModelError(f"{path}: holds no tensors for {product}")
    return tensors

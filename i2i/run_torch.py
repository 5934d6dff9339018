"""The torch engine: a model folder becomes a function on arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from i2i import nets
from i2i.errors import DataError, ModelError, UsageError
from i2i.folder import TENSORS, Info


def pick_device(name: str = "auto") -> torch.device:
    """``auto`` is the best there is: cuda, then mps, then cpu.

    Raises:
        UsageError: no such device, or not on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as e:
        raise UsageError(f"device {name!r} cannot be used here: try auto, cpu, cuda, cuda:1 or mps") from e
    return device


class TorchEngine:
    """Runs one product of a model folder.

    ``batch`` is how many pictures are worth running at once: several on a GPU; one on a CPU, where more gain nothing,
    and one where dropout stays on, because each picture has its own draw.
    """

    def __init__(self, folder: Path, info: Info, product: str, device: str = "auto", seed: int | None = None):
        self.device = pick_device(device)
        self.seed = info.inference.seed if seed is None else seed
        self.noisy = info.inference.dropout
        net = load_net(folder, info, product)
        net = (nets.per_image(net) if info.inference.norm == "image" else net).to(self.device).eval()
        for layer in net.modules():
            if isinstance(layer, nn.modules.dropout._DropoutNd):
                layer.train(self.noisy)
        self.net = net
        self.batch = 1 if self.noisy or self.device.type == "cpu" else 8

    def run(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C, H, W] in [-1, 1] -> [N, C', H * scale, W * scale]; no picture's result depends on the others.

        Raises:
            DataError: the device has too little memory for pictures of this size.
        """
        with torch.inference_mode():
            try:
                batch = torch.from_numpy(x).to(self.device)
                y = torch.cat([self._noisy(one) for one in batch.split(1)]) if self.noisy else self.net(batch)
                return y.float().cpu().numpy()
            except RuntimeError as e:  # torch.OutOfMemoryError is one of them; a CPU raises the plain class
                if isinstance(e, torch.OutOfMemoryError) or "allocate memory" in str(e):
                    raise DataError(
                        f"{x.shape[3]} x {x.shape[2]} pixels are too many for the memory of {self.device}: "
                        "translate a smaller version (resize)"
                    ) from e
                raise

    def _noisy(self, x: Tensor) -> Tensor:
        with seeded(self.seed, self.device):
            return self.net(x)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers start from ``seed`` inside; outside, nobody notices: every generator is put back."""
    cuda, mps = device.type == "cuda", device.type == "mps"
    before = torch.mps.get_rng_state() if mps else None
    # Not torch.manual_seed: that would also reseed the devices that are not forked here.
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif mps:
            torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            if before is not None:
                torch.mps.set_rng_state(before)


def load_net(folder: Path, info: Info, product: str) -> nn.Module:
    """The network of one product with its weights, in float32 on the CPU.

    Raises:
        ModelError: not the description of a known network, no or damaged weights, or the two do not fit.
    """
    try:
        config = TypeAdapter(nets.Generator).validate_python(info.products[product].generator)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{folder}: {product}: no network that this i2i can build ({where}: {first['msg']})") from e
    with torch.device("meta"):  # no first weights are drawn: fast, and the caller's random numbers stay as they are
        net = nets.build(config)
    tensors = read_tensors(folder, product)
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
        raise ModelError(f"{folder / TENSORS}: {product} does not fit the network in i2i.json: {wrong[0]}{more}")
    net.load_state_dict({key: t.to(expected[key].dtype) for key, t in tensors.items()}, assign=True)
    return net


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

"""The torch engine of models that draw pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, type_before_parametrizations

from i2i import nets
from i2i.errors import ModelError
from i2i.folder import INFO, SAMPLER, Info
from i2i.run_torch import enough, filled, pick_device, unknown


class TorchSampler:
    """Runs the network of a model folder that draws pictures, in evaluation mode: nothing is random but its input."""

    batch = 64

    def __init__(self, folder: Path, info: Info, device: str = "auto"):
        self.device = pick_device(device)
        self.net = load_sampler(folder, info).to(self.device)

    @torch.inference_mode()
    def run(self, z: np.ndarray, labels: np.ndarray | None = None, truncation: np.ndarray | None = None) -> np.ndarray:
        """float32 [N, size], and int64 [N] if it knows classes -> float32 [N, C, H, W] in [-1, 1]. If it has styles, z
        may be [N, styles, size], and ``truncation`` float32 [N].

        Raises:
            DataError: the device has too little memory for so many at once.
        """
        given = [torch.from_numpy(x).to(self.device) for x in (z, labels, truncation) if x is not None]
        with enough(self.device, f"{len(z)} pictures at once", "choose another --device"):
            return self.net(*given).float().cpu().numpy()


def load_sampler(folder: Path, info: Info) -> nn.Module:
    """The network that draws pictures with its weights, in float32 and evaluation mode, on the CPU:
    z [N, size], and labels [N] if it knows classes -> [N, C, H, W].

    Raises:
        ModelError: the folder holds none, or not the description of a known network, no or damaged weights, or these do
            not fit each other.
    """
    said = info.sampler
    if said is None:
        raise ModelError(f"{folder}: holds no network that draws pictures")
    try:
        config = TypeAdapter(nets.AnyDrawer).validate_python(said.generator)
    except ValidationError as e:
        raise unknown(folder, SAMPLER, e) from e
    with torch.device("meta"):  # no first weights are drawn, and shapes are computed without a number
        net = nets.build(config).eval()
        labels = [torch.zeros(2, dtype=torch.int64)] * bool(said.classes)
        try:
            drawn = list(net(torch.zeros(2, *said.shape), *labels).shape[1:])
        except (ModelError, RuntimeError, TypeError) as e:
            raise ModelError(f"{folder / INFO}: {SAMPLER}: its network does not take what it says: {_first(e)}") from e
    if drawn != [said.channels, *said.size]:
        other = f"it should draw {said.sentence()}, but its network gives {drawn} values (channels, height, width)"
        raise ModelError(f"{folder / INFO}: {SAMPLER}: {other}: correct it there")
    return plain(filled(net, folder, SAMPLER))


def plain(net: nn.Module) -> nn.Module:
    """``net`` with weights in place of rules that compute them, such as the division by a spectral norm: they are of
    training. It is changed itself; torch's own ``remove_parametrizations`` would change all copies of it too."""
    for layer in list(net.modules()):
        if is_parametrized(layer):
            ruled: Any = layer.parametrizations  # torch types every attribute of a network as a tensor or a network
            weights = {name: nn.Parameter(getattr(layer, name).detach()) for name in ruled}
            layer.__class__ = type_before_parametrizations(layer)
            del layer.parametrizations
            for name, weight in weights.items():
                setattr(layer, name, weight)
    return net


def _first(e: Exception) -> str:
    return str(e).partition("\n")[0] or type(e).__name__

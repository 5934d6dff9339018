"""The pix2pix and CycleGAN reference project, and CUT, which grew out of it: ResNet and U-Net generators."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from i2i.errors import ModelError
from i2i.foreign.layouts import Layout, State, convolution
from i2i.nets import Norm, ResNetConfig, UNetConfig

FILTERS = {3: (1.0, 2.0, 1.0), 4: (1.0, 3.0, 3.0, 1.0)}  # CUT's, to halve and to double


def _blocks(state: State) -> list[int]:
    """The places of the residual blocks."""
    found = {int(key.split(".")[1]) for key in state if re.match(r"model\.\d+\.conv_block\.", key)}
    return sorted(found)


def _has_filters(state: State) -> bool:
    return any(re.fullmatch(r"model\.\d+\.filt", key) for key in state)


def _resnet(state: State) -> ResNetConfig:
    """CUT's layers that blur stand behind each halving (at 7 and 11) and before each doubling, each on its own."""
    places = _blocks(state)
    end = places[0] + len(places)
    blur_up = f"model.{end}.filt" in state
    width, inputs = convolution(state, "model.1.weight")
    outputs, _ = convolution(state, f"model.{end + (9 if blur_up else 7)}.weight")
    noisy = [key for key in state if re.fullmatch(r"model\.\d+\.conv_block\.6\.weight", key) and state[key].ndim == 4]
    return ResNetConfig(
        blocks=len(places), width=width, norm="batch" if "model.2.weight" in state else "instance",
        dropout=0.5 if noisy else 0.0, down="blur" if "model.7.filt" in state else "stride",
        up="blur" if blur_up else "transpose", inputs=inputs, outputs=outputs,
    )  # fmt: skip


def _filter(key: str, t: Tensor) -> bool:
    """Whether it is a filter of CUT's, which is not learned."""
    if not key.endswith(".filt"):
        return False
    size = t.shape[-1] if t.ndim == 4 else 0
    if size in FILTERS:
        row = torch.tensor(FILTERS[size])
        wanted = row[:, None] * row / 16  # of sum 1 to halve, of sum 4 to double
        if t.shape[1:] == (1, size, size) and torch.allclose(t.float(), wanted, rtol=0, atol=1e-3):
            return True
    raise ModelError(f"{key!r} is none of its filters 1, 2, 1 and 1, 3, 3, 1")


def _unet(state: State) -> UNetConfig:
    """Each level lies inside the one above; the innermost ends the chain."""
    level, depth = "model.model.1.model.", 1
    while f"{level}1.weight" in state:
        inside, level, depth = level, f"{level}3.model.", depth + 1
    if not 2 <= depth <= 12:
        raise ModelError(f"it has {depth} levels: i2i builds 2 to 12")
    width, inputs = convolution(state, "model.model.0.weight")
    _, outputs = convolution(state, "model.model.3.weight")
    norm: Norm = "batch" if f"{inside}4.weight" in state else "instance"
    return UNetConfig(depth=depth, width=width, norm=norm, dropout=0.5, inputs=inputs, outputs=outputs)


PROJECT = "the pix2pix and CycleGAN project"

CUT = Layout("resnet", "CUT", lambda state: bool(_blocks(state)) and _has_filters(state), _resnet, dropped=_filter)
RESNET = Layout("resnet", PROJECT, lambda state: bool(_blocks(state)), _resnet)
UNET = Layout("unet", PROJECT, lambda state: "model.model.0.weight" in state, _unet, unsaid=("dropout",))


def is_discriminator(state: State) -> bool:
    """A chain of convolutions from ``model.0`` or ``net.0`` on that ends in one verdict: any of these projects'."""
    if not ("model.0.weight" in state or "net.0.weight" in state):
        return False
    weights = [t for key, t in state.items() if key.endswith(".weight") and t.ndim == 4]
    return bool(weights) and weights[-1].shape[0] == 1

"""BasicSR: MSRResNet, and the same network as its predecessor MMSR named it."""

from __future__ import annotations

import re
from functools import partial

from i2i.errors import ModelError
from i2i.foreign.layouts import Layout, State, convolution
from i2i.nets import MSRResNetConfig


def _knows(trunk: str, state: State) -> bool:
    return "conv_first.weight" in state and any(re.match(rf"{trunk}\.\d+\.conv1\.", key) for key in state)


def _config(trunk: str, state: State) -> MSRResNetConfig:
    width, inputs = convolution(state, "conv_first.weight")
    outputs, _ = convolution(state, "conv_last.weight")
    shuffled, _ = convolution(state, "upconv1.weight")
    blocks = len({key.split(".")[1] for key in state if key.startswith(f"{trunk}.")})
    factor = {4 * width: 2, 9 * width: 3}.get(shuffled)
    if factor is None:
        raise ModelError(f"'upconv1.weight' makes {shuffled} channels of {width}: neither 4 nor 9 times as many")
    scale = 4 if "upconv2.weight" in state else factor
    return MSRResNetConfig.model_validate(
        {"scale": scale, "blocks": blocks, "width": width, "inputs": inputs, "outputs": outputs}
    )


def _layout(project: str, trunk: str, names: tuple[tuple[str, str], ...] = ()) -> Layout:
    return Layout(
        "MSRResNet", project, partial(_knows, trunk), partial(_config, trunk), names, size=(128, 128),
        unsaid=("values",),
    )  # fmt: skip


LAYOUTS = (
    _layout("BasicSR", "body"),
    _layout("MMSR", "recon_trunk", names=(("recon_trunk.", "body."), ("HRconv.", "conv_hr."))),
)

"""PyTorch-GAN: the generators of its CycleGAN, pix2pix, DiscoGAN, DualGAN, CCGAN and SRGAN, as of its last version."""

from __future__ import annotations

import re
from functools import partial

from i2i.errors import ModelError
from i2i.foreign.layouts import Layout, State, convolution
from i2i.nets import FlatContextConfig, FlatUNetConfig, ResNetConfig, SRResNetTanhConfig


def _is_cyclegan(state: State) -> bool:
    return any(re.match(r"model\.\d+\.block\.", key) for key in state)


def _cyclegan(state: State) -> ResNetConfig:
    blocks = len({key.split(".")[1] for key in state if re.match(r"model\.\d+\.block\.", key)})
    width, inputs = convolution(state, "model.1.weight")
    outputs, _ = convolution(state, f"model.{19 + blocks}.weight")
    if (inputs, outputs) != (3, 3):  # it reflects as many pixels as it has channels; for a 7x7 filter that is 3
        raise ModelError(f"from {inputs} to {outputs} channels, with which that project cuts its pictures")
    return ResNetConfig(blocks=blocks, width=width, up="nearest")


def _is_unet(state: State) -> bool:
    return "down1.model.0.weight" in state and "up1.model.0.weight" in state


def _normed(state: State) -> str:
    """How the second level is normalized: by a batch norm, by an instance norm with or without a weight."""
    if "down2.model.1.weight" not in state:
        return "instance"
    return "batch" if "down2.model.1.running_mean" in state else "affine"


def _is(method: str, state: State) -> bool:
    if not _is_unet(state):
        return False
    norm, bias = _normed(state), "down1.model.0.bias" in state
    return method == {"batch": "CCGAN", "affine": "DualGAN"}.get(norm, "DiscoGAN" if bias else "pix2pix")


def _unet(state: State, quiet: int, last: str, innermost_norm: bool = False) -> FlatUNetConfig:
    depth = len({key.split(".")[0] for key in state if re.match(r"down\d+\.", key)})
    width, inputs = convolution(state, "down1.model.0.weight")
    place = {"transpose": 0, "plain": 1, "padded": 2}[last]
    sizes = convolution(state, f"final.{place}.weight")
    return (FlatContextConfig if _normed(state) == "batch" else FlatUNetConfig).model_validate({
        "depth": depth, "width": width, "norm": _normed(state), "innermost_norm": innermost_norm,
        "bias": "down1.model.0.bias" in state, "quiet": quiet, "last": last, "inputs": inputs,
        "outputs": sizes[1] if last == "transpose" else sizes[0],
    })  # fmt: skip


def _srgan(state: State) -> SRResNetTanhConfig:
    width, inputs = convolution(state, "conv1.0.weight")
    outputs, _ = convolution(state, "conv3.0.weight")
    doublings = len([key for key in state if re.fullmatch(r"upsampling\.\d+\.weight", key) and state[key].ndim == 4])
    blocks = len({key.split(".")[1] for key in state if key.startswith("res_blocks.")})
    return SRResNetTanhConfig.model_validate({
        "scale": 2**doublings, "blocks": blocks, "width": width, "inputs": inputs, "outputs": outputs,
        "values": "imagenet" if (inputs, outputs) == (3, 3) else "signed",
    })  # fmt: skip


def _layout(method: str, quiet: int, last: str, size: int, dropout: bool) -> Layout:
    config = partial(_unet, quiet=quiet, last=last)
    return Layout(
        "U-Net", f"PyTorch-GAN's {method}", partial(_is, method), config, size=(size, size), dropout=dropout,
        unsaid=("dropout",),
    )  # fmt: skip


# Dropout: on or off as where the project shows its samples. Sizes: what its options say by default.
LAYOUTS = (
    Layout("resnet", "PyTorch-GAN's CycleGAN", _is_cyclegan, _cyclegan, names=((".block.", ".conv_block."),)),
    _layout("pix2pix", quiet=3, last="padded", size=256, dropout=True),
    _layout("DiscoGAN", quiet=2, last="padded", size=64, dropout=False),
    _layout("DualGAN", quiet=3, last="transpose", size=128, dropout=True),
    Layout(
        "U-Net", "PyTorch-GAN's CCGAN", partial(_is, "CCGAN"),
        partial(_unet, quiet=2, last="plain", innermost_norm=True), size=(128, 128), norm="running",
        unsaid=("dropout", "norm"),
    ),
    Layout(
        "super-resolution network", "PyTorch-GAN's SRGAN",
        lambda state: any(re.match(r"res_blocks\.\d+\.conv_block\.", key) for key in state), _srgan, norm="running",
        unsaid=("norm", "values"),
    ),
)  # fmt: skip

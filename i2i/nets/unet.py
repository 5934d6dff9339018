"""The U-Net generator of Pix2Pix (Isola et al. 2017, arXiv:1611.07004; Ronneberger et al. 2015, arXiv:1505.04597)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Norm, Up, check, double, has_bias, norm_layer, widened
from i2i.nets.halving import Halve
from i2i.strict import Strict


class UNetConfig(Strict):
    """A U-Net. ``depth`` halvings: 8 is the published unet_256, 7 is unet_128; sizes must be multiples of 2 ** depth.

    ``dropout`` stands in the levels of full width between the innermost and the four outer ones: depth - 5 levels.
    """

    net: Literal["unet"] = "unet"
    depth: int = Field(8, ge=2, le=12)
    width: int = Field(64, ge=1, le=1024)
    most: int = Field(8, ge=1, le=64)  # the widest levels have most * width channels: 8 as published
    norm: Norm = "batch"
    dropout: float = Field(0.5, ge=0, lt=1)
    up: Up = "transpose"
    inputs: int = Field(3, ge=1, le=1024)
    outputs: int = Field(3, ge=1, le=1024)


class UNet(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H, W] in [-1, 1]; module tree and state_dict keys are the published ones.

    Raises:
        ModelError: H or W is not a multiple of ``multiple``, or the channels are wrong.
    """

    def __init__(self, config: UNetConfig):
        super().__init__()
        self.config, self.multiple, self.scale = config, 2**config.depth, 1
        widths = widened(config.width, config.depth, config.most)
        inner = innermost(config, widths[-2], widths[-1])
        for i in reversed(range(1, config.depth - 1)):
            inner = middle(config, widths[i - 1], widths[i], inner, config.dropout if i > 3 else 0.0)
        self.model = outermost(config, widths[0], inner)

    def forward(self, x: Tensor) -> Tensor:
        check(x, f"this U-Net (depth {self.config.depth})", self.config.inputs, self.multiple)
        return self.model(x)


class Level(nn.Module):
    """Halve, go deeper, double; what came in is handed on beside what comes out."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y = self.model(x)  # activates x in place first: no matter, the skip ends in a ReLU
        return torch.cat([x, y], 1)


class Outermost(Level):
    """The level of the pictures themselves: no skip."""

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def outermost(config: UNetConfig, width: int, inner: Level) -> Outermost:
    down = Halve(config.inputs, width, has_bias(config.norm))
    return Outermost(down, inner, nn.ReLU(True), double(config.up, 2 * width, config.outputs, bias=True), nn.Tanh())


def middle(config: UNetConfig, outer: int, width: int, inner: Level, dropout: float) -> Level:
    bias = has_bias(config.norm)
    down = [nn.LeakyReLU(0.2, True), Halve(outer, width, bias), norm_layer(config.norm, width)]
    up = [nn.ReLU(True), double(config.up, 2 * width, outer, bias), norm_layer(config.norm, outer)]
    return Level(*down, inner, *up, *([nn.Dropout(dropout)] if dropout else []))


def innermost(config: UNetConfig, outer: int, width: int) -> Level:
    """No norm between the two: a picture of ``multiple`` pixels is a single pixel here."""
    bias = has_bias(config.norm)
    down = [nn.LeakyReLU(0.2, True), Halve(outer, width, bias)]
    return Level(*down, nn.ReLU(True), double(config.up, width, outer, bias), norm_layer(config.norm, outer))

"""The U-Nets of PyTorch-GAN (pix2pix, DiscoGAN, DualGAN, CCGAN): levels side by side instead of one inside the other,
norm and activation behind every convolution, dropout on the way down as well."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import InstanceNorm, check, widened
from i2i.nets.context import coarse
from i2i.nets.halving import Double, Halve
from i2i.strict import Strict

EPS = 0.8  # of the batch norms: the project gives this number where eps stands


class FlatUNetConfig(Strict):
    """``depth`` halvings, from ``width`` to eight times as wide; all but the ``quiet`` outer levels have dropout.

    ``last``: how the last doubling is done: "padded" and "plain" enlarge by nearest neighbor and convolve, 4x4 with
    zeros above and to the left, or 3x3; "transpose" is a transposed convolution.
    """

    net: Literal["flat_unet"] = "flat_unet"
    depth: int = Field(8, ge=2, le=12)
    width: int = Field(64, ge=1, le=1024)
    norm: Literal["instance", "affine", "batch"] = "instance"  # affine: an instance norm with a weight and a bias
    innermost_norm: bool = False  # whether the innermost halving is normalized too
    bias: bool = False  # of the convolutions before norms
    dropout: float = Field(0.5, ge=0, lt=1)
    quiet: int = Field(3, ge=0, le=12)
    last: Literal["padded", "plain", "transpose"] = "padded"
    inputs: int = Field(3, ge=1, le=1024)
    outputs: int = Field(3, ge=1, le=1024)


class FlatContextConfig(FlatUNetConfig):
    """As a flat U-Net that fills holes: it is shown a quarter of the size of the picture after the second halving."""

    net: Literal["flat_context"] = "flat_context"  # type: ignore[assignment]
    depth: int = Field(6, ge=3, le=12)


class FlatUNet(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H, W] in [-1, 1]; module tree and state_dict keys are the published ones.

    Raises:
        ModelError: H or W is not a multiple of ``multiple``, or the channels are wrong.
    """

    beside = 0  # channels that are put beside those of the second level

    def __init__(self, config: FlatUNetConfig):
        super().__init__()
        self.config, self.multiple, self.scale = config, 2**config.depth, 1
        widths = widened(config.width, config.depth)
        made = list(widths)  # what each level hands on, down and to the skip
        made[1] += self.beside
        for level, (outer, width) in enumerate(zip([config.inputs, *made], widths, strict=False), start=1):
            normed = level > 1 and (level < config.depth or config.innermost_norm)
            self.add_module(f"down{level}", Step(config, outer, width, level, halve=True, normed=normed))
        came = widths[-1]
        for number, level in enumerate(reversed(range(1, config.depth)), start=1):
            self.add_module(f"up{number}", Step(config, came, widths[level - 1], level, halve=False, normed=True))
            came = widths[level - 1] + made[level - 1]
        self.final = nn.Sequential(*last(config, came), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        check(x, f"this flat U-Net (depth {self.config.depth})", self.config.inputs, self.multiple)
        return self.through(x, None)

    def through(self, x: Tensor, beside: Tensor | None) -> Tensor:
        depth = self.config.depth
        seen = [x]
        for level in range(1, depth + 1):
            y = self.get_submodule(f"down{level}")(seen[-1])
            seen.append(torch.cat([y, beside], 1) if level == 2 and beside is not None else y)
        y = seen[depth]
        for number, level in enumerate(reversed(range(1, depth)), start=1):
            y = torch.cat([self.get_submodule(f"up{number}")(y), seen[level]], 1)
        return self.final(y)


class FlatContext(FlatUNet):
    """[N, inputs + 1, H, W] -> [N, outputs, H, W] in [-1, 1].

    The last channel is the mask: 1 where the picture is missing, which is painted black. The project shows the true
    low resolution of the hole, which nobody has who wants a hole filled: here it is averaged from what is around.

    Raises:
        ModelError: H or W is not a multiple of ``multiple``, or the channels are wrong.
    """

    def __init__(self, config: FlatContextConfig):
        self.beside = config.inputs
        super().__init__(config)

    def forward(self, x: Tensor) -> Tensor:
        check(x, f"this flat U-Net for holes (depth {self.config.depth})", self.config.inputs + 1, self.multiple)
        picture, mask = x[:, :-1], x[:, -1:]
        low = F.avg_pool2d(coarse(picture, mask, self.config.depth - 1), 4)
        return self.through(torch.where(mask > 0.5, -torch.ones_like(picture), picture), low)


class Step(nn.Module):
    """One halving or doubling by a 4x4 convolution, its norm, its activation, its dropout."""

    def __init__(self, config: FlatUNetConfig, inputs: int, outputs: int, level: int, halve: bool, normed: bool):
        super().__init__()
        layers: list[nn.Module] = [(Halve if halve else Double)(inputs, outputs, config.bias)]
        if normed and config.norm == "batch":
            layers.append(nn.BatchNorm2d(outputs, EPS))
        elif normed:
            layers.append(InstanceNorm(outputs, affine=config.norm == "affine"))
        layers.append(nn.LeakyReLU(0.2) if halve else nn.ReLU(True))
        if config.dropout and level > config.quiet:
            layers.append(nn.Dropout(config.dropout))
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def last(config: FlatUNetConfig, inputs: int) -> list[nn.Module]:
    if config.last == "transpose":
        return [Double(inputs, config.outputs)]
    if config.last == "plain":
        return [nn.Upsample(scale_factor=2.0), nn.Conv2d(inputs, config.outputs, 3, padding=1)]
    above_and_left = nn.ZeroPad2d((1, 0, 1, 0))
    return [nn.Upsample(scale_factor=2.0), above_and_left, nn.Conv2d(inputs, config.outputs, 4, padding=1)]

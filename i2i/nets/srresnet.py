"""The super-resolution network of SRResNet and SRGAN (Ledig et al. 2017, arXiv:1609.04802, section 2.1.1, figure 4)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Norm, check, norm_layer
from i2i.strict import Strict


class SRResNetConfig(Strict):
    """``blocks`` residual blocks at the small size, then a doubling by pixel shuffle for each factor 2 of ``scale``."""

    net: Literal["srresnet"] = "srresnet"
    scale: Literal[2, 4, 8] = 4
    blocks: int = Field(16, ge=1, le=128)
    width: int = Field(64, ge=1, le=1024)
    norm: Norm = "batch"
    inputs: int = Field(3, ge=1, le=1024)
    outputs: int = Field(3, ge=1, le=1024)


class SRResNet(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H * scale, W * scale]; both range over [-1, 1], the output is not squashed.

    Of any size from 1 pixel on. The paper's input ranges over [0, 1] and its output over [-1, 1].

    Raises:
        ModelError: the channels are wrong.
    """

    def __init__(self, config: SRResNetConfig):
        super().__init__()
        self.config, self.multiple, self.scale = config, 1, config.scale
        w = config.width
        self.head = nn.Sequential(nn.Conv2d(config.inputs, w, 9, padding=4), nn.PReLU())
        blocks = [Residual(config) for _ in range(config.blocks)]
        self.trunk = nn.Sequential(*blocks, nn.Conv2d(w, w, 3, padding=1), norm_layer(config.norm, w))
        doublings = config.scale.bit_length() - 1
        self.tail = nn.Sequential(
            *(layer for _ in range(doublings) for layer in double(w)),
            nn.Conv2d(w, config.outputs, 9, padding=4),
        )

    def forward(self, x: Tensor) -> Tensor:
        check(x, "this SRResNet", self.config.inputs)
        x = self.head(x)
        return self.tail(x + self.trunk(x))


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to what came in (Gross and Wilber 2016: no activation after it)."""

    def __init__(self, config: SRResNetConfig):
        super().__init__()
        w = config.width
        self.block = nn.Sequential(
            nn.Conv2d(w, w, 3, padding=1), norm_layer(config.norm, w), nn.PReLU(),
            nn.Conv2d(w, w, 3, padding=1), norm_layer(config.norm, w),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


def double(width: int) -> list[nn.Module]:
    """Height and width times two: four times the channels, shuffled into pixels (Shi et al. 2016, arXiv:1609.05158)."""
    return [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.PReLU()]

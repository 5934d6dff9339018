"""The generator of PyTorch-GAN's SRGAN: SRResNet (Ledig et al. 2017, arXiv:1609.04802) with batch norms in its
doublings as well, and a tanh at its end."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.nets.blocks import check
from i2i.nets.values import Values, inward, outward
from i2i.strict import Strict

EPS = 0.8  # of the batch norms in its blocks: the project gives this number where eps stands


class SRResNetTanhConfig(Strict):
    """``blocks`` residual blocks at the small size, then a doubling by pixel shuffle for each factor 2 of ``scale``."""

    net: Literal["srresnet_tanh"] = "srresnet_tanh"
    scale: Literal[2, 4, 8] = 4
    blocks: int = Field(16, ge=1, le=128)
    width: int = Field(64, ge=1, le=1024)
    values: Values = "imagenet"
    inputs: int = Field(3, ge=1, le=1024)
    outputs: int = Field(3, ge=1, le=1024)

    @model_validator(mode="after")
    def _in_color(self) -> SRResNetTanhConfig:
        if self.values == "imagenet" and (self.inputs, self.outputs) != (3, 3):
            raise ValueError("values: imagenet is for colors")
        return self


class SRResNetTanh(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H * scale, W * scale]; module tree and state_dict keys are the published ones.

    The input ranges over [-1, 1]; so does the output, or less where ``values`` puts the tanh's range inside of it.

    Raises:
        ModelError: the channels are wrong.
    """

    def __init__(self, config: SRResNetTanhConfig):
        super().__init__()
        self.config, self.multiple, self.scale = config, 1, config.scale
        w = config.width
        self.conv1 = nn.Sequential(nn.Conv2d(config.inputs, w, 9, padding=4), nn.PReLU())
        self.res_blocks = nn.Sequential(*(Residual(w) for _ in range(config.blocks)))
        self.conv2 = nn.Sequential(nn.Conv2d(w, w, 3, padding=1), nn.BatchNorm2d(w, EPS))
        doublings = config.scale.bit_length() - 1
        self.upsampling = nn.Sequential(*(layer for _ in range(doublings) for layer in double(w)))
        self.conv3 = nn.Sequential(nn.Conv2d(w, config.outputs, 9, padding=4), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        check(x, "this SRResNet with a tanh", self.config.inputs)
        y = self.conv1(inward(x, self.config.values))
        y = y + self.conv2(self.res_blocks(y))
        return outward(self.conv3(self.upsampling(y)), self.config.values)


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to what came in."""

    def __init__(self, width: int):
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width, EPS), nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width, EPS),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def double(width: int) -> list[nn.Module]:
    """Height and width times two: four times the channels, shuffled into pixels."""
    return [nn.Conv2d(width, 4 * width, 3, padding=1), nn.BatchNorm2d(4 * width), nn.PixelShuffle(2), nn.PReLU()]

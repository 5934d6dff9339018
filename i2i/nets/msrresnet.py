"""MSRResNet, the super-resolution network of BasicSR: SRResNet (Ledig et al. 2017, arXiv:1609.04802) without norms, as
in EDSR (Lim et al. 2017, arXiv:1707.02921), that paints what bilinear enlarging lacks."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.nets.blocks import check
from i2i.nets.values import Values, inward, outward
from i2i.strict import Strict


class MSRResNetConfig(Strict):
    """``blocks`` residual blocks at the small size, then one pixel shuffle, or two of factor 2 for ``scale`` 4."""

    net: Literal["msrresnet"] = "msrresnet"
    scale: Literal[2, 3, 4] = 4
    blocks: int = Field(16, ge=1, le=128)
    width: int = Field(64, ge=1, le=1024)
    values: Values = "unit"
    inputs: int = Field(3, ge=1, le=1024)
    outputs: int = Field(3, ge=1, le=1024)

    @model_validator(mode="after")
    def _adds_up(self) -> MSRResNetConfig:
        if self.inputs != self.outputs:
            raise ValueError(f"{self.inputs} channels in and {self.outputs} out: the picture is added to the result")
        if self.values == "imagenet" and self.inputs != 3:
            raise ValueError("values: imagenet is for colors")
        return self


class MSRResNet(nn.Module):
    """[N, C, H, W] -> [N, C, H * scale, W * scale], both in [-1, 1], the output not squashed; module tree and
    state_dict keys are the published ones.

    Raises:
        ModelError: the channels are wrong.
    """

    def __init__(self, config: MSRResNetConfig):
        super().__init__()
        self.config, self.multiple, self.scale = config, 1, config.scale
        w, factor = config.width, 3 if config.scale == 3 else 2
        self.conv_first = nn.Conv2d(config.inputs, w, 3, padding=1)
        self.body = nn.Sequential(*(Residual(w) for _ in range(config.blocks)))
        self.upconv1 = nn.Conv2d(w, w * factor**2, 3, padding=1)
        self.upconv2 = nn.Conv2d(w, w * factor**2, 3, padding=1) if config.scale == 4 else None
        self.shuffle, self.slope = nn.PixelShuffle(factor), nn.LeakyReLU(0.1)
        self.conv_hr = nn.Conv2d(w, w, 3, padding=1)
        self.conv_last = nn.Conv2d(w, config.outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        check(x, "this MSRResNet", self.config.inputs)
        x = inward(x, self.config.values)
        y = self.body(self.slope(self.conv_first(x)))
        y = self.slope(self.shuffle(self.upconv1(y)))
        if self.upconv2 is not None:
            y = self.slope(self.shuffle(self.upconv2(y)))
        y = self.conv_last(self.slope(self.conv_hr(y)))
        enlarged = F.interpolate(x, scale_factor=float(self.scale), mode="bilinear", align_corners=False)
        return outward(y + enlarged, self.config.values)


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to what came in."""

    def __init__(self, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x).relu())

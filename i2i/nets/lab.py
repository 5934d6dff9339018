"""A U-Net that colors gray pictures: it paints the two color channels of CIE L*a*b* and keeps the lightness as it is
(Isola et al. 2017, arXiv:1611.07004, section 4.2; the color space as in Zhang et al. 2016, arXiv:1603.08511)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from i2i.nets.blocks import check
from i2i.nets.unet import UNet, UNetConfig

LIGHTEST, MOST = 100.0, 110.0  # L* of white; a* and b* of sRGB stay within


class LabUNetConfig(UNetConfig):
    """As a U-Net; its input is gray, its output color."""

    net: Literal["lab_unet"] = "lab_unet"  # type: ignore[assignment]
    inputs: Literal[1] = 1
    outputs: Literal[3] = 3


class LabUNet(nn.Module):
    """[N, 1, H, W] -> [N, 3, H, W] in [-1, 1], of the input's lightness but where a color cannot be so light or dark.

    Raises:
        ModelError: H or W is not a multiple of ``multiple``, or the channels are wrong.
    """

    def __init__(self, config: LabUNetConfig):
        super().__init__()
        self.config, self.multiple, self.scale = config, 2**config.depth, 1
        inside = {**config.model_dump(), "net": "unet", "inputs": 1, "outputs": 2}
        self.unet = UNet(UNetConfig.model_validate(inside))

    def forward(self, x: Tensor) -> Tensor:
        from kornia.color import lab_to_rgb, rgb_to_lab

        check(x, f"this Lab U-Net (depth {self.config.depth})", 1, self.multiple)
        gray = (x.float() + 1) / 2
        lightness = rgb_to_lab(gray.expand(-1, 3, -1, -1))[:, :1]
        color = MOST * self.unet((lightness / (LIGHTEST / 2) - 1).to(x.dtype)).float()
        return 2 * lab_to_rgb(torch.cat([lightness, color], 1)) - 1

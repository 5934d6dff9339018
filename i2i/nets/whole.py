"""The discriminator of SRGAN: one verdict on a whole picture (Ledig et al. 2017, arXiv:1609.04802, section 2.1.1 and
figure 4)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Norm, Pixels, check, has_bias, left, norm_layer
from i2i.strict import Strict


class WholeConfig(Strict):
    """Eight convolutions, every second one halves; ``dense`` numbers before the verdict; ``size`` is what it is for."""

    net: Literal["whole"] = "whole"
    width: int = Field(64, ge=1, le=1024)
    dense: int = Field(1024, ge=1, le=65536)
    norm: Norm = "batch"
    size: tuple[Pixels, Pixels] = (96, 96)
    inputs: int = Field(3, ge=1, le=1024)


class Whole(nn.Module):
    """[N, inputs, H, W] of the size in its config -> logits [N, 1].

    Raises:
        ModelError: of another size, or the channels are wrong.
    """

    def __init__(self, config: WholeConfig):
        super().__init__()
        self.config = config
        widths = [config.width * 2**i for i in (0, 0, 1, 1, 2, 2, 3, 3)]
        layers: list[nn.Module] = [nn.Conv2d(config.inputs, widths[0], 3, padding=1), nn.LeakyReLU(0.2, True)]
        for i in range(1, len(widths)):
            stride = 2 if i % 2 else 1
            layers += [nn.Conv2d(widths[i - 1], widths[i], 3, stride, 1, bias=has_bias(config.norm))]
            layers += [norm_layer(config.norm, widths[i]), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(widths[-1] * left(config.size, 4), config.dense), nn.LeakyReLU(0.2, True),
            nn.Linear(config.dense, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        check(x, "this discriminator", self.config.inputs, size=self.config.size)
        return self.model(x)

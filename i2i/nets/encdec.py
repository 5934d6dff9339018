"""The encoder-decoder generator of DiscoGAN (Kim et al. 2017, arXiv:1703.05192, section 3.1 and the released networks).

No skips: what is not in the innermost map is lost.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import BottleneckNorm, Norm, Up, check, double, has_bias, norm_layer, widened
from i2i.nets.halving import Halve
from i2i.strict import Strict


class EncDecConfig(Strict):
    """``depth`` halvings by 4x4 convolutions, 64 to 512 wide, and as many doublings: 64 pixels become 4 x 4.

    ``bottleneck``: so many channels are left of each 4 x 4 window of the innermost map, of 64 pixels one vector: 100 in
    the authors' pairing of objects by their angle, none (0) in their translation of pictures.
    """

    net: Literal["encdec"] = "encdec"
    depth: int = Field(4, ge=1, le=8)
    width: int = Field(64, ge=1, le=1024)
    bottleneck: int = Field(0, ge=0, le=4096)
    norm: Norm = "batch"
    up: Up = "transpose"
    inputs: int = Field(3, ge=1, le=1024)
    outputs: int = Field(3, ge=1, le=1024)


class EncDec(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H, W] in [-1, 1]: tanh at the end, where the authors' pictures end in [0, 1].

    Raises:
        ModelError: H or W is not a multiple of ``2 ** depth`` (or below four times that with a bottleneck, twice that
            with instance norm), or the channels are wrong; in training, a batch of one that the bottleneck makes a
            single pixel.
    """

    def __init__(self, config: EncDecConfig):
        super().__init__()
        self.config, self.scale = config, 1
        self.halved = 2**config.depth
        self.multiple = 4 * self.halved if config.bottleneck else self.halved
        norm, bias = config.norm, has_bias(config.norm)
        widths = widened(config.width, config.depth)
        layers: list[nn.Module] = [Halve(config.inputs, widths[0], bias), nn.LeakyReLU(0.2, True)]
        for outer, inner in pairwise(widths):
            layers += [Halve(outer, inner, bias), norm_layer(norm, inner), nn.LeakyReLU(0.2, True)]
        if config.bottleneck:
            layers += bottleneck(config, widths[-1])
        for inner, outer in pairwise(reversed(widths)):
            layers += [double(config.up, inner, outer, bias), norm_layer(norm, outer), nn.ReLU(True)]
        self.model = nn.Sequential(*layers, double(config.up, widths[0], config.outputs, bias), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        config = self.config
        name = f"this encoder-decoder (depth {config.depth})"
        # Instance norm leaves nothing of a map of one pixel.
        least = self.halved * (4 if config.bottleneck else 2 if config.norm == "instance" else 1)
        check(x, name, config.inputs, self.halved, least)
        return self.model(x)


def bottleneck(config: EncDecConfig, width: int) -> list[nn.Module]:
    """4 x 4 to one pixel and back. Instance norm would leave nothing of a single pixel: it is not applied to it."""
    norm, bias = config.norm, has_bias(config.norm)
    narrow = BottleneckNorm(config.bottleneck) if norm == "batch" else nn.Identity()
    return [
        nn.Conv2d(width, config.bottleneck, 4, bias=bias), narrow, nn.LeakyReLU(0.2, True),
        nn.ConvTranspose2d(config.bottleneck, width, 4, bias=bias), norm_layer(norm, width), nn.ReLU(True),
    ]  # fmt: skip

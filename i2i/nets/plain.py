"""The plain discriminator of DiscoGAN: one verdict a picture (Kim et al. 2017, arXiv:1703.05192, released networks)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Norm, check, has_bias, norm_layer, widened, with_activations
from i2i.nets.halving import Halve
from i2i.strict import Strict


class PlainConfig(Strict):
    """``depth`` halvings by 4x4 convolutions, then one over 4 x 4: with 4, a picture of 64 pixels is one logit."""

    net: Literal["plain"] = "plain"
    depth: int = Field(4, ge=1, le=8)
    width: int = Field(64, ge=1, le=1024)
    norm: Norm = "batch"
    inputs: int = Field(3, ge=1, le=1024)


class Plain(nn.Module):
    """[N, inputs, H, W] -> logits [N, 1, H', W'] with H' = H // 2 ** depth - 3: one for each 4 x 4 window.

    Raises:
        ModelError: H or W is below 4 * 2 ** depth (there is no such window), or the channels are wrong.
    """

    def __init__(self, config: PlainConfig):
        super().__init__()
        self.config = config
        norm, bias = config.norm, has_bias(config.norm)
        widths = widened(config.width, config.depth)
        layers: list[nn.Module] = [Halve(config.inputs, widths[0], bias), nn.LeakyReLU(0.2, True)]
        for outer, inner in pairwise(widths):
            layers += [Halve(outer, inner, bias), norm_layer(norm, inner), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and what each hidden layer but the first saw."""
        depth = self.config.depth
        check(x, f"this plain discriminator (depth {depth})", self.config.inputs, least=4 * 2**depth)
        logits, seen = with_activations(self.model, x)
        return logits, seen[1:]

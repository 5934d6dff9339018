"""The PatchGAN discriminator: one verdict a patch (Isola et al. 2017, arXiv:1611.07004, section 3.2.2)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Norm, check, has_bias, norm_layer, widened, with_activations
from i2i.nets.halving import Halve
from i2i.strict import Strict


class PatchConfig(Strict):
    """``layers`` halvings after the first: 3 sees patches of 70 pixels; 0 judges single pixels by 1x1 convolutions."""

    net: Literal["patch"] = "patch"
    layers: int = Field(3, ge=0, le=6)
    width: int = Field(64, ge=1, le=1024)
    norm: Norm = "batch"
    inputs: int = Field(3, ge=1, le=1024)


class Patch(nn.Module):
    """[N, inputs, H, W] -> logits [N, 1, H', W']; with ``layers`` L > 0, H' = H // 2 ** L - 2.

    Raises:
        ModelError: H or W is below 3 * 2 ** L (no patch is left), or the channels are wrong.
    """

    def __init__(self, config: PatchConfig):
        super().__init__()
        self.config = config
        norm, bias = config.norm, has_bias(config.norm)
        widths = widened(config.width, config.layers + 1)
        layers: list[nn.Module] = [Halve(config.inputs, widths[0]), nn.LeakyReLU(0.2, True)]
        for i in range(1, config.layers + 1):
            sides = widths[i - 1], widths[i]
            convolution = Halve(*sides, bias) if i < config.layers else nn.Conv2d(*sides, 4, 1, 1, bias=bias)
            layers += [convolution, norm_layer(norm, widths[i]), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and what each hidden layer but the first saw."""
        n = self.config.layers
        check(x, f"this discriminator ({n} layers)", self.config.inputs, least=3 * 2**n)
        logits, seen = with_activations(self.model, x)
        return logits, seen[1:]


class Pixel(nn.Module):
    """[N, inputs, H, W] -> logits [N, 1, H, W]: the 1x1 PatchGAN, which judges colors and no structure.

    Raises:
        ModelError: the channels are wrong.
    """

    def __init__(self, config: PatchConfig):
        super().__init__()
        self.config = config
        w, bias = config.width, has_bias(config.norm)
        self.net = nn.Sequential(
            nn.Conv2d(config.inputs, w, 1), nn.LeakyReLU(0.2, True),
            nn.Conv2d(w, 2 * w, 1, bias=bias), norm_layer(config.norm, 2 * w), nn.LeakyReLU(0.2, True),
            nn.Conv2d(2 * w, 1, 1, bias=bias),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The logits, and what the hidden layer between the first and the last saw."""
        check(x, "this discriminator (0 layers)", self.config.inputs)
        logits, seen = with_activations(self.net, x)
        return logits, seen[1:]


def patch(config: PatchConfig) -> Patch | Pixel:
    return Patch(config) if config.layers else Pixel(config)


def receptive_field(config: PatchConfig) -> int:
    """How many pixels wide the patch behind one verdict is: 1, 16, 34, 70, 142, 286 for 0 to 5 layers."""
    if config.layers == 0:
        return 1
    field = 7  # of the last two convolutions: 4 wide, stride 1
    for _ in range(config.layers):
        field = 2 * field + 2  # one more before them: 4 wide, stride 2
    return field

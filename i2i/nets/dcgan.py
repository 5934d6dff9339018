"""DCGAN: Radford, Metz, Chintala 2016, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks", arXiv:1511.06434: both networks, with 4x4 convolutions as in its released program."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.errors import SizeError
from i2i.nets.blocks import Norm, check, double, has_bias, norm_layer, widened
from i2i.nets.conditional import ConditionalNorm, DrawnNorm, drawn_norm, plainly, projected
from i2i.nets.drawn import DrawsConfig, SeesConfig, Told, asked, check_asked, seen_with, spectral_if
from i2i.nets.halving import Halve


def smallest(size: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """How often pictures of ``size`` are halved, and what is left: while both sides are even and 4 pixels remain. 64
    and 32 end at 4 x 4, 28 at 7 x 7.

    Raises:
        SizeError: a side is no multiple of 4.
    """
    height, width = size
    if height % 4 or width % 4:
        raise SizeError(f"a DCGAN needs pictures whose sides are multiples of 4, not {height}x{width}")
    halvings = 0
    while not height % 2 and not width % 2 and min(height, width) >= 8:
        height, width, halvings = height // 2, width // 2, halvings + 1
    return halvings, (height, width)


class DCGANConfig(DrawsConfig):
    """``width`` channels in the layer before the picture, twice as many in each one before, at most 8 times as many.
    The paper's, for 64 pixels: 1024, 512, 256, 128. The norm ``conditional`` is told the class, z is not."""

    net: Literal["dcgan"] = "dcgan"
    width: int = Field(128, ge=1, le=1024)
    norm: DrawnNorm = "batch"
    spectral: bool = False


class DCGAN(nn.Module):
    """A generator: [N, latent] -> [N, outputs, H, W] in [-1, 1]. z is projected to the smallest picture, which is
    doubled by transposed convolutions. Classes are one-hot values beside z, or told to the norms.

    Raises:
        ModelError: a side of the size is no multiple of 4.
    """

    def __init__(self, config: DCGANConfig):
        super().__init__()
        self.config, wrap, norm = config, spectral_if(config.spectral), config.norm
        doublings, left = smallest(config.size)
        widths = widened(config.width, doublings)[::-1]
        bias, classes = has_bias(plainly(norm)), config.classes
        told = norm == "conditional"
        # A norm takes one mean of all places, and scales and shifts them alike: unless each place has a bias, there is
        # nothing that a class could draw without z.
        given = config.latent + (0 if told else classes)
        self.project = wrap(nn.Linear(given, widths[0] * left[0] * left[1], bias=bias or told))
        self.shape = (widths[0], *left)
        layers: list[nn.Module] = [drawn_norm(norm, widths[0], classes), nn.ReLU(True)]
        for inner, outer in pairwise(widths):
            layers += [wrap(double("transpose", inner, outer, bias)), drawn_norm(norm, outer, classes), nn.ReLU(True)]
        self.model = nn.Sequential(*layers, wrap(double("transpose", widths[-1], config.outputs, True)), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.config.norm != "conditional":
            return self.model(self.project(asked(z, labels, self.config)).unflatten(1, self.shape))
        check_asked(z, labels, self.config)
        x = self.project(z).unflatten(1, self.shape)
        for layer in self.model:
            x = layer(x, labels) if isinstance(layer, ConditionalNorm) else layer(x)
        return x


class DCGANCriticConfig(SeesConfig):
    """``width`` channels after the first convolution, twice as many after each further one, at most 8 times as many."""

    net: Literal["dcgan_critic"] = "dcgan_critic"
    width: int = Field(128, ge=1, le=1024)
    norm: Norm = "batch"
    spectral: bool = False
    told: Told = "input"  # as one-hot planes; only where there are classes


class DCGANCritic(nn.Module):
    """[N, inputs, H, W] of the size in its config, with classes int64 [N] -> [N, answers]: strided convolutions, then
    one linear layer.

    Raises:
        ModelError: of another size, a side is no multiple of 4, or the channels are wrong.
    """

    def __init__(self, config: DCGANCriticConfig):
        super().__init__()
        self.config, wrap, norm = config, spectral_if(config.spectral), config.norm
        halvings, left = smallest(config.size)
        self.projects = config.classes > 0 and config.told == "projection"
        planes = config.inputs + (0 if self.projects else config.classes)
        widths = [planes, *widened(config.width, halvings)]
        layers: list[nn.Module] = []
        for i, (outer, inner) in enumerate(pairwise(widths)):
            kind = norm if i else "none"  # the paper: none where the picture comes in
            layers += [wrap(Halve(outer, inner, has_bias(kind)))]
            layers += [norm_layer(kind, inner), nn.LeakyReLU(0.2, True)]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        features = widths[-1] * left[0] * left[1]
        self.head = wrap(nn.Linear(features, config.answers))
        self.classes = wrap(nn.Linear(features, config.classes, bias=False)) if self.projects else None

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """[N, F]: what the last convolution makes of the pictures."""
        check(x, "this critic", self.config.inputs, size=self.config.size)
        return self.trunk(seen_with(x, labels, self.config, self.config.told))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        h = self.features(x, labels)
        if self.classes is None or labels is None:
            return self.head(h)
        return projected(self.head(h), self.classes(h), labels)

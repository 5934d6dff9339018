"""LAPGAN: Denton, Chintala, Szlam, Fergus 2015, "Deep Generative Image Models using a Laplacian Pyramid of Adversarial
Networks", arXiv:1506.05751: the pyramid, the generators of its levels as one chain, and their critics.

Level 0 is the coarsest, each further one twice as large: 7, 14 and 28 pixels, or 8, 16, 32 and 64. The paper counts
from the other end.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from i2i.errors import ModelError, SizeError
from i2i.nets.blocks import PairNorm, Pixels
from i2i.nets.blur import BlurUp
from i2i.nets.drawn import DrawsConfig, check_asked
from i2i.strict import Strict

Size = tuple[int, int]
SMALLEST = 7
"""Pixels that the shorter side of the coarsest level has at least; the paper's has 8 or 4."""


def sizes(size: Size) -> list[Size]:
    """The levels of pictures of ``size``, which are halved while both sides are even and 7 pixels remain."""
    found = [size]
    while not any(side % 2 for side in found[0]) and min(found[0]) >= 2 * SMALLEST:
        found.insert(0, (found[0][0] // 2, found[0][1] // 2))
    return found


def planes(size: Size) -> list[int]:
    """How many values of z are a plane of noise, of each level but the coarsest."""
    return [height * width for height, width in sizes(size)[1:]]


class LapGANConfig(DrawsConfig):
    """``dense`` units in both hidden layers of the coarsest level (the paper has 1200), ``width`` channels in those of
    all others. Of z, the first values are planes of noise, see ``planes``. ``norm`` is that of the coarsest level: the
    paper has none, and without it small digits were soon all the same."""

    net: Literal["lapgan"] = "lapgan"
    width: int = Field(64, ge=1, le=1024)
    dense: int = Field(1200, ge=1, le=65536)
    norm: Literal["batch", "none"] = "batch"


class LapGAN(nn.Module):
    """A generator: [N, latent] -> [N, outputs, H, W] in [-1, 1]. The coarsest level draws a picture; each further one
    doubles it, smoothly, and adds the detail that it draws (arXiv:1506.05751, eq. 5). Ours: the sum is clamped, so that
    black can be black.

    Raises:
        ModelError: the size has a single level, z has no value beside the planes, or it is built for classes.
    """

    def __init__(self, config: LapGANConfig):
        super().__init__()
        self.config = config
        noise, (height, width) = planes(config.size), config.size
        if not noise:
            raise SizeError(f"a Laplacian pyramid needs even sides of at least 14 pixels, not {height}x{width}")
        if config.latent <= sum(noise):
            more = f"more than {sum(noise)} values at {height}x{width}"
            raise ModelError(f"LAPGAN draws from {more}, not {config.latent}")
        if config.classes:
            raise ModelError("LAPGAN knows no classes")
        self.values = [*noise, config.latent - sum(noise)]
        coarsest = Coarsest(self.values[-1], config, sizes(config.size)[0])
        self.levels = nn.ModuleList([coarsest, *(Detail(config.width, config.outputs) for _ in noise)])
        self.up = BlurUp()

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        check_asked(z, labels, self.config)
        first, *finer = self.parts(z)
        x = self.level(0, first)
        for k, part in enumerate(finer, 1):
            x = self.level(k, part, self.up(x))
        return x

    def parts(self, z: Tensor) -> list[Tensor]:
        """What each level draws from."""
        *noise, coarsest = z.split(self.values, 1)
        return [coarsest, *noise]

    def level(self, k: int, part: Tensor, low: Tensor | None = None) -> Tensor:
        """What level ``k`` draws from its part of z and, but for the coarsest, from the smooth picture ``low``, which
        it adds to: [N, outputs, H, W], clamped to [-1, 1]."""
        net: Any = self.levels[k]
        return net(part) if low is None else (low + net(part, low)).clamp(-1, 1)


class Coarsest(nn.Module):
    """[N, inputs] -> [N, outputs, H, W] in [-1, 1]: fully connected, two hidden layers."""

    def __init__(self, inputs: int, config: LapGANConfig, size: Size):
        super().__init__()
        self.shape, width, layers = (config.outputs, *size), config.dense, list[nn.Module]()
        for given in (inputs, width):
            norm = [PairNorm(width)] if config.norm == "batch" else []
            layers += [nn.Linear(given, width), *norm, nn.ReLU(True)]
        self.model = nn.Sequential(*layers, nn.Linear(width, math.prod(self.shape)), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z).unflatten(1, self.shape)


class Detail(nn.Module):
    """Noise [N, H x W] and a smooth picture [N, C, H, W] -> detail [N, C, H, W]: three convolutions, which see the
    noise as one more channel (arXiv:1506.05751, section 3), no norm and a linear end."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(channels + 1, width, 5, padding=2), nn.ReLU(True),
            nn.Conv2d(width, width, 5, padding=2), nn.ReLU(True),
            nn.Conv2d(width, channels, 5, padding=2),
        )  # fmt: skip

    def forward(self, noise: Tensor, low: Tensor) -> Tensor:
        return self.model(torch.cat([low, noise.unflatten(1, (1, *low.shape[2:]))], 1))


def halved(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, C, H / 2, W / 2]: every second pixel after a filter of 1, 3, 3, 1, the one that ``BlurUp``
    doubles by."""
    return F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)


def pyramid(x: Tensor) -> list[tuple[Tensor, Tensor | None]]:
    """Of each level: what is real there, and the smooth picture that detail is added to, for the coarsest None
    (arXiv:1506.05751, eq. 3: what is real less what is smooth is the detail)."""
    found: list[tuple[Tensor, Tensor | None]] = []
    for _ in planes((x.shape[2], x.shape[3])):
        small = halved(x)
        found.insert(0, (x, BlurUp()(small)))
        x = small
    return [(x, None), *found]


class LapGANCriticConfig(Strict):
    """``dense`` units in both hidden layers of the coarsest level, ``width`` channels after the first convolution of
    all others and twice as many after the second; a share ``dropout`` of features is left out in training. The paper's
    dense layers have 600."""

    net: Literal["lapgan_critic"] = "lapgan_critic"
    width: int = Field(64, ge=1, le=1024)
    dense: int = Field(600, ge=1, le=65536)
    dropout: float = Field(0.5, ge=0, lt=1)
    size: tuple[Pixels, Pixels] = (32, 32)
    inputs: int = Field(3, ge=1, le=1024)


class LapGANCritic(nn.Module):
    """A critic for each level, in the order of ``sizes``: ``levels[k]`` takes pictures [N, inputs, H, W] of its size ->
    logits [N, 1]. What is judged is the sum of smooth picture and detail."""

    def __init__(self, config: LapGANCriticConfig):
        super().__init__()
        self.config = config
        coarsest, *larger = sizes(config.size)
        self.levels = nn.ModuleList([_dense(config, coarsest), *(_convolutional(config, size) for size in larger)])


def _dense(config: LapGANCriticConfig, size: Size) -> nn.Module:
    layers: list[nn.Module] = [nn.Flatten()]
    for inner in (config.inputs * math.prod(size), config.dense):
        layers += [nn.Linear(inner, config.dense), nn.LeakyReLU(0.2, True), nn.Dropout(config.dropout)]
    return nn.Sequential(*layers, nn.Linear(config.dense, 1))


def _convolutional(config: LapGANCriticConfig, size: Size) -> nn.Module:
    width, halves = config.width, [-(-side // 4) for side in size]
    return nn.Sequential(
        nn.Conv2d(config.inputs, width, 5, 2, 2), nn.LeakyReLU(0.2, True),
        nn.Conv2d(width, 2 * width, 5, 2, 2), nn.LeakyReLU(0.2, True),
        nn.Flatten(), nn.Dropout(config.dropout), nn.Linear(2 * width * math.prod(halves), 1),
    )  # fmt: skip

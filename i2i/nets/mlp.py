"""Fully connected networks for small pictures: the pair of Goodfellow et al. 2014, arXiv:1406.2661, in the form of the
well-known example for MNIST (Keras-GAN, by E. Linder-Norén)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Gaussian, PairNorm, check
from i2i.nets.conditional import projected
from i2i.nets.drawn import DrawsConfig, SeesConfig, Told, asked, shown, spectral_if
from i2i.strict import Strict


class MLPConfig(DrawsConfig):
    """``layers`` hidden layers, the first of ``width``, each twice as wide as the one before: 256, 512, 1024."""

    net: Literal["mlp"] = "mlp"
    layers: int = Field(3, ge=1, le=8)
    width: int = Field(256, ge=1, le=8192)
    norm: Literal["batch", "none"] = "batch"


class MLP(nn.Module):
    """A generator: [N, latent] -> [N, outputs, H, W] in [-1, 1]. Classes are one-hot values beside z.

    For z of 100 and pictures of 28 x 28 x 1 it has 1,493,520 numbers: 1,489,936 parameters and the 3,584 running means
    and variances of its batch norms, which stand behind the activations.
    """

    def __init__(self, config: MLPConfig):
        super().__init__()
        self.config = config
        widths = [config.latent + config.classes, *(config.width * 2**i for i in range(config.layers))]
        layers: list[nn.Module] = []
        for inner, outer in pairwise(widths):
            layers += [nn.Linear(inner, outer), nn.LeakyReLU(0.2, True)]
            layers += [PairNorm(outer)] if config.norm == "batch" else []
        self.shape = (config.outputs, *config.size)
        pixels = config.outputs * config.size[0] * config.size[1]
        self.model = nn.Sequential(*layers, nn.Linear(widths[-1], pixels), nn.Tanh())

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.model(asked(z, labels, self.config)).unflatten(1, self.shape)


class MLPCriticConfig(SeesConfig):
    """``layers`` hidden layers, the first of ``width``, each half as wide as the one before: 512, 256. In training,
    normal ``noise`` of that deviation is added to what each is given (Salimans et al. 2016, arXiv:1606.03498)."""

    net: Literal["mlp_critic"] = "mlp_critic"
    layers: int = Field(2, ge=1, le=8)
    width: int = Field(512, ge=1, le=8192)
    spectral: bool = False
    noise: float = Field(0.0, ge=0)
    told: Told = "input"  # as one-hot values beside those of the picture; only where there are classes


class MLPCritic(nn.Module):
    """[N, inputs, H, W] of the size in its config, with classes int64 [N] -> [N, answers]. With one answer and no
    classes, for 28 x 28 x 1 it has 533,505 parameters.

    Raises:
        ModelError: of another size, or the channels are wrong.
    """

    def __init__(self, config: MLPCriticConfig):
        super().__init__()
        self.config, wrap = config, spectral_if(config.spectral)
        self.projects = config.classes > 0 and config.told == "projection"
        given = config.inputs * config.size[0] * config.size[1] + (0 if self.projects else config.classes)
        widths = [given, *(max(1, config.width // 2**i) for i in range(config.layers))]
        layers: list[nn.Module] = [nn.Flatten()]
        for outer, inner in pairwise(widths):
            layers += [Gaussian(config.noise)] if config.noise else []
            layers += [wrap(nn.Linear(outer, inner)), nn.LeakyReLU(0.2, True)]
        self.trunk = nn.Sequential(*layers)
        self.head = wrap(nn.Linear(widths[-1], config.answers))
        self.classes = wrap(nn.Linear(widths[-1], config.classes, bias=False)) if self.projects else None

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """[N, F]: what the last hidden layer makes of the pictures."""
        check(x, "this critic", self.config.inputs, size=self.config.size)
        beside = shown(x, labels, self.config)
        if beside is None or self.projects:
            return self.trunk(x)
        loud = math.sqrt(x[0, 0].numel())  # as a whole plane of ones is: a single one is not heard among the pixels
        return self.trunk(torch.cat([x.flatten(1), loud * beside], 1))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        h = self.features(x, labels)
        if self.classes is None or labels is None:
            return self.head(h)
        return projected(self.head(h), self.classes(h), labels)


class CodeCriticConfig(Strict):
    """``layers`` hidden layers of ``width``."""

    net: Literal["code_critic"] = "code_critic"
    layers: int = Field(2, ge=1, le=8)
    width: int = Field(512, ge=1, le=8192)
    inputs: int = Field(100, ge=1, le=1_000_000)


class CodeCritic(nn.Module):
    """Codes, or whatever else is a row of numbers: [N, inputs] -> logits [N, 1]."""

    def __init__(self, config: CodeCriticConfig):
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        for outer, inner in pairwise([config.inputs, *[config.width] * config.layers]):
            layers += [nn.Linear(outer, inner), nn.LeakyReLU(0.2, True)]
        self.model = nn.Sequential(*layers, nn.Linear(config.width, 1))

    def forward(self, codes: Tensor) -> Tensor:
        return self.model(codes)

"""Residual networks of the zoo: Miyato, Kataoka, Koyama, Yoshida 2018, "Spectral Normalization for Generative
Adversarial Networks", arXiv:1802.05957, appendix B.4; with attention those of SAGAN (arXiv:1805.08318); told classes
those of Miyato, Koyama 2018 (arXiv:1802.05637), by an embedding those of BigGAN (arXiv:1809.11096)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.errors import ModelError
from i2i.nets.attention import Attention
from i2i.nets.blocks import check, widened
from i2i.nets.conditional import ConditionalNorm, EmbeddedNorm, projected
from i2i.nets.dcgan import smallest
from i2i.nets.drawn import DrawsConfig, SeesConfig, Told, asked, check_asked, seen_with, spectral_if
from i2i.nets.modulated import SelfModulated

Wrap = Callable[[nn.Module], nn.Module]
Times = Literal[1, 2, 4, 8, 16]
Attends = Literal[0, 2, 4, 8]


class SNGANConfig(DrawsConfig):
    """``width`` channels before the picture, twice as many in each block before, at most ``most`` times as many. The
    paper's: for 32 pixels 256 in all blocks, for 128 pixels 64 to 1024.

    With the norm ``conditional`` the blocks' norms are told the class, z is not: each has a scale and a shift for every
    class, or with an ``embedding`` makes them from that of the class, which all share. With ``chunks`` z is cut into
    equal parts, the first for the projection and one for the norms of each block (BigGAN, arXiv:1809.11096, section 3);
    what is left over goes to the projection too.
    """

    net: Literal["sngan"] = "sngan"
    width: int = Field(256, ge=1, le=1024)
    most: Times = 1
    norm: Literal["batch", "self", "none", "conditional"] = "batch"  # self: modulated by z, see i2i.nets.modulated
    embedding: int = Field(0, ge=0, le=4096)  # values of a class, shared by all conditional norms; 0: each has its own
    chunks: bool = False
    spectral: bool = False
    attention: Attends = 0  # where features are so many times smaller than the picture; 0: nowhere

    @model_validator(mode="after")
    def _told_to_norms(self) -> SNGANConfig:
        if self.embedding and self.norm != "conditional":
            raise ValueError("embedding: only the norm conditional is told the class by one: set norm=conditional")
        if self.chunks and not self.embedding:
            raise ValueError("chunks: they go to the norms beside the embedding of the class: set embedding=128, say")
        return self


class SNGAN(nn.Module):
    """A generator: [N, latent] -> [N, outputs, H, W] in [-1, 1]. z is projected to the smallest picture, which is
    doubled by residual blocks. Classes are one-hot values beside z, or told to the norms.

    Raises:
        ModelError: a side of the size is no multiple of 4, features are never as small as attention wants them, or z
            is too short to be cut into chunks.
    """

    def __init__(self, config: SNGANConfig):
        super().__init__()
        self.config, wrap = config, spectral_if(config.spectral)
        doublings, left = smallest(config.size)
        attends(config.attention, 2 ** (doublings - 1))
        values = config.latent + (0 if config.norm == "conditional" else config.classes)
        self.parts = [values]  # of z: for the projection, and for the norms of each block if it is cut
        if config.chunks:
            each = chunk(values, doublings + 1)
            self.parts = [values - doublings * each, *[each] * doublings]
        shared = config.embedding + self.parts[-1] * config.chunks
        self.embedding = nn.Embedding(config.classes, config.embedding) if config.embedding else None
        norms: dict[str, Callable[[int], nn.Module]] = {
            "batch": nn.BatchNorm2d,
            "self": lambda channels: SelfModulated(channels, values),
            "none": lambda channels: nn.Identity(),
            "conditional": lambda channels: (
                EmbeddedNorm(channels, shared, wrap) if shared else ConditionalNorm(channels, config.classes)
            ),
        }
        norm = norms[config.norm]
        widths = widened(config.width, doublings, config.most)[::-1]
        widths = [widths[0], *widths]
        self.shape = (widths[0], *left)
        self.project = wrap(nn.Linear(self.parts[0], widths[0] * left[0] * left[1]))
        self.blocks = nn.ModuleList()
        for i, (inner, outer) in enumerate(pairwise(widths)):
            self.blocks.append(Doubling(inner, outer, norm, wrap))
            if config.attention == 2 ** (doublings - 1 - i):
                self.blocks.append(Attention(outer, wrap))
        # The last norm is told no class: so it is in the released programs of both papers.
        self.norm = norms["batch" if config.norm == "conditional" else config.norm](widths[-1])
        self.picture = wrap(nn.Conv2d(widths[-1], config.outputs, 3, padding=1))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        first, told = self.told(z, labels)
        x, blocks = self.project(first).unflatten(1, self.shape), iter(told)
        for block in self.blocks:
            x = block(x, next(blocks)) if isinstance(block, Doubling) else block(x)
        return self.picture(F.relu(normed(self.norm, x, first))).tanh()

    def told(self, z: Tensor, labels: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """What is projected, and what the norms of each block are told."""
        blocks = sum(isinstance(block, Doubling) for block in self.blocks)
        if self.config.norm != "conditional" or labels is None:
            z = asked(z, labels, self.config)
            return z, [z] * blocks
        check_asked(z, labels, self.config)
        if self.embedding is None:
            return z, [labels] * blocks
        first, *rest = z.split(self.parts, 1)
        shared = self.embedding(labels)
        return first, [torch.cat([shared, part], 1) for part in rest] or [shared] * blocks


class Doubling(nn.Module):
    """Norm, ReLU, nearest neighbor, convolution, norm, ReLU, convolution, beside a convolution of 1 x 1. ``told`` is
    for the norms: z, labels, or what an ``EmbeddedNorm`` takes."""

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], nn.Module], wrap: Wrap):
        super().__init__()
        self.norms = nn.ModuleList([norm(inputs), norm(outputs)])
        self.first = wrap(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.second = wrap(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.beside = wrap(nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        y = self.first(doubled(F.relu(normed(self.norms[0], x, told))))
        y = self.second(F.relu(normed(self.norms[1], y, told)))
        return y + doubled(self.beside(x))  # doubling copies pixels: after 1 x 1 it is the same, for a quarter


class SNGANCriticConfig(SeesConfig):
    """``halvings`` blocks that halve the picture, at most until it is as small as it gets, the first of ``width``
    channels, each further one twice as many, at most ``most`` times as many; then ``plain`` more. The paper's: for 32
    pixels 2 and 2 blocks of 128, for 48 pixels 4 and 1 from 64 to 1024."""

    net: Literal["sngan_critic"] = "sngan_critic"
    width: int = Field(128, ge=1, le=1024)
    most: Times = 1
    halvings: int = Field(2, ge=1, le=8)
    plain: int = Field(2, ge=0, le=8)
    spectral: bool = True
    attention: Attends = 0  # where features are so many times smaller than the picture; 0: nowhere
    told: Told = "input"  # as one-hot planes; only where there are classes


class SNGANCritic(nn.Module):
    """[N, inputs, H, W] of the size in its config, with classes int64 [N] -> [N, answers]: residual blocks, a sum over
    all places, one linear layer.

    Raises:
        ModelError: of another size, a side is no multiple of 4, the channels are wrong, or features are never as small
            as attention wants them.
    """

    def __init__(self, config: SNGANCriticConfig):
        super().__init__()
        self.config, wrap = config, spectral_if(config.spectral)
        halvings = min(config.halvings, smallest(config.size)[0])
        attends(config.attention, 2**halvings)
        projects = config.classes > 0 and config.told == "projection"
        planes = config.inputs + (0 if projects else config.classes)
        widths = widened(config.width, halvings + config.plain, config.most)
        layers: list[nn.Module] = []
        for i, (outer, inner) in enumerate(pairwise([planes, *widths])):
            layers.append(Halving(outer, inner, wrap, halve=i < halvings, first=not i))
            if i < halvings and config.attention == 2 ** (i + 1):
                layers.append(Attention(inner, wrap))
        self.trunk = nn.Sequential(*layers, nn.ReLU(True))
        self.head = wrap(nn.Linear(widths[-1], config.answers))
        self.classes = wrap(nn.Linear(widths[-1], config.classes, bias=False)) if projects else None

    def features(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """[N, F]: what the last block makes of the pictures, summed over their places."""
        check(x, "this critic", self.config.inputs, size=self.config.size)
        return self.trunk(seen_with(x, labels, self.config, self.config.told)).sum((2, 3))

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        h = self.features(x, labels)
        if self.classes is None or labels is None:
            return self.head(h)
        return projected(self.head(h), self.classes(h), labels)


class Halving(nn.Module):
    """ReLU, convolution, ReLU, convolution, mean of 2 x 2, beside a convolution of 1 x 1; ``first``: a picture comes
    in, and no ReLU cuts it."""

    def __init__(self, inputs: int, outputs: int, wrap: Wrap, halve: bool, first: bool):
        super().__init__()
        self.halve, self.first = halve, first
        self.inner = wrap(nn.Conv2d(inputs, outputs, 3, padding=1))
        self.outer = wrap(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.beside = wrap(nn.Conv2d(inputs, outputs, 1)) if halve or inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.outer(F.relu(self.inner(x if self.first else F.relu(x))))
        if self.halve:  # the mean before 1 x 1 is the mean after it, for a quarter of the work
            return F.avg_pool2d(y, 2) + self.beside(F.avg_pool2d(x, 2))
        return y + self.beside(x)


def doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def normed(norm: nn.Module, x: Tensor, told: Tensor) -> Tensor:
    return norm(x, told) if isinstance(norm, SelfModulated | ConditionalNorm | EmbeddedNorm) else norm(x)


def chunk(values: int, parts: int) -> int:
    """How many of the values of z each part has.

    Raises:
        ModelError: none.
    """
    if values < parts:
        raise ModelError(f"chunks: a z of {values} has no value for each of {parts} parts: it needs {parts} or more")
    return values // parts


def attends(attention: int, smallest_part: int) -> None:
    """
    Raises:
        ModelError: no features are so many times smaller than the picture: at most ``smallest_part`` times.
    """
    if attention > smallest_part:
        raise ModelError(f"attention={attention}: features are at most {smallest_part} times smaller than the pictures")

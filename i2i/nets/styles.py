"""What style-based generators share: z becomes w, and each layer of a picture has a style of its own. Karras, Laine,
Aila 2019, "A Style-Based Generator Architecture for Generative Adversarial Networks", arXiv:1812.04948."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from i2i.errors import ModelError
from i2i.nets.drawn import DrawsConfig
from i2i.nets.equalized import EqualLinear, Leaky, PixelNorm

Times = Literal[1, 2, 4, 8, 16, 32]
REMEMBERED = 0.995  # of the mean of w in each batch of a training, as in the released program
RATE = 0.01  # at which the mapping learns


class StyledConfig(DrawsConfig):
    """``width`` channels at the full size, twice as many at each half, at most ``most`` times as many: the papers', for
    1024 pixels, 16 to 512 (StyleGAN) and 32 to 512. ``layers`` fully connected layers of ``style`` values map z to w.
    In training a share ``mixing`` of pictures is drawn from two of them, the first for the layers up to one that is
    drawn too (arXiv:1812.04948, section 3.1)."""

    width: int = Field(128, ge=1, le=1024)
    most: Times = 4
    layers: int = Field(8, ge=1, le=16)
    style: int = Field(512, ge=1, le=4096)
    mixing: float = Field(0.9, ge=0, le=1)


class Styled(nn.Module):
    """A generator that draws ``picture`` from w: float32 [N, styles, style] -> [N, outputs, H, W].

    ``forward``: z [N, latent], or [N, styles, latent] with one for each layer; ``truncation`` [N] -> the picture. w is
    drawn towards the mean of all to that share of its distance (arXiv:1812.04948, appendix B): 1 leaves it, 0 gives the
    same picture for all z. A picture is what a linear layer gives; in evaluation it is cut off at -1 and 1.

    Raises:
        ModelError: classes, or a z of another shape.
    """

    w_mean: Tensor

    def __init__(self, config: StyledConfig, styles: int):
        super().__init__()
        if config.classes:
            raise ModelError(f"{type(config).__name__.removesuffix('Config')} knows no classes: take another generator")
        self.config, self.styles = config, styles
        widths = [config.latent] + [config.style] * config.layers
        layers = [[EqualLinear(a, b, rate=RATE), Leaky()] for a, b in pairwise(widths)]
        self.mapping = nn.Sequential(PixelNorm(), *(part for layer in layers for part in layer))
        self.register_buffer("w_mean", torch.zeros(config.style))

    def picture(self, w: Tensor) -> Tensor:
        raise NotImplementedError

    def styled(self, z: Tensor, truncation: Tensor | None = None) -> Tensor:
        """w of every layer, [N, styles, style]."""
        self.check(z)
        if z.ndim == 3:
            w = self.mapping(z.flatten(0, 1)).unflatten(0, (-1, self.styles))
        else:
            w = self.mapping(z)
            if self.training:
                self.remember(w)
            w = w[:, None].expand(-1, self.styles, -1)
        if self.training and self.config.mixing:
            w = self.mixed(w)
        if truncation is not None:
            w = self.w_mean + truncation[:, None, None] * (w - self.w_mean)
        return w

    def mixed(self, w: Tensor) -> Tensor:
        """Some pictures take the styles of their last layers from another z, of normal noise: see ``new_drawer``."""
        count, device = len(w), w.device
        other = self.mapping(torch.randn(count, self.config.latent, device=device))[:, None]
        first = torch.randint(1, self.styles, (count, 1), device=device)
        some = torch.rand(count, 1, device=device) < self.config.mixing
        late = torch.arange(self.styles, device=device) >= first
        return torch.where((late & some)[..., None], other, w)

    @torch.no_grad()
    def remember(self, w: Tensor) -> None:
        self.w_mean.lerp_(w.float().mean(0), 1 - REMEMBERED)

    def forward(self, z: Tensor, truncation: Tensor | None = None) -> Tensor:
        drawn = self.picture(self.styled(z, truncation))
        return drawn if self.training else drawn.clamp(-1, 1)

    def check(self, z: Tensor) -> None:
        """
        Raises:
            ModelError: z has another shape.
        """
        latent = self.config.latent
        if not torch.compiler.is_compiling() and list(z.shape[1:]) not in ([latent], [self.styles, latent]):
            or_more = f"[N, {latent}], not from {list(z.shape)}; nor is this a z for each of {self.styles} layers"
            raise ModelError(f"this generator draws from {or_more}")


class Noise(nn.Module):
    """[N, C, H, W] -> the same and random numbers, one for each place, as strong as was learned: at first not at all
    (arXiv:1812.04948, section 2). In evaluation the numbers are always the same."""

    fixed: Tensor

    def __init__(self, size: tuple[int, int], channels: int):
        """``channels``: strengths, 1 for one of all channels."""
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(channels, 1, 1))
        self.register_buffer("fixed", torch.randn(1, 1, *size))

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn_like(x[:, :1]) if self.training else self.fixed
        return x + self.strength * noise

"""What tells a network which class is meant, from within: conditional batch norm and the projection of Miyato, Koyama
2018, "cGANs with Projection Discriminator", arXiv:1802.05637; and the norm of BigGAN."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from i2i.nets.blocks import Norm, norm_layer

DrawnNorm = Literal["batch", "instance", "none", "conditional"]
"""Of a generator: conditional is batch norm whose scale and shift belong to the class that is asked for."""


class ConditionalNorm(nn.Module):
    """Batch norm with a scale and a shift for each class: [N, C, H, W], int64 [N] -> [N, C, H, W].

    Dumoulin, Shlens, Kudlur 2017, arXiv:1610.07629, eq. 5; in a generator: Miyato, Koyama 2018, appendix A. It begins
    as a plain one.
    """

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale = nn.Parameter(torch.ones(classes, channels))
        self.shift = nn.Parameter(torch.zeros(classes, channels))

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        scale, shift = (F.embedding(labels, table)[..., None, None] for table in (self.scale, self.shift))
        return self.norm(x) * scale + shift


class EmbeddedNorm(nn.Module):
    """Batch norm whose scale and shift are linear in what it is told: [N, C, H, W], [N, values] -> [N, C, H, W].

    Brock, Donahue, Simonyan 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis",
    arXiv:1809.11096, section 3 and appendix B: the class by an embedding that all norms share, and a part of z. The
    scale is 1 and what its layer adds; neither layer has a bias. ``wrap`` is put around both, for a spectral norm.
    """

    def __init__(self, channels: int, values: int, wrap: Callable[[nn.Module], nn.Module]):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = (wrap(nn.Linear(values, channels, bias=False)) for _ in range(2))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.scale(told)[..., None, None], self.shift(told)[..., None, None]
        return self.norm(x) * (1 + scale) + shift


def drawn_norm(kind: DrawnNorm, channels: int, classes: int) -> nn.Module:
    return ConditionalNorm(channels, classes) if kind == "conditional" else norm_layer(kind, channels)


def plainly(kind: DrawnNorm) -> Norm:
    """The norm that it is of, if nobody asks for a class."""
    return "batch" if kind == "conditional" else kind


def projected(verdict: Tensor, products: Tensor, labels: Tensor) -> Tensor:
    """A verdict on a picture beside its class (Miyato, Koyama 2018, eq. 3): psi(phi) + <v_y, phi>.

    ``verdict`` [N, 1] is psi(phi), ``products`` [N, classes] are <v, phi> for the v of every class, ``labels`` are y.
    """
    return verdict + products.gather(1, labels[:, None])

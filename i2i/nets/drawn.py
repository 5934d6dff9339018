"""What all networks of the zoo say of themselves: a generator what it draws from and how large, a critic what it sees.

A generator is ``forward(z)``, with classes ``forward(z, labels)``: z float32 [N, latent], labels int64 [N] ->
[N, outputs, H, W] in [-1, 1]. A critic is ``forward(x)``, with classes ``forward(x, labels)``: [N, inputs, H, W] ->
logits [N, 1], and with more ``answers`` [N, answers] it is an encoder or a classifier.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from i2i.errors import ModelError
from i2i.nets.blocks import Pixels
from i2i.strict import Strict


class DrawsConfig(Strict):
    """What the data and the method say of a generator; a recipe leaves it to them."""

    latent: int = Field(100, ge=1, le=1_000_000)  # values in a row of z
    classes: int = Field(0, ge=0, le=100_000)  # that it can be asked for; 0: none
    size: tuple[Pixels, Pixels] = (32, 32)
    outputs: int = Field(3, ge=1, le=1024)


Told = Literal["input", "projection"]
"""How a critic is told the class: as one-hot values beside the picture, or by a projection."""


class SeesConfig(Strict):
    """What the data and the method say of a critic or an encoder; a recipe leaves it to them."""

    answers: int = Field(1, ge=1, le=1_000_000)  # values for each picture: 1 verdict, or the code of an encoder
    size: tuple[Pixels, Pixels] = (32, 32)
    inputs: int = Field(3, ge=1, le=1024)
    classes: int = Field(0, ge=0, le=100_000)  # of which one is shown beside each picture; 0: none


def spectral_if(spectral: bool) -> Callable[[nn.Module], nn.Module]:
    """Divides the weight of a layer by its largest singular value, by one power iteration a pass in training (Miyato et
    al. 2018, arXiv:1802.05957)."""
    return spectral_norm if spectral else lambda layer: layer


def asked(z: Tensor, labels: Tensor | None, config: DrawsConfig) -> Tensor:
    """z with what is asked for: [N, latent], int64 [N] -> [N, latent + classes], one-hot (Mirza, Osindero 2014,
    arXiv:1411.1784).

    Raises:
        ModelError: of another shape, or labels where there are none or none where there are some.
    """
    check_asked(z, labels, config)
    return z if labels is None else torch.cat([z, F.one_hot(labels, config.classes).to(z.dtype)], 1)


def shown(x: Tensor, labels: Tensor | None, config: SeesConfig) -> Tensor | None:
    """What is shown beside pictures, if something is: int64 [N] -> one-hot [N, classes] (Mirza, Osindero 2014,
    arXiv:1411.1784).

    Raises:
        ModelError: labels where there are none or none where there are some.
    """
    if (labels is None) != (config.classes == 0):
        sees = f"sees each picture beside one of {config.classes} classes" if config.classes else "is shown no classes"
        raise ModelError(f"this critic {sees}")
    return None if labels is None else F.one_hot(labels, config.classes).to(x.dtype)


def seen_with(x: Tensor, labels: Tensor | None, config: SeesConfig, told: Told) -> Tensor:
    """What the first convolution of a critic sees: pictures [N, C, H, W], and unless a projection is told the class,
    one plane more for each class, of ones where it is shown.

    Raises:
        ModelError: see ``shown``.
    """
    beside = shown(x, labels, config)
    if beside is None or told == "projection":
        return x
    return torch.cat([x, beside[..., None, None].expand(-1, -1, *x.shape[2:])], 1)


def check_asked(z: Tensor, labels: Tensor | None, config: DrawsConfig) -> None:
    """Refuse what a generator cannot draw from, in words.

    Raises:
        ModelError: see ``asked``.
    """
    if torch.compiler.is_compiling():
        return
    if z.ndim != 2 or z.shape[1] != config.latent:
        raise ModelError(f"this generator draws from [N, {config.latent}], not from {list(z.shape)}")
    if (labels is None) != (config.classes == 0):
        asks = f"has to be asked for one of {config.classes} classes" if config.classes else "knows no classes"
        raise ModelError(f"this generator {asks}")

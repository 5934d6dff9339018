"""The networks of PixelDA (Bousmalis et al. 2017, arXiv:1612.05424, section 4.1, figure 2): a residual generator that
is given noise, a discriminator, and the classifier of Ganin et al. 2016 (arXiv:1505.07818, figure 4) for digits."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Gaussian, Noise, Norm, Pixels, check, left, norm_layer
from i2i.strict import Strict


class PixelDAConfig(Strict):
    """``noise`` numbers in [-1, 1] become one more channel of the input, 0 leaves it out; ``size`` is that of the
    training pictures."""

    net: Literal["pixelda"] = "pixelda"
    blocks: int = Field(6, ge=1, le=64)
    width: int = Field(64, ge=1, le=1024)
    noise: int = Field(10, ge=0, le=1024)
    norm: Norm = "batch"
    size: tuple[Pixels, Pixels] = (32, 32)
    inputs: int = Field(3, ge=1, le=1024)
    outputs: int = Field(3, ge=1, le=1024)


class PixelDA(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H, W] in [-1, 1], at full resolution throughout.

    Noise is drawn while the layer ``noise`` is in training mode, else it is zero, the middle of its range. At another
    size than that of training the channel of noise is stretched.

    Raises:
        ModelError: the channels are wrong.
    """

    def __init__(self, config: PixelDAConfig):
        super().__init__()
        self.config, self.multiple, self.scale = config, 1, 1
        w, (height, width) = config.width, config.size
        if config.noise:
            self.noise = Noise(config.noise)
            self.project = nn.Linear(config.noise, height * width, bias=False)
        inputs = config.inputs + bool(config.noise)
        self.head = nn.Sequential(nn.Conv2d(inputs, w, 3, padding=1), nn.ReLU(True))
        self.body = nn.Sequential(*(Residual(w, config.norm) for _ in range(config.blocks)))
        self.tail = nn.Sequential(nn.Conv2d(w, config.outputs, 3, padding=1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        check(x, "this PixelDA generator", self.config.inputs)
        if self.config.noise:
            z = self.project(self.noise(x)).view(-1, 1, *self.config.size)
            x = torch.cat([x, F.interpolate(z, x.shape[2:], mode="bilinear").to(x.dtype)], 1)
        return self.tail(self.body(self.head(x)))


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to what came in."""

    def __init__(self, width: int, norm: Norm):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), norm_layer(norm, width), nn.ReLU(True),
            nn.Conv2d(width, width, 3, padding=1), norm_layer(norm, width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class NoisyConfig(Strict):
    """Halves three times. Gaussian noise of ``sigma`` and ``dropout`` keep it from winning (section 4.1)."""

    net: Literal["noisy"] = "noisy"
    width: int = Field(64, ge=1, le=1024)
    sigma: float = Field(0.2, ge=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    norm: Norm = "batch"
    size: tuple[Pixels, Pixels] = (32, 32)
    inputs: int = Field(3, ge=1, le=1024)


class Noisy(nn.Module):
    """[N, inputs, H, W] of the size in its config -> logits [N, 1].

    Raises:
        ModelError: of another size, or the channels are wrong.
    """

    def __init__(self, config: NoisyConfig):
        super().__init__()
        self.config = config
        w = config.width
        layers: list[nn.Module] = [nn.Conv2d(config.inputs, w, 3, padding=1)]
        for i in range(3):
            layers += [nn.LeakyReLU(0.2), nn.Dropout(config.dropout), Gaussian(config.sigma)]
            layers += [nn.Conv2d(w * 2**i, w * 2 ** (i + 1), 3, 2, 1), norm_layer(config.norm, w * 2 ** (i + 1))]
        layers += [nn.LeakyReLU(0.2), nn.Dropout(config.dropout), Gaussian(config.sigma), nn.Flatten()]
        self.model = nn.Sequential(*layers, nn.Linear(8 * w * left(config.size, 3), 1))

    def forward(self, x: Tensor) -> Tensor:
        check(x, "this discriminator", self.config.inputs, size=self.config.size)
        return self.model(x)


class DigitsConfig(Strict):
    """Two convolutions and three linear layers, made for digits of 28 or 32 pixels."""

    net: Literal["digits"] = "digits"
    width: int = Field(32, ge=1, le=1024)
    classes: int = Field(10, ge=1, le=100_000)
    size: tuple[Pixels, Pixels] = (32, 32)
    inputs: int = Field(3, ge=1, le=1024)


class Digits(nn.Module):
    """[N, inputs, H, W] of the size in its config -> logits [N, classes]; ``features`` -> what the last layer reads,
    [N, 100].

    Raises:
        ModelError: of another size, or the channels are wrong.
    """

    def __init__(self, config: DigitsConfig):
        super().__init__()
        self.config = config
        w = config.width
        self.model = nn.Sequential(
            nn.Conv2d(config.inputs, w, 5, padding=2), nn.ReLU(True), nn.MaxPool2d(2),
            nn.Conv2d(w, 3 * w // 2, 5, padding=2), nn.ReLU(True), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3 * w // 2 * (config.size[0] // 4) * (config.size[1] // 4), 100), nn.ReLU(True),
            nn.Linear(100, 100), nn.ReLU(True), nn.Linear(100, config.classes),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return self.model[-1](self.features(x))

    def features(self, x: Tensor) -> Tensor:
        check(x, "this classifier", self.config.inputs, size=self.config.size)
        return self.model[:-1](x)

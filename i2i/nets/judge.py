"""A classifier in the manner of VGG (Simonyan, Zisserman 2015, arXiv:1409.1556) that also judges whether a picture is
real: the discriminator of a semi-supervised game (Denton, Gross, Fergus 2016, arXiv:1611.06430)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.errors import ModelError
from i2i.nets.blocks import Norm, check, has_bias, norm_layer
from i2i.strict import Strict


class JudgeConfig(Strict):
    """``stages`` of ``convolutions`` 3x3 each, every stage halves the picture and doubles the width (at most 8 times).

    Then the mean over the picture, so that it takes any size, ``dropout``, and a linear head for each question.
    """

    net: Literal["judge"] = "judge"
    stages: int = Field(3, ge=1, le=6)
    convolutions: int = Field(1, ge=1, le=4)
    width: int = Field(32, ge=1, le=1024)
    norm: Norm = "none"
    dropout: float = Field(0.0, ge=0, lt=1)
    inputs: int = Field(3, ge=1, le=1024)
    classes: int = Field(0, ge=0, le=100_000)


class Judge(nn.Module):
    """[N, inputs, H, W] -> class logits [N, classes]; ``judge`` -> logits [N, 1], high for real pictures.

    Both heads read the same trunk; without classes there is no class head.

    Raises:
        ModelError: H or W is below 2 ** stages, the channels are wrong, or classes are asked for that it has not.
    """

    def __init__(self, config: JudgeConfig):
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        inputs = config.inputs
        for stage in range(config.stages):
            width = config.width * min(2**stage, 8)
            for i in range(config.convolutions):
                norm = "none" if stage == i == 0 else config.norm  # the first layer sees the contrast of the picture
                layers.append(nn.Conv2d(inputs, width, 3, 1, 1, bias=has_bias(norm)))
                layers += [norm_layer(norm, width), nn.LeakyReLU(0.2, True)]
                inputs = width
            layers.append(nn.AvgPool2d(2))
        self.trunk = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(config.dropout))
        self.real = nn.Linear(inputs, 1)
        self.label = nn.Linear(inputs, config.classes) if config.classes else None

    def features(self, x: Tensor) -> Tensor:
        check(x, f"this discriminator ({self.config.stages} stages)", self.config.inputs, least=2**self.config.stages)
        return self.trunk(x)

    def judge(self, x: Tensor) -> Tensor:
        return self.real(self.features(x))

    def answers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of both heads, by one run of the trunk: class logits, and the verdict [N, 1]."""
        if self.label is None:
            raise ModelError("this discriminator knows no classes: it can only judge")
        features = self.features(x)
        return self.label(features), self.real(features)

    def forward(self, x: Tensor) -> Tensor:
        if self.label is None:
            raise ModelError("this discriminator knows no classes: it can only judge")
        return self.label(self.features(x))

"""The residual generator of CycleGAN (Zhu et al. 2017, arXiv:1703.10593; Johnson et al. 2016, arXiv:1603.08155)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Norm, ResizeConv, check, has_bias, norm_layer
from i2i.nets.blur import Blur, BlurUp
from i2i.strict import Strict


class ResNetConfig(Strict):
    """Two halvings, ``blocks`` residual blocks, two doublings. The paper: 6 blocks up to 128 pixels, 9 from 256 on.

    ``down`` "blur" convolves at full size, then halves what was blurred before; ``up`` "blur" doubles by the same
    filters, then convolves (Zhang 2019, arXiv:1904.11486, as CUT does it: Park et al. 2020, arXiv:2007.15651). "resize"
    and "nearest" enlarge by nearest neighbor and convolve, with reflected borders or, as PyTorch-GAN, with zeros.
    """

    net: Literal["resnet"] = "resnet"
    blocks: int = Field(9, ge=1, le=64)
    width: int = Field(64, ge=1, le=1024)
    norm: Norm = "instance"
    dropout: float = Field(0.0, ge=0, lt=1)
    down: Literal["stride", "blur"] = "stride"
    up: Literal["transpose", "resize", "nearest", "blur"] = "transpose"
    inputs: int = Field(3, ge=1, le=1024)
    outputs: int = Field(3, ge=1, le=1024)


class ResNet(nn.Module):
    """[N, inputs, H, W] -> [N, outputs, H, W] in [-1, 1]; module tree and state_dict keys are the published ones.

    Raises:
        ModelError: H or W is not a multiple of 4 or below 8, or the channels are wrong.
    """

    def __init__(self, config: ResNetConfig):
        super().__init__()
        self.config, self.multiple, self.scale = config, 4, 1
        w, norm, bias = config.width, config.norm, has_bias(config.norm)
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3), nn.Conv2d(config.inputs, w, 7, bias=bias), norm_layer(norm, w), nn.ReLU(True),
            *halve(config, w, 2 * w),
            *halve(config, 2 * w, 4 * w),
            *(Residual(config, 4 * w) for _ in range(config.blocks)),
            *double(config, 4 * w, 2 * w), norm_layer(norm, 2 * w), nn.ReLU(True),
            *double(config, 2 * w, w), norm_layer(norm, w), nn.ReLU(True),
            nn.ReflectionPad2d(3), nn.Conv2d(w, config.outputs, 7), nn.Tanh(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        check(x, "this ResNet", self.config.inputs, self.multiple, least=8)  # below, there is nothing to reflect
        return self.model(x)


class Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to what came in."""

    def __init__(self, config: ResNetConfig, width: int):
        super().__init__()
        bias = has_bias(config.norm)
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm_layer(config.norm, width), nn.ReLU(True),
            *([nn.Dropout(config.dropout)] if config.dropout else []),
            nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3, bias=bias), norm_layer(config.norm, width),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


def halve(config: ResNetConfig, inputs: int, outputs: int) -> list[nn.Module]:
    blur = config.down == "blur"
    convolution = nn.Conv2d(inputs, outputs, 3, 1 if blur else 2, 1, bias=has_bias(config.norm))
    layers = [convolution, norm_layer(config.norm, outputs), nn.ReLU(True)]
    return [*layers, Blur()] if blur else layers


def double(config: ResNetConfig, inputs: int, outputs: int) -> list[nn.Module]:
    bias = has_bias(config.norm)
    if config.up == "resize":
        return [ResizeConv(inputs, outputs, bias)]
    if config.up == "transpose":
        return [nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1, bias=bias)]
    enlarge = BlurUp() if config.up == "blur" else nn.Upsample(scale_factor=2.0)
    return [enlarge, nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)]

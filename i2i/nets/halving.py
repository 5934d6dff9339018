"""The 4x4 convolutions that halve and double pictures: those of U-Nets, encoder-decoders and discriminators.

Deep inside a network maps have fewer places than channels, and a CPU spends its time on handling the weights, not on
arithmetic: torch 2.14 takes 47 ms for a doubling of 1024 maps of 2 x 2 pixels in bfloat16, forward and backward, which
one matrix product between two foldings does in 7.5 ms (Chellapilla, Puri, Simard 2006, "High Performance Convolutional
Neural Networks for Document Processing"). Both give the same numbers but for rounding, and have the same state_dict.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

KERNEL, STRIDE, PADDING = 4, 2, 1


class Halve(nn.Conv2d):
    """Halves height and width: [N, inputs, H, W] -> [N, outputs, H // 2, W // 2]."""

    channels_a_place: ClassVar = {torch.bfloat16: 2}

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, KERNEL, STRIDE, PADDING, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2] // 2, x.shape[3] // 2
        if not few(x, len(x) * height * width, self.out_channels, self.channels_a_place):
            return super().forward(x)
        seen = F.unfold(x, KERNEL, padding=PADDING, stride=STRIDE).transpose(1, 2)  # [N, places, inputs * 16]
        y = F.linear(seen, self.weight.flatten(1), self.bias)
        return y.transpose(1, 2).unflatten(2, (height, width)).contiguous()  # norms are exact in this order alone


class Double(nn.ConvTranspose2d):
    """Doubles height and width: [N, inputs, H, W] -> [N, outputs, 2 * H, 2 * W]."""

    channels_a_place: ClassVar = {torch.bfloat16: 2, torch.float32: 16}

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, KERNEL, STRIDE, PADDING, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        height, width = x.shape[2:]
        if not few(x, len(x) * height * width, self.in_channels, self.channels_a_place):
            return super().forward(x)
        spread = x.flatten(2).transpose(1, 2) @ self.weight.flatten(1)  # [N, places, outputs * 16]
        y = F.fold(spread.transpose(1, 2), (2 * height, 2 * width), KERNEL, padding=PADDING, stride=STRIDE)
        return y if self.bias is None else y + self.bias.to(y.dtype)[:, None, None]


def few(x: Tensor, places: int, channels: int, channels_a_place: dict[torch.dtype, int]) -> bool:
    """Whether the product is the faster way: on a CPU, with so many channels for each place as measured for x's type.

    What is exported or compiled stays a convolution, whose graph holds for every size.
    """
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return False
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    return dtype in channels_a_place and places * channels_a_place[dtype] <= channels

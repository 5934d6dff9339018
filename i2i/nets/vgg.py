"""The convolutions of VGG19 (Simonyan and Zisserman 2015, arXiv:1409.1556, table 1, column E), up to one of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # channels and convolutions; a max-pooling after each block
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colors, from 0 to 1


class VGG19(nn.Module):
    """[N, 1 or 3, H, W] in [-1, 1] -> phi_{block, conv}, [N, C, h, w]: the feature map of the ``conv``-th convolution,
    after its activation, before the ``block``-th max-pooling; each max-pooling before it halves H and W.

    Its state_dict keys are those of torchvision's VGG19; the layers behind are left out.
    """

    def __init__(self, block: int, conv: int):
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for number, (width, count) in enumerate(BLOCKS[:block], start=1):
            for _ in range(conv if number == block else count):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(True)]
                inputs = width
            if number < block:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", 2 * mean - 1, persistent=False)
        self.register_buffer("std", 2 * std, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.features((x - self.mean) / self.std)  # gray is seen as three equal channels

"""The published generators of the pix2pix and CycleGAN project as plain torch modules, stated independently of i2i."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class NoNorm(nn.Identity):
    pass


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    if kind == "none":
        return NoNorm()
    return nn.InstanceNorm2d(channels, track_running_stats=kind == "old instance")  # torch 0.3 saved what nobody used


class Block(nn.Module):
    def __init__(self, c: int, norm: str, dropout: bool):
        super().__init__()
        bias = "instance" in norm
        noise = [nn.Dropout(0.5)] if dropout else []
        first = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), _norm(norm, c), nn.ReLU(True)]
        second = [nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3, bias=bias), _norm(norm, c)]
        self.conv_block = nn.Sequential(*first, *noise, *second)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ReferenceResNet(nn.Module):
    def __init__(self, width=64, blocks=9, norm="instance", dropout=False, inputs=3, outputs=3):
        super().__init__()
        bias = "instance" in norm
        layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7, bias=bias), _norm(norm, width)]
        layers += [nn.ReLU(True)]
        for c in (width, 2 * width):
            layers += [nn.Conv2d(c, 2 * c, 3, stride=2, padding=1, bias=bias), _norm(norm, 2 * c), nn.ReLU(True)]
        layers += [Block(4 * width, norm, dropout) for _ in range(blocks)]
        for c in (4 * width, 2 * width):
            up = nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1, bias=bias)
            layers += [up, _norm(norm, c // 2), nn.ReLU(True)]
        layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Fold(nn.Module):
    """One level of the U-Net around the next; the outermost hands nothing on."""

    def __init__(self, layers: list[nn.Module], skip: bool):
        super().__init__()
        self.model, self.skip = nn.Sequential(*layers), skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.model(x)], 1) if self.skip else self.model(x)


class ReferenceUNet(nn.Module):
    def __init__(self, width=64, depth=8, norm="batch", dropout=True, inputs=3, outputs=3):
        super().__init__()
        bias = "instance" in norm
        wide = [width * min(2**level, 8) for level in range(depth)]
        down = nn.Conv2d(wide[-2], wide[-1], 4, 2, 1, bias=bias)
        up = nn.ConvTranspose2d(wide[-1], wide[-2], 4, 2, 1, bias=bias)
        inner = Fold([nn.LeakyReLU(0.2, True), down, nn.ReLU(True), up, _norm(norm, wide[-2])], skip=True)
        for level in range(depth - 2, 0, -1):
            o, i = wide[level - 1], wide[level]
            head = [nn.LeakyReLU(0.2, True), nn.Conv2d(o, i, 4, 2, 1, bias=bias), _norm(norm, i)]
            tail = [nn.ReLU(True), nn.ConvTranspose2d(2 * i, o, 4, 2, 1, bias=bias), _norm(norm, o)]
            noise = [nn.Dropout(0.5)] if dropout and level >= 4 else []
            inner = Fold([*head, inner, *tail, *noise], skip=True)
        last = nn.ConvTranspose2d(2 * width, outputs, 4, 2, 1)
        layers = [nn.Conv2d(inputs, width, 4, 2, 1, bias=bias), inner, nn.ReLU(True), last, nn.Tanh()]
        self.model = Fold(layers, skip=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


def visible(net: nn.Module) -> nn.Module:
    """Random weights and statistics of visible effect; fixed filters stay what they are."""
    for key, value in net.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif value.is_floating_point() and not key.endswith("filt"):
            value.normal_(1 if value.ndim == 1 and "weight" in key else 0, 0.2)
    return net


def reference(kind: str, seed: int = 0, **options: object) -> nn.Module:
    """With visible weights; in training mode, as the project tests pix2pix."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = visible({"resnet": ReferenceResNet, "unet": ReferenceUNet}[kind](**options))
    return net.train()


def without_noise(net: nn.Module) -> nn.Module:
    for layer in net.modules():
        if isinstance(layer, nn.Dropout):
            layer.eval()
    return net

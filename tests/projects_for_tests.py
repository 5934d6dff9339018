"""The generators of CUT, PyTorch-GAN and BasicSR as plain torch modules, stated independently of i2i.

Their facts: which layer stands where, how it pads, and which numbers it is given. ``project`` fills them with weights.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from reference_for_tests import Block, visible
from torch import Tensor, nn


class Filter(nn.Module):
    """A fixed filter, kept with the weights as ``filt``."""

    def __init__(self, channels: int, row: list[float], total: float):
        super().__init__()
        line = torch.tensor(row)
        plane = torch.outer(line, line)
        self.register_buffer("filt", (total * plane / plane.sum()).repeat(channels, 1, 1, 1))


class Down(Filter):
    def __init__(self, channels: int):
        super().__init__(channels, [1, 2, 1], 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=x.shape[1])


class Up(Filter):
    def __init__(self, channels: int):
        super().__init__(channels, [1, 3, 3, 1], 4)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.pad(x, (1, 1, 1, 1), mode="replicate")
        return F.conv_transpose2d(wide, self.filt, stride=2, padding=2, groups=x.shape[1])[:, :, 1:-1, 1:-1]


class CutResNet(nn.Module):
    def __init__(self, width=64, blocks=9, down=True, up=True, dropout=False, norm="instance", inputs=3, outputs=3):
        super().__init__()
        bias, normed = norm == "instance", {"instance": nn.InstanceNorm2d, "batch": nn.BatchNorm2d}[norm]
        layers = [nn.ReflectionPad2d(3), nn.Conv2d(inputs, width, 7, bias=bias), normed(width), nn.ReLU()]
        for c in (width, 2 * width):
            layers += [nn.Conv2d(c, 2 * c, 3, 1 if down else 2, 1, bias=bias), normed(2 * c), nn.ReLU()]
            layers += [Down(2 * c)] if down else []
        layers += [Block(4 * width, norm, dropout) for _ in range(blocks)]
        for c in (4 * width, 2 * width):
            step = nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1, bias=bias)
            layers += [Up(c), nn.Conv2d(c, c // 2, 3, 1, 1, bias=bias)] if up else [step]
            layers += [normed(c // 2), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class NamedBlock(nn.Module):
    """A residual block whose layers are called ``block``."""

    def __init__(self, c: int):
        super().__init__()
        self.block = Block(c, "instance", False).conv_block

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class GanCycle(nn.Module):
    """PyTorch-GAN's CycleGAN: it reflects as many pixels as there are channels."""

    def __init__(self, channels=3, width=64, blocks=9):
        super().__init__()
        layers = [nn.ReflectionPad2d(channels), nn.Conv2d(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU()]
        for c in (width, 2 * width):
            layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), nn.InstanceNorm2d(2 * c), nn.ReLU()]
        layers += [NamedBlock(4 * width) for _ in range(blocks)]
        for c in (4 * width, 2 * width):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(c, c // 2, 3, 1, 1), nn.InstanceNorm2d(c // 2), nn.ReLU()]
        layers += [nn.ReflectionPad2d(channels), nn.Conv2d(width, channels, 7), nn.Tanh()]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class Named(nn.Module):
    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


# depth, bias before norms, first level with dropout, norm, is the innermost level normed, last doubling
UNETS = {
    "pix2pix": (8, False, 4, nn.InstanceNorm2d, False, "padded"),
    "DiscoGAN": (6, True, 3, nn.InstanceNorm2d, False, "padded"),
    "DualGAN": (7, False, 4, lambda c: nn.InstanceNorm2d(c, affine=True), False, "transposed"),
    "CCGAN": (6, False, 3, lambda c: nn.BatchNorm2d(c, eps=0.8), True, "plain"),
}


class GanUNet(nn.Module):
    """PyTorch-GAN's U-Nets; CCGAN's is given a small picture too, beside the second level."""

    def __init__(self, method="pix2pix", width=64, channels=3):
        super().__init__()
        depth, bias, noisy, normed, inner, end = UNETS[method]
        wide = [channels] + [width * min(2**level, 8) for level in range(depth)]
        given = channels if method == "CCGAN" else 0
        self.depth = depth
        for level in range(1, depth + 1):
            c = wide[level - 1] + (given if level == 3 else 0)
            layers = [nn.Conv2d(c, wide[level], 4, 2, 1, bias=bias)]
            layers += [normed(wide[level])] if 1 < level < depth or (level == depth and inner) else []
            layers += [nn.LeakyReLU(0.2)] + ([nn.Dropout(0.5)] if level >= noisy else [])
            setattr(self, f"down{level}", Named(*layers))
        for level in range(depth - 1, 0, -1):
            c = wide[level + 1] * (1 if level == depth - 1 else 2) + (given if level == 1 else 0)
            layers = [nn.ConvTranspose2d(c, wide[level], 4, 2, 1, bias=bias), normed(wide[level]), nn.ReLU()]
            layers += [nn.Dropout(0.5)] if level >= noisy else []
            setattr(self, f"up{depth - level}", Named(*layers))
        enlarge, c = nn.Upsample(scale_factor=2), 2 * width
        last = {
            "padded": [enlarge, nn.ZeroPad2d((1, 0, 1, 0)), nn.Conv2d(c, channels, 4, padding=1)],
            "plain": [enlarge, nn.Conv2d(c, channels, 3, 1, 1)],
            "transposed": [nn.ConvTranspose2d(c, channels, 4, 2, 1)],
        }[end]
        self.final = nn.Sequential(*last, nn.Tanh())

    def forward(self, x: Tensor, small: Tensor | None = None) -> Tensor:
        skips = []
        for level in range(1, self.depth + 1):
            x = getattr(self, f"down{level}")(x)
            if level == 2 and small is not None:
                x = torch.cat((x, small), 1)
            skips.append(x)
        for level in range(self.depth - 1, 0, -1):
            x = torch.cat((getattr(self, f"up{self.depth - level}")(x), skips[level - 1]), 1)
        return self.final(x)


class Convolutions(nn.Module):
    def __init__(self, c: int):
        super().__init__()
        first = [nn.Conv2d(c, c, 3, 1, 1), nn.BatchNorm2d(c, eps=0.8), nn.PReLU()]
        self.conv_block = nn.Sequential(*first, nn.Conv2d(c, c, 3, 1, 1), nn.BatchNorm2d(c, eps=0.8))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class GanSR(nn.Module):
    """PyTorch-GAN's SRGAN."""

    def __init__(self, width=64, blocks=16, doublings=2, channels=3):
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(channels, width, 9, 1, 4), nn.PReLU())
        self.res_blocks = nn.Sequential(*[Convolutions(width) for _ in range(blocks)])
        self.conv2 = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1), nn.BatchNorm2d(width, eps=0.8))
        larger = []
        for _ in range(doublings):
            larger += [nn.Conv2d(width, 4 * width, 3, 1, 1), nn.BatchNorm2d(4 * width), nn.PixelShuffle(2), nn.PReLU()]
        self.upsampling = nn.Sequential(*larger)
        self.conv3 = nn.Sequential(nn.Conv2d(width, channels, 9, 1, 4), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.conv3(self.upsampling(x + self.conv2(self.res_blocks(x))))


class Pair(nn.Module):
    def __init__(self, c: int):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(c, c, 3, 1, 1), nn.Conv2d(c, c, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x)))


class BasicSR(nn.Module):
    """MSRResNet. ``old``: under the names of MMSR."""

    def __init__(self, scale=4, width=64, blocks=16, channels=3, old=False):
        super().__init__()
        self.scale, self.old, factor = scale, old, 3 if scale == 3 else 2
        self.conv_first = nn.Conv2d(channels, width, 3, 1, 1)
        setattr(self, "recon_trunk" if old else "body", nn.Sequential(*[Pair(width) for _ in range(blocks)]))
        self.upconv1 = nn.Conv2d(width, width * factor**2, 3, 1, 1)
        if scale == 4:
            self.upconv2 = nn.Conv2d(width, width * factor**2, 3, 1, 1)
        setattr(self, "HRconv" if old else "conv_hr", nn.Conv2d(width, width, 3, 1, 1))
        self.conv_last = nn.Conv2d(width, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = (self.recon_trunk if self.old else self.body)(F.leaky_relu(self.conv_first(x), 0.1))
        for step in [self.upconv1] + ([self.upconv2] if self.scale == 4 else []):
            y = F.leaky_relu(F.pixel_shuffle(step(y), 3 if self.scale == 3 else 2), 0.1)
        y = self.conv_last(F.leaky_relu((self.HRconv if self.old else self.conv_hr)(y), 0.1))
        return y + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)


PROJECTS = {"cut": CutResNet, "cycle": GanCycle, "unet": GanUNet, "srgan": GanSR, "basicsr": BasicSR}


def project(kind: str, seed: int = 0, **options: object) -> nn.Module:
    """Random weights and statistics of visible effect, in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return visible(PROJECTS[kind](**options)).eval()

"""What all networks share: norms, doubling by resize and convolution, the size check, first weights."""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from i2i.errors import ModelError
from i2i.nets.halving import Double

Norm = Literal["batch", "instance", "none"]
Up = Literal["transpose", "resize"]
Pixels = Annotated[int, Field(ge=8, le=1024)]
"""A side of the pictures that a network is made for."""
Init = Literal["normal", "xavier", "kaiming", "orthogonal", "orthonormal"]
Module = TypeVar("Module", bound=nn.Module)


class InstanceNorm(nn.Module):
    """Every channel of every image to mean 0 and variance 1 (Ulyanov et al. 2016, arXiv:1607.08022).

    Without ``affine`` it has no state_dict keys, like the published networks. Computed as a group norm with one
    channel a group: the same numbers, faster on a CPU, and a right gradient where that of ``nn.InstanceNorm2d`` is
    wrong (torch 2.14, CPU, batch of 1, channels_last). There a group norm in turn takes the variance as the difference
    of two large numbers, mean square and squared mean: of values around 3 that vary by 0.1 it is off by 0.01, around 10
    by 0.01 wholly wrong. So their mean is taken off before.
    """

    def __init__(self, channels: int, eps: float = 1e-5, affine: bool = False):
        super().__init__()
        self.channels, self.eps = channels, eps
        self.weight = nn.Parameter(torch.ones(channels)) if affine else None
        self.bias = nn.Parameter(torch.zeros(channels)) if affine else None

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu" and not x.is_contiguous():
            x = x - x.mean((2, 3), keepdim=True)
        if self.training:
            return F.group_norm(x, self.channels, self.weight, self.bias, self.eps)
        # The same without the refusal of one pixel a channel, which is what a tiny picture is in a deep bottleneck.
        return torch.group_norm(x, self.channels, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.channels}, eps={self.eps}, affine={self.weight is not None}"


class Noise(nn.Module):
    """As many rows as the batch has pictures: uniform in [-1, 1] while in training mode, else zero; [N, size]. Drawn in
    float32: one seed gives one noise in any precision."""

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        z = x.new_zeros(x.shape[0], self.size, dtype=torch.float32)
        return (z.uniform_(-1, 1) if self.training else z).to(x.dtype)


class Gaussian(nn.Module):
    """Adds normal noise in training."""

    def __init__(self, sigma: float):
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        return x + self.sigma * torch.randn_like(x) if self.training and self.sigma else x


class BottleneckNorm(nn.BatchNorm2d):
    """Batch norm where a picture can be a single pixel. That pixel alone has no statistics to be normalized by: a batch
    of one is refused in training, and ``per_image`` leaves it those that were learned.

    Raises:
        ModelError: in training, one number a channel.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == self.num_features:
            raise ModelError(
                "the bottleneck of this encoder-decoder is normalized over the batch, and holds one number of a batch "
                "of one: data.batch=2 or more, or method.generator.bottleneck=0"
            )
        return super().forward(x)


class PairNorm(nn.BatchNorm1d):
    """Batch norm of fully connected layers.

    Raises:
        ModelError: in training, a batch of one, which has no statistics.
    """

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            raise ModelError("batch norm of fully connected layers has no statistics of a single picture: data.batch=2")
        return super().forward(x)


class ResizeConv(nn.Module):
    """Doubles height and width: nearest neighbor, then a 3x3 convolution.

    Every output pixel sees equally many inputs, hence no checkerboard (Odena et al. 2016, "Deconvolution and
    checkerboard artifacts"). Reflected borders, so that edges do not darken.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect", bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


def double(up: Up, inputs: int, outputs: int, bias: bool) -> nn.Module:
    """Doubles height and width: a transposed 4x4 convolution, or ``ResizeConv``."""
    if up == "resize":
        return ResizeConv(inputs, outputs, bias)
    return Double(inputs, outputs, bias)


def widened(width: int, number: int, most: int = 8) -> list[int]:
    """Channels of layers from the full size on: ``width``, and twice as many at each half, up to ``most`` times."""
    return [width * min(2**i, most) for i in range(number)]


def left(size: tuple[int, int], halvings: int) -> int:
    """Pixels that are left of a picture after so many convolutions of stride 2, each rounding up."""
    height, width = (-(-side // 2**halvings) for side in size)
    return height * width


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    return {"batch": nn.BatchNorm2d, "instance": InstanceNorm, "none": nn.Identity}[kind](channels)


def has_bias(kind: Norm) -> bool:
    """Whether a convolution before this norm has a bias in the published networks: batch norm brings its own."""
    return kind != "batch"


def with_activations(layers: nn.Sequential, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """What comes out of a discriminator, and what its leaky ReLUs gave on the way, the outermost first."""
    seen = []
    for layer in layers:
        x = layer(x)
        if isinstance(layer, nn.LeakyReLU):
            seen.append(x)
    return x, seen


def check(
    x: Tensor, name: str, channels: int, multiple: int = 1, least: int = 1, size: tuple[int, int] | None = None
) -> None:
    """Refuse a batch that the network ``name`` cannot take, in words instead of a size mismatch from its depths.

    Raises:
        ModelError: not [N, channels, H, W], H or W is below ``least`` or no multiple of ``multiple``, or they are not
            ``size``.
    """
    if torch.compiler.is_compiling():  # a traced graph must not be tied to what is checked here
        return
    if x.ndim != 4 or x.shape[1] != channels:
        raise ModelError(f"{name} takes a batch [N, {channels}, height, width], not {list(x.shape)}")
    height, width = x.shape[2:]
    if size and (height, width) != tuple(size):
        raise ModelError(f"{name} takes pictures of {size[0]} x {size[1]}, not {height} x {width}: resize")
    if height % multiple or width % multiple or min(height, width) < least:
        rules = [f"a multiple of {multiple}"] if multiple > 1 else []
        rules += [f"at least {least}"] if least > multiple else []
        needs = " and ".join(rules)
        raise ModelError(f"{name} needs height and width to be {needs}, not {height} x {width}: pad or resize")


@torch.no_grad()
def initialise(net: nn.Module, init: Init = "normal", gain: float = 0.02) -> None:
    """Draw the first weights, as the published trainings do; from torch's global random numbers.

    Convolutions, linear layers and embeddings: ``normal`` N(0, gain), ``xavier`` and ``orthogonal`` with that gain,
    ``kaiming`` by fan-in and ``orthonormal`` (neither has a gain). Batch norms: weight N(1, gain). Every bias 0. Where
    a weight is divided by its spectral norm, the weight itself is drawn, and the estimate of the norm is made anew.
    """
    draw = {
        "normal": lambda w: nn.init.normal_(w, 0.0, gain),
        "xavier": lambda w: nn.init.xavier_normal_(w, gain),
        "kaiming": lambda w: nn.init.kaiming_normal_(w),
        "orthogonal": lambda w: nn.init.orthogonal_(w, gain),
        "orthonormal": lambda w: nn.init.orthogonal_(w),
    }[init]
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            if is_parametrized(layer, "weight"):
                wrapped: Any = layer.parametrizations
                draw(wrapped.weight.original)
                for _ in range(15):  # a power iteration each time that it is read, as many as when it was wrapped
                    layer.weight  # noqa: B018
            else:
                draw(layer.weight)
        elif isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, gain)
        elif isinstance(layer, nn.Embedding):
            draw(layer.weight)
            continue
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def per_image(net: Module) -> Module:
    """A copy whose batch norms use the statistics of each single image, with the weights that were learned.

    This is how Pix2Pix is tested (Isola et al. 2017, arXiv:1611.07004, section 3.3: batch norm by the test batch,
    which is one image), made independent of the other images in a batch. Dropout and all else stay as they are.
    """
    return _per_image(copy.deepcopy(net))


def _per_image(module):
    if isinstance(module, nn.BatchNorm2d) and not isinstance(module, BottleneckNorm):
        norm = InstanceNorm(module.num_features, module.eps)
        norm.weight, norm.bias = module.weight, module.bias
        return norm.train(module.training)
    for name, child in module.named_children():
        setattr(module, name, _per_image(child))
    return module


def count(net: nn.Module) -> int:
    """The number of parameters."""
    return sum(p.numel() for p in net.parameters())

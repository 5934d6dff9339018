"""What torch lets one choose on an NVIDIA GPU, and what is chosen where the recipe leaves it open.

The defaults are those of torch's tuning guide; they have been tested for what they set, and not measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from i2i.recipe import Train


@dataclass(frozen=True)
class Switches:
    tf32: bool  # products of float32 numbers keep 10 bits of their fractions
    benchmark: bool  # cuDNN tries its convolutions at each new size and keeps the fastest
    channels_last: bool  # pictures and weights lie in memory as tensor cores read them


def switches(train: Train, device: torch.device, low: bool) -> Switches:
    """For a training on ``device``; ``low``: it computes in bfloat16 or float16.

    With ``train.precision`` fp32, float32 is what it says; any other lets TF32 have what is left in float32. On other
    devices nothing is chosen that the recipe does not ask for.
    """
    asked, on_gpu = train.channels_last, device.type == "cuda"
    return Switches(
        tf32=on_gpu and train.precision != "fp32",
        benchmark=on_gpu and not train.deterministic,  # the fastest of a busy moment is not always the same
        channels_last=on_gpu and (low or train.precision == "tf32") if asked == "auto" else asked,
    )


@contextmanager
def switched(wanted: Switches) -> Iterator[None]:
    """Inside, torch computes so; outside as it did before."""
    cudnn = torch.backends.cudnn
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark
    torch.set_float32_matmul_precision("high" if wanted.tf32 else "highest")
    cudnn.allow_tf32, cudnn.benchmark = wanted.tf32, wanted.benchmark
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32, cudnn.benchmark = before[1:]

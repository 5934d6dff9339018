"""LPIPS: how different two pictures look to a network (Zhang et al. 2018, arXiv:1801.03924)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from i2i.metrics.base import Mean, Setting
from i2i.metrics.features import downloaded, extra
from i2i.metrics.pixel import as_written

LEAST = 32  # pixels that AlexNet needs


def lpips_alex(setting: Setting) -> Mean:
    """A meter of LPIPS version 0.1 with AlexNet, by torchmetrics, on 8-bit pictures; gray ones are seen as color.

    Raises:
        MissingExtra: torchmetrics is not installed.
        FetchError: AlexNet's weights are not here and cannot be downloaded.
    """
    net = setting.network(_alexnet)

    def measure(output: Tensor, target: Tensor) -> list[float]:
        seen = ((2 * as_written(x) - 1).float().expand(-1, 3, -1, -1).to(setting.device) for x in (output, target))
        with torch.inference_mode():
            return net(*seen).reshape(-1).tolist()

    return Mean(measure, "lpips_alex", LEAST)


def _alexnet(device: torch.device | str) -> Any:
    with extra("torchmetrics"):
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity
    from torchvision.models import AlexNet_Weights

    with downloaded("AlexNet's weights", AlexNet_Weights.IMAGENET1K_V1.url, "ssim_rgb needs no network"):
        return LearnedPerceptualImagePatchSimilarity("alex", reduction="none").to(device)

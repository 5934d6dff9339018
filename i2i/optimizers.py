"""What moves a player's weights, as a recipe asks for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from i2i.recipe import Optimizer


def same_strides(opt: torch.optim.Optimizer) -> None:
    """Lay moments out like their weights: the fused Adam of a CPU pairs them by their place in memory (torch 2.14)."""
    for param, moments in opt.state.items():
        for name, moment in moments.items():
            if isinstance(moment, Tensor) and moment.shape == param.shape:
                moments[name] = torch.empty_like(param).copy_(moment)


def new_optimizer(config: Optimizer, params: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Fused where the device has it: one pass over the weights instead of several."""
    lr, decay, fused = config.lr, config.weight_decay, params[0].device.type in ("cpu", "cuda")
    if config.name == "adam":
        return torch.optim.Adam(params, lr, betas=config.betas, weight_decay=decay, fused=fused)
    if config.name == "rmsprop":
        return torch.optim.RMSprop(params, lr, weight_decay=decay)
    return torch.optim.SGD(params, lr, momentum=config.betas[0], weight_decay=decay)

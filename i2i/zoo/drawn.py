"""What a training draws: with torch, from its global random numbers, so that a resumed one goes on with the same."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.latents import Latent


def draw(latent: Latent, count: int, device: torch.device) -> Tensor:
    """As ``latent.draw``: float32 [count, latent.size]."""
    shape = (count, latent.noise)
    noise = torch.randn(shape, device=device) if latent.prior == "normal" else uniform(shape, device)
    chosen = [F.one_hot(torch.randint(n, (count,), device=device), n).float() for n in latent.choices]
    codes = [uniform((count, latent.codes), device)] if latent.codes else []
    return torch.cat([noise, *chosen, *codes], 1)


def uniform(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """In [-1, 1]."""
    return torch.rand(shape, device=device) * 2 - 1

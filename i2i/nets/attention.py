"""Self-attention between the places of a picture: Zhang, Goodfellow, Metaxas, Odena 2019, "Self-Attention Generative
Adversarial Networks", arXiv:1805.08318."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """[N, C, H, W] -> the same: each place sees all others (arXiv:1805.08318, eq. 1 to 3).

    Queries, keys and values have an eighth of the channels, as in the paper. ``gamma`` starts at 0: at first this is
    no layer at all. ``wrap`` is put around every convolution, for a spectral norm.
    """

    def __init__(self, channels: int, wrap: Callable[[nn.Module], nn.Module]):
        super().__init__()
        few = max(1, channels // 8)
        self.f, self.g, self.h = (wrap(nn.Conv2d(channels, few, 1, bias=False)) for _ in range(3))
        self.v = wrap(nn.Conv2d(few, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        f, g, h = (part(x).flatten(2) for part in (self.f, self.g, self.h))
        shares = torch.softmax(f.transpose(1, 2) @ g, dim=1)  # [N, from i, to j]: the sum over i is 1
        seen = (h @ shares).unflatten(2, x.shape[2:])
        return self.gamma * self.v(seen) + x

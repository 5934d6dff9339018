"""Norms that are told more than the picture: Chen, Lucic, Houlsby, Gelly 2019, "On Self Modulation for Generative
Adversarial Networks", arXiv:1810.01365."""

from __future__ import annotations

from torch import Tensor, nn

HIDDEN = 32  # values between z and what it asks for, as in the paper


class SelfModulated(nn.Module):
    """A batch norm whose scale and shift are computed from z by two small networks: [N, C, H, W], [N, values] ->
    [N, C, H, W] (arXiv:1810.01365, eq. 3 and 4).

    The scale is 1 and what its network adds: a fresh one is near a batch norm.
    """

    def __init__(self, channels: int, values: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.scale, self.shift = (
            nn.Sequential(nn.Linear(values, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, channels)) for _ in range(2)
        )

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        scale, shift = self.scale(z)[..., None, None], self.shift(z)[..., None, None]
        return self.norm(x) * (1 + scale) + shift

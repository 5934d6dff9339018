"""A history of generated pictures for the discriminator: Shrivastava et al. 2017, arXiv:1612.07828, section 2.3."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Keeps up to ``size`` pictures and hands out old ones in place of new ones half of the time.

    Until it is full every picture is kept and returned. After that each new picture is either returned as it is, or
    (probability one half) takes the place of a random kept one, which is returned instead. ``size`` 0 returns its
    input. The kept pictures are part of ``state_dict``; randomness comes from torch's global generator.
    """

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.kept: Tensor | None = None

    def get_extra_state(self) -> Tensor:
        return torch.empty(0) if self.kept is None else self.kept

    def set_extra_state(self, state: Tensor) -> None:
        self.kept = state if state.numel() else None

    def forward(self, pictures: Tensor) -> Tensor:
        """[N, C, H, W] without gradient -> [N, C, H, W], a new tensor unless ``size`` is 0."""
        if not self.size:
            return pictures
        if self.kept is not None:  # a resumed pool comes back on the CPU
            self.kept = self.kept.to(pictures.device)
        out = []
        for picture in pictures.split(1):
            if self.kept is None:
                self.kept = picture.clone()
            elif len(self.kept) < self.size:
                self.kept = torch.cat([self.kept, picture])
            elif torch.rand(()) > 0.5:
                place = int(torch.randint(self.size, ()))
                picture, self.kept[place] = self.kept[place : place + 1].clone(), picture[0]
            out.append(picture)
        return torch.cat(out)

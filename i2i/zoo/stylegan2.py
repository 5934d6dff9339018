"""StyleGAN2: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila 2020, "Analyzing and Improving the Image Quality of
StyleGAN", arXiv:1912.04958."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import path_lengths
from i2i.methods.base import Task, Update
from i2i.nets import Critic, StyleGAN2Config, StyleGAN2CriticConfig, starting_from
from i2i.zoo.adversarial import Adversarial
from i2i.zoo.penalties import R1, AnyPenalty


class StyleGAN2(Adversarial):
    """The game of ``Adversarial`` with R1, and G is charged where a step in w changes pictures by more or less than it
    does on the mean (arXiv:1912.04958, eq. 4), once in ``path_every`` of its moves.

    That charge is part of G's move, as R1 is of D's: the paper moves once more. Half of the batch is drawn for it.
    """

    a: Tensor

    class Config(Adversarial.Config):
        name: Literal["stylegan2"] = "stylegan2"
        penalty: AnyPenalty = R1(weight=10.0, every=16)
        latent: Latent = Latent(noise=512)
        generator: Annotated[StyleGAN2Config, starting_from(StyleGAN2Config())] = StyleGAN2Config()
        discriminator: Annotated[Critic, starting_from(StyleGAN2CriticConfig())] = StyleGAN2CriticConfig()
        path: float = Field(2.0, ge=0)  # weight of the charge
        path_every: int = Field(4, ge=1)
        path_decay: float = Field(0.01, gt=0, le=1)  # how fast the mean length follows

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.register_buffer("a", torch.zeros(()))  # the mean length; a training goes on with it

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        for who, terms in super().step(batch, it):
            moved = it // self.cfg.n_critic  # G, so often before
            if who == "G" and self.cfg.path and moved % self.cfg.path_every == 0:
                terms = {**terms, "path": self.path(batch.x[: max(1, len(batch.x) // 2)])}
            yield who, terms

    def path(self, like: Tensor) -> Tensor:
        """What G is charged for, with as many pictures as ``like`` has, taken ``path_every`` times as heavy."""
        cfg = self.cfg
        net: Any = self.G
        lengths = path_lengths(net.picture, net.styled(self.draw(like)))
        self.a = self.a.lerp(lengths.detach().mean(), cfg.path_decay)
        return cfg.path_every * cfg.path * (lengths - self.a).square().mean()

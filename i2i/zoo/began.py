"""BEGAN: Berthelot, Schumm, Metz 2017, "BEGAN: Boundary Equilibrium Generative Adversarial Networks",
arXiv:1703.10717."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import l1
from i2i.methods.base import Task, Update
from i2i.nets import Critic, DCGANConfig, DCGANCriticConfig, Drawer, Init
from i2i.strict import Strict
from i2i.zoo.base import Drawing, new_critic, new_drawer


class BEGAN(Drawing):
    """D is an autoencoder that works well on real pictures and badly on drawn ones; ``k`` weighs the two so that their
    errors stay in the ratio ``gamma`` (arXiv:1703.10717, section 3.4).

    Here the networks are those of the zoo, with batch norm where the paper has none: without it the autoencoder of
    digits found nothing but black. One draw of fakes serves both moves.
    """

    k: Tensor

    class Config(Strict):
        name: Literal["began"] = "began"
        gamma: float = Field(0.5, gt=0, le=1)  # the error of fakes, by that of real pictures: less is less diverse
        k_rate: float = Field(1e-3, gt=0)  # the paper's lambda_k
        code: int = Field(64, ge=1, le=65536)  # what the autoencoder squeezes a picture to
        latent: Latent = Latent(noise=64, prior="uniform")
        generator: Drawer = DCGANConfig()
        encoder: Critic = DCGANCriticConfig()
        decoder: Drawer = DCGANConfig()
        init: Init = "normal"

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.encoder = new_critic(cfg.encoder, task, cfg.init, what="encoder", answers=cfg.code)
        self.decoder = new_drawer(cfg.decoder, Latent(noise=cfg.code), task, cfg.init, coded=True, what="decoder")
        self.register_buffer("k", torch.zeros(()))  # in the state of a training: it goes on with it
        self.players = {"D": [self.encoder, self.decoder], "G": [self.G]}

    def error(self, x: Tensor) -> Tensor:
        return l1(self.decoder(self.encoder(x)), x)

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        cfg, fake = self.cfg, self.G(self.draw(batch.x))
        real = self.error(batch.x)
        yield "D", {"real": real, "fake": -self.k * self.error(fake.detach())}
        drawn = self.error(fake)
        yield "G", {"gan": drawn}
        balance = cfg.gamma * real.detach() - drawn.detach()
        self.k = (self.k + cfg.k_rate * balance).clamp(0, 1)

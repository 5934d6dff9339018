"""EBGAN: Zhao, Mathieu, LeCun 2017, "Energy-based Generative Adversarial Networks", arXiv:1609.03126."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import l2, pulling_away
from i2i.methods.base import Task, Update
from i2i.nets import Critic, DCGANConfig, DCGANCriticConfig, Drawer, Init
from i2i.strict import Strict
from i2i.zoo.base import Drawing, new_critic, new_drawer


class EBGAN(Drawing):
    """D is an autoencoder, and its error is the energy of a picture: low for real ones, above a margin for what G draws
    (arXiv:1609.03126, eq. 1 and 2); ``pull_away`` keeps drawn pictures apart (section 2.4).

    Here D's encoder and decoder are a critic and a generator of the zoo, and the error is the mean over the pixels.
    """

    class Config(Strict):
        name: Literal["ebgan"] = "ebgan"
        margin: float = Field(0.2, gt=0)  # near 1, D gets there by painting black for gray pictures, and G stays there
        pull_away: float = Field(0.1, ge=0)
        code: int = Field(64, ge=1, le=65536)  # what the autoencoder squeezes a picture to
        latent: Latent = Latent(noise=100)
        generator: Drawer = DCGANConfig()
        encoder: Critic = DCGANCriticConfig()
        decoder: Drawer = DCGANConfig()
        init: Init = "normal"

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.encoder = new_critic(cfg.encoder, task, cfg.init, what="encoder", answers=cfg.code)
        self.decoder = new_drawer(cfg.decoder, Latent(noise=cfg.code), task, cfg.init, coded=True, what="decoder")
        self.players = {"D": [self.encoder, self.decoder], "G": [self.G]}

    def energy(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The error of a batch, a scalar, and its codes [N, code]."""
        code = self.encoder(x)
        return l2(self.decoder(code), x), code

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        cfg, fake = self.cfg, self.G(self.draw(batch.x))
        energy, _ = self.energy(fake.detach())
        yield "D", {"real": self.energy(batch.x)[0], "fake": F.relu(cfg.margin - energy)}
        energy, code = self.energy(fake)
        terms = {"gan": energy}
        if cfg.pull_away:
            terms["pull_away"] = cfg.pull_away * pulling_away(code)
        yield "G", terms

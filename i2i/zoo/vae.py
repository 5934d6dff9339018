"""VAE: Kingma, Welling 2014, "Auto-Encoding Variational Bayes", arXiv:1312.6114: the yardstick of the zoo, no game."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
from pydantic import Field, field_validator

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import gaussian_kl
from i2i.methods.base import Task, Update
from i2i.nets import Critic, DCGANConfig, DCGANCriticConfig, Drawer, Init
from i2i.strict import Strict
from i2i.zoo.base import Drawing, new_critic


class VAE(Drawing):
    """The encoder E says which z a picture may have come from, G draws it again: the bound on the likelihood
    (arXiv:1312.6114, eq. 10), for a normal distribution of the pixels whose deviation ``sigma`` is given.

    In nats a picture, but for a constant.
    """

    reconstruction = "G/reconstruction"
    coded = True

    class Config(Strict):
        name: Literal["vae"] = "vae"
        sigma: float = Field(1.0, gt=0)  # of pixels in [-1, 1]: smaller is sharper, and less like the prior
        latent: Latent = Latent(noise=32)
        generator: Drawer = DCGANConfig()
        encoder: Critic = DCGANCriticConfig()
        init: Init = "normal"

        @field_validator("latent")
        @classmethod
        def _normal(cls, latent: Latent) -> Latent:
            if not latent.gaussian:
                raise ValueError("a VAE draws from a normal distribution alone: {noise: 32}")
            return latent

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.E = new_critic(cfg.encoder, task, cfg.init, what="encoder", answers=2 * cfg.latent.noise)
        self.players = {"G": [self.E, self.G]}

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        mean, log_variance = self.E(batch.x).float().chunk(2, dim=1)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        error = (self.G(z).float() - batch.x).flatten(1)
        yield (
            "G",
            {
                "reconstruction": error.square().sum(1).mean() / (2 * self.cfg.sigma**2),
                "kl": gaussian_kl(mean, log_variance),
            },
        )

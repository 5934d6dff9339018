"""AAE: Makhzani, Shlens, Jaitly, Goodfellow, Frey 2015, "Adversarial Autoencoders", arXiv:1511.05644."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import GAMES, GanName, l2
from i2i.methods.base import Task, Update
from i2i.nets import (
    CodeCriticConfig,
    Critic,
    Drawer,
    Init,
    MLPConfig,
    MLPCriticConfig,
    build,
    initialise,
    starting_from,
)
from i2i.strict import Strict
from i2i.zoo.base import filled, new_critic
from i2i.zoo.encoding import Encoding

NETWORKS = MLPConfig(layers=2, width=500, norm="none"), MLPCriticConfig(layers=2, width=1000)


class AAE(Encoding):
    """An autoencoder whose codes look drawn from the prior: D tells z from codes, E learns to be taken for z
    (arXiv:1511.05644, section 2; its encoder without noise). What is drawn from the prior is then a picture.

    Here E minimizes the reconstruction and the game together, where the paper takes a step for each. The codes of one
    batch serve both moves.
    """

    reconstruction = "G/reconstruction"

    class Config(Strict):
        name: Literal["aae"] = "aae"
        gan: GanName = "vanilla"
        reconstruction: float = Field(50.0, gt=0)  # of the mean squared error of the pixels
        latent: Latent = Latent(noise=8)
        generator: Annotated[Drawer, starting_from(NETWORKS[0])] = NETWORKS[0]
        encoder: Annotated[Critic, starting_from(NETWORKS[1])] = NETWORKS[1]
        discriminator: CodeCriticConfig = CodeCriticConfig()
        init: Init = "kaiming"

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.game = GAMES[cfg.gan]
        self.E = new_critic(cfg.encoder, task, cfg.init, what="encoder", answers=cfg.latent.size)
        self.D = build(filled("discriminator", cfg.discriminator, "set method.latent.noise", inputs=cfg.latent.size))
        initialise(self.D, cfg.init)
        self.players = {"D": [self.D], "G": [self.E, self.G]}

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        codes = self.E(batch.x)
        real, fake = self.D(self.draw(batch.x)), self.D(codes.detach())
        yield "D", {"real": self.game.real(real), "fake": self.game.fake(fake)}
        error = self.cfg.reconstruction * l2(self.G(codes), batch.x)
        yield "G", {"reconstruction": error, "gan": self.game.fool(self.D(codes))}

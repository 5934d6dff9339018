"""LAPGAN: Denton, Chintala, Szlam, Fergus 2015, "Deep Generative Image Models using a Laplacian Pyramid of Adversarial
Networks", arXiv:1506.05751."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from i2i.data.batches import Images
from i2i.errors import RecipeError
from i2i.latents import MOST, Latent
from i2i.losses import GAMES, GanName
from i2i.methods.base import Task, Update
from i2i.nets import Init, LapGANConfig, LapGANCriticConfig
from i2i.nets.lapgan import planes, pyramid
from i2i.strict import Strict
from i2i.zoo.base import Drawing, new_critic


class LAPGAN(Drawing):
    """A game for each level of a Laplacian pyramid: ``G0`` draws small pictures, ``G1``, ``G2`` ... the detail of what
    is twice as large each time, beside the smooth one of a real picture; ``D0``, ``D1``, ``D2`` ... see what comes of
    it (arXiv:1506.05751, section 2.3). No level learns from another one; a picture is drawn by all.

    ``latent`` is that of the coarsest level; the planes of noise of the others come before it. Here all levels learn
    in one step, by Adam, D's units are leaky, and classes are not told.
    """

    class Config(Strict):
        name: Literal["lapgan"] = "lapgan"
        gan: GanName = "vanilla"
        latent: Latent = Latent(noise=100, prior="uniform")
        generator: LapGANConfig = LapGANConfig()
        discriminator: LapGANCriticConfig = LapGANCriticConfig()
        init: Init = "kaiming"

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task, latent=with_planes(cfg.latent, task))
        self.game = GAMES[cfg.gan]
        self.D: Any = new_critic(cfg.discriminator, task, cfg.init)
        both: list[tuple[str, Any]] = [("D", self.D), ("G", self.G)]
        levels = range(1 + len(planes(task.size)))
        self.players = {f"{who}{k}": [net.levels[k]] for k in levels for who, net in both}

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        net: Any = self.G
        z = net.parts(self.draw(batch.x))
        for k, (x, low) in enumerate(pyramid(batch.x)):
            fake, critic = net.level(k, z[k], low), self.D.levels[k]
            yield f"D{k}", {"real": self.game.real(critic(x)), "fake": self.game.fake(critic(fake.detach()))}
            yield f"G{k}", {"gan": self.game.fool(critic(fake))}


def with_planes(latent: Latent, task: Task) -> Latent:
    """``latent`` with a plane of noise for each level but the coarsest.

    Raises:
        RecipeError: those are too many values.
    """
    values = latent.noise + sum(planes(task.size))
    if values > MOST:
        height, width = task.size
        raise RecipeError(f"data.size: at {height}x{width} lapgan draws from {values} values, and {MOST} are the most")
    return latent.model_copy(update={"noise": values})

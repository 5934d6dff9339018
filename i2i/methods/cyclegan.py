"""CycleGAN: Zhu, Park, Isola, Efros 2017, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks", arXiv:1703.10593."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from i2i.data.batches import Unpaired
from i2i.folder import Inference
from i2i.losses import GAMES, GanName, l1
from i2i.methods.base import (
    Method,
    Nets,
    Task,
    Update,
    as_built,
    new_discriminator,
    new_generator,
    there_and_back,
    together,
)  # fmt: skip
from i2i.nets import Discriminator, Generator, Init, PatchConfig, ResNetConfig, starting_from
from i2i.pool import ImagePool
from i2i.strict import Strict

JUDGE = PatchConfig(norm="instance")


class CycleGAN(Method):
    """Two domains without pairs: ab and ba translate and must undo each other; Da, Db judge (arXiv:1703.10593, eq. 3).

    Least squares replaces the log likelihood and the discriminators see a history of 50 fakes (section 4).
    """

    reads = Unpaired
    reconstruction = "G/cycle_a"

    class Config(Strict):
        name: Literal["cyclegan"] = "cyclegan"
        gan: GanName = "lsgan"
        cycle_a: float = Field(10.0, ge=0)
        cycle_b: float = Field(10.0, ge=0)
        identity: float = Field(0.5, ge=0)  # relative to the cycle weights, as in section 5.2; 0 leaves the passes out
        pool: int = Field(50, ge=0)
        generator: Annotated[Generator, starting_from(ResNetConfig())] = ResNetConfig()
        discriminator: Annotated[Discriminator, starting_from(JUDGE)] = JUDGE
        init: Init = "normal"
        inference: Inference = Inference(norm="image", dropout=False)

    def __init__(self, cfg: Config, task: Task):
        super().__init__()
        self.game = GAMES[cfg.gan]
        self.ab = new_generator(cfg.generator, task.a, task.b, task.size, cfg.init)
        self.ba = new_generator(cfg.generator, task.b, task.a, task.size, cfg.init)
        self.Da = new_discriminator(cfg.discriminator, task.a, cfg.init)
        self.Db = new_discriminator(cfg.discriminator, task.b, cfg.init)
        self.cfg = cfg.model_copy(update={"generator": as_built(cfg.generator, self.ab)})
        self.pool_a, self.pool_b = ImagePool(cfg.pool), ImagePool(cfg.pool)
        # An identity pass feeds a picture of b to ab: it needs domains with the same channels.
        self.identity = cfg.identity if task.a == task.b else 0.0
        self.players = {"G": [self.ab, self.ba], "D": [self.Da, self.Db]}
        self.products = {"a2b": self.ab, "b2a": self.ba}
        self.inference = cfg.inference

    def step(self, batch: Unpaired, it: int) -> Iterator[Update]:
        (a, b), cfg = batch, self.cfg
        if self.identity:
            (fake_b, same_b), (fake_a, same_a) = together(self.ab, a, b), together(self.ba, b, a)
        else:
            fake_b, fake_a = self.ab(a), self.ba(b)
        terms = {
            "gan_ab": self.game.fool(self.Db(fake_b)),
            "gan_ba": self.game.fool(self.Da(fake_a)),
            "cycle_a": cfg.cycle_a * l1(self.ba(fake_b), a),
            "cycle_b": cfg.cycle_b * l1(self.ab(fake_a), b),
        }
        if self.identity:
            terms["identity_a"] = cfg.cycle_a * self.identity * l1(same_a, a)
            terms["identity_b"] = cfg.cycle_b * self.identity * l1(same_b, b)
        yield "G", terms
        real_a, old_a = together(self.Da, a, self.pool_a(fake_a.detach()))
        real_b, old_b = together(self.Db, b, self.pool_b(fake_b.detach()))
        yield (
            "D",
            {
                "real_a": self.game.real(real_a) / 2,
                "fake_a": self.game.fake(old_a) / 2,
                "real_b": self.game.real(real_b) / 2,
                "fake_b": self.game.fake(old_b) / 2,
            },
        )

    def panels(self, nets: Nets, batch: Unpaired) -> dict[str, Tensor]:
        return there_and_back(nets, batch)

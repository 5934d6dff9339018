"""Pix2Pix: Isola, Zhu, Zhou, Efros 2017, "Image-to-Image Translation with Conditional Adversarial Networks",
arXiv:1611.07004."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i.data.batches import Pair
from i2i.folder import Inference
from i2i.losses import GAMES, GanName, l1
from i2i.methods.base import Method, Nets, Task, Update, as_built, new_discriminator, new_generator
from i2i.nets import Discriminator, Generator, Init, PatchConfig, UNetConfig, starting_from
from i2i.strict import Strict


class Pix2Pix(Method):
    """Pairs: G paints b from a; D judges whether a and b belong together (arXiv:1611.07004, eq. 4).

    The noise of the paper is dropout, kept on when the model is used, and batch normalization uses the statistics of
    the picture itself then (section 3.3): both are stated in the trained model and repeat exactly for one seed.
    """

    reads = Pair
    reconstruction = "G/l1"

    class Config(Strict):
        name: Literal["pix2pix"] = "pix2pix"
        gan: GanName = "vanilla"
        gan_weight: float = Field(1.0, ge=0)  # 0 trains G alone: the paper's L1 row
        l1: float = Field(100.0, ge=0)  # 0 is the paper's cGAN row
        generator: Annotated[Generator, starting_from(UNetConfig())] = UNetConfig()
        discriminator: Discriminator = PatchConfig()
        init: Init = "normal"
        inference: Inference = Inference(norm="image", dropout=True)

    def __init__(self, cfg: Config, task: Task):
        super().__init__()
        self.game = GAMES[cfg.gan]
        self.G = new_generator(cfg.generator, task.a, task.b, task.size, cfg.init)
        self.D = new_discriminator(cfg.discriminator, task.a + task.b, cfg.init)
        self.cfg = cfg.model_copy(update={"generator": as_built(cfg.generator, self.G)})
        self.players = {"D": [self.D], "G": [self.G]} if cfg.gan_weight else {"G": [self.G]}
        self.products = {"a2b": self.G}
        self.inference = cfg.inference

    def step(self, batch: Pair, it: int) -> Iterator[Update]:
        a, b = batch
        fake = self.G(a)
        l1_term = {"l1": self.cfg.l1 * l1(fake, b)}
        if not self.cfg.gan_weight:
            yield "G", l1_term
            return
        # D learns at half the speed of G: its objective is divided by two (section 3.3).
        yield (
            "D",
            {
                "real": self.game.real(self.D(torch.cat([a, b], 1))) / 2,
                "fake": self.game.fake(self.D(torch.cat([a, fake.detach()], 1))) / 2,
            },
        )
        yield "G", {"gan": self.cfg.gan_weight * self.game.fool(self.D(torch.cat([a, fake], 1))), **l1_term}

    def panels(self, nets: Nets, batch: Pair) -> dict[str, Tensor]:
        return {"{a}": batch.a, "output": nets["a2b"](batch.a), "{b}": batch.b}

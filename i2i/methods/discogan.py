"""DiscoGAN: Kim, Cha, Kim, Lee, Kim 2017, "Learning to Discover Cross-Domain Relations with Generative Adversarial
Networks", arXiv:1703.05192."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i.data.batches import Unpaired
from i2i.folder import Inference
from i2i.losses import GAMES, GanName, feature_matching, l2
from i2i.methods.base import Method, Nets, Task, Update, as_built, new_discriminator, new_generator, there_and_back
from i2i.nets import EncDecConfig, Generator, Init, PatchConfig, PlainConfig, starting_from
from i2i.strict import Strict

Judge = Annotated[PlainConfig | PatchConfig, Field(discriminator="net")]


class DiscoGAN(Method):
    """Two domains without pairs: ab and ba translate and must undo each other; Da, Db judge (arXiv:1703.05192, eq. 8).

    Besides fooling Da and Db, fakes must look like real pictures to their inner layers. Weights, their change after
    10,000 steps and who moves when are those of the authors' training. Meant for batches: the features of a batch are
    compared on the mean.
    """

    reads = Unpaired
    reconstruction = "G/reconstruction_a"

    class Config(Strict):
        name: Literal["discogan"] = "discogan"
        gan: GanName = "vanilla"
        gan_weight: float = Field(0.1, ge=0)
        features_weight: float = Field(0.9, ge=0)
        reconstruction: float = Field(0.5, ge=0, le=1)  # its share; the rest goes to the two above
        early_reconstruction: float = Field(0.01, ge=0, le=1)  # its share in the first early_steps steps
        early_steps: int = Field(10_000, ge=0)
        update_interval: int = Field(3, ge=1)  # D moves in one of so many steps, G in the others; 1: both in each
        generator: Annotated[Generator, starting_from(EncDecConfig())] = EncDecConfig()
        discriminator: Annotated[Judge, starting_from(PlainConfig())] = PlainConfig()
        init: Init = "normal"
        inference: Inference = Inference(norm="running", dropout=False)

    def __init__(self, cfg: Config, task: Task):
        super().__init__()
        self.game = GAMES[cfg.gan]
        self.ab = new_generator(cfg.generator, task.a, task.b, task.size, cfg.init)
        self.ba = new_generator(cfg.generator, task.b, task.a, task.size, cfg.init)
        judge = fitted(cfg.discriminator, task.size)
        self.Da, self.Db = (new_discriminator(judge, channels, cfg.init) for channels in (task.a, task.b))
        self.cfg = cfg.model_copy(update={"generator": as_built(cfg.generator, self.ab), "discriminator": judge})
        self.players = {"D": [self.Da, self.Db], "G": [self.ab, self.ba]}
        self.products = {"a2b": self.ab, "b2a": self.ba}
        self.inference = cfg.inference

    def step(self, batch: Unpaired, it: int) -> Iterator[Update]:
        (a, b), cfg = batch, self.cfg
        turn_of_d = it % cfg.update_interval == 0
        turn_of_g = not turn_of_d or cfg.update_interval == 1
        with torch.set_grad_enabled(turn_of_g):
            fake_b, fake_a = self.ab(a), self.ba(b)
        if turn_of_d:
            yield (
                "D",
                {
                    "real_a": self.game.real(self.Da(a)) / 2,
                    "fake_a": self.game.fake(self.Da(fake_a.detach())) / 2,
                    "real_b": self.game.real(self.Db(b)) / 2,
                    "fake_b": self.game.fake(self.Db(fake_b.detach())) / 2,
                },
            )
        if not turn_of_g:
            return
        share = cfg.early_reconstruction if it < cfg.early_steps else cfg.reconstruction
        (gan_ab, features_b), (gan_ba, features_a) = self.judged(self.Db, fake_b, b), self.judged(self.Da, fake_a, a)
        yield (
            "G",
            {
                "gan_ab": (1 - share) * cfg.gan_weight * gan_ab,
                "gan_ba": (1 - share) * cfg.gan_weight * gan_ba,
                "features_a": (1 - share) * cfg.features_weight * features_a,
                "features_b": (1 - share) * cfg.features_weight * features_b,
                # The authors' pictures go from 0 to 1: in theirs, a squared difference is a quarter of ours.
                "reconstruction_a": share * l2(self.ba(fake_b), a) / 4,
                "reconstruction_b": share * l2(self.ab(fake_a), b) / 4,
            },
        )

    def judged(self, judge: Any, fake: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """What G is charged by a discriminator: for not fooling it, and for what its inner layers see."""
        logits, seen = judge.with_features(fake)
        with torch.no_grad():
            wanted = judge.with_features(real)[1]
        return self.game.fool(logits), feature_matching(seen, wanted)

    def panels(self, nets: Nets, batch: Unpaired) -> dict[str, Tensor]:
        return there_and_back(nets, batch)


def fitted(config: Judge, size: tuple[int, int]) -> Judge:
    """A plain discriminator halves no more often than leaves 4 x 4: 4 times at 64 pixels, 3 times at 32."""
    if isinstance(config, PlainConfig):
        return config.model_copy(update={"depth": min(config.depth, (min(size) // 4).bit_length() - 1)})
    return config

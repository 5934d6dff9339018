"""SGAN: Odena 2016, "Semi-Supervised Learning with Generative Adversarial Networks", arXiv:1606.01583."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from i2i.data.batches import Labelled
from i2i.latents import Latent
from i2i.losses import GAMES, cross_entropy
from i2i.methods.base import Task, Update, new_discriminator
from i2i.nets import DCGANConfig, Drawer, Init, Judge, JudgeConfig, starting_from
from i2i.strict import Strict
from i2i.zoo.base import filled
from i2i.zoo.few import FewLabels, known_classes


class SGAN(FewLabels):
    """D answers with one of K classes or with one more, fake: what it learns from all pictures helps it to name them
    (arXiv:1606.01583, section 2 and algorithm 1).

    A picture without a label has only to be none of the fakes (Salimans et al. 2016, arXiv:1606.03498, section 5). Here
    G takes the logarithm that is not flat, and D is the VGG-like network of CC-GAN.
    """

    class Config(Strict):
        name: Literal["sgan"] = "sgan"
        labels: float = Field(1.0, gt=0)  # of the classes in what D minimizes
        latent: Latent = Latent(noise=100, prior="uniform")
        generator: Drawer = DCGANConfig()
        discriminator: Annotated[JudgeConfig, starting_from(JudgeConfig(norm="batch"))] = JudgeConfig(norm="batch")
        init: Init = "kaiming"

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.game = GAMES["vanilla"]
        classes = known_classes(task, cfg.name)
        judge = filled("discriminator", cfg.discriminator, "leave it out", classes=classes, inputs=task.b)
        self.D = cast(Judge, new_discriminator(judge, task.b, cfg.init))
        self.players = {"D": [self.D], "G": [self.G]}
        self.classifiers = {"classifier": self.D}

    def answers(self, x: Tensor) -> Tensor:
        """Logits of the K classes, then of fake: [N, K + 1]."""
        classes, real = self.D.answers(x)
        return torch.cat([classes, -real], 1).float()

    def verdict(self, x: Tensor) -> Tensor:
        """The logit of being any of the classes, not fake: [N, 1]."""
        answers = self.answers(x)
        return answers[:, :-1].logsumexp(1, keepdim=True) - answers[:, -1:]

    def step(self, batch: Labelled, it: int) -> Iterator[Update]:
        fake = self.G(self.draw(batch.b))
        named = self.cfg.labels * cross_entropy(self.answers(batch.a), batch.a_labels)
        real, drawn = self.game.real(self.verdict(batch.b)), self.game.fake(self.verdict(fake.detach()))
        yield "D", {"real": real, "fake": drawn, "labels": named}
        yield "G", {"gan": self.game.fool(self.verdict(fake))}

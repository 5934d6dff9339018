"""The game about pictures of classes: Mirza, Osindero 2014, "Conditional Generative Adversarial Nets", arXiv:1411.1784.
How a network is told the class is its own affair."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from i2i.data.batches import Images
from i2i.losses import GAMES
from i2i.methods.base import Task, Update
from i2i.zoo.base import Drawing, classes_of, labelled, new_critic


class Conditional(Drawing):
    """G draws a picture of the class that it is asked for, and D judges a picture beside its class: a good picture of
    another class is a fake too (arXiv:1411.1784, eq. 2).

    G is asked for the classes of the batch, which come as often as in the data. One draw serves both moves.
    """

    def __init__(self, cfg: Any, task: Task):
        super().__init__(cfg, task, classes_of(task, cfg.name))
        self.game = GAMES[cfg.gan]
        self.D = new_critic(cfg.discriminator, task, cfg.init, classes=self.classes)
        self.players = {"D": [self.D], "G": [self.G]}

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        x, labels = labelled(batch, self.cfg.name)
        turn_of_g = (it + 1) % self.cfg.n_critic == 0
        with torch.set_grad_enabled(turn_of_g):
            fake = self.G(self.draw(x), labels)
        real_scores, fake_scores = self.D(x, labels), self.D(fake.detach(), labels)
        yield "D", {"real": self.game.real(real_scores), "fake": self.game.fake(fake_scores)}
        if turn_of_g:
            yield "G", {"gan": self.game.fool(self.D(fake, labels))}

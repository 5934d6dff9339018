"""AC-GAN: Odena, Olah, Shlens 2017, "Conditional Image Synthesis With Auxiliary Classifier GANs", arXiv:1610.09585."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field
from torch import Tensor

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import GAMES, GanName, cross_entropy
from i2i.methods.base import Task, Update
from i2i.nets import Critic, DCGANConfig, DCGANCriticConfig, Drawer, Init
from i2i.strict import Strict
from i2i.zoo.base import Drawing, classes_of, labelled, new_critic


class ACGAN(Drawing):
    """D says whether a picture is real and which class it shows; both players want the class to be seen right, in real
    pictures and in what G draws (arXiv:1610.09585, section 3: D maximizes L_S + L_C, G maximizes L_C - L_S).

    G is asked for the classes of the batch. One draw of fakes serves both moves.
    """

    class Config(Strict):
        name: Literal["acgan"] = "acgan"
        gan: GanName = "vanilla"
        labels: float = Field(1.0, gt=0)  # of the classes, in what either player minimizes
        latent: Latent = Latent(noise=100, prior="uniform")
        generator: Drawer = DCGANConfig()
        discriminator: Critic = DCGANCriticConfig()
        init: Init = "normal"

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task, classes_of(task, cfg.name))
        self.game = GAMES[cfg.gan]
        self.D = new_critic(cfg.discriminator, task, cfg.init, answers=1 + self.classes)
        self.players = {"D": [self.D], "G": [self.G]}

    def judged(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The verdicts on pictures [N, 1], and how wrong their classes are seen: weighted, a scalar."""
        answers = self.D(x)
        return answers[:, :1], self.cfg.labels * cross_entropy(answers[:, 1:], labels)

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        x, labels = labelled(batch, self.cfg.name)
        fake = self.G(self.draw(x), labels)
        (real_scores, real_classes), (fake_scores, fake_classes) = (
            self.judged(pictures, labels) for pictures in (x, fake.detach())
        )
        yield (
            "D",
            {
                "real": self.game.real(real_scores),
                "fake": self.game.fake(fake_scores),
                "classes_real": real_classes,
                "classes_fake": fake_classes,
            },
        )
        scores, classes = self.judged(fake, labels)
        yield "G", {"gan": self.game.fool(scores), "classes": classes}

"""InfoGAN: Chen, Duan, Houthooft, Schulman, Sutskever, Abbeel 2016, "InfoGAN: Interpretable Representation Learning by
Information Maximizing Generative Adversarial Nets", arXiv:1606.03657."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator
from torch import Tensor

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import GAMES, GanName, cross_entropy, gaussian_surprise
from i2i.methods.base import Task, Update
from i2i.nets import Critic, DCGANConfig, DCGANCriticConfig, Drawer, Init
from i2i.strict import Strict
from i2i.zoo.base import Drawing, new_critic


class InfoGAN(Drawing):
    """Part of z has to be seen again in what G draws: choices and codes, whose mutual information with the picture both
    players raise, by its bound (arXiv:1606.03657, eq. 5 and 6). They come to mean something, without a label.

    Q, which sees them, is D with further answers: the logits of each choice, a mean and a log-variance for each code.
    Here that is one linear layer on D's features, where the paper's Q has a hidden one.
    """

    class Config(Strict):
        name: Literal["infogan"] = "infogan"
        gan: GanName = "vanilla"
        choice: float = Field(1.0, gt=0)  # the paper's lambda: of the choices
        code: float = Field(0.1, gt=0)  # and of the codes, which can be told as finely as one likes
        latent: Latent = Latent(noise=62, choices=(10,), codes=2)
        generator: Drawer = DCGANConfig()
        discriminator: Critic = DCGANCriticConfig()
        init: Init = "normal"

        @field_validator("latent")
        @classmethod
        def _has_parts(cls, latent: Latent) -> Latent:
            if latent.size == latent.noise:
                raise ValueError("infogan learns what choices and codes mean: {noise: 62, choices: [10], codes: 2}")
            return latent

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.game = GAMES[cfg.gan]
        self.sizes = [1, *cfg.latent.choices, cfg.latent.codes, cfg.latent.codes]  # of D's answers
        self.D = new_critic(cfg.discriminator, task, cfg.init, answers=sum(self.sizes))
        self.players = {"D": [self.D], "G": [self.G]}

    def judged(self, x: Tensor, z: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The verdicts on pictures [N, 1], and what Q fails to see of the z that they were drawn from: weighted."""
        scores, *choices, mean, log_variance = self.D(x).split(self.sizes, 1)
        _, *drawn, codes = z.split([self.latent.noise, *self.latent.choices, self.latent.codes], 1)
        terms = {}
        if choices:
            unseen = [cross_entropy(logits, one_hot.argmax(1)) for logits, one_hot in zip(choices, drawn, strict=True)]
            terms["choice"] = self.cfg.choice * sum(unseen, start=scores.new_zeros(()))
        if self.latent.codes:
            terms["code"] = self.cfg.code * gaussian_surprise(codes, mean, log_variance)
        return scores, terms

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        z = self.draw(batch.x)
        fake = self.G(z)
        real_scores = self.D(batch.x)[:, :1]
        fake_scores, unseen = self.judged(fake.detach(), z)
        yield "D", {"real": self.game.real(real_scores), "fake": self.game.fake(fake_scores), **unseen}
        scores, unseen = self.judged(fake, z)
        yield "G", {"gan": self.game.fool(scores), **unseen}

"""O-GAN: Su 2019, "O-GAN: Extremely Concise Approach for Auto-Encoding Generative Adversarial Networks",
arXiv:1903.01931."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator
from torch import Tensor

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import WASSERSTEIN, correlation
from i2i.methods.base import Task, Update
from i2i.nets import Critic, DCGANConfig, DCGANCriticConfig, Drawer, Init
from i2i.strict import Strict
from i2i.zoo.base import new_critic
from i2i.zoo.encoding import Encoding
from i2i.zoo.penalties import QP, Seen


class OGAN(Encoding):
    """The discriminator is an encoder: the mean of E's numbers is the verdict, and what is left of them, which a
    discriminator does not need, is correlated with the z that a picture was drawn from (arXiv:1903.01931, section 3).

    The rest of the game is GAN-QP, as in its released program: there the potential goes by the mean squared distance,
    here by its root.
    """

    class Config(Strict):
        name: Literal["o_gan"] = "o_gan"
        correlation: float = Field(0.5, gt=0)  # the paper's lambda, as released
        penalty: QP = QP(norm=2, weight=1.5)
        latent: Latent = Latent(noise=128)
        generator: Drawer = DCGANConfig()
        encoder: Critic = DCGANCriticConfig()
        init: Init = "normal"

        @field_validator("latent")
        @classmethod
        def _normal(cls, latent: Latent) -> Latent:
            if not latent.gaussian or latent.noise < 2:
                raise ValueError("o_gan correlates two or more normal numbers: {noise: 128}")
            return latent

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.game = WASSERSTEIN
        self.E = new_critic(cfg.encoder, task, cfg.init, what="encoder", answers=cfg.latent.size)
        self.players = {"E": [self.E], "G": [self.G]}

    def judged(self, x: Tensor) -> Tensor:
        """The verdicts on pictures [N, 1]."""
        return verdict(self.E(x))

    def lost(self, z: Tensor, codes: Tensor) -> Tensor:
        """How little the codes say of z: weighted, a scalar."""
        return -self.cfg.correlation * correlation(z, codes).mean()

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        x, z, game = batch.x, self.draw(batch.x), self.game
        fake = self.G(z)
        real_scores, codes = self.judged(x), self.E(fake.detach())
        scores = verdict(codes)
        seen = Seen(self.judged, x, fake.detach(), real_scores, scores)
        judged = {"real": game.real(real_scores), "fake": game.fake(scores)}
        yield "E", {**judged, **self.cfg.penalty.terms(seen, it), "correlation": self.lost(z, codes)}
        codes = self.E(fake)
        yield "G", {"gan": game.fool(verdict(codes)), "correlation": self.lost(z, codes)}

    def code(self, answers: Tensor) -> Tensor:
        """Without the verdict, and as far from 0 as z is: a correlation knows no length."""
        rest = answers - verdict(answers)
        return rest / rest.std(1, keepdim=True).clamp_min(1e-6)


def verdict(codes: Tensor) -> Tensor:
    """The mean of each row: [N, K] -> [N, 1]."""
    return codes.float().mean(1, keepdim=True)

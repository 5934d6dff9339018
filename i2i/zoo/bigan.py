"""BiGAN: Donahue, Krähenbühl, Darrell 2017, "Adversarial Feature Learning", arXiv:1605.09782; the same game at the same
time: ALI, Dumoulin et al. 2017, "Adversarially Learned Inference", arXiv:1606.00704."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import GAMES, GanName
from i2i.methods.base import Task, Update
from i2i.nets import CodeCriticConfig, Critic, DCGANConfig, DCGANCriticConfig, Drawer, Init, build, initialise
from i2i.strict import Strict
from i2i.zoo.base import filled, new_critic
from i2i.zoo.encoding import Encoding


class BiGAN(Encoding):
    """D tells pairs apart: a picture beside its code E(x), and z beside the picture G(z); E and G learn to make the
    two alike, for which they have to undo each other (arXiv:1605.09782, eq. 2 and theorem 2).

    E has no noise, as in BiGAN. The joint critic of the paper is here one of pictures, whose answers are judged beside
    z by fully connected layers. Both players take logarithms that are not flat (section 3.4).
    """

    class Config(Strict):
        name: Literal["bigan"] = "bigan"
        gan: GanName = "vanilla"
        features: int = Field(256, ge=1, le=65536)  # that D makes of a picture, before it looks at z
        latent: Latent = Latent(noise=50, prior="uniform")
        generator: Drawer = DCGANConfig()
        encoder: Critic = DCGANCriticConfig()
        discriminator: Critic = DCGANCriticConfig()
        joint: CodeCriticConfig = CodeCriticConfig()
        init: Init = "normal"

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.game = GAMES[cfg.gan]
        self.E = new_critic(cfg.encoder, task, cfg.init, what="encoder", answers=cfg.latent.size)
        self.D = new_critic(cfg.discriminator, task, cfg.init, answers=cfg.features)
        self.joint = build(filled("joint", cfg.joint, "leave it out", inputs=cfg.features + cfg.latent.size))
        initialise(self.joint, cfg.init)
        self.players = {"D": [self.D, self.joint], "G": [self.E, self.G]}

    def judged(self, x: Tensor, z: Tensor) -> Tensor:
        """Verdicts on pairs, [N, C, H, W] and [N, latent.size] -> [N, 1]: high for a picture and its code."""
        return self.joint(torch.cat([F.leaky_relu(self.D(x), 0.2), z], 1))

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        x, z, game = batch.x, self.draw(batch.x), self.game
        codes, drawn = self.E(x), self.G(z)
        real, fake = self.judged(x, codes.detach()), self.judged(drawn.detach(), z)
        yield "D", {"real": game.real(real), "fake": game.fake(fake)}
        yield "G", {"gan": game.fool(self.judged(drawn, z)), "encoder": game.fake(self.judged(x, codes))}

"""PGGAN: Karras, Aila, Laine, Lehtinen 2018, "Progressive Growing of GANs for Improved Quality, Stability, and
Variation", arXiv:1710.10196."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import WASSERSTEIN, gradient_penalty
from i2i.methods.base import Task, Update
from i2i.nets import Init, ProGANConfig, ProGANCriticConfig, starting_from
from i2i.nets.dcgan import smallest
from i2i.nets.progan import doubled, faded, halved
from i2i.strict import Strict
from i2i.zoo.base import Drawing, new_critic


class ProGAN(Drawing):
    """Both networks learn small pictures first, and larger ones are faded in (arXiv:1710.10196, section 2). The game is
    that of WGAN-GP with one step of D for each of G, and D is charged for scores far from 0 (appendix A.1).

    Ours: a size takes a share of the training, not a number of pictures, so that a recipe of any length grows to the
    end; optimizers go on as they were when a size is added. One draw of fakes serves both moves.
    """

    growing: Tensor

    class Config(Strict):
        name: Literal["progan"] = "progan"
        growth: float = Field(0.5, ge=0, le=1)  # share of the training until the size is the full one; 0: it always is
        penalty: float = Field(10.0, gt=0)  # weight of the gradient penalty
        drift: float = Field(1e-3, ge=0)  # weight of squared scores of real pictures
        latent: Latent = Latent(noise=512)
        generator: Annotated[ProGANConfig, starting_from(ProGANConfig())] = ProGANConfig()
        discriminator: Annotated[ProGANCriticConfig, starting_from(ProGANCriticConfig())] = ProGANCriticConfig()
        init: ClassVar[Init] = "normal"  # of no layer here: equalized ones draw their own weights

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.D = new_critic(cfg.discriminator, task, cfg.init)
        self.players = {"D": [self.D], "G": [self.G]}
        self.doublings = smallest(task.size)[0]
        # Steps until fully grown, known when a training begins: one that goes on, for however long, grows as it would.
        self.register_buffer("growing", torch.zeros((), dtype=torch.int64))

    def begin(self, steps: int) -> None:
        self.growing.fill_(round(self.cfg.growth * steps))

    def grow(self, it: int) -> float:
        """Tell both networks how far they have grown before step ``it``, see ``grown``."""
        growing = self.growing.item()
        now = grown(it / growing if growing else 1.0, self.doublings)
        networks: Any = (self.G, self.D)  # torch types every attribute of a network as a tensor or a network
        for net in networks:
            net.grown.fill_(now)
        return now

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        cfg, net, now = self.cfg, self.D, self.grow(it)
        sizes = math.ceil(now)
        real = seen(batch.x, now, sizes, self.doublings)
        fake = self.G(self.draw(real), doublings=sizes)
        real_scores, fake_scores = net(real, sizes), net(fake.detach(), sizes)
        # forward: what torch.compile makes of a network has no second derivatives.
        slope = gradient_penalty(lambda x: net.forward(x, sizes), real, fake)
        yield "D", {
            "real": WASSERSTEIN.real(real_scores),
            "fake": WASSERSTEIN.fake(fake_scores),
            "penalty": cfg.penalty * slope,
            "drift": cfg.drift * real_scores.float().square().mean(),
        }
        yield "G", {"gan": WASSERSTEIN.fool(net(fake, sizes))}


def grown(passed: float, doublings: int) -> float:
    """How far networks have grown when a share ``passed`` of their growth is over, from 0 to ``doublings``.

    In turn, and for equally long, a size is trained and the next one is faded in: with two doublings 0, 0 to 1, 1, 1 to
    2; from then on the full size is trained (arXiv:1710.10196, appendix A.1).
    """
    phase = min(passed, 1.0) * 2 * doublings
    whole = phase // 2
    return whole + max(0.0, phase - 2 * whole - 1)


def seen(x: Tensor, now: float, sizes: int, doublings: int) -> Tensor:
    """Real pictures [N, C, H, W] at the size after ``sizes`` doublings, faded in as the drawn ones are
    (arXiv:1710.10196, appendix A.1)."""
    for _ in range(doublings - sizes):
        x = halved(x)
    return x if now == sizes else faded(doubled(halved(x)), x, now - (sizes - 1))

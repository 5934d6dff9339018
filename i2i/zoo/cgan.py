"""CGAN: Mirza, Osindero 2014, "Conditional Generative Adversarial Nets", arXiv:1411.1784."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from i2i.latents import Latent
from i2i.losses import GanName
from i2i.nets import Critic, Drawer, Init, MLPConfig, MLPCriticConfig, starting_from
from i2i.strict import Strict
from i2i.zoo.conditional import Conditional

NETWORKS = MLPConfig(), MLPCriticConfig()


class CGAN(Conditional):
    """The conditional game of two fully connected networks: the class is one-hot values, beside z for G and beside the
    picture for D (arXiv:1411.1784, section 4.1).

    Here they are those of ``gan``, without the paper's maxout layers, and see the class beside their input at once.
    """

    class Config(Strict):
        name: Literal["cgan"] = "cgan"
        gan: GanName = "vanilla"
        n_critic: int = Field(1, ge=1)  # steps of D for one of G
        latent: Latent = Latent(noise=100, prior="uniform")
        generator: Annotated[Drawer, starting_from(NETWORKS[0])] = NETWORKS[0]
        discriminator: Annotated[Critic, starting_from(NETWORKS[1])] = NETWORKS[1]
        init: Init = "normal"

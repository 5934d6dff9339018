"""Projection discriminator: Miyato, Koyama 2018, "cGANs with Projection Discriminator", arXiv:1802.05637."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from i2i.latents import Latent
from i2i.losses import GanName
from i2i.nets import Critic, DCGANConfig, DCGANCriticConfig, Drawer, Init, starting_from
from i2i.strict import Strict
from i2i.zoo.conditional import Conditional

NETWORKS = DCGANConfig(norm="conditional"), DCGANCriticConfig(norm="none", spectral=True, told="projection")


class Projection(Conditional):
    """The conditional game with the hinge loss. What D says of a picture has two parts: how real it is, and the inner
    product of its features with a vector of the class (arXiv:1802.05637, eq. 3); G's batch norms are those of the class
    (appendix A).

    Here the networks are those of the zoo: the paper's are ResNets.
    """

    class Config(Strict):
        name: Literal["projection"] = "projection"
        gan: GanName = "hinge"
        n_critic: int = Field(5, ge=1)  # steps of D for one of G
        latent: Latent = Latent(noise=128)
        generator: Annotated[Drawer, starting_from(NETWORKS[0])] = NETWORKS[0]
        discriminator: Annotated[Critic, starting_from(NETWORKS[1])] = NETWORKS[1]
        init: Init = "normal"

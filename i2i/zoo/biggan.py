"""BigGAN: Brock, Donahue, Simonyan 2019, "Large Scale GAN Training for High Fidelity Natural Image Synthesis",
arXiv:1809.11096."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from i2i.data.batches import Images
from i2i.latents import Latent
from i2i.losses import GanName, orthogonal_penalty
from i2i.methods.base import Task, Update
from i2i.nets import Critic, Drawer, Init, SNGANConfig, SNGANCriticConfig, starting_from
from i2i.strict import Strict
from i2i.zoo.conditional import Conditional
from i2i.zoo.penalties import check_orthogonal

NETWORKS = (
    SNGANConfig(norm="conditional", embedding=128, chunks=True, spectral=True, attention=2),
    SNGANCriticConfig(told="projection", attention=2),
)


class BigGAN(Conditional):
    """The conditional game with the hinge loss between residual networks with attention, spectral norms in both. D is
    told the class by a projection; G's norms by one embedding that they share, each beside a part of z of its own
    (arXiv:1809.11096, section 3 and appendix B).

    G alone is charged for weights that are not orthogonal (eq. 3), so that it draws from truncated z too (section 3.1).
    Here norms of a trained G use the statistics that ran along: the paper collects them anew before it draws.
    """

    class Config(Strict):
        name: Literal["biggan"] = "biggan"
        gan: GanName = "hinge"
        n_critic: int = Field(2, ge=1)  # steps of D for one of G
        orthogonal: float = Field(1e-4, ge=0)  # weight of the orthogonal penalty on G; 0: none
        latent: Latent = Latent(noise=120)
        generator: Annotated[Drawer, starting_from(NETWORKS[0])] = NETWORKS[0]
        discriminator: Annotated[Critic, starting_from(NETWORKS[1])] = NETWORKS[1]
        init: Init = "orthonormal"

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        check_orthogonal(cfg.orthogonal, generator=self.G)

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        for who, terms in super().step(batch, it):
            if who == "G" and self.cfg.orthogonal:
                terms = {**terms, "orthogonal": self.cfg.orthogonal * orthogonal_penalty(self.G)}
            yield who, terms

"""Semi-supervised GAN: Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen 2016, "Improved Techniques for Training
GANs", arXiv:1606.03498."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.data.batches import Labelled
from i2i.latents import Latent
from i2i.losses import GAMES, cross_entropy, feature_matching, smooth_real
from i2i.methods.base import Task, Update
from i2i.nets import DCGANCriticConfig, Drawer, Init, MLPConfig, MLPCriticConfig, initialise, starting_from
from i2i.nets.minibatch import MinibatchDiscrimination
from i2i.strict import Strict
from i2i.zoo.base import new_critic
from i2i.zoo.few import FewLabels, known_classes
from i2i.zoo.past import Past

Namer = Annotated[MLPCriticConfig | DCGANCriticConfig, Field(discriminator="net")]
"""Of the critics those that a trained model keeps as a classifier, see ``i2i.nets.Classifier``."""
NETWORKS = MLPConfig(layers=2), MLPCriticConfig(layers=3, width=1000, noise=0.5)


class SSGAN(FewLabels):
    """D names K classes, and a picture is as real as these logits are large together: D(x) = Z / (Z + 1), where Z is
    the sum of their exponentials (arXiv:1606.03498, section 5). The improved techniques are options (section 3); to
    learn from few labels G matches features.

    Without virtual batch norm and weight norm. Ours: what minibatch discrimination sees goes to the verdict alone, as
    the name of a picture must not depend on its neighbors.
    """

    class Config(Strict):
        name: Literal["ssgan"] = "ssgan"
        labels: float = Field(1.0, gt=0)  # of the classes in what D minimizes
        matching: bool = True  # G matches the mean of D's features (3.1); false: it fools D
        kernels: int = Field(0, ge=0, le=4096)  # of minibatch discrimination (3.2); 0: without
        kernel_size: int = Field(5, ge=1, le=4096)
        history: float = Field(0.0, ge=0)  # of the distance from the mean of all past weights (3.3); 0: without
        target: float = Field(1.0, gt=0.5, le=1)  # of real pictures; below 1: one-sided label smoothing (3.4), 0.9
        latent: Latent = Latent(noise=100, prior="uniform")
        generator: Annotated[Drawer, starting_from(NETWORKS[0])] = NETWORKS[0]
        discriminator: Annotated[Namer, starting_from(NETWORKS[1])] = NETWORKS[1]
        init: Init = "kaiming"

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.game = GAMES["vanilla"]
        self.D: Any = new_critic(cfg.discriminator, task, cfg.init, answers=known_classes(task, cfg.name))
        self.players = {"D": [self.D], "G": [self.G]}
        if cfg.kernels:
            head: Any = self.D.head
            alike = MinibatchDiscrimination(head.in_features, cfg.kernels, cfg.kernel_size)
            self.crowd = nn.Sequential(alike, nn.Linear(cfg.kernels, 1))
            initialise(self.crowd, cfg.init)
            self.players["D"].append(self.crowd)
        self.past = nn.ModuleDict({who: Past(*nets) for who, nets in self.players.items() if cfg.history})
        self.classifiers = {"classifier": self.D}

    def verdict(self, x: Tensor) -> Tensor:
        """The logit of being real, log Z: [N, 1]."""
        features = self.D.features(x)
        verdict = self.D.head(features).float().logsumexp(1, keepdim=True)
        return verdict + self.crowd(features) if self.cfg.kernels else verdict

    def step(self, batch: Labelled, it: int) -> Iterator[Update]:
        cfg, fake = self.cfg, self.G(self.draw(batch.b))
        named = cfg.labels * cross_entropy(self.D(batch.a), batch.a_labels)
        real = smooth_real(self.verdict(batch.b), cfg.target)
        drawn = self.game.fake(self.verdict(fake.detach()))
        yield "D", {"real": real, "fake": drawn, "labels": named, **self.remembered("D")}
        if cfg.matching:
            goal = {"features": feature_matching([self.D.features(fake)], [self.D.features(batch.b)])}
        else:
            goal = {"gan": self.game.fool(self.verdict(fake))}
        yield "G", {**goal, **self.remembered("G")}

    def remembered(self, who: str) -> dict[str, Tensor]:
        """What a player is charged for leaving its past (section 3.3)."""
        if not self.cfg.history:
            return {}
        return {"history": self.cfg.history * self.past[who](self.players[who])}

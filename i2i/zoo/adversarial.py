"""Two players, two moves: the game of Goodfellow et al. 2014, "Generative Adversarial Networks", arXiv:1406.2661, and
of all whose step is the same. What differs are networks, contest and penalty: a line in ``i2i.zoo.table``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, create_model, model_validator
from torch import Tensor, nn

from i2i.data.batches import Images
from i2i.errors import RecipeError, did_you_mean
from i2i.latents import Latent
from i2i.losses import CONTESTS, clip_weights, orthogonal_penalty
from i2i.methods.base import Task, Update, together
from i2i.nets import Critic, DCGANConfig, DCGANCriticConfig, Drawer, Init, starting_from
from i2i.strict import Strict
from i2i.zoo.augment import Change, augment
from i2i.zoo.base import Drawing, new_critic
from i2i.zoo.penalties import AnyPenalty, NoPenalty, Seen, check_orthogonal


def _known(name: str) -> str:
    if name not in CONTESTS:
        raise ValueError(f"{name!r} is not known{did_you_mean(name, CONTESTS)} (one of {', '.join(CONTESTS)})")
    return name


class Adversarial(Drawing):
    """D learns to tell pictures from what G draws, G to be taken for real (arXiv:1406.2661, algorithm 1).

    One draw of fakes serves both moves.
    """

    class Config(Strict):
        """A named GAN, as its paper or its table line has it; a recipe may change all but the name."""

        name: str
        game: Annotated[str, AfterValidator(_known)] = "vanilla"  # of i2i.losses.CONTESTS
        penalty: AnyPenalty = NoPenalty()
        clip: float = Field(0.0, ge=0)  # every weight of D is kept in [-clip, clip]; 0: as it is
        n_critic: int = Field(1, ge=1)  # steps of D for one of G
        orthogonal: float = Field(0.0, ge=0)  # of the orthogonal penalty on the weights of each player; BigGAN: 1e-4
        augment: tuple[Change, ...] = ()  # what D sees pictures through: DiffAugment
        latent: Latent = Latent(noise=100)
        generator: Drawer = DCGANConfig()
        discriminator: Critic = DCGANCriticConfig()
        init: Init = "normal"

        @model_validator(mode="after")
        def _has_an_end(self) -> Adversarial.Config:
            bounded = self.penalty.bounds or self.clip or self.discriminator.spectral
            if not CONTESTS[self.game].bounded and not bounded:
                raise ValueError(
                    f"the game {self.game} has no end unless the slope of D is bounded: by method.penalty, "
                    "method.clip or method.discriminator.spectral"
                )
            return self

    def __init__(self, cfg: Config, task: Task):
        super().__init__(cfg, task)
        self.game = CONTESTS[cfg.game]
        self.D = new_critic(cfg.discriminator, task, cfg.init)
        if cfg.penalty.slopes and any(isinstance(layer, nn.BatchNorm2d) for layer in self.D.modules()):
            raise RecipeError(
                f"method.penalty: {cfg.penalty.kind} takes the slope at each picture, and batch norm mixes the "
                "pictures of a batch: take method.discriminator.norm=none or instance"
            )
        check_orthogonal(cfg.orthogonal, generator=self.G, discriminator=self.D)
        self.players = {"D": [self.D], "G": [self.G]}

    def step(self, batch: Images, it: int) -> Iterator[Update]:
        x, cfg = batch.x, self.cfg
        turn_of_g = (it + 1) % cfg.n_critic == 0
        with torch.set_grad_enabled(turn_of_g):
            fake = self.G(self.draw(x))
        real, false = augment(x, cfg.augment), augment(fake.detach(), cfg.augment)
        real_scores, fake_scores = together(self.D, real, false)
        # forward: what torch.compile makes of a network has no second derivatives.
        seen = Seen(self.D.forward, real, false, real_scores, fake_scores)
        judged = self.game.judge(real_scores, fake_scores)
        yield "D", {**judged, **cfg.penalty.terms(seen, it), **self.regular(self.D)}
        if cfg.clip:
            clip_weights(self.D, cfg.clip)
        if turn_of_g:
            with torch.no_grad():
                opposite = self.D(real) if self.game.compares else real_scores
            yield "G", {"gan": self.game.fool(self.D(augment(fake, cfg.augment)), opposite), **self.regular(self.G)}

    def regular(self, net: nn.Module) -> dict[str, Tensor]:
        """What a player is charged for its weights."""
        weight = self.cfg.orthogonal
        return {"orthogonal": weight * orthogonal_penalty(net)} if weight else {}


def named(paper: str, default: Adversarial.Config) -> type[Adversarial]:
    """The method of a table line: ``Adversarial`` with other defaults, and a config that knows its own name."""
    fields: dict[str, Any] = {"name": (Literal[default.name], default.name)}
    for key, field in Adversarial.Config.model_fields.items():
        if key != "name":
            value = getattr(default, key)
            kind: Any = field.rebuild_annotation()
            partly = key in ("generator", "discriminator")  # a recipe's block says only what differs
            fields[key] = (Annotated[kind, starting_from(value)] if partly else kind, value)
    config = create_model("Config", __base__=Adversarial.Config, __module__=__name__, **fields)
    return type(default.name, (Adversarial,), {"Config": config, "__doc__": paper, "__module__": __name__})

"""CC-GAN: Denton, Gross, Fergus 2016, "Semi-Supervised Learning with Context-Conditional Generative Adversarial
Networks", arXiv:1611.06430."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, cast

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from i2i.data.batches import Labelled
from i2i.errors import RecipeError
from i2i.folder import Inference
from i2i.holes import Holes, draw
from i2i.losses import GAMES, GanName, cross_entropy, l1_inside
from i2i.methods.base import Method, Nets, Task, Update, as_built, new_discriminator, new_generator
from i2i.nets import ContextConfig, Init, Judge, JudgeConfig
from i2i.nets.context import completed
from i2i.nets.used import seeded
from i2i.strict import Strict

Share = Annotated[float, Field(gt=0, le=1)]


def _rising(share: tuple[float, float]) -> tuple[float, float]:
    if share[0] > share[1]:
        raise ValueError(f"expected the smallest share, then the largest, not {list(share)}")
    return share


class CCGAN(Method):
    """G paints a hole from what is around it, D judges the completed picture, and on the same trunk D names the classes
    of the few pictures whose label is known (arXiv:1611.06430, section 3).

    The game on all pictures gives D its features; few labels then suffice to name them. Ours: the term
    ``reconstruction`` (Pathak et al. 2016, arXiv:1604.07379, squared there), without which a hole is filled with
    whatever passes for real; 0 is the paper. And G has no noise: one hole, one answer.
    """

    reads = Labelled
    reconstruction = "G/reconstruction"

    class Config(Strict):
        name: Literal["ccgan"] = "ccgan"
        baseline: Literal["none", "supervised"] = "none"  # supervised: D learns from the labels alone, nobody plays
        variant: Literal["ccgan", "ccgan2"] = "ccgan"  # ccgan2: D also judges all that G painted, context and hole
        gan: GanName = "vanilla"
        labels: float = Field(1.0, gt=0)  # of the classes in what D minimizes: the paper's lambda_c
        reconstruction: float = Field(10.0, ge=0)
        holes: Holes = "square"
        share: Annotated[tuple[Share, Share], AfterValidator(_rising)] = (0.25, 0.5)  # of the shorter side, least, most
        generator: ContextConfig = ContextConfig()
        discriminator: JudgeConfig = JudgeConfig()
        init: Init = "kaiming"
        inference: Inference = Inference(norm="image", dropout=False)

    def __init__(self, cfg: Config, task: Task):
        super().__init__()
        if task.classes and task.a != task.b:
            raise RecipeError(f"data.channels: one network sees all pictures: take {max(task.a, task.b)} for both")
        if cfg.baseline == "supervised" and not task.classes:
            raise RecipeError("method.baseline: supervised, but the data have no labels")
        self.cfg, self.game, self.inference = cfg, GAMES[cfg.gan], cfg.inference
        judge = cfg.discriminator.model_copy(update={"classes": task.classes})
        self.D = cast(Judge, new_discriminator(judge, task.b, cfg.init))
        self.classifiers = {"classifier": self.D} if task.classes else {}
        self.players, self.products = {"D": [self.D]}, {}
        if cfg.baseline == "none":
            self.G = new_generator(cfg.generator, task.b, task.b, task.size, cfg.init)
            self.cfg = cfg.model_copy(update={"generator": as_built(cfg.generator, self.G)})
            self.players["G"], self.products["a2b"] = [self.G], self.G

    def step(self, batch: Labelled, it: int) -> Iterator[Update]:
        cfg, judge, x = self.cfg, self.D.judge, batch.b
        named = {"labels": cfg.labels * cross_entropy(self.D(batch.a), batch.a_labels)} if len(batch.a) else {}
        if cfg.baseline == "supervised":
            yield "D", named
            return
        hole = draw(cfg.holes, x, cfg.share)
        painted = self.G(torch.cat([x, hole], 1))
        fakes = {"": completed(painted, x, hole)}
        if cfg.variant == "ccgan2":
            fakes["_whole"] = painted
        judged = {f"fake{which}": self.game.fake(judge(fake.detach())) for which, fake in fakes.items()}
        yield "D", {"real": self.game.real(judge(x)), **judged, **named}
        terms = {f"gan{which}": self.game.fool(judge(fake)) for which, fake in fakes.items()}
        if cfg.reconstruction:
            terms["reconstruction"] = cfg.reconstruction * l1_inside(painted, x, hole)
        yield "G", terms

    def panels(self, nets: Nets, batch: Labelled) -> dict[str, Tensor]:
        x = batch.b
        if not nets:
            return {"{b}": x}
        hole = same_hole(self.cfg, x)
        empty = completed(torch.zeros_like(x), x, hole)
        return {"with a hole": empty, "inpainted": completed(nets["a2b"](torch.cat([x, hole], 1)), x, hole), "{b}": x}


def same_hole(cfg: CCGAN.Config, x: Tensor) -> Tensor:
    """The holes for pictures that are shown: the same at every time, and no random number is used up."""
    with seeded(0, x.device):
        return draw(cfg.holes, x, cfg.share)

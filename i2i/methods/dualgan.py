"""DualGAN: Yi, Zhang, Tan, Gong 2017, "DualGAN: Unsupervised Dual Learning for Image-to-Image Translation",
arXiv:1704.02510."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from i2i.data.batches import Unpaired
from i2i.folder import Inference
from i2i.losses import WASSERSTEIN, clip_weights, gradient_penalty, l1
from i2i.methods.base import Method, Nets, Task, Update, as_built, new_discriminator, new_generator, there_and_back
from i2i.nets import Discriminator, Generator, Init, PatchConfig, UNetConfig, starting_from
from i2i.strict import Strict


class DualGAN(Method):
    """Two domains without pairs: ab and ba translate and must undo each other; the critics Da, Db measure how far the
    fakes are from real pictures (Wasserstein; arXiv:1704.02510, eq. 1 to 3 and algorithm 1; its U is a, its V is b).

    The noise z is dropout, kept on when the model is used (section 3.2).
    """

    reads = Unpaired
    reconstruction = "G/reconstruction_a"

    class Config(Strict):
        name: Literal["dualgan"] = "dualgan"
        loss: Literal["clip", "gp"] = "clip"  # what bounds the critics: clipped weights, or a penalty on their slope
        clip: float = Field(0.01, gt=0)  # the paper: 0.01 to 0.1
        gp_weight: float = Field(10.0, gt=0)
        n_critic: int = Field(2, ge=1)  # steps of the critics for one of G; the paper: 2 to 4
        lambda_u: float = Field(100.0, ge=0)  # the paper: 100 to 1000
        lambda_v: float = Field(100.0, ge=0)
        generator: Annotated[Generator, starting_from(UNetConfig())] = UNetConfig()
        discriminator: Discriminator = PatchConfig()
        init: Init = "normal"
        inference: Inference = Inference(norm="image", dropout=True)

        @model_validator(mode="after")
        def _slope_of_each_picture(self) -> DualGAN.Config:
            if self.loss == "gp" and self.discriminator.norm == "batch":
                raise ValueError(
                    "loss gp bounds the slope for each picture, and batch norm mixes the pictures of a batch: take "
                    "discriminator.norm instance or none"
                )
            return self

    def __init__(self, cfg: Config, task: Task):
        super().__init__()
        self.ab = new_generator(cfg.generator, task.a, task.b, task.size, cfg.init)
        self.ba = new_generator(cfg.generator, task.b, task.a, task.size, cfg.init)
        self.Da = new_discriminator(cfg.discriminator, task.a, cfg.init)
        self.Db = new_discriminator(cfg.discriminator, task.b, cfg.init)
        self.cfg = cfg.model_copy(update={"generator": as_built(cfg.generator, self.ab)})
        self.players = {"D": [self.Da, self.Db], "G": [self.ab, self.ba]}
        self.products = {"a2b": self.ab, "b2a": self.ba}
        self.inference = cfg.inference

    def step(self, batch: Unpaired, it: int) -> Iterator[Update]:
        (a, b), cfg, game = batch, self.cfg, WASSERSTEIN
        turn_of_g = (it + 1) % cfg.n_critic == 0
        with torch.set_grad_enabled(turn_of_g):
            fake_b, fake_a = self.ab(a), self.ba(b)
        terms = {
            "real_a": game.real(self.Da(a)),
            "fake_a": game.fake(self.Da(fake_a.detach())),
            "real_b": game.real(self.Db(b)),
            "fake_b": game.fake(self.Db(fake_b.detach())),
        }
        if cfg.loss == "gp":
            # forward: what torch.compile makes of a network has no second derivatives.
            terms["penalty_a"] = cfg.gp_weight * gradient_penalty(self.Da.forward, a, fake_a)
            terms["penalty_b"] = cfg.gp_weight * gradient_penalty(self.Db.forward, b, fake_b)
        yield "D", terms
        if cfg.loss == "clip":
            for critic in (self.Da, self.Db):
                clip_weights(critic, cfg.clip)
        if turn_of_g:
            yield (
                "G",
                {
                    "gan_ab": game.fool(self.Db(fake_b)),
                    "gan_ba": game.fool(self.Da(fake_a)),
                    "reconstruction_a": cfg.lambda_u * l1(self.ba(fake_b), a),
                    "reconstruction_b": cfg.lambda_v * l1(self.ab(fake_a), b),
                },
            )

    def panels(self, nets: Nets, batch: Unpaired) -> dict[str, Tensor]:
        return there_and_back(nets, batch)

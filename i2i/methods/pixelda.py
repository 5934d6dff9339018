"""PixelDA: Bousmalis, Silberman, Dohan, Erhan, Krishnan 2017, "Unsupervised Pixel-Level Domain Adaptation with
Generative Adversarial Networks", arXiv:1612.05424."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from i2i.data.batches import Labelled
from i2i.errors import DataError
from i2i.folder import Inference
from i2i.losses import GAMES, GanName, pairwise_mse
from i2i.methods.base import Method, Nets, Task, Update, new_discriminator, new_generator
from i2i.nets import DigitsConfig, Init, NoisyConfig, PixelDAConfig, build, initialise, starting_from
from i2i.strict import Strict


class PixelDA(Method):
    """Labels in domain a, none in b: G paints a picture of a, with its label, in the manner of b; D judges; the
    classifier T learns from both versions (arXiv:1612.05424, eq. 1 to 4).

    The labels of b are read by ``baseline: target`` alone, which shows what they would have been worth.
    """

    reads = Labelled
    reconstruction = "G/task_a"

    class Config(Strict):
        name: Literal["pixelda"] = "pixelda"
        baseline: Literal["none", "source", "target"] = "none"  # T alone, on the labels of a, or on those of b
        gan: GanName = "vanilla"
        gan_weight: float = Field(1.0, gt=0)
        task: float = Field(1.0, gt=0)
        content: float = Field(0.0, ge=0)  # of the masked pairwise mean squared error (eq. 5); 0 leaves it out
        background: float = Field(-0.9, ge=-1, le=1)  # its mask: where the brightest channel of a is above that
        generator: Annotated[PixelDAConfig, starting_from(PixelDAConfig())] = PixelDAConfig()
        discriminator: NoisyConfig = NoisyConfig()
        classifier: DigitsConfig = DigitsConfig()
        init: Init = "kaiming"
        inference: Inference = Inference(norm="running", dropout=True)

    def __init__(self, cfg: Config, task: Task):
        super().__init__()
        if task.classes < 2:
            raise DataError("pixelda needs labels of at least two classes: two folders A and B with labelled arrays")
        if task.a != task.b:
            raise DataError(f"pixelda: one classifier sees both domains: data.channels={max(task.a, task.b)}")
        self.game = GAMES[cfg.gan]
        fitted = {"size": task.size, "inputs": task.a}
        self.T = build(cfg.classifier.model_copy(update={**fitted, "classes": task.classes}))
        initialise(self.T, "kaiming")
        self.classifiers = {"classifier": self.T}
        self.players, self.products = {"T": [self.T]}, {}
        if cfg.baseline == "none":
            sized = {"size": task.size}
            self.G = new_generator(cfg.generator.model_copy(update=sized), task.a, task.b, task.size, cfg.init)
            self.D = new_discriminator(cfg.discriminator.model_copy(update=sized), task.b, cfg.init)
            self.players = {"D": [self.D], "G": [self.G, self.T]}
            self.products = {"a2b": self.G}
        self.cfg, self.inference = cfg, cfg.inference

    def step(self, batch: Labelled, it: int) -> Iterator[Update]:
        (a, a_labels, b, b_labels), cfg = batch, self.cfg
        if cfg.baseline != "none":
            x, labels = (a, a_labels) if cfg.baseline == "source" else (b, b_labels)
            yield "T", {"task": cfg.task * self.named(x, labels)}
            return
        fake = self.G(a)
        yield "D", {"real": self.game.real(self.D(b)), "fake": self.game.fake(self.D(fake.detach()))}
        terms = {
            "gan": cfg.gan_weight * self.game.fool(self.D(fake)),
            "task_a": cfg.task * self.named(a, a_labels),
            "task_fake": cfg.task * self.named(fake, a_labels),
        }
        if cfg.content:
            mask = a.amax(1, keepdim=True) > cfg.background
            terms["content"] = cfg.content * pairwise_mse(fake, a, mask)
        yield "G", terms

    def named(self, x: Tensor, labels: Tensor) -> Tensor:
        """The cross-entropy of T's verdicts (eq. 3)."""
        return F.cross_entropy(self.T(x).float(), labels)

    def panels(self, nets: Nets, batch: Labelled) -> dict[str, Tensor]:
        adapted = {"{a} as {b}": nets["a2b"](batch.a)} if nets else {}
        return {"{a}": batch.a, **adapted, "{b}": batch.b}

"""SRResNet: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network",
arXiv:1609.04802: the network of SRGAN trained on the pixels alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from torch import Tensor

from i2i.data.batches import Reduced
from i2i.folder import Inference
from i2i.losses import l1, l2
from i2i.methods.base import Method, Nets, Task, Update, detail, enlarged, new_generator
from i2i.nets import Init, SRResNetConfig, starting_from
from i2i.strict import Strict


class SRResNet(Method):
    """Pictures made smaller: G enlarges them and is charged for every wrong pixel (arXiv:1609.04802, eq. 4)."""

    reads = Reduced
    reconstruction = "G/pixels"

    class Config(Strict):
        name: Literal["srresnet"] = "srresnet"
        pixels: Literal["l2", "l1"] = "l2"  # the paper minimizes the mean squared error
        generator: Annotated[SRResNetConfig, starting_from(SRResNetConfig())] = SRResNetConfig()
        init: Init = "kaiming"  # the paper names none
        inference: Inference = Inference(norm="running", dropout=False)

    def __init__(self, cfg: Config, task: Task):
        super().__init__()
        self.cfg = cfg
        self.pixels = {"l2": l2, "l1": l1}[cfg.pixels]
        self.G = new_generator(cfg.generator, task.b, task.b, task.size, cfg.init)
        self.players = {"G": [self.G]}
        self.products = {"a2b": self.G}
        self.inference = cfg.inference

    def step(self, batch: Reduced, it: int) -> Iterator[Update]:
        yield "G", {"pixels": self.pixels(self.G(batch.a), batch.b)}

    def panels(self, nets: Nets, batch: Reduced) -> dict[str, Tensor]:
        batch = detail(batch)
        return {"bicubic": enlarged(batch), "output": nets["a2b"](batch.a), "original": batch.b}

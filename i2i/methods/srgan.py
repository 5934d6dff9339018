"""SRGAN: Ledig et al. 2017, "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network",
arXiv:1609.04802."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field
from torch import Tensor

from i2i import models
from i2i.content import Content, placed
from i2i.data.batches import Reduced
from i2i.errors import ModelError, RecipeError
from i2i.folder import Inference, read_info
from i2i.losses import GAMES, GanName, l2
from i2i.methods.base import Method, Nets, Task, Update, detail, enlarged, new_discriminator, new_generator
from i2i.nets import Init, SRResNetConfig, WholeConfig, starting_from
from i2i.run_torch import load_net
from i2i.strict import Strict


class SRGAN(Method):
    """Pictures made smaller: G enlarges them so that D takes them for real and VGG19 sees in them what it sees in the
    originals (arXiv:1609.04802, eq. 2, 3 and 5). Before that G learns from the pixels alone, as SRResNet (eq. 4).

    One optimizer of G goes through both stages; its rate falls linearly (train.decay_from), where the paper's falls
    from 1e-4 to 1e-5 halfway through the second stage.
    """

    reads = Reduced
    reconstruction = "G/content"

    class Config(Strict):
        name: Literal["srgan"] = "srgan"
        pretrain_steps: int = Field(1_000_000, ge=0)  # on the pixels alone (section 3.2)
        start: str = ""  # a model or run of srresnet whose weights G starts from
        content: Literal["mse", "vgg22", "vgg54"] = "vgg54"  # what is compared: pixels, or feature maps of VGG19
        content_weight: float = Field(1.0, gt=0)
        vgg: str = ""  # a file of VGG19's weights; empty: torchvision's, downloaded once
        gan: GanName = "vanilla"
        gan_weight: float = Field(1e-3, gt=0)
        generator: Annotated[SRResNetConfig, starting_from(SRResNetConfig())] = SRResNetConfig()
        discriminator: WholeConfig = WholeConfig()
        init: Init = "kaiming"  # the paper names none
        inference: Inference = Inference(norm="running", dropout=False)

    def __init__(self, cfg: Config, task: Task):
        super().__init__()
        self.cfg = cfg.model_copy(update={"vgg": placed(cfg.vgg)})
        self.game = GAMES[cfg.gan]
        if cfg.content == "vgg54" and min(task.size) < 16:
            raise RecipeError(f"data.size: {min(task.size)} pixels are too few for vgg54: 16 or more, or content vgg22")
        self.G = new_generator(cfg.generator, task.b, task.b, task.size, cfg.init)
        self.D = new_discriminator(cfg.discriminator.model_copy(update={"size": task.size}), task.b, cfg.init)
        self.content = l2 if cfg.content == "mse" else Content(cfg.content, self.cfg.vgg)
        self.players = {"D": [self.D], "G": [self.G]}
        self.products = {"a2b": self.G}
        self.inference = cfg.inference

    def begin(self, steps: int) -> None:
        if self.cfg.pretrain_steps >= steps:
            raise RecipeError(
                f"method.pretrain_steps: {self.cfg.pretrain_steps}, but train.images makes {steps} steps in all, so "
                "that D would never play: take more of these, fewer of those, or the method srresnet"
            )
        if not self.cfg.start:
            return
        folder = models.find(self.cfg.start)
        info = read_info(folder)
        if info.default not in info.products:
            raise ModelError(f"{folder}: method.start: holds no network that enlarges pictures")
        net: Any = load_net(folder, info, info.default)
        own: Any = self.G.config
        has, wants = net.config.model_dump(), own.model_dump()
        if other := [key for key in wants if has.get(key) != wants[key]]:
            key = other[0]
            raise ModelError(f"{folder}: method.start: its generator has {key} {has.get(key)}, not {wants[key]}")
        self.G.load_state_dict(net.state_dict())
        self.cfg = self.cfg.model_copy(update={"start": str(folder.resolve())})

    def step(self, batch: Reduced, it: int) -> Iterator[Update]:
        (a, b), cfg = batch, self.cfg
        fake = self.G(a)
        if it < cfg.pretrain_steps:
            yield "G", {"pixels": l2(fake, b)}
            return
        yield "D", {"real": self.game.real(self.D(b)), "fake": self.game.fake(self.D(fake.detach()))}
        yield (
            "G",
            {
                "content": cfg.content_weight * self.content(fake, b),
                "gan": cfg.gan_weight * self.game.fool(self.D(fake)),
            },
        )

    def panels(self, nets: Nets, batch: Reduced) -> dict[str, Tensor]:
        batch = detail(batch)
        return {"bicubic": enlarged(batch), "output": nets["a2b"](batch.a), "original": batch.b}

"""What all methods of the zoo share: a generator that draws pictures, and how it is shown."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from i2i.data.batches import Images
from i2i.errors import ModelError, RecipeError, SizeError
from i2i.folder import Inference, Sampler
from i2i.latents import Latent
from i2i.methods.base import Method, Nets, Task
from i2i.nets import Init, build, initialise
from i2i.strict import Strict
from i2i.zoo.drawn import draw

Block = TypeVar("Block", bound=Strict)
COLUMNS = 10
"""Drawn pictures in a row of a sheet."""


class Drawing(Method):
    """A method whose product, the sampler, draws pictures from ``latent``; with ``classes``, the ones asked for.

    A subclass sets ``players``, and says how many ``classes`` where G takes labels.
    """

    reads: ClassVar[type] = Images
    latent: Latent
    classes: int = 0
    coded: ClassVar[bool] = False
    """Whether something else is to say which z a picture was drawn from: then it is drawn from one alone."""
    inference = Inference(norm="running", dropout=False)

    def __init__(self, cfg: Any, task: Task, classes: int = 0, latent: Latent | None = None):
        """Builds G, with fresh weights, from the ``generator``, ``latent`` and ``init`` of ``cfg``; ``latent`` may be
        another one."""
        super().__init__()
        self.cfg, self.latent, self.classes = cfg, latent or cfg.latent, classes
        self.G = new_drawer(cfg.generator, self.latent, task, cfg.init, classes, self.coded)
        self.products = {"sampler": self.G}

    def draw(self, like: Tensor) -> Tensor:
        """z for as many pictures as ``like`` has, where it lies: [N, latent.size]."""
        return draw(self.latent, len(like), like.device)

    def described(self, net: nn.Module) -> Sampler:
        """What a model folder says of the sampler ``net``."""
        config: Any = net.config  # torch types every attribute of a network as a tensor or a network
        return Sampler(
            generator=config.model_dump(mode="json"), latent=self.latent, classes=self.classes,
            styles=getattr(net, "styles", 0), size=config.size, channels=config.outputs,
        )  # fmt: skip

    def panels(self, nets: Nets, batch: Any) -> dict[str, Tensor]:
        return {"{a}": batch.x, "drawn": self.drawn(nets, batch.x)}

    def drawn(self, nets: Nets, like: Tensor) -> Tensor:
        """The same z at every time, of seed 0: [rows, COLUMNS, C, H, W], as many rows as ``like`` has pictures. With
        classes each row is one of them, and a column shows one z."""
        rows, random = len(like), np.random.default_rng(0)
        if self.classes:
            z = torch.from_numpy(self.latent.draw(COLUMNS, random)).repeat(rows, 1).to(like.device)
            labels = (torch.arange(rows, device=like.device) % self.classes).repeat_interleave(COLUMNS)
            pictures = nets["sampler"](z, labels)
        else:
            z = torch.from_numpy(self.latent.draw(rows * COLUMNS, random)).to(like.device)
            pictures = nets["sampler"](z)
        return pictures.unflatten(0, (rows, COLUMNS))


def new_drawer(
    config: Any, latent: Latent, task: Task, init: Init, classes: int = 0, coded: bool = False, what: str = "generator"
) -> nn.Module:
    """A generator with fresh weights, that draws pictures like the data; ``what`` it is called in a recipe.
    ``coded``: see ``Drawing``.

    Raises:
        RecipeError: it cannot draw pictures of this size, its norms want to know a class where there are none, it
            cannot be asked for classes and should, or it would mix in a second z that does not fit.
    """
    if classes and hasattr(config, "style"):
        raise RecipeError(f"method.{what}.net: {config.net!r} cannot be asked for classes: take dcgan or sngan")
    if getattr(config, "norm", "") == "conditional" and not classes:
        raise RecipeError(f"method.{what}.norm: conditional, but this method asks for no classes: take batch")
    if getattr(config, "mixing", 0) and (coded or not latent.gaussian):
        one = "a code belongs to one picture" if coded else f"this method draws from {latent.sentence()}"
        raise RecipeError(f"method.{what}.mixing: {config.mixing} takes a second z, of normal values, but {one}: set 0")
    z = "method.code" if what == "decoder" else "method.latent.noise"
    config = filled(what, config, f"set {z}", latent=latent.size)
    config = filled(what, config, "see data.channels", outputs=task.b)
    return _new(what, filled(what, config, "leave it out", classes=classes), task, init)


def classes_of(task: Task, who: str) -> int:
    """How many classes the data know.

    Raises:
        RecipeError: fewer than two.
    """
    if task.classes < 2:
        needs = "pictures with labels of at least two classes (arrays: train-images.npy and train-labels.npy)"
        raise RecipeError(f"{who} needs {needs}, and these have {task.classes or 'none'}")
    return task.classes


def labelled(batch: Images, who: str) -> tuple[Tensor, Tensor]:
    """Pictures and their labels.

    Raises:
        RecipeError: the label of one of them is not known.
    """
    if (batch.labels < 0).any():
        raise RecipeError(f"{who} needs every label, and some are hidden (data.labelled) or -1: with few, take sgan")
    return batch.x, batch.labels


def new_critic(
    config: Any, task: Task, init: Init, answers: int = 1, classes: int = 0, what: str = "discriminator"
) -> nn.Module:
    """A discriminator or an encoder with fresh weights, that sees pictures like the data; ``what`` it is called in
    a recipe.

    Raises:
        RecipeError: it cannot see pictures of this size, or cannot be shown classes and should.
    """
    if classes and not hasattr(config, "told"):
        raise RecipeError(f"method.{what}.net: {config.net} cannot be shown classes: take sngan_critic")
    if hasattr(config, "answers"):  # LAPGAN's gives one alone
        config = filled(what, config, "leave it out", answers=answers, classes=classes)
    return _new(what, filled(what, config, "see data.channels", inputs=task.b), task, init)


def filled(what: str, config: Block, way_out: str, **values: Any) -> Block:
    """The ``config`` of a network, with ``values`` that the data or the method say.

    Raises:
        RecipeError: the recipe says something else, and nobody would read it.
    """
    for key, value in values.items():
        said = getattr(config, key)
        if said not in (value, type(config).model_fields[key].default):  # a written recipe holds the default
            raise RecipeError(f"method.{what}.{key}: {said}, but it is {value} here: {way_out}")
    return config.model_copy(update=values)


def _new(what: str, config: Strict, task: Task, init: Init) -> nn.Module:
    try:
        net = build(filled(what, config, "set data.size", size=task.size))
    except SizeError as e:
        raise RecipeError(f"data.size: {e} (method.{what})") from e
    except ModelError as e:
        raise RecipeError(f"method.{what}: {e}") from e
    initialise(net, init)
    return net

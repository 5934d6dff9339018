"""A trained model that draws pictures from random numbers, ready to be called. Needs no torch to be imported."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from i2i.errors import MissingExtra, ModelError, UsageError
from i2i.folder import Info, Sampler

BATCH_PIXELS = 2**20  # pictures that are drawn together have no more pixels than this
LEAST_TRUNCATION = 0.01  # less would draw for minutes what is one picture only


class Engine(Protocol):
    """What runs a network. ``batch``: how many pictures are worth drawing at once."""

    batch: int

    def run(self, z: np.ndarray, labels: np.ndarray | None = None, truncation: np.ndarray | None = None) -> np.ndarray:
        """float32 [N, size], and int64 [N] if it knows classes -> float32 [N, C, H, W] in [-1, 1]. If it has styles, z
        may be [N, styles, size], and ``truncation`` float32 [N]."""


def check_seed(seed: int) -> None:
    """
    Raises:
        UsageError: a seed below 0.
    """
    if seed < 0:
        raise UsageError(f"seed {seed}: seeds are 0 or more")


def open_sampler(folder: Path, info: Info, device: str = "auto") -> Engine:
    """The engine of a model folder whose network draws pictures.

    Raises:
        MissingExtra: torch is not installed, and the model is not an exported one.
        ModelError: the weights are missing, damaged, or do not fit.
    """
    if info.sampler and Path(info.sampler.file).suffix == ".onnx":
        from i2i.draw_onnx import OnnxSampler

        return OnnxSampler(folder, info, device)
    try:
        from i2i.draw_torch import TorchSampler
    except ModuleNotFoundError as e:
        if e.name not in ("torch", "safetensors"):
            raise
        raise MissingExtra(e.name, "train") from e
    return TorchSampler(folder, info, device)


class Generator:
    """Draws pictures. Picture ``i`` of a seed is the same however many are drawn, at once or in all, in every engine.

    ``sampler`` says what is drawn and from what. Steps in between: ``latents`` or ``walk``, then ``pictures``.
    """

    def __init__(self, engine: Engine, info: Info, sampler: Sampler, seed: int = 0):
        self.engine, self.info, self.sampler, self.seed = engine, info, sampler, seed

    def __repr__(self) -> str:
        return f"Generator({self.info.name!r}: {self.sampler.sentence()})"

    def __call__(
        self,
        count: int = 1,
        *,
        labels: int | Sequence[int] | None = None,
        seed: int | None = None,
        truncation: float | None = None,
        mix: int | None = None,
    ) -> list[Image.Image]:
        """Draws ``count`` pictures.

        Args:
            count: how many.
            labels: of a model that knows classes: one for all, or several that take turns; None: all take turns.
            seed: 0 or more; None is that which the model was loaded with.
            truncation: of a model that draws from normal values: none of them is farther from 0 than this. Of one
                with styles: they are drawn towards their mean, to this share of their distance.
            mix: of a model with styles: see ``mixed``.

        Raises:
            UsageError: something of this that the model does not know or that makes no sense.
        """
        z = self.latents(count, seed, truncation) if mix is None else self.mixed(count, mix, seed, truncation)
        return list(self.pictures(z, self.labels(count, labels), truncation))

    def latents(self, count: int, seed: int | None = None, truncation: float | None = None) -> np.ndarray:
        """What the first ``count`` pictures of a seed are drawn from, float32 [count, size].

        Raises:
            UsageError: see ``check``, or a count below 1.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UsageError(f"{count!r} pictures: this model draws as many as you say, 1 or more; it takes no picture")
        seed = self.seed if seed is None else seed
        self.check(seed, truncation)
        return self.sampler.latent.numbered(count, seed, truncation=None if self.sampler.styles else truncation)

    def mixed(self, count: int, mix: int, seed: int | None = None, truncation: float | None = None) -> np.ndarray:
        """What a square of ``count`` pictures is drawn from, row by row, float32 [count, styles, size]: pictures of a
        row share the styles of the first ``mix`` layers, those of a column all others. So what is coarse stays along a
        row, and the diagonal has the pictures of the seed (Karras et al. 2019, arXiv:1812.04948, figure 3).

        Raises:
            UsageError: see ``latents``, or the model has no styles or not so many.
        """
        styles = self.sampler.styles
        if not styles:
            raise UsageError(f"{self.info.name}: has no styles to mix: leave mix out")
        if not 1 <= mix < styles:
            raise UsageError(
                f"mix {mix}: of the {styles} layers with a style, the first 1 to {styles - 1} can be shared"
            )
        z = self.latents(count, seed, truncation)
        side = math.ceil(math.sqrt(count))
        row, column = np.divmod(np.arange(count), side)
        return np.where(np.arange(styles)[:, None] < mix, z[row][:, None], z[column][:, None])

    def walk(self, count: int, steps: int, seed: int | None = None, truncation: float | None = None) -> np.ndarray:
        """The way through the latents of a seed, ``steps`` from each to the next, float32 [count, size].

        Raises:
            UsageError: see ``latents``, or less than one step.
        """
        if steps < 1:
            raise UsageError(f"steps {steps}: from one picture to the next it is 1 or more")
        ends = self.latents(-(-count // steps) + 1 if count > 0 else count, seed, truncation)
        stops = [divmod(i, steps) for i in range(count)]
        return np.stack([self.sampler.latent.between(ends[k], ends[k + 1], part / steps) for k, part in stops])

    def labels(self, count: int, asked: int | Sequence[int] | None = None, each: int = 1) -> np.ndarray | None:
        """The class of each of ``count`` pictures, int64 [count]: those asked for in turn, each so many times.

        Raises:
            UsageError: the model knows no classes, or not that one.
        """
        classes = self.sampler.classes
        chosen = range(classes) if asked is None else [asked] if isinstance(asked, int | np.integer) else list(asked)
        if asked is not None and not classes:
            raise UsageError(f"{self.info.name}: knows no classes: leave the label out")
        if asked is not None and not chosen:
            raise UsageError(f"{self.info.name}: no label at all: leave it out for all classes in turn")
        for label in chosen:
            if label not in range(classes):
                raise UsageError(f"{self.info.name}: unknown label {label!r}: its classes are 0 to {classes - 1}")
        return np.resize(np.repeat(np.array(chosen, np.int64), each), count) if classes else None

    def check(self, seed: int, truncation: float | None = None) -> None:
        """
        Raises:
            UsageError: a seed below 0; a truncation of what is not normal, or one that leaves nothing to draw from.
        """
        check_seed(seed)
        if truncation is None:
            return
        if self.sampler.latent.prior != "normal" and not self.sampler.styles:
            raise UsageError(
                f"{self.info.name}: draws from values between -1 and 1, nothing far from 0 is there to truncate: "
                "leave the truncation out"
            )
        if not truncation >= LEAST_TRUNCATION:
            raise UsageError(f"truncation {truncation:g}: {LEAST_TRUNCATION} or more")

    def pictures(
        self, z: np.ndarray, labels: np.ndarray | None = None, truncation: float | None = None
    ) -> Iterator[Image.Image]:
        """The pictures of latents float32 [N, size] and classes int64 [N] (None for a model without), one by one. Of a
        model with styles, latents may be [N, styles, size]; of others, ``truncation`` is a matter of the latents.

        Raises:
            ModelError: the network's answer is not finite.
        """
        height, width = self.sampler.size
        size = max(1, min(self.engine.batch, BATCH_PIXELS // (height * width)))
        for start in range(0, len(z), size):
            some = slice(start, start + size)
            asked = None if labels is None else labels[some]
            if self.sampler.styles and truncation is not None:
                drawn = self.engine.run(z[some], asked, np.full(len(z[some]), truncation, np.float32))
            else:
                drawn = self.engine.run(z[some], asked)
            if not np.isfinite(drawn).all():
                raise ModelError(f"{self.info.name}: the network's answer is not finite: its weights are damaged")
            levels = np.rint(np.clip((drawn + 1) * np.float32(127.5), 0, 255)).astype(np.uint8)
            for picture in levels.transpose(0, 2, 3, 1):
                yield Image.fromarray(np.ascontiguousarray(picture.squeeze(2) if picture.shape[2] == 1 else picture))

"""A fixed classifier as a feature network, taught by i2i from the training split of the data set that is measured.

Numbers depend on its weights: compare only what was measured by the same ones (their fingerprint is reported). They are
learned once, with one seed, on the CPU, and kept in the cache.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from i2i import folder, paths
from i2i.data import arrays
from i2i.errors import DataError
from i2i.metrics.base import Labels, Setting
from i2i.metrics.features import Features
from i2i.nets import DigitsConfig, build
from i2i.nets.used import seeded
from i2i.run_torch import load_classifier

SIDE, WIDTH = 32, 16
EPOCHS, BATCH, RATE = 3, 100, 2e-3  # Adam, its rate falls linearly to zero: 99.3 % on MNIST after a minute of one core
NAME = "digits"
LUMA = 0.299, 0.587, 0.114  # ITU-R 601


class Taught(Features):
    """Pictures [N, C, H, W] in [-1, 1] -> the 100 features that the classifier's last layer reads; ``logits`` are what
    it makes of them, float32 [N, classes] on the CPU. ``about``: what belongs beside a number."""

    def __init__(self, net: Any, about: str, device: torch.device | str = "cpu"):
        self.classifier, self.about = net.to(device), about
        super().__init__(lambda levels: net.features(fitted(levels, net.config.inputs)), device)

    @torch.inference_mode()
    def logits(self, pictures: Tensor) -> Tensor:
        return self.classifier.model[-1](self(pictures).to(self.device)).float().cpu()


@dataclass(frozen=True)
class Digits:
    """Loads the classifier of a data set, which is learned first if that was never done."""

    labels: Labels
    say: Callable[[str], None] = field(default=lambda line: None, compare=False)

    def __call__(self, device: torch.device | str) -> Taught:
        path = self.folder()
        if not folder.is_model(path):
            self.say(f"teaching the classifier that measures {self.labels.dataset}: once, about a minute")
            teach(self.labels, path)
        info = folder.read_info(path)
        weights = hashlib.sha256((path / folder.TENSORS).read_bytes()).hexdigest()[:12]
        tried = "".join(f", test accuracy {value:.4f}" for value in info.metrics.values())
        about = f"classifier of {self.labels.dataset}{tried}, weights sha256 {weights}"
        return Taught(load_classifier(path, info, NAME), about, device)

    def folder(self) -> Path:
        """Where it is kept: the name holds a fingerprint of the pictures and of all that decides what is learned."""
        digest = hashlib.sha256(repr((SIDE, WIDTH, EPOCHS, BATCH, RATE)).encode())
        for file in self.labels.train:
            digest.update(file.read_bytes())
        short = re.sub(r"\W+", "_", self.labels.dataset)
        return paths.cache() / "classifiers" / f"{short}-{digest.hexdigest()[:12]}"


def digits(setting: Setting) -> Digits:
    """The loader for what is measured.

    Raises:
        DataError: nothing is there to learn classes from.
    """
    if setting.labels is None:
        wants = "labelled pictures (train-images.npy and train-labels.npy)"
        raise DataError(f"fd_digits and its kin learn a classifier from {wants}, and this data set has none")
    return Digits(setting.labels, setting.say)


def about(setting: Setting) -> str:
    network: Taught = setting.network(digits(setting))
    return network.about


def fitted(levels: Tensor, inputs: int) -> Tensor:
    """Levels float32 [N, 1 or 3, H, W] from 0 to 255 as the classifier wants them: [N, inputs, 32, 32] in [-1, 1]."""
    if inputs == 1 and levels.shape[1] == 3:
        levels = (levels * levels.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    if levels.shape[2:] != (SIDE, SIDE):
        levels = F.interpolate(levels, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 255)
    return levels / 127.5 - 1


def teach(labels: Labels, path: Path) -> None:
    """Learn the classes from the training split, try it on the test split, and keep it as a model folder.

    Raises:
        DataError: the arrays cannot be read, or hold no labels.
    """
    pixels, numbers = arrays.load(*labels.train)
    rows = np.flatnonzero(numbers >= 0)
    if not len(rows):
        raise DataError(f"{labels.train[1]}: no picture has a label")
    config = DigitsConfig(
        width=WIDTH, classes=int(numbers.max()) + 1, size=(SIDE, SIDE), inputs=1 if pixels.shape[3] == 1 else 3
    )
    cpu = torch.device("cpu")
    with seeded(0, cpu), torch.autocast("cpu", enabled=False):
        net: Any = build(config)
        opt = torch.optim.Adam(net.parameters(), RATE, fused=True)
        order = [part for _ in range(EPOCHS) for part in torch.randperm(len(rows)).split(BATCH)]
        for step, part in enumerate(order):
            chosen = rows[part.numpy()]
            opt.param_groups[0]["lr"] = RATE * (1 - step / len(order))
            loss = F.cross_entropy(net(seen(pixels[chosen], config.inputs)), torch.from_numpy(numbers[chosen]).long())
            opt.zero_grad()
            loss.backward()
            opt.step()
    info = folder.Info(
        name=path.name, method="classifier", dataset=labels.dataset, size=(SIDE, SIDE), images=EPOCHS * len(rows),
        products={}, classifiers={NAME: config.model_dump(mode="json")}, default="",
        inference=folder.Inference(norm="running", dropout=False), metrics=tried(net.eval(), labels.test),
    )  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    folder.write(path, info, {NAME: net.state_dict()})


def seen(pixels: np.ndarray, inputs: int) -> Tensor:
    """uint8 [N, H, W, C] -> what the classifier reads."""
    return fitted(torch.from_numpy(pixels).permute(0, 3, 1, 2).float(), inputs)


@torch.inference_mode()
def tried(net: Any, test: tuple[Path, Path] | tuple[()]) -> dict[str, float]:
    """The accuracy on all labelled pictures of the test split; nothing if there is none."""
    if not test:
        return {}
    pixels, numbers = arrays.load(*test)
    rows = np.flatnonzero(numbers >= 0)
    right = sum(
        int((net(seen(pixels[part], net.config.inputs)).argmax(1).numpy() == numbers[part]).sum())
        for part in np.array_split(rows, max(1, len(rows) // 500))
    )
    return {"accuracy": right / len(rows)} if len(rows) else {}

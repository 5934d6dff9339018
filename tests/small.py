"""Every method made small, without knowing it: tests of the contract take what is in the table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from i2i import training
from i2i.data.batches import Images, Labelled, Pair, Reduced, Unpaired, loader
from i2i.methods import METHODS
from i2i.methods.base import Method, Task
from i2i.recipe import Recipe, build
from i2i.runs import new
from i2i.strict import Source
from i2i.trainer import Trainer

ROOT = Path(__file__).parents[1]
SIZE = 32
SMALL = {"width": 6, "blocks": 1, "layers": 1, "depth": 5, "pool": 3, "dense": 16, "halvings": 2}
SMALL |= {"style": 16}
# All players and terms in every step, from the first on.
SMALL |= {"update_interval": 1, "n_critic": 1, "early_steps": 0, "pretrain_steps": 0, "every": 1, "path_every": 1}
SMALL |= {"growth": 0.0}  # as with a constant learning rate, the length of a training changes no step
SMALL |= {"content": "mse"}  # of SRGAN, whose own choice is downloaded; PixelDA's content is a number


def shrunk(tree: Any) -> Any:
    """A method's settings with every size in them small."""
    if isinstance(tree, dict):
        return {k: SMALL[k] if k in SMALL and type(v) is type(SMALL[k]) else shrunk(v) for k, v in tree.items()}
    return tree


def small_config(name: str, **changes: Any) -> dict[str, Any]:
    return {**shrunk(METHODS[name].Config().model_dump(mode="json")), **changes}


def small_recipe(name: str, dataset: Path | str, images: int = 8, method: dict | None = None, **blocks: dict) -> Recipe:
    """A recipe of a method with small networks: seconds on one core. ``blocks`` add to data, train and watch."""
    off = {"log_images": 0, "sheet_images": 0, "eval_images": 0, "save_images": 0}
    tree = {
        "method": method or small_config(name),
        "data": {"dataset": str(dataset), "size": SIZE, "jitter": 1.125, "workers": 0, **blocks.get("data", {})},
        "train": {"images": images, **blocks.get("train", {})},
        "watch": {**off, **blocks.get("watch", {})},
    }
    return build(tree, Source("small recipe"))


def small_method(name: str) -> Method:
    cls = METHODS[name]
    classes = 3 if cls.reads in (Labelled, Images) else 0
    return cls(cls.Config.model_validate(small_config(name)), Task(size=(SIZE, SIZE), classes=classes))


def train_small(out: Path, wanted: Recipe) -> Path:
    """Train by a recipe, without a word."""
    return training._run(lambda: new(out, "unused"), wanted, False, None, quiet=True)


def train_in_two_processes(wanted: Recipe, out: Path) -> None:
    """The same by two processes of torchrun, a thread each."""
    wanted.write(out.with_suffix(".yaml"))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "i2i",
        "train", str(out.with_suffix(".yaml")), "--out", str(out),
    ]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]


def steps(trainer: Trainer, first: int, last: int) -> None:
    """Those of a training with batches of two, from its step ``first`` on."""
    batches = loader(trainer.dataset, batch=2, start=2 * first)
    for _, batch in zip(range(first, last), batches, strict=False):
        trainer.step(batch)
        trainer.images, trainer.steps = trainer.images + 2, trainer.steps + 1


FOLDERS = {Pair: "pairs", Unpaired: "domains", Reduced: "pictures", Labelled: "digits", Images: "digits"}
"""The fixture that holds data of a batch type."""

"""Optional trackers beside the log that is always written: TensorBoard and Weights & Biases.

A tracker is a convenience and may never cost a training: one that fails says so in one line and is switched off.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from i2i.errors import MissingExtra, UsageError, did_you_mean


class Tracker(Protocol):
    """What a tracker can do. Any exception is allowed."""

    def losses(self, images: int, values: Mapping[str, float]) -> None: ...
    def sheet(self, images: int, path: Path) -> None: ...
    def close(self) -> None: ...


class TensorBoard:
    """Event files in ``<run>/tensorboard``; look at them with ``tensorboard --logdir runs``."""

    def __init__(self, run: Path, recipe: dict[str, Any], images: int):
        from torch.utils.tensorboard import SummaryWriter

        # Training resumed at `images` draws its curves once more from there: TensorBoard hides the old points.
        self.writer = SummaryWriter(log_dir=str(run / "tensorboard"), purge_step=images + 1 if images else None)

    def losses(self, images: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, images)

    def sheet(self, images: int, path: Path) -> None:
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            self.writer.add_image("sheet", np.asarray(picture.convert("RGB")), images, dataformats="HWC")
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class Wandb:
    """A Weights & Biases run. WANDB_MODE, WANDB_PROJECT and the other variables of wandb decide where it goes."""

    def __init__(self, run: Path, recipe: dict[str, Any], images: int):
        import wandb

        note = run / "wandb-id"  # the same run goes on after a resume
        if not note.is_file():
            note.write_text(uuid.uuid4().hex[:12] + "\n", encoding="utf-8")
        self.wandb = wandb
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "i2i"),
            name=run.resolve().name,
            id=note.read_text(encoding="utf-8").strip(),
            resume="allow",
            dir=str(run),
            config=recipe,
        )
        # Its own step may never go back, which a resume does: images are the axis instead.
        self.run.define_metric("*", step_metric="images")

    def losses(self, images: int, values: Mapping[str, float]) -> None:
        self.run.log({**values, "images": images})

    def sheet(self, images: int, path: Path) -> None:
        self.run.log({"sheet": self.wandb.Image(str(path)), "images": images})

    def close(self) -> None:
        self.run.finish()


class Trackers:
    """All trackers of a training, as one that never fails."""

    def __init__(self, trackers: Mapping[str, Tracker], warn: Callable[[str], None]):
        self.active = dict(trackers)
        self._warn = warn

    def losses(self, images: int, values: Mapping[str, Any]) -> None:
        """Log the numbers among ``values`` (nested mappings become ``lr/G``); what is not a number is left out."""
        numbers = dict(_numbers(values))
        self._each(lambda t: t.losses(images, numbers))

    def sheet(self, images: int, path: Path) -> None:
        """Log a sample sheet, a picture file."""
        self._each(lambda t: t.sheet(images, path))

    def close(self) -> None:
        self._each(lambda t: t.close())
        self.active.clear()

    def _each(self, do: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.active.items()):
            try:
                do(tracker)
            except Exception as e:
                del self.active[name]
                self._warn(_trouble(name, e))


KNOWN: dict[str, tuple[type, tuple[str, ...]]] = {
    "tensorboard": (TensorBoard, ("tensorboard", "torch")),
    "wandb": (Wandb, ("wandb",)),
}


def open_trackers(
    names: Sequence[str],
    run: Path,
    recipe: dict[str, Any],
    images: int = 0,
    warn: Callable[[str], None] | None = None,
) -> Trackers:
    """Open the named trackers for a run that starts (or is resumed) at ``images``.

    ``warn`` gets the one line about a tracker that failed; by default it goes to stderr.

    Raises:
        UsageError: a name that is not known.
        MissingExtra: a tracker's package is not installed; said before any of them is opened.
    """
    for name in names:
        if name not in KNOWN:
            raise UsageError(f"tracker {name!r} is not known{did_you_mean(name, KNOWN)} (one of {', '.join(KNOWN)})")
        for package in KNOWN[name][1]:
            if find_spec(package) is None:
                raise MissingExtra(package, "train" if package == "torch" else name)
    say = warn or _to_stderr
    opened: dict[str, Tracker] = {}
    for name in dict.fromkeys(names):
        try:
            opened[name] = KNOWN[name][0](run, recipe, images)
        except Exception as e:
            say(_trouble(name, e))
    return Trackers(opened, say)


def _trouble(name: str, error: Exception) -> str:
    why = " ".join(str(error).split()) or type(error).__name__
    return f"{name} failed and is off from here, training goes on: {why[:200]}"


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and prefix + name != "images":
            yield prefix + name, value


def _to_stderr(line: str) -> None:
    from rich.console import Console

    Console(stderr=True).print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)

"""A run folder: its name, whose it is, and what lies in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from i2i import paths
from i2i.errors import UsageError
from i2i.ledger import try_lock

LOG, RECIPE, LOCK = "log.jsonl", "recipe.yaml", ".lock"


def new(out: str | Path | None, name: str) -> Path:
    """A run folder that is nobody else's: ``out``, or ``runs/<name>`` with the first free number.

    Raises:
        UsageError: ``out`` is taken. What a start left behind that never came to a checkpoint is not in the way.
    """
    if out is not None:
        return _given(Path(out))
    for number in count(1):
        run = paths.runs() / (name if number == 1 else f"{name}-{number}")
        try:
            run.mkdir(parents=True)
        except FileExistsError:
            continue
        break
    return run


def _given(run: Path) -> Path:
    if run.exists() and (not run.is_dir() or any(p.name != LOCK for p in run.iterdir())):
        if not (run / RECIPE).is_file():
            raise UsageError(f"{run}: exists and is not empty: choose another --out")
        if checkpoints(run):
            go_on = f"i2i train --resume {run} goes on with it"
            raise UsageError(f"{run}: exists and is not empty: {go_on}, or choose another --out")
    run.mkdir(parents=True, exist_ok=True)
    return run


@contextmanager
def claimed(run: Path) -> Iterator[None]:
    """One training at a time in a run folder; the lock goes with the process that holds it.

    Raises:
        UsageError: another process trains in it.
    """
    with (run / LOCK).open("a+b") as handle:
        if not try_lock(handle):
            raise UsageError(f"{run}: another process is training this run: stop it first, or choose another --out")
        if hasattr(os, "register_at_fork"):
            # Workers that read pictures outlive a killed training by some seconds: the lock must not be theirs as well.
            os.register_at_fork(after_in_child=handle.close)
        yield


def checkpoint_of(run: Path, images: int) -> Path:
    """Where the checkpoint after so many images lies."""
    return run / "checkpoints" / f"{images:08d}"


def checkpoints(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    found = [p for p in (run / "checkpoints").glob("*") if p.name.isdigit() and p.is_dir()]
    return sorted(found, key=lambda p: int(p.name))

"""The table of the zoo: every method that draws pictures, at equal steps of the generator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from i2i import recipe
from i2i.compare import Comparison, Row
from i2i.errors import UsageError, did_you_mean
from i2i.methods import METHODS
from i2i.zoo.base import Drawing

BATCH = 64
DIGITS = "mnist"  # the data set that every one of them has a recipe for


def methods() -> list[str]:
    """Those with a recipe for MNIST, in the order of the table of methods."""
    packaged = recipe.names()
    return [n for n, m in METHODS.items() if issubclass(m, Drawing) and f"{n}-{DIGITS}" in packaged]


def comparison(dataset: str, images: int, names: Sequence[str] = ()) -> Comparison:
    """Each method by its recipe for MNIST, on ``dataset``, for ``images`` / 64 steps of its generator.

    Raises:
        UsageError: no such method.
    """
    known = methods()
    for name in names:
        if name not in known:
            raise UsageError(f"no method {name!r} in the zoo{did_you_mean(name, known)} (one of {', '.join(known)})")
    steps = images // BATCH
    return Comparison(
        about=f"The zoo · {Path(dataset).name}, {steps:,} steps of every generator, {BATCH} pictures each",
        dataset=dataset, seeds=(0,), steps=steps, evaluations=min(10, steps),
        set={
            "data.batch": BATCH, "data.workers": 0, "watch.log_images": 6400, "watch.sheet_images": 0,
            "watch.eval_count": 2000,
        },
        rows={name: Row(train=f"{name}-{DIGITS}") for name in names or known},
    )  # fmt: skip

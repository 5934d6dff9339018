"""Every error that i2i raises on purpose.

    I2IError                  one clear line: what is wrong, where, and the way out
    ├── UsageError            a command or an argument that makes no sense
    ├── RecipeError           a recipe or an override: unknown key, wrong value
    ├── DataError             pictures and data sets: missing, corrupt, layout not recognised
    │   └── CardError         a data set card
    ├── FetchError            downloads and uploads: no answer, wrong checksum, unsafe archive
    ├── ModelError            trained models: not found, damaged, not fitting
    │   └── SizeError         a network that cannot be made for pictures of this size
    ├── TrainingError         a training that cannot start, go on or be resumed
    │   └── NotFinite         a loss or a weight is not a number any more
    └── MissingExtra          a package of an optional extra is not installed

The command line prints the message and leaves with exit code 2. Anything else that escapes is a defect of i2i.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class I2IError(Exception):
    """Base of all: its text is meant for the user and complete by itself."""


class UsageError(I2IError):
    """A command or an argument that makes no sense."""


class RecipeError(I2IError):
    """A recipe or an override that is not valid."""


class DataError(I2IError):
    """Pictures or data sets that cannot be used."""


class CardError(DataError):
    """A data set card that is not valid or not known."""


class FetchError(I2IError):
    """A download or an upload that failed, or a download that is not to be trusted."""


class ModelError(I2IError):
    """A trained model that cannot be found, read or used so."""


class SizeError(ModelError):
    """A network that cannot be made for pictures of this size."""


class TrainingError(I2IError):
    """A training that cannot start, go on or be resumed."""


class NotFinite(TrainingError):
    """A loss or a weight is not finite."""


class MissingExtra(I2IError):
    """A package of an optional extra is needed and not installed."""

    def __init__(self, package: str, extra: str):
        super().__init__(f"this needs {package}, which is not installed: pip install 'i2i-toolkit[{extra}]'")


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports that need the packages of ``extra``; a module of i2i itself that is missing stays a defect.

    Raises:
        MissingExtra: one of them is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as e:
        if e.name and e.name.startswith("i2i"):
            raise
        raise MissingExtra(e.name or "torch", extra) from e


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """``'; did you mean 'cyclegan'?'`` for the nearest known word, or an empty string when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""

"""Where things lie: packaged data, the cache of downloads, the folder of runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from i2i.errors import UsageError

PACKAGE = Path(__file__).resolve().parent


def user_path(text: str | Path) -> Path:
    """A path as somebody wrote it, ``~`` and ``~name`` made full.

    Raises:
        UsageError: there is no such user, or the user has no home folder.
    """
    path = Path(text)
    try:
        return path.expanduser()
    except RuntimeError as e:
        raise UsageError(f"{text}: no home folder is known for {path.parts[0]}: write the path in full") from e


def is_file(path: Path) -> bool:
    """Whether it is a file; a name that the system refuses, such as one of 300 letters, is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_dir(path: Path) -> bool:
    """Whether it is a folder; a name that the system refuses is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether anything is there; a name that the system refuses is not."""
    try:
        return path.exists()
    except OSError:
        return False


def data(kind: str) -> Path:
    """The folder ``datasets``, ``recipes`` or ``export`` that belongs to this very code.

    A source checkout (also an editable install) has them beside the package; a wheel carries them inside as ``_data``.
    """
    beside = PACKAGE.parent / kind
    if (PACKAGE.parent / "pyproject.toml").is_file() and beside.is_dir():
        return beside
    return PACKAGE / "_data" / kind


def cache() -> Path:
    """Downloads and data sets: ``$I2I_CACHE``, else the platform's cache folder for i2i. Not created here."""
    if explicit := os.environ.get("I2I_CACHE"):
        return user_path(explicit)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "i2i"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/i2i"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "i2i"


def runs() -> Path:
    """Where trainings go when no ``--out`` is given: ``$I2I_RUNS``, else ``./runs``."""
    return user_path(os.environ.get("I2I_RUNS") or "runs")


def models() -> Path:
    """Where imported and downloaded models are kept."""
    return cache() / "models"

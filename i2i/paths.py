"""Where things lie: packaged data, the cache of downloads, the folder of runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


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
        return Path(explicit).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData/Local") / "i2i"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/i2i"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "i2i"


def runs() -> Path:
    """Where trainings go when no ``--out`` is given: ``$I2I_RUNS``, else ``./runs``."""
    return Path(os.environ.get("I2I_RUNS") or "runs").expanduser()


def models() -> Path:
    """Where imported and downloaded models are kept."""
    return cache() / "models"

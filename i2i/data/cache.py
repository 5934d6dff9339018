"""Decoded pictures in a temporary file that all workers of a process share through the operating system's page cache.

Whoever decodes a picture first writes it in; then nobody decodes it again. The file holds one flag byte per picture and
after them the pictures. It is written with ordinary writes, not through the mapping: a full disk is then an error that
can be caught, not a SIGBUS, and the flag cannot overtake the pixels.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from i2i import paths

try:
    import fcntl
except ImportError:  # Windows, which refuses to delete a file that is open: there an orphan is what can be deleted
    fcntl = None  # type: ignore[assignment]

_SUFFIX = ".pictures"


class DecodedCache:
    """A place for pictures of known shapes; as many as fit into ``limit`` bytes, the first ones first.

    Picklable and safe to fork: every process opens the file by its path when it first needs it. The process that made
    it removes it (at the end, or when the object is collected); what a killed process left is removed by the next one.

    Args:
        shapes: of all pictures, uint8.
        limit: bytes on disk, and never more than a quarter of what is free there (a data set has two sides); 0 makes no
            file and keeps nothing.
        folder: where; default is ``decoded`` in the cache of i2i, or the system's temporary folder.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], limit: int, folder: Path | None = None):
        self.path: Path | None = None
        self._shapes = shapes
        self._offsets = np.cumsum([0, *map(prod, shapes)], dtype=np.int64) + len(shapes)
        self.kept = 0
        self._bytes: np.ndarray | None = None
        if limit > len(shapes) > 0:
            with contextlib.suppress(OSError):  # no folder to write to, or no room: everything is decoded each time
                self._create(limit, folder or _folder())

    def _create(self, limit: int, folder: Path) -> None:
        sweep(folder)
        limit = min(limit, shutil.disk_usage(folder).free // 4)
        kept = int(np.searchsorted(self._offsets[1:], limit, side="right"))
        if not kept:
            return
        name = uuid.uuid4().hex
        fresh, path = folder / f"{name}.new", folder / f"{name}{_SUFFIX}"
        file = fresh.open("w+b", buffering=0)
        try:
            file.truncate(int(self._offsets[kept]))  # sparse: takes room only as pictures come in
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # tells sweep that the owner lives
                fresh.rename(path)  # only now, or a sweep could come between
            else:
                file.close()
                fresh.rename(path)
                file = path.open("r+b", buffering=0)
        except OSError:
            file.close()
            fresh.unlink(missing_ok=True)
            raise
        self.path, self.kept = path, kept
        weakref.finalize(self, _remove, file, path, os.getpid())

    def get(self, i: int) -> np.ndarray | None:
        """Picture ``i``, read-only uint8, or None when it is not there (yet)."""
        if i >= self.kept or not self._bytes_of(i, i + 1)[0]:
            return None
        return self._bytes_of(self._offsets[i], self._offsets[i + 1]).reshape(self._shapes[i])

    def put(self, i: int, picture: np.ndarray) -> None:
        """Keep picture ``i`` for everybody; a picture of another shape than announced is left out."""
        if i >= self.kept or self.path is None or picture.shape != tuple(self._shapes[i]):
            return
        try:
            with self.path.open("r+b") as file:
                file.seek(self._offsets[i])
                file.write(picture.tobytes())
                file.flush()
                file.seek(i)
                file.write(b"\1")
        except OSError:  # the disk is full, or the file was removed: go on without
            self.kept = 0

    def _bytes_of(self, first: int, last: int) -> np.ndarray:
        if self._bytes is None and self.path is not None:
            try:
                self._bytes = np.memmap(self.path, np.uint8, "r")
            except OSError:  # removed under us
                self.kept = 0
        return np.zeros(1, np.uint8) if self._bytes is None else self._bytes[first:last]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_bytes": None}


def _remove(file: BinaryIO, path: Path, pid: int) -> None:
    file.close()
    if pid == os.getpid():
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _folder() -> Path:
    for folder in (paths.cache() / "decoded", Path(tempfile.gettempdir()) / "i2i-decoded"):
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    raise OSError("no folder to write to")


def sweep(folder: Path) -> None:
    """Remove the cache files in ``folder`` whose process lives no more."""
    for path in folder.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            if fcntl:
                with path.open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # refused while its owner lives
                    path.unlink(missing_ok=True)
            else:
                path.unlink(missing_ok=True)

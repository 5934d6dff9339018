"""What pictures lie in a folder and below it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from i2i.data import pictures
from i2i.errors import DataError


@dataclass
class Folder:
    """A folder as found: its own pictures, and the folders in it that have any, all naturally sorted.

    ``others`` counts the suffixes of files, here and below, that are no pictures.
    """

    path: Path
    own: list[Path] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)

    def all(self) -> tuple[Path, ...]:
        """Every picture here and below."""
        return tuple(sorted(self._walk(), key=natural))

    def _walk(self) -> Iterator[Path]:
        yield from self.own
        for folder in self.folders:
            yield from folder._walk()

    def named(self, *names: str) -> list[Folder]:
        """The folders in it that have one of these (lower-case) names, in any case."""
        return [f for f in self.folders if f.path.name.lower() in names]

    def by_name(self) -> tuple[dict[str, Path], list[Path]]:
        """Every picture by its path in here without suffix; and those whose name was there already."""
        found: dict[str, Path] = {}
        twice = []
        for path in self.all():
            name = path.relative_to(self.path).with_suffix("").as_posix()
            if name in found:
                twice.append(path)
            else:
                found[name] = path
        return found, twice


def natural(path: Path) -> tuple[list[str | int], str]:
    """Sort key: numbers in names count as numbers (2 before 10), letters without case."""
    text = path.as_posix()
    parts = re.split("([0-9]+)", text.lower())  # text and digits in turns, so like is compared with like
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], text


def scan(path: Path) -> Folder:
    """The pictures in a folder and below it: without hidden files and ``__MACOSX``, links followed but not in circles.

    Raises:
        DataError: a folder cannot be read.
    """
    return _scan(path, frozenset())


def _scan(path: Path, above: frozenset[Path]) -> Folder:
    folder = Folder(path)
    above |= {path.resolve()}
    try:
        entries = list(os.scandir(path))  # knows what is a folder without asking the disk for each file
    except OSError as e:
        raise DataError(f"{path}: the folder cannot be read ({e.strerror})") from e
    for entry in entries:
        if entry.name.startswith(".") or entry.name == "__MACOSX":
            continue
        here = path / entry.name
        if entry.is_dir():
            if entry.is_symlink() and here.resolve() in above:
                continue
            inner = _scan(here, above)
            folder.others += inner.others
            if inner.own or inner.folders:
                folder.folders.append(inner)
        elif here.suffix.lower() in pictures.SUFFIXES:
            folder.own.append(here)
        else:
            folder.others[here.suffix.lower() or here.name] += 1
    folder.own.sort(key=natural)
    folder.folders.sort(key=lambda f: natural(f.path))
    return folder


def sketch(top: Folder, root: Path, most: int = 12) -> list[str]:
    """A line for each folder with pictures of its own, with their number and an example; ``most`` lines at most."""
    lines = []
    queue = [top]
    while queue:
        folder = queue.pop(0)
        if folder.own:
            where = folder.path.relative_to(root).as_posix() + "/"
            lines.append(f"{where:<28} {some(len(folder.own))}, like {folder.own[0].name}")
        queue = folder.folders + queue
    return lines if len(lines) <= most else [*lines[: most - 1], f"... and {len(lines) - most + 1} more folders"]


def some(n: int) -> str:
    """``1 picture``, ``2 pictures``."""
    return "1 picture" if n == 1 else f"{n} pictures"

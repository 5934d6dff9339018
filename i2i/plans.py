"""Which pictures are to be translated, and where each result goes: decided before any work is done."""

from __future__ import annotations

import string
from collections.abc import Iterable
from pathlib import Path

from i2i import clips, writing
from i2i.errors import UsageError, did_you_mean
from i2i.own import SUFFIXES
from i2i.paths import exists, is_dir, is_file

FIELDS = ("stem", "model", "direction")
NAME = "{stem}"
ROWS = 8  # pictures on a before/after page

Job = tuple[Path, Path]  # from, to


def collect(paths: list[Path], out: Path, recursive: bool = True) -> tuple[list[Job], list[str]]:
    """The pictures in ``paths``, each once, with its place below ``out`` (with its suffix); and what is not there."""
    found: dict[Path, Job] = {}
    failed = []
    several = sum(map(is_dir, paths)) > 1
    for path in paths:
        if is_dir(path):
            prefix = Path(path.resolve().name) if several else Path()
            members = [(file, prefix / file.relative_to(path)) for file in pictures_below(path, out, recursive)]
            if not members:
                failed.append(f"{path}: no pictures in this folder (looked for {', '.join(sorted(SUFFIXES))})")
        elif is_file(path):
            members = [(path, Path(path.name))]
        else:
            members, problem = [], "no such file or folder"
            try:
                members = [(file, Path(file.name)) for file in sorted(matches(path)) if file.is_file()]
            except (ValueError, OSError) as e:  # a pattern such as odd/**.png, a folder with a name of 300 letters
                problem += f" ({getattr(e, 'strerror', None) or e})"
            if not members:
                failed.append(f"{path}: {problem}")
        for file, place in members:
            found.setdefault(file.resolve(), (file, place))
    return list(found.values()), failed


def pictures_below(folder: Path, out: Path, recursive: bool) -> list[Path]:
    """All pictures in a folder (and its folders), but hidden ones and earlier results in ``out``."""
    inside = out.resolve() if folder.resolve() in out.resolve().parents else None
    return sorted(
        file
        for file in folder.glob("**/*" if recursive else "*")
        if file.suffix.lower() in SUFFIXES | clips.SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and not (inside and inside in file.resolve().parents)
        and file.is_file()
    )


def matches(pattern: Path) -> Iterable[Path]:
    """The files of a pattern that the shell left as it is (Windows shells do)."""
    if not any(mark in str(pattern) for mark in "*?["):
        return []
    return Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))


def plan(
    found: list[Job], out: Path, format: str | None, sheet: bool, name: str = NAME, facts: dict[str, str] | None = None
) -> tuple[list[Job], list[Path]]:
    """Where each result goes, no two to one place; and the pages of the before/after sheet.

    ``name`` is the pattern of the results' names, ``facts`` what its fields stand for, but for ``stem``.

    Raises:
        UsageError: one file for several pictures, or a file where a folder is needed.
    """
    if out.suffix.lower() in {*writing.FORMATS, *clips.TARGETS} and not is_dir(out):
        if len(found) > 1:
            raise UsageError(f"{out}: {len(found)} pictures do not fit into one file: give a folder")
        return [(found[0][0], out)], [out.with_name(f"{out.stem}-before-after.png")] if sheet else []
    if exists(out) and not is_dir(out):
        raise UsageError(f"{out}: is a file, not a folder")
    suffixes = [clips.suffix(source, format) for source, _ in found]
    still = suffixes.count(None)
    pages = [out / f"before-after-{i + 1:03}.png" for i in range(-(-still // ROWS) if sheet else 0)]
    taken = {str(page).casefold() for page in pages}  # some file systems do not tell A from a
    jobs = []
    for (source, place), suffix in zip(found, suffixes, strict=True):
        stem, suffix = name.format(stem=place.stem, **(facts or {})), suffix or f".{format or 'png'}"
        number, target = 1, out / place.with_name(f"{stem}{suffix}")
        while str(target).casefold() in taken:
            number += 1
            target = target.with_name(f"{stem}-{number}{suffix}")
        taken.add(str(target).casefold())
        jobs.append((source, target))
    return jobs, pages


def check_name(name: str) -> None:
    """
    Raises:
        UsageError: not a pattern for names of files.
    """
    try:
        parts = list(string.Formatter().parse(name))
    except ValueError as e:
        raise UsageError(f"name {name!r}: {e}: fields look like {{stem}}") from e
    for _, field, spec, conversion in parts:
        if field is not None and (field not in FIELDS or spec or conversion):
            known = ", ".join(f"{{{f}}}" for f in FIELDS)
            raise UsageError(
                f"name {name!r}: unknown field {{{field}}}{did_you_mean(field, FIELDS)} (known: {known}; the suffix "
                "is added)"
            )
    if "/" in name or "\\" in name or not name.strip(". "):
        raise UsageError(f"name {name!r}: the name of a file is wanted, such as '{{stem}}_{{model}}'; --out says where")


def refuse_losses(jobs: list[Job], pages: list[Path], inputs: list[Path], overwrite: bool) -> None:
    """
    Raises:
        UsageError: a result would overwrite an input, or, unless ``overwrite``, anything else.
    """
    known = {(s.st_dev, s.st_ino) for s in (source.stat() for source in inputs if exists(source))}
    there = [path for path in (*(target for _, target in jobs), *pages) if exists(path)]
    for path in there:
        if (path.stat().st_dev, path.stat().st_ino) in known:
            raise UsageError(
                f"{path}: is one of the pictures to translate, it would be overwritten: choose another --out"
            )
    refuse_there(there, overwrite, "--skip-existing or --overwrite")


def refuse_there(there: list[Path], overwrite: bool, ways: str = "--overwrite") -> None:
    """
    Raises:
        UsageError: unless ``overwrite``: something is there; ``ways`` out are told.
    """
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise UsageError(f"{there[0]}: exists already{more}: choose another --out, or say {ways}")


def is_done(target: Path) -> bool:
    """Whether a result is there. Results come whole or not at all; an empty one is what a power cut can leave."""
    try:
        return target.stat().st_size > 0
    except OSError:
        return False

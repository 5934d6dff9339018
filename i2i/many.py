"""Translates files and folders: all of them, each once, nothing overwritten, and a bad picture stops no others."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from i2i import clips, masks, sheets, writing
from i2i.data import pictures
from i2i.errors import DataError, I2IError, UsageError, did_you_mean
from i2i.paths import exists, is_dir, is_file
from i2i.transfer import Progress as Stages

if TYPE_CHECKING:
    from i2i.translator import Translator

FORMATS = ("png", "jpg", "webp", "tiff")
ROWS, THUMB = 8, 256  # of a before/after page: pictures on it, pixels of their longer side at most

Job = tuple[Path, Path]  # from, to
Progress = Callable[[int, int, Path], None]
"""Called after each picture: how many are finished, how many there are, the one just finished."""


@dataclass
class Outcome:
    """What became of the pictures. ``failed`` says why, in one line each that names the file."""

    done: list[Job] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    sheets: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what is worth saying about clips


def translate_many(
    translator: Translator,
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    format: str | None = None,
    resize: int | None = None,
    mask: str | Path | None = None,
    box: masks.Box | None = None,
    sheet: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    frames: Stages | None = None,
) -> Outcome:
    """Translates all pictures and clips in ``paths``: files, folders with all below them, patterns like ``new/*.jpg``.

    Results are ``out/<stem>.<format>`` (png when None). The tree below a folder is kept; several folders keep their
    own names in ``out`` too; names that would still collide get a number (``x-2.png``). For one single file ``out`` may
    be a file name.
    ``mask`` and ``box`` are those of ``Translator``, the same for all pictures.
    Clips stay what they are, see ``i2i.clips``; ``frames`` is told how far one is.
    ``sheet`` adds pages with each still picture beside its translation: ``before-after-001.png``.

    Raises:
        UsageError: before anything is done: no pictures, an unknown format, a result that exists or is an input,
            nothing can be written to ``out``, or a mask or box for a model that takes none.
        DataError: before anything is done: the mask cannot be read.
    """
    translator.check(mask, box)
    marked = None if mask is None else masks.read_mask(mask)
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown format {format!r}{did_you_mean(format, FORMATS)} (one of {', '.join(FORMATS)})")
    outcome, out = Outcome(), Path(out)
    found, outcome.failed = collect([Path(p) for p in paths], out)
    if not found:
        raise UsageError("nothing to translate: " + ("; ".join(outcome.failed) or "no files or folders were given"))
    jobs, pages = plan(found, out, format, sheet)
    refuse_losses(jobs, pages, overwrite)
    make_place(out if jobs[0][1] != out else out.parent)

    def call(picture: Any) -> Any:
        return translator(picture, resize=resize, mask=marked, box=box)

    still: list[Job] = []
    moving: list[Job] = []
    for job in jobs:
        (moving if clips.is_clip(*job) else still).append(job)
    blank = iter(pages)
    rows: list[list[np.ndarray]] = []
    for number, (job, after) in enumerate(translated(call, still, translator.engine.batch), start=1):
        source, target = job
        try:
            if isinstance(after, I2IError):
                raise after
            put(after, target)
            outcome.done.append(job)
            if sheet:
                with pictures.opened(source) as before:
                    rows.append([thumb(before), thumb(after)])
        except I2IError as e:
            why = str(e)
            outcome.failed.append(why if str(source) in why or str(target) in why else f"{source}: {why}")
        if rows and (len(rows) == ROWS or number == len(still)):
            page = next(blank)
            try:
                put(before_after(rows, translator), page)
                outcome.sheets.append(page)
            except I2IError as e:
                outcome.failed.append(str(e))
            rows = []
        if progress:
            progress(number, len(jobs), source)
    for number, (source, target) in enumerate(moving, start=len(still) + 1):
        try:
            outcome.notes += clips.translate_clip(translator, source, target, call, frames)
            outcome.done.append((source, target))
        except I2IError as e:
            why = str(e)
            outcome.failed.append(why if str(source) in why or str(target) in why else f"{source}: {why}")
        if progress:
            progress(number, len(jobs), source)
    return outcome


def make_place(folder: Path) -> None:
    """Makes the folder of the results, and writes to it, before any work is done.

    Raises:
        UsageError: it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as e:
        why = "it is a file" if isinstance(e, FileExistsError) else e.strerror
        raise UsageError(f"{folder}: nothing can be written there ({why}): choose another --out") from e


def put(image: Image.Image, target: Path) -> None:
    """
    Raises:
        DataError: it cannot be written; names ``target``.
    """
    try:
        writing.save(image, target)
    except OSError as e:
        raise DataError(f"{target}: cannot be written ({e.strerror or e})") from e


def translated(call: Callable[[Any], Any], jobs: list[Job], size: int) -> Iterator[tuple[Job, Image.Image | I2IError]]:
    """Each job with its translation, or with the error that stopped it; in groups of ``size``, which the engine can
    stack."""
    for start in range(0, len(jobs), size):
        group = jobs[start : start + size]
        results = attempt(call, [source for source, _ in group])
        if isinstance(results, I2IError):  # one is unreadable, or they are too large together: each by itself
            results = [attempt(call, source) for source, _ in group] if len(group) > 1 else [results]
        yield from zip(group, results, strict=True)


def attempt(call: Callable[[Any], Any], picture: Any) -> Any:
    try:
        return call(picture)
    except I2IError as e:
        return e


def collect(paths: list[Path], out: Path) -> tuple[list[tuple[Path, Path]], list[str]]:
    """The pictures in ``paths``, each once, with its place below ``out`` (with its suffix); and what is not there."""
    found: dict[Path, tuple[Path, Path]] = {}
    failed = []
    several = sum(map(is_dir, paths)) > 1
    for path in paths:
        if is_dir(path):
            prefix = Path(path.resolve().name) if several else Path()
            members = [(file, prefix / file.relative_to(path)) for file in pictures_below(path, out)]
            if not members:
                failed.append(f"{path}: no pictures in this folder (looked for {', '.join(sorted(pictures.SUFFIXES))})")
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


def pictures_below(folder: Path, out: Path) -> list[Path]:
    """All pictures in a folder and its folders, but hidden ones and earlier results in ``out``."""
    inside = out.resolve() if folder.resolve() in out.resolve().parents else None
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in pictures.SUFFIXES | clips.SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and not (inside and inside in file.resolve().parents)
        and file.is_file()
    )


def matches(pattern: Path) -> Iterable[Path]:
    """The files of a pattern that the shell left as it is (Windows shells do)."""
    if not any(mark in str(pattern) for mark in "*?["):
        return []
    return Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor)))


def plan(found: list[tuple[Path, Path]], out: Path, format: str | None, sheet: bool) -> tuple[list[Job], list[Path]]:
    """Where each result goes, no two to one place; and the pages of the before/after sheet."""
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
        target = first = out / place.with_suffix(suffix or f".{format or 'png'}")
        number = 1
        while str(target).casefold() in taken:
            number += 1
            target = first.with_stem(f"{first.stem}-{number}")
        taken.add(str(target).casefold())
        jobs.append((source, target))
    return jobs, pages


def refuse_losses(jobs: list[Job], pages: list[Path], overwrite: bool) -> None:
    """
    Raises:
        UsageError: a result would overwrite an input, or, unless ``overwrite``, anything else.
    """
    inputs = {(s.st_dev, s.st_ino) for s in (source.stat() for source, _ in jobs)}
    there = [path for path in (*(target for _, target in jobs), *pages) if exists(path)]
    for path in there:
        if (path.stat().st_dev, path.stat().st_ino) in inputs:
            raise UsageError(
                f"{path}: is one of the pictures to translate, it would be overwritten: choose another --out"
            )
    refuse_there(there, overwrite)


def refuse_there(there: list[Path], overwrite: bool) -> None:
    """
    Raises:
        UsageError: unless ``overwrite``: something is there.
    """
    if there and not overwrite:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise UsageError(f"{there[0]}: exists already{more}: choose another --out, or say --overwrite")


def thumb(image: Image.Image) -> np.ndarray:
    """A small RGB copy, alpha on white."""
    small = image.copy()
    small.thumbnail((THUMB, THUMB))
    return pictures.to_array(small, 3)


def before_after(rows: list[list[np.ndarray]], translator: Translator) -> Image.Image:
    info, product = translator.info, translator.product
    return sheets.sheet(rows, [product.source, product.target], f"{info.name} · {info.method} on {info.dataset}")

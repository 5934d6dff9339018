"""Translates files and folders: all of them, each once, nothing overwritten, and a bad picture stops no others."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from i2i import clips, masks, sheets, writing
from i2i.ahead import threads
from i2i.errors import I2IError, UsageError, did_you_mean
from i2i.own import Own
from i2i.paths import is_dir
from i2i.plans import NAME, ROWS, Job, check_name, collect, is_done, plan, refuse_losses
from i2i.stills import Done, finished, named, put, worked
from i2i.transfer import Progress as Stages

if TYPE_CHECKING:
    from i2i.translator import Translator

FORMATS = ("png", "jpg", "webp", "tiff", "bmp", "avif", "npy")
WORKERS = 4  # to encode takes long: where the network could do 40 pictures a second, 2 kept up with 13, 4 with 18

Progress = Callable[[int, int, Path], None]
"""Called after each picture: how many are finished, how many there are, the one just finished."""


@dataclass
class Outcome:
    """What became of the pictures. ``failed`` says why, in one line each that names the file."""

    done: list[Job] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    sheets: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what is worth saying about clips


def translate_many(
    translator: Translator,
    paths: Iterable[str | Path],
    out: str | Path,
    *,
    format: str | None = None,
    name: str = NAME,
    quality: int | None = None,
    recursive: bool = True,
    resize: int | None = None,
    mask: str | Path | None = None,
    box: masks.Box | None = None,
    sheet: bool = False,
    overwrite: bool = False,
    skip_existing: bool = False,
    workers: int = WORKERS,
    share: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
    frames: Stages | None = None,
) -> Outcome:
    """Translates all pictures and clips in ``paths``: files, folders with all below them, patterns like ``new/*.jpg``.

    Results are ``out/<name>.<format>`` (png when None). The tree below a folder is kept; several folders keep their
    own names in ``out`` too; names that would still collide get a number (``x-2.png``). For one single file ``out`` may
    be a file name. Each result is written whole or not at all, as deep as the picture where the format can hold it.
    Clips stay what they are, see ``i2i.clips``.

    Args:
        name: pattern of the results' names, with the fields {stem}, {model}, {direction}.
        quality: 1 to 100, of formats with losses; None loses hardly anything.
        recursive: also what is in the folders of a folder.
        mask, box: those of ``Translator``, the same for all pictures.
        sheet: adds pages with each still picture beside its translation: ``before-after-001.png``.
        skip_existing: leaves out pictures whose result is there: goes on with a call that was killed.
        workers: threads that read and write beside the network.
        share: (0, 4) does the first of four equal parts; processes with the others' numbers do theirs.
        frames: told how far a clip is.

    Raises:
        UsageError: before anything is done: no pictures, options that make no sense, a result that exists or is an
            input, nothing can be written to ``out``, or a mask or box for a model that takes none.
        DataError: before anything is done: the mask cannot be read.
    """
    translator.check(mask, box)
    marked = None if mask is None else masks.read_mask(mask)
    out, (rank, world) = Path(out), share
    check_options(out, format, name, quality, workers, share)
    if overwrite and skip_existing:
        raise UsageError("results that are there are either replaced or left: --overwrite or --skip-existing, not both")
    if sheet and (skip_existing or world > 1):
        raise UsageError("before/after pages show all pictures of one call: leave --sheet out where only some are done")
    found, missing = collect([Path(p) for p in paths], out, recursive)
    if not found:
        raise UsageError("nothing to translate: " + ("; ".join(missing) or "no files or folders were given"))
    facts = {"model": translator.info.name, "direction": translator.direction}
    jobs, pages = plan(found, out, format, sheet, name, facts)
    place, jobs = out if jobs[0][1] != out else out.parent, jobs[rank::world]
    refuse_losses(jobs, pages, [source for source, _ in found], overwrite or skip_existing)
    make_place(place)
    writing.sweep([*(target for _, target in jobs), *pages])
    outcome = Outcome(failed=missing if rank == 0 else [])
    outcome.skipped = [job for job in jobs if skip_existing and is_done(job[1])]
    left = set(outcome.skipped)
    jobs = [job for job in jobs if job not in left]

    def call(given: Any) -> Any:
        return translator(given, resize=resize, mask=marked, box=box)

    def write(job: Job, before: Own | I2IError, after: Own | I2IError) -> Done:
        return finished(job, before, after, quality, sheet)

    still: list[Job] = []
    moving: list[Job] = []
    for job in jobs:
        (moving if clips.is_clip(*job) else still).append(job)
    blank = iter(pages)
    rows: list[list[np.ndarray]] = []
    with threads(workers) as pool:
        done = worked(pool, call, write, still, translator.engine.batch, workers)
        for number, (job, why, thumbs) in enumerate(done, start=1):
            if why:
                outcome.failed.append(why)
            else:
                outcome.done.append(job)
            if thumbs:
                rows.append(thumbs)
            if rows and (len(rows) == ROWS or number == len(still)):
                page = next(blank)
                try:
                    put(before_after(rows, translator), page)
                    outcome.sheets.append(page)
                except I2IError as e:
                    outcome.failed.append(str(e))
                rows = []
            if progress:
                progress(number, len(jobs), job[0])
    for number, job in enumerate(moving, start=len(still) + 1):
        try:
            outcome.notes += clips.translate_clip(translator, *job, call, frames, quality)
            outcome.done.append(job)
        except I2IError as e:
            outcome.failed.append(named(job, e))
        if progress:
            progress(number, len(jobs), job[0])
    return outcome


def check_options(
    out: Path, format: str | None, name: str, quality: int | None, workers: int, share: tuple[int, int]
) -> None:
    """
    Raises:
        UsageError: no such format, name, quality, number of workers or share.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"unknown format {format!r}{did_you_mean(format, FORMATS)} (one of {', '.join(FORMATS)})")
    suffix, what = f".{format or 'png'}", f"format {format or 'png'}"
    if out.suffix.lower() in writing.FORMATS and not is_dir(out):
        if format and writing.FORMATS[suffix] != writing.FORMATS[out.suffix.lower()]:
            raise UsageError(f"{out}: is not of the format {format}: leave one of the two out")
        suffix, what = out.suffix, str(out)
    writing.check(suffix, what, quality)
    check_name(name)
    if workers < 1:
        raise UsageError(f"workers {workers}: 1 or more read and write beside the network")
    if not 0 <= share[0] < share[1]:
        raise UsageError(f"share {share}: the number of a part, from 0, and how many parts there are")


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


def before_after(rows: list[list[np.ndarray]], translator: Translator) -> Image.Image:
    info, product = translator.info, translator.product
    return sheets.sheet(rows, [product.source, product.target], f"{info.name} · {info.method} on {info.dataset}")

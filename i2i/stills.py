"""Still pictures through a network: read and written by threads beside it, so many at once as the memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from i2i import own, writing
from i2i.ahead import Behind, ahead
from i2i.data import pictures
from i2i.errors import DataError, I2IError
from i2i.own import Own
from i2i.plans import Job

THUMB = 256  # pixels of the longer side on a before/after page, at most
ROOM = 2**25  # pixels that are read and not yet translated; translated and not yet written
GROUP = 2**20  # pixels that are handed to the translator at once

Done = tuple[Job, str, list[np.ndarray]]
"""A job, why it failed, and its before and after for a page."""


def worked(
    pool: ThreadPoolExecutor,
    call: Callable[[Any], Any],
    write: Callable[[Job, Own | I2IError, Own | I2IError], Done],
    jobs: list[Job],
    batch: int,
    workers: int,
) -> Iterator[Done]:
    """Each job with what ``write`` made of it, in order. The network runs here, on groups of ``batch``, which the
    engine can stack; pictures are read and written beside it."""
    limit = batch + 2 * workers
    reading = ahead(pool, lambda job: attempt(own.read, job[0]), jobs, lambda job: weight(job[0]), limit, ROOM)
    written: Behind[Done] = Behind(pool, limit, ROOM)
    group: list[tuple[Job, Own | I2IError]] = []
    for number, (job, picture) in enumerate(reading, start=1):
        group.append((job, picture))
        if len(group) < batch and number < len(jobs) and sum(map(pixels_of, group)) < min(ROOM, GROUP):
            continue
        for one, before, after in translated(call, group):
            written.submit(pixels_of((one, after)), write, one, before, after)
        group = []
        yield from written.taken()
    yield from written.taken(all=True)


def weight(path: Path) -> int:
    """How many pixels a file says that it has; those of other kinds have no more than bytes."""
    try:
        height, width = pictures.size(path)
        return height * width
    except DataError:
        pass
    try:
        return path.stat().st_size
    except OSError:
        return 0


def pixels_of(entry: tuple[Job, Own | I2IError]) -> int:
    picture = entry[1]
    return picture.pixels.shape[0] * picture.pixels.shape[1] if isinstance(picture, Own) else 0


def translated(
    call: Callable[[Any], Any], group: list[tuple[Job, Own | I2IError]]
) -> Iterator[tuple[Job, Own | I2IError, Own | I2IError]]:
    """Each job with its picture and its translation, or with the error that stopped it."""
    readable = [picture for _, picture in group if isinstance(picture, Own)]
    together = attempt(call, readable)
    if isinstance(together, I2IError):  # one does not do, or they are too large together: each by itself
        together = [attempt(call, picture) for picture in readable] if len(readable) > 1 else [together]
    answers = iter(together)
    for job, picture in group:
        yield job, picture, next(answers) if isinstance(picture, Own) else picture


def attempt(function: Callable[[Any], Any], given: Any) -> Any:
    """What the function gives, or the error that stopped it."""
    try:
        return function(given)
    except I2IError as e:
        return e


def finished(job: Job, before: Own | I2IError, after: Own | I2IError, quality: int | None, sheet: bool) -> Done:
    """The job, done; or why not; and what a page shows of it."""
    try:
        if isinstance(after, I2IError):
            raise after
        put(after, job[1], quality)
        return job, "", [thumb(before), thumb(after)] if sheet and isinstance(before, Own) else []
    except I2IError as e:
        return job, named(job, e), []


def named(job: Job, error: I2IError) -> str:
    """One line that names the file."""
    why = str(error)
    return why if any(str(path) in why for path in job) else f"{job[0]}: {why}"


def put(image: Image.Image | Own, target: Path, quality: int | None = None) -> None:
    """
    Raises:
        DataError: it cannot be written; names ``target``.
    """
    try:
        writing.save(image, target, quality)
    except OSError as e:
        raise DataError(f"{target}: cannot be written ({e.strerror or e})") from e


def thumb(picture: Own) -> np.ndarray:
    """A small RGB copy, alpha on white."""
    small = picture.eight_bits()
    small.thumbnail((THUMB, THUMB))
    return pictures.to_array(small, 3)

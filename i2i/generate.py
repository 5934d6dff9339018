"""Draws pictures into files: one each, or all on one sheet. All of them come into being, or none."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from i2i import grids, writing
from i2i.errors import DataError, UsageError
from i2i.generator import Generator
from i2i.many import make_place
from i2i.paths import exists, is_dir
from i2i.plans import refuse_there
from i2i.stills import put

MOST = 1024  # pictures on one sheet
SHEET = "sheet.png"


def generate_many(
    generator: Generator,
    out: str | Path,
    count: int = 64,
    *,
    labels: int | Sequence[int] | None = None,
    seed: int | None = None,
    truncation: float | None = None,
    steps: int | None = None,
    mix: int | None = None,
    sheet: bool = False,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Draws ``count`` pictures: ``out/00000.png`` and so on, or ``out/sheet.png``; gives the folder or the one file.

    For one picture, or a sheet, ``out`` may be a file name.

    Args:
        labels, seed, truncation: see ``Generator``. Of several classes each picture has the next one; in a sheet each
            class has a row.
        steps: so many from each picture to the next, a way with stops: picture ``steps * i`` is the picture ``i`` of a
            call without. The class stays the same up to the next stop; a sheet has a row for each.
        mix: of a model with styles, a square of pictures: see ``Generator.mixed``.
        sheet: one picture of all of them.
        progress: told how many are drawn.

    Raises:
        UsageError: before anything is drawn: what the model does not know, or files that exist already.
        DataError: they cannot be written; none of them is left then.
    """
    out, each = Path(out), steps or 1
    if mix is not None and steps is not None:
        raise UsageError(f"mix {mix}: styles are mixed in a square, not on a way: leave mix or the steps out")
    if mix is not None:
        z = generator.mixed(count, mix, seed, truncation)
    elif steps is None:
        z = generator.latents(count, seed, truncation)
    else:
        z = generator.walk(count, steps, seed, truncation)
    asked = generator.labels(count, labels, each)
    if sheet and count > MOST:
        raise UsageError(f"{count} pictures are too many for one sheet ({MOST} at most): leave --sheet out for files")
    targets = places(out, [SHEET] if sheet else [f"{i:05}.png" for i in range(count)])
    refuse_there([path for path in targets if exists(path)], overwrite)
    folder = targets[0].parent
    make_place(folder)
    drawn = generator.pictures(z, asked, truncation)
    with tempfile.TemporaryDirectory(prefix=".drawing-", dir=folder) as aside:
        kept = []
        for number, picture in enumerate(drawn, start=1):
            if sheet:
                kept.append(picture)
            else:
                put(picture, Path(aside) / targets[number - 1].name)
            if progress:
                progress(number)
        if sheet:
            put(page(generator, kept, asked, steps, seed), Path(aside) / targets[0].name)
        for path in targets:
            try:
                (Path(aside) / path.name).replace(path)
            except OSError as e:
                raise DataError(f"{path}: cannot be written ({e.strerror})") from e
    return targets[0] if len(targets) == 1 else out


def places(out: Path, names: Sequence[str]) -> list[Path]:
    """Where pictures go: ``out`` itself for a single one if it is a file name, else files of these names in it.

    Raises:
        UsageError: one file for several pictures, or ``out`` is a file that no picture can be.
    """
    if out.suffix.lower() in writing.FORMATS and not is_dir(out):
        if len(names) > 1:
            raise UsageError(f"{out}: {len(names)} pictures do not fit into one file: give a folder, or say --sheet")
        return [out]
    if exists(out) and not is_dir(out):
        raise UsageError(f"{out}: is a file, not a folder")
    return [out / name for name in names]


def page(
    generator: Generator, drawn: Sequence[Image.Image], labels: np.ndarray | None, steps: int | None, seed: int | None
) -> Image.Image:
    """All on one sheet: a row for each stop of a way, else a row for each class if there are several, else a square."""
    info = generator.info
    classes = [] if labels is None else list(dict.fromkeys(labels.tolist()))
    if steps is not None:
        rows = [list(drawn[i : i + steps]) for i in range(0, len(drawn), steps)]
        names = ["" if labels is None else str(labels[i]) for i in range(0, len(drawn), steps)]
    elif labels is not None and len(classes) > 1:
        rows = [[p for p, label in zip(drawn, labels, strict=True) if label == c] for c in classes]
        names = [str(c) for c in classes]
    else:
        columns = math.ceil(math.sqrt(len(drawn)))
        rows = [list(drawn[i : i + columns]) for i in range(0, len(drawn), columns)]
        names = [""] * len(rows)
    facts = f"{info.method} on {info.dataset} · seed {generator.seed if seed is None else seed}"
    return grids.grid(rows, names, f"{info.name} · {facts}")


def read_labels(text: str) -> list[int]:
    """``"3"`` or ``"0,3,1"``.

    Raises:
        UsageError: something else.
    """
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise UsageError(f"--label {text!r}: a number, or several with commas between them, like 0,3") from None

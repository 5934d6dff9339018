"""Data sets from a mirror, the web or the user's own archive into the cache: checked, unpacked safely, all or nothing.

``<cache>/archives/<card>/`` keeps what was downloaded and ``sums.json``. ``<cache>/datasets/<card>/`` is the prepared
data set, put there by one rename at the very end, with a ``card.json`` inside that says what came from where.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from i2i import paths
from i2i.card import MARKER, MARKER_FORMAT, Card, File, is_ready, load, marker, prepared
from i2i.errors import DataError, FetchError
from i2i.ledger import Sums, lock, write_json
from i2i.obtain import Got, mirror_base, obtain, own_copy
from i2i.prepare import generate, inspect, original, prepare
from i2i.transfer import Progress

__all__ = ["Prepared", "Progress", "download", "is_ready"]


@dataclass(frozen=True)
class Prepared:
    """A data set that is ready: its folder, and what is worth telling (a count that is not the published one)."""

    folder: Path
    notes: list[str]


def download(
    card: Card,
    *,
    mirror: str | Path | None = None,
    strict: bool = False,
    from_file: Path | str | Sequence[Path | str] | None = None,
    progress: Progress | None = None,
    force: bool = False,
    wait: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> Prepared:
    """Make a data set ready. Sources: ``from_file`` alone; else the mirror, then the card's addresses in order.

    Args:
        mirror: a folder or an http(s) address that holds ``<card>/<original file name>``; default ``$I2I_MIRROR``.
        strict: refuse what differs from the published data set (counts, sums) instead of noting it.
        from_file: the archive or archives, got by the user.
        force: prepare it again although it is ready.
        wait: for another download of the same card to end; False: an error at once.

    Raises:
        FetchError: nothing usable could be had. DataError: it is not the data set that the card describes.
    """
    if mirror is not None:
        mirror_base(mirror)  # a mistake in it is one, also where nothing has to be fetched
    folder = prepared(card.name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(card.name, wait, progress, sleep):
        if is_ready(card) and not force and from_file is None:
            notes = list((marker(folder) or {}).get("notes", []))
            _insist(strict, notes)
            return Prepared(folder, notes)
        for left in folder.parent.glob(f".{card.name}.making-*"):  # of a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=f".{card.name}.making-", dir=folder.parent))
        try:
            sums = Sums(paths.cache() / "archives" / card.name)
            got: list[tuple[File, Got]] = []
            if card.generate and from_file is not None:
                data = original(card, _given(from_file), work, progress)
                before = []
            elif card.generate:
                needs = {
                    n: download(load(n), mirror=mirror, progress=progress, wait=wait, sleep=sleep)
                    for n in card.made_from
                }
                data = generate(card, {n: p.folder for n, p in needs.items()}, work, progress)
                before = [note for p in needs.values() for note in p.notes]
            else:
                got = _gather(card, mirror, from_file, sums, progress, sleep)
                try:
                    data = prepare(card, [(f, g.path) for f, g in got], work, progress)
                except FetchError:
                    sums.drop(g.path for _, g in got)  # so that the next try asks the source again
                    raise
                before = _differing(card, got)
            found, notes = inspect(card, data)
            notes = before + notes
            _insist(strict, notes)
            if got and from_file is None:
                sums.record({g.source: g.sha256 for _, g in got})
            _publish(card, data, folder, got, found, notes)
            return Prepared(folder, notes)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _differing(card: Card, got: list[tuple[File, Got]]) -> list[str]:
    names = [g.path.name for _, g in got if g.differs]
    return [f"{card.name}: not byte for byte as published: {', '.join(names)}"] if names else []


def _insist(strict: bool, notes: list[str]) -> None:
    if strict and notes:
        raise DataError(f"{'; '.join(notes)} (--strict refuses that)")


def _gather(
    card: Card,
    mirror: str | Path | None,
    from_file: Path | str | Sequence[Path | str] | None,
    sums: Sums,
    progress: Progress | None,
    sleep: Callable[[float], None],
) -> list[tuple[File, Got]]:
    if from_file is not None:
        return _match(card, _given(from_file), progress)
    base = mirror_base(mirror)
    return [(file, _obtain(card, file, base, sums, progress, sleep)) for file in card.files]


def _given(from_file: Path | str | Sequence[Path | str]) -> list[Path]:
    given = [Path(from_file)] if isinstance(from_file, str | Path) else [Path(p) for p in from_file]
    for path in given:
        if not path.is_file():
            raise FetchError(f"{path}: no such file")
    return given


def _match(card: Card, given: list[Path], progress: Progress | None) -> list[tuple[File, Got]]:
    """The user's archives, matched to the card's files by name, else by order; one alone may hold everything."""
    if len(given) != len(card.files) and not (len(given) == 1 and card.prepare in ("folders", "cityscapes")):
        raise FetchError(f"{card.name} consists of {len(card.files)} files: {', '.join(f.name for f in card.files)}")
    by_name = {f.name: p for p in given for f in card.files if p.name in (f.name, *f.aka)}
    if len(by_name) < len(given):
        by_name = {f.name: p for f, p in zip(card.files, given, strict=False)}
    files = [f for f in card.files if f.name in by_name]
    if len(files) < len(card.files):
        files = [f.model_copy(update={"into": ""}) for f in files]
    return [(f, own_copy(f, by_name[f.name], progress)) for f in files]


def _obtain(
    card: Card, file: File, base: str, sums: Sums, progress: Progress | None, sleep: Callable[[float], None]
) -> Got:
    def excuse(failed: str) -> str:
        if card.withheld and not file.urls:
            return (
                f"{card.name} may not be handed on: {' '.join(card.withheld.split())}"
                f" Then: i2i datasets download {card.name} --from-file FILE"
            )
        where = "" if base else " or --mirror FOLDER"
        return (
            f"{file.name} could not be had: {failed}. Try again later (what has arrived is kept),"
            f" or give a copy of your own: --from-file FILE{where}"
        )

    return obtain(card.name, file, base, sums, progress, sleep, excuse)


def _publish(card: Card, data: Path, folder: Path, got: list[tuple[File, Got]], found: dict, notes: list[str]) -> None:
    """The marker, then one rename: from one moment to the next the data set is there, whole."""
    files = [{"name": f.name, "source": g.source, "sha256": g.sha256, "bytes": g.path.stat().st_size} for f, g in got]
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    tree = {"format": MARKER_FORMAT, "card": card.name, "made": made, "files": files, "splits": found, "notes": notes}
    write_json(data / MARKER, tree)
    data.chmod(0o755)
    if folder.exists():
        folder.replace(data.parent / "old")  # removed with the work folder
    data.replace(folder)

"""Finds trained models by path, by name or by data set, and lists them: those in runs and those that were kept."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i import folder, hub, known, paths, shipped
from i2i.errors import ModelError, did_you_mean
from i2i.folder import INFO, TENSORS, Info
from i2i.transfer import Progress

BEST, LATEST = "best", "model"  # the two models of a run: by its measure, and the last one saved


@dataclass(frozen=True)
class Row:
    """One line of ``i2i models list``. ``info`` is None for a damaged model; ``problem`` then says why."""

    name: str
    folder: Path
    info: Info | None
    saved: float  # unix seconds
    problem: str = ""

    def cells(self) -> tuple[str, ...]:
        """The line in words, see ``HEADERS``."""
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.saved))
        if self.info is None:
            return (self.name, "damaged", "", "", "", "", when, str(self.folder))
        info = self.info
        facts = (info.method, info.dataset, directions(info), f"{info.size[0]} x {info.size[1]}", _seen(info))
        return (self.name, *facts, when, str(self.folder))


HEADERS = ("name", "method", "data set", "directions", "size", "images", "saved", "folder")


def find(what: str | Path, progress: Progress | None = None) -> Path:
    """The model folder that is meant by ``--model``: the first of

    1. a path: a model folder, a file in it, or a run (its latest model);
    2. a run or a kept model of that name;
    3. the newest model that i2i trained on the data set of that name;
    4. a model of that name that travels with i2i;
    5. a published model of that name, fetched at its first use (``progress`` is told how far it is);
    6. a model on the Hub, ``hf://owner/name``, pulled at its first use.

    Raises:
        ModelError: none of these; with the near names and the places that were looked at.
        UsageError: a path below the home folder of an unknown user.
        FetchError: a model that is published or on the Hub, and could not be had.
    """
    if model := _here(what):
        return model
    if hub.is_address(what):
        return hub.pull(hub.parse(str(what)), progress)
    if (published := _published(what)) and not _young(what):
        return known.ready(published, progress)
    raise ModelError(_not_found(what))


def _here(what: str | Path) -> Path | None:
    """Steps 1 to 4 of ``find``, and what was pulled from the Hub before."""
    if hub.is_address(what):
        place = hub.parse(str(what)).place
        return place if folder.is_model(place) else None
    path = paths.user_path(what)
    if (path.name in (INFO, TENSORS) or path.suffix == ".onnx") and paths.is_file(path):
        path = path.parent
    if model := inside(path):
        return model
    name = str(what)
    for place in places():
        if Path(name).name == name and (model := inside(place / name)):
            return model
    # Foreign weights are not counted: zebra2horse learned from the data set horse2zebra, and is not what is meant.
    trained = [row for row in _rows(places()) if row.info and not row.info.origin and row.info.dataset == name]
    if trained:
        return max(trained, key=lambda row: row.saved).folder
    return inside(packaged() / name) if Path(name).name == name else None


def _published(what: str | Path) -> known.Known | None:
    return None if isinstance(what, Path) else known.lookup(what)


def _young(what: str | Path) -> Path | None:
    """A run that is meant and has no model yet."""
    path = paths.user_path(what)
    runs = (path, *(place / path for place in places()))
    return next((run for run in runs if paths.is_file(run / "log.jsonl")), None)


def places() -> tuple[Path, Path]:
    return paths.runs(), paths.models()


def packaged() -> Path:
    """Where the models lie that travel with i2i."""
    return paths.data("export") / "models"


def inside(path: Path) -> Path | None:
    """The model folder that ``path`` is or, for a run, holds: the latest, else the best.

    The best is one by a measure, and PSNR, the measure of pairs, likes the blur of an early generator more than the
    sharp texture of a later one. Who wants it says so: ``runs/mine/best``.
    """
    return next((p for p in (path, path / LATEST, path / BEST) if folder.is_model(p)), None)


def listing() -> list[Row]:
    """All models in the runs, in the folder of kept models and in i2i itself, newest first; damaged ones too."""
    return sorted(_rows((*places(), packaged())), key=lambda row: -row.saved)


def _rows(where: Iterable[Path]) -> Iterator[Row]:
    for place in where:
        for entry in sorted(place.iterdir()) if place.is_dir() else ():
            model = None if entry.name.startswith(".") else inside(entry)
            if model is None:
                continue
            saved = (model / INFO).stat().st_mtime
            try:
                yield Row(entry.name, model, folder.read_info(model), saved)
            except ModelError as e:
                yield Row(entry.name, model, None, saved, str(e))


def show(what: str | Path) -> list[tuple[str, str]]:
    """All that is known about one model, as lines of a key and a value; nothing is fetched for it.

    Raises:
        ModelError: not found, or damaged.
    """
    model = _here(what)
    if model is None:
        published = _published(what)
        if published is None or _young(what):
            raise ModelError(_not_found(what))
        if not known.is_here(published):
            return known.describe(published)
        model = known.place(published)
    info = folder.read_info(model)
    main = info.products.get(info.default)
    drawn = info.sampler
    files = [model / name for name in info.files]
    size = f"{info.size[0]} x {info.size[1]} (height x width)"
    there = all(file.is_file() for file in files)
    weights = f"{sum(file.stat().st_size for file in files) / 2**20:.1f} MiB" if there else "missing"
    lines = [
        ("name", info.name),
        ("folder", str(model)),
        ("which", {BEST: "the best of its run", LATEST: "the latest of its run"}.get(model.name, "")),
        ("method", info.method),
        ("data set", info.dataset),
        ("size", size if drawn else f"{size} in training; any size when used"),
        ("images seen", _seen(info)),
        ("trained for", _hours(info)),
        *((key, f"{p.source} -> {p.target}") for key, p in info.products.items()),
        ("default", info.default if len(info.products) > 1 else ""),
        ("draws", drawn.sentence() if drawn else ""),
        *(("network", _words(net.generator)) for net in (main, drawn) if net),
        *((key, _words(config)) for key, config in info.classifiers.items()),
        ("fills", "what a mask or a box marks, or what is transparent" if main and main.masked else ""),
        ("padding", f"to multiples of {main.multiple}" if main else ""),
        ("inference", info.inference.sentence() if main else ""),
        *((name, f"{value:.4g}") for name, value in info.metrics.items()),
        ("weights", weights),
        *(("exported", line) for line in shipped.summary(info)),
        ("licence", info.licence or "not stated"),
        ("origin", info.origin),
        ("written by", f"i2i {info.i2i}"),
    ]
    return [(key, value) for key, value in lines if value]


def directions(info: Info) -> str:
    """``horse <-> zebra``, or ``label -> photo``; ``draws 10 classes``."""
    if info.sampler:
        return f"draws {info.sampler.classes} classes" if info.sampler.classes else "draws"
    ways = list(info.products.values())
    if len(ways) == 2 and (ways[0].source, ways[0].target) == (ways[1].target, ways[1].source):
        return f"{ways[0].source} <-> {ways[0].target}"
    return ", ".join(f"{p.source} -> {p.target}" for p in ways)


def _words(network: dict[str, Any]) -> str:
    config = dict(network)
    return ", ".join([str(config.pop("net", "?")), *(f"{key} {value}" for key, value in config.items())])


def _seen(info: Info) -> str:
    return "" if info.origin else f"{info.images:,}"


def _hours(info: Info) -> str:
    return f"{info.seconds / 3600:.1f} hours" if info.seconds else ""


def _not_found(what: str | Path) -> str:
    if hub.is_address(what):
        return f"{what}: not on this machine yet: i2i models pull {what}"
    if "://" in str(what):
        return f"{what}: i2i models import {what} makes a model of weights at an address"
    path = paths.user_path(what)
    if run := _young(what):
        return f"{run}: this run has not saved a model yet: let it train on, or resume it: i2i train --resume {run}"
    if paths.is_file(path) and path.suffix.lower() in (".pth", ".pt", ".ckpt", ".safetensors"):
        return f"{path}: a file of weights: i2i models import {path} makes a model of it"
    if isinstance(what, Path) or len(path.parts) > 1:
        if not paths.exists(path):
            return f"{path}: no such model folder or run"
        return f"{path}: neither a model ({INFO} in it) nor a run ({LATEST}/ or {BEST}/ in it)"
    rows = listing()
    names = sorted({row.name for row in rows} | {row.info.dataset for row in rows if row.info and not row.info.origin})
    near = did_you_mean(str(what), [*names, *known.KNOWN])
    found = f"found: {', '.join(names)}" if names else "found none"
    looked = f"looked in {' and '.join(str(place) for place in places())}"
    ways = "published ones: i2i models list --known; to train one: i2i train METHOD --dataset DATASET"
    return f"no model {str(what)!r}{near} ({found}; {looked}); {ways}"

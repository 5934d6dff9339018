"""Data set cards: what a data set is, where its files lie, what its licence asks. One YAML file each in ``datasets/``.

Nothing here touches the network: ``fetch.download`` does. A user's own folder becomes a card too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from i2i import paths
from i2i.errors import CardError, DataError, did_you_mean
from i2i.strict import Source, Strict, read_yaml, validate

if TYPE_CHECKING:
    from i2i.data.layouts import Layout

MARKER = "card.json"
MARKER_FORMAT = 1
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = int | tuple[int, int]
Level = Annotated[int, Field(ge=0, le=255)]
SplitName = Literal["train", "val", "test"]


class About(Strict):
    """Where a data set comes from and on which terms it may be used."""

    homepage: str
    licence: str
    cite: str
    note: str = ""


class File(Strict):
    """One published file. Its sums hold for the addresses; a mirror's copy may be packed differently."""

    name: str
    urls: tuple[str, ...] = ()
    aka: tuple[str, ...] = ()  # other names that a mirror may hold it under
    size: int | None = None  # bytes
    md5: Hex32 | None = None
    sha256: Hex64 | None = None
    unpacked_md5: Hex32 | None = None  # of the one file inside a .gz: holds for every source
    into: str = ""  # sub-folder of the prepared data set that the content belongs to
    unpack: bool = True

    @field_validator("urls")
    @classmethod
    def _only_web(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url!r} is not an http or https address")
        return urls

    @field_validator("name", "into")
    @classmethod
    def _stays_inside(cls, value: str) -> str:
        return _inside(value)


class Palette(Strict):
    """The colors of label maps: which class a pixel shows. ``domain`` is the one of the data set's that they are in."""

    domain: str
    colors: dict[str, tuple[Level, Level, Level]]  # class: red, green, blue

    @field_validator("colors")
    @classmethod
    def _distinct(cls, colors: dict[str, tuple[int, int, int]]) -> dict[str, tuple[int, int, int]]:
        if len(colors) < 2 or len(set(colors.values())) < len(colors):
            raise ValueError("two classes or more are needed, each with a color of its own")
        return colors


class Card(Strict):
    """A data set. ``splits`` are the published counts: one number, or [a, b] for unpaired domains."""

    name: str
    title: str
    about: About
    kind: Literal["paired", "unpaired", "single", "labelled"]
    domains: tuple[str, ...]  # in the archive's order: a, b
    layout: Literal["side-by-side", "trainA/trainB", "train/A", "A and B", "one folder", "arrays"]
    splits: dict[SplitName, Count] = Field(default_factory=dict)
    files: tuple[File, ...] = ()
    take: dict[str, str] = Field(default_factory=dict)  # target folder: folder inside the archive; the rest is left out
    prepare: Literal["folders", "idx", "cifar_binary", "cityscapes"] = "folders"
    torchvision: Literal["USPS", "SVHN", "STL10"] | None = None  # the class that reads the files
    generate: Literal["shapes", "shapes_unpaired", "mnist_m", "join"] | None = None
    made_from: tuple[str, ...] = ()  # other cards that ``generate`` needs
    join: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # folder: what it holds, a card or card/split
    withheld: str = ""  # how to get the files where they may not be handed on
    palette: Palette | None = None  # where one domain is label maps

    @field_validator("take")
    @classmethod
    def _take_inside(cls, take: dict[str, str]) -> dict[str, str]:
        return {_inside(target): _inside(source) for target, source in take.items()}

    @field_validator("join")
    @classmethod
    def _join_inside(cls, join: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        return {_inside(target): tuple(map(_inside, sources)) for target, sources in join.items()}

    @model_validator(mode="after")
    def _fits_together(self) -> Card:
        wanted = {"paired": (2,), "unpaired": (2,), "labelled": (1, 2)}.get(self.kind, (1,))
        if len(self.domains) not in wanted:
            many = " or ".join(map(str, wanted))
            raise ValueError(f"a {self.kind} data set has {many} domain(s), the card names {len(self.domains)}")
        if bool(self.join) != (self.generate == "join"):
            raise ValueError("'join' says which folders 'generate: join' puts together: one needs the other")
        if strangers := sorted({s.split("/")[0] for ss in self.join.values() for s in ss} - {*self.made_from}):
            raise ValueError(f"join: {', '.join(strangers)} is not in made_from")
        if self.palette and self.palette.domain not in self.domains:
            raise ValueError(f"palette.domain: {self.palette.domain!r} is none of {' and '.join(self.domains)}")
        if self.generate and self.files:
            raise ValueError("a generated data set has no files")
        if self.files and not self.withheld and (lacking := [f.name for f in self.files if not f.urls]):
            raise ValueError(f"no address for {', '.join(lacking)}, and no 'withheld' that says how to get it")
        return self


def names() -> list[str]:
    """The names of the packaged cards, sorted."""
    return sorted(p.stem for p in paths.data("datasets").glob("*.yaml"))


def load(name: str) -> Card:
    """A packaged card.

    Raises:
        CardError: no such card, or the card's file is not valid.
    """
    if name not in names():
        raise CardError(
            f"no data set is called {name!r}{did_you_mean(name, names())}"
            " ('i2i datasets list' shows all; a folder of your own is given as a path: ./folder)"
        )
    tree, source = read_yaml(paths.data("datasets") / f"{name}.yaml", CardError)
    card = validate(Card, tree, source, CardError)
    if card.name != name:
        raise CardError(f"{source.place(('name',))}: name: {card.name!r} is not the name of the file")
    return card


def prepared(name: str) -> Path:
    """Where the prepared data set of that name lies or will lie."""
    return paths.cache() / "datasets" / name


def marker(folder: Path) -> dict | None:
    """What ``fetch.download`` wrote as its very last act, or None: then the folder is not a complete data set."""
    try:
        found = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("format") == MARKER_FORMAT and "card" in found else None


def is_ready(card: Card) -> bool:
    """Whether the data set lies prepared and complete in the cache."""
    found = marker(prepared(card.name))
    return found is not None and found["card"] == card.name


def resolve(name_or_path: str | Path) -> tuple[Card, Path]:
    """A data set name or a folder -> its card and the folder to read.

    A folder is meant when the text looks like a path (a separator, or it starts with '.' or '~') or is no card's name.

    Raises:
        CardError: no such data set, or it is not downloaded yet.
        DataError: no such folder, or its layout is not recognised.
        UsageError: a path below the home folder of an unknown user.
    """
    text = str(name_or_path)
    folder = paths.user_path(text)
    pathlike = isinstance(name_or_path, Path) or "/" in text or "\\" in text or text.startswith((".", "~"))
    if pathlike or (text not in names() and paths.is_dir(folder)):
        return _own(folder, text), folder
    card = load(text)
    if not is_ready(card):
        more = " --from-file FILE" if card.withheld else ""
        raise CardError(f"{text}: not downloaded yet: i2i datasets download {text}{more}")
    return card, prepared(text)


def _own(folder: Path, text: str) -> Card:
    from i2i.data import layouts

    if not paths.exists(folder):
        raise DataError(f"{text}: no such folder")
    if not folder.is_dir():
        raise DataError(f"{text}: a data set is a folder, this is a file")
    if (found := marker(folder)) and found["card"] in names():
        return load(found["card"])
    layout = layouts.recognise(folder)
    split = next(iter(layout.splits.values()))
    kind = {"aligned": "paired", "arrays": "labelled"}.get(split.kind, split.kind)
    two = kind == "labelled" and len(split.a) == 2
    tree = {
        "name": re.sub(r"[^a-z0-9_]+", "_", folder.resolve().name.lower()).strip("_") or "folder",
        "title": folder.resolve().name,
        "about": {"homepage": "", "licence": "your own data", "cite": ""},
        "kind": kind,
        "domains": (layout.domains or ("a", "b")) if kind in ("paired", "unpaired") or two else ("picture",),
        "layout": layout.name,
        "splits": counts(layout),
    }
    return validate(Card, tree, Source(text), DataError)


def counts(layout: Layout) -> dict[str, Count]:
    """How many pictures each split of a ``layouts.Layout`` has; (a, b) for unpaired ones, rows for arrays."""
    found: dict[str, Count] = {}
    for name, split in layout.splits.items():
        if split.kind == "arrays":
            import numpy as np

            rows = [int(np.load(images, mmap_mode="r", allow_pickle=False).shape[0]) for images in split.a]
            found[name] = rows[0] if len(rows) == 1 else (rows[0], rows[1])
        else:
            found[name] = (len(split.a), len(split.b)) if split.kind == "unpaired" else len(split.a)
    return found


def count_text(splits: dict) -> str:
    """``train 400, val 100``; unpaired domains as ``train 995 + 1019``."""
    return ", ".join(f"{k} {' + '.join(map(str, v)) if isinstance(v, (tuple, list)) else v}" for k, v in splits.items())


def describe(card: Card) -> list[tuple[str, str]]:
    """Rows of (key, value) for people: ``i2i datasets show NAME``."""
    return list(_rows(card))


def _rows(card: Card) -> Iterator[tuple[str, str]]:
    yield "name", card.name
    yield "title", card.title
    yield "kind", card.kind
    yield "domains", card.domains[0] if len(card.domains) == 1 else "a = {}, b = {}".format(*card.domains)
    yield "layout", card.layout
    if card.splits:
        yield "pictures", count_text(card.splits)
    if card.palette:
        yield "classes", f"in the colors of {card.palette.domain}: {', '.join(card.palette.colors)}"
    if card.generate:
        yield "source", f"made by i2i{' from ' + ' and '.join(card.made_from) if card.made_from else ''}, no download"
    for file in card.files:
        size = f" ({file.size / 1e6:,.1f} MB)" if file.size else ""
        yield "file", f"{file.name}{size}{' from ' + file.urls[0] if file.urls else ''}"
    if card.withheld:
        yield "how to get it", card.withheld
    yield "licence", card.about.licence
    yield "homepage", card.about.homepage
    yield "cite", card.about.cite
    if card.about.note:
        yield "note", card.about.note
    folder = prepared(card.name)
    yield "on this machine", f"ready in {folder}" if is_ready(card) else "not downloaded"


def _inside(value: str) -> str:
    if value.startswith("/") or "\\" in value or ".." in PurePosixPath(value).parts or re.match(r"^[A-Za-z]:", value):
        raise ValueError(f"{value!r} must be a plain relative name")
    return value

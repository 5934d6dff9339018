"""Published models by name: the CycleGAN and pix2pix authors' own weights, fetched and converted at their first use."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from i2i import card, folder, paths
from i2i.card import File
from i2i.errors import FetchError, MissingExtra, ModelError, UsageError
from i2i.ledger import Sums, lock
from i2i.obtain import mirror_base, obtain
from i2i.transfer import Progress

if TYPE_CHECKING:
    from i2i.foreign import Imported

SERVER = "efrosgans.eecs.berkeley.edu"
FOLDERS = {"cyclegan": "cyclegan/pretrained_models", "pix2pix": "pix2pix/models-pytorch"}
NETS = {"cyclegan": "resnet", "pix2pix": "unet"}  # 9 blocks, instance norm, no dropout; unet_256, batch norm, dropout
MEGABYTES = {"cyclegan": 46, "pix2pix": 218}
HEADERS = ("name", "method", "translates", "data set", "here")

log = logging.getLogger(__name__)  # at level "warning" Python shows it without being asked: a download is worth a line


@dataclass(frozen=True)
class Known:
    """A published model. ``product`` and the two domains are as in the card of its data set."""

    name: str
    method: str
    published: str  # what the authors call it
    dataset: str
    product: str
    source: str
    target: str

    @property
    def urls(self) -> tuple[str, ...]:
        # Never plain http: no sums are published, so that nobody would notice weights that were exchanged on the way.
        return (f"https://{SERVER}/{FOLDERS[self.method]}/{self.published}.pth",)

    @property
    def licence(self) -> str:
        return f"not stated by the publishers; trained on {self.dataset}: {card.load(self.dataset).about.licence}"

    def cells(self) -> tuple[str, ...]:
        """The line of ``i2i models list --known``, see ``HEADERS``."""
        here = "ready" if is_here(self) else ""
        return (self.name, self.method, f"{self.source} -> {self.target}", self.dataset, here)


# published name, data set, direction in it, from, to
_PIX2PIX = (
    ("edges2shoes", "edges2shoes", "a2b", "edges", "photo"),
    ("sat2map", "maps", "a2b", "aerial", "map"),
    ("map2sat", "maps", "b2a", "map", "aerial"),
    ("facades_label2photo", "facades", "b2a", "label", "photo"),
    ("day2night", "night2day", "b2a", "day", "night"),
)
_CYCLEGAN = (
    ("apple2orange", "apple2orange", "a2b", "apple", "orange"),
    ("orange2apple", "apple2orange", "b2a", "orange", "apple"),
    ("summer2winter_yosemite", "summer2winter_yosemite", "a2b", "summer", "winter"),
    ("winter2summer_yosemite", "summer2winter_yosemite", "b2a", "winter", "summer"),
    ("horse2zebra", "horse2zebra", "a2b", "horse", "zebra"),
    ("zebra2horse", "horse2zebra", "b2a", "zebra", "horse"),
    ("monet2photo", "monet2photo", "a2b", "monet", "photo"),
    ("style_monet", "monet2photo", "b2a", "photo", "monet"),
    ("style_cezanne", "cezanne2photo", "b2a", "photo", "cezanne"),
    ("style_ukiyoe", "ukiyoe2photo", "b2a", "photo", "ukiyoe"),
    ("style_vangogh", "vangogh2photo", "b2a", "photo", "vangogh"),
    ("sat2map", "maps_unpaired", "a2b", "aerial", "map"),
    ("map2sat", "maps_unpaired", "b2a", "map", "aerial"),
    ("cityscapes_photo2label", "cityscapes", "a2b", "photo", "label"),
    ("cityscapes_label2photo", "cityscapes", "b2a", "label", "photo"),
    ("facades_photo2label", "facades_unpaired", "a2b", "photo", "label"),
    ("facades_label2photo", "facades_unpaired", "b2a", "label", "photo"),
    ("iphone2dslr_flower", "iphone2dslr_flower", "a2b", "iphone", "dslr"),
)


def _table() -> dict[str, Known]:
    """Three names were published twice: the plain one is pix2pix, which learned from pairs; the other cyclegan_NAME."""
    table = {row[0]: Known(row[0], "pix2pix", *row) for row in _PIX2PIX}
    for row in _CYCLEGAN:
        name = f"cyclegan_{row[0]}" if row[0] in table else row[0]
        table[name] = Known(name, "cyclegan", *row)
    return dict(sorted(table.items()))


KNOWN = _table()


def lookup(name: str) -> Known | None:
    """The published model of that name; ``pix2pix_NAME`` and ``cyclegan_NAME`` always work. None if there is none."""
    full = {f"{known.method}_{known.published}": known for known in KNOWN.values()}
    return KNOWN.get(name) or full.get(name)


def place(known: Known) -> Path:
    """Where its model folder lies or will lie."""
    return paths.models() / known.name


def is_here(known: Known) -> bool:
    return folder.is_model(place(known))


def describe(known: Known) -> list[tuple[str, str]]:
    """What is known of it before it is fetched, as lines of a key and a value."""
    return [
        ("name", known.name),
        ("method", known.method),
        ("data set", known.dataset),
        (known.product, f"{known.source} -> {known.target}"),
        ("published at", known.urls[0]),
        ("licence", known.licence),
        ("on this machine", f"not yet: its first use fetches it, about {MEGABYTES[known.method]} MB"),
    ]


def ready(known: Known, progress: Progress | None = None, sleep: Callable[[float], None] = time.sleep) -> Path:
    """The folder of a published model. At its first use the weights are fetched and converted, with one logged line.

    A mirror (``$I2I_MIRROR``, a folder or an address) is asked first, for ``models/<name>.pth``.

    Raises:
        FetchError: not to be had, changed since it was first fetched, or not the network it should be.
        MissingExtra: torch is not installed.
    """
    if is_here(known):
        return place(known)
    import_model = _converter()
    with lock(f"model-{known.name}", True, progress, sleep):
        if is_here(known):  # another process was faster
            return place(known)
        base = mirror_base()
        sums = Sums(paths.cache() / "archives" / "models" / known.name)
        log.warning(
            "fetching the published model %s (%s, %s -> %s, about %d MB); its licence: %s",
            known.name, known.method, known.source, known.target, MEGABYTES[known.method], known.licence,
        )  # fmt: skip
        file = File(name=f"{known.name}.pth", urls=known.urls, unpack=False)

        def excuse(failed: str) -> str:
            return (
                f"the published model {known.name} could not be had: {failed}. Try again later (what has arrived is"
                f" kept), or give a copy of your own: i2i models import FILE --name {known.name}"
            )

        got = obtain("models", file, base, sums, progress, sleep, excuse)
        try:
            import_model(got.path, known.name, **_facts(known, "" if got.source in known.urls else "a copy of "))
        except ModelError as e:
            sums.drop([got.path])  # so that the next try asks the source again
            raise FetchError(f"{got.source} is of no use as {known.name}: {e}") from e
        sums.record({got.source: got.sha256})
        sums.drop([got.path])  # the model folder holds the same numbers
    return place(known)


def import_file(
    source: str | Path,
    name: str | None = None,
    direction: str | None = None,
    dropout: bool | None = None,
    values: str | None = None,
    key: str | None = None,
    progress: Progress | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> Imported:
    """Converts a file of weights, or one at an http(s) address, into a model of that name, else of the file's; see
    ``foreign.import_model``.

    A file with the name of a published model is taken for a copy of it.

    Raises:
        ModelError, UsageError: see ``foreign.import_model``. MissingExtra: torch is not installed.
        FetchError: the address gives nothing, or other bytes than at its first use.
    """
    if isinstance(source, Path) or "://" not in source:
        return _import(Path(source), Path(source).name, name, direction, dropout, values, key)
    path = Path(unquote(urlsplit(source).path))
    if not source.startswith(("http://", "https://")) or not path.name:
        raise UsageError(f"{source}: a file, or an http or https address of one")
    name = name or _name(path)
    _converter()
    from i2i.foreign import free_place

    free_place(name)  # refused before anything is fetched
    where = source.partition("?")[0]  # what follows may be a key to somebody's store
    with lock(f"import-{name}", True, progress, sleep):
        sums = Sums(paths.cache() / "archives" / "models" / name)
        file = File(name=_plain(path.name) or name, urls=(source,), unpack=False)
        got = obtain("models", file, "", sums, progress, sleep, lambda failed: f"nothing to import: {failed}")
        try:
            made = _import(got.path, where, name, direction, dropout, values, key)
        except ModelError as e:
            raise ModelError(str(e).replace(str(got.path), where)) from e
        finally:
            sums.drop([got.path])  # the model folder holds the same numbers; what is of no use is asked for anew
        sums.record({got.source: got.sha256})
    return made


def _import(
    file: Path, said: str, name: str | None, direction: str | None, dropout: bool | None, values: str | None,
    key: str | None,
) -> Imported:  # fmt: skip
    """``said``: what is told of where the file comes from."""
    name = name or _name(file)
    import_model = _converter()
    known = KNOWN.get(name)
    rest: dict[str, Any] = {"dropout": dropout, "values": values, "key": key}
    if known is None:
        return import_model(file, name, direction=direction, origin=said, **rest)
    if direction not in (None, known.product):
        raise UsageError(f"--direction {direction}: the published {name} is {known.product}: choose another --name")
    return import_model(file, name, **rest, **_facts(known, f"{said}, taken for a copy of "))


def _facts(known: Known, copy: str) -> dict[str, Any]:
    return {
        "direction": known.product, "domains": (known.source, known.target), "method": known.method,
        "dataset": known.dataset, "licence": known.licence, "expected": NETS[known.method],
        "origin": f"{copy}{known.urls[0]}",
    }  # fmt: skip


def _name(source: Path) -> str:
    """``horse2zebra_G_A`` for ``horse2zebra/latest_net_G_A.pth`` of the reference project, else the file's own name."""
    trained = re.fullmatch(r"(?:latest|\d+|iter_\d+)_net_(G(?:_[AB])?)", source.stem)
    name = source.stem
    if trained:
        run = source.resolve().parent.name.removesuffix("_pretrained")
        name = run if trained[1] == "G" else f"{run}_{trained[1]}"
    return _plain(name)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).lstrip("._-")


def _converter() -> Callable[..., Imported]:
    try:
        from i2i.foreign import import_model
    except ModuleNotFoundError as e:
        if e.name not in ("torch", "safetensors"):
            raise
        raise MissingExtra(e.name, "train") from e
    return import_model

"""What ``i2i bench model`` measured on this machine, kept so that ``precision: auto`` is a measurement, not a guess."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from i2i import __version__, paths
from i2i.errors import I2IError
from i2i.folder import INFO
from i2i.strict import Strict

KEPT = 200  # measures: a model has one for each size
SEEN = 2**16  # bytes of the weights that tell one model from another
WORTH = 0.9  # of float32's time: what gains less is not worth other pixels
LEVEL = 1 / 127.5  # one of the 255 steps of a picture, in values from -1 to 1
MOST, MEAN = 8 * LEVEL, 0.5 * LEVEL  # what bfloat16 may differ from float32: anywhere, and on the mean of all values


class Here(Strict):
    """On what it was measured: elsewhere, and with other versions, it says nothing."""

    processor: str
    device: str
    threads: int
    torch: str
    i2i: str = __version__


class Measure(Strict):
    """bfloat16 beside float32, for one model at one size."""

    here: Here
    model: str  # see ``fingerprint``
    product: str
    size: int  # pixels, height and width
    ratio: float  # to the time of float32, the median
    largest: float  # difference from float32, of values from -1 to 1
    mean: float
    day: date


@dataclass(frozen=True)
class Choice:
    """A precision, and why in one line; empty: nothing is known, it is what is taken then."""

    precision: str
    why: str = ""


ALL = TypeAdapter(list[Measure])


def file() -> Path:
    return paths.cache() / "measured.json"


def here(device: str, threads: int, torch: str) -> Here:
    """This machine. ``device``: the name of a GPU, or cpu."""
    return Here(processor=processor(), device=device, threads=threads, torch=torch)


def processor() -> str:
    """Its name, as far as the system tells."""
    told = Path("/proc/cpuinfo")
    if told.is_file():
        for line in told.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def fingerprint(folder: Path, name: str) -> str:
    """Of a trained model whose numbers lie in the file ``name``: another after each further step of training and for
    other weights, the same for a copy. Of the weights, the last ``SEEN`` bytes are enough: a step changes them all."""
    with (folder / name).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SEEN))
        about = (folder / INFO).read_bytes() + str(size).encode() + file.read()
    return hashlib.sha256(about).hexdigest()[:16]


def read() -> list[Measure]:
    """All that is known, the oldest first; nothing of a file that is damaged or of another i2i."""
    try:
        return ALL.validate_json(file().read_bytes())
    except (OSError, ValidationError):
        return []


def keep(new: Sequence[Measure]) -> None:
    """Adds measures, in the place of those of the same model, product and machine; the oldest are forgotten.

    Raises:
        I2IError: the folder of caches cannot be written.
    """
    replaced = {(m.here, m.model, m.product) for m in new}
    kept = [m for m in read() if (m.here, m.model, m.product) not in replaced]
    path = file()
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_bytes(ALL.dump_json([*kept, *new][-KEPT:], indent=1))
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as e:
        raise I2IError(f"{path}: cannot be written ({e.strerror or e}): set I2I_CACHE to another folder") from e


def choose(place: Here, model: str, product: str) -> Choice:
    """bf16 where it was measured to be faster and near enough at every size that was tried, else fp32."""
    known = [m for m in read() if (m.here, m.model, m.product) == (place, model, product)]
    if not known:
        return Choice("fp32")
    ratio, largest, mean = (max(getattr(m, key) for m in known) for key in ("ratio", "largest", "mean"))
    by = f"as `i2i bench model` measured here on {max(m.day for m in known)}"
    apart = f"differs by {largest / LEVEL:.1f} of 255 levels at most, {mean / LEVEL:.2f} on the mean"
    if largest > MOST or mean > MEAN:
        allowed = f"{MOST / LEVEL:.0f} and {MEAN / LEVEL:g} are allowed"
        return Choice("fp32", f"fp32: bf16 {apart} ({allowed}), {by}")
    if ratio > WORTH:
        return Choice("fp32", f"fp32: bf16 takes {ratio:.2f} of its time, {by}")
    return Choice("bf16", f"bf16: takes {ratio:.2f} of the time of fp32 and {apart}, {by}; --precision fp32 is exact")

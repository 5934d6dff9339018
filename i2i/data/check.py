"""Looks at every file of a data set before a training does: what is there, and what would spoil it."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from i2i.data import arrays, pictures
from i2i.data.layouts import Layout, Split, recognise
from i2i.errors import DataError

Progress = Callable[[int, int], None]  # (done, total)
Size = tuple[int, int]  # height, width

FLAT = 2.0  # of 255: pictures that vary less become noise when InstanceNorm divides by their spread
TINY = 8  # pixels
CROP, RESIZED = 256, 286  # the usual training: resized to 286, a crop of 256
_BATCH = 1000


@dataclass(frozen=True)
class Report:
    """What ``check`` found. ``table`` holds (topic, text) for people.

    ``problems`` are one line each; what concerns a file begins with its path inside ``root``.
    """

    root: Path
    layout: Layout
    table: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    def rows(self) -> list[tuple[str, str]]:
        return list(self.table)


@dataclass(frozen=True)
class _Seen:
    """One picture. ``size`` is None if it cannot be read; ``digest`` is of the pixels."""

    path: Path
    error: str = ""
    size: Size | None = None
    kinds: tuple[str, ...] = ()
    gray: bool = False
    flat: str = ""
    digest: bytes = b""


def check(root: Path, *, layout: Layout | None = None, progress: Progress | None = None, full: bool = True) -> Report:
    """The state of the data set in a folder, each file opened once, several at a time.

    Args:
        layout: as already recognised; else it is recognised here.
        progress: called with (done, total) after each file.
        full: decode the pictures; without, only headers are read, so damage, copies, flat and gray pictures go unseen.

    Raises:
        DataError: the layout is not recognised. Whatever is wrong with single files is in the report instead.
    """
    layout = layout or recognise(root)
    tell = progress or (lambda done, total: None)
    if layout.name == "arrays":
        return _check_arrays(layout, tell, full)
    halves = any(s.kind == "aligned" for s in layout.splits.values())
    files = [path for split in layout.splits.values() for side in _sides(split).values() for path in side]
    look = partial(_look, halves=halves, full=full)
    seen: dict[Path, _Seen] = {}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(files), _BATCH):  # in batches, so that Ctrl-C has little to wait for
            for one in pool.map(look, files[start : start + _BATCH]):
                seen[one.path] = one
                tell(len(seen), len(files))
    rows, problems = _picture_report(layout, seen, halves, full)
    return Report(root, layout, tuple(rows), tuple(problems))


def _look(path: Path, *, halves: bool, full: bool) -> _Seen:
    try:
        with pictures.opened(path) as image:
            kinds, size = tuple(_kinds(image.mode, pictures.has_alpha(image))), pictures.upright_size(image)
            if not full:
                return _Seen(path, size=size, kinds=kinds)
            pixels = pictures.to_array(image)
    except DataError as e:
        return _Seen(path, error=str(e).removeprefix(str(path)))
    middle = pixels.shape[1] // 2
    parts = {"left half": pixels[:, :middle], "right half": pixels[:, middle:]} if halves else {"picture": pixels}
    flat = [name for name, part in parts.items() if part.size and _spread(part) < FLAT]
    gray = all(np.array_equal(pixels[..., 0], pixels[..., c]) for c in (1, 2))
    digest = hashlib.blake2b(repr(pixels.shape).encode() + pixels.tobytes(), digest_size=16).digest()
    return _Seen(path, "", size, kinds, gray, " and ".join(flat), digest)


def _kinds(mode: str, alpha: bool) -> Iterable[str]:
    """What is unusual about a picture's mode, in words."""
    if alpha:
        yield "with alpha"
    if mode.startswith("I"):
        yield "16 bits or more"
    elif mode in ("F", "P", "PA", "1"):
        yield {"F": "floating point", "1": "black and white"}.get(mode, "palette")
    elif mode not in ("RGB", "RGBA", "L", "LA", "RGBX"):
        yield mode


def _spread(pixels: np.ndarray) -> float:
    """The largest standard deviation of a channel of [H, W, C]; from at most about 256 x 256 of the pixels."""
    thin = pixels[:: max(1, pixels.shape[0] // 256), :: max(1, pixels.shape[1] // 256)]
    return max(float(thin[..., c].std(dtype=np.float32)) for c in range(thin.shape[2]))  # much faster than with an axis


def _picture_report(
    layout: Layout, seen: dict[Path, _Seen], halves: bool, full: bool
) -> tuple[list[tuple[str, str]], list[str]]:
    def rel(path: Path) -> str:
        return path.relative_to(layout.root).as_posix()

    readable = [s for s in seen.values() if s.size is not None]
    problems = [f"{rel(s.path)}{s.error}" for s in seen.values() if s.error]
    problems += layout.problems
    rows = [("layout", _about(layout))]
    sides: dict[str, list[_Seen]] = {}
    for name, split in layout.splits.items():
        rows.append((name, _count(split)))
        for letter, files in _sides(split).items():
            sides.setdefault(letter, []).extend(seen[p] for p in files if seen[p].size)
        if split.kind == "paired":
            problems += [
                f"{rel(a)}: {_text(seen[a].size)}, but its partner {rel(b)} is {_text(seen[b].size)}"
                for a, b in zip(split.a, split.b, strict=True)
                if seen[a].size and seen[b].size and seen[a].size != seen[b].size
            ]
    for one in readable:
        problems += [f"{rel(one.path)}: {text}" for text in _size_problems(one.size, halves)]
        if one.flat:
            problems.append(f"{rel(one.path)}: the {one.flat} is nearly one color (InstanceNorm turns it into noise)")
    for letter, those in sides.items():
        rows.append((f"size {letter}".strip(), _sizes([s.size for s in those if s.size], halves)))
        if full:
            gray = sum(s.gray for s in those)
            mixed = f"{gray} gray, {len(those) - gray} in color"
            rows.append((f"color {letter}".strip(), {0: "all in color", len(those): "all gray"}.get(gray, mixed)))
    rows.append((f"for {CROP} px", _crop([_content(s.size, halves) for s in readable if s.size])))
    unusual = Counter(kind for s in readable for kind in s.kinds)
    rows.append(("kinds", ", ".join(f"{n} {kind}" for kind, n in unusual.most_common()) or "nothing unusual"))
    if full:
        where = [(s.digest, name, rel(p)) for name, split in layout.splits.items() for s, p in _looked(split, seen)]
        copies, told = _copies(where)
        rows += [("copies", copies), ("flat", _number(sum(bool(s.flat) for s in readable)))]
        problems += told
    rows.append(("unreadable", _number(len(seen) - len(readable))))
    return rows, problems


def _looked(split: Split, seen: dict[Path, _Seen]) -> list[tuple[_Seen, Path]]:
    return [(seen[p], p) for side in _sides(split).values() for p in side if seen[p].size]


def _sides(split: Split) -> dict[str, tuple[Path, ...]]:
    if split.kind in ("paired", "unpaired"):
        return {"A": split.a + split.lone_a, "B": split.b + split.lone_b}
    return {"": split.a}


def _size_problems(size: Size | None, halves: bool) -> Iterable[str]:
    height, width = size or (0, 0)
    if halves and (width % 2 or not 1.9 <= width / height <= 2.1):
        yield f"{_text(size)}: not two pictures side by side, which would be about twice as wide as high"
    if min(_content((height, width), halves)) < TINY:
        yield f"{_text(size)}: too small to learn from"


def _content(size: Size, halves: bool) -> Size:
    return (size[0], size[1] // 2) if halves else size


def _about(layout: Layout) -> str:
    kinds = " and ".join(dict.fromkeys(s.kind for s in layout.splits.values()))
    named = f", A is {layout.domains[0]} and B is {layout.domains[1]}" if layout.domains else ""
    return f"{layout.name} ({kinds}{named})"


def _count(split: Split) -> str:
    if split.kind == "paired":
        lone = len(split.lone_a) + len(split.lone_b)
        return _some(len(split.a), "pair") + (f", {_some(lone, 'picture')} without partner" if lone else "")
    if split.kind == "unpaired":
        return f"{len(split.a)} A, {len(split.b)} B"
    return _some(len(split.a), "picture") + (", each a pair side by side" if split.kind == "aligned" else "")


def _some(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _number(n: int) -> str:
    return str(n) if n else "none"


def _text(size: Size | None) -> str:
    return f"{size[1]}x{size[0]}" if size else "unknown"


def _sizes(sizes: Sequence[Size], halves: bool) -> str:
    if not sizes:
        return "none can be read"
    ranked = sorted(sizes, key=lambda s: (s[0] * s[1], s))
    low, middle, high = ranked[0], ranked[(len(ranked) - 1) // 2], ranked[-1]
    if low == high:
        return f"all {_text(low)}" + (f", two halves of {_text(_content(low, halves))}" if halves else "")
    return f"{_text(low)} to {_text(high)}, median {_text(middle)}, {len(set(sizes))} different"


def _crop(sizes: Sequence[Size]) -> str:
    sides = [min(size) for size in sizes]
    if not sides:
        return "none can be read"
    smaller, small = (sum(side < limit for side in sides) for limit in (CROP, RESIZED))
    shortest = f"shortest side {min(sides)}"
    if smaller:
        return f"{smaller} of {len(sides)} are too small and would be enlarged ({shortest})"
    return f"large enough ({shortest})" + (
        f"; {small} are enlarged for a random crop out of {RESIZED}" if small else ""
    )


def _copies(entries: Iterable[tuple[bytes, str, str]]) -> tuple[str, list[str]]:
    """What to say of equal (digest, split, name): a summary, and a line for each picture that another split has too."""
    groups: dict[bytes, list[tuple[str, str]]] = {}
    for digest, split, name in entries:
        groups.setdefault(digest, []).append((split, name))
    within, problems = 0, []
    for members in groups.values():
        first: dict[str, str] = {}
        for split, name in members:
            within += split in first
            first.setdefault(split, name)
        original, *others = first.items()
        problems += [
            f"{name}: the same picture as {original[1]}: it is in {split} and in {original[0]}"
            for split, name in others
        ]
    if not within and not problems:
        return "none", []
    return f"{within} within a split, {len(problems)} across splits", problems


def _check_arrays(layout: Layout, tell: Progress, full: bool) -> Report:
    rows, problems = [("layout", layout.name)], list(layout.problems)
    entries: list[tuple[bytes, str, str]] = []
    flat = 0
    parts = [(name, *files) for name, split in layout.splits.items() for files in zip(split.a, split.b, strict=True)]
    for done, (split, a, b) in enumerate(parts, 1):
        file = a.relative_to(layout.root).as_posix()
        name = split if a.parent == layout.root else f"{split} {a.parent.name}"
        try:
            images, labels = arrays.load(a, b)
        except DataError as e:
            problems.append(str(e).removeprefix(f"{layout.root}{os.sep}"))
            continue
        height, width, channels = images.shape[1:]
        rows.append((name, f"{_some(len(images), 'image')} of {width}x{height}, {_some(channels, 'channel')}"))
        values, counts = np.unique(labels, return_counts=True)
        shown = ", ".join(f"{v}: {n}" for v, n in list(zip(values.tolist(), counts.tolist(), strict=True))[:20])
        rows.append((f"{name} labels", f"{len(values)} ({shown}{', ...' if len(values) > 20 else ''})"))
        if len(values) and values[0] < 0:
            problems.append(f"{b.relative_to(layout.root).as_posix()}: labels below 0, down to {values[0]}")
        for i, image in enumerate(images if full else ()):
            entries.append((hashlib.blake2b(image.tobytes(), digest_size=16).digest(), name, f"{file}[{i}]"))
            if _spread(image) < FLAT:
                flat += 1
                problems.append(f"{file}[{i}]: the picture is nearly one color (InstanceNorm turns it into noise)")
        tell(done, len(parts))
    if full:
        copies, told = _copies(entries)
        rows += [("copies", copies), ("flat", _number(flat))]
        problems += told
    return Report(layout.root, layout, tuple(rows), tuple(problems))

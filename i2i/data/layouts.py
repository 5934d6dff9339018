"""From a folder to lists of files: the layouts in which people keep pictures for image-to-image translation.

    side-by-side    train/*.jpg, each file holds A | B; also val, test; also without split folders
    trainA/trainB   trainA/*.jpg trainB/*.jpg: unpaired by convention, whatever the names; also val, test
    train/A         train/A/*.jpg train/B/*.jpg: paired where names match, else unpaired; also as A/train and B/train
    A and B         A/*.jpg B/*.jpg: the same without splits
    one folder      *.jpg or train/*.jpg: single pictures
    arrays          train-images.npy and train-labels.npy, see ``arrays``; two domains: both in each of two folders

- Hidden files, ``__MACOSX`` and what has no picture suffix do not count. Names sort naturally (2 before 10). Folders
  are walked to any depth, links included. A folder that holds nothing but another folder stands for that one.
- Words are matched in any case; ``valid`` and ``validation`` are val, ``training`` train and ``testing`` test.
- Where exactly two folders of other names take the place of A and B (``photos``, ``paintings``), they are A and B in
  alphabetical order and ``Layout.domains`` keeps their names.
- Two sides are paired if more than half of the larger side's names (path inside the side, without suffix) occur on the
  other side as well. What has no partner is kept aside (``lone_a``, ``lone_b``) and told in ``Layout.problems``.
- Pictures are side by side if, of up to 16 looked at in a split, each has an even width that is 1.9 to 2.1 times its
  height; without split folders exactly 2 times, since one folder of wide pictures is a likely thing there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i.data import arrays, pictures, tree
from i2i.data.tree import Folder, natural
from i2i.errors import DataError

_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"}
_SPLITS |= {"test": "test", "testing": "test"}
_GLUED = re.compile(rf"({'|'.join(_SPLITS)})[-_ ]?([ab])", re.IGNORECASE)  # trainA, test_b
_ORDER = ("train", "val", "test")
_SAMPLE = 16  # pictures per split whose shape decides about side-by-side


@dataclass(frozen=True)
class Split:
    """The files of one split, naturally sorted.

    kind: "aligned" (one file holds A | B side by side; b is empty), "paired" (a[i] belongs to b[i]), "unpaired",
    "single" (b is empty) or "arrays" (a holds a file of images for each domain, one or two, b those of their labels).
    ``lone_a`` and ``lone_b`` are the pictures of a paired split that have no partner.
    """

    kind: str
    a: tuple[Path, ...]
    b: tuple[Path, ...] = ()
    lone_a: tuple[Path, ...] = ()
    lone_b: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Layout:
    """What a folder holds. ``splits`` is in the order train, val, test; without split folders there is only "train".

    domains: the folders' own names for A and B, if they are not just A and B. problems: what was not used, a line each.
    """

    root: Path
    name: str
    splits: dict[str, Split]
    domains: tuple[str, str] | None = None
    problems: tuple[str, ...] = ()


def recognise(root: Path) -> Layout:
    """The layout of a folder of pictures, by the rules at the head of this file.

    Raises:
        DataError: no such folder, no pictures, or no known layout; the last shows what was found and what is expected,
            and its first line can stand alone.
    """
    if not root.exists():
        raise DataError(f"{root}: no such folder")
    if not root.is_dir():
        raise DataError(f"{root}: a file, not a folder: name the folder that holds the pictures")
    if found := _arrays(root):
        return Layout(root, "arrays", {s: Split("arrays", *found[s]) for s in found})
    inside = {path: _arrays(path) for path in sorted(root.iterdir(), key=natural) if path.is_dir()}
    if domains := [path for path, files in inside.items() if files]:
        return _domains_of_arrays(root, domains, inside)
    folder = tree.scan(root)
    if not folder.own and not folder.folders:
        instead = ", ".join(s for s, _ in folder.others.most_common(5))
        looked = " ".join(sorted(pictures.SUFFIXES))
        raise DataError(f"no pictures in {root}: looked for {looked}" + (f"; found only {instead}" if instead else ""))
    return _Reader(root).read(folder)


def _arrays(folder: Path) -> dict[str, tuple[tuple[Path, ...], tuple[Path, ...]]]:
    """The split's name -> (images,), (labels,), in the usual order of splits."""
    found = {_SPLITS.get(stem.lower(), stem): files for stem, files in arrays.find(folder).items()}
    return {s: ((found[s][0],), (found[s][1],)) for s in _in_order(found)}


def _domains_of_arrays(root: Path, domains: list[Path], inside: dict[Path, Any]) -> Layout:
    """Two labelled domains: A and B, or two folders of any name, each with its arrays."""
    if len(domains) != 2:
        names = _listing([path.name for path in domains])
        raise DataError(f"{root}: number arrays in {names}: two folders, A and B, are two domains; name one for one")
    (a, b), (name_a, name_b) = (inside[path] for path in domains), (path.name for path in domains)
    both = [s for s in a if s in b]
    if not both:
        raise DataError(f"{root}: {name_a} has {_listing([*a])}, {name_b} has {_listing([*b])}: no split in both")
    splits = {s: Split("arrays", a[s][0] + b[s][0], a[s][1] + b[s][1]) for s in both}
    left = tuple(f"{s}: only one of {name_a} and {name_b} has it: left out" for s in {**a, **b} if s not in both)
    named = None if (name_a.lower(), name_b.lower()) == ("a", "b") else (name_a, name_b)
    return Layout(root, "arrays", splits, named, left)


def as_unpaired(split: Split) -> Split:
    """The same pictures for a method that wants no pairs.

    A paired split gets its lone pictures back, an aligned one stays as it is: its halves are the two domains.

    Raises:
        DataError: the split has no second domain.
    """
    if split.kind == "paired":
        a, b = (tuple(sorted(side, key=natural)) for side in (split.a + split.lone_a, split.b + split.lone_b))
        return Split("unpaired", a, b)
    if split.kind in ("unpaired", "aligned"):
        return split
    where = f"{split.a[0].parent}: " if split.a else ""
    raise DataError(f"{where}pictures of one domain only: a second one is needed (trainA and trainB, or A and B)")


class _Reader:
    """One recognition: asks the layouts in order and gathers the problems met."""

    def __init__(self, root: Path):
        self.root = root
        self.problems: list[str] = []

    def read(self, top: Folder) -> Layout:
        splits, name, domains = self.glued(top), "trainA/trainB", None
        if not splits and (parts := _split_folders(top)):
            self.unused(top, parts)
            name, splits, domains = self.inside(parts)
        if not splits and (sides := _sides(top)):
            a, b = sides
            self.unused(top, sides)
            domains = _names(a, b)
            if both := self.transposed(a, b):
                name, splits = "train/A", {s: self.pair(*sides) for s, sides in both.items()}
            else:
                name, splits = "A and B", {"train": self.pair(a, b)}
        if not splits and not top.own and len(top.folders) == 1:
            if top.named("a", "b"):
                other = "B" if top.named("a") else "A"
                raise self.unknown(top, f"there is {top.folders[0].path.name} but no pictures in a folder {other}")
            return self.read(top.folders[0])
        if not splits and top.own:
            kind = self.kind(top.all(), "", exact=True)
            name, splits = _NAMES[kind], {"train": Split(kind, top.all())}
        if not splits:
            raise self.unknown(top, f"folders with pictures are {_listing([f.path.name for f in top.folders])}")
        return Layout(self.root, name, {s: splits[s] for s in _in_order(splits)}, domains, tuple(self.problems))

    def glued(self, top: Folder) -> dict[str, Split]:
        """trainA and trainB, testA and testB."""
        sides: dict[str, dict[str, list[Folder]]] = {}
        for folder in top.folders:
            if match := _GLUED.fullmatch(folder.path.name):
                split = sides.setdefault(_SPLITS[match[1].lower()], {"a": [], "b": []})
                split[match[2].lower()].append(folder)
        if not sides:
            return {}
        splits: dict[str, Split] = {}
        missing = []
        for name, found in sides.items():
            a, b = (tuple(sorted((p for f in found[side] for p in f.all()), key=natural)) for side in "ab")
            if a and b:
                splits[name] = Split("unpaired", a, b)
            else:
                missing.append(f"there is {name}{'A' if a else 'B'} but no pictures in {name}{'B' if a else 'A'}")
        if not splits:
            raise self.unknown(top, missing[0])
        self.problems += [f"{line}: this split is left out" for line in missing]
        self.unused(top, [f for found in sides.values() for side in found.values() for f in side])
        return splits

    def inside(self, parts: Sequence[Folder]) -> tuple[str, dict[str, Split], tuple[str, str] | None]:
        """Folders train, val, test: with A and B in each, or with pictures."""
        name, domains = "", None
        splits: dict[str, Split] = {}
        for part in sorted(parts, key=lambda f: _ORDER.index(_split(f))):
            split, shown = _split(part), part.path.name
            sides = _sides(part)
            if not sides and (half := part.named("a", "b")):
                other = {"a": "B", "b": "A"}[half[0].path.name.lower()]
                raise self.unknown(
                    part, f"there is {self.rel(half[0].path)} but no pictures in a folder {other} beside it"
                )
            if sides:
                self.unused(part, sides)
                found, these = self.pair(*sides), _names(*sides)
                what = "train/A"
            elif not part.own and len(part.folders) > 1:
                names = _listing([f.path.name for f in part.folders], 6)
                raise self.unknown(part, f"folders with pictures in {shown} are {names}")
            else:
                kind, these = self.kind(part.all(), shown, exact=False), None
                found, what = Split(kind, part.all()), _NAMES[kind]
            if not splits:
                name, domains = what, these
            if split in splits:
                self.problems.append(f"{shown}: there is another folder for the split {split}: this one is left out")
            elif (what, these) != (name, domains):
                self.problems.append(f"{shown}: laid out otherwise ({what}) than the rest ({name}): left out")
            else:
                splits[split] = found
        return name, splits, domains

    def transposed(self, a: Folder, b: Folder) -> dict[str, tuple[Folder, Folder]]:
        """A/train and B/train as {"train": (A/train, B/train)}, only if A and B hold nothing but split folders."""
        in_a, in_b = ({_split(f): f for f in _split_folders(side)} for side in (a, b))
        if a.own or b.own or len(in_a) != len(a.folders) or len(in_b) != len(b.folders):
            return {}
        both = {s: (in_a[s], in_b[s]) for s in in_a if s in in_b}
        if both:
            alone = [f for here in (in_a, in_b) for s, f in here.items() if s not in both]
            self.problems += [f"{self.rel(f.path)}: the other side has no such folder: left out" for f in alone]
        return both

    def pair(self, a: Folder, b: Folder) -> Split:
        """Two sides, paired by name if most names match."""
        in_a, twice_a = a.by_name()
        in_b, twice_b = b.by_name()
        both = [stem for stem in in_a if stem in in_b]
        if 2 * len(both) <= max(len(in_a), len(in_b)):
            if both:
                self.problems.append(
                    f"{self.rel(a.path)}, {self.rel(b.path)}: {len(both)} of {max(len(in_a), len(in_b))} names "
                    f"in both: taken as unpaired"
                )
            return Split("unpaired", a.all(), b.all())
        lone = []
        for side, other, here, there, twice in ((a, b, in_a, in_b, twice_a), (b, a, in_b, in_a, twice_b)):
            without = [path for stem, path in here.items() if stem not in there]
            if without:
                self.tell(without, f"no picture of the same name in {self.rel(other.path)}")
            if twice:
                self.tell(twice, f"a second picture of the same name in {self.rel(side.path)}")
            lone.append(tuple(sorted(without + twice, key=natural)))
        return Split("paired", tuple(in_a[s] for s in both), tuple(in_b[s] for s in both), *lone)

    def kind(self, files: Sequence[Path], shown: str, *, exact: bool) -> str:
        """Whether these are "aligned" or "single", from the shapes of some of them."""
        n = min(len(files), _SAMPLE)
        shapes = {}
        for path in (files[i * len(files) // n] for i in range(n)):
            try:
                shapes[path] = pictures.size(path)
            except DataError:
                continue  # `check` names the unreadable ones
        low, high = (2.0, 2.0) if exact else (1.9, 2.1)
        odd = [p for p, (h, w) in shapes.items() if w % 2 or not low <= w / h <= high]
        if shapes and not odd:
            return "aligned"
        if 2 * len(odd) < len(shapes):
            height, width = shapes[odd[0]]
            self.problems.append(
                f"{self.rel(odd[0])}: {width}x{height} is not twice as wide as high, unlike most others: "
                f"{shown or 'the folder'} is not taken as side by side"
            )
        return "single"

    def unused(self, top: Folder, used: Sequence[Folder]) -> None:
        if top.own:
            self.tell(top.own, "not used: it lies beside the folders of pictures")
        paths = {f.path for f in used}
        for folder in top.folders:
            if folder.path not in paths:
                self.problems.append(f"{self.rel(folder.path)}: not used ({tree.some(len(folder.all()))})")

    def tell(self, files: Sequence[Path], what: str) -> None:
        more = f" (and {len(files) - 1} more like it)" if len(files) > 1 else ""
        self.problems.append(f"{self.rel(files[0])}: {what}{more}")

    def rel(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def unknown(self, top: Folder, why: str) -> DataError:
        found = "\n".join(f"  {line}" for line in tree.sketch(top, self.root))
        return DataError(
            f"{top.path}: the layout is not recognised: {why}\nfound:\n{found}\nexpected one of:\n{_SKETCH}"
        )


_NAMES = {"aligned": "side-by-side", "single": "one folder"}
_SKETCH = """\
  train/*.jpg                   each picture holds A | B side by side, twice as wide as high (also val, test)
  trainA/*.jpg  trainB/*.jpg    two domains without pairs (also valA, valB, testA, testB)
  train/A/*.jpg train/B/*.jpg   pairs of the same name (also val, test)
  A/*.jpg       B/*.jpg         the same without splits; two folders of any other name will do
  *.jpg                         pictures of one domain"""


def _in_order(splits: Iterable[str]) -> list[str]:
    return sorted(splits, key=lambda s: (_ORDER.index(s) if s in _ORDER else len(_ORDER), s))


def _split(folder: Folder) -> str:
    return _SPLITS[folder.path.name.lower()]


def _split_folders(folder: Folder) -> list[Folder]:
    return folder.named(*_SPLITS)


def _sides(folder: Folder) -> tuple[Folder, Folder] | None:
    """The folders of A and B: of these names, or the only two there are."""
    a, b = folder.named("a"), folder.named("b")
    if a and b:
        return a[0], b[0]
    if len(folder.folders) == 2 and not folder.own:
        first, second = sorted(folder.folders, key=lambda f: f.path.name.lower())
        return first, second
    return None


def _names(a: Folder, b: Folder) -> tuple[str, str] | None:
    names = a.path.name, b.path.name
    return None if (names[0].lower(), names[1].lower()) == ("a", "b") else names


def _listing(words: Sequence[str], most: int = 6) -> str:
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")

"""From published files to a folder that ``data.layouts`` recognises: pictures, or arrays for labelled sets."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from i2i.card import MARKER, Card, File, count_text, counts
from i2i.errors import DataError, FetchError, MissingExtra
from i2i.transfer import Progress
from i2i.unpack import unpack

# Folders that mean something: a single one of these on top is the data set's own, not wrapping.
MEANT = {"train", "val", "valid", "validation", "test", "a", "b", "traina", "trainb", "vala", "valb", "testa", "testb"}


def prepare(card: Card, files: list[tuple[File, Path]], work: Path, progress: Progress | None = None) -> Path:
    """Make the data set from its files inside ``work`` (an empty folder); the folder that holds it.

    Raises:
        FetchError: an archive is unsafe, damaged, not the published one, or holds no picture.
        DataError: the content is not what the card says.
    """
    raw, data = work / "raw", work / "data"
    raw.mkdir()
    data.mkdir()
    for number, (file, path) in enumerate(files):
        if card.prepare != "folders" or card.torchvision:
            _raw(file, path, raw, progress)
            continue
        out = raw / str(number)
        unpack(path, out, progress=progress)
        _move(unwrap(out), data / file.into)
    if card.torchvision:
        _torchvision(card.torchvision, raw, data)
    elif card.prepare != "folders":
        READERS[card.prepare](raw, data)
    elif card.take:
        data = _take(data, work / "taken", card.take)
    shutil.rmtree(raw)
    if card.kind != "labelled" and not _has_picture(data):
        raise FetchError(f"{card.name}: {', '.join(p.name for _, p in files)} holds no picture: not this data set")
    return data


def generate(card: Card, parts: dict[str, Path], work: Path, progress: Progress | None = None) -> Path:
    """Make a data set that i2i draws itself; ``parts`` are the prepared folders of ``card.made_from``."""
    data = work / "data"
    data.mkdir()
    if progress:
        progress(f"make {card.name}", 0, None)
    if card.generate == "mnist_m":
        mnist_m(parts["mnist"], parts["bsds500"], data)
    elif card.generate == "join":
        join(card.join, parts, data)
    else:
        from i2i.data import shapes

        if card.generate == "shapes_unpaired":
            shapes.make(data, unpaired=True)
        else:
            shapes.make(data)
    return data


def original(card: Card, given: list[Path], work: Path, progress: Progress | None = None) -> Path:
    """A data set that i2i would make itself, from the file that its authors once offered instead.

    Raises:
        FetchError: no such file is known for it, or the archive is unsafe, damaged or another one.
    """
    if card.generate != "mnist_m":
        raise FetchError(f"{card.name}: is made by i2i, there is no file to give: leave --from-file out")
    if len(given) != 1 or ".pkl" in given[0].name:
        raise FetchError(
            f"{given[0]}: the pictures of MNIST-M are read from mnist_m.tar.gz (mnist_m_train/*.png and "
            "mnist_m_train_labels.txt, the same for test); a pickle is not opened, for it could run anything"
        )
    data, raw = work / "data", work / "raw"
    data.mkdir()
    unpack(given[0], raw, progress=progress)
    _mnist_m_pictures(unwrap(raw), data)
    return data


def _mnist_m_pictures(raw: Path, data: Path) -> None:
    """``mnist_m_train/*.png`` and ``mnist_m_train_labels.txt`` (a name and a digit a line), the same for test."""
    import numpy as np

    from i2i.data.pictures import read

    for split in ("train", "test"):
        listing = raw / f"mnist_m_{split}_labels.txt"
        if not listing.is_file():
            raise FetchError(f"mnist_m: the archive has no {listing.name}: not this data set")
        rows = [line.split() for line in listing.read_text(encoding="utf-8").splitlines() if line.strip()]
        if bad := [" ".join(row) for row in rows if len(row) != 2 or not row[1].isdecimal()]:
            raise FetchError(f"mnist_m: {listing.name}: {bad[0][:60]!r} is not a name and a digit")
        pictures = [read(raw / f"mnist_m_{split}" / name) for name, _ in rows]
        if odd := [name for (name, _), p in zip(rows, pictures, strict=True) if p.shape != pictures[0].shape]:
            raise FetchError(f"mnist_m: {odd[0]}: of another size than {rows[0][0]}")
        _save(data, split, np.stack(pictures), np.array([int(digit) for _, digit in rows]))


def join(wanted: dict[str, tuple[str, ...]], parts: dict[str, Path], data: Path) -> None:
    """Other data sets (``mnist``) or splits of pictures of one domain (``t91/train``) under new names, as links to the
    same files where the system can. Each picture's name begins with that of its data set.

    Raises:
        DataError: a data set has no such split.
    """
    from i2i.data import layouts

    for target, sources in wanted.items():
        (data / target).mkdir(parents=True, exist_ok=True)
        for source in sources:
            name, _, split = source.partition("/")
            if split:
                splits = layouts.recognise(parts[name]).splits
                if split not in splits:
                    raise DataError(f"{name}: has no split {split}, which this data set is made from")
                named = {f"{name}-{file.name}": file for file in splits[split].a}
            else:
                named = {file.name: file for file in parts[name].iterdir() if file.name != MARKER}
            for new, file in named.items():
                place = data / target / new
                try:
                    place.hardlink_to(file)
                except OSError:  # another disk, or a file system without links
                    shutil.copyfile(file, place)


def inspect(card: Card, folder: Path) -> tuple[dict, list[str]]:
    """What was found in a prepared folder: the counts, and one line if they are not the published ones.

    Raises:
        DataError: no known layout, or another one than the card's.
    """
    from i2i.data import layouts

    layout = layouts.recognise(folder)
    if layout.name != card.layout:
        raise DataError(
            f"{card.name}: the archive is laid out as {layout.name!r}, not {card.layout!r}: not this data set"
        )
    found = counts(layout)
    if card.kind == "single":  # one domain is counted as pictures, in whatever way its folder is read
        found = {name: sum(n) if isinstance(n, tuple) else n for name, n in found.items()}
    if not card.splits or found == dict(card.splits):
        return found, []
    return found, [f"{card.name}: found {count_text(found)}; published {count_text(card.splits)}"]


def unwrap(folder: Path) -> Path:
    """Step into single folders that only wrap the content (``facades/train`` -> the folder with ``train``)."""
    while True:
        inside = list(folder.iterdir())
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].name.lower() in MEANT:
            return folder
        folder = inside[0]


def _raw(file: File, path: Path, raw: Path, progress: Progress | None) -> None:
    """A file for a reader: unpacked, or as it is; the one inside a .gz held against its known sum."""
    if not file.unpack:
        shutil.copyfile(path, raw / file.name)
        return
    unpack(path, raw, progress=progress)
    inner = raw / path.name.removesuffix(".gz")
    if inner.name != file.name.removesuffix(".gz") and inner.is_file():
        inner = inner.rename(raw / file.name.removesuffix(".gz"))
    if file.unpacked_md5:
        got = hashlib.md5(inner.read_bytes(), usedforsecurity=False).hexdigest() if inner.is_file() else "no such file"
        if got != file.unpacked_md5:
            raise FetchError(
                f"{file.name}: the content is not the published one: expected md5 {file.unpacked_md5}, got {got}"
            )


def _move(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for item in source.iterdir():
        if (target / item.name).exists():
            raise FetchError(f"two archives of this data set both hold {item.name!r}")
        item.rename(target / item.name)


def _take(data: Path, taken: Path, take: dict[str, str]) -> Path:
    """Only the folders the card wants, under the names it wants; an archive that has none of them stays as it is."""
    wanted = {target: data / source for target, source in take.items() if (data / source).is_dir()}
    if not wanted:
        return data
    for target, source in wanted.items():
        (taken / target).parent.mkdir(parents=True, exist_ok=True)
        source.rename(taken / target)
    shutil.rmtree(data)
    return taken


def _has_picture(folder: Path) -> bool:
    from i2i.data import pictures

    return any(p.suffix.lower() in pictures.SUFFIXES for p in folder.rglob("*"))


def _save(data: Path, split: str, images, labels) -> None:
    """uint8 [N, H, W] or [N, H, W, C] and int64 [N], as plain .npy."""
    import numpy as np

    if images.shape[0] != labels.shape[0]:
        raise DataError(f"{split}: {images.shape[0]} pictures and {labels.shape[0]} labels do not belong together")
    np.save(data / f"{split}-images.npy", np.ascontiguousarray(images, dtype=np.uint8), allow_pickle=False)
    np.save(data / f"{split}-labels.npy", np.ascontiguousarray(labels, dtype=np.int64), allow_pickle=False)


def _idx(raw: Path, data: Path) -> None:
    """The idx files of MNIST and its kin: a big-endian head of magic number and sizes, then bytes."""
    for split, word in (("train", "train"), ("test", "t10k")):
        images, labels = raw / f"{word}-images-idx3-ubyte", raw / f"{word}-labels-idx1-ubyte"
        _save(data, split, read_idx(images), read_idx(labels))


def read_idx(path: Path):
    """uint8 array of an idx file.

    Raises:
        DataError: not an idx file of bytes, or cut off.
    """
    import numpy as np

    content = path.read_bytes() if path.is_file() else b""
    dims = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    shape = tuple(int(n) for n in np.frombuffer(content[4 : 4 + 4 * dims], dtype=">u4")) if dims else ()
    if not dims or len(shape) != dims or len(content) != 4 + 4 * dims + int(np.prod(shape)):
        raise DataError(f"{path.name}: not a complete idx file of bytes")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dims).reshape(shape)


def _cifar_binary(raw: Path, data: Path) -> None:
    """CIFAR-10's binary version: records of one label byte and 3 x 32 x 32 bytes. (The Python version is a pickle.)"""
    import numpy as np

    for split, pattern in (("train", "data_batch_*.bin"), ("test", "test_batch.bin")):
        found = sorted(raw.rglob(pattern))
        content = b"".join(p.read_bytes() for p in found)
        if not found or len(content) % 3073:
            raise DataError(f"cifar10: {pattern} is missing or cut off in the archive")
        rows = np.frombuffer(content, np.uint8).reshape(-1, 3073)
        _save(data, split, rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0])


def _cityscapes(raw: Path, data: Path) -> None:
    """The two official archives -> train/A (photo), train/B (label colors), 256 x 256, as pix2pix uses them."""
    from PIL import Image

    photos = sorted(raw.rglob("*_leftImg8bit.png"))
    if not photos:  # a ready-made side-by-side copy
        _move(unwrap(raw), data)
        return
    labels = {p.name.removesuffix("_gtFine_color.png"): p for p in raw.rglob("*_gtFine_color.png")}
    for photo in photos:
        split, stem = photo.parent.parent.name, photo.name.removesuffix("_leftImg8bit.png")
        if split not in ("train", "val"):  # the labels of the test split are not published
            continue
        if stem not in labels:
            raise DataError(f"cityscapes: {photo.name} has no _gtFine_color.png: both archives are needed")
        for side, path, how in (("A", photo, Image.Resampling.BICUBIC), ("B", labels[stem], Image.Resampling.NEAREST)):
            target = data / split / side / f"{stem}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as picture:
                picture.convert("RGB").resize((256, 256), how).save(target)


READERS: dict[str, Callable[[Path, Path], None]] = {
    "idx": _idx,
    "cifar_binary": _cifar_binary,
    "cityscapes": _cityscapes,
}


def _torchvision(name: str, raw: Path, data: Path) -> None:
    """Let torchvision read files that ``fetch`` has brought; it checks their md5 itself where it knows them."""
    import numpy as np

    try:
        from torchvision import datasets
    except ImportError as e:
        raise MissingExtra("torchvision", "train") from e
    for split in ("train", "test"):
        which = {"train": split == "train"} if name == "USPS" else {"split": split}
        try:
            read = getattr(datasets, name)(raw, download=False, **which)
        except ImportError as e:
            raise MissingExtra(e.name or "scipy", "train") from e
        except (RuntimeError, OSError, ValueError) as e:
            raise DataError(f"{name}: torchvision cannot read the files: {' '.join(str(e).split())}") from e
        images = np.asarray(read.data)
        labels = np.asarray(read.targets if name == "USPS" else read.labels)
        _save(data, split, images.transpose(0, 2, 3, 1) if images.ndim == 4 else images, labels)


def mnist_m(mnist: Path, pictures: Path, data: Path, seed: int = 0) -> None:
    """MNIST-M: |digit - crop| with a random 28 x 28 crop of a random BSDS500 training picture, per color channel.

    Ganin et al. 2016, "Domain-adversarial training of neural networks", JMLR 17(59), the MNIST-M experiment. Drawn from
    ``seed``, so the very pictures differ from the file that the authors once offered. Output: uint8 [N, 28, 28, 3],
    labels those of MNIST.
    """
    import numpy as np

    from i2i.data import layouts
    from i2i.data.pictures import read

    split = layouts.recognise(pictures).splits["train"]
    backgrounds = [read(path) for path in split.a]
    rng = np.random.default_rng(seed)
    for name in ("train", "test"):
        digits = np.load(mnist / f"{name}-images.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(mnist / f"{name}-labels.npy", allow_pickle=False)
        n, high, wide = digits.shape
        which, place = rng.integers(len(backgrounds), size=n), rng.random((n, 2))
        crops = np.empty((n, high, wide, 3), np.uint8)
        for i, picture in enumerate(backgrounds):
            mine = np.flatnonzero(which == i)
            windows = np.lib.stride_tricks.sliding_window_view(picture, (high, wide), axis=(0, 1))
            y, x = (place[mine] * windows.shape[:2]).astype(int).T
            crops[mine] = windows[y, x].transpose(0, 2, 3, 1)
        blended = np.abs(crops.astype(np.int16) - digits[..., None].astype(np.int16)).astype(np.uint8)
        _save(data, name, blended, labels)

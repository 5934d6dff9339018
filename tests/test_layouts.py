"""Folders as people have them are recognised; others are answered with what was found and what is expected."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i.data import arrays, layouts
from i2i.data.check import check
from i2i.data.layouts import Layout, Split, as_unpaired, recognise
from i2i.errors import DataError

Size = tuple[int, int]  # width, height


def build(root: Path, files: Mapping[str, Size | None]) -> Path:
    """Pictures of the given sizes; None makes a file of text."""
    for name, size in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if size is None:
            path.write_text("not a picture")
        else:
            Image.new("RGB", size).save(path)
    return root


def square(*names: str) -> dict[str, Size | None]:
    return dict.fromkeys(names, (4, 4))


def wide(*names: str) -> dict[str, Size | None]:
    return dict.fromkeys(names, (8, 4))


def names(root: Path, files: tuple[Path, ...]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in files]


def shown(layout: Layout) -> dict[str, tuple[str, list[str], list[str]]]:
    return {k: (s.kind, names(layout.root, s.a), names(layout.root, s.b)) for k, s in layout.splits.items()}


def test_side_by_side_with_splits(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, wide("test/3.jpg", "train/10.jpg", "train/9.JPG", "val/1.png")))
    assert got.name == "side-by-side"
    assert list(shown(got).items()) == [
        ("train", ("aligned", ["train/9.JPG", "train/10.jpg"], [])),
        ("val", ("aligned", ["val/1.png"], [])),
        ("test", ("aligned", ["test/3.jpg"], [])),
    ]
    assert got.problems == ()
    assert got.domains is None


@pytest.mark.parametrize(
    ("split", "size", "kind"),
    [
        ("train/", (200, 100), "aligned"),
        ("train/", (206, 100), "aligned"),  # split folders: about 2:1 will do
        ("train/", (216, 100), "single"),
        ("train/", (201, 100), "single"),  # an odd width has no halves
        ("", (200, 100), "aligned"),
        ("", (206, 100), "single"),  # without splits: exactly 2:1
    ],
)
def test_what_counts_as_side_by_side(tmp_path: Path, split: str, size: Size, kind: str) -> None:
    got = recognise(
        build(tmp_path, {f"{split}1.png": size, f"{split}2.png": (200, 100) if kind == "aligned" else size})
    )
    assert got.splits["train"].kind == kind
    assert got.name == {"aligned": "side-by-side", "single": "one folder"}[kind]


def test_one_odd_file_among_wide_ones_is_told(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, {**wide("train/1.png", "train/2.png", "train/4.png"), "train/3.png": (5, 4)}))
    assert got.splits["train"].kind == "single"
    assert got.problems == (
        "train/3.png: 5x4 is not twice as wide as high, unlike most others: train is not taken as side by side",
    )


def test_unreadable_pictures_do_not_decide(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, {**wide("train/1.png"), "train/2.png": None}))
    assert got.splits["train"].kind == "aligned"
    assert len(got.splits["train"].a) == 2


@pytest.mark.parametrize("pattern", ["{}{}", "{}_{}", "{}-{}"])
def test_train_a_train_b_is_unpaired_even_with_equal_names(tmp_path: Path, pattern: str) -> None:
    folders = {k: pattern.format(*k) for k in (("train", "A"), ("train", "B"), ("test", "a"), ("Test", "b"))}
    files = {k: f"{folder}/1.jpg" for k, folder in folders.items()}
    got = recognise(build(tmp_path, square(*files.values())))
    assert got.name == "trainA/trainB"
    assert shown(got) == {
        "train": ("unpaired", [files["train", "A"]], [files["train", "B"]]),
        "test": ("unpaired", [files["test", "a"]], [files["Test", "b"]]),
    }
    assert got.problems == ()


def test_half_a_split_is_left_out_and_told(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, square("trainA/1.jpg", "trainB/2.jpg", "testA/1.jpg")))
    assert list(got.splits) == ["train"]
    assert got.problems == ("there is testA but no pictures in testB: this split is left out",)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (square("trainA/1.jpg"), "there is trainA but no pictures in trainB"),
        (square("B/1.jpg"), "there is B but no pictures in a folder A"),
        (square("train/A/1.jpg", "test/A/1.jpg"), "there is train/A but no pictures in a folder B beside it"),
    ],
)
def test_half_a_layout_is_refused(tmp_path: Path, files: dict[str, Size | None], why: str) -> None:
    (tmp_path / "trainB").mkdir()
    with pytest.raises(DataError) as error:
        recognise(build(tmp_path, files))
    assert str(error.value).splitlines()[0].endswith(f": the layout is not recognised: {why}")


@pytest.mark.parametrize("letters", ["AB", "ab"])
def test_train_slash_a(tmp_path: Path, letters: str) -> None:
    a, b = letters
    files = [f"train/{a}/x 2.png", f"train/{a}/x 10.png", f"train/{b}/x 10.jpg", f"train/{b}/x 2.jpg"]
    got = recognise(build(tmp_path, square(*files, f"valid/{a}/q.png", f"valid/{b}/r.png")))
    assert got.name == "train/A"
    assert got.domains is None
    assert shown(got) == {
        "train": ("paired", files[:2], [files[3], files[2]]),
        "val": ("unpaired", [f"valid/{a}/q.png"], [f"valid/{b}/r.png"]),
    }


def test_a_slash_train_as_the_tools_of_pix2pix_have_it(tmp_path: Path) -> None:
    got = recognise(
        build(tmp_path, square("A/train/1.jpg", "B/train/1.jpg", "A/test/2.jpg", "B/test/2.jpg", "A/val/3.jpg"))
    )
    assert got.name == "train/A"
    assert shown(got) == {
        "train": ("paired", ["A/train/1.jpg"], ["B/train/1.jpg"]),
        "test": ("paired", ["A/test/2.jpg"], ["B/test/2.jpg"]),
    }
    assert got.problems == ("A/val: the other side has no such folder: left out",)


def test_a_and_b_pair_by_path_without_suffix(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, square("A/u/1.png", "A/v/1.png", "B/v/1.JPEG", "B/u/1.bmp")))
    assert got.name == "A and B"
    assert shown(got) == {"train": ("paired", ["A/u/1.png", "A/v/1.png"], ["B/u/1.bmp", "B/v/1.JPEG"])}


def test_lone_pictures_and_double_names_are_told_and_kept_aside(tmp_path: Path) -> None:
    root = build(
        tmp_path, square("A/1.png", "A/2.png", "A/2.jpg", "A/3.png", "A/4.png", "B/1.png", "B/2.png", "B/3.png")
    )
    got = recognise(root)
    split = got.splits["train"]
    assert (split.kind, names(root, split.a), names(root, split.b)) == (
        "paired",
        ["A/1.png", "A/2.jpg", "A/3.png"],
        ["B/1.png", "B/2.png", "B/3.png"],
    )
    assert names(root, split.lone_a) == ["A/2.png", "A/4.png"]
    assert split.lone_b == ()
    assert got.problems == (
        "A/4.png: no picture of the same name in B",
        "A/2.png: a second picture of the same name in A",
    )
    loose = as_unpaired(split)
    assert loose.kind == "unpaired"
    assert names(root, loose.a) == ["A/1.png", "A/2.jpg", "A/2.png", "A/3.png", "A/4.png"]
    assert loose.b == split.b


def test_few_equal_names_are_no_pairs(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, square("A/1.png", "A/2.png", "B/1.png", "B/8.png")))
    assert got.splits["train"].kind == "unpaired"
    assert len(got.splits["train"].a) == len(got.splits["train"].b) == 2
    assert got.problems == ("A, B: 1 of 2 names in both: taken as unpaired",)


@pytest.mark.parametrize(("prefix", "name"), [("", "A and B"), ("train/", "train/A")])
def test_two_folders_of_any_name(tmp_path: Path, prefix: str, name: str) -> None:
    got = recognise(build(tmp_path, square(f"{prefix}Photos/1.jpg", f"{prefix}monet/x.jpg", f"{prefix}monet/y.jpg")))
    assert got.name == name
    assert got.domains == ("monet", "Photos")
    kind, a, b = shown(got)["train"]
    assert (kind, len(a), b) == ("unpaired", 2, [f"{prefix}Photos/1.jpg"])


def test_one_folder(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, square("b.jpg", "a.PNG", "more/deep/c.webp")))
    assert got.name == "one folder"
    assert shown(got) == {"train": ("single", ["a.PNG", "b.jpg", "more/deep/c.webp"], [])}


def test_one_folder_with_splits(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, square("train/1.jpg", "train/sub/2.jpg", "TEST/3.jpg")))
    assert got.name == "one folder"
    assert shown(got) == {
        "train": ("single", ["train/1.jpg", "train/sub/2.jpg"], []),
        "test": ("single", ["TEST/3.jpg"], []),
    }


def test_what_archives_bring_along_does_not_count(tmp_path: Path) -> None:
    junk = [
        "__MACOSX/set/trainA/._1.jpg",
        "set/trainA/._1.jpg",
        "set/trainA/Thumbs.db",
        "set/.cache/x.jpg",
        "README.txt",
    ]
    got = recognise(build(tmp_path, {**square("set/trainA/1.jpg", "set/trainB/2.jpg"), **dict.fromkeys(junk)}))
    assert shown(got) == {"train": ("unpaired", ["set/trainA/1.jpg"], ["set/trainB/2.jpg"])}
    assert got.root == tmp_path
    assert got.problems == ()


def test_what_lies_beside_is_told(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, square("trainA/1.jpg", "trainB/2.jpg", "teaser.png", "extra/a.png", "extra/b.png")))
    assert got.problems == (
        "teaser.png: not used: it lies beside the folders of pictures",
        "extra: not used (2 pictures)",
    )


def test_splits_that_are_laid_out_otherwise_are_left_out(tmp_path: Path) -> None:
    got = recognise(build(tmp_path, {**wide("train/1.png"), **square("test/1.png")}))
    assert list(got.splits) == ["train"]
    assert got.problems == ("test: laid out otherwise (one folder) than the rest (side-by-side): left out",)


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    build(tmp_path, square("store/apples/1.jpg", "store/oranges/2.jpg"))
    root = tmp_path / "set"
    root.mkdir()
    try:
        (root / "trainA").symlink_to(tmp_path / "store/apples", target_is_directory=True)
        (root / "trainB").symlink_to(tmp_path / "store/oranges", target_is_directory=True)
        (tmp_path / "store/oranges/back").symlink_to(root, target_is_directory=True)
        (tmp_path / "store/oranges/self").symlink_to(tmp_path / "store/oranges", target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    split = recognise(root).splits["train"]
    assert names(root, split.a) == ["trainA/1.jpg"]
    assert names(root, split.b)[0] == "trainB/2.jpg"
    assert not any("self" in path.parts for path in split.b)


def test_natural_order() -> None:
    paths = [Path(n) for n in ("x10", "x9", "X1", "2", "10", "x09b", "a²")]
    assert [p.name for p in sorted(paths, key=layouts.natural)] == ["2", "10", "a²", "X1", "x9", "x09b", "x10"]


def test_arrays(tmp_path: Path) -> None:
    for split, n in (("train", 3), ("test", 2)):
        np.save(tmp_path / f"{split}-images.npy", np.zeros((n, 4, 4), np.uint8))
        np.save(tmp_path / f"{split}-labels.npy", np.zeros(n, np.int64))
    got = recognise(tmp_path)
    assert got.name == "arrays"
    assert shown(got) == {
        "train": ("arrays", ["train-images.npy"], ["train-labels.npy"]),
        "test": ("arrays", ["test-images.npy"], ["test-labels.npy"]),
    }
    (tmp_path / "test-labels.npy").unlink()
    with pytest.raises(DataError, match=r"test-labels\.npy: no such file, and test-images\.npy needs it"):
        recognise(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4)), np.zeros(2, int), r"train-images\.npy: expected uint8 .* found float64 \[2, 4, 4\]"),
        (np.zeros((2, 4), np.uint8), np.zeros(2, int), r"train-images\.npy: expected uint8 .* found uint8 \[2, 4\]"),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2), r"train-labels\.npy: expected int64 \[N\], found float64 \[2\]"),
        (np.zeros((2, 4, 4), np.uint8), np.zeros(3, int), r"train-labels\.npy: 3 labels for the 2 images"),
        (np.array([{}], object), np.zeros(1, int), r"train-images\.npy: not a readable \.npy file of numbers"),
        (b"", np.zeros(1, int), r"train-images\.npy: not a readable \.npy file of numbers"),
    ],
)
def test_arrays_are_loaded_only_if_they_are_right(tmp_path: Path, images: object, labels: object, message: str) -> None:
    paths = tmp_path / "train-images.npy", tmp_path / "train-labels.npy"
    for path, content in zip(paths, (images, labels), strict=True):
        path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    with pytest.raises(DataError, match=message):
        arrays.load(*paths)


def test_as_unpaired(tmp_path: Path) -> None:
    one = (tmp_path / "1.png",)
    assert as_unpaired(Split("aligned", one)) == Split("aligned", one)
    assert as_unpaired(Split("unpaired", one, one)) == Split("unpaired", one, one)
    for kind in ("single", "arrays"):
        with pytest.raises(DataError, match="pictures of one domain only"):
            as_unpaired(Split(kind, one))


def test_missing_folder_file_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        recognise(tmp_path / "gone")
    assert str(error.value) == f"{tmp_path / 'gone'}: no such folder"
    file = build(tmp_path / "x", square("1.png")) / "1.png"
    with pytest.raises(DataError) as error:
        recognise(file)
    assert str(error.value) == f"{file}: a file, not a folder: name the folder that holds the pictures"
    empty = build(tmp_path / "y", {"deep/set.mat": None, "a.zip": None, "b.zip": None})
    with pytest.raises(DataError) as error:
        recognise(empty)
    assert str(error.value).startswith(f"no pictures in {empty}: looked for .avif .bmp .gif ")
    assert str(error.value).endswith(" .webp; found only .zip, .mat")


def test_unknown_layout_shows_what_was_found_and_what_is_expected(tmp_path: Path) -> None:
    root = build(tmp_path, square("cat/1.jpg", "cat/2.jpg", "dog/x/1.jpg", "wild/1.jpg"))
    with pytest.raises(DataError) as error:
        recognise(root)
    lines = str(error.value).splitlines()
    assert lines[:5] == [
        f"{root}: the layout is not recognised: folders with pictures are cat, dog, wild",
        "found:",
        "  cat/                         2 pictures, like 1.jpg",
        "  dog/x/                       1 picture, like 1.jpg",
        "  wild/                        1 picture, like 1.jpg",
    ]
    assert lines[5] == "expected one of:"
    for word in ("train/*.jpg", "trainA/*.jpg", "train/A/*.jpg", "A/*.jpg", "*.jpg"):
        assert any(line.strip().startswith(word) for line in lines[6:])


def test_a_large_tree_is_shown_in_part(tmp_path: Path) -> None:
    root = build(tmp_path, square(*(f"train/class{i}/1.jpg" for i in range(30))))
    with pytest.raises(DataError) as error:
        recognise(root)
    text = str(error.value)
    assert "folders with pictures in train are class0, class1, class2, class3, class4, class5 and 24 more" in text
    found = text.split("found:\n")[1].split("\nexpected")[0].splitlines()
    assert len(found) == 12
    assert found[-1] == "  ... and 19 more folders"


@pytest.mark.skipif(os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads anything")
def test_folder_without_permission(tmp_path: Path) -> None:
    build(tmp_path, square("A/1.png", "B/1.png"))
    (tmp_path / "A").chmod(0)
    try:
        with pytest.raises(DataError, match="the folder cannot be read"):
            recognise(tmp_path)
    finally:
        (tmp_path / "A").chmod(0o755)


def digits(folder: Path, *splits: str) -> None:
    folder.mkdir(parents=True)
    for split in splits:
        np.save(folder / f"{split}-images.npy", np.zeros((2, 4, 4), np.uint8))
        np.save(folder / f"{split}-labels.npy", np.zeros(2, np.int64))


def test_two_labelled_domains(tmp_path: Path) -> None:
    digits(tmp_path / "mnist", "test", "train", "val")
    digits(tmp_path / "svhn", "train", "test")
    found = recognise(tmp_path)
    assert (found.name, found.domains, list(found.splits)) == ("arrays", ("mnist", "svhn"), ["train", "test"])
    assert found.splits["test"] == Split(
        "arrays",
        (tmp_path / "mnist/test-images.npy", tmp_path / "svhn/test-images.npy"),
        (tmp_path / "mnist/test-labels.npy", tmp_path / "svhn/test-labels.npy"),
    )
    assert found.problems == ("val: only one of mnist and svhn has it: left out",)
    report = check(tmp_path)
    assert ("train svhn", "2 images of 4x4, 1 channel") in report.rows()


def test_labelled_domains_that_do_not_make_two(tmp_path: Path) -> None:
    digits(tmp_path / "one/a", "train")
    digits(tmp_path / "other/a", "train")
    digits(tmp_path / "other/b", "test")
    with pytest.raises(DataError, match=r"one: number arrays in a: two folders, A and B, are two domains; name one"):
        recognise(tmp_path / "one")
    with pytest.raises(DataError, match=r"other: a has train, b has test: no split in both$"):
        recognise(tmp_path / "other")

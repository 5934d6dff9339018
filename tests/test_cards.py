"""Every packaged card is valid and complete; names and folders are resolved, and refused, in clear words."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i import card as cards
from i2i import paths
from i2i.card import Card, describe, load, names, resolve
from i2i.errors import CardError, DataError, UsageError
from i2i.strict import Source, validate

FILES = sorted(paths.data("datasets").glob("*"))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_packaged_card(path):
    assert path.suffix == ".yaml", "only cards live in datasets/"
    card = load(path.stem)
    assert len(card.about.licence) > 2
    assert len(card.about.cite) > 5
    assert card.generate or card.about.homepage.startswith(("https://", "http://"))
    for file in card.files:
        assert all(url.startswith(("https://", "http://")) for url in file.urls)
        assert file.urls or card.withheld
    assert bool(card.files) != bool(card.generate)
    assert all(needed in names() for needed in card.made_from)
    for count in card.splits.values():
        two = card.kind == "unpaired" or (card.kind == "labelled" and len(card.domains) == 2)
        assert isinstance(count, tuple) == two
    assert (card.layout == "arrays") == (card.kind == "labelled")
    rows = dict(describe(card))
    assert rows["licence"] == card.about.licence
    assert rows["on this machine"] == "not downloaded"


def test_the_promised_data_sets_are_there():
    promised = """shapes shapes_unpaired facades maps edges2shoes edges2handbags night2day cityscapes apple2orange
        horse2zebra summer2winter_yosemite monet2photo cezanne2photo ukiyoe2photo vangogh2photo iphone2dslr_flower
        ae_photos maps_unpaired facades_unpaired mnist fashion_mnist mnist_m usps svhn bsds500 t91 set5 set14 bsd100
        urban100 div2k celeba cifar10 stl10 afhq afhq_cat mnist-mnist_m sr291"""
    assert set(promised.split()) <= set(names())


def test_describe_tells_counts_and_sides():
    rows = dict(describe(load("apple2orange")))
    assert rows["domains"] == "a = apple, b = orange"
    assert rows["pictures"] == "train 995 + 1019, test 266 + 248"
    assert dict(describe(load("mnist_m")))["source"] == "made by i2i from mnist and bsds500, no download"


def test_unknown_name():
    with pytest.raises(CardError) as e:
        load("aple2orange")
    assert str(e.value) == (
        "no data set is called 'aple2orange'; did you mean 'apple2orange'?"
        " ('i2i datasets list' shows all; a folder of your own is given as a path: ./folder)"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("facades", "facades: not downloaded yet: i2i datasets download facades"),
        ("cityscapes", "cityscapes: not downloaded yet: i2i datasets download cityscapes --from-file FILE"),
    ],
)
def test_not_downloaded(name, text):
    with pytest.raises(CardError) as e:
        resolve(name)
    assert str(e.value) == text


def test_missing_folder_and_file_for_folder(tmp_path):
    with pytest.raises(DataError) as e:
        resolve("./no_such_folder")
    assert str(e.value) == "./no_such_folder: no such folder"
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as e:
        resolve(tmp_path / "file")
    assert str(e.value) == f"{tmp_path / 'file'}: a data set is a folder, this is a file"


def test_odd_names():
    long = "n" * 300
    with pytest.raises(CardError, match=f"no data set is called '{long}'"):
        resolve(long)
    with pytest.raises(DataError, match=f"^./{long}: no such folder$"):
        resolve(f"./{long}")
    with pytest.raises(UsageError) as e:
        resolve("~nosuchuser/x")
    assert str(e.value) == "~nosuchuser/x: no home folder is known for ~nosuchuser: write the path in full"


def test_own_folder_becomes_a_card(tmp_path, monkeypatch):
    own = _unpaired(tmp_path / "My Cats & Dogs")
    card, folder = resolve(own)
    assert folder == own
    assert (card.name, card.kind, card.layout) == ("my_cats_dogs", "unpaired", "trainA/trainB")
    assert card.splits == {"train": (2, 1)}
    monkeypatch.chdir(tmp_path)
    assert resolve("My Cats & Dogs")[0].name == "my_cats_dogs"


def test_a_name_beats_a_folder_but_a_path_is_a_folder(tmp_path, monkeypatch):
    _unpaired(tmp_path / "facades")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CardError, match="not downloaded yet"):
        resolve("facades")
    assert resolve("./facades")[0].kind == "unpaired"


def test_only_the_marker_makes_a_prepared_folder_complete():
    folder = _unpaired(cards.prepared("apple2orange"))
    with pytest.raises(CardError, match="not downloaded yet"):
        resolve("apple2orange")
    (folder / "card.json").write_text('{"format": 1, "card": "apple2')
    assert not cards.is_ready(load("apple2orange"))
    (folder / "card.json").write_text(json.dumps({"format": 1, "card": "apple2orange"}))
    card, found = resolve("apple2orange")
    assert (card.title, found) == (load("apple2orange").title, folder)
    assert resolve(folder)[0] == card, "the prepared folder given as a path keeps its card"


def test_arrays_are_counted_in_rows(tmp_path):
    np.save(tmp_path / "train-images.npy", np.zeros((7, 4, 4), np.uint8))
    np.save(tmp_path / "train-labels.npy", np.zeros(7, np.int64))
    card, _ = resolve(tmp_path)
    assert (card.kind, card.splits) == ("labelled", {"train": 7})


TREE = {
    "name": "x",
    "title": "X",
    "about": {"homepage": "https://example.org", "licence": "MIT", "cite": "nobody"},
    "kind": "single",
    "domains": ["picture"],
    "layout": "one folder",
    "files": [{"name": "x.zip", "urls": ["https://example.org/x.zip"]}],
}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"licens": 1}, "x.yaml: licens: unknown key"),
        ({"files": [{"name": "x.zip", "urls": ["ftp://example.org/x.zip"]}]}, "is not an http or https address"),
        ({"files": [{"name": "../x.zip", "urls": ["https://example.org/x.zip"]}]}, "must be a plain relative name"),
        ({"take": {"train": "/etc"}}, "must be a plain relative name"),
        ({"files": [{"name": "x.zip"}]}, "no address for x.zip, and no 'withheld' that says how to get it"),
        ({"domains": ["a", "b"]}, "a single data set has 1 domain(s), the card names 2"),
        ({"generate": "shapes"}, "a generated data set has no files"),
    ],
)
def test_a_wrong_card_is_refused(change, text):
    validate(Card, TREE, Source("x.yaml"), CardError)
    with pytest.raises(CardError) as e:
        validate(Card, TREE | change, Source("x.yaml"), CardError)
    assert text in str(e.value)


def _unpaired(root: Path) -> Path:
    for side, count in (("trainA", 2), ("trainB", 1)):
        (root / side).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (i, 9, 9)).save(root / side / f"{i}.png")
    return root

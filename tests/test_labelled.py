"""Labelled data: who shows a label, what is a and what is b; the labels of b are for measuring."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from i2i.data.batches import Labelled, Pair, loader, open_split
from i2i.data.labelled import Shown
from i2i.data.layouts import Split, recognise
from i2i.data.samples import Samples
from i2i.data.transforms import View
from i2i.errors import DataError

VIEW = View(size=(32, 32), flip=False)


def taken(data: Samples, count: int, **options: object) -> list[Labelled]:
    return list(itertools.islice(loader(data, **{"batch": 4, "seed": 3, **options}), count))


@pytest.fixture
def one(digits: Path) -> Split:
    return recognise(digits / "A").splits["train"]


@pytest.fixture
def two(digits: Path) -> Split:
    return recognise(digits).splits["train"]


def test_two_domains_are_a_and_b(two: Split) -> None:
    data = open_split(Labelled, two, VIEW)
    batch = taken(data, 1)[0]
    assert data.classes == 3
    assert batch.a.shape == batch.b.shape == (4, 3, 32, 32)
    assert batch.a_labels.dtype == batch.b_labels.dtype == torch.int64
    assert batch.a.amin() < -0.5 < batch.b.amin()  # b stands on a lighter ground
    turned = taken(open_split(Labelled, two, View(size=(32, 32), flip=False, direction="b2a")), 1)[0]
    assert turned.b.amin() < -0.5 < turned.a.amin()


def test_a_label_belongs_to_its_picture(two: Split) -> None:
    for batch in taken(open_split(Labelled, two, VIEW), 6):
        for pictures, labels in ((batch.a, batch.a_labels), (batch.b, batch.b_labels)):
            rows = pictures.mean((1, 3))  # the bar of class k lies at k thirds of the height
            found = torch.stack([rows[:, 5 + 8 * k : 9 + 8 * k].mean(1) for k in range(3)], 1).argmax(1)
            assert torch.equal(found, labels)


def test_a_labelled_set_shows_some_and_gives_all(one: Split) -> None:
    data = open_split(Labelled, one, VIEW, shown=Shown(6, seed=1))
    assert data.sizes == (6, 24)
    seen = torch.cat([batch.a.flatten(1) for batch in taken(data, 6)]).unique(dim=0)
    labels = torch.cat([batch.a_labels for batch in taken(data, 3)])
    assert len(seen) == 6
    assert labels.bincount().tolist() == [4, 4, 4]  # two of each class, each shown twice in twelve places
    assert len(torch.cat([batch.b.flatten(1) for batch in taken(data, 6)]).unique(dim=0)) == 24


def test_which_labels_are_shown_depends_on_the_seed_alone(one: Split) -> None:
    def rows(seed: int) -> list[int]:
        return open_split(Labelled, one, VIEW, shown=Shown(6, seed)).a.rows.tolist()

    assert rows(1) == rows(1)
    assert len({tuple(rows(seed)) for seed in range(8)}) > 4


@pytest.mark.parametrize(("number", "says"), [(4, "a multiple of 3"), (27, "a multiple of 3 (its classes) up to 24")])
def test_a_number_of_labels_that_cannot_be(one: Split, number: int, says: str) -> None:
    with pytest.raises(DataError) as e:
        open_split(Labelled, one, VIEW, shown=Shown(number, 0))
    assert str(e.value).startswith(f"data.labelled={number}: train-labels.npy allows ")
    assert says in str(e.value)


def test_pictures_without_labels_are_b_and_a_is_empty(pictures: Path) -> None:
    split = recognise(pictures).splits["train"]
    data = open_split(Labelled, split, VIEW)
    batch = taken(data, 1)[0]
    assert (data.classes, batch.a.shape, batch.b.shape) == (0, (0, 3, 32, 32), (4, 3, 32, 32))
    assert batch.a_labels.shape == (0,)
    assert batch.b_labels.tolist() == [-1] * 4
    with pytest.raises(DataError, match=r"^data\.labelled=3: .*train holds pictures without labels$"):
        open_split(Labelled, split, VIEW, shown=Shown(3, 0))


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_of_two_domains_without_labels_b_is_the_one_to_paint(pairs: Path, direction: str) -> None:
    split = recognise(pairs).splits["train"]
    view = View(size=(32, 32), flip=False, direction=direction)
    batch = taken(open_split(Labelled, split, view), 1, batch=6, shuffle=False)[0]
    both = taken(open_split(Pair, split, view), 1, batch=6, shuffle=False)[0]
    assert torch.equal(batch.b, both.b)
    assert batch.a.shape == (0, 3, 32, 32)


def test_gray_and_color_become_what_the_view_says(tmp_path: Path) -> None:
    gray = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    np.save(tmp_path / "train-images.npy", gray)
    np.save(tmp_path / "train-labels.npy", np.zeros(2, np.int64))
    split = recognise(tmp_path).splits["train"]
    color = taken(open_split(Labelled, split, View(size=(8, 8), flip=False)), 1, batch=2, shuffle=False)[0]
    plain = View(size=(8, 8), flip=False, channels=(1, 1))
    single = taken(open_split(Labelled, split, plain), 1, batch=2, shuffle=False)[0]
    assert torch.equal(color.b, single.b.expand(-1, 3, -1, -1))
    assert torch.equal(single.b[:, 0], torch.from_numpy(gray).float() / 127.5 - 1)
    np.save(tmp_path / "train-images.npy", np.zeros((2, 8, 8, 2), np.uint8))
    with pytest.raises(DataError, match=r"train-images\.npy: 2 channels: pictures have 1 \(gray\) or 3 \(RGB\)$"):
        open_split(Labelled, split, plain)


def test_workers_and_resuming_change_nothing(two: Split) -> None:
    data = open_split(Labelled, two, VIEW)
    plain = taken(data, 5)
    for others in (taken(data, 5, workers=2), plain[:2] + taken(data, 3, start=8)):
        assert all(torch.equal(x, y) for p, q in zip(plain, others, strict=True) for x, y in zip(p, q, strict=True))

"""The place in the data is a pure function of (seed, position): workers, ranks, kills and caches change nothing."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from i2i.data.batches import Pair, Pictures, Unpaired, as_float, loader, open_split
from i2i.data.layouts import Split
from i2i.data.samplers import BatchSampler, mix, permutation
from i2i.data.transforms import Augment, View, resize
from i2i.errors import DataError, TrainingError

VIEW = View(size=(16, 16), load=(20, 20))
COUNT = 7


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(folder: Path, count: int, *, first: int = 0, height: int = 24, width: int = 24) -> tuple[Path, ...]:
    folder.mkdir()
    files = tuple(folder / f"{i}.png" for i in range(count))
    for i, file in enumerate(files):
        Image.fromarray(noise(height, width, first + i)).save(file)
    return files


@pytest.fixture
def aligned(tmp_path: Path) -> Split:
    return Split("aligned", write(tmp_path / "train", COUNT, width=48), ())


@pytest.fixture
def unpaired(tmp_path: Path) -> Split:
    return Split("unpaired", write(tmp_path / "trainA", COUNT), write(tmp_path / "trainB", 4, first=100))


def take(dataset: Pictures, count: int, **options: object) -> list:
    options = {"batch": 2, "seed": 3, **options}
    return list(itertools.islice(loader(dataset, **options), count))


def same(xs: list, ys: list) -> bool:
    return len(xs) == len(ys) > 0 and all(
        type(x) is type(y) and torch.equal(x.a, y.a) and torch.equal(x.b, y.b) for x, y in zip(xs, ys, strict=True)
    )


# -- what a batch is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [Pair, Unpaired])
def test_a_batch_is_contiguous_floats_between_minus_one_and_one(aligned: Split, reads: type) -> None:
    batch = take(open_split(reads, aligned, VIEW), 1)[0]
    assert type(batch) is reads
    for side in batch:
        assert side.shape == (2, 3, 16, 16)
        assert side.dtype == torch.float32
        assert side.is_contiguous()
        assert -1 <= side.min() < -0.9
        assert 0.9 < side.max() <= 1


def test_floats_are_x_over_127_5_minus_1() -> None:
    x = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16, 1)
    assert torch.equal(as_float(x).flatten(), torch.arange(256, dtype=torch.float32) / 127.5 - 1)


def test_evaluation_resizes_straight_and_shows_each_picture_once_in_order(aligned: Split) -> None:
    view = replace(VIEW, size=(24, 24), load=None, train=False)
    dataset = open_split(Pair, aligned, view)
    batches = take(dataset, 99, batch=3, stop=len(dataset), shuffle=False)
    assert [len(batch.a) for batch in batches] == [3, 3, 1]
    wide = [np.asarray(Image.open(file)) for file in aligned.a]
    assert torch.equal(
        torch.cat([x.a for x in batches]), as_float(torch.from_numpy(np.stack([w[:, :24] for w in wide])))
    )
    assert torch.equal(
        torch.cat([x.b for x in batches]), as_float(torch.from_numpy(np.stack([w[:, 24:] for w in wide])))
    )


def test_paired_folders_give_the_same_batches_as_the_same_pictures_side_by_side(aligned: Split, tmp_path: Path) -> None:
    for side, cut in (("A", slice(0, 24)), ("B", slice(24, 48))):
        (tmp_path / side).mkdir()
        for file in aligned.a:
            Image.fromarray(np.asarray(Image.open(file))[:, cut]).save(tmp_path / side / file.name)
    paired = Split(
        "paired", tuple(tmp_path / "A" / f.name for f in aligned.a), tuple(tmp_path / "B" / f.name for f in aligned.a)
    )
    for reads in (Pair, Unpaired):
        assert same(take(open_split(reads, aligned, VIEW), 5), take(open_split(reads, paired, VIEW), 5))


@pytest.mark.parametrize("kind", ["aligned", "unpaired"])
@pytest.mark.parametrize("channels", [(1, 3), (3, 1), (1, 1)])
def test_direction_and_channels(request: pytest.FixtureRequest, kind: str, channels: tuple[int, int]) -> None:
    split = request.getfixturevalue(kind)
    reads = Pair if kind == "aligned" else Unpaired
    view = replace(VIEW, channels=channels, train=False)
    forth = take(open_split(reads, split, view), 1, shuffle=False)[0]
    back = take(open_split(reads, split, replace(view, direction="b2a", channels=channels[::-1])), 1, shuffle=False)[0]
    assert (forth.a.shape[1], forth.b.shape[1]) == channels
    assert torch.equal(forth.a, back.b)
    assert torch.equal(forth.b, back.a)
    color = take(open_split(reads, split, replace(VIEW, train=False)), 1, shuffle=False)[0]
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]  # ITU-R 601
    for side, colored in zip(forth, color, strict=True):
        if side.shape[1] == 1:
            torch.testing.assert_close(side[:, 0], (colored * weights).sum(1), atol=0.02, rtol=0)


def test_halves_of_a_pair_stay_each_others_negative(tmp_path: Path) -> None:
    a = noise(24, 24, 0)
    file = tmp_path / "x.png"
    Image.fromarray(np.concatenate([a, 255 - a], axis=1)).save(file)
    dataset = open_split(Pair, Split("aligned", (file,), ()), replace(VIEW, load=(24, 24)))
    batches = take(dataset, 20)
    for batch in batches:
        torch.testing.assert_close(batch.a, -batch.b, atol=1e-6, rtol=0)
    assert len({batch.a.numpy().tobytes() for batch in batches}) > 10  # and it is augmented at all


def test_unpaired_sides_are_augmented_independently(tmp_path: Path) -> None:
    file = write(tmp_path / "A", 1)
    batch = take(open_split(Unpaired, Split("unpaired", file, file), VIEW), 1, batch=16)[0]
    equal = sum(torch.equal(a, b) for a, b in zip(batch.a, batch.b, strict=True))
    assert equal <= 3  # of 50 possible views two draws rarely agree


def test_a_small_picture_is_resized_up_and_an_odd_width_is_halved(tmp_path: Path) -> None:
    split = Split("aligned", write(tmp_path / "train", 1, height=3, width=7), ())
    batch = take(open_split(Pair, split, VIEW), 1)[0]
    assert batch.a.shape == batch.b.shape == (2, 3, 16, 16)


# -- the order ---------------------------------------------------------------------------------------------------------


def test_every_picture_of_each_side_comes_once_before_any_comes_again() -> None:
    places = next(iter(BatchSampler((7, 4), tied=False, batch=28, seed=1)))
    for e in range(4):
        assert sorted(p.a for p in places[e * 7 : e * 7 + 7]) == list(range(7))
    for e in range(7):
        assert sorted(p.b for p in places[e * 4 : e * 4 + 4]) == list(range(4))
    assert [p.a for p in places[:7]] != [p.a for p in places[7:14]]  # a new order each epoch
    assert len({p.seed for p in places}) == 28
    tied = next(iter(BatchSampler((7, 7), tied=True, batch=28, seed=1)))
    assert all(p.a == p.b for p in tied)


def test_the_order_is_pinned() -> None:
    """A change of these numbers would make every saved training go on somewhere else."""
    assert mix(0) == 16294208416658607535  # splitmix64's first output for seed 0
    assert mix(1, 2) != mix(2, 1)
    assert permutation(10, mix(5)).tolist() == [2, 8, 6, 1, 3, 7, 0, 5, 4, 9]
    assert mix(2**70 + 5) == mix(5)
    assert mix(-1) != mix(1)


def test_orders_are_evenly_spread() -> None:
    firsts = np.bincount([permutation(8, mix(k))[0] for k in range(4000)], minlength=8)
    assert abs(firsts - 500).max() < 100  # 4.8 standard deviations


@pytest.mark.parametrize("reads", [Pair, Unpaired])
@pytest.mark.parametrize("step", [1, 4, 9])
def test_resume_from_any_step(aligned: Split, reads: type, step: int) -> None:
    whole = take(open_split(reads, aligned, VIEW), 12)
    assert same(take(open_split(reads, aligned, VIEW), 12 - step, start=2 * step), whole[step:])
    assert not same(whole[:3], whole[step : step + 3])


@pytest.mark.parametrize("reads", [Pair, Unpaired])
def test_ranks_see_together_what_one_process_sees(aligned: Split, reads: type) -> None:
    dataset = open_split(reads, aligned, VIEW)
    one = take(dataset, 6, batch=6, start=12)
    ranks = [take(dataset, 6, batch=2, start=12, rank=r, world=3) for r in range(3)]
    joined = [reads(*(torch.cat(side) for side in zip(*parts, strict=True))) for parts in zip(*ranks, strict=True)]
    assert same(joined, one)


def test_ranks_share_an_evaluation_without_gap_or_overlap() -> None:
    options = {"tied": True, "batch": 2, "seed": 0, "stop": 7, "world": 3, "shuffle": False}
    seen = [[p.a for places in BatchSampler((7, 7), rank=r, **options) for p in places] for r in range(3)]
    assert seen == [[0, 1, 6], [2, 3], [4, 5]]


def test_a_start_that_does_not_fit_the_batch_is_refused(aligned: Split) -> None:
    with pytest.raises(
        TrainingError, match=r"cannot go on at image 6: not a multiple of 4 \(2 a batch x 2 processes\)"
    ):
        loader(open_split(Pair, aligned, VIEW), batch=2, start=6, world=2)


def test_a_split_smaller_than_the_batch_goes_round(tmp_path: Path) -> None:
    dataset = open_split(Pair, Split("aligned", write(tmp_path / "train", 1, width=48), ()), VIEW)
    assert take(dataset, 2, batch=5)[1].a.shape[0] == 5


# -- workers and random numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reads", [Pair, Unpaired])
def test_workers_and_cache_change_nothing(aligned: Split, reads: type) -> None:
    plain = take(open_split(reads, aligned, VIEW), 12, start=2)
    cached = open_split(reads, aligned, VIEW, cache_bytes=1 << 20)
    half = open_split(reads, aligned, VIEW, cache_bytes=COUNT * 20 * 20 * 3)
    assert same(take(cached, 12, start=2, workers=2), plain)  # fills it
    assert same(take(cached, 12, start=2), plain)  # and reads it
    assert same(take(half, 12, start=2, workers=1), plain)
    assert same(take(pickle.loads(pickle.dumps(cached)), 12, start=2), plain)  # as a spawned worker gets it


def test_augmentation_is_the_samples_own() -> None:
    """Neither what was drawn before nor the object it is drawn with matters."""
    x = noise(20, 20, 0)
    first, second = Augment(VIEW), Augment(VIEW)
    forward = [first.single(x, seed) for seed in range(20)]
    backward = [second.single(x, seed) for seed in reversed(range(20))][::-1]
    np.testing.assert_array_equal(forward, backward)


def test_crop_and_flip_are_independent_of_each_other() -> None:
    ramp = np.broadcast_to(np.arange(20, dtype=np.uint8)[None, :, None], (20, 20, 3)).copy()
    augment = Augment(VIEW)
    seen: dict[int, set[bool]] = {}
    for seed in range(200):
        row = augment.single(ramp, mix(seed))[0, :, 0]
        seen.setdefault(int(row.min()), set()).add(bool(row[0] > row[-1]))
    assert seen == {left: {False, True} for left in range(5)}  # every place, flipped and not


@pytest.mark.parametrize("workers", [0, 1])
def test_no_global_random_generator_is_touched(aligned: Split, workers: int) -> None:
    dataset = open_split(Unpaired, aligned, VIEW, cache_bytes=1 << 20)
    before = random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state()
    first = take(dataset, 3, workers=workers)
    after = random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    assert same(take(dataset, 3, workers=workers), first)


# -- resizing ----------------------------------------------------------------------------------------------------------


def test_strong_shrinking_does_not_alias() -> None:
    """Stripes finer than the result can show become even gray."""
    stripes = np.zeros((30, 2001, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(resize(stripes, (20, 286))[:, 4:-4].astype(int)) <= 4


def test_resize_is_pillows_bicubic_also_for_one_channel() -> None:
    x = noise(24, 30, 0)
    expected = np.asarray(Image.fromarray(x).resize((20, 18), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resize(x, (18, 20)), expected)
    np.testing.assert_array_equal(resize(x[..., 1:2], (18, 20))[..., 0], expected[..., 1])
    assert resize(x, (24, 30)) is x


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("cache_bytes", [0, 1 << 20])
def test_a_corrupt_picture_is_one_clear_line(aligned: Split, workers: int, cache_bytes: int) -> None:
    aligned.a[3].write_bytes(aligned.a[3].read_bytes()[:100])
    batches = loader(open_split(Pair, aligned, VIEW, cache_bytes=cache_bytes), batch=2, workers=workers)
    with pytest.raises(DataError) as caught:
        list(itertools.islice(batches, 8))
    assert str(aligned.a[3]) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_killed_worker_is_one_clear_line(aligned: Split) -> None:
    batches = loader(open_split(Pair, aligned, VIEW), batch=2, workers=1)
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.kill()
    worker.join()
    sum(range(10**6))  # other work between batches is not interrupted
    with pytest.raises(DataError, match="killed, most likely for lack of memory"):
        list(itertools.islice(batches, 30))


def test_closing_the_iterator_ends_its_workers(aligned: Split) -> None:
    batches = loader(open_split(Pair, aligned, VIEW), batch=2, workers=2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert not multiprocessing.active_children()


def test_pairs_from_unpaired_pictures_are_refused(unpaired: Split) -> None:
    with pytest.raises(DataError) as caught:
        open_split(Pair, unpaired, VIEW, who="pix2pix")
    assert str(caught.value) == (
        f"pix2pix needs pairs, but {unpaired.a[0].parent.parent} holds unpaired pictures (trainA/trainB): "
        "use cyclegan, or put partners of equal names into folders A and B"
    )


@pytest.mark.parametrize(
    ("reads", "kind", "says"),
    [
        (Pair, "single", "x needs pairs, but .* holds pictures of one domain: put partners of equal names into"),
        (Unpaired, "single", "x needs two domains, but .* holds pictures of one domain: put each domain's"),
        (Pair, "arrays", "x needs pairs of pictures, but .* holds number arrays .* for methods that learn from labels"),
        (Unpaired, "arrays", "x needs pictures of two domains, but .* holds number arrays"),
    ],
)
def test_a_split_of_another_kind_is_refused(tmp_path: Path, reads: type, kind: str, says: str) -> None:
    files = write(tmp_path / "d", 2)
    with pytest.raises(DataError, match=says):
        open_split(reads, Split(kind, files, files if kind == "arrays" else ()), VIEW, who="x")


def test_a_split_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no pictures in this split"):
        open_split(Pair, Split("aligned", (), ()), VIEW)
    with pytest.raises(DataError, match="no pictures of domain B in this split"):
        open_split(Unpaired, Split("unpaired", write(tmp_path / "trainA", 1), ()), VIEW)


def test_a_picture_one_pixel_wide_holds_no_pair(tmp_path: Path) -> None:
    split = Split("aligned", write(tmp_path / "train", 1, width=1), ())
    with pytest.raises(DataError, match=r"0\.png: one pixel wide, expected two pictures side by side"):
        take(open_split(Pair, split, VIEW), 1)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"load": (16, 15)}, "load 16x15 is smaller than size 16x16"),
        ({"size": (0, 4)}, "size 0x4"),
        ({"channels": (3, 4)}, r"channels \(3, 4\)"),
    ],
)
def test_a_view_that_cannot_be_is_refused(wrong: dict, says: str) -> None:
    with pytest.raises(DataError, match=says):
        replace(VIEW, **wrong)

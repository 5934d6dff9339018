"""Pictures and the same made smaller: they stay aligned, repeat with the seed, and come from any kind of data."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small import small_recipe, train_small

from i2i import card, evaluating, training
from i2i.data.batches import Reduced, loader, open_split
from i2i.data.bicubic import imresize
from i2i.data.layouts import Split, recognise
from i2i.data.reduced import ReducedPictures, Reduction
from i2i.data.samplers import Place
from i2i.data.transforms import View
from i2i.errors import DataError
from i2i.folder import read_info
from i2i.models import find

VIEW = View(size=(16, 16))
BY_4 = Reduction(4)


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(folder: Path, *shapes: tuple[int, int], first: int = 0) -> tuple[Path, ...]:
    folder.mkdir(parents=True)
    files = tuple(folder / f"{i}.png" for i in range(len(shapes)))
    for i, (file, shape) in enumerate(zip(files, shapes, strict=True)):
        Image.fromarray(noise(*shape, first + i)).save(file)
    return files


@pytest.fixture
def single(tmp_path: Path) -> Split:
    return Split("single", write(tmp_path / "train", (24, 40), (33, 21), (16, 16), (50, 17), (40, 40)))


def opened(split: Split, view: View = VIEW, reduction: Reduction = BY_4, cache_bytes: int = 0) -> ReducedPictures:
    return open_split(Reduced, split, view, reduction=reduction, cache_bytes=cache_bytes, who="x")


def samples(dataset: ReducedPictures, count: int = 40) -> list[tuple[np.ndarray, np.ndarray]]:
    return [dataset[Place(a=i % len(dataset), b=i % len(dataset), seed=i)] for i in range(count)]


def same(xs: list, ys: list) -> bool:
    pairs = zip(xs, ys, strict=True)
    return all(np.array_equal(np.asarray(p), np.asarray(q)) for x, y in pairs for p, q in zip(x, y, strict=True))


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("flip", [False, True])
def test_the_small_picture_is_the_reduction_of_the_large_one(single: Split, scale: int, flip: bool) -> None:
    for small, large in samples(opened(single, replace(VIEW, flip=flip), Reduction(scale))):
        assert (small.dtype, large.dtype) == (np.uint8, np.uint8)
        assert large.shape == (16, 16, 3)
        assert small.shape == (16 // scale, 16 // scale, 3)
        assert np.array_equal(small, imresize(large, 1 / scale))


def windows(picture: np.ndarray, high: int, wide: int) -> list[np.ndarray]:
    height, width = picture.shape[:2]
    return [
        picture[y : y + high, x : x + wide]
        for y, x in itertools.product(range(height - high + 1), range(width - wide + 1))
    ]


def test_crops_are_cut_at_full_resolution_and_fall_everywhere(tmp_path: Path) -> None:
    split = Split("single", write(tmp_path / "train", (19, 18)))
    (original,) = (np.asarray(Image.open(f)) for f in split.a)
    there = {w.tobytes(): i for i, w in enumerate(windows(original, 16, 16))}
    dataset = opened(split, replace(VIEW, flip=False))
    found = [there.get(large.tobytes()) for _, large in samples(dataset, 200)]
    assert None not in found
    assert len(set(found)) == len(there) == 12


def test_all_eight_turns_of_a_square_occur_and_four_of_an_oblong(tmp_path: Path) -> None:
    split = Split("single", write(tmp_path / "train", (16, 16)))
    picture = np.asarray(Image.open(split.a[0]))
    turned = [p for k in range(4) for p in (np.rot90(picture, k), np.rot90(picture, k)[:, ::-1])]
    seen = [large.tobytes() for _, large in samples(opened(split), 100)]
    assert set(seen) == {np.ascontiguousarray(p).tobytes() for p in turned}
    oblong = opened(Split("single", write(tmp_path / "oblong", (16, 24))), replace(VIEW, size=(16, 24)))
    shapes = {large.shape for _, large in samples(oblong, 50)}
    assert shapes == {(16, 24, 3)}
    assert len({large.tobytes() for _, large in samples(oblong, 100)}) == 4


@pytest.mark.parametrize("degradation", ["bicubic", "blind"])
def test_a_sample_is_a_function_of_its_place(single: Split, degradation: str) -> None:
    reduction = Reduction(4, degradation)
    first = samples(opened(single, reduction=reduction))
    assert same(first, samples(opened(single, reduction=reduction)))
    again = opened(single, reduction=reduction)
    backwards = [again[Place(a=i % 5, b=i % 5, seed=i)] for i in reversed(range(40))][::-1]
    assert same(first, backwards)
    other = [again[Place(a=0, b=0, seed=seed)][1].tobytes() for seed in range(20)]
    assert len(set(other)) > 15


@pytest.mark.parametrize("degradation", ["bicubic", "blind"])
def test_workers_and_cache_change_nothing(single: Split, degradation: str) -> None:
    def taken(workers: int, cache_bytes: int) -> list[Reduced]:
        dataset = opened(single, reduction=Reduction(4, degradation), cache_bytes=cache_bytes)
        return list(itertools.islice(loader(dataset, batch=2, seed=3, workers=workers), 8))

    plain = taken(0, 0)
    assert type(plain[0]) is Reduced
    assert plain[0].a.shape == (2, 3, 4, 4)
    assert plain[0].b.shape == (2, 3, 16, 16)
    for workers, cache_bytes in ((0, 10**6), (2, 0), (2, 10**6)):
        assert same(plain, taken(workers, cache_bytes))


def test_a_picture_that_is_too_small_is_mirrored_until_it_is_large_enough(tmp_path: Path) -> None:
    split = Split("single", write(tmp_path / "train", (5, 30), (30, 3)))
    originals = [np.asarray(Image.open(f)) for f in split.a]
    dataset = opened(split, replace(VIEW, flip=False))
    for i, (small, large) in enumerate(samples(dataset, 20)):
        original = originals[i % 2]
        height, width = original.shape[:2]
        padded = np.pad(original, ((0, max(0, 16 - height)), (0, max(0, 16 - width)), (0, 0)), mode="symmetric")
        assert large.tobytes() in {w.tobytes() for w in windows(padded, 16, 16)}
        assert np.array_equal(small, imresize(large, 1 / 4))


def test_a_size_that_the_scale_does_not_divide_is_refused(single: Split) -> None:
    with pytest.raises(DataError, match=r"^data\.size 16x18: not a multiple of the scale 4$"):
        opened(single, replace(VIEW, size=(16, 18)))


def test_evaluation_gives_whole_pictures_cut_to_a_multiple(single: Split) -> None:
    dataset = opened(single, replace(VIEW, train=False))
    assert len(dataset) == 5
    for i, file in enumerate(single.a):
        original = np.asarray(Image.open(file))
        small, large = dataset[Place(a=i, b=i, seed=9)]
        height, width = (side // 4 * 4 for side in original.shape[:2])
        assert np.array_equal(large, original[:height, :width])
        assert np.array_equal(small, imresize(large, 1 / 4))


def test_nothing_is_left_of_a_tiny_picture(tmp_path: Path) -> None:
    split = Split("single", write(tmp_path / "test", (3, 30)))
    with pytest.raises(DataError, match=r"test/0\.png: below 4 pixels: nothing is left of it at 1/4"):
        opened(split, replace(VIEW, train=False))[Place(a=0, b=0, seed=0)]


def test_blind_degradation_blurs_and_spoils_the_small_picture_alone(single: Split) -> None:
    plain, blind = samples(opened(single)), samples(opened(single, reduction=Reduction(4, "blind")))
    assert same([(large,) for _, large in plain], [(large,) for _, large in blind])
    assert all(small.shape == other.shape for (small, _), (other, _) in zip(plain, blind, strict=True))
    differing = [not np.array_equal(small, other) for (small, _), (other, _) in zip(plain, blind, strict=True)]
    assert sum(differing) > 30  # of 40: some draw next to no blur, no noise and no JPEG
    still = opened(single, replace(VIEW, train=False), Reduction(4, "blind"))
    place = Place(a=0, b=0, seed=7)
    assert same([still[place]], [still[place]])


def test_gray_pictures(single: Split) -> None:
    for degradation in ("bicubic", "blind"):
        for small, large in samples(opened(single, replace(VIEW, channels=(1, 1)), Reduction(4, degradation)), 5):
            assert (small.shape, large.shape) == ((4, 4, 1), (16, 16, 1))


# -- pictures of two domains -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cache_bytes", [0, 10**6])
@pytest.mark.parametrize("direction", ["a2b", "b2a"])
@pytest.mark.parametrize("kind", ["paired", "unpaired", "aligned"])
def test_of_two_domains_the_one_that_would_be_painted(
    kind: str, direction: str, cache_bytes: int, tmp_path: Path
) -> None:
    shapes = [(20, 17)] * 3
    a, b = write(tmp_path / "A", *shapes), write(tmp_path / "B", *shapes, first=50)
    wanted = [np.asarray(Image.open(f)) for f in (b if direction == "a2b" else a)]
    split = Split(kind, a, b)
    if kind == "aligned":
        (tmp_path / "AB").mkdir()
        files = tuple(tmp_path / "AB" / f.name for f in a)
        for left, right, file in zip(a, b, files, strict=True):
            Image.fromarray(np.hstack([Image.open(left), Image.open(right)])).save(file)
        split = Split(kind, files)
    view = replace(VIEW, train=False, direction=direction)
    dataset = opened(split, view, cache_bytes=cache_bytes)
    for _ in range(2):  # the second time from the cache
        for i, original in enumerate(wanted):
            assert np.array_equal(dataset[Place(a=i, b=i, seed=0)][1], original[:20, :16])


def test_number_arrays_are_refused(tmp_path: Path) -> None:
    files = write(tmp_path / "d", (16, 16))
    with pytest.raises(DataError, match=r"x needs pictures, but .* holds number arrays .* for methods that learn from"):
        opened(Split("arrays", files, files))


def test_both_names_are_those_of_the_domain_that_is_seen(pairs: Path, pictures: Path) -> None:
    for root in (pairs, pictures):
        about, _ = card.resolve(root)
        data = training.Prepared(about, recognise(root))
        a, b = data.domains
        assert data.shown(Reduced, "a2b") == (b, b)
        assert data.shown(Reduced, "b2a") == (a, a)
        assert data.shown(object, "b2a") == (a, b)


@pytest.mark.parametrize("direction", ["a2b", "b2a"])
def test_a_model_from_pairs_is_named_after_and_measured_on_the_domain_that_it_saw(
    direction: str, pairs: Path, tmp_path: Path
) -> None:
    data = {"direction": direction}
    run = train_small(tmp_path / "run", small_recipe("srresnet", pairs, images=2, data=data, watch={"eval_images": 2}))
    info = read_info(find(run))
    ((key, product),) = info.products.items()
    side = direction[-1]
    assert (key, product.source.lower(), product.target.lower()) == (direction, side, side)
    found = evaluating.evaluate(run)["metrics"]
    assert found == pytest.approx(info.metrics, rel=1e-4)
    naive = [
        10 * np.log10(255**2 / np.square((luma(imresize(imresize(p, 1 / 4), 4)) - luma(p))[4:-4, 4:-4]).mean())
        for p in (np.asarray(Image.open(f)) for f in sorted((pairs / "val" / side.upper()).iterdir()))
    ]
    assert found["psnr_y_b4_input"] == pytest.approx(np.mean(naive), abs=0.05)


def luma(picture: np.ndarray) -> np.ndarray:
    return 16 + picture.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255

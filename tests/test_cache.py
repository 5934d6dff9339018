"""Decoded pictures are shared between processes, bounded, and leave nothing behind."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i.data import pictures
from i2i.data.batches import Pair, View, open_split
from i2i.data.cache import DecodedCache, sweep
from i2i.data.layouts import Split
from i2i.data.samplers import Place

SHAPES = [(4, 5, 3), (2, 2, 1), (3, 3, 3)]


def picture(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, SHAPES[i], dtype=np.uint8)


def test_what_is_put_in_comes_out_read_only(tmp_path: Path) -> None:
    cache = DecodedCache(SHAPES, 1000, tmp_path)
    assert [cache.get(i) for i in range(3)] == [None] * 3
    for i in (2, 0, 1):
        cache.put(i, picture(i))
    for i in range(3):
        got = cache.get(i)
        np.testing.assert_array_equal(got, picture(i))
        assert not got.flags.writeable


def test_the_first_pictures_that_fit_are_kept(tmp_path: Path) -> None:
    cache = DecodedCache(SHAPES, 3 + 60 + 4, tmp_path)
    assert cache.kept == 2
    for i in range(3):
        cache.put(i, picture(i))
    assert [cache.get(i) is not None for i in range(3)] == [True, True, False]
    assert sum(f.stat().st_size for f in tmp_path.iterdir()) <= 67


@pytest.mark.parametrize("limit", [0, 3, 20])
def test_too_little_room_makes_no_file(tmp_path: Path, limit: int) -> None:
    cache = DecodedCache(SHAPES, limit, tmp_path)
    cache.put(0, picture(0))
    assert cache.get(0) is None
    assert not list(tmp_path.iterdir())


def test_a_quarter_of_the_free_disk_is_the_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type("Usage", (), {"free": 280})
    monkeypatch.setattr("i2i.data.cache.shutil.disk_usage", lambda folder: usage)
    assert DecodedCache(SHAPES, 10**9, tmp_path).kept == 2


def test_a_picture_of_another_shape_is_left_out(tmp_path: Path) -> None:
    cache = DecodedCache(SHAPES, 1000, tmp_path)
    cache.put(0, picture(1))
    assert cache.get(0) is None


def test_a_copy_by_pickle_and_a_forked_child_share_the_file(tmp_path: Path) -> None:
    cache = DecodedCache(SHAPES, 1000, tmp_path)
    copy = pickle.loads(pickle.dumps(cache))
    copy.put(0, picture(0))
    np.testing.assert_array_equal(cache.get(0), picture(0))
    if "fork" in multiprocessing.get_all_start_methods():
        child = multiprocessing.get_context("fork").Process(target=cache.put, args=(1, picture(1)))
        child.start()
        child.join(30)
        assert child.exitcode == 0
        np.testing.assert_array_equal(cache.get(1), picture(1))
    del copy
    gc.collect()
    assert len(list(tmp_path.iterdir())) == 1  # neither a copy nor a child removes it
    del cache
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_a_file_that_vanishes_and_a_full_disk_only_cost_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = DecodedCache(SHAPES, 1000, tmp_path)
    cache.path.unlink()
    cache.put(0, picture(0))
    assert cache.get(0) is None

    full = DecodedCache(SHAPES, 1000, tmp_path)
    full.put(0, picture(0))

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as m:
        m.setattr(Path, "open", no_space)
        full.put(1, picture(1))
    assert full.get(1) is None


PROGRAM = """
import os, signal, sys
from pathlib import Path
from i2i.data.cache import DecodedCache
cache = DecodedCache([(4, 5, 3)], 1000, Path(sys.argv[1]))
assert cache.kept == 1
sys.stdout.write("ready\\n"); sys.stdout.flush()
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.readline()
"""


def start(folder: Path, how: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    with start(tmp_path, "kill") as killed:
        killed.wait(60)
    (orphan,) = tmp_path.iterdir()
    with start(tmp_path, "live") as living:
        assert living.stdout.readline() == "ready\n"
        (alive,) = tmp_path.iterdir()  # it swept the orphan
        assert alive != orphan
        sweep(tmp_path)
        mine = DecodedCache(SHAPES, 1000, tmp_path)
        assert {*tmp_path.iterdir()} == {alive, mine.path}
        living.communicate("\n", timeout=60)
    assert {*tmp_path.iterdir()} == {mine.path}  # an orderly end cleans up by itself


def test_each_file_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for all: once in all epochs. Without: once per sample, although both halves are wanted."""
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    files = tuple(tmp_path / name for name in ("x.png", "y.png"))
    for file in files:
        Image.fromarray(np.zeros((8, 16, 3), np.uint8)).save(file)
    split, view = Split("aligned", files, ()), View(size=(4, 4), load=(6, 6))
    calls: list[Path] = []
    read = pictures.read
    monkeypatch.setattr(pictures, "read", lambda path, channels: calls.append(path) or read(path, channels))
    for cache_bytes, expected in ((1000, 2), (0, 6)):
        dataset = open_split(Pair, split, view, cache_bytes=cache_bytes)
        for p in range(6):
            dataset[Place(p % 2, p % 2, p)]
        assert len(calls) == expected
        calls.clear()
        del dataset
    assert not list((tmp_path / "cache" / "decoded").iterdir())

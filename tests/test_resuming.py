"""A folder translated by several processes, or by one that is killed: no picture is lost, none is done twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from exports_for_tests import make_exported
from PIL import Image

from i2i import own, processes, providers, writing
from i2i.errors import UsageError
from i2i.many import translate_many
from i2i.translator import Translator, load

ROOT = Path(__file__).parents[1]

SLOWLY = """
import itertools, sys, time
for name in ("torch", "torchvision", "accelerate"): sys.modules[name] = None
from i2i import cli, run_onnx, writing
run, encode, pause, most = run_onnx.OnnxEngine.run, writing.encode, float(sys.argv.pop(1)), int(sys.argv.pop(1))
begun = itertools.count()
def slow_run(self, x):
    time.sleep(pause)
    return run(self, x)
def slow_encode(image, file, *rest):
    file.write_bytes(b"half a picture")
    time.sleep(pause if next(begun) < most else 1000)
    encode(image, file, *rest)
run_onnx.OnnxEngine.run, run_onnx.OnnxEngine.batch, writing.encode = slow_run, 2, slow_encode
cli.main()
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "mirror"
    make_exported(path)
    return path


@pytest.fixture(scope="module")
def translate(model: Path) -> Translator:
    return load(model)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw(count: int) -> None:
    for i in range(count):
        path = Path(f"in/{i % 7}/{i:04}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)


def results() -> dict[str, tuple[int, int]]:
    """What is finished, and the marks of its writing: a file that is written again has others."""
    finished = [p for p in Path("out").rglob("*.png") if not p.name.startswith(".")]
    return {p.relative_to("out").as_posix(): (p.stat().st_ino, p.stat().st_mtime_ns) for p in finished}


def drafts() -> list[Path]:
    return list(Path("out").rglob(".i2i-*"))


def start(model: Path, pause: float, *words: str, most: int = 10**6, **env: str) -> subprocess.Popen[str]:
    """A translation that waits before it runs or writes something; after ``most`` pictures it never ends to write."""
    command = [sys.executable, "-c", SLOWLY, str(pause), str(most), "translate", "in", "--model", str(model), *words]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **env}
    return subprocess.Popen(command, env=surroundings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed_twice(model: Path, count: int, pause: float) -> None:
    draw(count)
    before: dict[str, tuple[int, int]] = {}
    for enough in (count // 4, count // 2):
        process = start(model, pause, "--skip-existing", most=enough - len(before))
        end = time.monotonic() + 200
        while (len(results()) < enough or not drafts()) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        after = results()
        assert len(after) == enough
        assert before.items() <= after.items(), "a finished picture was done again"
        assert all(own.read(Path("out", name)).pixels.shape == (12, 16, 3) for name in after.keys() - before.keys())
        before = after
        assert drafts(), "no picture was half-written: nothing is shown about that"
    out, err = start(model, 0, "--skip-existing").communicate()
    assert err == ""
    assert out == f"translated {count - len(before)} of {count - len(before)}, {len(before)} were there already: out\n"
    after = results()
    assert before.items() <= after.items(), "a finished picture was done again"
    assert len(after) == count
    assert drafts() == []
    translate = load(model)
    for i in range(0, count, max(1, count // 20)):
        name = f"{i % 7}/{i:04}.png"
        assert np.array_equal(own.read(Path("out", name)).pixels, np.asarray(translate(Path("in", name))))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_run_that_is_killed_twice(model: Path, here: Path) -> None:
    killed_twice(model, 32, 0.03)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_thousand_pictures_killed_twice(model: Path, here: Path) -> None:
    killed_twice(model, 1000, 0.003)


# -- in one process ----------------------------------------------------------------------------------------------------


def test_what_is_there_is_left(translate: Translator, here: Path) -> None:
    draw(5)
    first = translate_many(translate, ["in"], "out")
    Path("out/1/0001.png").unlink()
    Path("out/2/0002.png").write_bytes(b"")  # what a power cut leaves
    before = results()
    again = translate_many(translate, ["in"], "out", skip_existing=True)
    assert [job[1].name for job in again.done] == ["0001.png", "0002.png"]
    assert [job[1].name for job in again.skipped] == ["0000.png", "0003.png", "0004.png"]
    after = results()
    assert {name for name in after if after[name] != before.get(name)} == {"1/0001.png", "2/0002.png"}
    assert sorted(again.done + again.skipped) == sorted(first.done)
    with pytest.raises(UsageError, match="--overwrite or --skip-existing, not both"):
        translate_many(translate, ["in"], "out", skip_existing=True, overwrite=True)
    with pytest.raises(UsageError, match="is one of the pictures to translate"):
        translate_many(translate, ["in"], "in", skip_existing=True)
    with pytest.raises(UsageError, match="leave --sheet out"):
        translate_many(translate, ["in"], "out", skip_existing=True, sheet=True)


def test_drafts_of_killed_runs_are_removed_and_no_others(translate: Translator, here: Path) -> None:
    draw(3)
    mine = Path(f"out/0/.i2i-{writing.digest(Path('0000.png'))}-77.part")
    old, young = (Path(f"out/0/.i2i-{c * 16}-77.part") for c in "ab")
    others = [
        Path("out/0/.0000.png.part"),
        Path("out/0/.i2i-notes"),
        Path("out/elsewhere/.i2i-" + "a" * 16 + "-7.part"),
    ]
    for path in (mine, old, young, *others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    translate_many(translate, ["in"], "out")
    assert [p.exists() for p in (mine, old, young)] == [False, False, True]
    assert all(p.exists() for p in others)


def test_a_draft_has_a_name_that_fits_every_disk(translate: Translator, here: Path) -> None:
    name = "n" * 251 + ".png"  # as long as names can be
    Path("in").mkdir()
    Image.new("RGB", (4, 4)).save(f"in/{name}")
    assert translate_many(translate, ["in"], "out").failed == []
    assert results().keys() == {name}


def test_shares_are_apart_and_together_all(translate: Translator, here: Path) -> None:
    draw(11)
    (here / "in/3/bad.png").write_bytes(b"")
    parts = [translate_many(translate, ["in", "gone.png"], "out", share=(rank, 4)) for rank in (2, 0, 3, 1)]
    done = [job for part in parts for job in part.done]
    assert len(done) == len(set(done)) == len(results()) == 11
    assert sorted(line for part in parts for line in part.failed) == [
        "gone.png: no such file or folder", "in/3/bad.png: not a readable picture (the file is empty)",
    ]  # fmt: skip
    few = [translate_many(translate, ["in/0/0000.png"], "one.png", share=(rank, 3)) for rank in range(3)]
    assert [len(part.done) for part in few] == [1, 0, 0]
    assert Path("one.png").is_file()
    with pytest.raises(
        UsageError, match=r"^share \(4, 4\): the number of a part, from 0, and how many parts there are"
    ):
        translate_many(translate, ["in"], "new", share=(4, 4))
    with pytest.raises(UsageError, match="leave --sheet out"):
        translate_many(translate, ["in"], "new", share=(0, 4), sheet=True)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_any_number_of_workers_does_the_same_in_the_same_order(translate: Translator, here: Path, workers: int) -> None:
    draw(30)
    Path("in/2/0002.png").write_bytes(b"no picture")
    seen = []
    done = translate_many(
        translate, ["in"], "out", workers=workers, progress=lambda n, total, path: seen.append((n, total, path))
    )
    sources = sorted(Path("in").rglob("*.png"))
    assert [path for _, _, path in seen] == sources
    assert [(n, total) for n, total, _ in seen] == [(n, 30) for n in range(1, 31)]
    assert [source for source, _ in done.done] == [s for s in sources if s.name != "0002.png"]
    assert len(done.failed) == 1
    with pytest.raises(UsageError, match="workers 0: 1 or more read and write beside the network"):
        translate_many(translate, ["in"], "new", workers=0)


def test_large_pictures_do_not_fill_the_memory(
    translate: Translator, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few are read before the first is translated, where each takes a good part of what may be held."""
    draw(20)
    monkeypatch.setattr("i2i.stills.ROOM", 3 * 12 * 16)
    events: list[str] = []
    read, save = own.read, writing.save
    monkeypatch.setattr(own, "read", lambda path: (events.append("read"), read(path))[1])
    monkeypatch.setattr(writing, "save", lambda *args: (save(*args), events.append("saved"))[0])
    translate_many(translate, ["in"], "out", workers=4)
    held = np.cumsum([1 if event == "read" else -1 for event in events])
    assert held.max() <= 3 + 3 + 3 + 1  # read ahead, in the network, to be written, and one more that is on its way
    assert events.count("read") == events.count("saved") == 20


# -- several processes -------------------------------------------------------------------------------------------------


def test_the_share_is_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert processes.share() == (0, 1)
    assert processes.own_gpu(4) == 0
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("LOCAL_RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert processes.share() == (5, 8)
    assert (processes.own_gpu(8), processes.own_gpu(4), processes.own_gpu(0)) == (5, 1, 0)
    monkeypatch.setattr(providers, "_nvidia_gpus", lambda: 8)
    monkeypatch.setattr(providers, "prospects", lambda: {"cuda": "", "cpu": ""})
    assert providers.choose("auto")[:2] == (["cuda", "cpu"], 5)
    assert providers.choose("cuda")[:2] == (["cuda"], 5)
    assert providers.choose("cuda:0")[:2] == (["cuda"], 0)
    monkeypatch.setenv("RANK", "8")
    with pytest.raises(UsageError, match=r"^RANK=8 with WORLD_SIZE=8 in the environment: RANK goes from 0 to 7$"):
        processes.share()
    monkeypatch.setenv("RANK", "one")
    with pytest.raises(UsageError, match=r"^RANK=one in the environment: a whole number is expected$"):
        processes.share()


def test_each_process_has_its_gpu_in_torch_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from i2i import run_torch

    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", lambda size, device: None)
    assert [str(run_torch.pick_device(name)) for name in ("auto", "cuda", "cuda:1", "cpu")] == [
        "cuda:2", "cuda:2", "cuda:1", "cpu",
    ]  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="locks of the system")
def test_who_fails_leaves_last(model: Path, here: Path) -> None:
    """A launcher kills all when one fails: that one must wait until the others are done. No torch is imported."""
    draw(12)
    for path in sorted(Path("in").rglob("*.png"))[::2]:  # the first one's share: nothing to do but to complain
        path.write_bytes(b"no picture")
    ranks = []
    for rank in ("0", "1"):
        env = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
        ranks.append(start(model, 0.15, "--workers", "1", **env))
    ranks[0].wait(100)
    assert len(results()) == 6, "left before the other was done"
    (out, err), (out1, err1) = (process.communicate() for process in ranks)
    assert [process.returncode for process in ranks] == [1, 0]
    assert err.startswith(f"failed: {Path('in/0/0000.png')}: not a readable picture (")
    assert (out, out1) == ("process 0 of 2: translated 0 of 6: out\n", "process 1 of 2: translated 6 of 6: out\n")
    assert err1 == ""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="locks of the system")
def test_torchrun(model: Path, here: Path) -> None:
    draw(60)
    Path("in/0/0000.png").write_bytes(b"no picture")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3", "-m", "i2i"]
    command += ["translate", "in", "--model", str(model)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert len(results()) == 59
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("process")) == [
        "process 0 of 3: translated 19 of 20: out",
        "process 1 of 3: translated 20 of 20: out",
        "process 2 of 3: translated 20 of 20: out",
    ]

from __future__ import annotations

import json
import math
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i import trackers
from i2i.errors import MissingExtra, UsageError
from i2i.log import RunLog


def test_events_come_back_in_order(tmp_path):
    path = tmp_path / "new" / "log.jsonl"
    with RunLog(path) as log:
        log.write("start", time=12.5, recipe="r", where=Path("a") / "b")
        log.write("losses", images=64, lr={"G": 2e-4}, **{"D/real": 0.5})
    assert RunLog.read(path) == [
        {"event": "start", "time": 12.5, "recipe": "r", "where": str(Path("a") / "b")},
        {"event": "losses", "images": 64, "lr": {"G": 2e-4}, "D/real": 0.5},
    ]


def test_a_line_is_on_disk_when_write_returns(tmp_path):
    log = RunLog(tmp_path / "log.jsonl")
    log.write("start")
    assert (tmp_path / "log.jsonl").read_text() == '{"event": "start"}\n'
    log.close()


def test_every_line_is_valid_json_whatever_the_values(tmp_path):
    import torch

    values = {"nan": math.nan, "inf": -math.inf, "np": np.float32(0.5), "array": np.arange(2), "ok": True}
    with RunLog(tmp_path / "log.jsonl") as log:
        log.write("losses", text="two\nlines \u2028 é", torch=torch.tensor(0.25), **values)
    (line,) = (tmp_path / "log.jsonl").read_text("utf-8").removesuffix("\n").split("\n")
    event = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert event.pop("text") == "two\nlines \u2028 é"
    assert event == {
        "event": "losses", "nan": None, "inf": None, "np": 0.5, "array": [0, 1], "torch": 0.25, "ok": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "torn", [b'{"event": "los', b'{"event": "end", "n": 3', b'{"event": "\xc3', b"\0\0", b"[1", b"5"]
)
def test_a_torn_last_line_is_left_out_and_mended(tmp_path, torn):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "start"}\n' + torn)
    assert RunLog.read(path) == [{"event": "start"}]
    with RunLog(path) as log:
        log.write("resume", images=2)
    assert RunLog.read(path) == [{"event": "start"}, {"event": "resume", "images": 2}]
    assert torn not in path.read_bytes()


def test_a_whole_last_line_without_its_newline_is_kept(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "start"}')
    with RunLog(path) as log:
        log.write("end")
    assert [e["event"] for e in RunLog.read(path)] == ["start", "end"]


def test_a_killed_process_loses_no_finished_line(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from i2i.log import RunLog\n"
        "log = RunLog(Path(sys.argv[1]))\n"
        "for i in range(500): log.write('losses', images=i)\n"
        "os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "log.jsonl"
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parent.parent, timeout=60)
    assert done.returncode != 0
    assert [e["images"] for e in RunLog.read(path)] == list(range(500))


def test_rewind_drops_only_what_comes_after(tmp_path):
    path = tmp_path / "log.jsonl"
    with RunLog(path) as log:
        log.write("start")
        for images in (100, 200, 300):
            log.write("losses", images=images)
            log.write("eval", images=images)
            log.write("sheet", images=images)
            log.write("save", images=images)
        log.write("end", images=300)
    RunLog.rewind(path, 200)
    events = RunLog.read(path)
    assert [e["event"] for e in events] == ["start", *["losses", "eval", "sheet", "save"] * 2, "end"]
    assert max(e["images"] for e in events if e["event"] == "losses") == 200
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_rewind_that_fails_leaves_the_old_log(tmp_path, monkeypatch):
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "losses", "images": 9}\n')
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        RunLog.rewind(path, 1)
    assert RunLog.read(path) == [{"event": "losses", "images": 9}]


def test_missing_log_is_empty(tmp_path):
    assert RunLog.read(tmp_path / "log.jsonl") == []
    RunLog.rewind(tmp_path / "log.jsonl", 5)
    assert not (tmp_path / "log.jsonl").exists()


# ---- trackers


class Fake:
    def __init__(self, fail=""):
        self.calls, self.fail = [], fail

    def _call(self, name, *values):
        if self.fail == name:
            raise RuntimeError("no\nnetwork")
        self.calls.append((name, *values))

    def losses(self, images, values):
        self._call("losses", images, values)

    def sheet(self, images, path):
        self._call("sheet", images, path)

    def close(self):
        self._call("close")


@pytest.mark.parametrize("fail", ["losses", "sheet", "close"])
def test_a_tracker_that_fails_is_switched_off_and_the_others_go_on(fail):
    lines: list[str] = []
    bad, good = Fake(fail), Fake()
    both = trackers.Trackers({"bad": bad, "good": good}, lines.append)
    for images in (1, 2):
        both.losses(images, {"D/real": 0.5})
        both.sheet(images, Path("s.png"))
    both.close()
    assert lines == ["bad failed and is off from here, training goes on: no network"]
    assert [c[0] for c in good.calls] == ["losses", "sheet", "losses", "sheet", "close"]
    assert len(bad.calls) == {"losses": 0, "sheet": 1, "close": 4}[fail]


def test_ctrl_c_is_not_swallowed_by_a_tracker():
    bad = Fake()
    bad.losses = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        trackers.Trackers({"bad": bad}, lambda line: None).losses(1, {})


def test_only_numbers_are_tracked():
    fake = Fake()
    record = {"event": "losses", "images": 5, "lr": {"G": 2e-4}, "D/real": 0.5, "ok": True, "n": None}
    trackers.Trackers({"fake": fake}, lambda line: None).losses(5, record)
    assert fake.calls == [("losses", 5, {"lr/G": 2e-4, "D/real": 0.5})]


def test_a_missing_package_is_said_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(trackers, "find_spec", lambda name: None if name == "wandb" else True)
    with pytest.raises(MissingExtra, match=r"needs wandb, which is not installed: pip install 'i2i-toolkit\[wandb\]'"):
        trackers.open_trackers(["tensorboard", "wandb"], tmp_path, {})
    assert list(tmp_path.iterdir()) == []


def test_unknown_tracker(tmp_path):
    with pytest.raises(UsageError, match="'tensorbord' is not known; did you mean 'tensorboard'"):
        trackers.open_trackers(["tensorbord"], tmp_path, {})


def test_a_tracker_that_cannot_open_warns_once(tmp_path, monkeypatch, capsys):
    class Closed:
        def __init__(self, run, recipe, images):
            raise OSError("log in first")

    monkeypatch.setitem(trackers.KNOWN, "wandb", (Closed, ()))
    opened = trackers.open_trackers(["wandb"], tmp_path, {})
    opened.losses(1, {"a": 1.0})
    assert capsys.readouterr().err == "wandb failed and is off from here, training goes on: log in first\n"


def test_tensorboard_holds_losses_and_sheets(tmp_path):
    pytest.importorskip("tensorboard")
    Image.new("RGB", (8, 4), (255, 0, 0)).save(tmp_path / "s.png")
    lines: list[str] = []
    opened = trackers.open_trackers(["tensorboard"], tmp_path, {}, warn=lines.append)
    opened.losses(100, {"D/real": 0.5, "lr": {"G": 0.25}})
    opened.sheet(100, tmp_path / "s.png")
    opened.close()
    assert lines == []

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("D/real")] == [(100, 0.5)]
    assert [(e.step, e.value) for e in events.Scalars("lr/G")] == [(100, 0.25)]
    assert [(e.step, e.width, e.height) for e in events.Images("sheet")] == [(100, 8, 4)]


def test_wandb_is_one_run_across_a_resume(tmp_path, monkeypatch):
    began = []

    class Run:
        def __init__(self, **settings):
            began.append(settings)
            self.logged = []

        def define_metric(self, name, step_metric):
            assert step_metric == "images"

        def log(self, values):
            self.logged.append(values)

        def finish(self):
            self.logged.append("finish")

    fake = types.SimpleNamespace(init=lambda **settings: Run(**settings), Image=lambda path: f"image {path}")
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setattr(trackers, "find_spec", lambda name: True)
    lines: list[str] = []
    for images in (0, 7):
        opened = trackers.open_trackers(["wandb"], tmp_path, {"seed": 1}, images, lines.append)
        run = opened.active["wandb"].run
        opened.losses(images + 1, {"G/l1": 0.5})
        opened.sheet(images + 1, Path("s.png"))
        opened.close()
        at = {"images": images + 1}
        assert run.logged == [{"G/l1": 0.5, **at}, {"sheet": "image s.png", **at}, "finish"]
    assert lines == []
    assert began[0] == began[1]
    assert began[0]["resume"] == "allow"
    assert began[0]["config"] == {"seed": 1}
    assert "mode" not in began[0]

"""The loop: what is promised about stopping, going on, averaging, schedules and several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from small import FOLDERS, ROOT, small_config, small_recipe, train_in_two_processes, train_small

from i2i import runs, training
from i2i.data.batches import Pair, loader, open_split
from i2i.data.layouts import recognise
from i2i.errors import DataError, RecipeError, TrainingError, UsageError
from i2i.log import RunLog
from i2i.methods import METHODS
from i2i.methods.base import Task
from i2i.models import find
from i2i.numerics import precision
from i2i.optimizers import new_optimizer
from i2i.recipe import Optimizer
from i2i.runs import checkpoints
from i2i.state import read
from i2i.trainer import Averages, Trainer
from i2i.zoo import ZOO
from i2i.zoo.adversarial import Adversarial


def last(run: Path) -> Path:
    return checkpoints(run)[-1]


def flat(tree, name: str = "") -> dict:
    if isinstance(tree, dict):
        return {k: v for key, inner in tree.items() for k, v in flat(inner, f"{name}/{key}").items()}
    if isinstance(tree, list):
        return {k: v for i, inner in enumerate(tree) for k, v in flat(inner, f"{name}/{i}").items()}
    return {name: tree}


CLOCKS = ("/seconds", "/waited")
SHOWN = ("losses", "sheet", "eval", "end")


def assert_same_state(a: Path, b: Path) -> None:
    """Every tensor and every number of two checkpoints is equal, bit for bit (but for the clocks)."""
    for part in ("state", "rank0"):
        one, two = flat(read(a, part)), flat(read(b, part))
        assert one.keys() == two.keys()
        for key, value in one.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, two[key]), key
            elif key not in CLOCKS:
                assert value == two[key], key


def killed(out: Path, wanted, at: str) -> None:
    """Train in a process of its own and kill -9 it as soon as the checkpoint ``at`` is there."""
    recipe = out.with_suffix(".yaml")
    wanted.write(recipe)
    command = [sys.executable, "-m", "i2i", "train", str(recipe), "--out", str(out), "--quiet"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())})
    try:
        for _ in range(1200):
            if (out / "checkpoints" / at).is_dir():
                break
            assert process.poll() is None, "training ended by itself"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()


FIRST = {METHODS[name].reads: name for name in sorted(METHODS, reverse=True)}
ONE_OF_A_KIND = [
    pytest.param(name, marks=() if name in FIRST.values() else pytest.mark.slow) for name in sorted(METHODS)
]
"""All methods, but those that read what another one reads already take their time under the marker slow."""


LINES = sorted(name for name in ZOO if issubclass(ZOO[name], Adversarial))
RESUMED = [pytest.param(name, marks=pytest.mark.slow if name in LINES[1:] else ()) for name in sorted(METHODS)]
"""Lines of the zoo's table share their class: test_zoo resumes each of them without a run folder."""


@pytest.mark.parametrize("name", RESUMED)
def test_resumed_equals_uninterrupted_bit_for_bit(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(FOLDERS[METHODS[name].reads])
    blocks = {"data": {"batch": 2}, "train": {"ema_halflife_images": 4}, "watch": {"save_images": 6}}
    whole = train_small(tmp_path / "whole", small_recipe(name, folder, images=10, **blocks))
    part = train_small(tmp_path / "part", small_recipe(name, folder, images=6, **blocks))
    assert_same_state(last(whole), last(training.resume(part, "train.images=10", quiet=True)))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_killed_and_resumed_equals_uninterrupted_bit_for_bit(
    name: str, workers: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(FOLDERS[METHODS[name].reads])
    # Three images of five or six in a checkpoint: it falls inside an epoch. Many steps follow, so the kill does too.
    blocks = {"data": {"workers": workers}, "train": {"ema_halflife_images": 4}}
    watch = {"save_images": 3, "sheet_images": 2, "eval_images": 5, "keep": 100}
    long = small_recipe(name, folder, images=400, watch=watch, **blocks)
    killed(tmp_path / "killed", long, "00000003")
    reached = last(tmp_path / "killed").name
    assert int(reached) < 400
    total = int(reached) + 5
    # decay_from is 1: the length of a run has no other influence on its steps.
    short = small_recipe(name, folder, images=total, watch=watch, **blocks)
    whole = train_small(tmp_path / "whole", short)
    resumed = training.resume(tmp_path / "killed", f"train.images={total}", quiet=True)
    assert_same_state(last(whole), last(resumed))
    # The kill may fall between a checkpoint and its line in the log.
    events = [RunLog.read(r / "log.jsonl") for r in (whole, resumed)]
    logs = [[(e["event"], e["images"]) for e in log if e["event"] in SHOWN] for log in events]
    assert logs[0] == logs[1], "the log has doubled or lost history"


def test_ctrl_c_saves_and_says_how_to_go_on(pairs: Path, tmp_path: Path) -> None:
    small_recipe("pix2pix", pairs, images=100_000).write(tmp_path / "r.yaml")
    command = [sys.executable, "-m", "i2i", "train", str(tmp_path / "r.yaml"), "watch.log_images=1", "--out", "mine"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stdout=pipe, stderr=subprocess.STDOUT, text=True)
    try:
        while "images/s" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    saved = checkpoints(tmp_path / "mine")
    assert len(saved) == 1
    assert f"stopped and saved at {int(saved[0].name):,} images; go on with: i2i train --resume mine" in output
    assert "Traceback" not in output


def test_not_finite_stops_and_keeps_the_last_good_state(pairs: Path, tmp_path: Path) -> None:
    wanted = small_recipe("pix2pix", pairs, images=40, watch={"save_images": 2, "log_images": 1})
    short = wanted.model_copy(update={"train": wanted.train.model_copy(update={"images": 4})})
    good = train_small(tmp_path / "run", short)
    before = [p.name for p in checkpoints(good)]
    said = r"is not finite after \d+ images; the last good state is kept: i2i train --resume"
    with pytest.raises(TrainingError, match=said):
        training.resume(good, "train.images=40", "train.optimizer.lr=1e30", quiet=True)
    after = checkpoints(good)
    assert after[0].name in before
    assert all(v.isfinite().all() for p in after for v in read(p, "state")["method"].values() if v.is_floating_point())


def test_keeps_the_last_checkpoints_and_the_best_model(pairs: Path, tmp_path: Path) -> None:
    watch = {"save_images": 2, "eval_images": 2, "keep": 2}
    done = train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=10, watch=watch))
    assert [p.name for p in checkpoints(done)] == ["00000008", "00000010"]
    evals = [e for e in RunLog.read(done / "log.jsonl") if e["event"] == "eval"]
    assert [e["images"] for e in evals] == [2, 4, 6, 8, 10]
    best = max(evals, key=lambda e: e["psnr_rgb"])
    from i2i.folder import read_info

    info = read_info(done / "best")
    assert 0 < info.seconds < 600
    assert (info.images, info.metrics["psnr_rgb"]) == (best["images"], best["psnr_rgb"])
    assert find(done) == done / "model"
    assert find(done / "best") == done / "best"
    assert evals[0]["psnr_rgb_input"] == evals[-1]["psnr_rgb_input"]
    assert not list((done / "checkpoints").glob(".*"))


def test_the_end_is_saved_even_if_nothing_else_is(pairs: Path, tmp_path: Path) -> None:
    done = train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=3))
    assert [p.name for p in checkpoints(done)] == ["00000003"]
    assert find(done) == done / "model"


def test_a_picture_that_cannot_be_read_costs_nothing(pairs: Path, tmp_path: Path) -> None:
    sick = pairs / "train/A/3.png"
    healthy = sick.read_bytes()
    wanted = small_recipe("pix2pix", pairs, images=8, data={"cache_gb": 0})
    sick.write_bytes(healthy[:100])
    with pytest.raises(DataError, match=r"train/A/3\.png: "):
        train_small(tmp_path / "run", wanted)
    reached = int(last(tmp_path / "run").name)
    assert 0 < reached < 6
    sick.write_bytes(healthy)
    whole = train_small(tmp_path / "whole", wanted)
    assert_same_state(last(training.resume(tmp_path / "run", quiet=True)), last(whole))


@pytest.mark.parametrize("train", [{"channels_last": True}, {"precision": "bf16"}, {"optimizer": {"name": "rmsprop"}}])
def test_other_ways_to_train_resume_bit_for_bit_too(train: dict, pairs: Path, tmp_path: Path) -> None:
    whole = train_small(tmp_path / "whole", small_recipe("pix2pix", pairs, images=6, train=train))
    half = train_small(tmp_path / "half", small_recipe("pix2pix", pairs, images=3, train=train))
    assert_same_state(last(training.resume(half, "train.images=6", quiet=True)), last(whole))


def test_two_trainings_never_share_a_run(pairs: Path, tmp_path: Path) -> None:
    done = train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=2))
    with runs.claimed(done), pytest.raises(UsageError, match="another process is training this run: stop it first"):
        training.resume(done, "train.images=4", quiet=True)
    assert [runs.new(None, "x").name for _ in range(3)] == ["x", "x-2", "x-3"]


def test_a_run_goes_on_from_any_directory(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_recipe("pix2pix", "./pairs", images=2).write(tmp_path / "r.yaml")
    done = training.train("r.yaml", out="mine", quiet=True).resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert last(training.resume(done, "train.images=3", quiet=True)).name == "00000003"


def test_a_full_disk_is_one_line_and_the_last_checkpoint_stays(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=2))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", str(done / "checkpoints"))

    monkeypatch.setattr("i2i.state.write", full)
    said = r"checkpoints: cannot be written \(No space left on device\); when that is mended: i2i train --resume"
    with pytest.raises(TrainingError, match=said):
        training.resume(done, "train.images=4", quiet=True)
    assert [p.name for p in checkpoints(done)] == ["00000002"]


def test_a_start_that_never_came_to_a_checkpoint_is_not_in_the_way(tmp_path: Path) -> None:
    run = tmp_path / "mine"
    run.mkdir()
    with runs.claimed(run):  # as far as a method comes that refuses the size of the pictures
        pass
    assert runs.new(run, "unused") == run
    (run / "recipe.yaml").write_text("x")
    assert runs.new(run, "unused") == run
    (run / "recipe.yaml").rename(run / "letter.txt")
    with pytest.raises(UsageError, match="exists and is not empty: choose another --out"):
        runs.new(run, "unused")


def test_the_average_is_what_the_formula_says(pairs: Path) -> None:
    wanted = small_recipe("pix2pix", pairs, images=10, train={"ema_halflife_images": 3})
    trainer = new_trainer(wanted, pairs)
    weight = trainer.method.products["a2b"].model.model[0].weight
    expected = weight.detach().clone()
    for batch in (next(loader(trainer.dataset, batch=1, start=i)) for i in range(3)):
        trainer.step(batch)
        expected = expected * 0.5 ** (1 / 3) + weight.detach() * (1 - 0.5 ** (1 / 3))
    torch.testing.assert_close(trainer.products["a2b"].model.model[0].weight, expected)
    assert trainer.products["a2b"] is not trainer.method.products["a2b"]


def new_trainer(wanted, folder: Path) -> Trainer:
    torch.manual_seed(0)
    data = open_split(Pair, recognise(folder).splits["train"], training._view(wanted))
    method = METHODS["pix2pix"](wanted.method, Task(size=wanted.data.size))
    return Trainer(method, wanted, data, Accelerator(cpu=True))


def test_the_learning_rate_is_constant_then_linear_to_zero(pairs: Path) -> None:
    trainer = new_trainer(small_recipe("pix2pix", pairs, images=100, train={"decay_from": 0.5}), pairs)
    rates = []
    for trainer.images in (0, 49, 50, 75, 99):
        rates.append(trainer.rate())
    assert rates == pytest.approx([1, 1, 1, 0.5, 0.02])


def test_gradients_are_clipped(pairs: Path) -> None:
    trainer = new_trainer(small_recipe("pix2pix", pairs, images=100, train={"clip_norm": 0.01}), pairs)
    batch = next(loader(trainer.dataset, batch=1))
    trainer.step(batch)
    for params in trainer.params.values():
        norm = torch.stack([p.grad.norm() for p in params]).norm()
        assert norm <= 0.0101


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_weight_decay_adds_to_the_gradient(optimizer: str) -> None:
    """A step with decay is the step of a gradient that has that many weights added."""
    after = []
    for decay, gradient in ((0.25, [1.0, -3.0]), (0.0, [1.0 + 0.25 * 2.0, -3.0 + 0.25 * 8.0])):
        weight = torch.nn.Parameter(torch.tensor([2.0, 8.0]))
        opt = new_optimizer(Optimizer(name=optimizer, lr=0.1, weight_decay=decay), [weight])
        for _ in range(2):
            weight.grad = torch.tensor(gradient)
            opt.step()
            gradient = gradient if decay else [g + 0.25 * w for g, w in zip([1.0, -3.0], weight.tolist(), strict=True)]
        after.append(weight.detach())
    torch.testing.assert_close(after[0], after[1])
    assert not torch.equal(after[0], torch.tensor([2.0, 8.0]))


def test_a_loss_is_averaged_over_the_moves_of_its_player() -> None:
    """G moved in one of three steps: its loss is not a third of what it was."""
    losses = Averages()
    for step in range(3):
        losses.add("D", {"real": torch.tensor(float(step))})
    losses.add("G", {"gan": torch.tensor(6.0)})
    assert losses.means() == {"D/real": 1.0, "G/gan": 6.0}
    losses.clear()
    losses.add("G", {"gan": torch.tensor(2.0)})
    assert losses.means() == {"G/gan": 2.0}


@pytest.mark.parametrize("name", [p for p in ONE_OF_A_KIND if p.values[0] not in ZOO])
def test_two_processes_equal_one_with_the_same_global_batch(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(FOLDERS[METHODS[name].reads])
    # What each process has for itself is left out: batch statistics, dropout and noise, pools. And the zoo, which
    # draws all that it learns from.
    method = plain(small_config(name))
    train = {"optimizer": {"name": "sgd", "lr": 0.01}, "precision": "fp32"}  # bf16 would round apart what is equal
    blocks = {"method": method, "watch": {"save_images": 6}, "train": train}
    one = train_small(tmp_path / "one", small_recipe(name, folder, images=6, data={"batch": 2}, **blocks))
    train_in_two_processes(small_recipe(name, folder, images=6, data={"batch": 1}, **blocks), tmp_path / "two")
    a, b = read(last(one), "state"), read(last(tmp_path / "two"), "state")
    assert (a["images"], a["steps"]) == (b["images"], b["steps"])
    assert (last(tmp_path / "two") / "rank1.json").is_file()
    for key, value in a["method"].items():
        torch.testing.assert_close(b["method"][key], value, atol=2e-6, rtol=2e-5, msg=lambda m, key=key: f"{key}: {m}")


def plain(tree):
    """Settings without anything that differs between processes; instance norm would blow up what rounding leaves."""
    if isinstance(tree, dict):
        quiet = {"norm": "none", "dropout": 0.0, "noise": 0, "sigma": 0.0, "pool": 0, "features_weight": 0.0}
        quiet["share"] = [1.0, 1.0]  # of holes: all is hidden, none differs
        return {k: v if k == "inference" else quiet.get(k, plain(v)) for k, v in tree.items()}
    return tree


def test_a_run_is_never_overwritten(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine/checkpoints/00000002").mkdir(parents=True)
    (tmp_path / "mine/recipe.yaml").write_text("x")
    said = r"exists and is not empty: i2i train --resume .* goes on with it, or choose another --out"
    with pytest.raises(UsageError, match=said):
        training.train("pix2pix", dataset=str(pairs), out=tmp_path / "mine")


def test_resume_refuses_what_would_be_another_experiment(pairs: Path, tmp_path: Path) -> None:
    done = train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=2, watch={"save_images": 2}))
    with pytest.raises(RecipeError, match=r"override 'method\.l1=3': a resumed run can change train"):
        training.resume(done, "method.l1=3")
    said = r"already trained to the end \(2 images\): i2i train --resume .* train.images=4 goes on"
    with pytest.raises(TrainingError, match=said):
        training.resume(done)
    with pytest.raises(TrainingError, match="not a run"):
        training.resume(tmp_path)
    checkpoint = last(done) / "state.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(TrainingError, match=r"00000002/state: this checkpoint is damaged"):
        training.resume(done, "train.images=4")


def test_float16_on_a_cpu_is_refused() -> None:
    with pytest.raises(TrainingError, match="fp16 needs a GPU"):
        precision("fp16", cpu=True)
    assert precision("fp32", cpu=True) == "no"
    assert precision("bf16", cpu=True) == "bf16"


def test_bfloat16_trains(pairs: Path, tmp_path: Path) -> None:
    watch = {"save_images": 3, "log_images": 3}
    wanted = small_recipe("pix2pix", pairs, images=3, train={"precision": "bf16"}, watch=watch)
    done = train_small(tmp_path / "run", wanted)
    assert {t.dtype for t in read(last(done), "state")["method"].values() if t.is_floating_point()} == {torch.float32}
    assert next(e for e in RunLog.read(done / "log.jsonl") if e["event"] == "start")["precision"] == "bf16"


def test_b2a_turns_the_data_and_the_names_stay_those_of_the_data(pairs: Path, tmp_path: Path) -> None:
    from i2i.folder import read_info

    blocks = {"data": {"direction": "b2a"}, "watch": {"save_images": 2}}
    info = read_info(train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=2, **blocks)) / "model")
    assert list(info.products) == ["b2a"]
    assert (info.products["b2a"].source, info.products["b2a"].target, info.default) == ("b", "a", "b2a")

"""What is timed is the same work; what is shown is what was measured."""

from __future__ import annotations

import json
import multiprocessing
import operator
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from conftest import Command
from models_for_tests import make_model, make_sampler
from small import SIZE, shrunk, small_config, small_method, small_recipe
from torch import nn

from i2i import folder, nets
from i2i.bench import engines, measure, scale, steps
from i2i.bench.measure import Memory, Spread
from i2i.bench.plain import PLAIN, period
from i2i.bench.shares import KINDS, shares
from i2i.bench.usual import as_usual
from i2i.errors import ModelError, UsageError
from i2i.methods import METHODS
from i2i.methods.base import Task

# -- the plain step ----------------------------------------------------------------------------------------------------


BATCH_NORM = {part: {**small_config("cyclegan")[part], "norm": "batch"} for part in ("generator", "discriminator")}


@pytest.mark.parametrize(("name", "changes"), [*((name, {}) for name in sorted(PLAIN)), ("cyclegan", BATCH_NORM)])
def test_the_plain_step_has_the_losses_and_gradients_of_the_trainer(name: str, changes: dict[str, Any]) -> None:
    """Else the ratio of their times would mean nothing."""
    torch.manual_seed(0)
    config = METHODS[name].Config.model_validate(small_config(name, **changes))
    method = METHODS[name](config, Task(size=(SIZE, SIZE), classes=steps.CLASSES))
    batch = steps.random_batch(method, SIZE, 2)
    plain: Any = PLAIN[name](method)
    trainer = steps.new_trainer(method, small_recipe(name, "none", train={"precision": "fp32"}))
    steps.new_trainer(small_method(name), small_recipe(name, "none", train={"precision": "bf16"}))  # leaves fp32 alone
    torch.manual_seed(1)  # the dropout of the U-Net
    trainer.step(batch)
    torch.manual_seed(1)
    terms = plain(batch)
    assert list(terms) == list(trainer.losses.sums)
    for term, value in terms.items():
        torch.testing.assert_close(trainer.losses.sums[term], value.detach(), rtol=1e-5, atol=0, msg=term)
    for key, net in method.named_children():
        if not list(net.parameters()):  # a pool of old fakes
            continue
        wanted = {k: p.grad for k, p in getattr(plain, key).named_parameters()}
        largest = max(g.abs().max() for g in wanted.values())
        for k, p in net.named_parameters():
            assert (p.grad - wanted[k]).abs().max() <= 1e-5 * largest, f"{key}.{k}"


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_a_method_is_measured_at_its_default_settings_and_the_batch_of_its_recipe(name: str) -> None:
    [(size, batch)] = steps.usual(name, None, None)
    wanted = steps.settings(name, size, batch, "fp32")
    assert shrunk(wanted.method.model_dump(mode="json")) == small_config(name), "but for how large networks are"
    assert (wanted.data.size, wanted.data.batch) == ((size, size), batch)
    usual = {"srresnet": (96, 16), "discogan": (64, 64), "pixelda": (32, 32), "dcgan": (64, 32)}
    assert (size, batch) == usual.get(name, (256, 1))
    assert steps.usual(name, [64, 32], 3) == [(64, 3), (32, 3)]


def test_a_turn_of_discogan_is_three_steps_in_which_both_players_move() -> None:
    """The authors' order: D in the first, G in the two others; beside it, the plain step goes the same way."""
    torch.manual_seed(0)
    config = METHODS["discogan"].Config.model_validate(small_config("discogan", update_interval=3, early_steps=2))
    method = METHODS["discogan"](config, Task(size=(SIZE, SIZE)))
    batch, plain = steps.random_batch(method, SIZE, 2), PLAIN["discogan"](method)
    trainer = steps.new_trainer(method, small_recipe("discogan", "none", train={"precision": "fp32"}))
    step, seen = steps.counted(trainer), []
    assert period(config) == 3
    for _ in range(3):
        step(batch)
        terms = plain(batch)
        assert list(terms) == list(trainer.losses.sums)
        for term, value in terms.items():
            torch.testing.assert_close(trainer.losses.sums[term], value.detach(), rtol=1e-3, atol=0, msg=term)
        seen.append(next(iter(terms))[0])
        trainer.losses.clear()
    assert "".join(seen) == "DGG"


def test_the_plain_networks_are_those_of_torch() -> None:
    net = nets.build(nets.ResNetConfig(blocks=1, width=2))
    plain = as_usual(net)
    kinds = [type(m) for m in plain.modules()]
    assert kinds.count(nn.InstanceNorm2d) == [type(m) for m in net.modules()].count(nets.InstanceNorm) == 7
    assert nets.InstanceNorm not in kinds
    assert not {id(p) for p in net.parameters()} & {id(p) for p in plain.parameters()}


def test_the_plain_step_is_in_float32_and_ours_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []
    real = nn.Conv2d.forward

    def forward(self: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
        y = real(self, x)
        seen.append(y.dtype)
        return y

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    kinds = {kind: steps.new_step("srresnet", 8, 1, kind) for kind in (steps.BASE, "i2i fp32", "i2i bf16")}
    for kind, dtype in zip(kinds, (torch.float32, torch.float32, torch.bfloat16), strict=True):
        seen.clear()
        kinds[kind]()
        assert set(seen) == {dtype}, kind


# -- measuring ---------------------------------------------------------------------------------------------------------


def test_runs_take_turns_and_the_first_place_goes_round() -> None:
    order: list[str] = []
    told: list[float] = []
    runs = {name: (lambda name=name: order.append(name)) for name in "abc"}
    taken = measure.interleaved(runs, 0.0, told.append)
    assert "".join(order) == "abcbcacab"
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 3, "b": 3, "c": 3}
    assert told == [1.0, 1.0, 1.0]


def test_ratios_are_taken_round_by_round() -> None:
    """A machine that slows down in the fourth round slows both down."""
    taken = {"ours": [1.0, 1.0, 2.0, 8.0, 3.0], "plain": [2.0, 4.0, 4.0, 16.0, 4.0]}
    assert measure.ratio(taken, "ours", "plain") == Spread(median=0.5, low=0.5, high=0.5)
    assert Spread.of(taken["ours"]) == Spread(median=2.0, low=1.0, high=3.0)


def test_memory_is_that_of_a_process_of_its_own() -> None:
    empty, full = (measure.alone(operator.mul, b"x", n).resident_bytes for n in (1, 200 * 2**20))
    assert empty is not None
    assert full is not None
    assert 190 * 2**20 < full - empty < 260 * 2**20


DIES = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


class Deadly:
    """Kills who reads it."""

    def __reduce__(self) -> tuple:
        return exec, (DIES,)


@pytest.mark.skipif(os.name == "nt", reason="signals and a shell of Unix")
def test_a_process_that_dies_costs_nothing_but_its_own_figure() -> None:
    """By its own exit, killed, killed before it begins, and killed when what it has started lives on."""
    left = f"import os; os.system('sleep 60 <&- >&- 2>&- &'); {DIES}"
    began = time.perf_counter()
    for function, given in ((os._exit, 1), (exec, DIES), (print, Deadly()), (exec, left)):
        assert measure.alone(function, given) == Memory(None, None)
    assert time.perf_counter() - began < 50


def test_an_error_in_a_process_of_its_own_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        measure.alone(int, "many")


def test_the_load_is_told() -> None:
    done = measure.Bench("train", "cpu", 2, "2.14", load_before=100.0)
    assert "other programs were running" in done.busy()
    assert measure.Bench("train", "cpu", 2, "2.14", load_before=0.0).busy().endswith("quiet")
    assert "not known" in measure.Bench("train", "cpu", 2, "2.14", load_before=None).busy()


def test_what_does_not_fit_into_memory_is_one_line() -> None:
    with pytest.raises(UsageError, match="--sizes 8192: too much for the memory"), measure.fitting("--sizes 8192"):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    with pytest.raises(RuntimeError, match="a defect"), measure.fitting("--sizes 8192"):
        raise RuntimeError("a defect")


# -- i2i bench train ---------------------------------------------------------------------------------------------------


def test_bench_train(i2i: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "CONVOLUTION", (1, 4, 16, 16))
    words = ("--methods", "srresnet", "--sizes", "16,8", "--batch", 2, "--seconds", 0, "--precision", "bf16")
    code, out, err = i2i("bench", "train", *words, "--no-memory", "--out", "b.json")
    assert (code, err) == (0, "")
    assert "srresnet 16" in out
    assert "load before the start" in out
    written = json.loads((tmp_path / "b.json").read_text())
    rows = written["rows"]
    assert [(r["size"], r["step"]) for r in rows] == [
        (size, step) for size in (16, 8) for step in ("plain fp32", "i2i fp32", "i2i bf16")
    ]
    for row in rows:
        assert row["rounds"] == 3
        assert row["images_per_second"] == pytest.approx(2 / row["seconds"]["median"])
        assert row["flops_per_second"] == pytest.approx(row["flops"] / row["seconds"]["median"])
        assert row["flops"] == rows[0]["flops"] * (row["size"] / 16) ** 2, "a fully convolutional network"
    assert rows[0]["ratio"] == rows[3]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    chart = ElementTree.fromstring((tmp_path / "b.svg").read_text())
    texts = [e.text for e in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("i2i bf16") == 2
    assert "srresnet, 16 pixels, batch 2" in texts


def test_where_the_time_goes(i2i: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "CONVOLUTION", (1, 4, 16, 16))
    words = ("--methods", "srresnet", "--sizes", "8", "--batch", 2, "--seconds", 0, "--precision", "fp32")
    code, out, err = i2i("bench", "train", *words, "--no-memory", "--profile", "--out", "b.json")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split("  ")[0] == "method, size, batch"
    assert "convolutions" in out.splitlines()[0]
    for row in json.loads((tmp_path / "b.json").read_text())["rows"]:
        assert list(row["shares"]) == list(KINDS)
        assert sum(row["shares"].values()) == pytest.approx(1)
        assert row["shares"]["convolutions"] > 0.1
        assert 0 < row["shares"]["optimizer"] < 0.9


def test_the_kinds_of_work() -> None:
    """By the operator's name; the optimizer's by where it was called: a plain Adam multiplies and adds."""
    x, weight = torch.randn(1, 4, 8, 8), nn.Parameter(torch.randn(4, 4, 3, 3))
    learned = nn.Parameter(torch.ones(4))
    learned.grad = torch.ones(4)
    only = {
        "optimizer": torch.optim.Adam([learned], foreach=False).step,
        "convolutions": lambda: torch.conv2d(x, weight, padding=1).sum().backward(),
        "norms": lambda: nn.functional.batch_norm(x, None, None, training=True),
        "losses": lambda: nn.functional.softplus(x),
        "activations": lambda: nn.functional.leaky_relu(x),
        "products": lambda: x[0, 0] @ x[0, 1],
        "copies": lambda: torch.cat([x, x]),
        "rest": lambda: x * x,
    }
    assert set(only) == set(KINDS)
    for name, run in only.items():
        found = shares(run)
        assert {kind for kind, share in found.items() if share} - {"copies", "rest"} == {name} - {"copies", "rest"}
        assert found[name] > 0, name


def test_memory_of_a_training_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "CONVOLUTION", (1, 4, 16, 16))
    asked: list[tuple] = []

    def alone(function: Any, *args: Any) -> Memory:
        asked.append(args)
        function(*args)
        return Memory(7 * 2**20, None)

    monkeypatch.setattr(steps, "alone", alone)
    done = steps.bench(["srresnet"], [8], batch=1, seconds=0, precision="fp32")
    assert asked == [("srresnet", 8, 1, "plain fp32"), ("srresnet", 8, 1, "i2i fp32")]
    assert [row.memory.resident_bytes for row in done.rows] == [7 * 2**20] * 2


def test_switches_of_the_recipe_are_measured_beside_a_plain_step_on_as_many_pictures(
    i2i: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "CONVOLUTION", (1, 4, 16, 16))
    given: list[list[int]] = []
    real = steps.Trainer.step

    def step(self: Any, *parts: Any) -> None:
        given.append([len(part.a) for part in parts])
        real(self, *parts)

    monkeypatch.setattr(steps.Trainer, "step", step)
    words = ("--methods", "srresnet", "--sizes", "8", "--batch", 2, "--seconds", 0, "--precision", "fp32")
    switches = ("method.generator.blocks=1", "train.accumulate=3", "train.recompute=true")
    said = i2i("bench", "train", *words, *switches, "--no-memory", "--profile", "--out", "b.json")
    assert (said.code, said.err) == (0, "")
    assert given == [[2, 2, 2]] * 5, "the first, three rounds, and one to see where the time goes"
    written = json.loads((tmp_path / "b.json").read_text())
    assert written["notes"] == [f"with {' '.join(switches)}"]
    assert written["notes"][0] in said.out
    plain, ours = written["rows"]
    assert (plain["batch"], ours["batch"]) == (6, 6)
    assert ours["images_per_second"] == pytest.approx(6 / ours["seconds"]["median"])
    assert 1.2 < ours["flops"] / plain["flops"] < 1.4, "forward once more: of three parts, four"
    assert sum(ours["shares"].values()) == pytest.approx(1)


def test_a_turn_of_accumulated_batches_moves_every_player_too(monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[tuple[str, int, int]] = []
    monkeypatch.setattr(steps.Trainer, "play", lambda self, who, losses, rate, i, of: moved.append((who, i, of)))
    steps.new_step("discogan", 64, 2, "i2i fp32", "train.accumulate=2", "method.update_interval=2")()
    assert moved == [("D", 1, 2), ("D", 2, 2), ("G", 1, 2), ("G", 2, 2)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--methods", "pix2px"), "--methods pix2px: not known; did you mean 'pix2pix'?"),
        (("--methods", ","), "--methods: names nothing"),
        (("--methods", "vae"), "method vae: no plain step is written for it (there are pix2pix, cyclegan,"),
        (("--sizes", "64,big"), "--sizes 64,big: expected pixels from 8 to 8192, like 128,256"),
        (("--methods", "pix2pix", "--sizes", "64,40"), "--sizes 40: pix2pix: data.size: a U-Net halves 40x40 only 3"),
        (("--methods", "srresnet", "--sizes", "30"), "--sizes 30: srresnet: not a multiple of the scale 4"),
        (("--precision", "bf61"), "--precision bf61: not known; did you mean 'bf16'?"),
        (("--out", "b.txt"), "--out b.txt: name a file that ends in .json"),
        (("--out", "nowhere/b.json"), "--out nowhere/b.json: there is no folder"),
        (("data.size=64",), "override data.size=64: here they begin with method. or train.; for the rest there are"),
        (("train.precision=bf16",), "override train.precision=bf16: here they begin with"),
        (("train.recompte=true",), "override train.recompte=true: train.recompte: unknown key; did you mean"),
        (("train.recompute",), "override 'train.recompute': expected key.path=value"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_bench_train_refuses_in_one_line(
    words: tuple[str, ...], message: str, i2i: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "new_step", lambda *_: pytest.fail("something was measured before"))
    code, out, err = i2i("bench", "train", "--no-memory", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


@pytest.mark.skipif(torch.cuda.is_available() or torch.backends.mps.is_available(), reason="needs a CPU alone")
def test_float16_on_a_cpu_is_refused(i2i: Command) -> None:
    assert i2i("bench", "train", "--precision", "fp16")[2].startswith("error: train.precision fp16 needs a GPU")


# -- i2i bench scale ---------------------------------------------------------------------------------------------------


def test_bench_scale(i2i: Command, tmp_path: Path) -> None:
    words = ("--methods", "srresnet", "--sizes", 8, "--batch", 2, "--seconds", 0, "--precision", "fp32")
    code, out, err = i2i("bench", "scale", *words, "--out", "b.json")
    assert (code, err) == (0, "")
    assert "2: averaged after" in out
    assert "peak" not in out
    written = json.loads((tmp_path / "b.json").read_text())
    rows = dict(zip(scale.KINDS, written["rows"], strict=True))
    assert (written["bench"], written["threads"], [r["step"] for r in written["rows"]]) == ("scale", 1, [*rows])
    with torch.device("meta"):
        weights = sum(p.numel() for p in METHODS["srresnet"](METHODS["srresnet"].Config(), Task()).parameters())
    for step, row in rows.items():
        working = 1 if step == scale.ALONE else 2
        assert (row["processes"], row["rounds"]) == (working, 3)
        assert row["images_per_second"] == pytest.approx(2 * working / row["seconds"]["median"])
        assert row["efficiency"] == pytest.approx(1 / row["ratio"]["median"])
        sent = step in (scale.AFTER, scale.OURS)
        assert row["gradient_bytes"] == (4 * weights if sent else 0), step
        assert row["collectives"] == (1 if sent else 0), step
        assert (0 < row["waiting"] < 1) if sent else row["waiting"] == 0, step
        assert row["flops"] == rows[scale.ALONE]["flops"] > 0
    assert rows[scale.ALONE]["ratio"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert "averaged after" in (tmp_path / "b.svg").read_text()


def test_a_process_of_several_that_dies_is_one_line() -> None:
    ours, theirs = multiprocessing.Pipe()
    theirs.close()
    for step in (lambda: ours.send("averaged"), ours.recv):
        with pytest.raises(UsageError, match="a process ended, most likely for lack of memory"), scale.living():
            step()
    ours.close()


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="--processes 2: each needs a GPU of its own, this machine has 1"):
        scale.bench(["srresnet"], [8])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--methods", "pix2px"), "--methods pix2px: not known; did you mean 'pix2pix'?"),
        (("--methods", "pixelda"), "--methods pixelda: not known"),
        (("--methods", "srresnet", "--sizes", "32,30"), "--sizes 30: srresnet: not a multiple of the scale 4"),
        (("--precision", "bf61"), "--precision bf61: not known; did you mean 'bf16'?"),
        (("--out", "b.txt"), "--out b.txt: name a file that ends in .json"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_bench_scale_refuses_in_one_line(
    words: tuple[str, ...], message: str, i2i: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "crew", lambda *_: pytest.fail("something was measured before"))
    code, out, err = i2i("bench", "scale", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


# -- i2i bench model ---------------------------------------------------------------------------------------------------


def test_bench_model(i2i: Command, tmp_path: Path) -> None:
    make_model(tmp_path / "mine", dropout=True)
    words = ("--engines", "bf16,onnx", "--sizes", "32", "--batch", 2, "--seconds", 0, "--no-memory", "--out", "b.json")
    code, out, err = i2i("bench", "model", "mine", *words)
    assert (code, err) == (0, "")
    assert "dropout, the noise of this model, is off in all engines" in out
    written = json.loads((tmp_path / "b.json").read_text())
    plain, bf16, onnx = written["rows"]
    assert [r["engine"] for r in written["rows"]] == ["torch", "bf16", "onnx"]
    assert (plain["difference"], plain["ratio"]["median"]) == (0.0, 1.0)
    assert 0 < onnx["difference"] < 1e-4 < bf16["difference"] < 0.2
    assert "torch" in (tmp_path / "b.svg").read_text()
    assert {p.name for p in tmp_path.iterdir()} == {"mine", "b.json", "b.svg"}, "an export was left behind"


@pytest.mark.parametrize("kind", ["classes", *(pytest.param(k, marks=pytest.mark.slow) for k in ("styles", "holes"))])
def test_bench_of_what_draws_and_of_what_fills_holes(i2i: Command, tmp_path: Path, kind: str) -> None:
    sizes: tuple = ()
    if kind == "holes":
        make_model(tmp_path / "mine", nets.ContextConfig(width=4))
        sizes = ("--sizes", 32)
    elif kind == "classes":
        make_sampler(tmp_path / "mine", nets.DCGANConfig(width=8, size=(8, 12), classes=3))
    else:
        make_sampler(tmp_path / "mine", nets.StyleGAN2Config(width=8, most=1, layers=2, style=8, size=(8, 12)))
    bf16_too = kind != "styles"
    wanted = ("--engines", "bf16,onnx" if bf16_too else "onnx", "--batch", 3, *sizes)
    code, _, err = i2i("bench", "model", "mine", *wanted, "--seconds", 0, "--no-memory", "--out", "b.json")
    assert (code, err) == (0, "")
    rows = {r["engine"]: r for r in json.loads((tmp_path / "b.json").read_text())["rows"]}
    assert list(rows) == (["torch", "bf16", "onnx"] if bf16_too else ["torch", "onnx"])
    what = ("a2b", 32) if kind == "holes" else ("sampler", 8)
    assert {(r["product"], r["size"], r["batch"]) for r in rows.values()} == {(*what, 3)}
    assert rows["torch"]["difference"] == 0
    assert 0 < rows["onnx"]["difference"] < 1e-4
    if bf16_too:
        assert 1e-4 < rows["bf16"]["difference"] < 0.3
    else:
        said = "error: engine bf16: its styles stay in float32, where a whole network in bfloat16 does not run\n"
        assert i2i("bench", "model", "mine", "--engines", "bf16") == (2, "", said)
    assert ("Translation" if kind == "holes" else "Drawing") in (tmp_path / "b.svg").read_text()


def test_what_fills_holes_is_given_some(tmp_path: Path) -> None:
    make_model(tmp_path / "mine", nets.ContextConfig(width=4))
    place = engines.Place(tmp_path / "mine", folder.read_info(tmp_path / "mine"), "a2b", "cpu")
    (x,) = engines.given(place, 2, 32)
    assert x.shape == (2, 4, 32, 32)
    assert set(np.unique(x[:, 3])) == {0, 1}
    assert engines.engine_of("torch", place)(x).shape == (2, 3, 32, 32)


@pytest.mark.parametrize("option", [("--sizes", "32"), ("--direction", "a2b")], ids=" ".join)
def test_what_draws_has_its_size_and_no_direction(i2i: Command, tmp_path: Path, option: tuple[str, str]) -> None:
    make_sampler(tmp_path / "mine")
    said = {
        "--sizes": "error: mine: draws color pictures of 16 x 12, from 8 normal values: leave --sizes out\n",
        "--direction": "error: --direction a2b: mine draws pictures and has no direction: leave it out\n",
    }
    assert i2i("bench", "model", "mine", *option) == (2, "", said[option[0]])


@pytest.mark.parametrize("classes", [0, 3])
def test_memory_of_what_draws(tmp_path: Path, classes: int) -> None:
    make_sampler(tmp_path / "mine", nets.DCGANConfig(width=8, size=(8, 12), classes=classes))
    place = engines.Place(tmp_path / "mine", folder.read_info(tmp_path / "mine"), engines.SAMPLER, "cpu")
    engines.run_twice("torch", place, (2, 8))
    with pytest.raises(ModelError, match=r"draws from \[N, 8\], not from \[2, 9\]"):
        engines.run_twice("torch", place, (2, 9))


def test_an_engine_that_is_not_there(i2i: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "mine")

    def broken(*args: Any, **options: Any) -> None:
        raise RuntimeError("no compiler\nwas found")

    monkeypatch.setattr(torch, "compile", broken)
    monkeypatch.setattr(engines, "USUAL", ("torch", "compile", "bf16"))
    why = "engine compile: torch.compile does not work here (no compiler was found)"
    short = ("bench", "model", "mine", "--sizes", 32, "--seconds", 0, "--no-memory")
    assert i2i(*short, "--engines", "compile") == (2, "", f"error: {why}\n")
    code, out, _ = i2i(*short)
    assert code == 0
    assert "engine compile was left out: torch.compile does not work here" in out


@pytest.mark.slow
def test_a_compiled_model_answers_like_torch(tmp_path: Path) -> None:
    make_model(tmp_path / "mine")
    done = engines.bench(tmp_path / "mine", [32, 64], ["compile"], seconds=0, memory=False)
    assert [(r.size, r.engine) for r in done.rows] == [(s, e) for s in (32, 64) for e in ("torch", "compile")]
    assert all(r.difference < 1e-4 for r in done.rows)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("mine", "--engines", "tensorflow"), "--engines tensorflow: not known"),
        (("mine", "--engines", "torch", "--sizes", "64,60"), "--sizes 60: this U-Net (depth 3) needs height and width"),
        (("mine", "--direction", "b2a"), "--direction b2a: not known (one of a2b)"),
        (("mine", "--device", "tpu"), "device 'tpu' cannot be used here"),
        (("yours",), "no model 'yours'"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else "",
)
def test_bench_model_refuses_in_one_line(words: tuple[str, ...], message: str, i2i: Command, tmp_path: Path) -> None:
    make_model(tmp_path / "mine")
    code, out, err = i2i("bench", "model", "--no-memory", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_memory_of_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "mine")
    asked: list[tuple] = []

    def alone(function: Any, *args: Any) -> Memory:
        asked.append((args[0], args[2]))
        function(*args)
        return Memory(7 * 2**20, None)

    monkeypatch.setattr(engines, "alone", alone)
    done = engines.bench(tmp_path / "mine", [16], ["bf16"], batch=2, seconds=0)
    assert asked == [("torch", (2, 3, 16, 16)), ("bf16", (2, 3, 16, 16))]
    assert [row.memory.resident_bytes for row in done.rows] == [7 * 2**20] * 2


def test_an_exported_model_is_refused(i2i: Command, tmp_path: Path) -> None:
    facts = folder.Export(
        target="onnx", opset=20, precision="fp32", tolerance=0, sizes=((8, 8),), batches=(1,), noise_removed=False,
        proofs={}, torch="2.14",
    )  # fmt: skip
    make_model(tmp_path / "made", export=facts)
    said = "error: made: is an exported model: measure the one it was made from, with --engines torch,onnx\n"
    assert i2i("bench", "model", "made") == (2, "", said)


def test_an_exported_model_is_run_without_torch() -> None:
    code = "import sys, i2i.bench.engines, i2i.bench.commands; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"

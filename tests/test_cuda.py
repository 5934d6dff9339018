"""What is chosen on an NVIDIA GPU: the decisions as if there were one, the training where there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small import small_method, small_recipe, train_small
from test_trainer import assert_same_state, last, new_trainer

from i2i import recipe, training
from i2i.bench import steps
from i2i.cuda import Switches, switched, switches
from i2i.errors import TrainingError
from i2i.log import RunLog
from i2i.numerics import precision
from i2i.state import read

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


@pytest.mark.parametrize(
    ("train", "device", "low", "chosen"),
    [
        ({}, CPU, True, Switches(tf32=False, benchmark=False, channels_last=False)),
        ({"channels_last": True}, CPU, False, Switches(tf32=False, benchmark=False, channels_last=True)),
        ({}, torch.device("mps"), True, Switches(tf32=False, benchmark=False, channels_last=False)),
        ({}, CUDA, True, Switches(tf32=True, benchmark=True, channels_last=True)),
        ({}, CUDA, False, Switches(tf32=True, benchmark=True, channels_last=False)),  # too old for bfloat16
        ({"precision": "tf32"}, CUDA, False, Switches(tf32=True, benchmark=True, channels_last=True)),
        ({"precision": "fp32"}, CUDA, False, Switches(tf32=False, benchmark=True, channels_last=False)),
        ({"channels_last": False}, CUDA, True, Switches(tf32=True, benchmark=True, channels_last=False)),
        ({"deterministic": True}, CUDA, True, Switches(tf32=True, benchmark=False, channels_last=True)),
    ],
)
def test_what_is_chosen(train: dict[str, Any], device: torch.device, low: bool, chosen: Switches) -> None:
    assert switches(small_recipe("pix2pix", "none", train=train).train, device, low) == chosen


def now() -> tuple[object, ...]:
    cudnn = torch.backends.cudnn
    return torch.get_float32_matmul_precision(), cudnn.allow_tf32, cudnn.benchmark


def test_torch_computes_so_inside_and_as_before_outside() -> None:
    before = now()
    with switched(Switches(tf32=True, benchmark=True, channels_last=True)):
        assert now() == ("high", True, True)
        with switched(Switches(tf32=False, benchmark=False, channels_last=True)):
            assert now() == ("highest", False, False)
        assert now() == ("high", True, True)
    assert now() == before


def test_a_training_runs_inside(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def faked(train: recipe.Train, device: torch.device, low: bool) -> Switches:
        asked.append((train.precision, device, low))
        return Switches(tf32=True, benchmark=True, channels_last=True)

    monkeypatch.setattr("i2i.cuda.switches", faked)
    seen: list[tuple[object, ...]] = []
    real = training._train

    def train(*args: Any) -> None:
        seen.append(now())
        real(*args)

    monkeypatch.setattr(training, "_train", train)
    train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=1, train={"precision": "bf16"}))
    assert seen == [("high", True, True)]
    assert asked == [("bf16", CPU, True)] * 2  # what torch is told, and how the trainer lays pictures out


def test_pictures_and_weights_lie_as_is_chosen(pairs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Switches(tf32=False, benchmark=False, channels_last=True)
    monkeypatch.setattr("i2i.cuda.switches", lambda *_: chosen)
    trainer = new_trainer(small_recipe("pix2pix", pairs), pairs)
    batch = trainer.laid_out(steps.random_batch(trainer.method, 32, 2))
    assert batch.a.is_contiguous(memory_format=torch.channels_last)
    weights = [p for p in trainer.method.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


def test_tf32_is_float32_to_accelerate_and_needs_a_gpu() -> None:
    assert precision("tf32", cpu=False) == "no"
    with pytest.raises(TrainingError, match="tf32 needs a GPU: use auto, fp32 or bf16 on a CPU"):
        precision("tf32", cpu=True)


@pytest.mark.parametrize(("said", "mode"), [(True, "default"), ("reduce-overhead", "reduce-overhead")])
def test_networks_are_compiled_as_is_asked(said: bool | str, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[str] = []
    begun: list[bool] = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: modes.append(mode))
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(True))
    method = small_method("pix2pix")
    trainer = steps.new_trainer(method, small_recipe("pix2pix", "none", train={"compile": said, "precision": "fp32"}))
    trainer.step(steps.random_batch(method, 32, 2))
    assert modes == [mode, mode]
    assert len(begun) == (said == "reduce-overhead")


ON_A_GPU = [
    {"precision": "fp16"}, {"precision": "bf16"}, {"precision": "tf32"}, {"precision": "fp32", "channels_last": True},
    {"accumulate": 2, "recompute": True}, {"compile": True}, {"compile": "reduce-overhead"},
    {"compile": "reduce-overhead", "accumulate": 2},
]  # fmt: skip


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
@pytest.mark.parametrize("train", ON_A_GPU, ids=str)
def test_every_switch_trains_on_a_gpu(train: dict[str, Any], name: str, request: Any, tmp_path: Path) -> None:
    folder = request.getfixturevalue({"pix2pix": "pairs", "cyclegan": "domains"}[name])
    run = train_small(tmp_path / "run", small_recipe(name, folder, images=12, train=train, watch={"log_images": 4}))
    log = RunLog.read(run / "log.jsonl")
    assert log[0]["device"].startswith("cuda")
    assert sum(event["event"] == "losses" for event in log) == 3
    assert all(value.isfinite().all() for value in read(last(run), "state")["method"].values())


@pytest.mark.gpu
def test_what_is_computed_again_on_a_gpu_is_the_same(pairs: Path, tmp_path: Path) -> None:
    runs = []
    for again in (False, True):
        train = {"recompute": again, "deterministic": True, "precision": "fp32"}
        runs.append(train_small(tmp_path / str(again), small_recipe("pix2pix", pairs, images=4, train=train)))
    assert_same_state(last(runs[0]), last(runs[1]))

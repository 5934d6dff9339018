"""``i2i bench train``: the trainer's step beside a plain one, and beside what this machine can do at most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from i2i import numerics, recipe
from i2i.bench.measure import Bench, Memory, Spread, alone, fitting, interleaved, load, ratio
from i2i.bench.plain import PLAIN
from i2i.data.batches import Pair, Reduced, Unpaired
from i2i.errors import UsageError
from i2i.methods import METHODS
from i2i.methods.base import Method, Task
from i2i.recipe import Recipe
from i2i.strict import Source
from i2i.trainer import Trainer
from i2i.transfer import Progress

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BASE = "plain fp32"
CONVOLUTION = (2, 256, 64, 64)  # input of the 3x3 convolution from 256 to 256 channels: 9.7 GFLOP


@dataclass(frozen=True)
class Row:
    """One kind of step of one method at one size. ``step``: plain fp32, i2i fp32, i2i bf16."""

    method: str
    size: int  # pixels, height and width
    batch: int
    step: str
    rounds: int
    seconds: Spread
    ratio: Spread  # to the plain step; below 1 is faster
    images_per_second: float
    flops: int  # of one step: convolutions and matrix products, forward and backward
    flops_per_second: float
    of_convolution: float  # the share of what a large convolution reaches here in the same precision
    memory: Memory | None  # of a process of its own that makes two steps: Python, torch, networks and all


def bench(
    methods: Sequence[str], sizes: Sequence[int], *, batch: int = 1, seconds: float = 20.0,
    precision: str = "auto", memory: bool = True, tell: Progress = lambda stage, done, total: None,
) -> Bench:  # fmt: skip
    """Times the steps of each method at each size, in turns, on random pictures and with fresh networks.

    Args:
        seconds: of measuring for each method and size; three rounds are made in any case.
        precision: what is measured beside float32; auto is what a training would take.
        memory: also the peak memory of each kind of step, in a process of its own.

    Raises:
        UsageError: a method at this size cannot be, or has no plain step.
        TrainingError: float16 on a CPU.
    """
    for name in methods:
        if name not in PLAIN:
            raise UsageError(f"method {name}: no plain step is written for it (there are {', '.join(PLAIN)})")
        for size in sizes:  # all before the first is measured
            with fitting(f"--sizes {size}: {name}"), torch.device("meta"):
                random_batch(new_method(settings(name, size, batch, "fp32")), size, batch)
    kinds = [BASE, *(f"i2i {p}" for p in dict.fromkeys(("fp32", chosen(precision))))]
    done = Bench("train", str(device()), torch.get_num_threads(), torch.__version__)
    for name in methods:
        for size in sizes:
            with fitting(f"--sizes {size}: {name}"):
                done.rows += _rows(name, size, batch, seconds, kinds, memory, tell)
    done.load_after = load()
    return done


def _rows(
    name: str, size: int, batch: int, seconds: float, kinds: Sequence[str], memory: bool, tell: Progress
) -> list[Row]:
    runs: dict[str, Callable[[], object]] = {}
    flops: dict[str, int] = {}
    what = f"{name} {size}"
    for kind in kinds:
        tell(f"{what}: first step, {kind}", 0, None)
        runs[kind] = timed(new_step(name, size, batch, kind))
        with FlopCounterMode(display=False) as counter:
            runs[kind]()  # the first time: also what has to be made once
        flops[kind] = counter.get_total_flops()
    for dtype in dict.fromkeys(kind.split()[1] for kind in kinds):
        kind = f"convolution {dtype}"
        runs[kind] = timed(convolution(DTYPES[dtype]))
        flops[kind] = 2 * 9 * CONVOLUTION[1] * torch.Size(CONVOLUTION).numel()
        runs[kind]()
    taken = interleaved(runs, seconds, lambda part: tell(what, round(100 * part), 100))
    rows = []
    for kind in kinds:
        took = Spread.of(taken[kind])
        rate, best = (flops[k] / Spread.of(taken[k]).median for k in (kind, f"convolution {kind.split()[1]}"))
        if memory:
            tell(f"{what}: memory, {kind}", 0, None)
        held = alone(two_steps, name, size, batch, kind) if memory else None
        row = Row(
            method=name, size=size, batch=batch, step=kind, rounds=len(taken[kind]), seconds=took,
            ratio=ratio(taken, kind, BASE), images_per_second=batch / took.median, flops=flops[kind],
            flops_per_second=rate, of_convolution=rate / best, memory=held,
        )  # fmt: skip
        rows.append(row)
    return rows


def new_step(name: str, size: int, batch: int, kind: str) -> Callable[[], object]:
    """A step of ``kind`` on a batch of random pictures; equal networks and pictures for each kind."""
    torch.manual_seed(0)
    wanted = settings(name, size, batch, kind.split()[1])
    method = new_method(wanted)
    noise = random_batch(method, size, batch)
    pictures = type(noise)(*(x.to(device()) for x in noise))
    if kind == BASE:
        return partial(PLAIN[name](method.to(device())), pictures)
    return partial(new_trainer(method, wanted).step, pictures)


def settings(name: str, size: int, batch: int, precision: str) -> Recipe:
    """The method as it is by default, on data that there are not."""
    tree = {
        "method": {"name": name},
        "data": {"dataset": "none", "size": size, "batch": batch},
        "train": {"images": 10**9, "precision": precision},
    }
    return recipe.build(tree, Source("bench"))


def new_method(wanted: Recipe) -> Method:
    return METHODS[wanted.method.name](wanted.method, Task(size=wanted.data.size))


def new_trainer(method: Method, wanted: Recipe) -> Trainer:
    """A trainer without data: its steps are all that is asked of it."""
    cpu = device().type == "cpu"
    AcceleratorState._reset_state()  # it is one per process; who asks for float32 comes first and keeps it
    arithmetic = numerics.precision(wanted.train.precision, cpu)
    return Trainer(method, wanted, None, Accelerator(cpu=cpu, mixed_precision=arithmetic))


def random_batch(method: Any, size: int, number: int) -> Any:
    """What the method reads, from noise: float32 [number, 3, size, size] in [-1, 1].

    Raises:
        UsageError: the size is no multiple of the scale that pictures are reduced by.
    """

    def noise(side: int) -> Tensor:
        return torch.rand(number, 3, side, side) * 2 - 1

    if method.reads is not Reduced:
        reads: type[Pair] | type[Unpaired] = method.reads
        return reads(noise(size), noise(size))
    scale = method.G.scale
    if size % scale:
        raise UsageError(f"not a multiple of the scale {scale}")
    return Reduced(noise(size // scale), noise(size))


def convolution(dtype: torch.dtype) -> Callable[[], object]:
    """What the machine can do: one large convolution, forward alone."""
    x = torch.rand(CONVOLUTION, device=device(), dtype=dtype)
    weight = torch.rand(CONVOLUTION[1], CONVOLUTION[1], 3, 3, device=device(), dtype=dtype)

    def run() -> None:
        with torch.inference_mode():
            torch.conv2d(x, weight, padding=1)

    return run


def two_steps(name: str, size: int, batch: int, kind: str) -> None:
    """The second step is the first with all that the optimizers keep."""
    run = new_step(name, size, batch, kind)
    run()
    run()


def timed(run: Callable[[], object]) -> Callable[[], object]:
    """``run`` to its end: a GPU goes on after the call has come back."""
    if device().type != "cuda":
        return run

    def to_the_end() -> None:
        run()
        torch.cuda.synchronize()

    return to_the_end


def device() -> torch.device:
    """Where a training would run."""
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    return torch.device(kind)


def chosen(precision: str) -> str:
    found = numerics.precision(precision, device().type == "cpu")
    return {"no": "fp32"}.get(found, found)

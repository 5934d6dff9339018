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
from i2i.bench.plain import PLAIN, period
from i2i.bench.shares import shares
from i2i.data.batches import Images, Labelled, Pair, Reduced, Unpaired
from i2i.errors import UsageError
from i2i.methods import METHODS
from i2i.methods.base import Method, Task
from i2i.recipe import Recipe
from i2i.trainer import Trainer
from i2i.transfer import Progress

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BASE = "plain fp32"
CLASSES = 10  # that labels name, where a method reads labels
CONVOLUTION = (2, 256, 64, 64)  # input of the 3x3 convolution from 256 to 256 channels: 9.7 GFLOP


@dataclass(frozen=True)
class Row:
    """One kind of step of one method at one size. ``step``: plain fp32, i2i fp32, i2i bf16."""

    method: str
    size: int  # pixels, height and width
    batch: int  # pictures a step
    step: str
    rounds: int
    seconds: Spread  # of one step, the mean over all that it takes until every player has moved
    ratio: Spread  # to the plain step; below 1 is faster
    images_per_second: float
    flops: int  # of one step: convolutions and matrix products, forward and backward
    flops_per_second: float
    of_convolution: float  # the share of what a large convolution reaches here in the same precision
    memory: Memory | None  # of a process of its own that makes two steps: Python, torch, networks and all
    shares: dict[str, float] | None  # of the time, by kind of work


def bench(
    methods: Sequence[str], sizes: Sequence[int] | None = None, *, batch: int | None = None, seconds: float = 20.0,
    precision: str = "auto", memory: bool = True, profile: bool = False, overrides: Sequence[str] = (),
    tell: Progress = lambda stage, done, total: None,
) -> Bench:  # fmt: skip
    """Times the steps of each method at each size, in turns, on random pictures and with fresh networks.

    Args:
        sizes: pixels, height and width; None: for each method that of its recipe for folders.
        batch: pictures a step; None: as many as there.
        seconds: of measuring for each method and size; three rounds are made in any case.
        precision: what is measured beside float32; auto is what a training would take.
        memory: also the peak memory of each kind of step, in a process of its own.
        profile: also where the time of each kind of step goes.
        overrides: of the recipes, like ``"train.recompute=true"``. A step of ``train.accumulate`` batches is measured
            beside a plain one on all of their pictures at once. In networks and weights of losses the plain step
            follows, in nothing else.

    Raises:
        RecipeError: one of the overrides is wrong.
        UsageError: a method at this size cannot be, or has no plain step.
        TrainingError: float16 on a CPU.
    """
    for word in overrides:
        if not word.startswith(("method.", "train.")) or word.startswith(("method.name", "train.precision")):
            raise UsageError(f"override {word}: here they begin with method. or train.; for the rest there are options")
    for name in methods:
        if name not in PLAIN:
            raise UsageError(f"method {name}: no plain step is written for it (there are {', '.join(PLAIN)})")
    work = [(name, size, number) for name in methods for size, number in usual(name, sizes, batch)]
    for name, size, number in work:  # all before the first is measured
        wanted = settings(name, size, number, "fp32", *overrides)  # a wrong word there is not blamed on the size
        with fitting(f"--sizes {size}: {name}"), torch.device("meta"):
            random_batch(new_method(wanted), size, wanted.step_images)
    kinds = [BASE, *(f"i2i {p}" for p in dict.fromkeys(("fp32", chosen(precision))))]
    done = Bench("train", str(device()), torch.get_num_threads(), torch.__version__)
    if overrides:
        done.notes.append(f"with {' '.join(overrides)}")
    for name, size, number in work:
        with fitting(f"--sizes {size}: {name}"):
            done.rows += _rows(name, size, number, seconds, kinds, memory, profile, overrides, tell)
    done.load_after = load()
    return done


def _rows(
    name: str, size: int, batch: int, seconds: float, kinds: Sequence[str], memory: bool, profile: bool,
    overrides: Sequence[str], tell: Progress,
) -> list[Row]:  # fmt: skip
    runs: dict[str, Callable[[], object]] = {}
    flops: dict[str, int] = {}
    wanted = settings(name, size, batch, "fp32", *overrides)
    what, steps, pictures = f"{name} {size}", period(wanted.method), wanted.step_images
    for kind in kinds:
        tell(f"{what}: first step, {kind}", 0, None)
        runs[kind] = timed(new_step(name, size, batch, kind, *overrides))
        with FlopCounterMode(display=False) as counter:
            runs[kind]()  # the first time: also what has to be made once
        flops[kind] = counter.get_total_flops() // steps
    for dtype in dict.fromkeys(kind.split()[1] for kind in kinds):
        kind = f"convolution {dtype}"
        runs[kind] = timed(convolution(DTYPES[dtype]))
        flops[kind] = 2 * 9 * CONVOLUTION[1] * torch.Size(CONVOLUTION).numel()
        runs[kind]()
    taken = interleaved(runs, seconds, lambda part: tell(what, round(100 * part), 100))
    rows = []
    for kind in kinds:
        taken[kind] = [turn / steps for turn in taken[kind]]
    for kind in kinds:
        took = Spread.of(taken[kind])
        rate, best = (flops[k] / Spread.of(taken[k]).median for k in (kind, f"convolution {kind.split()[1]}"))
        if memory:
            tell(f"{what}: memory, {kind}", 0, None)
        held = alone(two_steps, name, size, batch, kind, *overrides) if memory else None
        parts = shares(runs[kind]) if profile else None
        row = Row(
            method=name, size=size, batch=pictures, step=kind, rounds=len(taken[kind]), seconds=took,
            ratio=ratio(taken, kind, BASE), images_per_second=pictures / took.median, flops=flops[kind],
            flops_per_second=rate, of_convolution=rate / best, memory=held, shares=parts,
        )  # fmt: skip
        rows.append(row)
    return rows


def new_step(name: str, size: int, batch: int, kind: str, *overrides: str) -> Callable[[], object]:
    """Steps of ``kind`` on random pictures, as many as it takes until every player has moved; equal networks and
    pictures for each kind. The plain step has all pictures at once, ours in batches of ``batch``."""
    torch.manual_seed(0)
    wanted = settings(name, size, batch, kind.split()[1], *overrides)
    method = new_method(wanted)
    noise = random_batch(method, size, wanted.step_images)
    pictures = [x.to(device()) for x in noise]
    if kind == BASE:
        plain = PLAIN[name](method.to(device()))
        step: Callable[[], object] = partial(plain, type(noise)(*pictures))
    else:
        parts = zip(*(x.split(batch) for x in pictures), strict=True)
        step = partial(counted(new_trainer(method, wanted)), *(type(noise)(*part) for part in parts))

    def turn() -> None:
        for _ in range(period(wanted.method)):
            step()

    return turn


def counted(trainer: Trainer) -> Callable[..., None]:
    """Its steps in order: who moves can depend on how many there were."""

    def step(*parts: Any) -> None:
        trainer.step(*parts)
        trainer.steps += 1

    return step


def usual(name: str, sizes: Sequence[int] | None, batch: int | None) -> list[tuple[int, int]]:
    """The sizes and batches at which a method is measured: those asked for, else those of its recipe for folders."""
    data = recipe.load(recipe.find_for(name, None)).data
    return [(size, batch or data.batch) for size in sizes or [data.size[0]]]


def settings(name: str, size: int, batch: int, precision: str, *overrides: str) -> Recipe:
    """The method's recipe for folders, at this size and with ``overrides``, on data that there are not."""
    changes = (f"data.size={size}", f"data.batch={batch}", f"train.precision={precision}", *overrides)
    return recipe.load(recipe.find_for(name, None), changes, dataset="none")


def new_method(wanted: Recipe) -> Method:
    method = METHODS[wanted.method.name]
    labels = CLASSES if method.reads is Labelled else 0
    return method(wanted.method, Task(size=wanted.data.size, classes=labels))


def new_trainer(method: Method, wanted: Recipe) -> Trainer:
    """A trainer without data: its steps are all that is asked of it."""
    cpu = device().type == "cpu"
    AcceleratorState._reset_state()  # it is one per process; who asks for float32 comes first and keeps it
    arithmetic = numerics.precision(wanted.train.precision, cpu)
    return Trainer(method, wanted, None, Accelerator(cpu=cpu, mixed_precision=arithmetic))


def random_batch(method: Any, size: int, number: int) -> Any:
    """What the method reads, from noise: float32 [number, 3, size, size] in [-1, 1], and labels of ``CLASSES``.

    Raises:
        UsageError: the size is no multiple of the scale that pictures are reduced by.
    """

    def noise(side: int) -> Tensor:
        return torch.rand(number, 3, side, side) * 2 - 1

    labels = torch.arange(number) % CLASSES
    if method.reads is Labelled:
        return Labelled(noise(size), labels, noise(size), labels)
    if method.reads is Images:
        return Images(noise(size), labels)
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


def two_steps(name: str, size: int, batch: int, kind: str, *overrides: str) -> None:
    """The second step is the first with all that the optimizers keep."""
    run = new_step(name, size, batch, kind, *overrides)
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
    return numerics.said(numerics.precision(precision, device().type == "cpu"))

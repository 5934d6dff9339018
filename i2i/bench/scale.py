"""``i2i bench scale``: several processes take equal steps at the same time, each on a batch of its own, and average
their gradients: how much longer than one process alone that takes (weak scaling)."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import fmean, median

import torch
from torch.utils.flop_counter import FlopCounterMode

from i2i.bench import steps
from i2i.bench.measure import Bench, Spread, fitting, interleaved, load, ratio
from i2i.errors import UsageError
from i2i.processes import cores
from i2i.reducing import Reducer
from i2i.transfer import Progress

TIMED = ("pix2pix", "cyclegan", "srresnet")
"""Methods whose steps are all alike: every player moves in each."""

ALONE, APART, AFTER, OURS = "one process", "apart", "averaged after", "averaged"
KINDS = {
    ALONE: "the others wait",
    APART: "all at once, nothing is averaged: what they take from each other's memory and cores",
    AFTER: "all at once, gradients in one piece when backward has ended",
    OURS: "all at once, gradients in buckets while backward runs: as a training does",
}


@dataclass(frozen=True)
class Row:
    """One kind of step of one method at one size; ``step`` is one of ``KINDS``."""

    method: str
    size: int  # pixels, height and width
    batch: int  # of each process
    step: str
    processes: int
    rounds: int
    seconds: Spread
    ratio: Spread  # to the step of one process alone
    efficiency: float  # 1 / ratio: the share of so many times the images per second of one process
    images_per_second: float  # of all processes
    waiting: float | None  # the share of a step that a process waits after its backward; None: not known of a GPU
    flops: int  # of one step of one process: convolutions and matrix products, forward and backward
    gradient_bytes: int  # that a process has averaged in one step
    collectives: int  # that they travel in


@dataclass(frozen=True)
class Done:
    """What a process says after a step: the sums over the players' moves."""

    seconds: float
    waited: float
    bytes: int
    collectives: int


def bench(
    methods: Sequence[str], sizes: Sequence[int], *, batch: int = 1, processes: int = 2, threads: int = 1,
    seconds: float = 20.0, precision: str = "auto", tell: Progress = lambda stage, done, total: None,
) -> Bench:  # fmt: skip
    """Times the steps of each method at each size, alone and together, in turns, on random pictures.

    Args:
        batch: of each process.
        threads: of each process; more processes than cores for them would measure the cores.

    Raises:
        UsageError: a method at this size cannot be; there are fewer GPUs than processes.
        TrainingError: float16 on a CPU.
    """
    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise UsageError(f"--processes {processes}: each needs a GPU of its own, this machine has {gpus}")
    kind = steps.chosen(precision)
    for name in methods:
        for size in sizes:  # all before the first is measured
            with fitting(f"--sizes {size}: {name}"), torch.device("meta"):
                steps.random_batch(steps.new_method(steps.settings(name, size, batch, kind)), size, batch)
    done = Bench("scale", str(steps.device()), threads, torch.__version__)
    if processes * threads > (here := cores()):
        done.notes.append(f"{processes} processes of {threads} threads on {here} cores: the cores are measured too")
    for name in methods:
        for size in sizes:
            with fitting(f"{name} {size}"):
                done.rows += _rows(name, size, batch, processes, threads, seconds, kind, tell)
    done.load_after = load()
    return done


def _rows(
    name: str, size: int, batch: int, processes: int, threads: int, seconds: float, precision: str, tell: Progress
) -> list[Row]:
    what = f"{name} {size}"
    tell(f"{what}: first steps", 0, None)
    with crew(processes, threads, (name, size, batch, precision)) as pipes:
        with living():
            flops = max(pipe.recv() for pipe in pipes)
        said: dict[str, list[list[Done]]] = {kind: [] for kind in KINDS}
        runs = {kind: partial(_step, pipes[:1] if kind == ALONE else pipes, kind, said[kind]) for kind in KINDS}
        for run in runs.values():
            run()
        taken = interleaved(runs, seconds, lambda part: tell(what, round(100 * part), 100))
    rows = []
    for kind, heard in said.items():
        took, beside, last = Spread.of(taken[kind]), ratio(taken, kind, ALONE), heard[-1][0]
        waits = median(fmean(d.waited / d.seconds for d in step) for step in heard[1:])
        working = 1 if kind == ALONE else processes
        row = Row(
            method=name, size=size, batch=batch, step=kind, processes=working, rounds=len(taken[kind]), seconds=took,
            ratio=beside, efficiency=1 / beside.median, images_per_second=working * batch / took.median,
            waiting=None if steps.device().type == "cuda" else waits, flops=flops, gradient_bytes=last.bytes,
            collectives=last.collectives,
        )  # fmt: skip
        rows.append(row)
    return rows


@contextmanager
def crew(processes: int, threads: int, work: tuple[str, int, int, str]) -> Iterator[list[Connection]]:
    """Processes that know each other as those of torchrun do, and a pipe to each; at the end they are gone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    context = get_context("spawn")
    pipes, started = [], []
    try:
        for rank in range(processes):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, rank, processes, port, threads, work), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            started.append(process)
        yield pipes
    finally:
        for pipe in pipes:
            pipe.close()
        for process in started:
            process.join(5)
            process.kill()
            process.join()


def _step(pipes: Sequence[Connection], kind: str, said: list[list[Done]]) -> None:
    """One step of the processes behind ``pipes``."""
    with living():
        for pipe in pipes:
            pipe.send(kind)
        said.append([pipe.recv() for pipe in pipes])


@contextmanager
def living() -> Iterator[None]:
    """Inside, processes are listened to.

    Raises:
        UsageError: one of them is no more.
    """
    try:
        yield
    except (EOFError, OSError) as e:
        raise UsageError("a process ended, most likely for lack of memory: take a smaller size or batch") from e


def _serve(
    pipe: Connection, rank: int, processes: int, port: int, threads: int, work: tuple[str, int, int, str]
) -> None:
    """In each process: answers with the operations of its first step, then makes what step it is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the business of who started it
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
    os.environ.update({k: str(v) for k, v in names.items()}, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(threads)
    name, size, batch, precision = work
    torch.manual_seed(0)
    wanted = steps.settings(name, size, batch, precision)
    trainer = steps.new_trainer(steps.new_method(wanted), wanted)
    torch.manual_seed(rank)
    noise = steps.random_batch(trainer.method, size, batch)
    pictures = type(noise)(*(x.to(trainer.device) for x in noise))
    run: Callable[[], object] = steps.timed(partial(trainer.step, pictures))
    nothing = {who: Reducer(params, 1) for who, params in trainer.params.items()}
    whole = {who: Reducer(params, processes, sys.maxsize) for who, params in trainer.params.items()}
    reducers = {ALONE: nothing, APART: nothing, AFTER: whole, OURS: trainer.reducers}
    trainer.reducers = nothing
    with FlopCounterMode(display=False) as counter:
        run()
    pipe.send(counter.get_total_flops())
    while True:
        try:
            kind = pipe.recv()
        except EOFError:
            break
        trainer.reducers = reducers[kind]
        before = _sums(trainer.reducers)
        began = time.perf_counter()
        run()
        seconds = time.perf_counter() - began
        waited, sent, collectives = (b - a for a, b in zip(before, _sums(trainer.reducers), strict=True))
        pipe.send(Done(seconds, waited, int(sent), int(collectives)))
    torch.distributed.destroy_process_group()


def _sums(reducers: dict[str, Reducer]) -> tuple[float, int, int]:
    every = reducers.values()
    return sum(r.waited for r in every), sum(r.bytes for r in every), sum(r.collectives for r in every)

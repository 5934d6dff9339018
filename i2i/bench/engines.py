"""``i2i bench model``: one trained model in every engine that can run it. Torch is imported only by what runs on it."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from i2i import choosing, measured, models
from i2i.bench.measure import Bench, Memory, Spread, alone, fitting, interleaved, load, ratio, word
from i2i.draw_onnx import OnnxSampler
from i2i.errors import I2IError, MissingExtra, ModelError, UsageError
from i2i.folder import SAMPLER, Info, Product, read_info
from i2i.run_onnx import OnnxEngine
from i2i.transfer import Progress

Run = Callable[..., np.ndarray]
SIZES = (256, 512)  # of pictures that are translated, when nothing else is asked for
BASE = "torch"
ENGINES = {
    "torch": "i2i translate --precision fp32",
    "compile": "torch.compile",
    "bf16": "i2i translate --precision bf16: bfloat16, channels last",
    "onnx": "exported, in onnxruntime",
    "onnx-fp16": "exported in half precision",
    "onnx-int8": "exported in 8 bits, calibrated with the model's own data",
}
USUAL = ("torch", "compile", "bf16", "onnx")


@dataclass(frozen=True)
class Row:
    """One engine at one size."""

    model: str
    product: str
    size: int  # pixels, height and width; of a model that draws, the height of what it draws
    batch: int
    engine: str
    rounds: int
    seconds: Spread  # of one call, from float32 values in memory to the same
    ratio: Spread  # to torch; below 1 is faster
    difference: float  # the largest from torch's answer, values go from -1 to 1
    mean_difference: float
    memory: Memory | None  # of a process of its own that loads the model and runs it twice


@dataclass(frozen=True)
class Place:
    """What an engine needs to run a product, or what draws; goes to another process."""

    folder: Path
    info: Info
    product: str
    device: str

    @property
    def what(self) -> Product:
        return self.info.products[self.product]


def bench(
    model: str | Path, sizes: Sequence[int] | None = None, engines: Sequence[str] | None = None, *, batch: int = 1,
    direction: str | None = None, device: str = "auto", seconds: float = 10.0, memory: bool = True,
    tell: Progress = lambda stage, done, total: None,
) -> Bench:  # fmt: skip
    """Times one product of a trained model in several engines, in turns, on made-up pictures; or what it draws with.

    Noise is left out everywhere, as an export must: an engine is compared, not luck.

    Args:
        sizes: pixels, height and width; ``SIZES`` when None. A model that draws pictures has a size of its own.
        engines: words of ``ENGINES``, torch is always among them; None takes the usual ones that work here.
        direction: a2b or b2a; the model's default when None.
        seconds: of measuring for each size; three rounds are made in any case.
        memory: also the peak memory of each engine, in a process of its own.

    Raises:
        ModelError: no such model, or an exported one.
        UsageError: an engine that was asked for does not work here, or the network does not take a size; sizes or a
            direction for what draws.
        MissingExtra: torch, or what exporting needs, is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as e:
        raise MissingExtra("torch", "train") from e
    from i2i.run_torch import pick_device

    folder = models.find(model, tell)
    info = read_info(folder)
    start = _place(folder, info, direction, device)
    if info.sampler and sizes is not None:
        raise UsageError(f"{folder}: draws {info.sampler.sentence()}: leave --sizes out")
    pixels = (info.sampler.size[0],) if info.sampler else SIZES if sizes is None else sizes
    chosen = list(dict.fromkeys((BASE, *(USUAL if engines is None else engines))))
    done = Bench("model", str(pick_device(device)), torch.get_num_threads(), torch.__version__)
    if info.inference.dropout:
        done.notes.append("dropout, the noise of this model, is off in all engines")
    with ExitStack() as kept:
        places: dict[str, Place] = {}
        for engine in chosen:
            tell(f"preparing {engine}", 0, None)
            try:
                places[engine] = _prepared(engine, start, kept)
            except I2IError as e:
                if engines is not None or engine == BASE:
                    raise UsageError(f"engine {engine}: {e}") from e
                done.notes.append(f"engine {engine} was left out: {e}")
        for size in pixels:  # all before the first is measured
            with fitting(_blamed(start, size)):
                engine_of(BASE, start)(*given(start, batch, size))
        for size in pixels:
            with fitting(_blamed(start, size)):
                done.rows += _rows(places, size, batch, seconds, memory, tell)
    done.load_after = load()
    if info.sampler is None and not info.inference.dropout:  # with its noise it was not measured
        done.notes += _kept(start, done.rows)
    return done


def _kept(start: Place, rows: Sequence[Row]) -> list[str]:
    """What was measured of bf16 is kept for ``i2i translate``; what that will do, in one line."""
    from i2i.run_torch import pick_device

    halves = [row for row in rows if row.engine == "bf16"]
    if not all(np.isfinite(row.mean_difference) for row in halves):
        return ["not kept for i2i translate: the answers differ by what is no number"]
    place = choosing.here(pick_device(start.device))
    model = measured.fingerprint(start.folder, start.what.file)
    found = [
        measured.Measure(
            here=place, model=model, product=row.product, size=row.size, ratio=row.ratio.median,
            largest=row.difference, mean=row.mean_difference, day=date.today(),
        )
        for row in halves
    ]  # fmt: skip
    if not found:
        return []
    try:
        measured.keep(found)
    except I2IError as e:  # what was measured is shown all the same
        return [f"not kept for i2i translate: {e}"]
    runs = measured.choose(place, model, start.product)
    return [f"i2i translate now runs this model here in {runs.why}"]


def _place(folder: Path, info: Info, direction: str | None, device: str) -> Place:
    if info.export:
        raise ModelError(f"{folder}: is an exported model: measure the one it was made from, with --engines torch,onnx")
    if info.sampler:
        if direction is not None:
            raise UsageError(f"--direction {direction}: {folder} draws pictures and has no direction: leave it out")
        return Place(folder, info, SAMPLER, device)
    if not info.products:
        raise ModelError(f"{folder}: holds a classifier only, nothing that translates pictures")
    product = info.default if direction is None else direction
    word("--direction", product, list(info.products))
    quiet = info.model_copy(update={"inference": info.inference.model_copy(update={"dropout": False})})
    return Place(folder, quiet, product, device)


def _prepared(engine: str, start: Place, kept: ExitStack) -> Place:
    """Where the engine finds its files: an export is made now, and gone with ``kept``.

    Raises:
        I2IError: it does not work here.
    """
    if engine == "bf16" and start.info.sampler and start.info.sampler.styles:
        raise UsageError("its styles stay in float32, where a whole network in bfloat16 does not run")
    if engine in ("torch", "bf16"):
        return start
    if engine == "compile":
        _try_compiler()
        return start
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "export")
    from i2i.exporting import export

    made = export(start.folder, Path(kept.enter_context(tempfile.TemporaryDirectory())) / engine, engine)
    return Place(made, read_info(made), start.product, start.device)


def _try_compiler() -> None:
    import torch

    try:
        torch.compile(lambda x: x.sin() + 1)(torch.zeros(2))
    except Exception as e:  # no C++ compiler, no Python headers, a system without Triton: all of them differ
        said = " ".join(str(e).split()) or type(e).__name__
        raise UsageError(f"torch.compile does not work here ({said[:120]})") from e


def _blamed(start: Place, size: int) -> str:
    """The option to change when something does not fit."""
    return "--batch" if start.info.sampler else f"--sizes {size}"


def given(start: Place, batch: int, size: int) -> tuple[np.ndarray, ...]:
    """What an engine is given: pictures, with holes if those are filled; or what pictures are drawn from."""
    from i2i import exporting_sampler, parity

    if start.info.sampler:
        return exporting_sampler.given(start.info.sampler, batch, 0, exporting_sampler.PROVEN)
    pictures = parity.with_holes(parity.pictures) if start.what.masked else parity.pictures
    return (pictures(batch, start.what.inputs, (size, size)),)


def _rows(places: dict[str, Place], size: int, batch: int, seconds: float, memory: bool, tell: Progress) -> list[Row]:
    start = places[BASE]
    x = given(start, batch, size)
    runs: dict[str, Callable[[], object]] = {}
    answers: dict[str, np.ndarray] = {}
    for engine, place in places.items():
        tell(f"{size} pixels: first run of {engine}", 0, None)
        run = engine_of(engine, place)
        answers[engine] = run(*x)
        runs[engine] = partial(run, *x)
    taken = interleaved(runs, seconds, lambda part: tell(f"{size} pixels", round(100 * part), 100))
    rows = []
    for engine, place in places.items():
        if memory:
            tell(f"{size} pixels: memory of {engine}", 0, None)
        apart = np.abs(answers[engine] - answers[BASE])
        row = Row(
            model=start.info.name, product=start.product, size=size, batch=batch, engine=engine,
            rounds=len(taken[engine]), seconds=Spread.of(taken[engine]), ratio=ratio(taken, engine, BASE),
            difference=float(apart.max()), mean_difference=float(apart.mean()),
            memory=alone(run_twice, engine, place, x[0].shape) if memory else None,
        )  # fmt: skip
        rows.append(row)
    return rows


def engine_of(engine: str, place: Place) -> Run:
    """A function float32 [N, C, H, W] in [-1, 1] -> the same, with all that it needs loaded; of what draws, a function
    of ``given``."""
    if engine.startswith("onnx"):
        if place.info.sampler is None:
            return OnnxEngine(place.folder, place.info, place.product, place.device).run
        sampler = OnnxSampler(place.folder, place.info, place.device)
        return _by_style(sampler.run) if sampler.styles else sampler.run
    import torch

    if place.info.sampler is None:
        from i2i.run_torch import TorchEngine

        precision = "bf16" if engine == "bf16" else "fp32"
        translating = TorchEngine(place.folder, place.info, place.product, place.device, precision=precision)
        run, net = translating.run, translating.net.net
    else:
        run, net = _drawing(engine, place)
    if engine == "compile":
        torch.compiler.reset()  # what was compiled for another size counts against the number of variants
        net.compile(dynamic=False)
    return run


def _drawing(engine: str, place: Place) -> tuple[Run, Any]:
    """How torch draws, and by which network."""
    import torch

    from i2i.draw_torch import TorchSampler

    sampler = TorchSampler(place.folder, place.info, place.device)
    net, device = sampler.net, sampler.device
    if engine != "bf16":
        styled = place.info.sampler is not None and place.info.sampler.styles
        return _by_style(sampler.run) if styled else sampler.run, net
    net.to(torch.bfloat16).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def run(*given: np.ndarray) -> np.ndarray:
        tensors = [torch.from_numpy(x).to(device) for x in given]
        return net(*(x.to(torch.bfloat16) if x.is_floating_point() else x for x in tensors)).float().cpu().numpy()

    return run, net


def _by_style(run: Run) -> Run:
    return lambda z, truncation: run(z, truncation=truncation)


def run_twice(engine: str, place: Place, shape: tuple[int, ...]) -> None:
    """Of nothing but zeros: what makes pictures would bring torch into the memory of those that need none."""
    run, said = engine_of(engine, place), place.info.sampler
    x = [np.zeros(shape, np.float32)]
    if said and said.styles:
        x.append(np.ones(len(x[0]), np.float32))
    elif said and said.classes:
        x.append(np.zeros(len(x[0]), np.int64))
    run(*x)
    run(*x)

"""The command line's group ``bench``: what is measured, as a table, as JSON and as a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from i2i.errors import UsageError, needing
from i2i.terminal import progress, table

if TYPE_CHECKING:
    from i2i.bench.measure import Bench, Memory, Spread

bench_app = typer.Typer(no_args_is_help=True, help="Speed and memory: of a training step, of a trained model.")

PEAK = "peak: resident set (on a GPU: what torch held there) of a process of its own"

PRECISIONS = ("auto", "fp32", "bf16", "fp16")

Sizes = Annotated[str, typer.Option(help="Pixels, height and width, with commas.")]
Batch = Annotated[int, typer.Option(min=1, help="Pictures at once.")]
Seconds = Annotated[float, typer.Option(min=0, help="Of measuring for each line of work; three rounds at least.")]
HasMemory = Annotated[bool, typer.Option("--memory/--no-memory", help="Peak memory, each in a process of its own.")]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="FILE.json; a chart FILE.svg goes beside it.")]


@bench_app.command("train")
def bench_train(
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Of the recipes, like train.recompute=true.")
    ] = None,
    methods: Annotated[
        str, typer.Option(help="pix2pix, cyclegan, srresnet, discogan, pixelda, dcgan, with commas.")
    ] = "pix2pix,cyclegan",
    sizes: Annotated[
        str | None, typer.Option(help="Pixels, height and width, with commas; that of the method's recipe for folders.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures at once; as in that recipe.")] = None,
    seconds: Seconds = 20.0,
    precision: Annotated[
        str, typer.Option(help="Beside fp32: auto (as in training), bf16, fp16; fp32: none.")
    ] = "auto",
    memory: HasMemory = True,
    profile: Annotated[bool, typer.Option("--profile", help="Where the time goes, by kind of work.")] = False,
    out: Out = None,
) -> None:
    """Time i2i's training step beside a plain PyTorch step of the same networks and losses, in turns."""
    from i2i.bench import measure

    wanted, pixels = _checked(out), None if sizes is None else measure.sizes(sizes)
    kind = measure.word("--precision", precision, PRECISIONS)
    with needing("train"):
        from i2i.bench import steps
        from i2i.methods import METHODS
    names = measure.words("--methods", methods, list(METHODS))
    with progress("measuring") as bar:
        done = steps.bench(
            names, pixels, batch=batch, seconds=seconds, precision=kind, memory=memory, profile=profile,
            overrides=overrides or (), tell=bar,
        )  # fmt: skip
    cells = [
        (
            f"{r.method} {r.size}, {r.batch}", r.step, _ms(r.seconds), _ratio(r.ratio), f"{r.images_per_second:.3g}",
            f"{r.flops / 1e9:,.0f}", f"{r.flops_per_second / 1e9:,.0f}", f"{100 * r.of_convolution:.0f} %",
            _mib(r.memory, done.device), str(r.rounds),
        )
        for r in done.rows
    ]  # fmt: skip
    headers = (
        "method, size, batch", "step", "ms", "ratio (quartiles)", "images/s", "GFLOP", "GFLOP/s", "of conv", "peak MiB",
        "rounds",
    )  # fmt: skip
    bars = [(f"{r.method}, {r.size} pixels, batch {r.batch}", r.step, r.ratio) for r in done.rows]
    if profile:
        _show_shares(done)
    _show(done, cells, headers, "Training step: time as a share of the plain PyTorch step", bars, wanted)


@bench_app.command("scale")
def bench_scale(
    methods: Annotated[str, typer.Option(help="pix2pix, cyclegan, srresnet, with commas.")] = "pix2pix,srresnet",
    sizes: Sizes = "256",
    batch: Annotated[int, typer.Option(min=1, help="Pictures of each process.")] = 1,
    processes: Annotated[int, typer.Option(min=2, help="On this machine; on GPUs each has one of its own.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="Of each process.")] = 1,
    seconds: Seconds = 60.0,
    precision: Annotated[str, typer.Option(help="auto (as in training), fp32, bf16, fp16.")] = "auto",
    out: Out = None,
) -> None:
    """Time a training step of several processes, each with a batch of its own, beside that of one alone, in turns."""
    from i2i.bench import measure

    wanted, pixels = _checked(out), measure.sizes(sizes)
    kind = measure.word("--precision", precision, PRECISIONS)
    with needing("train"):
        from i2i.bench import scale
    names = measure.words("--methods", methods, scale.TIMED)
    with progress("measuring") as bar:
        done = scale.bench(
            names, pixels, batch=batch, processes=processes, threads=threads, seconds=seconds, precision=kind, tell=bar
        )
    cells = [
        (
            f"{r.method} {r.size}", f"{r.processes}: {r.step}" if r.processes > 1 else r.step, _ms(r.seconds),
            _ratio(r.ratio), f"{100 * r.efficiency:.0f} %", f"{r.images_per_second:.3g}",
            "" if r.waiting is None else f"{100 * r.waiting:.1f} %", f"{r.flops / 1e9:,.0f}",
            f"{r.gradient_bytes / 1e6:,.0f}", str(r.collectives), str(r.rounds),
        )
        for r in done.rows
    ]  # fmt: skip
    headers = (
        "method, size", "processes", "ms", "ratio (quartiles)", "efficiency", "images/s", "waiting", "GFLOP", "MB sent",
        "collectives", "rounds",
    )  # fmt: skip
    bars = [(f"{r.method}, {r.size} pixels, batch {r.batch} each", r.step, r.ratio) for r in done.rows]
    done.notes += [f"{step}: {meaning}" for step, meaning in scale.KINDS.items()]
    _show(done, cells, headers, f"{processes} processes: time as a share of one process's step", bars, wanted)


@bench_app.command("model")
def bench_model(
    model: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run, a model folder, or the name of one.")],
    engines: Annotated[
        str | None,
        typer.Option(help="torch, compile, bf16, onnx, onnx-fp16, onnx-int8, with commas; the first four that work."),
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Pixels, height and width, with commas; 256,512. What draws has its own.")
    ] = None,
    batch: Batch = 1,
    direction: Annotated[str | None, typer.Option(help="a2b or b2a, if the model has both.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    seconds: Seconds = 10.0,
    memory: HasMemory = True,
    out: Out = None,
) -> None:
    """Time a trained model in each engine, in turns: torch, torch.compile, bfloat16, exported to ONNX."""
    from i2i.bench import engines as work
    from i2i.bench import measure

    wanted, pixels = _checked(out), None if sizes is None else measure.sizes(sizes)
    chosen = None if engines is None else measure.words("--engines", engines, list(work.ENGINES))
    with progress("measuring") as bar:
        done = work.bench(
            model, pixels, chosen, batch=batch, direction=direction, device=device, seconds=seconds, memory=memory,
            tell=bar,
        )  # fmt: skip
    cells = [
        (
            str(r.size), r.engine, _ms(r.seconds), _ratio(r.ratio), f"{r.difference:.1g}", _mib(r.memory, done.device),
            str(r.rounds), work.ENGINES[r.engine],
        )
        for r in done.rows
    ]  # fmt: skip
    headers = ("size", "engine", "ms", "ratio (quartiles)", "differs by", "peak MiB", "rounds", "")
    bars = [(f"{r.model} {r.product}, {r.size} pixels, batch {r.batch}", r.engine, r.ratio) for r in done.rows]
    what = "Drawing" if done.rows[0].product == work.SAMPLER else "Translation"
    _show(done, cells, headers, f"{what}: time as a share of torch, eager, float32", bars, wanted)


def _checked(out: Path | None) -> Path | None:
    """Before minutes of work are lost."""
    if out is None:
        return None
    if out.suffix != ".json":
        raise UsageError(f"--out {out}: name a file that ends in .json; the chart goes beside it as .svg")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out}: there is no folder {out.absolute().parent}")
    return out


def _show(
    done: Bench, cells: Sequence[Sequence[str]], headers: tuple[str, ...], title: str,
    ratios: list[tuple[str, str, Spread]], out: Path | None,
) -> None:  # fmt: skip
    from i2i.bench.bars import Bar, bars

    table(cells, headers)
    lines = [
        f"on {done.device}, {done.threads} threads, torch {done.torch}",
        done.busy(),
        "ms: median; ratio: median of the rounds, in which all take turns",
        *([PEAK] if "peak MiB" in headers else []),
        *done.notes,
    ]
    for line in lines:
        typer.echo(line)
    if out is None:
        return
    groups: dict[str, list[Any]] = {}
    for heading, name, spread in ratios:
        groups.setdefault(heading, []).append(Bar(name, spread))
    chart = out.with_suffix(".svg")
    try:
        done.write(out)
        chart.write_text(bars(title, groups, ["median and quartiles; below 1 is faster", *lines[:2]]), encoding="utf-8")
    except OSError as e:
        raise UsageError(f"--out {e.filename or out}: cannot be written ({e.strerror})") from e
    typer.echo(f"{out}\n{chart}")


def _show_shares(done: Bench) -> None:
    """Of each step, the share of each kind of work."""
    kinds = list(done.rows[0].shares)
    shares = [
        (f"{r.method} {r.size}, {r.batch}", r.step, *(f"{100 * r.shares[kind]:.0f} %" for kind in kinds))
        for r in done.rows
    ]
    table(shares, ("method, size, batch", "step", *kinds))
    typer.echo("")


def _ms(seconds: Spread) -> str:
    return f"{1000 * seconds.median:,.3g}" if seconds.median < 1 else f"{1000 * seconds.median:,.0f}"


def _ratio(ratio: Spread) -> str:
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


def _mib(memory: Memory | None, device: str) -> str:
    held = memory and (memory.gpu_bytes if device.startswith("cuda") else memory.resident_bytes)
    return f"{held / 2**20:,.0f}" if held else ""

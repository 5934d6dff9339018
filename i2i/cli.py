"""The command line. The verbs mirror the folders; each command is a thin call of what Python users call too.

Nothing heavy is imported at module level: ``i2i --help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from i2i import __version__
from i2i.bench.commands import bench_app
from i2i.errors import I2IError, UsageError, needing
from i2i.shelves import Mirror, datasets_app, models_app, recipes_app
from i2i.terminal import progress, table, tell_found
from i2i.translating import translate
from i2i.zoo_commands import listed, numbers, zoo_app

app = typer.Typer(
    name="i2i", no_args_is_help=True, add_completion=True, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Image-to-image translation: train, translate, look at the result.",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(datasets_app, name="datasets")
app.add_typer(recipes_app, name="recipes")
app.add_typer(models_app, name="models")
app.add_typer(bench_app, name="bench")
app.add_typer(zoo_app, name="zoo")

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show nothing but errors.")]


def _version(show: bool) -> None:
    if show:
        typer.echo(f"i2i {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(short_help="Train a method on a data set.")
def train(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="METHOD|RECIPE KEY=VALUE", help="A method or a recipe, then overrides."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="A data set's name or a folder of pictures.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; runs/<method>-<dataset> if not given.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with this run, exactly where it stopped.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same result.")] = None,
    mirror: Mirror = None,
    quiet: Quiet = False,
) -> None:
    """Train a method on a data set, e.g. i2i train pix2pix --dataset facades data.size=128 train.images=2000."""
    from i2i import training

    words = words or []
    overrides = [w for w in words if "=" in w]
    names = [w for w in words if "=" not in w]
    if resume is not None:
        if names or dataset or out or seed is not None:
            raise UsageError("--resume goes on with a run as it is: only overrides like train.images=... go with it")
        training.resume(resume, *overrides, mirror=mirror, quiet=quiet)
        return
    if len(names) != 1:
        say = f"not {' and '.join(names)}" if names else "like i2i train cyclegan --dataset apple2orange"
        raise UsageError(f"train takes one method or recipe, {say} (i2i recipes list shows all)")
    training.train(names[0], *overrides, dataset=dataset, out=out, seed=seed, mirror=mirror, quiet=quiet)


app.command(short_help="Translate pictures with a trained model.")(translate)


@app.command(short_help="Draw pictures with a trained model.")
def generate(
    model: Annotated[str, typer.Option("--model", "-m", help="A run, a model folder, or the name of one.")],
    count: Annotated[int, typer.Option("-n", help="So many pictures.")] = 64,
    seed: Annotated[int, typer.Option(help="Same seed, same pictures.")] = 0,
    label: Annotated[str | None, typer.Option(help="A class like 3, or several like 0,3; else all in turn.")] = None,
    truncation: Annotated[
        float | None, typer.Option(help="Draw from nothing farther from 0: fewer failures, less variety (try 0.7).")
    ] = None,
    interpolate: Annotated[bool, typer.Option("--interpolate", help="A way from each picture to the next.")] = False,
    steps: Annotated[int | None, typer.Option(help="With --interpolate: from one to the next; 8 if not given.")] = None,
    mix: Annotated[
        int | None, typer.Option(help="A square: a row shares the styles of so many first layers, a column the others.")
    ] = None,
    sheet: Annotated[bool, typer.Option("--sheet", help="One picture of all, a row for each class.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Where pictures go.")] = Path("out"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace pictures of an earlier call.")] = False,
) -> None:
    """Draw pictures with a trained model, e.g. i2i generate --model runs/mine -n 64 --seed 0 --sheet."""
    from i2i.generate import generate_many, read_labels
    from i2i.generator import Generator
    from i2i.translator import load

    labels = None if label is None else read_labels(label)
    if steps is not None and not interpolate:
        raise UsageError(f"--steps {steps}: is for the way from one picture to the next: say --interpolate too")
    way = None if not interpolate else 8 if steps is None else steps
    with progress("loading") as bar:
        generator = load(model, device=device, progress=bar)
    if not isinstance(generator, Generator):
        raise UsageError(f"{model}: translates pictures and draws none: i2i translate PICTURES --model {model}")
    tell_found(model, generator.info)
    with progress("drawing") as bar:
        place = generate_many(
            generator, out, count, labels=labels, seed=seed, truncation=truncation, steps=way, mix=mix,
            sheet=sheet, overwrite=overwrite, progress=lambda done: bar("drawing", done, count),
        )  # fmt: skip
    typer.echo(f"drew {count}: {place}")


@app.command("eval", short_help="Measure a trained model on held-out pictures.")
def evaluate(
    model: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run, a model folder, or the name of one.")],
    dataset: Annotated[str | None, typer.Option(help="A data set's name or a folder, if not the model's own.")] = None,
    split: Annotated[str | None, typer.Option(help="val if there is one, else test.")] = None,
    metrics: Annotated[str | None, typer.Option(help="With commas between; what fits the data if not given.")] = None,
    direction: Annotated[str | None, typer.Option(help="a2b or b2a; all that the model has if not given.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="So many pictures; all if not given.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Also as JSON, into this file.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    mirror: Mirror = None,
) -> None:
    """Measure a trained model on held-out pictures, e.g. i2i eval runs/mine --metrics psnr_rgb,ssim_rgb."""
    with needing("train"):
        from i2i import evaluating
    names = listed(metrics)
    with progress("measuring") as bar:
        found = evaluating.evaluate(
            model, dataset, split=split, metrics=names, direction=direction, count=count, device=device, mirror=mirror,
            say=lambda line: typer.echo(line, err=True), progress=bar,
        )  # fmt: skip
    typer.echo(evaluating.headline(found))
    table(evaluating.rows(found), evaluating.HEADERS)
    if out:
        evaluating.write(found, out)
        typer.echo(f"written to {out}")


@app.command(short_help="Train several methods with equal arithmetic and print one table.")
def compare(
    words: Annotated[list[str], typer.Argument(metavar="TABLE KEY=VALUE", help="A comparison, then overrides.")],
    dataset: Annotated[str | None, typer.Option(help="Another data set than the table's.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where runs and table go.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Like 0,1,2; the table's if not given.")] = None,
    mirror: Mirror = None,
) -> None:
    """Train several methods with equal arithmetic and print one table, e.g. i2i compare facades."""
    from i2i import compare as comparing

    named = [w for w in words if "=" not in w]
    if len(named) != 1:
        raise UsageError(f"compare takes one table (one of {', '.join(comparing.names())}, or a YAML file)")
    overrides = [w for w in words if "=" in w]
    done = comparing.compare(
        named[0], *overrides, dataset=dataset, out=out, seeds=None if seeds is None else numbers(seeds), mirror=mirror,
        say=typer.echo,
    )  # fmt: skip
    typer.echo((done / "table.md").read_text(encoding="utf-8"))
    typer.echo(f"table, runs and sheet: {done}")


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Write one self-contained HTML page about a run: curves, sheets, recipe."""
    from i2i import report as page

    typer.echo(page.write(run))


@app.command()
def export(
    model: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run, a model folder, or the name of one.")],
    target: Annotated[str, typer.Option(help="onnx, onnx-fp16, onnx-int8, web, or a YAML file of your own.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The new folder; beside the model if not given.")
    ] = None,
    calibrate: Annotated[str | None, typer.Option(help="int8: pictures or a data set, if not the model's own.")] = None,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Raw pixels in and out, of any size, instead of scaled floats.")
    ] = False,
    runtime: Annotated[
        Path | None, typer.Option(help="web: the folder of the npm package onnxruntime-web, if not in ./node_modules.")
    ] = None,
) -> None:
    """Export a trained model to ONNX: checked against torch, of any size, runs without torch; web: with a page."""
    from i2i import folder, shipped

    with needing("export"):
        from i2i.exporting import export as write
    with progress("exporting"):
        done = write(model, out, target, calibrate, pixels, runtime)
    typer.echo(done)
    for line in shipped.summary(folder.read_info(done)):
        typer.echo(line)


@app.command()
def doctor() -> None:
    """What is installed, what is missing, where things lie."""
    from i2i.doctor import checks

    found = checks()
    table(found, ("part", "state", "detail"))
    if any(state == "error" for _, state, _ in found):
        raise typer.Exit(1)


def main() -> None:
    """The command ``i2i``: a user's mistake is one line (or one for each mistake) and exit code 2."""
    mistake: Any = typer.BadParameter.__mro__[2]  # ClickException, of click or of the copy in newer typers
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter is no reason to stop
    try:
        sys.exit(app(prog_name="i2i", standalone_mode=False))
    except mistake as e:
        if type(e).__name__ == "NoArgsIsHelpError":
            e.show()
        else:
            said = e.format_message().rstrip(".")
            context = getattr(e, "ctx", None)
            of = context.command_path if context else "i2i"
            typer.echo(f"error: {said[:1].lower()}{said[1:]} ({of} --help)", err=True)
        sys.exit(e.exit_code)
    except I2IError as e:
        typer.echo(f"error: {e}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except (BrokenPipeError, typer.Abort):
        sys.exit(1)

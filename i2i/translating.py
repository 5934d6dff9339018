"""The verb ``translate`` of the command line: its options, and what it says."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from i2i.errors import I2IError, UsageError
from i2i.terminal import progress, tell_found

if TYPE_CHECKING:
    from i2i.many import Outcome
    from i2i.translator import Translator

STREAM = "-"


def translate(
    pictures: Annotated[list[str], typer.Argument(help="Pictures, clips, folders (all in them); - is standard input.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A run, a model folder, or the name of one.")],
    direction: Annotated[str | None, typer.Option(help="a2b or b2a, if the model has both.")] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="A folder, a file for one picture, or -; ./out if not given.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="png (default), jpg, webp, tiff, bmp, avif or npy.")] = None,
    name: Annotated[
        str, typer.Option(help="Pattern of the results' names: {stem}, {model}, {direction}; the suffix is added.")
    ] = "{stem}",
    quality: Annotated[int | None, typer.Option(help="Of jpg, webp and avif: 1 to 100.")] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive/--no-recursive", help="Also the folders in a folder; their tree is kept.")
    ] = True,
    resize: Annotated[int | None, typer.Option(min=1, help="Work with so many pixels on the short side.")] = None,
    mask: Annotated[
        Path | None, typer.Option(help="For models that fill holes: white is filled; as large as the picture.")
    ] = None,
    box: Annotated[str | None, typer.Option(help="The same as a box: x,y,width,height in pixels.")] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; exported models: cuda-graphs too.")
    ] = "auto",
    seed: Annotated[int | None, typer.Option(help="Of the noise, for models that have some.")] = None,
    memory: Annotated[
        str | None, typer.Option(help="What a picture may take, like 2GB; half of what is free if not given.")
    ] = None,
    tiles: Annotated[str, typer.Option(help="Of pictures that need more: exact (default) or fast.")] = "exact",
    precision: Annotated[
        str, typer.Option(help="fp32, bf16, or auto: fp32 unless i2i bench model found bf16 faster here, and near.")
    ] = "auto",
    sheet: Annotated[bool, typer.Option("--sheet", help="Also write before/after pages.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results of an earlier call.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Go on with a call that was stopped: leave finished pictures out.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Threads that read and write beside the network; 4 if not given.")
    ] = None,
) -> None:
    """Translate pictures with a trained model, e.g. i2i translate img.jpg --model runs/mine."""
    from i2i import many, processes
    from i2i.data.pictures import trust
    from i2i.masks import read_box
    from i2i.translator import Translator, load

    where = None if box is None else read_box(box)
    rank, world = processes.share()
    piped = STREAM in (*pictures, out)
    if piped and (len(pictures) > 1 or sheet or skip_existing or world > 1):
        raise UsageError(f"{STREAM} stands for one picture: no others, no --sheet, no --skip-existing, one process")
    if piped and out in (None, STREAM) and sys.stdout.isatty():
        raise UsageError("the picture would be printed on the terminal: lead it on with > picture.png, or say --out")
    with processes.siblings() as wait:
        with progress("loading") if rank == 0 else nullcontext(silent) as bar:
            translator = load(
                model, direction=direction, device=device, seed=seed, progress=bar, memory=memory, tiles=tiles,
                precision=precision,
            )  # fmt: skip
        if not isinstance(translator, Translator):
            raise UsageError(f"{model}: draws pictures and translates none: i2i generate --model {model}")
        if rank == 0:
            tell_found(model, translator.info)
        if translator.why and rank == 0:
            typer.echo(translator.why, err=piped)
        if translator.budget:
            trust(translator.budget.most(translator.product.scale))
        if piped:
            options: dict[str, Any] = {"resize": resize, "mask": mask, "box": where}
            stream(translator, pictures[0], out or STREAM, format, quality, overwrite, **options)
            return
        with progress("translating") if rank == 0 else nullcontext(silent) as bar:
            result = many.translate_many(
                translator, pictures, out or "out", format=format, name=name, quality=quality, recursive=recursive,
                resize=resize, mask=mask, box=where, sheet=sheet, overwrite=overwrite, skip_existing=skip_existing,
                workers=many.WORKERS if workers is None else workers, share=(rank, world),
                progress=lambda done, total, path: bar("translating", done, total), frames=bar,
            )  # fmt: skip
        summary(result, out or "out", f"process {rank} of {world}: " if world > 1 else "")
        if result.failed:
            wait()
            raise typer.Exit(1)


def silent(stage: str, done: int, total: int | None) -> None:
    """The bar of all processes but the first."""


def summary(result: Outcome, out: str, who: str) -> None:
    """What became of the pictures, those that failed by name."""
    for line in result.notes:
        typer.echo(f"note: {line}", err=True)
    for line in result.failed:
        typer.echo(f"failed: {line}", err=True)
    place = result.done[0][1] if len(result.done) == 1 else out
    there = f", {len(result.skipped)} were there already" if result.skipped else ""
    typer.echo(f"{who}translated {len(result.done)} of {len(result.done) + len(result.failed)}{there}: {place}")
    for page in result.sheets:
        typer.echo(f"before and after: {page}")


def stream(
    translator: Translator, picture: str, out: str, format: str | None, quality: int | None, overwrite: bool,
    **options: Any,
) -> None:  # fmt: skip
    """One picture from standard input or to standard output, where nothing but the picture is written.

    Raises:
        UsageError: an option that does not fit.
    """
    import io

    from i2i import own, writing
    from i2i.many import check_options
    from i2i.stills import put

    target = Path(f"stdout.{format or 'png'}" if out == STREAM else out)
    if out != STREAM and target.suffix.lower() not in writing.FORMATS:
        raise UsageError(f"{out}: standard input has no name: give --out a file, such as {target / 'picture.png'}")
    if out != STREAM and target.exists() and not overwrite:
        raise UsageError(f"{out}: exists already: choose another --out, or say --overwrite")
    check_options(target, format, "{stem}", quality, 1, (0, 1))
    try:
        data = sys.stdin.buffer.read() if picture == STREAM else None
        before = own.read(Path("stdin" if picture == STREAM else picture), data)
        after = translator(before, **options)
        if out != STREAM:
            put(after, target, quality)
            typer.echo(f"translated 1 of 1: {out}")
            return
        encoded = io.BytesIO()
        writing.encode(after, encoded, target.suffix, quality, "stdout")
    except UsageError:
        raise
    except I2IError as e:
        typer.echo(f"failed: {e}", err=True)
        raise typer.Exit(1) from None
    sys.stdout.buffer.write(encoded.getvalue())
    sys.stdout.buffer.flush()

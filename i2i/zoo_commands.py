"""The command line's group for the zoo: its methods side by side, and its losses on toys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from i2i.errors import UsageError, needing
from i2i.shelves import Mirror

zoo_app = typer.Typer(no_args_is_help=True, help="The zoo of methods that draw pictures: run, toys.")

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where results go; what is there is not done again.")]


@zoo_app.command("run", short_help="Train the zoo at equal steps of the generator.")
def run(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Overrides for all trainings.")
    ] = None,
    images: Annotated[int, typer.Option(min=64, help="So many each generator learns from, 64 a step.")] = 640_000,
    dataset: Annotated[str, typer.Option(help="A data set's name; some methods ask for labels.")] = "mnist",
    names: Annotated[str | None, typer.Option(help="Methods with commas between; all if not given.")] = None,
    seeds: Annotated[str, typer.Option(help="Like 0,1,2.")] = "0",
    out: Out = None,
    mirror: Mirror = None,
) -> None:
    """Train the zoo at equal steps of the generator: one table, one sheet, e.g. i2i zoo run --images 64000."""
    from i2i import compare, paths

    with needing("train"):
        from i2i.zoo.equal_steps import comparison
    table = comparison(dataset, images, listed(names))
    place = out or paths.runs() / f"zoo-{Path(dataset).name}"
    done = compare.fill(table, *(words or []), out=place, seeds=numbers(seeds), mirror=mirror, say=typer.echo)
    typer.echo((done / "table.md").read_text(encoding="utf-8"))
    typer.echo(f"table, runs and sheet: {done}")


@zoo_app.command("toys")
def toys(
    losses: Annotated[str | None, typer.Option(help="With commas between; all if not given.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="So many trainings of each.")] = 3,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps of the generator.")] = None,
    out: Out = None,
) -> None:
    """Does each loss find all of a ring of 8 and a grid of 25 spots? One table, one figure; minutes on a CPU."""
    from i2i import paths

    with needing("train"):
        from i2i.zoo import toys as proof
    place = out or paths.runs() / "zoo-toys"
    done = proof.prove(place, listed(losses), seeds, steps or proof.STEPS, typer.echo)
    typer.echo((done / "table.md").read_text(encoding="utf-8"))
    typer.echo(f"table and figure: {done}")


def listed(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def numbers(text: str) -> list[int]:
    """``"0,1,2"``.

    Raises:
        UsageError: something else.
    """
    try:
        return [int(n) for n in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text!r}: whole numbers with commas between them, like 0,1,2") from None

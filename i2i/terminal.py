"""What the command line draws: tables of text, and a bar while something takes long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from i2i.folder import Info
    from i2i.transfer import Progress


def table(rows: Iterable[Sequence[str]], headers: Sequence[str] = ()) -> None:
    """Columns of text, as wide as they must be; the last one may run on."""
    lines = [tuple(map(str, row)) for row in ([headers] if headers else [])] + [tuple(map(str, row)) for row in rows]
    widths = [max((len(line[i]) for line in lines), default=0) for i in range(len(lines[0]) if lines else 0)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
        typer.echo("  ".join([*cells, line[-1]]).rstrip())


def tell_found(model: str, info: Info) -> None:
    """Say which model is meant where a data set was named: there may be several that learned from it."""
    if info.dataset == model != info.name:
        typer.echo(f"model: {info.name}, the newest one trained on {model}", err=True)


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """A bar while something takes long, only in a terminal: told the stage, what is done, and out of how much."""
    import rich.progress
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, done, total: None
        return
    share = TextColumn("{task.percentage:3.0f} %")
    columns = (TextColumn("{task.description}"), BarColumn(), share, TimeRemainingColumn())
    with rich.progress.Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(title, total=None)
        yield lambda stage, done, total: bars.update(task, description=stage, completed=done, total=total)

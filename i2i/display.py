"""Watching a training: a live panel in a terminal, one plain line per interval anywhere else (CI, nohup, a pipe).

It is drawn when the trainer hands over a record and at no other time: between two records it costs nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

NOT_METRICS = frozenset({"event", "images", "n", "steps", "seconds", "time"})


class display:
    """``with display(80_000, "cyclegan on apple2orange") as show: show.update(record); show.note("saved")``.

    Args:
        total_images: images at which training is done.
        title: one line above the numbers.
        quiet: show nothing at all.
        line_seconds: outside a terminal, at most one line in so many seconds; the first and the last always appear.
        console: where to draw; by default stdout.
    """

    def __init__(
        self,
        total_images: int,
        title: str,
        quiet: bool = False,
        line_seconds: float = 5.0,
        console: Console | None = None,
    ):
        self.total, self.title, self.line_seconds = total_images, title, line_seconds
        self.console = console or Console(quiet=quiet)
        self.losses: dict[str, Any] = {}  # the newest record of losses
        self.speed = 0.0  # images a second, smoothed, for a steady ETA
        self.sheet = self.eval = ""
        self._printed_at = -math.inf
        self._waiting = ""  # a plain line held back by line_seconds
        self._live: Live | None = None

    def __enter__(self) -> display:
        if self.console.is_terminal and not self.console.quiet:
            self._live = Live(self._panel(), console=self.console, auto_refresh=False, vertical_overflow="crop")
            self._live.start()
        else:
            self._print(self.title)
        return self

    def __exit__(self, *error: object) -> None:
        if self._live is not None:
            self._live.update(self._panel(), refresh=True)
            self._live.stop()  # gives the cursor back, also after Ctrl-C
        elif self._waiting:
            self._print(self._waiting)

    def update(self, record: Mapping[str, Any]) -> None:
        """Show an event of the log: losses, eval or sheet; other events are ignored."""
        event = record.get("event", "losses")
        if event == "sheet":
            self.sheet = str(record.get("file", ""))
        elif event == "eval":
            self.eval = eval_line(record)
            if self._live is None:
                self.note(f"  {self.eval}")
        elif event == "losses":
            self.losses = dict(record)
            now = _number(record.get("images_per_second"))
            self.speed = 0.7 * self.speed + 0.3 * now if self.speed else now
        if self._live is not None:
            self._live.update(self._panel(), refresh=True)
        elif event == "losses":
            self._line(losses_line(self.losses, self.total, self.speed))

    def note(self, text: str) -> None:
        """A line that stays: saved, resumed, a tracker that failed."""
        self._print(text)

    def _line(self, line: str) -> None:
        if time.monotonic() - self._printed_at < self.line_seconds:
            self._waiting = line
            return
        self._printed_at, self._waiting = time.monotonic(), ""
        self._print(line)

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _panel(self) -> Group:
        images = int(_number(self.losses.get("images")))
        share = images / self.total if self.total else 0.0
        head = Table.grid(padding=(0, 1))
        head.add_row(
            ProgressBar(total=max(self.total, 1), completed=images, width=32, complete_style="cyan"),
            Text(f"{share:4.0%}", "cyan"),
            Text(f"{images:,} / {self.total:,} images"),
        )
        rows = Table.grid(padding=(0, 2))
        if self.losses:
            now = f"{_number(self.losses.get('images_per_second')):.1f} images/s"
            left = f"ETA {eta(self.losses, self.total, self.speed)}"
            rows.add_row(Text("speed", "dim"), Text(f"{now} · wait {_wait(self.losses)} · {left}"))
        rates = self.losses.get("lr")
        for player, terms in players(self.losses).items():
            text = Text("   ".join(f"{name} {value}" for name, value in terms.items()))
            rate = rates.get(player) if isinstance(rates, Mapping) else None
            if rate is not None:
                text.append(f"   lr {_number(rate):.1e}", "dim")
            rows.add_row(Text(player, "bold magenta"), text)
        if self.eval:
            rows.add_row(Text("eval", "dim"), Text(self.eval))
        if self.sheet:
            rows.add_row(Text("sheet", "dim"), Text(self.sheet))
        return Group(Text(self.title, "bold"), head, rows)


def losses_line(record: Mapping[str, Any], total_images: int, speed: float) -> str:
    """A record of losses as one plain line."""
    width = len(f"{total_images:,}")
    losses = " · ".join(f"{p} {' '.join(f'{n} {v}' for n, v in terms.items())}" for p, terms in players(record).items())
    parts = [
        f"  {int(_number(record.get('images'))):>{width},} / {total_images:,} images",
        f"{_number(record.get('images_per_second')):.1f} images/s",
        losses,
        f"wait {_wait(record)}",
        f"ETA {eta(record, total_images, speed)}",
    ]
    return "   ".join(p for p in parts if p)


def eval_line(record: Mapping[str, Any]) -> str:
    """A record of an evaluation in words: ``val, 64 pictures: psnr_rgb 21.4 (copy of the input 14.2)``."""
    parts = []
    for name, value in record.items():
        if name in NOT_METRICS or name.endswith("_input") or not _is_number(value):
            continue
        copy = record.get(f"{name}_input")
        parts.append(f"{name} {value:.4g}" + (f" (copy of the input {copy:.4g})" if _is_number(copy) else ""))
    where = f"{record.get('split', 'eval')}" + (f", {record['n']} pictures" if "n" in record else "")
    return f"{where}: {' · '.join(parts)}"


def players(record: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The losses ``{"D/real": 0.5}`` of a record by player, as text: ``{"D": {"real": "0.50"}}``; null reads nan."""
    found: dict[str, dict[str, str]] = {}
    for key, value in record.items():
        player, slash, term = key.partition("/")
        if slash and (value is None or _is_number(value)):
            found.setdefault(player, {})[term] = "nan" if value is None else _short(value)
    return found


def eta(record: Mapping[str, Any], total_images: int, speed: float) -> str:
    """Time left as ``0:31:12``, or ``?`` while the speed is not known."""
    left = total_images - _number(record.get("images"))
    return str(timedelta(seconds=max(round(left / speed), 0))) if speed > 0 else "?"


def _wait(record: Mapping[str, Any]) -> str:
    return f"{100 * _number(record.get('data_wait')):.0f} %"


def _short(value: float) -> str:
    size = abs(value)
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.01 or size == 0 else f"{value:.0e}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float:
    return float(value) if _is_number(value) and math.isfinite(value) else 0.0

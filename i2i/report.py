"""One self-contained HTML page per run: how it learned, in pictures, curves and numbers. It opens offline."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from html import escape
from pathlib import Path
from typing import Any

import i2i
from i2i.charts import Curve, Point, chart, number, thin
from i2i.history import Run, all_sheets, best, goal, metrics, read, real, resumes, series, status, tidy

SHEETS = 16  # pictures in the page
SHEET_BYTES = 5_500_000  # all pictures together; base64 makes a third more of it
ROWS = 40  # of a table of numbers
HOW_TO_READ = """The adversarial losses of a GAN are the score of a game between two players, not a measure of
quality: a generator's loss that rises may only mean that its opponent has learned to see more, and a flat curve can
hide steady progress. Worry when one side wins for good, with its loss near zero and the other's growing. What can be
trusted: the pictures, the measurements on held-out data, and reconstruction terms such as l1 or cycle, which should
fall."""


def write(run: Path) -> Path:
    """Write ``<run>/report.html`` from whatever the folder holds so far, and give its path.

    Raises:
        UsageError: the folder is not a run.
    """
    page = build(read(run))
    target = run / "report.html"
    draft = run / f".report.html.{os.getpid()}"
    try:
        draft.write_text(page, encoding="utf-8")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target


def build(run: Run) -> str:
    """The page as text."""
    here = Path(__file__).parent
    style, script = (here / "report.css").read_text("utf-8"), (here / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Even if something slipped through the escaping, the browser would neither run it nor ask a server for anything.
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    )
    title = run.folder.resolve().name
    body = "".join([header(run, title), pictures(run), measured(run), losses(run), speed(run), about(run)])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)} · i2i report</title><style>{style}</style></head>\n<body><main>{body}"
        f"<footer>Made by i2i {escape(i2i.__version__)}. This page is one file and needs no network.</footer>"
        f"</main><script>{script}</script></body></html>\n"
    )


def header(run: Run, title: str) -> str:
    """Name, state and the four numbers that one asks for first."""
    records = run.of("losses")
    total, seen = real(run.setting("train", "images")), run.reached
    seconds = next((s for e in reversed(records) if (s := real(e.get("seconds"))) is not None), None)
    speeds = sorted(s for e in records if (s := real(e.get("images_per_second"))) is not None)
    tiles = [("Images seen", f"{seen:,.0f}", f"of {total:,.0f}" if total else "")]
    if seconds is not None:
        tiles.append(("Training time", clock(seconds), "h:mm:ss"))
    if speeds:
        tiles.append(("Speed", number(speeds[len(speeds) // 2]), "images/s, median"))
    for (split, name), points, copy in metrics(run)[:2]:
        at, value = best(name, points)
        baseline = f" · copied input {number(copy)}" if copy is not None else ""
        tiles.append((f"{name}, {split}", number(value), f"{'best' if goal(name) else 'last'}, at {at:,.0f}{baseline}"))
    done, word = status(run, seen, total)
    words = [
        str(w) for w in (run.setting("method", "name"), run.setting("data", "dataset")) if isinstance(w, str | int)
    ]
    lead = " on ".join(f"<b>{escape(w)}</b>" for w in words)
    cells = "".join(
        f"<div><dt>{escape(a)}</dt><dd>{escape(b)} <small>{escape(c)}</small></dd></div>" for a, b, c in tiles
    )
    return (
        f'<header><div class="brand">i2i report</div><h1>{escape(title)}</h1><div class="lead"><span>{lead}</span>'
        f'<span class="state{" done" if done else ""}">{escape(word)}</span></div>'
        f'<dl class="tiles">{cells}</dl></header>'
    )


def pictures(run: Run) -> str:
    """The sample sheets through time, within the page's budget."""
    found = sheets(run)
    encoded = [(at, *small) for at, path in found if (small := encode(path, SHEET_BYTES // min(len(found), SHEETS)))]
    if not encoded:
        return '<h2>Pictures</h2><p class="soft">No sample sheet has been written yet.</p>'
    figures = "".join(
        f'<figure data-at="{at:,.0f} images"><img src="data:{kind};base64,{data}" width="{w}" height="{h}" '
        f'alt="Sample sheet after {at:,.0f} images: what the model made of the sample pictures">'
        f"<figcaption>after {at:,.0f} images</figcaption></figure>"
        for at, kind, data, w, h in encoded
    )
    return (
        f"<h2>Pictures</h2><p>The same samples as training went on: {len(encoded)} of {len(all_sheets(run))} sheets, "
        'reduced for this page; the full ones are in the run folder.</p><div class="card">'
        f'<div class="film" tabindex="0" role="group" aria-label="Sample sheets through time">{figures}</div>'
        '<div class="time"><button type="button">Play</button><input type="range" min="0" step="1" value="0" '
        'aria-label="Images seen"><span class="at"></span></div></div>'
    )


def measured(run: Run) -> str:
    """Metrics on held-out pictures, each with the line that doing nothing would reach."""
    found = metrics(run)
    if not found:
        return ""
    drawn = []
    for (split, name), points, copy in found:
        curves = [Curve(name, points, dots=True)]
        if copy is not None:
            curves.append(Curve("copied input", [(0, copy), (run.reached, copy)], dashed=True))
        drawn.append(chart(f"{name}, {split}", curves, end=run.reached, marks=resumes(run), log=False, hint=goal(name)))
    naive = (
        " The dashed line is the naive answer: the input as it is, only enlarged where the target is larger."
        if any(c is not None for *_, c in found)
        else ""
    )
    return (
        f"<h2>Measured</h2><p>On pictures that training never sees.{naive}</p>"
        f'<div class="charts">{"".join(drawn)}</div>{table("Measurements", run.of("eval"))}'
    )


def losses(run: Run) -> str:
    """The loss terms, a chart for each player."""
    records = run.of("losses")
    terms: dict[str, list[str]] = {}
    for key in dict.fromkeys(k for e in records for k in e if "/" in k):
        terms.setdefault(key.split("/", 1)[0], []).append(key)
    drawn = "".join(
        chart(
            player,
            [Curve(k.split("/", 1)[1], series(records, k), smooth=True) for k in keys],
            end=run.reached,
            marks=resumes(run),
        )
        for player, keys in terms.items()
    )
    if not drawn:
        return '<h2>Losses</h2><p class="soft">Nothing has been logged yet.</p>'
    again = " Dotted upright lines: training was resumed there." if resumes(run) else ""
    lost = sum(1 for e in records if any(e[k] is None for k in e if "/" in k))
    warning = f'<p class="read warn">{lost:,} lines of the log hold a loss that was not finite.</p>' if lost else ""
    return (
        "<h2>Losses</h2><p>One chart for each player; terms carry their weights, so this is what is minimized. "
        f"Faint: as logged. Strong: smoothed, with the last value beside its name.{again}</p>"
        f'<div class="charts">{drawn}</div>{warning}'
        f'<p class="read"><b>How to read this.</b> {HOW_TO_READ}</p>{table("Losses", records, "/")}'
    )


def speed(run: Run) -> str:
    """Learning rate, images a second and the share of time spent waiting for data."""
    records, end, marks = run.of("losses"), run.reached, resumes(run)
    rates: dict[tuple[Point, ...], list[str]] = {}
    for player in dict.fromkeys(p for e in records if isinstance(e.get("lr"), dict) for p in e["lr"]):
        line = tuple((e["images"], real(e["lr"].get(player))) for e in records if isinstance(e.get("lr"), dict))
        rates.setdefault(line, []).append(player)  # players with the same rate share a line
    wait = [(x, None if y is None else 100 * y) for x, y in series(records, "data_wait")]
    drawn = [
        chart(title, curves, end=end, marks=marks, log=False, reach=reach)
        for title, curves, reach in (
            ("Learning rate", [Curve(", ".join(who), line) for line, who in rates.items()], 0.0),
            ("Images a second", [Curve("images/s", series(records, "images_per_second"), smooth=True)], 0.0),
            ("Waiting for data", [Curve("% of the time", wait, smooth=True)], 20.0),
        )
    ]
    return f'<h2>Pace</h2><div class="charts">{"".join(drawn)}</div>' if any(drawn) else ""


def about(run: Run) -> str:
    """The facts and the recipe."""
    facts: dict[str, Any] = {
        "method": run.setting("method", "name"),
        "data set": run.setting("data", "dataset"),
        "images": f"{run.reached:,.0f}",
        "steps": next(
            (f"{s:,.0f}" for e in reversed(run.of("losses")) if (s := real(e.get("steps"))) is not None), None
        ),
        "resumed at": ", ".join(f"{m:,.0f}" for m in resumes(run)) or None,
    }
    for event in run.events:
        if event["event"] in ("start", "resume"):
            facts |= dict(
                flat({k: v for k, v in event.items() if k not in ("event", "recipe", "time", "images", "steps")})
            )
            facts.setdefault("started", moment(event.get("time")))
    items = "".join(
        f"<dt>{escape(str(k))}</dt><dd>{escape(tidy(str(v)))}</dd>" for k, v in facts.items() if v not in (None, "")
    )
    recipe = f'<h2>Recipe</h2><div class="card"><pre>{escape(run.recipe_text)}</pre></div>' if run.recipe_text else ""
    return f'<h2>Facts</h2><div class="card"><dl class="facts">{items}</dl></div>{recipe}'


def sheets(run: Run) -> list[tuple[float, Path]]:
    """The first, the last, and some in between: closer together at the beginning, where most is learned."""
    found = all_sheets(run)
    if len(found) <= SHEETS:
        return found
    last = len(found) - 1
    chosen = {max(i, round(last * (i / (SHEETS - 1)) ** 1.5)) for i in range(SHEETS)}
    return [found[i] for i in sorted(chosen)]


def encode(path: Path, budget: int) -> tuple[str, str, int, int] | None:
    """A picture as ``(mime type, base64, width, height)`` of at most ``budget`` bytes, or None if it cannot be read."""
    from PIL import Image, features

    kind = "WebP" if features.check("webp") else "JPEG"
    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    picture.thumbnail((1600, 2400), Image.Resampling.LANCZOS)
    while True:
        buffer = io.BytesIO()
        picture.save(buffer, kind, quality=84, method=2)
        if buffer.tell() <= budget or min(picture.size) < 64:
            return f"image/{kind.lower()}", base64.b64encode(buffer.getvalue()).decode(), *picture.size
        picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5), Image.Resampling.LANCZOS)


def table(title: str, records: Sequence[dict[str, Any]], only: str = "") -> str:
    """The numbers behind the curves, folded away; ``only`` picks the keys that hold it."""
    keys = [
        k
        for k in dict.fromkeys(k for e in records for k, v in e.items() if real(v) is not None)
        if k != "images" and only in k
    ]
    rows = [records[round(i)] for i, _ in thin([(i, 0.0) for i in range(len(records))], ROWS)]
    head = "".join(f'<th scope="col">{escape(k)}</th>' for k in ["images", *keys])
    body = "".join(
        f'<tr><th scope="row">{e["images"]:,.0f}</th>' + "".join(f"<td>{_cell(e.get(k))}</td>" for k in keys) + "</tr>"
        for e in rows
    )
    shown = f"{len(rows)} of {len(records):,} lines of the log" if len(rows) < len(records) else "every line of the log"
    return (
        f'<details><summary>{escape(title)} as numbers</summary><div class="wide"><table><caption>{shown}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></details>"
    )


def _cell(value: Any) -> str:
    known = real(value)
    return "" if known is None else escape(number(known))


def flat(tree: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key} ")
        elif isinstance(value, str | int | float):
            yield f"{prefix}{key}", value


def clock(seconds: float) -> str:
    return str(timedelta(seconds=round(min(max(seconds, 0), 1e11))))


def moment(seconds: Any) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    except (TypeError, ValueError, OverflowError, OSError):
        return None

"""Line charts as hand-written SVG inside HTML: they open offline, keep their text sharp at phone width, and follow the
page's light or dark colors. Only the curves are SVG, stretched to the frame; labels are HTML on top of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float | None]  # None is a gap: a value that was not finite

WIDTH, HEIGHT = 1000, 300  # of the SVG's own coordinates
COLORS = 8  # --c0 .. --c7 in report.css


@dataclass(frozen=True)
class Curve:
    """One line. ``smooth`` draws it faint, with a smoothed one over it; ``dots`` marks every point."""

    name: str
    points: Sequence[Point]
    smooth: bool = False
    dots: bool = False
    dashed: bool = False
    steps: bool = False


def chart(
    title: str,
    curves: Sequence[Curve],
    *,
    end: float,
    marks: Sequence[float] = (),
    log: bool | None = None,
    reach: float | None = None,
    show: Callable[[float], str] | None = None,
    hint: str = "",
) -> str:
    """A ``<figure>`` with the curves over images seen, from 0 to ``end``; empty when no curve has a value.

    Args:
        marks: images at which the training was resumed, drawn as thin vertical lines.
        log: a logarithmic axis; None takes one where values are positive and spread over more than a factor of 30.
        reach: the axis goes from zero to this at least, so that a small thing looks small.
        show: how a value is written.
        hint: some words beside the title.
    """
    curves = [c for c in curves if any(y is not None for _, y in c.points)]
    if not curves:
        return ""
    end = end or 1.0
    values = sorted(y for c in curves for _, y in c.points if y is not None)
    log = _wide(values) if log is None else log and values[0] > 0
    show = show or number
    drawn = [(c, smoothed(c.points, end / 60, log) if c.smooth else list(c.points)) for c in curves]
    low, high = _range(values, [y for _, line in drawn for _, y in line if y is not None], log, reach)

    def place(point: tuple[float, float]) -> tuple[float, float]:
        part = (math.log(point[1] / low) / math.log(high / low)) if log else (point[1] - low) / (high - low)
        return WIDTH * point[0] / end, HEIGHT * (1 - part)

    def path(points: Sequence[Point], steps: bool = False) -> str:
        placed = [None if y is None else place((x, y)) for x, y in thin(points)]
        return _path(placed, steps)

    parts, legend = [], []
    for i, (curve, line) in enumerate(drawn):
        kind = f"c{i % COLORS}"
        if curve.smooth:
            parts.append(f'<path class="raw {kind}" d="{path(curve.points)}"/>')
        style = "line" + (" dashed" if curve.dashed else "")
        parts.append(f'<path class="{style} {kind}" d="{path(line, curve.steps)}"/>')
        if curve.dots:
            dots = "".join(
                f"M{_n(x)} {_n(y)}h0" for x, y in (place((x, y)) for x, y in thin(line, 200) if y is not None)
            )
            parts.append(f'<path class="dots {kind}" d="{dots}"/>')
        last = next(y for _, y in reversed(line) if y is not None)
        dash = " dashed" if curve.dashed else ""
        legend.append(f'<li class="{kind}{dash}"><i></i>{escape(curve.name)} <b>{escape(show(last))}</b></li>')
    parts += [f'<path class="mark" d="M{_n(WIDTH * m / end)} 0v{HEIGHT}"/>' for m in marks if 0 < m < end]
    ticks = [(y, place((0, y))[1] / HEIGHT) for y in (_log_ticks if log else linear_ticks)(low, high)]
    grid = "".join(f'<path class="grid" d="M0 {_n(HEIGHT * at)}h{WIDTH}"/>' for _, at in ticks)
    ys = "".join(f'<span style="top:{100 * at:.2f}%">{escape(show(y))}</span>' for y, at in ticks)
    xs = "".join(f'<span style="left:{100 * x / end:.2f}%">{compact(x)}</span>' for x in linear_ticks(0, end))
    names = ", ".join(f"{c.name} ends at {show(next(y for _, y in reversed(p) if y is not None))}" for c, p in drawn)
    words = f"{title} over {compact(end)} images: {names}."
    axis = f'data-end="{end:g}" data-low="{low!r}" data-high="{high!r}" data-log="{int(log)}"'
    hints = " · ".join(h for h in (hint, "log scale" if log else "") if h)
    return (
        f'<figure class="chart" {axis}><figcaption><b>{escape(title)}</b><small>{escape(hints)}</small></figcaption>'
        f'<ul class="legend">{"".join(legend)}</ul><div class="plot"><div class="ys" aria-hidden="true">{ys}</div>'
        f'<div class="frame"><svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(words)}">{grid}{"".join(parts)}</svg></div>'
        f'<div class="xs" aria-hidden="true">{xs}</div></div></figure>'
    )


def thin(points: Sequence[Point], limit: int = 1000) -> list[Point]:
    """At most ``limit`` points that look the same: the lowest and highest of every stretch, so that no peak is lost."""
    if len(points) <= limit:
        return list(points)
    inner, buckets = points[1:-1], (limit - 2) // 2
    kept: list[Point] = [points[0]]
    for b in range(buckets):
        part = inner[len(inner) * b // buckets : len(inner) * (b + 1) // buckets]
        known = [p for p in part if p[1] is not None]
        if not known:
            kept += part[:1]
            continue
        low, high = min(known, key=lambda p: p[1] or 0.0), max(known, key=lambda p: p[1] or 0.0)
        kept += sorted({low, high}, key=lambda p: p[0])
    return [*kept, points[-1]]


def smoothed(points: Sequence[Point], halflife: float, log: bool) -> list[Point]:
    """A running mean that forgets half within ``halflife`` images (of the logarithms on a logarithmic axis)."""
    mean = weight = before = 0.0
    out: list[Point] = []
    for x, y in points:
        if y is None:
            continue
        keep = 0.5 ** (max(x - before, 0.0) / halflife)
        before = x
        mean, weight = keep * mean + (1 - keep) * (math.log(y) if log else y), keep * weight + (1 - keep)
        if weight > 0:
            out.append((x, math.exp(mean / weight) if log else mean / weight))
        else:  # the very first point, at the place where counting starts
            out.append((x, y))
    return out


def linear_ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from low to high, about so many."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = max(1, math.ceil(len(decades) / 6))
    few = [10.0**d for d in decades if d % every == 0 and low <= 10.0**d <= high]
    return few if len(few) > 2 else [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]


def _wide(values: Sequence[float]) -> bool:
    """Whether sorted values are all positive and spread (the extreme percents aside) over more than a factor of 30."""
    return values[0] > 0 and values[int(0.98 * (len(values) - 1))] > 30 * values[int(0.02 * (len(values) - 1))]


def _range(raw: Sequence[float], lines: Sequence[float], log: bool, reach: float | None) -> tuple[float, float]:
    """The axis: all of the lines, and of the sorted raw values all but the outermost spikes, with some air."""
    rest = int(0.005 * len(raw))
    low, high = min(raw[rest], *lines, math.inf), max(raw[len(raw) - 1 - rest], *lines, -math.inf)
    if log:
        low = max(low, high * 1e-12)
        air = (high / low) ** 0.06 if high > low else 2.0
        return low / air, high * air
    spread = high - low
    air = 0.06 * spread if spread > 1e-9 * abs(high) else abs(high) * 0.1 or 1.0
    floor = 0.0 if low >= 0 and (reach is not None or low < 0.25 * high) else low - air
    return floor, max(high + air, reach or 0.0)


def _path(points: Sequence[tuple[float, float] | None], steps: bool) -> str:
    out, pen, before = [], "M", 0.0
    for point in points:
        if point is None:
            pen = "M"
            continue
        if steps and pen == "L":
            out.append(f"L{_n(point[0])} {_n(before)}")
        out.append(f"{pen}{_n(point[0])} {_n(point[1])}")
        pen, before = "L", point[1]
    return "".join(out)


def _n(value: float) -> str:
    """A coordinate, short; far outside the frame is as good as just outside."""
    return f"{min(max(value, -HEIGHT), 2 * WIDTH):.1f}".removesuffix(".0")


def number(value: float) -> str:
    """Three digits, written as people write them: 0.512, 21.3, 1,240, 2e-04."""
    size = abs(value)
    if size >= 100_000 or 0 < size < 0.001:
        return f"{value:.1e}".replace(".0e", "e")
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if size >= 1 else f"{value:.3f}".rstrip("0").rstrip(".") or "0"


def compact(images: float) -> str:
    """A count for an axis: 500, 2k, 1.5M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if images >= size:
            return f"{images / size:.4g}{letter}"
    return f"{images:.4g}"

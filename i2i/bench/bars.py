"""A chart of ratios as one SVG file that needs nothing else: a bar a measurement, its quartiles as a line on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from i2i.bench.measure import Spread
from i2i.charts import linear_ticks

WIDTH, LEFT, RIGHT, BAR, GAP, HEAD = 720, 150, 70, 20, 6, 64  # pixels; LEFT holds the names, RIGHT the values
COLORS = ("#7a808c", "#2463c9", "#d9480f", "#12875f", "#8a4bd0", "#b57b00")


@dataclass(frozen=True)
class Bar:
    name: str
    value: Spread


def bars(title: str, groups: Mapping[str, Sequence[Bar]], footnotes: Sequence[str]) -> str:
    """An ``<svg>`` document: under each group's heading its bars, from 0; a line marks 1."""
    reach = 1.05 * max([1.0, *(bar.value.high for group in groups.values() for bar in group)])
    names = list(dict.fromkeys(bar.name for group in groups.values() for bar in group))
    scale = (WIDTH - LEFT - RIGHT) / reach
    parts, y = [], HEAD
    for heading, group in groups.items():
        parts.append(f'<text x="16" y="{y + 14}" font-weight="600">{escape(heading)}</text>')
        y += 24
        for bar in group:
            color, value, middle = COLORS[names.index(bar.name) % len(COLORS)], bar.value, y + BAR / 2
            low, high = LEFT + scale * value.low, LEFT + scale * value.high
            parts += [
                f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{escape(bar.name)}</text>',
                f'<rect x="{LEFT}" y="{y}" width="{scale * value.median:.1f}" height="{BAR}" rx="3" fill="{color}"/>',
                f'<path d="M{low:.1f} {middle}H{high:.1f}M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8" '
                'stroke="#1c1d22" stroke-width="1.5" fill="none"/>',
                f'<text x="{WIDTH - 16}" y="{middle + 4}" text-anchor="end">{value.median:.2f}</text>',
            ]
            y += BAR + GAP
        y += 10
    one = LEFT + scale
    parts.append(f'<path d="M{one:.1f} {HEAD}V{y}" stroke="#1c1d22" stroke-dasharray="4 3"/>')
    for tick in linear_ticks(0, reach):
        parts.append(
            f'<text x="{LEFT + scale * tick:.1f}" y="{y + 14}" text-anchor="middle" fill="#5d606b">{tick:g}</text>'
        )
    for i, line in enumerate(footnotes):
        parts.append(f'<text x="16" y="{y + 40 + 16 * i}" fill="#5d606b" font-size="11">{escape(line)}</text>')
    height = y + 40 + 16 * len(footnotes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#1c1d22">'
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>'
        f'<text x="16" y="30" font-size="17" font-weight="600">{escape(title)}</text>'
        f"{''.join(parts)}</svg>\n"
    )

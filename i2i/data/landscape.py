"""A storybook landscape late in the afternoon, painted back to front: the scenes of the data set ``shapes``.

Rules that hold in every scene, so that a network can learn them: the light comes from the upper left, shading follows
the shape of a region, and textures have periods of 4, 8, 16 or 32 units (see canvas) tied to the place in the image.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from i2i.data.canvas import (
    CLOUD,
    COLORS,
    GRASS,
    HILL,
    LIGHT,
    MOUNTAIN,
    PATH,
    SKY,
    UNIT,
    WATER,
    Canvas,
    Draw,
    ball,
    bricks,
    mix,
    rgb,
    step,
    wave,
)
from i2i.data.landmarks import conifer, fence, house, leafy

# On the grass, one of each every 32 units: across, down, color of the petals.
FLOWERS = (
    (5, 9, rgb(255, 250, 236)),
    (21, 4, rgb(246, 132, 120)),
    (13, 21, rgb(255, 214, 92)),
    (28, 27, rgb(255, 250, 236)),
)


def paint(draw: Draw, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One landscape: (label map, picture), both uint8 [size, size, 3]."""
    c = Canvas.blank(size)
    horizon = 46 + 22 * draw()
    sun = sky(c, draw, horizon)
    mountains(c, draw, horizon)
    hills(c, draw, horizon)
    wet = draw() < 0.6
    if wet:
        lake(c, horizon, sun)
    shore = meadow(c, draw, horizon + (10 + 10 * draw() if wet else -2), 7 if wet else 3)
    for put in things(c, draw, shore):
        put()
    corner = ((c.x - 64) / 64) ** 2 + ((c.y - 64) / 64) ** 2
    picture = c.picture * (1.03 - 0.08 * corner)
    return COLORS[c.label], np.clip(np.rint(picture), 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()


def things(c: Canvas, draw: Draw, shore: np.ndarray) -> list[Callable[[], None]]:
    """What stands on the meadow, far things first; the first house has a path, which is painted at once."""
    found: list[tuple[float, Callable[[], None]]] = []
    taken: list[tuple[float, float]] = []
    way = 128 * draw()

    def ground(x: float, near: float) -> float:
        """The foot of a thing at x: near = 0 at the shore, 1 in front."""
        start = float(shore[0, min(shore.shape[1] - 1, max(0, int(x * c.scale)))]) + 4
        return float(round(start + near * (116 - start)))

    def free(x: float, half: float) -> bool:
        return all(abs(x - other) > half + width for other, width in taken)

    for number in range(1 + int(draw() * 2.5)):
        w, x, near = 2.0 * round(9 + 7 * draw()), float(round(16 + 96 * draw())), draw()
        if not free(x, 1.2 * w):
            continue
        taken.append((x, 1.1 * w))
        base = ground(x, 0.12 + 0.022 * (w - 18) + 0.25 * near)
        if number == 0 and draw() < 0.85:
            way = path(c, draw, x, base)
        found.append((base, house(c, x, base, w, draw)))
    for _ in range(3 + int(draw() * 7)):
        x, near, girth, round_one = 4 + 120 * draw(), draw() ** 1.5, 0.8 + 0.4 * draw(), draw() < 0.6
        r = (5.5 + 7 * near) * girth
        if free(x, 0.5 * r):
            taken.append((x, 0.5 * r))
            base = ground(x, near)
            found.append((base, (leafy if round_one else conifer)(c, x, base, r, draw)))
    if draw() < 0.6:
        long, post = 8 * round(4 + 6 * draw()), 8 * round(way / 8)
        found.append((119, fence(c, post + 16 if way < 64 else post - 16 - long, long, 119)))
    return [put for _, put in sorted(found, key=lambda thing: thing[0])]


# --- the land ---------------------------------------------------------------------------------------------------------


def sky(c: Canvas, draw: Draw, horizon: float) -> float:
    """Sky, sun with its glow, clouds. Returns where the sun is, from the left."""
    t = c.y / 64
    c.picture[...] = mix(mix(rgb(74, 136, 206), rgb(178, 206, 216), t / 0.55), rgb(255, 190, 136), (t - 0.5) / 0.45)
    c.label[...] = SKY
    x, y, r = 12 + 44 * draw(), 14 + 0.25 * horizon * draw(), 6 + 3 * draw()
    far = np.hypot(c.x - x, c.y - y)
    c.tint(0.8 * np.exp(-np.clip(far - r, 0, None) / 13), rgb(255, 222, 150))
    c.fill(LIGHT, r - far, mix(rgb(255, 253, 232), rgb(255, 236, 160), far / r))
    for _ in range(int(draw() * 4.5)):
        cloud(c, 8 + 112 * draw(), 13 + (horizon - 36) * draw(), 9 + 9 * draw(), draw)
    return x


def cloud(c: Canvas, x: float, base: float, width: float, draw: Draw) -> None:
    """Balls on a flat base, cream above and rose below."""
    c = c.crop(x - 1.7 * width, base - 1.3 * width, x + 1.7 * width, base + 1)
    inside, light = np.full(c.label.shape, -np.inf), np.zeros(c.label.shape)
    for at in (-0.85, 0.8, -0.3, 0.35):
        r = width * (0.6 - 0.28 * abs(at) + 0.14 * draw())
        d, lit = ball(c, x + at * width, base - 0.55 * r, r * 1.2, r)
        light = np.where(d > -0.5, lit, light)
        inside = np.maximum(inside, d)
    rise = (base - c.y) / (0.9 * width)
    c.fill(CLOUD, np.minimum(inside, base - c.y), mix(rgb(226, 160, 158), rgb(255, 248, 230), rise + 0.45 * light))


def mountains(c: Canvas, draw: Draw, horizon: float) -> None:
    """Peaks with a lit and a shaded side, snow above a height, haze at the foot."""
    count = int(draw() * 5)
    c = c.crop(0, horizon - 44, UNIT, horizon + 8)
    top, lit = np.full(c.label.shape, np.inf), np.zeros(c.label.shape)
    for i in range(count):
        x, y, slope = 128 * (i + 0.15 + 0.7 * draw()) / count, horizon - 18 - 24 * draw(), 0.75 + 0.5 * draw()
        ridge = y + slope * np.sqrt((c.x - x) ** 2 + 1) + 0.7 * wave(c.x, 16)
        side = step(-1.5, 1.5, x + 0.25 * (c.y - y) + 1.2 * wave(c.y, 8) - c.x)
        top, lit = np.minimum(top, ridge), np.where(ridge < top, side, lit)
    rock = 0.6 * wave(c.x + 0.5 * c.y, 8) + 0.4 * wave(c.x - 0.75 * c.y, 16)
    stone = mix(rgb(98, 92, 146), rgb(214, 156, 138), lit + 0.12 * rock)
    snow = mix(rgb(172, 180, 224), rgb(255, 246, 230), lit)
    color = mix(stone, snow, step(-1, 1, 32 + 2.5 * wave(c.x, 8) + 2 * rock - c.y))
    c.fill(MOUNTAIN, c.y - top, mix(color, rgb(226, 184, 170), (c.y - horizon + 22) / 40))


def hills(c: Canvas, draw: Draw, horizon: float) -> None:
    """Wooded hills: tree tops in rows, sun on the crest, blue haze below."""
    c = c.crop(0, horizon - 22, UNIT, UNIT)
    crest = np.full(c.x.shape, horizon - 6 - 7 * draw())
    for low, more, height in ((90, 60, 5), (36, 20, 2)):
        period = low + more * draw()
        crest = crest + height * wave(c.x + period * draw(), period)
    below = c.y - crest + 0.7 * np.abs(wave(c.x, 16))
    across, down = bricks(c, 8, 4)
    # a row's tops are arcs; above them one sees the row behind, half a tree aside
    arc = 1 - np.sqrt(np.clip(1 - across**2, 0, 1))
    behind = 1 - np.abs(across)
    depth = np.where(down > arc, down - arc, down + np.sqrt(np.clip(1 - behind**2, 0, 1)))
    color = mix(rgb(176, 178, 98), rgb(72, 122, 106), below / 15) * (1.1 - 0.26 * depth - 0.06 * across)
    c.fill(HILL, below, color)


def lake(c: Canvas, horizon: float, sun: float) -> None:
    """Water below the hills: the land turned over in it, ripples, the road of the sun."""
    size = c.label.shape[0]
    rows = np.clip((2 * horizon * c.scale - np.arange(size)).astype(int), 0, size - 3)
    image = (c.picture[:, rows] + c.picture[:, rows + 1] + c.picture[:, rows + 2]) / 3
    deep = c.y - horizon
    ripple = wave(c.y + 0.5 * wave(c.x, 32), 4) * (0.55 + 0.45 * wave(c.x + 8 * np.floor(c.y / 4), 32))
    color = mix(image, mix(rgb(112, 178, 190), rgb(44, 106, 158), deep / 36), 0.5 + 0.01 * deep) + 11 * ripple
    road = np.exp(-(((c.x - sun) / (4 + 0.25 * np.clip(deep, 0, None))) ** 2))
    c.fill(WATER, deep, mix(color, rgb(255, 232, 176), road * (0.45 + 0.3 * ripple)))


def meadow(c: Canvas, draw: Draw, shore: float, sway: float) -> np.ndarray:
    """Grass, with blades and flowers where it is near. Returns the line where it begins, [1, W] in units."""
    line = shore + sway * wave(c.x + 128 * draw(), 140 + 80 * draw()) + 1.5 * wave(c.x + 64 * draw(), 50)
    c = c.crop(0, shore - sway - 3, UNIT, UNIT)
    deep = c.y - line
    near = step(2, 40, deep)
    color = mix(mix(rgb(216, 204, 96), rgb(146, 178, 68), deep / 18), rgb(66, 122, 58), (c.y - 82) / 62)
    color = color + rgb(24, 14, -4) * (wave(c.x + 1.5 * c.y, 64) * step(0, 10, deep))
    across, down = bricks(c, 8, 8)
    blade = np.clip(1 - np.abs(np.abs(4 * across - 0.6) - 2 * (1 - down)), 0, 1) * (1.35 - down)
    color = color * (1 + near * (0.20 * blade - 0.05))
    for x, y, petal in FLOWERS:
        spot = np.hypot((c.x - x + 16) % 32 - 16, (c.y - y + 16) % 32 - 16)
        color = mix(color, petal, np.clip(1.9 - spot, 0, 1) * step(14, 30, deep))
    c.fill(GRASS, deep, color)
    return line


def path(c: Canvas, draw: Draw, x: float, y: float) -> float:
    """A way from a door to the lower edge, wider as it comes near. Returns where it is at the height of the fence."""
    c = c.crop(0, y, UNIT, UNIT)
    end, bend = x + 60 * (draw() - 0.5), 9 * (draw() - 0.5)
    t = np.clip((c.y - y) / (UNIT - y), 0, 1)
    half = 2.6 + 9 * t * np.sqrt(t)
    middle = x + (end - x) * t * t + bend * np.sin(2 * np.pi * t) * np.sqrt(t)
    aside = (c.x - middle) / half
    across, down = bricks(c, 8, 4)
    joint = np.clip(1 - np.minimum(4 - 4 * np.abs(across), 4 - 4 * np.abs(2 * down - 1)), 0, 1)
    color = mix(rgb(255, 226, 168), rgb(198, 142, 104), 0.5 + 0.5 * aside) - 16 * joint * np.clip(2 * t, 0.2, 1)
    c.fill(PATH, half * (1 - np.abs(aside)), color)
    return float(middle[-1 - int(16 * c.scale), 0])

"""What stands on the meadow of a landscape: trees, fences, houses.

Each function draws its random numbers at once and returns what paints the thing, so that far ones can be painted first.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from i2i.data.canvas import (
    GRASS,
    LIGHT,
    PATH,
    ROOF,
    TREE,
    WALL,
    WOOD,
    Canvas,
    Draw,
    ball,
    box,
    bricks,
    mix,
    polygon,
    rgb,
    step,
    wave,
)


def shadow(c: Canvas, x: float, y: float, width: float, length: float) -> None:
    """What a thing with its foot at (x, y) casts on the ground: soft, to the right."""
    c = c.crop(x - width, y - width, x + 2 * width + 1.5 * length, y + width)
    u, v = (c.x - x - 0.5 * length) / (0.6 * width + 0.5 * length), (c.y - y - 0.06 * length) / (0.18 * width + 1.2)
    dark = 0.5 * np.exp(-((u * u + v * v) ** 1.5)) * ((c.label == GRASS) | (c.label == PATH))
    c.picture[...] *= 1 - dark * rgb(1.0, 0.85, 0.55)


def timber(c: Canvas, x: float, width: float) -> np.ndarray:
    """The color of a round trunk, lit from the left."""
    return mix(rgb(182, 118, 74), rgb(82, 50, 46), 0.5 + (c.x - x) / width) * (1 - 0.08 * (c.y % 4 < 1))


def trunk(c: Canvas, x: float, base: float, width: float, height: float) -> None:
    c = c.crop(x - width, base - height, x + width, base)
    c.fill(WOOD, box(c, x - width / 2, base - height, x + width / 2, base), timber(c, x, width))


def leafy(c: Canvas, x: float, base: float, r: float, draw: Draw) -> Callable[[], None]:
    """A round tree with a bumpy crown: small ones are green, large ones golden."""
    bumps = [(angle, r * (0.42 + 0.12 * draw())) for angle in (0.3, 1.5, 2.9, 4.0, 5.3)]

    def put() -> None:
        shadow(c, x, base, r, 1.6 * r)
        trunk(c, x, base, max(3.4, 0.3 * r), 1.3 * r)
        top = base - 1.9 * r
        part = c.crop(x - 1.4 * r, top - 1.3 * r, x + 1.4 * r, top + 1.3 * r)
        inside, _ = ball(part, x, top, r, r)
        for angle, small in bumps:
            bump, _ = ball(part, x + 0.72 * r * np.cos(angle), top + 0.62 * r * np.sin(angle), small, small)
            inside = np.maximum(inside, bump)
        _, light = ball(part, x, top, 1.2 * r, 1.15 * r)
        across, down = bricks(part, 4, 4)
        t = light + 0.22 * np.clip(1 - np.hypot(across, 2 * down - 1), 0, 1) - 0.08
        green = mix(mix(rgb(32, 74, 64), rgb(92, 148, 58), 2 * t), rgb(226, 224, 110), 2 * t - 1)
        gold = mix(mix(rgb(112, 44, 50), rgb(222, 110, 46), 2 * t), rgb(255, 212, 108), 2 * t - 1)
        part.fill(TREE, inside, mix(green, gold, step(7, 10, np.array(r))))

    return put


def conifer(c: Canvas, x: float, base: float, r: float, draw: Draw) -> Callable[[], None]:
    """Three tiers on a short trunk."""
    slim = 0.75 + 0.2 * draw()

    def put() -> None:
        shadow(c, x, base, 0.8 * r, 2.2 * r)
        trunk(c, x, base, max(3.4, 0.28 * r), 0.8 * r)
        for tier in range(3):
            foot, half, tall = base - 0.5 * r - 0.85 * r * tier, slim * r * (1 - 0.22 * tier), 1.5 * r
            part = c.crop(x - half, foot - tall, x + half, foot)
            fall = (foot - part.y) / tall
            light = 0.62 - 0.42 * (part.x - x) / half - 0.25 * fall + 0.08 * wave(part.x + 0.5 * part.y, 4)
            inside = polygon(part, (x, foot - tall), (x + half, foot), (x - half, foot))
            part.fill(TREE, inside, mix(rgb(20, 58, 70), rgb(122, 170, 100), light - 0.35 * step(0.65, 1, fall)))

    return put


def fence(c: Canvas, left: float, long: float, base: float) -> Callable[[], None]:
    """Pointed posts and two rails."""
    right = left + long

    def put() -> None:
        shadow(c, (left + right) / 2, base, 0.5 * (right - left), 6)
        part = c.crop(left, base - 16, right, base)
        across = (part.x - left) % 8 - 4
        posts = np.minimum(1.7 - np.abs(across), np.minimum(part.y - base + 15 - 0.7 * np.abs(across), base - part.y))
        rails = 1.6 - np.minimum(np.abs(part.y - base + 11), np.abs(part.y - base + 4.2))
        inside = np.minimum(np.maximum(posts, rails), np.minimum(part.x - left, right - part.x))
        color = mix(rgb(255, 224, 178), rgb(150, 100, 82), np.where(posts > 0, 0.5 + across / 4, 0.75))
        part.fill(WOOD, inside, color)

    return put


def house(c: Canvas, x: float, base: float, w: float, draw: Draw) -> Callable[[], None]:
    """A gabled front and a long side: to the left in the sun or to the right in shade."""
    h, gable, long = round(w * (0.66 + 0.2 * draw())), round(w * (0.42 + 0.2 * draw())), round(w * (0.6 + 0.5 * draw()))
    way, smokes = (1 if draw() < 0.5 else -1), draw() < 0.6
    left, right, eave, ridge = x - w / 2, x + w / 2, base - h, base - h - gable
    edge = x + way * w / 2
    far = edge + way * long

    def put() -> None:
        shadow(c, max(right, far) - 0.3 * w, base, 0.6 * w, 0.7 * w)
        part = c.crop(min(left, far) - 6, ridge - 10, max(right, far) + 6, base)
        walls(part)
        if smokes:
            chimney(part)
        roof(part)
        door = max(4, 2 * round(0.1 * w))
        part.fill(WOOD, box(part, x - door / 2, base - round(0.62 * h), x + door / 2, base), timber(part, x, 2 * door))
        tall = 5 if h < 18 else 7
        for at in (x - 0.32 * w, x + 0.32 * w):
            window(part, at, base - 0.5 * h, tall)
        for at in (0.5,) if long < 18 else (0.27, 0.73):
            window(part, edge + at * (far - edge), base - 0.5 * h, tall)

    def below_gable(c: Canvas) -> np.ndarray:
        return 0.75 * (c.y - ridge - np.abs(c.x - x) * gable / (w / 2))

    def walls(c: Canvas) -> None:
        boards = 1 - 0.10 * (c.y % 4 < 1)
        side, front = (rgb(182, 148, 142), rgb(255, 230, 188)) if way > 0 else (rgb(255, 236, 196), rgb(202, 166, 150))
        shade = boards * (0.72 + 0.28 * step(0, 4, c.y - eave))
        c.fill(WALL, box(c, min(edge, far), eave, max(edge, far), base), side * shade)
        slope = below_gable(c)
        shade = boards * (0.75 + 0.25 * step(2, 6, slope))
        c.fill(WALL, np.minimum(box(c, left, ridge, right, base), slope), front * shade)

    def chimney(c: Canvas) -> None:
        at, half = x + 0.6 * (far - edge), max(2.5, 0.09 * w)
        color = mix(rgb(206, 136, 108), rgb(112, 66, 70), 0.5 + (c.x - at) / (2.5 * half))
        c.fill(WALL, box(c, at - half, ridge - 0.2 * w - 2, at + half, ridge + 2), color)

    def roof(c: Canvas) -> None:
        """The slope over the long side, then the verge along the gable, three units beyond the walls."""
        end = eave + 3 * gable / (w / 2)
        corners = [(x, ridge - 2), (x + far - edge, ridge - 2), (far + way * 4, end - 2), (edge + way * 3, end - 2)]
        across, down = bricks(c, 4, 4)
        joint = np.maximum(down < 0.25, 0.6 * (across < -0.5))
        tone = rgb(178, 74, 62) if way > 0 else rgb(222, 104, 70)
        tiles = (tone + rgb(30, 26, 20) * ((c.y - ridge) / (eave - ridge))) * (1 - 0.20 * joint)
        c.fill(ROOF, polygon(c, *corners[::way]), tiles)
        slope = below_gable(c)
        ends = np.minimum(np.minimum(c.x - left + 3, right + 3 - c.x), end - c.y)
        verge = np.minimum(np.minimum(2.2 + slope, 2 - slope), ends)
        c.fill(ROOF, verge, mix(rgb(255, 168, 108), rgb(150, 62, 56), 0.5 + (c.x - x) / 6))

    return put


def window(c: Canvas, x: float, y: float, tall: int) -> None:
    """Five units wide, lit from within: it glows on the wall and has a dark cross."""
    x, y = np.floor(x) + 0.5, np.floor(y) + 0.5
    far = np.hypot((c.x - x) / 6.5, (c.y - y) / 7)
    c.tint(0.5 * np.exp(-(far**2) * 1.6) * (c.label == WALL), rgb(255, 202, 112))
    glass = mix(rgb(255, 246, 184), rgb(255, 190, 84), 0.5 + (c.y - y) / tall)
    cross = np.clip(1 - np.minimum(np.abs(c.x - x), np.abs(c.y - y)), 0, 1)
    c.fill(LIGHT, box(c, x - 2.5, y - tall / 2, x + 2.5, y + tall / 2), mix(glass, rgb(140, 78, 46), 0.6 * cross))

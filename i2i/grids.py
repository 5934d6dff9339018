"""Grids of drawn pictures: all of one size, close together, a name before each row where rows have names."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

from i2i.sheets import FAINT, INK, MARGIN, PAPER, TEXT, TITLE

GAP = 4
ENLARGED, LARGEST = 96, 256  # small pictures grow by a whole factor, to ENLARGED at most; none is larger than LARGEST


def grid(rows: Sequence[Sequence[Image.Image]], names: Sequence[str], title: str) -> Image.Image:
    """Rows of pictures of one size under a title as in ``sheets.sheet``; rows may differ in length.

    Raises:
        ValueError: no picture, or not one name for each row (an empty one where there is none to tell).
    """
    if not any(rows) or len(rows) != len(names):
        raise ValueError(f"a grid of {len(rows)} rows needs pictures and as many names, not {len(names)}")
    width, height = shown(next(row[0].size for row in rows if row))
    large, small = ImageFont.load_default(TITLE), ImageFont.load_default(TEXT)
    name, _, facts = title.partition(" · ")
    before = max(round(small.getlength(n)) for n in names)
    left = MARGIN + before + (12 if before else 0)
    top = MARGIN + TITLE + (TEXT + 8 if facts else 0) + 24
    columns = max(len(row) for row in rows)
    written = max(round(large.getlength(name)), round(small.getlength(facts)))
    right = max(left + columns * (width + GAP) - GAP, MARGIN + written)
    page = Image.new("RGB", (right + MARGIN, top + len(rows) * (height + GAP) - GAP + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), name, INK, large, anchor="lt")
    draw.text((MARGIN, MARGIN + TITLE + 8), facts, FAINT, small, anchor="lt")
    for r, (row, row_name) in enumerate(zip(rows, names, strict=True)):
        y = top + r * (height + GAP)
        draw.text((left - 12, y + height / 2), row_name, INK, small, anchor="rm")
        for c, picture in enumerate(row):
            sharp = width >= picture.width
            how = Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS
            page.paste(picture.convert("RGB").resize((width, height), how), (left + c * (width + GAP), y))
    return page


def shown(size: tuple[int, int]) -> tuple[int, int]:
    """The width and height that pictures of ``size`` have in a grid."""
    longer = max(size)
    if longer > LARGEST:
        return max(1, round(size[0] * LARGEST / longer)), max(1, round(size[1] * LARGEST / longer))
    factor = max(1, ENLARGED // longer)
    return size[0] * factor, size[1] * factor

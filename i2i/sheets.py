"""Contact sheets: rows of pictures under captions, one picture that explains itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from i2i.writing import save

__all__ = ["save", "sheet", "wall"]

HEIGHT = 256  # of a row, at most: larger pictures are reduced to it
SMALL, ENLARGED = 96, 200  # pictures up to SMALL grow by a whole factor, to ENLARGED at most: their pixels stay square
WIDEST = 2.5  # a panorama is no wider than that many heights
MARGIN, GAP = 32, 12
TITLE, TEXT = 24, 15  # sizes of letters
PAPER, INK, FAINT, FRAME = (253, 253, 251), (24, 26, 31), (116, 119, 126), (226, 226, 221)


def sheet(rows: Sequence[Sequence[np.ndarray]], headers: Sequence[str], title: str) -> Image.Image:
    """Rows of uint8 [H, W, 1 or 3] pictures, all at one height, a caption over every column and a title over all.

    ``title``: parts with `` · `` between them, the first is set large: ``"pix2pix · facades · 2,000 images"``.

    Raises:
        ValueError: no rows, or a row that has not one picture for each header.
    """
    if not rows or any(len(row) != len(headers) for row in rows):
        raise ValueError(f"a sheet needs rows of {len(headers)} pictures, one for each header")
    tallest = max(picture.shape[0] for row in rows for picture in row)
    height = tallest * max(1, ENLARGED // tallest) if tallest <= SMALL else min(tallest, HEIGHT)
    cells = [[_fit(picture, height) for picture in row] for row in rows]

    small = ImageFont.load_default(TEXT)
    widths = [
        max([*(row[i].width for row in cells), round(small.getlength(header))]) for i, header in enumerate(headers)
    ]
    heights = [max(cell.height for cell in row) for row in cells]
    below = TEXT + 10 + sum(heights) + GAP * (len(heights) - 1)
    page, captions = _titled(title, sum(widths) + GAP * (len(widths) - 1), below)
    top = captions + TEXT + 10
    draw = ImageDraw.Draw(page)
    left = MARGIN
    for header, width in zip(headers, widths, strict=True):
        draw.text((left + width / 2, captions + TEXT), header, INK, small, anchor="ms")
        left += width + GAP
    for row, row_height in zip(cells, heights, strict=True):
        left = MARGIN
        for cell, width in zip(row, widths, strict=True):
            x, y = left + (width - cell.width) // 2, top + (row_height - cell.height) // 2
            draw.rectangle((x - 1, y - 1, x + cell.width, y + cell.height), outline=FRAME)
            page.paste(cell, (x, y))
            left += width + GAP
        top += row_height + GAP
    return page


def wall(pictures: Sequence[np.ndarray], captions: Sequence[str], title: str, columns: int = 6) -> Image.Image:
    """Captioned uint8 [H, W, 1 or 3] pictures as they are, from left to right and down, under a title as in ``sheet``.

    Raises:
        ValueError: no picture, or not one caption for each.
    """
    if not pictures or len(pictures) != len(captions):
        raise ValueError(f"a wall of {len(pictures)} pictures needs as many captions, not {len(captions)}")
    small = ImageFont.load_default(TEXT)
    width = max(*(p.shape[1] for p in pictures), *(round(small.getlength(caption)) for caption in captions))
    height = TEXT + 10 + max(p.shape[0] for p in pictures)
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    page, top = _titled(title, columns * (width + GAP) - GAP, rows * (height + GAP) - GAP)
    draw = ImageDraw.Draw(page)
    for i, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        left, y = MARGIN + i % columns * (width + GAP), top + i // columns * (height + GAP)
        draw.text((left, y + TEXT), caption, INK, small, anchor="ls")
        page.paste(Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture), (left, y + TEXT + 10))
    return page


def _titled(title: str, width: int, height: int) -> tuple[Image.Image, int]:
    """A page with a title and room for ``width`` x ``height`` pixels below it, and where that begins."""
    large, small = ImageFont.load_default(TITLE), ImageFont.load_default(TEXT)
    name, _, facts = title.partition(" · ")
    top = MARGIN + TITLE + (TEXT + 8 if facts else 0) + 24
    width = max(width, round(large.getlength(name)), round(small.getlength(facts)))
    page = Image.new("RGB", (width + 2 * MARGIN, top + height + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN), name, INK, large, anchor="lt")
    draw.text((MARGIN, MARGIN + TITLE + 8), facts, FAINT, small, anchor="lt")
    return page, top


def _fit(picture: np.ndarray, height: int) -> Image.Image:
    """The picture at the height of its row; whole enlargements keep square pixels, all else is smooth."""
    image = Image.fromarray(np.ascontiguousarray(picture[..., 0] if picture.shape[2] == 1 else picture)).convert("RGB")
    if image.height == height and image.width <= WIDEST * height:
        return image
    factor = min(height / image.height, WIDEST * height / image.width)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    sharp = factor > 1 and factor == int(factor)
    return image.resize(size, Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS)

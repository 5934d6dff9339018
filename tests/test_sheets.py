"""Sample sheets: every picture is where it belongs, at a size that can be seen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from i2i import sheets

RED, BLUE = (200, 10, 20), (10, 20, 200)


def plain(height: int, width: int, color) -> np.ndarray:
    return np.full((height, width, 3), color, np.uint8)


def box(page: Image.Image, color) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of all pixels of a color."""
    ys, xs = np.nonzero((np.asarray(page) == color).all(axis=2))
    return xs.min(), ys.min(), xs.max() + 1, ys.max() + 1


def test_rows_and_columns():
    page = sheets.sheet(
        [[plain(128, 128, RED), plain(128, 128, BLUE)]] * 3, ["input", "output"], "pix2pix · facades · 2,000 images"
    )
    left, top, right, bottom = box(page, RED)
    assert (right - left, bottom - top) == (128, 3 * 128 + 2 * sheets.GAP)
    assert box(page, BLUE) == (right + sheets.GAP, top, right + sheets.GAP + 128, bottom)
    assert page.size == (right + sheets.GAP + 128 + sheets.MARGIN, bottom + sheets.MARGIN)
    assert page.getpixel((0, 0)) == sheets.PAPER
    caption = np.asarray(page)[top - 24 : top - 2, left:right]
    assert (caption < 100).any()  # there is ink over the column
    assert page == sheets.sheet(
        [[plain(128, 128, RED), plain(128, 128, BLUE)]] * 3, ["input", "output"], "pix2pix · facades · 2,000 images"
    )


@pytest.mark.parametrize(
    ("size", "shown"), [(1, 200), (28, 196), (64, 192), (96, 192), (128, 128), (256, 256), (900, 256)]
)
def test_small_pictures_grow_by_a_whole_factor_and_large_ones_shrink(size, shown):
    left, top, right, bottom = box(sheets.sheet([[plain(size, size, RED)]], ["x"], "t"), RED)
    assert (right - left, bottom - top) == (shown, shown)


def test_enlarged_pixels_stay_sharp():
    checker = np.where(np.indices((32, 32)).sum(axis=0)[..., None] % 2, RED, BLUE).astype(np.uint8)
    page = np.asarray(sheets.sheet([[checker]], ["x"], "t"))
    left, top, right, bottom = box(Image.fromarray(page), RED)
    colors = {tuple(c) for c in page[top:bottom, left:right].reshape(-1, 3).tolist()}
    assert colors == {RED, BLUE}


def test_pictures_of_differing_sizes_and_gray_ones():
    rows = [[plain(300, 200, RED), plain(40, 1000, BLUE)], [np.full((100, 100, 1), 77, np.uint8)] * 2]
    page = sheets.sheet(rows, ["one", "two"], "t")
    left, top, right, bottom = box(page, RED)
    assert (right - left, bottom - top) == (171, 256)
    left, top, right, bottom = box(page, BLUE)
    assert right - left == 640  # a panorama does not push the page apart
    left, top, right, bottom = box(page, (77, 77, 77))
    assert bottom - top == 256


def test_rows_must_fit_the_headers():
    with pytest.raises(ValueError, match="a sheet needs rows of 2 pictures"):
        sheets.sheet([[plain(8, 8, RED)]], ["a", "b"], "t")
    with pytest.raises(ValueError, match="a sheet needs rows of 1 pictures"):
        sheets.sheet([], ["a"], "t")


def test_save_is_whole_or_not_at_all(tmp_path, monkeypatch):
    page = sheets.sheet([[plain(8, 8, RED)]], ["x"], "t")
    sheets.save(page, tmp_path / "new" / "s.png")
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["s.png"]
    with Image.open(tmp_path / "new" / "s.png") as again:
        assert again.format == "PNG"
        assert np.array_equal(np.asarray(again), np.asarray(page))

    def half(self, path, *args, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(OSError, match="No space left"):
        sheets.save(page, tmp_path / "new" / "s.png")
    with Image.open(tmp_path / "new" / "s.png") as again:
        again.load()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["s.png"]


def test_a_wall_shows_pictures_as_they_are_from_left_to_right_and_down():
    pictures = [plain(40, 60, RED), plain(40, 60, BLUE), plain(20, 30, (0, 90, 0))]
    page = sheets.wall(pictures, ["a", "b", "c"], "zoo · 3 of them", columns=2)
    left, top, right, bottom = box(page, RED)
    assert (right - left, bottom - top) == (60, 40)
    assert box(page, BLUE)[:2] == (right + sheets.GAP, top)
    assert box(page, (0, 90, 0)) == (left, bottom + sheets.GAP + 25, left + 30, bottom + sheets.GAP + 45)
    for x, y in ((left, top), (left, bottom + sheets.GAP + 25)):
        assert (np.asarray(page)[y - 24 : y - 2, x : x + 20] < 100).any()  # a caption over each
    gray = sheets.wall([np.full((8, 8, 1), 100, np.uint8)], ["g"], "t")
    assert box(gray, (100, 100, 100))
    with pytest.raises(ValueError, match="a wall of 3 pictures needs as many captions, not 2"):
        sheets.wall(pictures, ["a", "b"], "t")

from __future__ import annotations

import io
import math
import time

import pytest
from rich.console import Console

from i2i.display import display, eval_line, losses_line

RECORD = {
    "event": "losses", "images": 2000, "steps": 2000, "seconds": 48.0, "images_per_second": 41.2, "data_wait": 0.012,
    "lr": {"D": 1e-4, "G": 2e-4}, "D/real": 0.52, "D/fake": 0.49, "G/gan": 0.71, "G/l1": 21.3,
}  # fmt: skip


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=100, height=30)


def test_plain_line():
    assert losses_line(RECORD, 80_000, 41.2) == (
        "   2,000 / 80,000 images   41.2 images/s   D real 0.52 fake 0.49 · G gan 0.71 l1 21.3   wait 1 %   ETA 0:31:33"
    )


def test_lines_are_never_wrapped_and_markup_is_plain_text():
    with display(80_000, "[red]title[/red]", console=plain()) as show:
        show.update({**RECORD, "D/[bold]x": 1.0})
        show.note("saved runs/[a]/b")
    lines = show.console.file.getvalue().splitlines()
    assert lines[0] == "[red]title[/red]"
    assert "[bold]x 1.00" in lines[1]
    assert lines[2:] == ["saved runs/[a]/b"]


def test_one_line_per_interval_and_always_the_last():
    with display(300, "t", line_seconds=1000.0, console=plain()) as show:
        for images in (100, 200, 300):
            show.update({**RECORD, "images": images})
    lines = show.console.file.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["t", "100", "300"]


def test_eval_and_sheet_records_do_not_disturb_the_losses():
    with display(80_000, "t", console=plain(), line_seconds=0) as show:
        show.update(RECORD)
        show.update(
            {"event": "eval", "images": 2000, "split": "val", "n": 64, "psnr_rgb": 21.437, "psnr_rgb_input": 14.2}
        )
        show.update({"event": "sheet", "images": 2000, "file": "sheets/00002000.png"})
        show.update({"event": "save", "images": 2000, "folder": "x"})
    lines = show.console.file.getvalue().splitlines()
    assert lines[2:] == ["  val, 64 pictures: psnr_rgb 21.44 (copy of the input 14.2)"]


def test_terminal_shows_everything():
    with display(80_000, "cyclegan on apple2orange", console=terminal()) as show:
        show.update(RECORD)
        show.update({"event": "sheet", "images": 2000, "file": "sheets/00002000.png"})
        show.update({"event": "eval", "split": "val", "n": 64, "psnr_rgb": 21.4})
        show.note("a note above")
    text = show.console.file.getvalue()
    for word in ("cyclegan on apple2orange", "2,000 / 80,000", "41.2 images/s", "wait 1 %", "ETA 0:31:33", "l1 21.3",
                 "lr 2.0e-04", "sheets/00002000.png", "psnr_rgb 21.4", "a note above"):  # fmt: skip
        assert word in text, word


def test_ctrl_c_passes_and_gives_the_cursor_back():
    show = display(100, "t", console=terminal())

    def train() -> None:
        with show:
            show.update(RECORD)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    text = show.console.file.getvalue()
    assert text.count("\x1b[?25h") == text.count("\x1b[?25l") == 1
    assert text.rstrip().endswith("\x1b[?25h")


def test_quiet_says_nothing(capsys):
    with display(100, "t", quiet=True) as show:
        show.update(RECORD)
        show.note("x")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("console", [plain, terminal])
@pytest.mark.parametrize(
    "record",
    [{}, {"images": 5}, {"images": None, "D/real": None, "lr": 3}, {"D/real": math.nan, "images_per_second": math.inf}],
)
def test_strange_records_do_not_stop_a_training(console, record):
    with display(0, "t", console=console(), line_seconds=0) as show:
        show.update(record)
    if "D/real" in record:
        assert "nan" in show.console.file.getvalue()


def test_eval_line_without_a_copy():
    assert eval_line({"event": "eval", "images": 5, "split": "test", "fid": 61.25}) == "test: fid 61.25"


def test_an_update_is_cheap():
    with display(80_000, "t", console=terminal()) as show:
        began = time.process_time()
        for _ in range(20):
            show.update(RECORD)
    assert (time.process_time() - began) / 20 < 0.05

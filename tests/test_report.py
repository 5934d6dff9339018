from __future__ import annotations

import json
import math
import random
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from i2i import charts, report
from i2i.errors import I2IError
from i2i.log import RunLog

HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(2)>"'&"""

RECIPE = """\
# a comment
method:
  name: cyclegan
data:
  dataset: apple2orange
train:
  images: 80000
"""


def sheet(path: Path, seed: int, size: tuple[int, int] = (320, 120)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.radial_gradient("L").resize(size).convert("RGB")
    picture.paste(((seed * 40) % 256, 90, 200), (0, 0, size[0] // 2, size[1]))
    picture.save(path)


def record(images: int, rng: random.Random) -> dict:
    part = images / 80_000
    return {
        "images": images, "steps": images, "seconds": images / 41.0,
        "images_per_second": rng.gauss(41, 1.5), "data_wait": abs(rng.gauss(0.01, 0.01)),
        "lr": {"G": 2e-4 * min(1, 2 - 2 * part), "Da": 1e-4, "Db": 1e-4},
        "Da/real": abs(rng.gauss(0.12, 0.05)), "Da/fake": abs(rng.gauss(0.1, 0.04)),
        "Db/real": abs(rng.gauss(0.14, 0.05)), "Db/fake": abs(rng.gauss(0.12, 0.04)),
        "G/gan_a": abs(rng.gauss(0.4 + 0.3 * part, 0.1)), "G/gan_b": abs(rng.gauss(0.45 + 0.2 * part, 0.1)),
        "G/cycle": 4 * math.exp(-3 * part) + abs(rng.gauss(0.8, 0.2)), "G/identity": 2 * math.exp(-4 * part) + 0.3,
    }  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """A finished run with everything in it, resumed once."""
    folder, rng = tmp_path / "apples", random.Random(0)
    folder.mkdir()
    (folder / "recipe.yaml").write_text(RECIPE)
    with RunLog(folder / "log.jsonl") as log:
        log.write(
            "start",
            time=1_790_000_000.0,
            images=0,
            recipe="cyclegan-apple2orange",
            device="cuda",
            version="0.1.0",
            torch="2.14",
        )
        for images in range(400, 80_001, 400):
            log.write("losses", **record(images, rng))
            if images % 8000 == 0:
                log.write("eval", images=images, split="test", n=64, psnr_rgb=14 + images / 16_000, psnr_rgb_input=13.5)
                sheet(folder / "sheets" / f"{images:08d}.png", images // 8000)
                log.write("sheet", images=images, file=f"sheets/{images:08d}.png")
            if images == 32_000:
                log.write("resume", time=1_790_005_000.0, images=images, device="cuda")
        log.write("end", time=1_790_009_000.0, images=80_000)
    return folder


class Page(HTMLParser):
    """A page taken apart: tags must close in order."""

    VOID = frozenset({"meta", "link", "img", "input", "path", "br"})

    def __init__(self, text: str):
        super().__init__()
        self.text, self.tags, self.open, self.words = text, [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.words += data + " "

    def all(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


def page(folder: Path) -> Page:
    return Page(report.write(folder).read_text("utf-8"))


def test_a_whole_run(run):
    assert report.write(run) == run / "report.html"
    found = page(run)
    for words in (
        "apples",
        "cyclegan",
        "apple2orange",
        "finished",
        "80,000",
        "0:32:31",
        "How to read this",
        "2026-09-21",
    ):
        assert words in found.words, words
    charts_drawn = [a["data-end"] for a in found.all("figure") if a.get("class") == "chart"]
    assert len(charts_drawn) == 1 + 3 + 3  # eval; Da, Db, G; rate, speed, wait
    assert len(found.all("img")) == 10
    assert all(i["alt"].startswith("Sample sheet after ") for i in found.all("img"))
    assert all(s["role"] == "img" and s["aria-label"] for s in found.all("svg"))
    assert sum(a.get("class") == "mark" for a in found.all("path")) == 7  # the resume, on every chart
    assert "copied input" in found.words
    assert "higher is better" in found.words
    assert len(found.all("table")) == 2
    assert [p.name for p in run.iterdir() if p.name.startswith(".")] == []


def test_nothing_is_asked_of_the_network(run):
    found = page(run)
    text = re.sub(r"data:image/\w+;base64,[\w+/=]+", "", found.text)
    assert not re.search(r"https?:|['\"(]//|@import|url\(|fetch\(|XMLHttp|import\(", text)
    for _, attrs in found.tags:
        for key in ("src", "href", "srcset", "action", "poster"):
            assert attrs.get(key, "data:").startswith("data:")
    (policy,) = [m["content"] for m in found.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert found.all("link") == [{"rel": "icon", "href": "data:,"}]


def test_hostile_words_stay_words(run):
    (run / "recipe.yaml").write_text(
        json.dumps({"method": {"name": HOSTILE}, "data": {"dataset": HOSTILE}, HOSTILE: 1})
    )
    plain = page(run)
    with RunLog(run / "log.jsonl") as log:
        log.write("start", time=HOSTILE, device=HOSTILE, **{HOSTILE: HOSTILE})
        log.write("losses", images=80_000, lr={HOSTILE: 0.1}, **{f"{HOSTILE}/{HOSTILE}": 0.5, "G/cycle": HOSTILE})
        log.write("eval", images=80_000, split=HOSTILE, **{HOSTILE: 1.0, f"{HOSTILE}_input": 2.0})
        log.write("sheet", images=5, file=HOSTILE)
    found = page(run)
    assert HOSTILE in found.words
    assert len(found.all("script")) == 1
    assert not any(key.startswith("on") for _, attrs in found.tags for key in attrs)
    assert len(found.all("img")) == len(plain.all("img"))


def test_a_run_whose_name_is_hostile(run):
    odd = run.rename(run.with_name("<img onerror=x>&amp;"))
    found = page(odd)
    assert "<img onerror=x>&amp;" in found.words
    assert len(found.all("img")) == 10


@pytest.mark.parametrize(
    "line",
    [
        {"event": "losses"},
        {"event": "losses", "images": "many", "G/l1": 1},
        {"event": "losses", "images": 500, "G/l1": None, "lr": 3},
        {"event": "losses", "images": 1e308, "G/l1": 1e308},
        {"event": "losses", "images": -5, "G/l1": 10**400},
        {"event": "losses", "images": 0, "G/l1": 1e-310, "seconds": 1e300},
        {"event": "losses", "images": True, "G/l1": [1], "lr": {"G": None}},
        {"event": "eval", "images": 5, "psnr_rgb": None},
        {"event": "eval", "images": 5, "fid": 0, "split": None},
        {"event": "sheet", "images": 5},
        {"event": "sheet", "images": 5, "file": "../../secret.png"},
        {"event": "sheet", "images": 5, "file": "a\0b"},
        {"event": "sheet", "images": 5, "file": "sheets/broken.png"},
        {"event": "start", "time": 1e30, "version": {"torch": "2"}},
        {"event": "resume"},
        {"event": "end"},
        {"event": "?", "images": {}},
    ],
)
def test_any_line_leaves_a_page(tmp_path, line):
    folder = tmp_path / "run"
    sheet(tmp_path / "secret.png", 1)
    (folder / "sheets").mkdir(parents=True)
    (folder / "sheets" / "broken.png").write_bytes(b"\x89PNG")
    (folder / "log.jsonl").write_text(json.dumps(line) + "\n")
    found = page(folder)
    assert "run" in found.words
    assert "nan" not in "".join(a.get("d") or "" for a in found.all("path"))
    assert found.all("img") == []


def test_an_empty_log(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    found = page(tmp_path)
    assert "No sample sheet has been written yet." in found.words
    assert "Nothing has been logged yet." in found.words


def test_only_a_recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    assert "# a comment" in page(tmp_path).words


def test_a_recipe_that_is_not_yaml_is_still_shown(tmp_path):
    (tmp_path / "recipe.yaml").write_text("a: [1")
    assert "a: [1" in page(tmp_path).words


def test_a_run_that_was_cut_off(run):
    lines = (run / "log.jsonl").read_text().splitlines()[:60]
    (run / "log.jsonl").write_text("\n".join(lines) + '\n{"event": "losses", "ima')
    found = page(run)
    assert "not finished at 28 %" in found.words
    assert "not finite" not in found.words


def test_losses_that_were_not_finite_are_told(run):
    with RunLog(run / "log.jsonl") as log:
        log.write("losses", images=80_400, **{"G/cycle": math.nan})
    assert "1 lines of the log hold a loss that was not finite" in page(run).words


def test_sheets_without_a_log_are_found(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    sheet(tmp_path / "sheets" / "00000200.png", 1)
    sheet(tmp_path / "sheets" / "00000100.png", 2)
    sheet(tmp_path / "sheets" / "notes.png", 3)
    assert [f["data-at"] for f in page(tmp_path).all("figure")] == ["100 images", "200 images"]


def test_many_large_sheets_stay_within_the_budget(tmp_path):
    with RunLog(tmp_path / "log.jsonl") as log:
        noise = Image.effect_noise((1000, 700), 120).convert("RGB")  # the worst case for any encoder
        noise.save(tmp_path / "first.jpg", quality=95)
        for i in range(60):
            log.write("sheet", images=100 * i, file="first.jpg" if i == 0 else f"sheets/{i}.png")
            if i:
                sheet(tmp_path / "sheets" / f"{i}.png", i, (64, 48))
    found = page(tmp_path)
    shown = [f["data-at"] for f in found.all("figure")]
    assert len(shown) == report.SHEETS
    assert shown[0] == "0 images"
    assert shown[-1] == "5,900 images"
    assert max(len(i["src"]) for i in found.all("img")) < 4 / 3 * report.SHEET_BYTES / report.SHEETS + 100
    assert "16 of 60 sheets" in " ".join(found.words.split())


def test_a_long_log_makes_a_small_page(tmp_path):
    rng = random.Random(0)
    with (tmp_path / "log.jsonl").open("w") as file:
        for i in range(100_000):
            spike = 50.0 if i == 77_777 else 0.0
            file.write(f'{{"event":"losses","images":{i * 10},"G/l1":{spike + rng.random()},"D/real":null}}\n')
    found = page(tmp_path)
    lines = [p["d"] for p in found.all("path") if p["class"].split()[0] in ("raw", "line")]
    assert len(lines) == 2
    assert all(500 < d.count("L") + d.count("M") <= 1000 for d in lines)
    assert len(found.text) < 150_000


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_not_a_run(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("I2I_RUNS", "runs")
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs" / "nowhere-2").mkdir(parents=True)
    (tmp_path / "runs" / "nowhere-2" / "log.jsonl").write_text("")
    with pytest.raises(I2IError) as e:
        report.write(Path("runs/nowhere") if folder == "nowhere" else tmp_path / "empty")
    if folder == "nowhere":
        assert str(e.value) == "runs/nowhere: no such folder; did you mean 'runs/nowhere-2'?"
    else:
        assert str(e.value) == f"{tmp_path}/empty: not a run folder (neither log.jsonl nor recipe.yaml in it)"
    assert not (tmp_path / "empty" / "report.html").exists()


def test_a_page_that_cannot_be_written_leaves_the_old_one(run, monkeypatch):
    report.write(run)
    before = (run / "report.html").read_bytes()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        report.write(run)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".report*"))


def test_the_home_folder_is_not_told(run, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/somebody"))
    (run / "recipe.yaml").write_text("data:\n  dataset: /home/somebody/pictures\n")
    found = page(run)
    assert "somebody" not in found.text
    assert "~/pictures" in found.words


def test_torch_is_not_imported(run):
    code = (
        "import sys; from pathlib import Path; from i2i import report; report.write(Path(sys.argv[1]))\n"
        "print('torch' in sys.modules)"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code, str(run)], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- charts


def test_thin_keeps_ends_and_peaks():
    points = [(float(x), 1.0) for x in range(5000)]
    points[1234], points[4321], points[2000] = (1234.0, 9.0), (4321.0, -9.0), (2000.0, None)
    kept = charts.thin(points, 100)
    assert len(kept) <= 100
    assert kept == sorted(kept)
    assert {points[0], points[-1], (1234.0, 9.0), (4321.0, -9.0)} <= set(kept)
    assert charts.thin(points[:100], 100) == points[:100]


def test_smoothed_keeps_a_constant_and_halves_a_step():
    flat = charts.smoothed([(float(x), 3.0) for x in range(1, 50)], 5, log=False)
    assert all(y == pytest.approx(3) for _, y in flat)
    step = [(x, 0.0 if x <= 1000 else 1.0) for x in range(1, 1101)]
    assert dict(charts.smoothed(step, 50, log=False))[1050] == pytest.approx(0.5, abs=1e-3)
    assert charts.smoothed([(0, 2.0), (1, None), (2, 8.0)], 1e-9, log=True) == [(0, 2.0), (2, pytest.approx(8.0))]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 80_000), (13.2, 19.9), (-3, 7e6), (0.001, 0.0011), (0, 1e-9)])
def test_ticks_are_round_and_inside(low, high):
    ticks = charts.linear_ticks(low, high)
    assert 2 <= len(ticks) <= 6
    assert all(low - 1e-9 <= t <= high * (1 + 1e-9) for t in ticks)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.5123, "0.512"),
        (0.0002, "2e-04"),
        (21.34, "21.3"),
        (1240.4, "1,240"),
        (-3.0, "-3"),
        (2.5e6, "2.5e+06"),
    ],
)
def test_numbers_as_people_write_them(value, text):
    assert charts.number(value) == text


def test_a_gap_breaks_the_line():
    drawn = charts.chart("t", [charts.Curve("c", [(0, 1.0), (1, 2.0), (2, None), (3, 1.0), (4, 1.5)])], end=4)
    (line,) = re.findall(r'class="line c0" d="([^"]+)"', drawn)
    assert line.count("M") == 2


def test_a_chart_without_values_is_empty():
    assert charts.chart("t", [charts.Curve("c", [(0, None)])], end=4) == ""

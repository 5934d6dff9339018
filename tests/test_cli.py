"""The command line: it starts at once; a mistake is one line that helps, exit code 2, and nothing half-written."""

from __future__ import annotations

import http.server
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from conftest import Command, picture
from small import small_recipe, train_small

from i2i import cli, fetch, folder, paths, runs
from i2i.methods import METHODS

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "albumentations", "kornia", "accelerate", "onnxruntime", "numpy", "PIL")


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def refused(i2i: Command, tmp_path: Path) -> Callable[..., str]:
    """What is said to a call that is refused: on stderr alone, with exit code 2, and no file is written by it."""

    def run(*words: object) -> str:
        before = files(tmp_path)
        said = i2i(*words)
        assert (said.code, said.out) == (2, ""), said
        assert files(tmp_path) == before
        assert not paths.runs().exists()
        return said.err

    return run


# -- start -------------------------------------------------------------------------------------------------------------


def commands(group: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    for name, inner in getattr(group, "commands", {}).items():
        yield from commands(inner, (*words, name))


COMMANDS = sorted(commands(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help(words: tuple[str, ...], i2i: Command) -> None:
    for option in ("--help", "-h"):
        said = i2i(*words, option)
        assert (said.code, said.err) == (0, "")
        lines = [line.strip() for line in said.out.strip().splitlines()]
        assert lines[0].startswith(" ".join(["Usage: i2i", *words]))
        assert " " in lines[2], "a command without a sentence about it"


def test_the_commands_are_those_that_people_know() -> None:
    assert {" ".join(words) for words in COMMANDS} >= {
        "train", "translate", "report", "doctor", "datasets", "datasets list", "datasets show", "datasets download",
        "datasets check", "recipes", "recipes list", "recipes show", "recipes copy", "recipes check", "models",
        "models list", "models show", "models import",
    }  # fmt: skip


def seconds_of(command: list[str]) -> float:
    """Processor time, where the system tells it: a busy machine is not a slow start."""
    try:
        import resource
    except ImportError:
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        return time.perf_counter() - began
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_answers_at_once() -> None:
    assert min(seconds_of([sys.executable, "-m", "i2i", "--help"]) for _ in range(5)) < 0.4


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["recipes", "list"],
        ["datasets", "list"],
        ["datasets", "show", "facades"],
        ["models", "list"],
        ["train", "--resume", "nowhere"],
    ],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_before_it_is_needed(words: list[str]) -> None:
    code = (
        f"import sys; sys.argv = ['i2i', *{words!r}]; from i2i import cli\n"
        "try: cli.main()\n"
        f"finally: print('loaded:', *({set(HEAVY)!r} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "loaded:"


def test_version(i2i: Command) -> None:
    import i2i as package

    assert i2i("--version").out == f"i2i {package.__version__}\n"


# -- mistakes ----------------------------------------------------------------------------------------------------------


def test_train_without_words(refused: Callable[..., str]) -> None:
    assert refused("train") == (
        "error: train takes one method or recipe, like i2i train cyclegan --dataset apple2orange "
        "(i2i recipes list shows all)\n"
    )
    assert refused("train", "cyclegan", "apple2orange") == (
        "error: train takes one method or recipe, not cyclegan and apple2orange (i2i recipes list shows all)\n"
    )
    assert refused("train", "cyclegan") == (
        "error: train cyclegan on what? --dataset NAME (i2i datasets list shows all) or --dataset ./my_folder\n"
    )


def test_a_wrong_recipe_key(refused: Callable[..., str], pairs: Path, tmp_path: Path) -> None:
    assert refused("train", "pix2pix", "--dataset", "./pairs", "watch.sheet_image=3") == (
        "error: override watch.sheet_image=3: watch.sheet_image: unknown key; did you mean 'sheet_images'? (known "
        "here: log_images, sheet_images, eval_images, save_images, sheet_rows, eval_count, metrics, keep, trackers)\n"
    )
    mine = tmp_path / "mine.yaml"
    mine.write_text("method: {name: pix2pix}\ndata: {dataset: ./pairs}\ntrain:\n  images: 8\n  sede: 1\n")
    line = (
        "error: mine.yaml:5: train.sede: unknown key; did you mean 'seed'? (known here: images, accumulate, seed, "
        "optimizer, rates, decay_from, clip_norm, ema_halflife_images, precision, recompute, channels_last, compile, "
        "deterministic)\n"
    )
    assert refused("train", "mine.yaml") == refused("recipes", "check", "mine.yaml") == line


def test_a_wrong_method_or_recipe(refused: Callable[..., str]) -> None:
    assert refused("train", "cyclegna", "--dataset", "facades") == (
        "error: no method or recipe 'cyclegna'; did you mean 'cyclegan'? "
        f"(methods: {', '.join(sorted(METHODS))}; i2i recipes list shows all recipes)\n"
    )
    assert refused("train", "other.yaml") == "error: other.yaml: no such recipe file\n"
    assert refused("recipes", "show", "pix2pix-facade") == (
        "error: no recipe 'pix2pix-facade'; did you mean 'pix2pix-facades'? (i2i recipes list shows all)\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        ("train", "pix2pix", "--dataset", "facade"),
        ("datasets", "show", "facade"),
        ("datasets", "download", "facade"),
        ("datasets", "check", "facade"),
    ],
    ids=" ".join,
)
def test_a_wrong_data_set_name(words: tuple[str, ...], refused: Callable[..., str]) -> None:
    assert refused(*words) == (
        "error: no data set is called 'facade'; did you mean 'facades'? ('i2i datasets list' shows all; a folder of "
        "your own is given as a path: ./folder)\n"
    )


@pytest.mark.parametrize(
    "words", [("train", "cyclegan", "--dataset", "./nowhere"), ("datasets", "check", "./nowhere")], ids=" ".join
)
def test_a_missing_folder(words: tuple[str, ...], refused: Callable[..., str]) -> None:
    assert refused(*words) == "error: ./nowhere: no such folder\n"


def test_a_folder_that_holds_no_pictures(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.txt").write_text("x")
    said = refused("train", "cyclegan", "--dataset", "./notes")
    assert said.startswith(f"error: no pictures in {tmp_path / 'notes'}: looked for .")
    assert said.endswith("; found only .txt\n")


def test_resuming_what_is_no_run(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refused("train", "--resume", "empty") == "error: empty: not a run (recipe.yaml is missing)\n"
    assert refused("train", "--resume", "nowhere") == "error: nowhere: not a run (recipe.yaml is missing)\n"
    assert refused("train", "pix2pix", "--resume", "empty") == (
        "error: --resume goes on with a run as it is: only overrides like train.images=... go with it\n"
    )


def test_a_recipe_is_not_copied_onto_another_file(i2i: Command, refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("precious")
    assert refused("recipes", "copy", "pix2pix-maps", "mine.yaml") == "error: mine.yaml: exists; nothing was written\n"
    assert (tmp_path / "mine.yaml").read_text() == "precious"
    assert "cannot be written" in refused("recipes", "copy", "pix2pix-maps", "no/such/folder/mine.yaml")
    said = i2i("recipes", "copy", "pix2pix-maps")
    assert said.out == "pix2pix-maps.yaml: change it, then: i2i train pix2pix-maps.yaml\n"
    assert (tmp_path / "pix2pix-maps.yaml").read_bytes() == (paths.data("recipes") / "pix2pix-maps.yaml").read_bytes()


def test_a_report_of_what_is_no_run(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert refused("report", "empty") == "error: empty: not a run folder (neither log.jsonl nor recipe.yaml in it)\n"
    assert refused("report", "nowhere") == "error: nowhere: no such folder\n"
    (tmp_path / "page.html").touch()
    assert refused("report", "page.html") == "error: page.html: a file, and no run folder\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["translate", "p.png"], "missing option '--model' / '-m' (i2i translate --help)"),
        (["translate", "p.png", "--model", "facades", "--resize", "0"], "(i2i translate --help)"),
        (["zoo", "run", "--images", "few"], "(i2i zoo run --help)"),
        (["train", "--nope"], "(i2i train --help)"),
        (["nope"], "(i2i --help)"),
        (["compare", "facades", "--seeds", ""], "--seeds '': whole numbers with commas between them, like 0,1,2"),
        (["translate", "p.png", "--model", "facades", "--seed", "-1"], "seed -1: seeds are 0 or more"),
        (["translate", "p.png", "--model", "http://there.org/x"], "i2i models import http://there.org/x makes a model"),
        (["datasets", "download", "shapes", "--mirror", "nowhere"], "mirror nowhere: no such folder"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_a_wrong_word_is_one_line(words: list[str], said: str, refused: Callable[..., str]) -> None:
    """Also where the parser of options refuses it."""
    lines = refused(*words).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert said in lines[0]


def test_a_command_without_words_shows_its_help(i2i: Command) -> None:
    said = i2i("zoo")
    assert (said.out + said.err).startswith("Usage: i2i zoo ")  # where, and with which exit code, is up to typer


# -- downloads ---------------------------------------------------------------------------------------------------------

CARD = """\
name: houses
title: Houses
about: {{homepage: "https://example.org", licence: MIT, cite: me}}
kind: paired
domains: [plan, photo]
layout: side-by-side
files: [{{name: houses.zip, urls: ["{url}"]}}]
"""


@pytest.fixture
def houses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A card, the only one there is, whose file lies at an address; nobody waits between two attempts."""
    monkeypatch.setattr(paths, "data", lambda kind: tmp_path / "packaged" / kind)
    assert fetch.download.__kwdefaults__
    monkeypatch.setitem(fetch.download.__kwdefaults__, "sleep", lambda seconds: None)

    def at(url: str) -> None:
        card = tmp_path / "packaged/datasets/houses.yaml"
        card.parent.mkdir(parents=True)
        card.write_text(CARD.format(url=url))

    return at


def test_a_download_that_nobody_answers(refused: Callable[..., str], houses: Callable[[str], None]) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{s.getsockname()[1]}/houses.zip"  # bound, but nobody listens
        houses(url)
        said = refused("datasets", "download", "houses")
    assert said.startswith(f"error: houses.zip could not be had: {url}: no answer (")
    assert said.endswith(
        "(tried 4 times). Try again later (what has arrived is kept), or give a copy of your own: --from-file FILE or "
        "--mirror FOLDER\n"
    )
    assert said.count("\n") == 1
    assert refused("datasets", "check", "houses") == (
        "error: houses: not downloaded yet: i2i datasets download houses\n"
    )


@contextmanager
def slow_server(started: threading.Event) -> Iterator[str]:
    """Sends half of a file and then nothing."""
    over = threading.Event()

    class Half(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2000000")
            self.end_headers()
            self.wfile.write(b"x" * 1_000_000)
            self.wfile.flush()
            started.set()
            over.wait(30)

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Half)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        over.set()
        server.shutdown()
        server.server_close()


def test_a_killed_download_leaves_nothing_that_looks_complete(refused: Callable[..., str]) -> None:
    started = threading.Event()
    with slow_server(started) as url:
        command = [sys.executable, "-m", "i2i", "datasets", "download", "facades", "--mirror", url]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert started.wait(60)
        finally:
            process.kill()
            process.wait()
    assert not (paths.cache() / "datasets/facades").exists()
    said = refused("datasets", "check", "facades")
    assert said == "error: facades: not downloaded yet: i2i datasets download facades\n"


# -- training and translating ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has seen four pictures."""
    home = tmp_path_factory.mktemp("trained")
    for side in "AB":
        (home / "houses/train" / side).mkdir(parents=True)
        for n in range(4):
            picture(n, inverted=side == "B").save(home / "houses/train" / side / f"{n}.png")
    wanted = small_recipe("pix2pix", home / "houses", images=4, watch={"save_images": 4, "log_images": 2})
    return train_small(home / "run", wanted)


def test_a_corrupt_picture_stops_a_training_that_can_go_on(i2i: Command, pairs: Path, tmp_path: Path) -> None:
    bad = pairs / "train/A/3.png"
    whole = bad.read_bytes()
    bad.write_bytes(whole[:60])
    small_recipe("pix2pix", "./pairs", images=12).write(tmp_path / "r.yaml")
    said = i2i("train", "r.yaml", "--out", "mine", "-q")
    assert (said.code, said.out) == (2, "")
    assert said.err == f"error: {bad}: not a readable picture (the file is truncated)\n"
    assert not [f for f in files(tmp_path / "mine") if "draft" in f or ".part" in f or ".new" in f]
    bad.write_bytes(whole)
    assert runs.checkpoints(tmp_path / "mine")
    assert i2i("train", "--resume", "mine", "-q").code == 0
    assert folder.read_info(tmp_path / "mine/model").images == 12


def test_a_corrupt_picture_stops_no_others(i2i: Command, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for n in range(3):
        picture(n, size=50).save(tmp_path / f"new/{n}.png")
    (tmp_path / "new/1.png").write_bytes(b"no picture")
    said = i2i("translate", "new", "--model", trained, "--out", "out", "--sheet")
    assert said.code == 1
    assert said.err == (
        "failed: new/1.png: not a readable picture (not a picture, or of a kind that Pillow does not know)\n"
    )
    assert said.out == "translated 2 of 3: out\nbefore and after: out/before-after-001.png\n"
    assert files(tmp_path / "out") == {"0.png", "2.png", "before-after-001.png"}


def test_translate_refuses_before_it_begins(i2i: Command, trained: Path, tmp_path: Path) -> None:
    picture(1).save(tmp_path / "a.png")

    def said(*words: object) -> str:
        before, said = files(tmp_path), i2i("translate", *words)
        assert (said.code, said.out) == (2, "")
        assert files(tmp_path) == before
        return said.err

    model = ("--model", trained)
    for word in ("b2a", "sideways"):
        assert said("a.png", *model, "--direction", word) == (
            f"error: {trained / 'model'}: this model translates a -> b (a2b) only, not {word!r}\n"
        )
    assert said("b.png", *model) == "error: nothing to translate: b.png: no such file or folder\n"
    assert said("a.png", *model, "--format", "gif") == (
        "error: unknown format 'gif'; did you mean 'tiff'? (one of png, jpg, webp, tiff, bmp, avif, npy)\n"
    )
    assert i2i("translate", "a.png", *model).out == "translated 1 of 1: out/a.png\n"
    assert said("a.png", *model) == (
        "error: out/a.png: exists already: choose another --out, or say --skip-existing or --overwrite\n"
    )


def test_an_unknown_model_is_told_with_the_near_names(
    i2i: Command, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("I2I_RUNS", str(trained.parent))
    for words in (("translate", "a.png", "--model", "ruin"), ("models", "show", "ruin")):
        said = i2i(*words)
        assert said.code == 2
        assert said.err.startswith("error: no model 'ruin'")
        assert "did you mean 'run'?" in said.err
        assert "houses" in said.err
        assert said.err.count("\n") == 1


# -- and when all is well ----------------------------------------------------------------------------------------------


def test_what_is_here(i2i: Command, trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert i2i("models", "list").out.splitlines()[1].split()[:3] == ["facades", "pix2pix", "facades"]  # i2i brings it
    monkeypatch.setenv("I2I_RUNS", str(trained.parent))
    assert i2i("models", "list").out.splitlines()[1].split()[:3] == ["run", "pix2pix", "houses"]
    assert ["images", "seen", "4"] in [line.split() for line in i2i("models", "show", "run").out.splitlines()]
    assert i2i("report", trained).out == f"{trained / 'report.html'}\n"
    assert i2i("doctor").code == 0


def test_data_sets(i2i: Command, pairs: Path) -> None:
    listed = i2i("datasets", "list").out.splitlines()
    names = {p.stem for p in paths.data("datasets").glob("*.yaml")}
    assert {line.split()[0] for line in listed[1:]} == names
    assert "licence" in i2i("datasets", "show", "facades").out
    said = i2i("datasets", "check", "./pairs")
    assert (said.code, said.err) == (0, "")
    (pairs / "train/B/2.png").write_bytes(b"")
    said = i2i("datasets", "check", "./pairs")
    assert said.code == 1
    assert "train/B/2.png" in said.out


def test_recipes(i2i: Command) -> None:
    listed = i2i("recipes", "list").out.splitlines()
    names = {p.stem for p in paths.data("recipes").glob("*.yaml")}
    assert {line.split()[0] for line in listed[1:]} == names
    text = (paths.data("recipes") / "cyclegan-folder.yaml").read_text(encoding="utf-8")
    assert i2i("recipes", "show", "cyclegan-folder").out == text
    assert i2i("recipes", "check", "cyclegan-folder").out.endswith(": fine (cyclegan on ./my_folder, 200,000 images)\n")


def test_train_from_the_command_line(i2i: Command, pairs: Path, tmp_path: Path) -> None:
    small_recipe("pix2pix", "./pairs", images=2).write(tmp_path / "r.yaml")
    said = i2i("train", "r.yaml", "--out", "mine", "watch.sheet_images=2", "watch.eval_images=2", "--seed", "3")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("pix2pix on pairs → mine\n")
    assert re.search(r"trained 2 images in \d min \d\d s, \d+\.\d % of it waiting for data\n", said.out)
    for line in ("sheet      mine/sheets/00000002.png", "report     mine/report.html"):
        assert line in said.out
    assert "  translate  i2i translate PICTURE --model mine\n" in said.out
    assert "  seed: 3\n" in (tmp_path / "mine/recipe.yaml").read_text(encoding="utf-8")
    said = i2i("train", "r.yaml", "--out", "mine")
    assert said.err == (
        "error: mine: exists and is not empty: i2i train --resume mine goes on with it, or choose another --out\n"
    )

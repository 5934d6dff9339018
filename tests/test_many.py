"""Files and folders: all of them, each once, none overwritten, and a bad one stops no others."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from models_for_tests import make_model
from PIL import Image

from i2i import writing
from i2i.errors import DataError, UsageError
from i2i.many import translate_many
from i2i.translator import load


def same(path: str | Path, expected: Image.Image) -> bool:
    """Equal, but for single steps where pictures that ran together were rounded otherwise than alone."""
    with Image.open(path) as image:
        a, b = np.asarray(image).astype(int), np.asarray(expected).astype(int)
    return a.shape == b.shape and np.abs(a - b).max() <= 1 and (a != b).mean() < 0.01


@pytest.fixture(scope="module")
def translate(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m"
    make_model(path)
    return load(path)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def draw(*names: str, size: tuple[int, int] = (10, 8)) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        seed = sum(name.encode())
        pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(name)


def tree(folder: str) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file())


def test_files_are_the_same_pixels_as_in_python(translate, here):
    draw("a.png", "b.bmp")
    outcome = translate_many(translate, ["a.png", "b.bmp"], "out")
    assert outcome.done == [(Path("a.png"), Path("out/a.png")), (Path("b.bmp"), Path("out/b.png"))]
    assert outcome.failed == outcome.sheets == []
    for name in ("a.png", "b.bmp"):
        assert same(Path("out", name).with_suffix(".png"), translate(name))
    assert not same("out/a.png", translate("b.bmp"))


def test_a_folder_keeps_its_tree_and_gives_all_its_pictures(translate, here):
    draw("in/x.png", "in/deep/er/y.jpg", "in/Z.JPG", "in/.hidden.png", "in/.cache/h.png")
    draw(*(f"in/n/{i}.png" for i in range(60)))
    Path("in/notes.txt").write_text("no picture")
    seen = []
    outcome = translate_many(translate, ["in"], "out", progress=lambda *step: seen.append(step))
    assert tree("out") == sorted(["x.png", "deep/er/y.png", "Z.png", *(f"n/{i}.png" for i in range(60))])
    assert outcome.failed == []
    assert [done for done, _, _ in seen] == list(range(1, 64))
    assert {total for _, total, _ in seen} == {63}


def test_names_never_collide(translate, here):
    draw("in/x.png", "in/x.jpg", "more/x.png", "X.png", "one/pics/p.png", "two/pics/p.png")
    translate_many(translate, ["in/x.png", "in/x.jpg", "more/x.png", "X.png", "in/x.png"], "files")
    assert tree("files") == ["X-4.png", "x-2.png", "x-3.png", "x.png"]  # the one given twice is done once
    translate_many(translate, ["in", "more"], "folders")
    assert tree("folders") == ["in/x-2.png", "in/x.png", "more/x.png"]
    translate_many(translate, ["one/pics", "two/pics"], "same")
    assert tree("same") == ["pics/p-2.png", "pics/p.png"]


def test_an_input_is_never_overwritten(translate, here):
    draw("in/x.png")
    before = Path("in/x.png").read_bytes()
    for paths, out in ((["in"], "in"), (["in/x.png"], "in"), (["in/x.png"], "in/x.png")):
        with pytest.raises(UsageError) as e:
            translate_many(translate, paths, out, overwrite=True)
        assert str(e.value) == (
            f"{Path('in/x.png')}: is one of the pictures to translate, it would be overwritten: choose another --out"
        )
    assert Path("in/x.png").read_bytes() == before


def test_nothing_is_overwritten_unless_asked(translate, here):
    draw("in/x.png", "in/y.png")
    translate_many(translate, ["in"], "out")
    Path("out/x.png").write_text("precious")
    with pytest.raises(UsageError) as e:
        translate_many(translate, ["in"], "out")
    assert str(e.value) == (
        f"{Path('out/x.png')}: exists already (and 1 more): choose another --out, or say --skip-existing or --overwrite"
    )
    assert Path("out/x.png").read_text() == "precious"
    translate_many(translate, ["in"], "out", overwrite=True)
    assert same("out/x.png", translate("in/x.png"))


def test_results_inside_the_input_folder_are_not_translated_again(translate, here):
    draw("x.png")
    translate_many(translate, ["."], "out")
    translate_many(translate, ["."], "out", overwrite=True)
    assert tree("out") == ["x.png"]


def test_bad_pictures_are_named_and_the_others_done(translate, here, monkeypatch):
    draw("in/a.png", "in/c.png")
    Path("in/b.png").write_bytes(b"not a picture")
    Path("in/d.png").write_bytes(b"")
    Path("empty").mkdir()
    for batch in (1, 3):
        monkeypatch.setattr(translate.engine, "batch", batch)
        outcome = translate_many(translate, ["in", "gone.png", "empty"], f"out{batch}", sheet=True)
        assert [source.name for source, _ in outcome.done] == ["a.png", "c.png"]
        assert [line.partition(":")[0] for line in outcome.failed] == ["gone.png", "empty", "in/b.png", "in/d.png"]
        assert outcome.failed[0] == "gone.png: no such file or folder"
        assert outcome.failed[1].startswith("empty: no pictures in this folder (looked for .avif, ")
        assert all("\n" not in line for line in outcome.failed)


def test_a_picture_too_large_for_the_memory_is_named(translate, here, monkeypatch):
    draw("a.png")

    def full(x):
        raise DataError("8 x 10 pixels are too many")

    monkeypatch.setattr(translate.engine, "run", full)
    assert translate_many(translate, ["a.png"], "out").failed == ["a.png: 8 x 10 pixels are too many"]
    assert tree("out") == []


def test_a_failed_write_is_named_and_leaves_nothing(translate, here, monkeypatch):
    draw("a.png")

    def full(self, path, *args, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    target = Path("out/a.png")
    assert translate_many(translate, ["a.png"], "out").failed == [
        f"{target}: cannot be written (No space left on device)"
    ]
    assert tree("out") == []


def test_a_page_that_cannot_be_written_is_named(translate, here, monkeypatch):
    draw(*(f"in/{i:02}.png" for i in range(9)))
    save = writing.save

    def full(image, path, quality):
        if path.name == "before-after-001.png":
            raise OSError(28, "No space left on device")
        save(image, path, quality)

    monkeypatch.setattr(writing, "save", full)
    outcome = translate_many(translate, ["in"], "out", sheet=True)
    assert len(outcome.done) == 9
    assert outcome.failed == [f"{Path('out/before-after-001.png')}: cannot be written (No space left on device)"]
    assert outcome.sheets == [Path("out/before-after-002.png")]


@pytest.mark.parametrize(("format", "kind"), [("webp", "WEBP"), ("jpg", "JPEG")])
def test_a_picture_that_the_format_cannot_hold_stops_no_others(translate, here, monkeypatch, format, kind):
    draw("in/a.png", "in/c.png")
    Image.new("RGB", (70000, 2)).save("in/b.png")
    monkeypatch.setattr(translate.engine, "run", lambda x: x)
    outcome = translate_many(translate, ["in"], "out", format=format, sheet=True)
    assert [source.name for source, _ in outcome.done] == ["a.png", "c.png"]
    (line,) = outcome.failed
    assert line.startswith(f"{Path('out', f'b.{format}')}: {kind} cannot hold this picture of 70000 x 2 pixels (")
    assert line.endswith("): choose png, or make it smaller")
    assert tree("out") == [f"a.{format}", "before-after-001.png", f"c.{format}"]


@pytest.mark.parametrize("error", [ValueError("bad"), SystemError("bad"), OSError("bad")])
def test_whatever_the_encoder_says_is_one_clear_line(here, monkeypatch, error):
    def fail(self, path, *args, **options):
        raise error

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(DataError) as e:
        writing.save(Image.new("L", (3, 2)), Path("x.png"))
    assert str(e.value) == "x.png: PNG cannot hold this picture of 3 x 2 pixels (bad): choose png, or make it smaller"


def test_a_place_that_cannot_be_written_is_told_before_any_work(translate, here, monkeypatch):
    draw("a.png")
    Path("file").write_text("x")
    monkeypatch.setattr(translate.engine, "run", None)  # would fail if it were called
    for out in ("file/x", "file/x/y.png", "file/y.png", "x" * 300):
        with pytest.raises(UsageError) as e:
            translate_many(translate, ["a.png"], out)
        assert str(e.value).startswith(out.removesuffix("/y.png").replace("/", os.sep))
        assert ": nothing can be written there (" in str(e.value)
        assert str(e.value).endswith("): choose another --out")


def test_a_folder_that_may_not_be_written(translate, here, monkeypatch):
    draw("a.png")

    def forbidden(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", forbidden)
    with pytest.raises(UsageError, match=r"^out: nothing can be written there \(Permission denied\)"):
        translate_many(translate, ["a.png"], "out")


def test_odd_names_are_told_and_stop_no_others(translate, here):
    draw("a.png")
    long = "n" * 300
    odd = ["odd/**.png", long, f"{long}/*.png", "a\0b"]
    outcome = translate_many(translate, [*odd, "a.png"], "out")
    assert [target for _, target in outcome.done] == [Path("out/a.png")]
    for name, line in zip(odd, outcome.failed, strict=True):
        assert line.startswith(f"{Path(name)}: no such file or folder")


def test_nothing_to_do(translate, here):
    Path("empty").mkdir()
    for paths, words in (
        ([], "nothing to translate: no files or folders were given"),
        (["gone.png"], "nothing to translate: gone.png: no such file or folder"),
        (["empty"], "nothing to translate: empty: no pictures in this folder (looked for .avif"),
        (["*.png"], "nothing to translate: *.png: no such file or folder"),
    ):
        with pytest.raises(UsageError) as e:
            translate_many(translate, paths, "out")
        assert str(e.value).startswith(words)
    assert not Path("out").exists()


def test_patterns_that_the_shell_did_not_expand(translate, here):
    draw("in/a.png", "in/b.png", "in/c.jpg")
    translate_many(translate, ["in/*.png"], "out")
    assert tree("out") == ["a.png", "b.png"]
    translate_many(translate, [str(here / "in" / "*.jpg")], "more")
    assert tree("more") == ["c.png"]


def test_one_file_to_one_file(translate, here):
    draw("a.png", "b.png")
    outcome = translate_many(translate, ["a.png"], "new/result.jpg", sheet=True)
    assert tree("new") == ["result-before-after.png", "result.jpg"]
    assert outcome.sheets == [Path("new/result-before-after.png")]
    with Image.open("new/result.jpg") as result:
        assert result.format == "JPEG"
    with pytest.raises(UsageError, match=r"^more.png: 2 pictures do not fit into one file: give a folder$"):
        translate_many(translate, ["a.png", "b.png"], "more.png")
    Path("file").write_text("x")
    with pytest.raises(UsageError, match=r"^file: is a file, not a folder$"):
        translate_many(translate, ["a.png"], "file")


@pytest.mark.parametrize(("format", "kind"), [("jpg", "JPEG"), ("webp", "WEBP"), ("tiff", "TIFF"), ("png", "PNG")])
def test_formats(translate, here, format, kind):
    Image.new("RGBA", (10, 8), (200, 0, 0, 0)).save("a.png")
    translate_many(translate, ["a.png"], "out", format=format)
    with Image.open(f"out/a.{format}") as result:
        assert (result.format, result.size) == (kind, (10, 8))
        assert result.mode == ("RGB" if format == "jpg" else "RGBA")
        if format == "jpg":
            assert np.asarray(result).min() == 255  # transparent becomes white


def test_unknown_formats(translate, here):
    draw("a.png")
    with pytest.raises(UsageError) as e:
        translate_many(translate, ["a.png"], "out", format="jpgg")
    assert str(e.value) == "unknown format 'jpgg'; did you mean 'jpg'? (one of png, jpg, webp, tiff, bmp, avif, npy)"
    with pytest.raises(UsageError, match=r"x.gif: pictures are written as .png, .jpg, .jpeg, .webp, .tif, .tiff"):
        writing.save(Image.new("L", (1, 1)), here / "x.gif")


def test_before_and_after_pages(translate, here):
    draw(*(f"in/{i:02}.png" for i in range(9)), size=(40, 60))
    outcome = translate_many(translate, ["in"], "out", sheet=True)
    assert outcome.sheets == [Path("out/before-after-001.png"), Path("out/before-after-002.png")]
    with Image.open(outcome.sheets[0]) as first, Image.open(outcome.sheets[1]) as second:
        assert first.width == second.width
        assert first.height > 6 * 200 > second.height
    with pytest.raises(UsageError, match="exists already"):
        translate_many(translate, ["in"], "out", sheet=True)


# -- names and what is looked at ---------------------------------------------------------------------------------------


def test_names_follow_a_pattern(translate, here):
    draw("in/x.png", "in/deep/x.png", "in/x.jpg", "in/Y.png")
    translate_many(translate, ["in"], "out", name="{stem}_{model}-{direction}", format="jpg")
    assert tree("out") == ["Y_m-a2b.jpg", "deep/x_m-a2b.jpg", "x_m-a2b-2.jpg", "x_m-a2b.jpg"]
    translate_many(translate, ["in"], "fixed", name="{{picture}}")
    assert tree("fixed") == ["deep/{picture}.png", "{picture}-2.png", "{picture}-3.png", "{picture}.png"]
    for name, said in (
        ("{stme}", "unknown field {stme}; did you mean 'stem'? (known: {stem}, {model}, {direction}; the suffix is "
         "added)"),
        ("{stem}{suffix}", "unknown field {suffix} (known: {stem}, {model}, {direction}; the suffix is added)"),
        ("{stem.__class__}", "unknown field {stem.__class__}"),
        ("{stem!r}", "unknown field {stem}"),
        ("{}", "unknown field {}"),
        ("{stem", "expected '}' before end of string: fields look like {stem}"),
        ("a/{stem}", "the name of a file is wanted, such as '{stem}_{model}'; --out says where"),
        ("..", "the name of a file is wanted"),
        ("", "the name of a file is wanted"),
    ):  # fmt: skip
        with pytest.raises(UsageError) as e:
            translate_many(translate, ["in"], "new", name=name)
        assert str(e.value).startswith(f"name {name!r}: {said}")
    assert not Path("new").exists()


def test_a_folder_without_its_folders(translate, here):
    draw("in/x.png", "in/deep/y.png")
    translate_many(translate, ["in"], "out", recursive=False)
    assert tree("out") == ["x.png"]
    draw("in/deep/er/still/z.png")
    with pytest.raises(UsageError, match=r"^nothing to translate: in/deep/er: no pictures in this folder"):
        translate_many(translate, ["in/deep/er"], "new", recursive=False)


def test_a_picture_of_one_pixel_fits_every_format(translate, here):
    """An image of one pixel has no axis to spare."""
    Image.new("RGBA", (1, 1), (200, 0, 0, 128)).save("a.png")
    for format in ("png", "jpg", "webp", "tiff", "bmp", "avif", "npy"):
        assert translate_many(translate, ["a.png"], f"out/{format}", format=format).failed == []


def test_too_little_memory_is_one_clear_line(translate, here, monkeypatch):
    draw("in/a.png", "in/b.png", size=(10, 8))
    run = translate.engine.run

    def full(x):
        if x.shape[0] > 1:
            raise MemoryError
        return run(x)

    monkeypatch.setattr(translate.engine, "run", full)
    assert translate_many(translate, ["in"], "out").failed == []  # each by itself

    def fuller(x):
        raise MemoryError

    monkeypatch.setattr(translate.engine, "run", fuller)
    assert translate_many(translate, ["in/a.png"], "more").failed == [
        "in/a.png: too large for the memory of this machine: make it smaller (resize)"
    ]

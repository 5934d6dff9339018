"""Pictures from random numbers: the same for a seed, of the class that was asked for, all of them or none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from models_for_tests import make_model, make_sampler
from PIL import Image, ImageFont

import i2i as toolkit
from i2i import folder, grids, models, nets
from i2i.bench.engines import bench
from i2i.draw_torch import load_sampler
from i2i.errors import DataError, ModelError, UsageError
from i2i.generate import generate_many
from i2i.generator import Generator
from i2i.latents import Latent

CLASSES = nets.DCGANConfig(width=8, size=(16, 12), classes=3)
STYLES = nets.StyleGAN2Config(width=8, most=1, layers=2, style=16, size=(16, 12))
GRAY = nets.MLPConfig(width=16, layers=1, size=(8, 10), outputs=1)


@pytest.fixture(scope="module")
def places(tmp_path_factory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("samplers")
    made = {name: root / name for name in ("plain", "classes", "gray", "uniform", "styles")}
    make_sampler(made["plain"])
    make_sampler(made["styles"], STYLES)
    make_sampler(made["classes"], CLASSES)
    make_sampler(made["gray"], GRAY, Latent(noise=4, prior="uniform", choices=(3,), codes=1))
    make_sampler(made["uniform"], GRAY, Latent(noise=4, prior="uniform"))
    return made


@pytest.fixture
def draw(places) -> Generator:
    return toolkit.load(places["plain"], device="cpu")


@pytest.fixture
def classes(places) -> Generator:
    return toolkit.load(places["classes"], device="cpu")


def arrays(pictures) -> np.ndarray:
    return np.stack([np.asarray(p).astype(int) for p in pictures])


# ---------------------------------------------------------------- from Python


def test_pictures_are_what_the_network_draws(places, draw):
    info = folder.read_info(places["plain"])
    z = torch.from_numpy(info.sampler.latent.numbered(5, seed=3))
    with torch.no_grad():
        expected = (load_sampler(places["plain"], info)(z) + 1) * 127.5
    drawn = draw(5, seed=3)
    assert [(p.mode, p.size) for p in drawn] == [("RGB", (12, 16))] * 5
    assert np.abs(arrays(drawn).transpose(0, 3, 1, 2) - expected.numpy()).max() <= 0.51
    assert arrays(drawn).std() > 20


def test_a_picture_of_a_seed_is_always_the_same(draw):
    many = arrays(draw(70, seed=1))
    assert np.abs(arrays(draw(3, seed=1)) - many[:3]).max() <= 1
    draw.engine.batch = 4
    assert np.abs(arrays(draw(70, seed=1)) - many).max() <= 1
    assert len({p.tobytes() for p in many}) == 70
    assert np.abs(arrays(draw(3, seed=2)) - many[:3]).max() > 20
    assert np.array_equal(arrays(draw(3)), arrays(draw(3, seed=0)))


def test_loaded_with_a_seed(places):
    drawn = toolkit.load(places["plain"], seed=4)(2)
    assert np.array_equal(arrays(drawn), arrays(toolkit.load(places["plain"])(2, seed=4)))


def test_gray_pictures_from_choices_and_codes(places):
    drawn = toolkit.load(places["gray"])(3)
    assert [(p.mode, p.size) for p in drawn] == [("L", (10, 8))] * 3


def test_all_classes_take_turns_and_one_can_be_asked_for(classes):
    turns, ones = arrays(classes(7)), arrays(classes(7, labels=1))
    assert classes.labels(7).tolist() == [0, 1, 2, 0, 1, 2, 0]
    same = [np.array_equal(a, b) for a, b in zip(turns, ones, strict=True)]
    assert same == [False, True, False, False, True, False, False]
    two = arrays(classes(7, labels=[2, 1]))
    assert np.array_equal(two[1::2], ones[1::2])
    assert np.array_equal(two[2], turns[2])


def test_truncation_cuts_what_is_drawn_from(draw):
    assert np.abs(draw.latents(50, truncation=0.5)).max() <= 0.5
    plain, cut = arrays(draw(50)), arrays(draw(50, truncation=0.2))
    assert cut.std(0).mean() < 0.5 * plain.std(0).mean()


def test_a_way_stops_at_the_pictures_of_the_seed(draw):
    stops, way = draw.latents(4, seed=5), draw.walk(13, 4, seed=5)
    assert way.shape == (13, 8)
    np.testing.assert_allclose(way[::4], stops, atol=1e-6)
    np.testing.assert_array_equal(way[6], draw.sampler.latent.between(stops[1], stops[2], 0.5))
    assert draw.walk(1, 4).shape == (1, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "0 pictures: this model draws as many as you say, 1 or more; it takes no picture"),
        ({"count": "photo.jpg"}, "'photo.jpg' pictures: this model draws as many as you say"),
        ({"seed": -1}, "seed -1: seeds are 0 or more"),
        ({"truncation": 0.0}, "truncation 0: 0.01 or more"),
        ({"truncation": float("nan")}, "truncation nan: 0.01 or more"),
        ({"labels": 3}, "classes: unknown label 3: its classes are 0 to 2"),
        ({"labels": [0, -1]}, "classes: unknown label -1: its classes are 0 to 2"),
        ({"labels": "2"}, "classes: unknown label '2': its classes are 0 to 2"),
        ({"labels": []}, "classes: no label at all: leave it out for all classes in turn"),
    ],
)
def test_what_makes_no_sense_is_said(classes, options, message):
    with pytest.raises(UsageError) as e:
        classes(**options)
    assert str(e.value).startswith(message)


def test_labels_and_truncation_where_there_are_none(places, draw):
    with pytest.raises(UsageError, match=r"^plain: knows no classes: leave the label out$"):
        draw(2, labels=0)
    with pytest.raises(UsageError, match=r"^uniform: draws from values between -1 and 1, nothing far from 0"):
        toolkit.load(places["uniform"])(2, truncation=0.7)


def test_damaged_weights_draw_nothing(draw):
    draw.engine.net.project.weight.data[0, 0] = np.nan
    with pytest.raises(ModelError, match=r"^plain: the network's answer is not finite: its weights are damaged$"):
        draw(2)


def test_a_direction_is_for_translators(places):
    with pytest.raises(ModelError, match="plain: draws pictures and has no 'a2b': i2i generate --model "):
        toolkit.load(places["plain"], direction="a2b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": [16, 16]}, "it should draw color pictures of 16 x 16, from 8 normal values, but its net"),
        ({"classes": 2}, "sampler: its network does not take what it says: "),
        ({"latent": {"noise": 9}}, "sampler: its network does not take what it says: "),
        ({"generator": {"net": "unet"}}, "sampler: no network that this i2i can build"),
    ],
)
def test_a_description_that_does_not_fit(places, tmp_path, change, message):
    make_sampler(tmp_path / "m")
    path = tmp_path / "m" / "i2i.json"
    tree = json.loads(path.read_text())
    tree["sampler"].update(change)
    path.write_text(json.dumps(tree))
    with pytest.raises(ModelError, match=message):
        toolkit.load(tmp_path / "m")


# ---------------------------------------------------------------- styles


@pytest.fixture
def styles(places) -> Generator:
    return toolkit.load(places["styles"], device="cpu")


def test_truncation_draws_styles_to_their_mean(styles):
    assert styles.sampler.styles == 2 * 1 + 2
    np.testing.assert_array_equal(styles.latents(9, truncation=0.5), styles.latents(9))
    net = styles.engine.net
    z = torch.from_numpy(styles.latents(9))
    with torch.no_grad():
        expected = (net(z, torch.full((9,), 0.5)) + 1) * 127.5
    drawn = arrays(styles(9, truncation=0.5))
    assert np.abs(drawn.transpose(0, 3, 1, 2) - expected.numpy()).max() <= 0.51
    assert arrays(styles(30, truncation=0.1)).std(0).mean() < 0.3 * arrays(styles(30)).std(0).mean()


def test_a_square_shares_first_layers_along_rows_and_last_ones_along_columns(styles, tmp_path):
    z, plain = styles.mixed(8, 1, seed=2), styles.latents(3, seed=2)
    assert z.shape == (8, 4, 8)
    for i, (row, column) in enumerate([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]):
        np.testing.assert_array_equal(z[i, :1], plain[row][None])
        np.testing.assert_array_equal(z[i, 1:], plain[column][None].repeat(3, 0))
    drawn = arrays(styles(9, seed=2, mix=1))
    assert np.abs(drawn[[0, 4, 8]] - arrays(styles(3, seed=2))).max() <= 1
    assert len({p.tobytes() for p in drawn}) == 9
    page = generate_many(styles, tmp_path, 9, seed=2, mix=1, truncation=0.7, sheet=True)
    shown = cells(Image.open(page), 3, 3).reshape(9, 16, 12, 3)
    assert np.array_equal(shown, arrays(styles(9, seed=2, mix=1, truncation=0.7)))
    assert not np.array_equal(shown, drawn)


def test_styles_that_cannot_be_mixed(styles, draw, tmp_path):
    with pytest.raises(UsageError, match=r"^plain: has no styles to mix: leave mix out$"):
        draw(4, mix=1)
    for mix in (0, 4):
        with pytest.raises(UsageError, match=f"^mix {mix}: of the 4 layers with a style, the first 1 to 3"):
            styles(4, mix=mix)
    with pytest.raises(UsageError, match=r"^mix 1: styles are mixed in a square, not on a way"):
        generate_many(styles, tmp_path, 4, mix=1, steps=2)
    with pytest.raises(UsageError, match="styles: knows no classes"):
        styles(4, mix=1, labels=0)


# ---------------------------------------------------------------- files


def test_files(classes, tmp_path):
    told = []
    assert generate_many(classes, tmp_path / "new" / "out", 5, seed=2, progress=told.append) == tmp_path / "new" / "out"
    files = sorted((tmp_path / "new" / "out").iterdir())
    assert [f.name for f in files] == [f"0000{i}.png" for i in range(5)]
    assert np.array_equal(arrays(map(Image.open, files)), arrays(classes(5, seed=2)))
    assert told == [1, 2, 3, 4, 5]


def test_one_file(draw, tmp_path):
    assert generate_many(draw, tmp_path / "one.png", 1) == tmp_path / "one.png"
    assert np.array_equal(arrays([Image.open(tmp_path / "one.png")]), arrays(draw(1)))
    with pytest.raises(UsageError, match=r"two\.png: 2 pictures do not fit into one file: give a folder, or say"):
        generate_many(draw, tmp_path / "two.png", 2)


def cells(page: Image.Image, rows: int, columns: int, names: str = "") -> np.ndarray:
    """The pictures of a grid, [rows, columns, 16, 12, 3]; ``names`` of rows are of one letter each."""
    (width, height), size = grids.shown((12, 16)), (12, 16)
    whole, bottom = np.asarray(page).astype(int), page.height - grids.MARGIN
    font = ImageFont.load_default(grids.TEXT)
    left = grids.MARGIN + (max(round(font.getlength(n)) for n in names) + 12 if names else 0)
    found = []
    for r in range(rows):
        y = bottom - (rows - r) * (height + grids.GAP) + grids.GAP
        xs = [left + c * (width + grids.GAP) for c in range(columns)]
        found.append([whole[y : y + height, x : x + width][:: height // size[1], :: width // size[0]] for x in xs])
    return np.array(found)


def test_a_sheet_is_a_square(draw, tmp_path):
    generate_many(draw, tmp_path, 9, sheet=True)
    assert [f.name for f in tmp_path.iterdir()] == ["sheet.png"]
    shown = cells(Image.open(tmp_path / "sheet.png"), 3, 3)
    assert np.array_equal(shown.reshape(9, 16, 12, 3), arrays(draw(9)))


def test_a_sheet_has_a_row_for_each_class(classes, tmp_path):
    generate_many(classes, tmp_path / "s.png", 15, sheet=True, labels=[2, 0, 1])
    shown = cells(Image.open(tmp_path / "s.png"), 3, 5, "201")
    drawn = arrays(classes(15, labels=[2, 0, 1]))
    for row in range(3):
        assert np.array_equal(shown[row], drawn[row::3])
    one = generate_many(classes, tmp_path / "one.png", 4, sheet=True, labels=2)
    assert np.array_equal(cells(Image.open(one), 2, 2).reshape(4, 16, 12, 3), arrays(classes(4, labels=2)))


def test_a_way_is_a_row_from_each_picture_to_the_next(classes, tmp_path):
    generate_many(classes, tmp_path / "s.png", 12, sheet=True, steps=4)
    shown = cells(Image.open(tmp_path / "s.png"), 3, 4, "012")
    stops = arrays(classes(3))
    assert np.abs(shown[:, 0] - stops).max() <= 1
    expected = arrays(classes.pictures(classes.walk(12, 4), np.array([0, 1, 2]).repeat(4)))
    assert np.array_equal(shown.reshape(12, 16, 12, 3), expected)
    out = generate_many(classes, tmp_path / "frames", 12, steps=4)
    assert np.array_equal(arrays(map(Image.open, sorted(out.iterdir()))), expected)


def test_a_last_row_may_be_shorter(draw, tmp_path):
    shown = cells(Image.open(generate_many(draw, tmp_path, 5, sheet=True)), 2, 3)
    assert np.array_equal(shown.reshape(6, 16, 12, 3)[:5], arrays(draw(5)))
    assert (shown[1, 2] == grids.PAPER).all()


def test_nothing_is_replaced_unasked(draw, tmp_path):
    generate_many(draw, tmp_path, 3)
    before = (tmp_path / "00000.png").read_bytes()
    with pytest.raises(UsageError, match=r"00000\.png: exists already \(and 2 more\): choose another --out, or say"):
        generate_many(draw, tmp_path, 5, seed=1)
    assert (tmp_path / "00000.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3
    generate_many(draw, tmp_path, 5, seed=1, overwrite=True)
    assert (tmp_path / "00000.png").read_bytes() != before
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file: is a file, not a folder"):
        generate_many(draw, tmp_path / "file", 5)


def test_all_or_nothing(draw, tmp_path, monkeypatch):
    draw.engine.batch, run = 2, draw.engine.run
    batches = iter([True, False])

    def failing(z, labels=None):
        if next(batches):
            return run(z, labels)
        raise DataError("too many for the memory")

    monkeypatch.setattr(draw.engine, "run", failing)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="too many for the memory"):
        generate_many(draw, tmp_path, 6)
    assert [f.name for f in tmp_path.iterdir()] == ["mine.txt"]


def test_a_sheet_has_an_end(draw, tmp_path):
    with pytest.raises(UsageError, match=r"1025 pictures are too many for one sheet \(1024 at most\)"):
        generate_many(draw, tmp_path / "out", 1025, sheet=True)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- the command


def test_the_command(i2i, places, tmp_path):
    said = i2i("generate", "--model", places["classes"], "-n", 4, "--label", "2,0", "--seed", 7)
    assert (said.code, said.out, said.err) == (0, "drew 4: out\n", "")
    drawn = arrays(map(Image.open, sorted((tmp_path / "out").iterdir())))
    assert np.array_equal(drawn, arrays(toolkit.load(places["classes"])(4, labels=[2, 0], seed=7)))
    more = ("--interpolate", "--steps", 5, "-n", 10, "--truncation", 0.7, "--sheet")
    said = i2i("generate", "-m", places["plain"], *more)
    assert (said.code, said.out) == (0, f"drew 10: {Path('out') / 'sheet.png'}\n")
    said = i2i("generate", "-m", places["styles"], "-n", 4, "--mix", 2, "--truncation", 0.5, "-o", "mixed")
    assert (said.code, said.out) == (0, "drew 4: mixed\n")
    expected = arrays(toolkit.load(places["styles"])(4, mix=2, truncation=0.5))
    assert np.array_equal(arrays(map(Image.open, sorted((tmp_path / "mixed").iterdir()))), expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-n", 0], "0 pictures: "),
        (["--label", "one"], "--label 'one': a number, or several with commas between them, like 0,3"),
        (["--label", 0], "plain: knows no classes: leave the label out"),
        (["--seed", -3], "seed -3: seeds are 0 or more"),
        (["--truncation", -1], "truncation -1: 0.01 or more"),
        (["--steps", 4], "--steps 4: is for the way from one picture to the next: say --interpolate too"),
        (["--interpolate", "--steps", 0], "steps 0: from one picture to the next it is 1 or more"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(i2i, places, tmp_path, words, message):
    said = i2i("generate", "--model", places["plain"], *words)
    assert said.code == 2
    assert said.err.startswith(f"error: {message}")
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_each_kind_of_model_names_the_command_for_the_other(i2i, places, tmp_path):
    make_model(tmp_path / "unet")
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    said = i2i("translate", "x.png", "--model", places["plain"])
    assert (said.code, said.err) == (
        2, f"error: {places['plain']}: draws pictures and translates none: i2i generate --model {places['plain']}\n",
    )  # fmt: skip
    said = i2i("generate", "--model", "unet")
    assert (said.code, said.err) == (
        2, "error: unet: translates pictures and draws none: i2i translate PICTURES --model unet\n",
    )  # fmt: skip
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- how it is shown


def test_views(places, monkeypatch):
    assert models.directions(folder.read_info(places["classes"])) == "draws 3 classes"
    assert models.directions(folder.read_info(places["plain"])) == "draws"
    shown = dict(models.show(places["classes"]))
    assert shown["draws"] == "color pictures of 16 x 12, of 3 classes, from 8 normal values"
    assert shown["network"].startswith("dcgan, ")
    assert shown["size"] == "16 x 12 (height x width)"
    assert shown["weights"].endswith(" MiB")
    assert not {"inference", "padding", "default"} & shown.keys()


def test_the_model_card(places):
    text = (places["classes"] / "README.md").read_text()
    for words in (
        "A model that draws color pictures of 16 x 12, of 3 classes, from 8 normal values. Trained with i2i: dcgan on",
        "i2i generate -n 64 --seed 0 --label 2 --sheet --model path/to/this/folder",
        'draw(1, seed=0, labels=2)[0].save("drawn.png")',
        "The same seed draws the same pictures.",
    ):
        assert words in text
    plain = (places["plain"] / "README.md").read_text()
    assert "label" not in plain
    assert "translate" not in plain


def test_bench_takes_no_sizes_for_what_draws_one(places):
    with pytest.raises(UsageError, match=r"plain: draws .* pictures of .*: leave --sizes out"):
        bench(places["plain"], [16])

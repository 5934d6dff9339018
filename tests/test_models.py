"""Finding a trained model by path, name or data set, and saying what is near when there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from models_for_tests import make_model
from PIL import Image

from i2i import models
from i2i.errors import ModelError, UsageError


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("I2I_RUNS", raising=False)
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(models, "packaged", lambda: tmp_path / "packaged")
    return tmp_path


def age(path: Path, seconds: int) -> None:
    os.utime(path / "i2i.json", (1_800_000_000 - seconds,) * 2)


def test_by_path(here):
    make_model(here / "m")
    make_model(here / "elsewhere" / "model")
    assert models.find("m") == Path("m")
    assert models.find(here / "m") == here / "m"
    assert models.find("m/i2i.json") == models.find("m/model.safetensors") == Path("m")
    assert models.find("elsewhere") == Path("elsewhere/model")
    make_model(here / "elsewhere" / "best")
    assert models.find("elsewhere") == Path("elsewhere/model")  # the best has to be asked for
    assert models.find("elsewhere/best") == Path("elsewhere/best")
    assert models.find("elsewhere/model") == Path("elsewhere/model")  # the latest can still be named


def test_by_name_of_a_run_or_a_kept_model(here):
    make_model(here / "runs" / "mine" / "model")
    make_model(here / "cache" / "models" / "kept")
    assert models.find("mine") == Path("runs/mine/model")
    assert models.find("kept") == here / "cache" / "models" / "kept"
    (here / "mine").mkdir()  # a folder of that name, such as the data set itself, is not in the way
    assert models.find("mine") == Path("runs/mine/model")


def test_by_data_set_the_newest(here):
    for name, dataset, seconds in (
        ("a", "facades", 300),
        ("b", "facades", 100),
        ("c", "maps", 0),
        ("d", "facades", 200),
    ):
        make_model(here / "runs" / name / "model", dataset=dataset)
        age(here / "runs" / name / "model", seconds)
    assert models.find("facades") == Path("runs/b/model")
    make_model(here / "runs" / "facades")  # a name goes before a data set
    assert models.find("facades") == Path("runs/facades")


def test_a_model_that_travels_with_i2i_comes_after_ones_own(here):
    make_model(here / "packaged" / "facades", dataset="facades")
    assert models.find("facades") == here / "packaged" / "facades"
    assert [row.name for row in models.listing()] == ["facades"]
    assert dict(models.show("facades"))["folder"] == str(here / "packaged" / "facades")
    make_model(here / "runs" / "mine" / "model", dataset="facades")
    age(here / "runs" / "mine" / "model", 3600)
    assert models.find("facades") == Path("runs/mine/model")  # though it is the older one


def error(what) -> str:
    with pytest.raises(ModelError) as e:
        models.find(what)
    return str(e.value)


def test_unknown_names(here):
    looked = f"looked in runs and {here / 'cache' / 'models'}"
    ways = "published ones: i2i models list --known; to train one: i2i train METHOD --dataset DATASET"
    assert error("shapess") == f"no model 'shapess' (found none; {looked}); {ways}"
    assert error("zebra2hors") == f"no model 'zebra2hors'; did you mean 'zebra2horse'? (found none; {looked}); {ways}"
    make_model(here / "runs" / "mine" / "model", dataset="shapes")
    assert error("shapess") == f"no model 'shapess'; did you mean 'shapes'? (found: mine, shapes; {looked}); {ways}"
    assert error("zzz").startswith("no model 'zzz' (found: mine, shapes; ")
    assert error("horse2zebr").startswith("no model 'horse2zebr'; did you mean 'horse2zebra'? (")


def test_paths_that_are_no_model(here):
    assert error("some/where") == f"{Path('some/where')}: no such model folder or run"
    (here / "some" / "where").mkdir(parents=True)
    assert error("some/where") == (
        f"{Path('some/where')}: neither a model (i2i.json in it) nor a run (model/ or best/ in it)"
    )
    (here / "runs" / "young").mkdir(parents=True)
    (here / "runs" / "young" / "log.jsonl").write_text("")
    run = Path("runs/young")
    for what in ("runs/young", "young"):
        assert error(what) == (
            f"{run}: this run has not saved a model yet: let it train on, or resume it: i2i train --resume {run}"
        )


def test_odd_names(here):
    long = "n" * 300
    assert error(long).startswith(f"no model '{long}'")
    assert error(f"{long}/model") == f"{Path(long, 'model')}: no such model folder or run"
    for what in ("~nosuchuser", "~nosuchuser/runs/mine"):
        with pytest.raises(UsageError) as e:
            models.find(what)
        assert str(e.value) == f"{what}: no home folder is known for ~nosuchuser: write the path in full"


def test_listing_is_newest_first_and_shows_damaged_ones(here):
    make_model(here / "runs" / "old" / "model", dataset="maps")
    make_model(here / "runs" / "new" / "best", both=True)
    make_model(here / "cache" / "models" / "bad")
    (here / "cache" / "models" / "bad" / "i2i.json").write_text("{")
    (here / "runs" / "nothing").mkdir()
    for name, seconds in (("runs/old/model", 20), ("runs/new/best", 10), ("cache/models/bad", 30)):
        age(here / name, seconds)
    rows = models.listing()
    assert [row.name for row in rows] == ["new", "old", "bad"]
    assert rows[0].cells()[:6] == ("new", "pix2pix", "facades", "label <-> photo", "64 x 64", "2,000")
    assert rows[1].cells()[3] == "label -> photo"
    assert rows[2].cells()[:2] == ("bad", "damaged")
    assert "not valid JSON" in rows[2].problem
    assert {len(row.cells()) for row in rows} == {len(models.HEADERS)}
    assert models.find("maps") == Path("runs/old/model")  # the damaged one is not in the way


def test_show(here):
    make_model(here / "runs" / "mine" / "best", dropout=True, metrics={"psnr_rgb": 17.254})
    shown = dict(models.show("mine"))
    assert shown["folder"] == str(Path("runs/mine/best"))
    assert shown["which"] == "the best of its run"
    assert shown["a2b"] == "label -> photo"
    assert shown["network"].startswith("unet, depth 3, width 4")
    assert shown["psnr_rgb"] == "17.25"
    assert "drawn from seed 0" in shown["inference"]
    assert shown["weights"].endswith(" MiB")
    assert "default" not in shown


def test_which_model_is_meant_by_a_data_set_is_said(here, i2i):
    Image.new("RGB", (16, 16)).save("p.png")
    make_model(here / "runs" / "mine" / "model", dataset="facades", name="mine")
    assert "model: mine, the newest one trained on facades" in i2i("translate", "p.png", "--model", "facades").err
    assert "newest" not in i2i("translate", "p.png", "--model", "mine", "--out", "again").err

"""What i2i once wrote stays readable: a stored run of every format, and the steps from one format to the next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from models_for_tests import make_model
from small import small_recipe

import i2i
from i2i import __version__, folder, formats, recipe, training
from i2i.errors import ModelError, RecipeError, TrainingError
from i2i.formats import KEY, Kind
from i2i.runs import checkpoints
from i2i.state import read, write
from i2i.strict import read_yaml

STORED = Path(__file__).parent / "stored"
KINDS = {name: kind for name, kind in vars(formats).items() if isinstance(kind, Kind)}
RUNS = sorted(path.name for path in STORED.iterdir())


# Stored folders


def said(run: str) -> dict[str, dict]:
    """What each file of a stored run says."""
    last = checkpoints(STORED / run)[-1]
    return {
        "MODEL": json.loads((STORED / run / "model" / "i2i.json").read_text()),
        "RECIPE": read_yaml(STORED / run / "recipe.yaml", RecipeError)[0],
        "CHECKPOINT": read(last, "state"),
        "RANK": read(last, "rank0"),
    }


@pytest.mark.parametrize("name", KINDS)
def test_there_is_a_stored_run_of_every_format(name):
    numbers = {said(run)[name].get(KEY, KINDS[name].unnumbered) for run in RUNS}
    assert numbers == set(range(1, KINDS[name].newest + 1))


ANSWERS = {
    "run-1": [
        [[0.000698, 0.000715], [0.000937, 0.000638], [-0.00086, -0.000277]],
        [[0.000708, 0.000724], [0.000401, -0.000495], [0.000745, 0.001424]],
        [[0.000789, 0.000858], [0.001297, 0.001408], [0.002849, 0.003677]],
    ]
}
"""What each stored model gave for ``slopes`` when it was written: every third row, every fourth column."""


def slopes() -> np.ndarray:
    x = np.linspace(-1, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8)
    x[0, 1] = x[0, 1].T
    return x


@pytest.mark.parametrize("run", RUNS)
def test_a_stored_model_answers_as_it_did(run):
    answer = i2i.load(STORED / run, device="cpu").engine.run(slopes())
    np.testing.assert_allclose(answer[0, :, ::3, ::4], ANSWERS[run], rtol=0, atol=2e-6)


@pytest.mark.parametrize("run", RUNS)
def test_a_stored_run_goes_on(run, tmp_path, pairs):
    shutil.copytree(STORED / run, tmp_path / "run")
    still = "train.optimizer.lr=1.0e-30"  # too small to move a weight: what was loaded can be seen at the end
    training.resume(tmp_path / "run", f"data.dataset={pairs}", "train.images=8", still, quiet=True)
    before, after = (read(checkpoints(where / run_)[-1], "state") for where, run_ in ((STORED, run), (tmp_path, "run")))
    assert (before["images"], after["images"], after["steps"]) == (4, 8, 8)
    weights = [name for name in before["method"] if name.endswith(("weight", "bias"))]
    assert len(weights) >= 10
    assert all(torch.equal(before["method"][name], after["method"][name]) for name in weights)
    assert {int(m["step"]) for m in after["optimizers"]["G"]["state"].values()} == {8}
    assert recipe.load(tmp_path / "run" / "recipe.yaml").train.images == 8


# The steps


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_there_is_a_step_from_every_format(kind):
    assert set(kind.steps) == set(range(1, kind.newest))


def renamed(tree: dict) -> dict:
    """Of format 1, ``pictures`` is what format 2 calls ``images``."""
    return {("images" if key == "pictures" else key): value for key, value in tree.items()}


def doubled(tree: dict) -> dict:
    return {**tree, "images": 2 * tree["images"]}


THIRD = Kind(newest=3, steps={1: renamed, 2: doubled})


def test_a_file_goes_through_the_steps_that_are_after_it():
    for tree in ({KEY: 1, "pictures": 5}, {KEY: 2, "images": 5}, {KEY: 3, "images": 10}):
        before = dict(tree)
        assert THIRD.upgraded(tree, "file", ModelError) == {KEY: 3, "images": 10}
        assert tree == before


@pytest.mark.parametrize("number", [None, "1", 1.0, True, 0, -1])
def test_a_number_that_is_none(number):
    with pytest.raises(ModelError, match=r"^file: damaged: it says no format number$"):
        THIRD.upgraded({KEY: number}, "file", ModelError)
    with pytest.raises(ModelError, match="damaged"):
        THIRD.upgraded({}, "file", ModelError)


def newer(where: object) -> str:
    return f"{where}: format 9 was written by a newer i2i (unknown); this is {__version__}: pip install -U i2i-toolkit"


def test_a_model_folder_of_an_older_format(tmp_path, monkeypatch):
    make_model(tmp_path / "m")
    path = tmp_path / "m" / "i2i.json"
    tree = json.loads(path.read_text())
    path.write_text(json.dumps({"pictures": tree.pop("images"), **tree}))
    with pytest.raises(ModelError, match="pictures: unknown key"):
        folder.read_info(tmp_path / "m")
    monkeypatch.setattr(formats, "MODEL", THIRD)
    info = folder.read_info(tmp_path / "m")
    assert (info.images, info.format) == (4000, 3)


def test_a_recipe_of_an_older_format(tmp_path, monkeypatch):
    path, wanted = tmp_path / "recipe.yaml", small_recipe("pix2pix", "facades")
    wanted.write(path)
    text = path.read_text()
    assert text.splitlines()[1] == "format: 1"
    assert recipe.load(path) == wanted

    def moved(tree: dict) -> dict:
        """What is a word of its own in format 1 belongs to the block of training in format 2."""
        tree = dict(tree)
        if "seed" in tree:
            tree["train"] = {**tree["train"], "seed": tree.pop("seed")}
        return tree

    old = text.replace("  seed: 0\n  optimizer", "  optimizer").replace("format: 1\n", "format: 1\nseed: 7\n")
    path.write_text(old)
    with pytest.raises(RecipeError, match=r"recipe.yaml:3: seed: unknown key"):
        recipe.load(path)
    monkeypatch.setattr(formats, "RECIPE", Kind(newest=2, steps={1: moved}, unnumbered=1))
    assert recipe.load(path).train.seed == 7
    assert recipe.load(path, ["train.seed=8"]).train.seed == 8
    path.write_text(old.replace("format: 1\n", ""))  # as people write it, and i2i before it wrote the number
    assert recipe.load(path).train.seed == 7
    wanted.write(path)
    assert path.read_text().splitlines()[1] == "format: 2"
    assert recipe.load(path) == wanted
    path.write_text(old.replace("format: 1", "format: 9"))
    with pytest.raises(RecipeError) as e:
        recipe.load(path)
    assert str(e.value) == newer(f"{path}:2")


def test_a_checkpoint_of_an_older_format(tmp_path, pairs, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(STORED / "run-1", run)
    where = checkpoints(run)[-1]
    for name, old, new in (("state", "images", "pictures"), ("rank0", "rng", "dice")):
        tree = read(where, name)
        write(where, name, {new: tree.pop(old), **tree})

    def resume() -> Path:
        return training.resume(run, f"data.dataset={pairs}", "train.images=6", quiet=True)

    with pytest.raises(TrainingError, match="does not fit this recipe"):
        resume()
    first = Kind(newest=2, steps={1: renamed}, unnumbered=1)
    own = Kind(newest=2, steps={1: lambda t: {("rng" if k == "dice" else k): v for k, v in t.items()}}, unnumbered=1)
    monkeypatch.setattr(formats, "CHECKPOINT", first)
    monkeypatch.setattr(formats, "RANK", own)
    state = read(checkpoints(resume())[-1], "state")
    assert (state["images"], state[KEY]) == (6, 2)
    monkeypatch.setattr(formats, "CHECKPOINT", formats.MODEL)
    with pytest.raises(TrainingError, match=r"00000006: format 2 was written by a newer i2i"):
        training.resume(run, f"data.dataset={pairs}", "train.images=8", quiet=True)

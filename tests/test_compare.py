"""A comparison: equal arithmetic, one table, and nothing is trained twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from conftest import Command
from PIL import Image
from small import shrunk, small_config
from torch import nn

from i2i import compare, flops, recipe, training
from i2i.card import resolve
from i2i.compare import Comparison
from i2i.data.layouts import recognise
from i2i.errors import RecipeError, TrainingError, UsageError
from i2i.log import RunLog
from i2i.methods import METHODS
from i2i.methods.base import Task
from i2i.strict import Source, validate

BLOCKS = {name: shrunk(METHODS[name].Config().model_dump(mode="json")) for name in ("pix2pix", "cyclegan")}
OFF = {"watch.sheet_images": 0, "watch.eval_images": 1000, "watch.log_images": 0, "watch.save_images": 0}
COMMON = {"data.size": 32, "data.workers": 0, "data.batch": 2, "data.jitter": 1.0, **OFF}


def table(path: Path, **changes: object) -> str:
    rows = {
        name: {"train": name, "set": {f"method.{k}": v for k, v in block.items() if k != "name"}}
        for name, block in BLOCKS.items()
    }
    tree = {"about": "two methods", "dataset": "x", "seeds": [0, 1], "set": COMMON, "rows": rows, **changes}
    path.write_text(json.dumps(tree), encoding="utf-8")  # JSON is YAML
    return str(path)


@pytest.mark.parametrize("name", compare.names())
def test_a_packaged_comparison_names_recipes_that_take_its_settings(name: str) -> None:
    found = compare.load(name)
    path = next(p for p in (compare.paths.data("recipes") / "tables").glob(f"{name}.yaml"))
    assert path.read_text(encoding="utf-8").startswith(f"# i2i compare {name}\n")
    for row in found.rows.values():
        said = [f"{k}={json.dumps(v)}" for k, v in {**found.set, **row.set}.items()]
        file = recipe.find(row.train) if row.train in recipe.names() else recipe.find_for(row.train, found.dataset)
        recipe.load(file, said, dataset=found.dataset)


def test_every_row_is_trained_once_with_every_seed(pairs: Path, tmp_path: Path) -> None:
    what, said = table(tmp_path / "t.yaml", set={**COMMON, "train.images": 4}), []
    out = compare.compare(what, dataset=str(pairs), out=tmp_path / "out", say=said.append)
    runs = ("pix2pix-0", "pix2pix-1", "cyclegan-0", "cyclegan-1")
    assert said == [f"{i} of 4: {run}" for i, run in enumerate(runs, 1)]
    found = json.loads((out / "table.json").read_text())
    assert found["seeds"] == [0, 1]
    for name in BLOCKS:
        assert [row["images"] for row in found["rows"][name]] == [4, 4]
        scores = [row["psnr_rgb"] for row in found["rows"][name]]
        assert scores[0] != scores[1]
        assert not any("a2b" in key or "b2a" in key for row in found["rows"][name] for key in row)
    head, _, first, second = (out / "table.md").read_text().splitlines()
    assert head.startswith("| | images | seconds | psnr_rgb |")
    assert first.startswith("| pix2pix | 4 | ")
    assert " ± " in first
    assert second.startswith("| cyclegan | 4 | ")
    assert (out / "sheet.png").stat().st_size > 1000
    logs = {run: (out / run / "log.jsonl").read_bytes() for run in runs}
    compare.compare(what, dataset=str(pairs), out=out, say=said.append)
    assert said[4:] == [f"{i} of 4: {run}: done before" for i, run in enumerate(runs, 1)]
    assert all((out / run / "log.jsonl").read_bytes() == log for run, log in logs.items())
    with pytest.raises(UsageError, match=r"out/pix2pix-0: was trained otherwise \(data\.flip=false\): choose another"):
        compare.compare(what, "data.flip=false", dataset=str(pairs), out=out, say=said.append)


def test_a_training_that_was_stopped_goes_on(pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    what = table(tmp_path / "t.yaml", seeds=[3], set={**COMMON, "train.images": 8, "watch.save_images": 4})
    whole = compare.compare(what, dataset=str(pairs), out=tmp_path / "whole", say=lambda _: None)

    def killed(*args: object, **options: object) -> Path:
        raise KeyboardInterrupt

    run = tmp_path / "part" / "pix2pix-3"
    train = training.train
    monkeypatch.setattr(training, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        compare.compare(what, dataset=str(pairs), out=tmp_path / "part", say=lambda _: None)
    monkeypatch.setattr(training, "train", train)
    words = json.loads((tmp_path / "part/plan.json").read_text())["pix2pix-3"]
    half = [w.replace("train.images=8", "train.images=4") for w in words[1:]]
    training.train(words[0], *half, dataset=str(pairs), out=run, quiet=True)
    wanted = (run / "recipe.yaml").read_text().replace("images: 4\n", "images: 8\n", 1)
    (run / "recipe.yaml").write_text(wanted)
    log = (run / "log.jsonl").read_text().splitlines()
    (run / "log.jsonl").write_text("\n".join(line for line in log if '"end"' not in line) + "\n")
    out = compare.compare(what, dataset=str(pairs), out=tmp_path / "part", say=lambda _: None)
    first, second = (json.loads((folder / "table.json").read_text())["rows"] for folder in (whole, out))
    assert second["pix2pix"][0]["images"] == 8
    assert second["cyclegan"][0]["psnr_rgb"] == first["cyclegan"][0]["psnr_rgb"]


def test_a_share_of_arithmetic_becomes_images(pairs: Path, tmp_path: Path) -> None:
    said: list[str] = []
    what = table(tmp_path / "t.yaml", seeds=[0], tflop=2e-3)
    compare.compare(what, dataset=str(pairs), out=tmp_path / "out", say=said.append)
    found = json.loads((tmp_path / "out/table.json").read_text())["rows"]
    images = {name: row[0]["images"] for name, row in found.items()}
    assert images["pix2pix"] > 3 * images["cyclegan"] > 0
    card, root = resolve(pairs)
    data = training.Prepared(card, recognise(root))
    for name, seen in images.items():
        wanted = recipe.load(tmp_path / f"out/{name}-0/recipe.yaml")
        assert abs(seen * flops.per_image(wanted, data) - 2e9) < 2 * flops.per_image(wanted, data)


def test_equal_steps_of_the_generator_become_images(digits: Path, tmp_path: Path) -> None:
    """A critic that moves three times for one step of the generator sees three times the images."""
    block = small_config("dcgan")
    rows = {
        name: {"train": "dcgan-mnist", "set": {**{f"method.{k}": v for k, v in block.items() if k != "name"}, **more}}
        for name, more in {"one": {}, "three": {"method.n_critic": 3}}.items()
    }
    common = {"data.size": 32, "data.channels": 3, "data.workers": 0, "data.batch": 2, "watch.sheet_images": 0}
    tree = {"about": "steps", "dataset": "x", "seeds": [0], "steps": 4, "evaluations": 2, "set": common, "rows": rows}
    what = tmp_path / "t.yaml"
    what.write_text(json.dumps(tree), encoding="utf-8")
    out = compare.compare(str(what), dataset=str(digits), out=tmp_path / "out", say=lambda _: None)
    found = json.loads((out / "table.json").read_text())["rows"]
    assert {name: row[0]["images"] for name, row in found.items()} == {"one": 8, "three": 24}
    for name, every in {"one": 4, "three": 12}.items():
        events = [e for e in RunLog.read(out / f"{name}-0" / "log.jsonl") if e["event"] == "eval"]
        assert [e["images"] for e in events] == [every, 2 * every]
        best = min(events, key=lambda e: e["fd_digits"])
        assert found[name][0]["fd_digits"] == events[-1]["fd_digits"]
        assert found[name][0]["best"]["images"] == best["images"]
        assert found[name][0]["best"]["fd_digits"] == pytest.approx(best["fd_digits"])
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 3 * 10 * 32  # held-out pictures and two runs, each ten columns wide
    with pytest.raises(RecipeError, match="steps and tflop: trainings are equal in one of them"):
        validate(Comparison, {**tree, "tflop": 1.0}, Source("t.yaml"), RecipeError)
    with pytest.raises(RecipeError, match="evaluations: 9 need as many steps, not 4"):
        validate(Comparison, {**tree, "evaluations": 9}, Source("t.yaml"), RecipeError)


def test_the_best_models_have_columns_unless_they_are_the_last_ones() -> None:
    last = {"images": 8, "fd_digits": 3.0, "best": {"images": 8, "fd_digits": 3.0}}
    early = {"images": 8, "fd_digits": 5.0, "best": {"images": 4, "fd_digits": 2.0}}
    assert compare.markdown({"a": [last]}).splitlines()[0] == "| | images | fd_digits |"
    head, _, first, second = compare.markdown({"a": [last], "b": [early]}).splitlines()
    assert head == "| | images | fd_digits | best: images | best: fd_digits |"
    assert (first, second) == ("| a | 8 | 3.000 | 8 | 3.000 |", "| b | 8 | 5.000 | 4 | 2.000 |")


def test_a_run_that_somebody_else_trains_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"event": "eval", "images": 4, "time": 0}\n')
    with pytest.raises(TrainingError, match="another process trains it now"):
        compare.measured(tmp_path)


def test_the_zoo_is_run_by_one_command_that_goes_on(i2i: Command, digits: Path, tmp_path: Path) -> None:
    small = [f"method.{net}.width=4" for net in ("generator", "discriminator")]
    said = {}
    for names in ("dcgan", "dcgan,gan"):
        words = ["zoo", "run", "--names", names, "--images", 128, "--dataset", digits, "--out", tmp_path / "zoo"]
        code, said[names], err = i2i(*words, "data.channels=3", "data.size=32", *small)
        assert code == 0, err
    assert "1 of 2: dcgan-0: done before" in said["dcgan,gan"]
    tree = json.loads((tmp_path / "zoo" / "table.json").read_text())
    assert [row[0]["images"] for row in tree["rows"].values()] == [128, 128]
    assert list(tree["rows"]) == ["dcgan", "gan"]
    assert "| dcgan | 128 | " in said["dcgan,gan"]
    code, _, err = i2i("zoo", "run", "--names", "dcgn", "--dataset", digits)
    assert code == 2
    assert err.startswith("error: no method 'dcgn' in the zoo; did you mean 'dcgan'? (one of ")


def test_the_count_of_a_step_is_that_of_its_convolutions(pairs: Path) -> None:
    """Forward once and backward twice, for the weights and for what came in; two operations a product."""
    name = "pix2pix"
    tree = {
        "method": {**BLOCKS[name], "gan_weight": 0.0, "generator": {"net": "resnet", "blocks": 1, "width": 1}},
        "data": {"dataset": str(pairs), "size": 32, "workers": 0, "batch": 1}, "train": {"images": 1},
    }  # fmt: skip
    card, root = resolve(pairs)
    wanted = recipe.build(tree, Source("test"))
    found = flops.per_image(wanted, training.Prepared(card, recognise(root)))
    net = METHODS[name](wanted.method, Task(size=(32, 32))).G
    macs = {}

    def note(layer: nn.Module, given: tuple, out: torch.Tensor) -> None:
        side = given[0] if isinstance(layer, nn.ConvTranspose2d) else out  # every weight meets each of these pixels
        macs[layer] = layer.weight.numel() * side.shape[2] * side.shape[3]

    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in layers:
        layer.register_forward_hook(note)
    net(torch.zeros(1, 3, 32, 32))
    first = macs[layers[0]]  # nobody asks for the gradient of the picture
    assert found == 2 * (3 * sum(macs.values()) - first)


def test_what_is_no_comparison() -> None:
    with pytest.raises(RecipeError, match=r"^no comparison 'facade'; did you mean 'facades'\? \(one of "):
        compare.load("facade")
    row = {"train": "pix2pix"}
    same = {"about": "x", "dataset": "x", "rows": {"L1 + cGAN": row, "L1, cGAN": row}}
    with pytest.raises(RecipeError, match=r"rows 'L1 \+ cGAN' and 'L1, cGAN': their runs would have one folder"):
        validate(Comparison, same, Source("t.yaml"), RecipeError)
    tree = {"about": "x", "dataset": "x", "rows": {"a": {"train": "pix2pix", "sett": {}}}}
    with pytest.raises(RecipeError, match=r"rows\.a\.sett: unknown key; did you mean 'set'\?"):
        validate(Comparison, tree, Source("t.yaml"), RecipeError)

"""What CONTRIBUTING.md tells people to write is written and used here: its method keeps the contract of all methods."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import test_methods
import test_zoo
import torch
from small import FOLDERS

from i2i import recipe
from i2i.card import Card
from i2i.errors import CardError
from i2i.losses import CONTESTS, games
from i2i.methods import METHODS
from i2i.strict import read_yaml, validate
from i2i.zoo import ZOO, table

ROOT = Path(__file__).parents[1]
NAME = "regression"

BLOCK = re.compile(r"`(?P<path>[\w./-]+)`:\n\n```(?:python|yaml)\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = {m["path"]: m["code"] for m in BLOCK.finditer((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))}
METHOD, RECIPE, CARD = "i2i/methods/regression.py", "recipes/regression-shapes.yaml", "datasets/little_houses.yaml"
LOSS, LINE, LINE_RECIPE = "i2i/losses/games.py", "i2i/zoo/table.py", "recipes/ralsgan-mnist.yaml"


def test_all_blocks_are_found() -> None:
    assert set(BLOCKS) == {METHOD, RECIPE, CARD, LOSS, LINE, LINE_RECIPE}


@pytest.fixture
def added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The method of CONTRIBUTING as if its file and its line in the table were there."""
    path = tmp_path / "added" / f"{NAME}.py"
    path.parent.mkdir()
    path.write_text(BLOCKS[METHOD], encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"i2i.methods.{NAME}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(METHODS, NAME, module.Regression)


def contract() -> list[Callable[..., None]]:
    """Every test of test_methods that is run for each method."""
    tests = [value for name, value in vars(test_methods).items() if name.startswith("test_")]
    return [t for t in tests if "name" in inspect.signature(t).parameters]


def test_the_contract_has_not_shrunk() -> None:
    assert len(contract()) >= 7


@pytest.mark.parametrize("check", contract(), ids=lambda check: check.__name__)
def test_its_method_keeps_the_contract(
    check: Callable[..., None], added: None, request: pytest.FixtureRequest
) -> None:
    wanted = inspect.signature(check).parameters
    given = {"name": NAME}
    if "folder" in wanted:
        given["folder"] = request.getfixturevalue(FOLDERS[METHODS[NAME].reads])
    check(**{p: given[p] if p in given else request.getfixturevalue(p) for p in wanted})


def test_its_recipe_is_valid_and_spells_out_the_method(added: None, tmp_path: Path) -> None:
    path = tmp_path / Path(RECIPE).name
    path.write_text(BLOCKS[RECIPE], encoding="utf-8")
    found = recipe.load(path)
    assert found.method.name == NAME
    assert BLOCKS[RECIPE].startswith(f"# i2i train {NAME} --dataset {found.data.dataset}\n")
    assert path.stem == f"{NAME}-{found.data.dataset}"
    tree, _ = read_yaml(path, CardError)
    assert set(tree["method"]) == set(METHODS[NAME].Config.model_fields)


def test_its_card_is_valid(tmp_path: Path) -> None:
    path = tmp_path / Path(CARD).name
    path.write_text(BLOCKS[CARD], encoding="utf-8")
    card = validate(Card, *read_yaml(path, CardError), CardError)
    assert card.name == path.stem


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> str:
    """The GAN of CONTRIBUTING as if its loss, its line and its name were there."""
    monkeypatch.setitem(CONTESTS, "relativistic_squares", None)  # taken out again at the end
    exec(compile(BLOCKS[LOSS], LOSS, "exec"), dict(vars(games)))
    made = eval(BLOCKS[LINE], dict(vars(table)))
    for names in (ZOO, METHODS):
        monkeypatch.setitem(names, made.__name__, made)
    return made.__name__


def test_its_loss_by_hand(line: str) -> None:
    real, fake = torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [-2.0]])  # their means are 2 and -1
    contest = CONTESTS["relativistic_squares"]
    assert contest.judge(real, fake)["relative"].item() == (1 + 9) / 2 + (1 + 9) / 2
    assert contest.fool(fake, real).item() == (9 + 25) / 2 + (9 + 25) / 2


def test_its_line_keeps_the_contract(line: str, digits: Path, tmp_path: Path) -> None:
    test_methods.test_a_move_changes_only_its_player(line, digits)
    test_methods.test_loss_terms_are_finite_scalars_with_names_that_stay(line, digits)
    test_methods.test_config_round_trips_through_yaml(line, tmp_path)
    test_methods.test_the_file_names_its_paper(line)
    test_zoo.test_against_opponents_that_stand_still_each_player_learns(line)
    test_zoo.test_a_training_goes_on_bit_for_bit(line, digits, tmp_path)


def test_the_recipe_of_its_line_is_valid_and_spells_out_the_method(line: str, tmp_path: Path) -> None:
    path = tmp_path / Path(LINE_RECIPE).name
    path.write_text(BLOCKS[LINE_RECIPE], encoding="utf-8")
    found = recipe.load(path)
    assert found.method == METHODS[line].Config(
        latent=found.method.latent, generator={"width": 32}, discriminator={"width": 32}
    )
    assert BLOCKS[LINE_RECIPE].startswith(f"# i2i train {line} --dataset {found.data.dataset}\n")
    tree, _ = read_yaml(path, CardError)
    assert set(tree["method"]) == set(METHODS[line].Config.model_fields)

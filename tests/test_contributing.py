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
from small import FOLDERS

from i2i import recipe
from i2i.card import Card
from i2i.errors import CardError
from i2i.methods import METHODS
from i2i.strict import read_yaml, validate

ROOT = Path(__file__).parents[1]
NAME = "regression"

BLOCK = re.compile(r"`(?P<path>[\w./-]+)`:\n\n```(?:python|yaml)\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = {m["path"]: m["code"] for m in BLOCK.finditer((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))}
METHOD, RECIPE, CARD = "i2i/methods/regression.py", "recipes/regression-shapes.yaml", "datasets/little_houses.yaml"


def test_all_blocks_are_found() -> None:
    assert set(BLOCKS) == {METHOD, RECIPE, CARD}


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

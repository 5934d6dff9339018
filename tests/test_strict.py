"""Strict settings: whatever is wrong in a file comes back as file:line, the key, and the right word."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError, field_validator

from i2i.errors import CardError, I2IError, RecipeError
from i2i.strict import Source, Strict, read_yaml, validate


class Cat(Strict):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(Strict):
    kind: Literal["dog"] = "dog"
    tricks: tuple[str, ...] = ()
    weight: float = 10.0


class Toy(Strict):
    name: str
    price: float = 1.0


class House(Strict):
    street: str
    pet: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat()
    door: Literal["open", "shut"] = "shut"
    rate: float = 0.1
    rooms: int = 3
    toys: tuple[Toy, ...] = ()
    number: int | None = None

    @field_validator("street")
    @classmethod
    def _has_name(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("a street needs a name")
        return value


def read(tmp_path: Path, text: str) -> House:
    path = tmp_path / "house.yaml"
    path.write_text(text, encoding="utf-8")
    tree, source = read_yaml(path, RecipeError)
    return validate(House, tree, source, RecipeError)


def complaint(tmp_path: Path, text: str) -> str:
    with pytest.raises(RecipeError) as e:
        read(tmp_path, text)
    return str(e.value).replace(f"{tmp_path}/", "")


def test_a_good_file(tmp_path):
    house = read(tmp_path, "street: Elm\npet:\n  kind: dog\n  tricks: [sit]\ntoys:\n  - name: ball\n")
    assert house.pet == Dog(tricks=("sit",))
    assert house.toys == (Toy(name="ball"),)


def test_settings_are_frozen():
    with pytest.raises(ValidationError):
        Cat().lives = 8


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "street: Elm\nrooom: 3\n",
            "house.yaml:2: rooom: unknown key; did you mean 'rooms'? "
            "(known here: street, pet, door, rate, rooms, toys, number)",
        ),
        ("door: open\n", "house.yaml: street: this key is missing"),
        (
            "street: Elm\ndoor: opne\n",
            "house.yaml:2: door: 'opne' is not known; did you mean 'open'? (one of open, shut)",
        ),
        ("street: ' '\n", "house.yaml:1: street: a street needs a name"),
        (
            "street: Elm\nrooms: 3e-1\n",
            "house.yaml:2: rooms: input should be a valid integer, unable to parse string as an integer, not '3e-1' "
            "(YAML reads numbers like 2e-4 as text: write 2.0e-4)",
        ),
        (
            "street: Elm\nrate: fast\n",
            "house.yaml:2: rate: input should be a valid number, unable to parse string as a number, not 'fast'",
        ),
        ("street: Elm\nrate: .nan\n", "house.yaml:2: rate: input should be a finite number, not nan"),
        ("street: Elm\nnumber: [1]\n", "house.yaml:2: number: input should be a valid integer, not [1]"),
    ],
)
def test_one_mistake_one_line(tmp_path, text, expected):
    assert complaint(tmp_path, text) == expected


def test_a_mistake_in_a_list_names_its_item_and_line(tmp_path):
    text = "street: Elm\ntoys:\n  - name: ball\n  - name: bone\n    prize: 2\n  - price: 1\n"
    assert complaint(tmp_path, text).splitlines() == [
        "house.yaml:5: toys.1.prize: unknown key; did you mean 'price'? (known here: name, price)",
        "house.yaml:6: toys.2.name: this key is missing",
    ]


@pytest.mark.parametrize(
    ("pet", "expected"),
    [
        # the path has no trace of the union: not pet.dog.wieght
        (
            "{kind: dog,\n  wieght: 3}",
            "house.yaml:3: pet.wieght: unknown key; did you mean 'weight'? (known here: kind, tricks, weight)",
        ),
        (
            "{kind: cat,\n  weight: 3}",
            "house.yaml:3: pet.weight: unknown key (known here: kind, lives)",
        ),
        (
            "{kind: dog,\n  tricks: [sit,\n  2]}",
            "house.yaml:4: pet.tricks.1: input should be a valid string, not 2",
        ),
        ("\n  kind: dgo", "house.yaml:3: pet.kind: 'dgo' is not known; did you mean 'dog'? (one of cat, dog)"),
        ("\n  lives: 3", "house.yaml:2: pet.kind: this key is missing"),
        ("cat", "house.yaml:2: pet: expected 'key: value' lines, not 'cat'"),
    ],
)
def test_unions_read_like_plain_keys(tmp_path, pet, expected):
    assert complaint(tmp_path, f"street: Elm\npet: {pet}\n") == expected


def test_all_mistakes_are_told_at_once(tmp_path):
    lines = complaint(tmp_path, "stret: Elm\nrooms: many\npet:\n  kind: cat\n  livs: 2\n").splitlines()
    assert [line.split(": ")[1] for line in lines] == ["street", "pet.livs", "rooms", "stret"]


def test_a_number_that_yaml_takes_for_text_is_still_a_number(tmp_path):
    assert read(tmp_path, "street: Elm\nrate: 2e-4\n").rate == 2e-4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("street: Elm\nrooms: 1\nstreet: Oak\n", "house.yaml:3: street: this key is already on line 1"),
        (
            "street: Elm\npet:\n  kind: dog\n  kind: cat\n",
            "house.yaml:4: pet.kind: this key is already on line 3",
        ),
        ("toys:\n  - name: a\n  - name: b\n    name: c\n", "house.yaml:4: toys.1.name: this key is already on line 3"),
        ("street: [Elm\n", "house.yaml:2: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        ("street: Elm\n\trooms: 3\n", "house.yaml:2: not valid YAML: found character '\\t' that cannot start"),
        ("street: !!python/name:os.system ''\n", "house.yaml:1: not valid YAML: could not determine a constructor"),
        ("- Elm\n", "house.yaml: expected 'key: value' lines, found list"),
        ("", "house.yaml: expected 'key: value' lines, found nothing"),
    ],
)
def test_files_that_are_no_settings(tmp_path, text, expected):
    assert complaint(tmp_path, text).startswith(expected)


def test_the_kind_of_error_is_the_callers(tmp_path):
    with pytest.raises(CardError, match="cannot be read"):
        read_yaml(tmp_path / "absent.yaml", CardError)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "house.yaml"
    path.write_bytes(b"street: \xff\xfe\n")
    with pytest.raises(I2IError, match="not UTF-8 text"):
        read_yaml(path, RecipeError)


def test_a_tree_inside_a_larger_file(tmp_path):
    """A method's block is validated by itself: lines and full paths stay those of the file."""
    path = tmp_path / "all.yaml"
    path.write_text("first: 1\nhouse:\n  street: Elm\n  pet: {kind: dog, wieght: 3}\n")
    tree, source = read_yaml(path, RecipeError)
    with pytest.raises(RecipeError) as e:
        validate(House, tree["house"], source, RecipeError, at=("house",))
    assert str(e.value).startswith(f"{path}:4: house.pet.wieght: unknown key; did you mean 'weight'?")


def test_settings_without_a_file():
    with pytest.raises(RecipeError) as e:
        validate(House, {"street": "Elm", "rooms": "x"}, Source("--set rooms=x"), RecipeError)
    assert str(e.value).startswith("--set rooms=x: rooms: input should be a valid integer")

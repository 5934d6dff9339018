"""Strict settings: YAML in, frozen pydantic models out; a wrong word is an error with its line and the right word in it.

Recipes and data set cards share this. ``read_yaml`` remembers on which line each key stands, ``validate`` turns every
complaint of pydantic into one line ``file:line: key: what is wrong; did you mean ...?``, all complaints at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from i2i.errors import I2IError, did_you_mean

Key = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """Settings that know all their words: unknown keys are refused, values cannot change afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Source:
    """Where a tree of settings came from: a file name and the place of every key."""

    name: str
    places: dict[Key, str] = field(default_factory=dict)

    def place(self, key: Key) -> str:
        """``file:line`` of the key, or of its nearest parent that has a line."""
        for end in range(len(key), -1, -1):
            if key[:end] in self.places:
                return self.places[key[:end]]
        return self.name


def read_yaml(path: Path, error: type[I2IError]) -> tuple[dict[str, Any], Source]:
    """The mapping in a YAML file and the line of each of its keys.

    Raises:
        error: the file cannot be read, is not YAML, is not a mapping, or says one key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise error(f"{path}: cannot be read ({e.strerror if isinstance(e, OSError) else 'not UTF-8 text'})") from e
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise error(f"{place}: not valid YAML: {getattr(e, 'problem', None) or 'cannot be parsed'}") from e
    if not isinstance(tree, dict):
        raise error(f"{path}: expected 'key: value' lines, found {'nothing' if tree is None else type(tree).__name__}")
    places: dict[Key, str] = {}
    for key, line in _lines(node, ()):
        if key in places:
            raise error(f"{path}:{line}: {dotted(key)}: this key is already on line {places[key].rsplit(':', 1)[1]}")
        places[key] = f"{path}:{line}"
    return tree, Source(str(path), places)


def _lines(node: yaml.Node, parent: Key) -> Iterator[tuple[Key, int]]:
    if isinstance(node, yaml.MappingNode):
        for k, v in node.value:
            key = (*parent, k.value)
            yield key, k.start_mark.line + 1
            yield from _lines(v, key)
    elif isinstance(node, yaml.SequenceNode):
        for i, v in enumerate(node.value):
            yield (*parent, i), v.start_mark.line + 1
            yield from _lines(v, (*parent, i))


def dotted(key: Key) -> str:
    return ".".join(str(k) for k in key)


def validate(model: type[Model], tree: Mapping[str, Any], source: Source, error: type[I2IError], at: Key = ()) -> Model:
    """``tree`` as a ``model``. ``at`` is where the tree hangs in its file.

    Raises:
        error: one line for every key or value that is wrong.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as e:
        raise error("\n".join(dict.fromkeys(_line(model, tree, d, source, at) for d in e.errors()))) from e


def _line(model: type[BaseModel], tree: Any, detail: Any, source: Source, at: Key) -> str:
    loc, holder = _real_path(tree, detail["loc"])
    key = (*at, *loc)
    message, value = detail["msg"], detail.get("input")
    if detail["type"] == "extra_forbidden":
        known = _words(model, detail["loc"][:-1])
        say = f"unknown key{did_you_mean(str(loc[-1]), known)}" + (f" (known here: {', '.join(known)})" if known else "")
    elif detail["type"] == "missing":
        say = "this key is missing"
    elif detail["type"] in ("literal_error", "enum"):
        expected = detail["ctx"]["expected"]
        words = [w for w in expected.replace(" or ", ", ").replace("'", "").split(", ") if w]
        say = f"{value!r} is not known{did_you_mean(str(value), words)} (one of {', '.join(words)})"
    elif detail["type"].startswith("value_error"):
        say = message.removeprefix("Value error, ")
    else:
        say = f"{message[0].lower()}{message[1:]}, not {value!r}"
        if isinstance(value, str) and _is_number(value):
            say += " (YAML reads numbers like 2e-4 as text: write 2.0e-4)"
    return f"{source.place(key)}: {dotted(key)}: {say}" if key else f"{source.name}: {say}"


def _real_path(tree: Any, loc: Key) -> tuple[Key, Any]:
    """pydantic's path without the union tags that it mixes in: only what really stands in the tree, and one last new word."""
    path: list[str | int] = []
    node = tree
    for i, part in enumerate(loc):
        if isinstance(node, Mapping) and part in node:
            node = node[part]
        elif isinstance(node, list | tuple) and isinstance(part, int) and part < len(node):
            node = node[part]
        elif i < len(loc) - 1:
            continue
        path.append(part)
    return tuple(path), node


def _words(model: type[BaseModel], loc: Key) -> list[str]:
    """The keys that a model (or the model inside it that ``loc`` leads to) knows."""
    current: list[type[BaseModel]] = [model]
    for part in loc:
        inner = [m for c in current if part in c.model_fields for m in _models(c.model_fields[part].annotation)]
        tagged = [c for c in current if part in _tags(c)]
        current = inner or tagged or current
    return list(dict.fromkeys(name for c in current for name in c.model_fields))


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is None:
        return []
    return [m for a in get_args(annotation) for m in _models(a)]


def _tags(model: type[BaseModel]) -> set[str]:
    """The words that tell this member of a union from the others: its one-valued Literal fields."""
    return {a[0] for f in model.model_fields.values() if len(a := get_args(f.annotation)) == 1 and isinstance(a[0], str)}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

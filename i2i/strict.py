"""Strict settings: YAML in, frozen pydantic models out; a wrong word is an error with its line and the right word.

Recipes and data set cards share this. ``read_yaml`` remembers on which line each key stands, ``validate`` turns every
complaint of pydantic into one line ``file:line: key: what is wrong; did you mean ...?``, all complaints at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from i2i.errors import I2IError, did_you_mean

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, many times as fast, where it was built in
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
        node, tree = _parsed(text)
        lines = list(_lines(node, ()))
    except (ValueError, RecursionError) as e:  # a number of thousands of digits, a block that contains itself
        raise error(f"{path}: cannot be read as settings ({' '.join(str(e).split())[:100]})") from e
    except yaml.YAMLError as e:
        mark = getattr(e, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise error(f"{place}: not valid YAML: {getattr(e, 'problem', None) or 'cannot be parsed'}") from e
    if not isinstance(tree, dict):
        raise error(f"{path}: expected 'key: value' lines, found {'nothing' if tree is None else type(tree).__name__}")
    places: dict[Key, str] = {}
    for key, line in lines:
        if key in places:
            raise error(f"{path}:{line}: {dotted(key)}: this key is already on line {places[key].rsplit(':', 1)[1]}")
        places[key] = f"{path}:{line}"
    return tree, Source(str(path), places)


def _parsed(text: str) -> tuple[yaml.Node | None, Any]:
    """The nodes of a document, which know their lines, and its values."""
    try:
        return _parsed_by(LOADER, text)
    except yaml.YAMLError:
        return _parsed_by(yaml.SafeLoader, text)  # it tells what is wrong in better words


def _parsed_by(kind: Any, text: str) -> tuple[yaml.Node | None, Any]:
    loader = kind(text)
    try:
        node = loader.get_single_node()
        return node, None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _lines(node: yaml.Node | None, parent: Key) -> Iterator[tuple[Key, int]]:
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
    key = (*at, *_real_path(tree, detail["loc"], missing=detail["type"] == "missing"))
    message, value, context = detail["msg"], detail.get("input"), detail.get("ctx", {})
    if detail["type"].startswith("union_tag"):  # pydantic points at the block; its kind is told by a key inside
        key = (*key, context["discriminator"].strip("'"))
    if detail["type"] == "extra_forbidden":
        known = _words(model, detail["loc"][:-1])
        say = f"unknown key{did_you_mean(str(key[-1]), known)}"
        say += f" (known here: {', '.join(known)})" if known else ""
    elif detail["type"] in ("missing", "union_tag_not_found"):
        say = "this key is missing"
    elif detail["type"] in ("literal_error", "enum"):
        say = _choice(value, context["expected"])
    elif detail["type"] == "union_tag_invalid":
        say = _choice(context["tag"], context["expected_tags"])
    elif detail["type"] in ("model_type", "model_attributes_type", "dict_type"):
        say = f"expected 'key: value' lines, not {value!r}"
    elif detail["type"].startswith("value_error"):
        say = message.removeprefix("Value error, ")
    else:
        say = f"{message[0].lower()}{message[1:]}, not {value!r}"
        if isinstance(value, str) and _is_number(value):
            say += " (YAML reads numbers like 2e-4 as text: write 2.0e-4)"
    return f"{source.place(key)}: {dotted(key)}: {say}" if key else f"{source.name}: {say}"


def _choice(value: Any, expected: str) -> str:
    """``expected`` as pydantic writes it: ``'a', 'b' or 'c'``."""
    words = [w for w in expected.replace(" or ", ", ").replace("'", "").split(", ") if w]
    return f"{value!r} is not known{did_you_mean(str(value), words)} (one of {', '.join(words)})"


def _real_path(tree: Any, loc: Key, missing: bool) -> Key:
    """pydantic's path without the union tags it mixes in: what stands in the tree, then the missing key if any."""
    path: list[str | int] = []
    node = tree
    for i, part in enumerate(loc):
        known = node if isinstance(node, Mapping) else range(len(node)) if isinstance(node, list | tuple) else ()
        if part in known:
            node = node[part]
        elif not missing or i < len(loc) - 1:
            continue
        path.append(part)
    return tuple(path)


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
    choices = (get_args(f.annotation) for f in model.model_fields.values() if get_origin(f.annotation) is Literal)
    return {c[0] for c in choices if len(c) == 1}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

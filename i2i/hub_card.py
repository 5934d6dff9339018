"""The model card of a model on the Hub: what the Hub reads, samples, how to use it, what it was trained by."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from i2i import card as cards
from i2i import folder, modelcard, shipped
from i2i.folder import Info
from i2i.runs import RECIPE

LICENCES = frozenset(
    {"mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "agpl-3.0", "lgpl-3.0", "unlicense", "cc0-1.0"}
    | {
        f"cc-by{terms}-{version}"
        for terms in ("", "-sa", "-nc", "-nd", "-nc-sa", "-nc-nd")
        for version in ("3.0", "4.0")
    }
    | {"cc-by-2.0", "cc-by-2.5", "cc-by-nc-2.0", "openrail", "creativeml-openrail-m", "wtfpl", "isc"}
)
"""Names of licences that the Hub knows."""


def card(info: Info, address: str, samples: str | None, recipe: bool) -> str:
    """The text of README.md: ``address`` is where the model will be, ``samples`` a picture beside it."""
    text = folder.card(info, use=_use(info, address))
    shown = ["## Samples", "", f"![samples]({samples})", ""] if samples else []
    trained = (
        [f"`i2i train {RECIPE}`, with the file of this repository, trains such a model again.", ""] if recipe else []
    )
    more = "\n".join(shown) + "\n" if shown else ""
    head, mark, rest = text.partition("## Training\n")
    rest = rest.replace("\n\n## ", "\n\n" + "\n".join([*trained, "## "]), 1) if trained else rest
    return f"---\n{front(info)}---\n\n{head}{more}{mark}{rest}"


def front(info: Info) -> str:
    """What the Hub reads of a card, as YAML."""
    task = "unconditional-image-generation" if info.sampler else "image-to-image"
    tags = [task, "i2i", info.method, *(["onnx"] if info.export else [])]
    facts: dict[str, Any] = {"license": licence(info.licence)}
    facts |= {"library_name": "i2i", "pipeline_tag": task, "tags": list(dict.fromkeys(tags))}
    if info.dataset in cards.names():  # a folder of the user's own is none that anybody could look up
        facts["datasets"] = [info.dataset]
    if info.metrics:
        facts["metrics"] = sorted(info.metrics)
    return yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)


def licence(text: str) -> str:
    """The Hub's name of a licence; ``other`` is one that it does not know, ``unknown`` none that is stated."""
    if not text:
        return "unknown"
    name = re.sub(r"[\s_]+", "-", text.strip().lower())
    return name if name in LICENCES else "other"


def portable(recipe: Path) -> str:
    """A run's recipe without the folders of the machine that it ran on: of each path its last part is left."""
    tree = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    return yaml.safe_dump(_without_paths(tree), sort_keys=False, allow_unicode=True, width=120)


def json_of(info: Info) -> str:
    return json.dumps(info.model_dump(mode="json"), indent=2) + "\n"


def _without_paths(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_paths(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_without_paths(value) for value in tree]
    if isinstance(tree, str) and re.match(r"[~/\\]|[A-Za-z]:[/\\]|\.\.?[/\\]", tree):
        return re.split(r"[/\\]", tree.rstrip("/\\"))[-1]
    return tree


def _use(info: Info, address: str) -> list[str]:
    if not info.products and not info.sampler:
        return []
    extras = "hub" if info.export else "train,hub"
    return [*modelcard.usage(info, extras, address), *(f"- {line}" for line in shipped.summary(info))]

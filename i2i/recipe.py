"""A recipe says how to learn: method, data, training, what to watch. One YAML file is the whole truth.

Overrides ``key.path=value`` are merged before validation, so they obey the same rules as the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, field_validator, model_validator

from i2i import formats, paths
from i2i.errors import RecipeError, UsageError, did_you_mean, needing
from i2i.strict import Key, Source, Strict, dotted, read_yaml, validate


def _height_width(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, str):
        sides = value.lower().split("x")
        if len(sides) == 2 and all(s.strip().isdigit() for s in sides):
            return int(sides[0]), int(sides[1])
    if isinstance(value, list | tuple) and len(value) == 2:
        return tuple(value)
    raise ValueError(f"expected pixels like 256, 256x512 (height x width) or [256, 512], not {value!r}")


def _per_domain(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


Side = Annotated[int, Field(ge=8)]
Size = Annotated[tuple[Side, Side], BeforeValidator(_height_width)]
Channels = Annotated[tuple[Literal[1, 3], Literal[1, 3]], BeforeValidator(_per_domain)]
Share = Annotated[float, Field(ge=0, le=1)]
# Strict: YAML's yes is True, and pydantic would take that for 1.
Count = Annotated[int, Field(ge=0, strict=True)]
Positive = Annotated[int, Field(ge=1, strict=True)]


TURNED = {"a2b": "b2a", "b2a": "a2b", "a": "b", "b": "a", "": ""}
"""The other direction, the other domain."""


class Data(Strict):
    """What is read, and how pictures become samples."""

    dataset: str  # a card's name or a folder
    split: str = Field("train", min_length=1)
    eval_split: str = ""  # empty: val if there is one, else test
    direction: Literal["a2b", "b2a"] = "a2b"  # b2a: the method's input is the data set's second domain
    size: Size = (256, 256)  # height and width of the training crops, pixels
    jitter: float = Field(1.0, ge=1)  # pictures are resized to size * jitter, then cropped at random to size
    flip: bool = True
    channels: Channels = (3, 3)  # of domain a and b: 3 color, 1 gray; [1, 3] on pictures of one domain is colorization
    labelled: Count = 0  # of a labelled set, how many pictures show their label, equally many a class; 0: all
    degradation: Literal["bicubic", "blind"] = "bicubic"  # how super-resolution makes its small pictures
    batch: Positive = 1  # per process
    workers: Count = 2
    cache_gb: float = Field(4.0, ge=0)  # disk for decoded pictures, so that none is decoded twice


class Optimizer(Strict):
    name: Literal["adam", "rmsprop", "sgd"] = "adam"
    lr: float = Field(2e-4, gt=0)
    betas: tuple[Share, Share] = (0.5, 0.999)  # of adam; the first is the momentum of sgd
    weight_decay: float = Field(0.0, ge=0)  # so many times each weight is added to its gradient (L2, not AdamW's rule)


class Train(Strict):
    """How long and by which rule. Progress counts images (samples seen by all processes together)."""

    images: Positive
    accumulate: Positive = 1  # batches a step: as one that is as large, but to what mixes pictures, like batch norm
    seed: int = Field(0, ge=0, lt=2**63)
    optimizer: Optimizer = Optimizer()
    rates: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)  # player: so many times optimizer.lr
    decay_from: Share = 1.0  # the share of images after which the learning rate falls linearly to zero
    clip_norm: float = Field(0.0, ge=0)  # 0: gradients are not clipped
    ema_halflife_images: Count = 0  # 0: products are the last weights, not an average
    precision: Literal["auto", "fp32", "tf32", "bf16", "fp16"] = "auto"
    recompute: bool = False  # generators compute activations again on the way back: less memory, more time
    channels_last: Literal["auto", True, False] = "auto"  # auto: on an NVIDIA GPU in low precision
    compile: Literal[True, False, "reduce-overhead"] = False  # reduce-overhead: also CUDA graphs, for small networks
    deterministic: bool = False  # refuse operations without a deterministic implementation

    @model_validator(mode="after")
    def _either(self) -> Train:
        if self.recompute and self.compile:
            raise ValueError("recompute and compile: what is compiled cannot be run in pieces: switch one of them off")
        return self


class Watch(Strict):
    """What is shown and kept, each every so many images; 0 switches it off, but the end is always saved."""

    log_images: Count = 100
    sheet_images: Count = 2000
    eval_images: Count = 2000
    save_images: Count = 2000
    sheet_rows: Positive = 4
    eval_count: Positive = 100  # held-out pictures that are measured
    metrics: tuple[str, ...] = ()  # what is measured, the first says which model is the best; empty: what fits the data
    keep: Positive = 2  # checkpoints; the best model is kept besides
    trackers: tuple[Literal["tensorboard", "wandb"], ...] = ()


    @field_validator("metrics")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            return names  # the table of metrics imports torch
        from i2i.metrics import find

        for name in names:
            try:
                find(name)
            except UsageError as e:
                raise ValueError(str(e)) from e
        return names


class Recipe(Strict):
    about: str = ""
    method: Any  # the Config of METHODS[method.name]
    data: Data
    train: Train
    watch: Watch = Watch()

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        if self.train.images < self.step_images:
            one = f"one batch ({self.data.batch})" if self.train.accumulate == 1 else f"one step ({self.step_images})"
            raise ValueError(f"train.images ({self.train.images}) is less than {one}")
        return self

    @property
    def step_images(self) -> int:
        """Images that one step of each process sees."""
        return self.data.batch * self.train.accumulate

    def dump(self) -> dict[str, Any]:
        """Plain values, every key spelt out."""
        return self.model_dump(mode="json", serialize_as_any=True)

    def write(self, path: Path) -> None:
        """The resolved recipe as YAML that ``load`` reads back to an equal one."""
        tree = {formats.KEY: formats.RECIPE.newest, **self.dump()}
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=120)
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(f"# The resolved recipe of this run: every key with the value that was used.\n{text}", "utf-8")
        draft.replace(path)


def names() -> list[str]:
    """The packaged recipes: ``<method>-<dataset>``."""
    return sorted(p.stem for p in paths.data("recipes").glob("*.yaml"))


def find(what: str) -> Path:
    """A recipe file by its path or its packaged name.

    Raises:
        RecipeError: there is none, with the nearest name.
    """
    path = Path(what)
    if path.suffix in (".yaml", ".yml") or path.parent != Path():
        if path.is_file():
            return path
        raise RecipeError(f"{what}: no such recipe file")
    packaged = paths.data("recipes") / f"{what}.yaml"
    if packaged.is_file():
        return packaged
    raise RecipeError(f"no recipe {what!r}{did_you_mean(what, names())} (i2i recipes list shows all)")


def find_for(method: str, dataset: str | None) -> Path:
    """The recipe of a method for a data set: its own, else the method's recipe for any folder.

    Raises:
        RecipeError: the method is not known; it may as well have been meant as a recipe's name.
    """
    known = sorted({n.split("-", 1)[0] for n in names()})
    if method not in known:
        near = did_you_mean(method, [*known, *names()])
        raise RecipeError(
            f"no method or recipe {method!r}{near} (methods: {', '.join(known)}; i2i recipes list shows all recipes)"
        )
    if dataset and "/" not in dataset and f"{method}-{dataset}" in names():
        return find(f"{method}-{dataset}")
    return find(f"{method}-folder")


def head(path: Path) -> str:
    """What a recipe says of itself, without validating it."""
    tree, _ = read_yaml(path, RecipeError)
    return str(tree.get("about", ""))


def load(path: Path, overrides: Sequence[str] = (), dataset: str | None = None) -> Recipe:
    """The recipe in a file, with overrides ``key.path=value``; ``dataset`` takes the place of the file's own.

    One of an older format is read as the newest says it.

    Raises:
        RecipeError: one line (file:line: key: what is wrong) for everything that is wrong.
    """
    tree, source = read_yaml(path, RecipeError)
    tree = formats.RECIPE.upgraded(tree, source.place((formats.KEY,)), RecipeError)
    del tree[formats.KEY]
    places = dict(source.places)
    if dataset is not None:
        _merge(tree, ("data", "dataset"), dataset)
        places["data", "dataset"] = "--dataset"
    for override in overrides:
        key, value = _parse(override)
        _merge(tree, key, value)
        places[key] = f"override {override}"
        for end in range(1, len(key)):
            places.setdefault(key[:end], f"override {override}")  # a block that only the override has
    return build(tree, Source(source.name, places))


def build(tree: dict[str, Any], source: Source) -> Recipe:
    """A recipe from plain values: every complaint at once, those about the method's own block too."""
    with needing("train"):
        from i2i.methods import METHODS
    complaints: list[str] = []
    config: Any = None
    block = tree.get("method")
    name = block.get("name") if isinstance(block, dict) else None
    if isinstance(block, dict) and isinstance(name, str) and name in METHODS:
        try:
            config = validate(METHODS[name].Config, block, source, RecipeError, at=("method",))
        except RecipeError as e:
            complaints.append(str(e))
    elif isinstance(block, dict):
        place = source.place(("method", "name"))
        say = f"{name!r} is not known{did_you_mean(str(name), METHODS)}" if "name" in block else "this key is missing"
        complaints.append(f"{place}: method.name: {say} (one of {', '.join(METHODS)})")
    elif "method" in tree:
        complaints.append(f"{source.place(('method',))}: method: expected a block with a name, like 'name: pix2pix'")
    try:
        recipe = validate(Recipe, tree, source, RecipeError)
    except RecipeError as e:
        complaints.append(str(e))
    if complaints:
        raise RecipeError("\n".join(complaints))
    return recipe.model_copy(update={"method": config})


def _parse(override: str) -> tuple[Key, Any]:
    key, sign, text = override.partition("=")
    if not sign or not re.fullmatch(r"[A-Za-z_]\w*(\.\w+)*", key):
        raise RecipeError(f"override {override!r}: expected key.path=value, like train.images=2000")
    try:
        return tuple(key.split(".")), _number(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as e:
        raise RecipeError(f"override {override[:80]!r}: the value is not valid YAML") from e


def _number(value: Any) -> Any:
    """YAML reads 2e-4 as text; on a command line nothing but the number can be meant."""
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value


def _merge(tree: dict[str, Any], key: Key, value: Any) -> None:
    node: Any = tree
    for i, part in enumerate(key[:-1]):
        node = node.setdefault(part, {})
        if not isinstance(node, dict):
            raise RecipeError(f"override {dotted(key)}: {dotted(key[: i + 1])} is a value, not a block")
    node[key[-1]] = value

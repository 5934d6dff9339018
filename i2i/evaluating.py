"""Evaluates a trained model on held-out pictures: what ``i2i eval`` does, by the functions that training uses."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import __version__, models, recipe, training
from i2i.card import names as cards
from i2i.data.batches import Images, Labelled, Pair, Reads, Reduced
from i2i.data.reduced import Reduction
from i2i.data.samples import Samples
from i2i.data.transforms import View
from i2i.doctor import version
from i2i.drawing import Draws
from i2i.errors import ModelError, UsageError, did_you_mean
from i2i.folder import SAMPLER, Info, Product, Sampler, read_info
from i2i.generator import Engine as DrawingEngine
from i2i.generator import open_sampler
from i2i.held import Net, Subject, Way, chosen, fitted, labels_of, measure, named, open_measured, palette_of
from i2i.history import goal
from i2i.methods import METHODS
from i2i.metrics import Metric, Setting
from i2i.recipe import Recipe
from i2i.run_torch import load_classifier, pick_device
from i2i.runs import RECIPE
from i2i.transfer import Progress
from i2i.translator import Engine, open_engine

HEADERS = ("metric", "value", "copy of the input", "pictures", "measured by")


def evaluate(
    model: str | Path, dataset: str | None = None, *, split: str | None = None, metrics: Sequence[str] = (),
    direction: str | None = None, count: int | None = None, device: str = "auto", mirror: str | None = None,
    say: Callable[[str], None] = lambda line: None, progress: Progress | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What was measured, and all that belongs beside the numbers, ready for JSON.

    Args:
        model: a run, a model folder (also an exported one), or the name of one.
        dataset: a card's name or a folder; by default what the model learned from.
        split: by default the one that its training measures on, else val, else test.
        metrics: names of METRICS; by default those that fit.
        direction: a2b or b2a; by default all that the model has.
        count: pictures of each side at most; by default all.
        say: is told when a data set has to be downloaded.

    Raises:
        ModelError: no such model, or it does not translate in that direction.
        DataError: the data set cannot be read, or is not of the kind that the model needs.
        UsageError: a metric that is not known, or fits neither the data nor the model; a split that is not there.
        FetchError, MissingExtra: what a metric needs cannot be had.
    """
    folder = models.find(model, progress)
    info = read_info(folder)
    keys = directions(folder, info, direction)
    own = own_recipe(folder) if dataset is None else None
    data = training.prepare(dataset or known_data(info, own), mirror, say)
    split = split_of(data, split, own)
    turned = own.data.direction == "b2a" if own else keys == ["b2a"]
    backward = {key: backwards(info, key, data.domains) for key in keys}
    reads, reduction = reads_of(info), None
    if reads is Reduced:
        reduction = Reduction(info.products[keys[0]].scale, own.data.degradation if own else "bicubic")
    view = View(info.size, channels=channels(info, backward, turned), direction="b2a" if turned else "a2b")
    samples = open_measured(reads, data.layout.splits[split], view, info.name, reduction)
    engines: dict[str, Any] = {key: open_engine(folder, info, key, device) for key in keys}
    ways = {
        key: Way(
            used(engine, info.products[key]), back=back != turned, maps=data.maps == ("a" if back else "b"),
            fills=info.products[key].masked,
        )
        for (key, engine), back in zip(engines.items(), backward.values(), strict=True)
    }
    place = pick_device(device if device in ("auto", "cpu") or not info.export else "auto")
    names = () if info.export else info.classifiers  # they are not exported
    classifiers = {name: named(load_classifier(folder, info, name).to(place)) for name in names}
    samplers = {}
    if info.sampler:
        sampler = open_sampler(folder, info, device)
        samplers[SAMPLER] = drawn(sampler, info.sampler)
        engines[SAMPLER] = sampler
    subject = Subject(ways, classifiers, samplers)
    count = min(count or len(samples), len(samples))
    fitting = chosen(metrics, subject, samples, info.size, count)
    if not fitting:
        kind = "labels" if samples.reads in (Labelled, Images) else "pairs"
        raise UsageError(f"the split {split} holds no {kind}: --metrics fd_effnet compares sets of pictures")
    setting = Setting(
        place, palette_of(data.card), labels_of(data, "b2a" if turned else "a2b") if samples.classes else None, say
    )
    return {
        "model": info.name, "method": info.method, "images": info.images, "dataset": data.card.name, "split": split,
        "directions": keys, "n": count, "size": None if reduction else list(info.size),
        "metrics": measure(subject, samples, fitting, setting, count),
        "measured_by": {
            name: {
                "numbers": [key + end for end in subject.names(metric).values() for key in metric.keys],
                "n": pictures(metric, subject, samples, count), "backend": backend(metric, setting),
            } for name, metric in fitting.items()
        },
        "degradation": reduction.degradation if reduction else None, "engine": engine_name(engines, place),
        "i2i": __version__,
    }  # fmt: skip


def directions(folder: Path, info: Info, asked: str | None) -> list[str]:
    """The products that are measured.

    Raises:
        ModelError: there is none in the direction that was asked for.
    """
    if asked is None:
        return list(info.products)
    if asked not in info.products:
        nothing = "it draws pictures" if info.sampler else "it is a classifier"
        has = f"{' and '.join(info.products)} only" if info.products else f"nothing: {nothing}"
        raise ModelError(f"{folder}: this model translates {has}, not {asked!r}")
    return [asked]


def own_recipe(folder: Path) -> Recipe | None:
    """The recipe of the run that a model lies in, which says what it learned from and how it was measured."""
    path = folder.parent / RECIPE
    return recipe.load(path) if path.is_file() else None


def known_data(info: Info, own: Recipe | None) -> str:
    """The data set that the model learned from.

    Raises:
        UsageError: it was a folder, and nobody knows where.
    """
    if own:
        return own.data.dataset
    if info.dataset not in cards():
        raise UsageError(f"{info.name}: its data set {info.dataset!r} is not known here: --dataset NAME or a folder")
    return info.dataset


def split_of(data: training.Prepared, asked: str | None, own: Recipe | None) -> str:
    """The split to measure on.

    Raises:
        UsageError: it is not there, or there is none but the one for training and nobody asked for that.
    """
    there = data.layout.splits
    wanted = asked or (own.data.eval_split if own else "") or next((s for s in ("val", "test") if s in there), "")
    if wanted in there:
        return wanted
    if wanted:
        near = did_you_mean(wanted, there)
        raise UsageError(f"{data.card.name} has no split {wanted!r}{near} (it has {', '.join(there)})")
    seen = "--split train measures pictures that may have been trained on"
    raise UsageError(f"{data.card.name} has no split val or test to measure on: {seen}")


def reads_of(info: Info) -> Reads:
    """What the method reads; of one that is not known here, what its networks say."""
    if info.method in METHODS:
        reads: Reads = METHODS[info.method].reads
        return reads
    if info.sampler:
        return Images
    if any(product.scale > 1 for product in info.products.values()):
        return Reduced
    return Labelled if info.classifiers or any(product.masked for product in info.products.values()) else Pair


def backwards(info: Info, key: str, domains: tuple[str, str]) -> bool:
    """Whether a product makes the data set's a from its b: by the names of the domains, else by its own name."""
    source, target = info.products[key].source, info.products[key].target
    return source == domains[1] if source != target and {source, target} == {*domains} else key == "b2a"


def channels(info: Info, backward: Mapping[str, bool], turned: bool) -> tuple[int, int]:
    """Of a batch's a and b."""
    for key, back in backward.items():
        given, made = info.products[key].channels
        return (made, given) if back != turned else (given, made)
    inputs = info.sampler.channels if info.sampler else next(iter(info.classifiers.values()))["inputs"]
    return inputs, inputs


def drawn(engine: DrawingEngine, sampler: Sampler) -> Draws:
    """What an engine draws, as a function of tensors."""

    def run(*given: Tensor) -> Tensor:
        return torch.from_numpy(engine.run(*(x.numpy(force=True) for x in given))).to(given[0].device)

    return Draws(run, sampler.latent, sampler.classes)


def used(engine: Engine, product: Product) -> Net:
    """An engine as a function of tensors."""

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(engine.run(x.numpy(force=True))).to(x.device)

    return fitted(run, product.multiple, product.scale)


def pictures(metric: Metric, subject: Subject, samples: Samples, count: int) -> int | dict[str, int]:
    """How many a metric saw; of each side, for one of sets: as many as were drawn, if they are."""
    if metric.needs != "sets" or subject.samplers:
        return count
    return {side: min(count, n) for side, n in zip("ab", samples.sizes, strict=True)}


def backend(metric: Metric, setting: Setting) -> str:
    """What computed a metric, with its versions."""
    packages = [f"{package} {version(package)}" for package in metric.packages]
    return ", ".join([*packages, *filter(None, [metric.measured_by(setting)])]) or f"i2i {__version__}"


def engine_name(engines: Mapping[str, Any], place: torch.device) -> str:
    """What ran the networks."""
    provider = next((getattr(engine, "provider", "") for engine in engines.values()), "")
    if not provider:
        return f"torch {torch.__version__} on {place}"
    return f"onnxruntime {version('onnxruntime-gpu') or version('onnxruntime')} on {provider}"


def rows(found: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The lines of a table, see HEADERS."""
    lines: list[tuple[str, ...]] = []
    values = found["metrics"]
    for how in found["measured_by"].values():
        seen = how["n"] if isinstance(how["n"], int) else f"{how['n']['a']} and {how['n']['b']}"
        for name in how["numbers"]:
            if name in values:
                worth = f"{values[name]:.4g} ({goal(name).split()[0]} is better)"
                copy = f"{values[f'{name}_input']:.4g}" if f"{name}_input" in values else ""
                lines.append((name, worth, copy, str(seen), how["backend"]))
    return lines


def headline(found: Mapping[str, Any]) -> str:
    size = "their own sizes" if found["size"] is None else "{1} x {0} pixels".format(*found["size"])
    ways = f", {' and '.join(found['directions'])}" if found["directions"] else ""
    return (
        f"{found['model']}{ways} on {found['dataset']}, split {found['split']}: {found['n']} pictures at {size}, "
        f"{found['engine']}"
    )


def write(found: Mapping[str, Any], path: Path) -> None:
    """As JSON; the file is there in full or not at all.

    Raises:
        UsageError: the place cannot be written.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(path)
    except OSError as e:
        raise UsageError(f"{path}: cannot be written ({e.strerror})") from e
    finally:
        draft.unlink(missing_ok=True)

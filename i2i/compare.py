"""Compares methods: a table says which trainings, each is run with every seed and with equal arithmetic or equally many
steps, one page comes out.

A comparison that was stopped goes on where it was; trainings that are done are not done again.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from pydantic import Field, model_validator

from i2i import paths, recipe, training
from i2i.errors import RecipeError, TrainingError, UsageError, did_you_mean
from i2i.folder import is_model, read_info
from i2i.ledger import write_json
from i2i.log import RunLog
from i2i.models import BEST
from i2i.runs import LOG, RECIPE, checkpoints
from i2i.strict import Strict, read_yaml, validate

PLAN, TABLE = "plan.json", "table"


class Row(Strict):
    """One line of the table: a method or a recipe, and what is set in it beside what all rows have."""

    train: str
    set: dict[str, Any] = Field(default_factory=dict)
    tflop: float | None = Field(None, gt=0)  # its own share of arithmetic


class Comparison(Strict):
    """A table to be filled.

    ``tflop``: 10^12 floating point operations that each training may spend (as ``flops`` counts them). ``steps``: or so
    many steps of the generator; a training whose critic takes ``n_critic`` steps for one of the generator sees that
    many times the images. Without either, each recipe's own number of images. ``evaluations``: with ``steps``, how
    often each training is measured and saved on its way, after equally many steps.
    """

    about: str
    dataset: str
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    tflop: float | None = Field(None, gt=0)
    steps: int | None = Field(None, ge=1)
    evaluations: int = Field(1, ge=1)
    set: dict[str, Any] = Field(default_factory=dict)
    rows: dict[str, Row] = Field(min_length=1)

    @model_validator(mode="after")
    def _apart(self) -> Comparison:
        folders = [_run(name, 0) for name in self.rows]
        if twice := [name for name in self.rows if folders.count(_run(name, 0)) > 1]:
            raise ValueError(f"rows {' and '.join(map(repr, twice))}: their runs would have one folder: rename one")
        return self

    @model_validator(mode="after")
    def _one_share(self) -> Comparison:
        if self.steps and (self.tflop or any(row.tflop for row in self.rows.values())):
            raise ValueError("steps and tflop: trainings are equal in one of them, not in both: leave one out")
        if self.evaluations > (self.steps or 1):
            raise ValueError(f"evaluations: {self.evaluations} need as many steps, not {self.steps or 'none'}")
        return self


def names() -> list[str]:
    """The packaged comparisons: ``recipes/tables/<name>.yaml``."""
    return sorted(p.stem for p in (paths.data("recipes") / "tables").glob("*.yaml"))


def load(what: str) -> Comparison:
    """A packaged comparison, or a YAML file of one's own.

    Raises:
        RecipeError: there is none, or it is not valid.
    """
    path = Path(what)
    if path.suffix not in (".yaml", ".yml"):
        if what not in names():
            raise RecipeError(f"no comparison {what!r}{did_you_mean(what, names())} (one of {', '.join(names())})")
        path = paths.data("recipes") / "tables" / f"{what}.yaml"
    return validate(Comparison, *read_yaml(path, RecipeError), RecipeError)


def compare(
    what: str, *overrides: str, dataset: str | None = None, out: Path | None = None, seeds: Sequence[int] | None = None,
    mirror: str | None = None, say: Callable[[str], None] = print,
) -> Path:  # fmt: skip
    """Fills a packaged comparison or that of a file, see ``fill``; ``out`` is ``runs/compare-<name>`` when None."""
    out = out or paths.runs() / f"compare-{Path(what).stem}"
    return fill(load(what), *overrides, dataset=dataset, out=out, seeds=seeds, mirror=mirror, say=say)


def fill(
    table: Comparison, *overrides: str, out: Path, dataset: str | None = None, seeds: Sequence[int] | None = None,
    mirror: str | None = None, say: Callable[[str], None] = print,
) -> Path:  # fmt: skip
    """Trains every row with every seed and writes ``table.md``, ``table.json`` and ``sheet.png`` into ``out``.

    Args:
        overrides: for all rows, after those of the table.
        dataset: another data set than the table's.
        seeds: others than the table's.

    Raises:
        UsageError: a run in ``out`` belongs to another comparison.
        RecipeError, DataError, TrainingError: as in ``training.train``.
    """
    dataset, seeds = dataset or table.dataset, tuple(seeds or table.seeds)
    data = training.prepare(dataset, mirror, say)
    plan: dict[str, list[str]] = {}
    for name, row in table.rows.items():
        words = _words(table, row, dataset, overrides, data, say)
        plan |= {_run(name, seed): [*words, f"train.seed={seed}"] for seed in seeds}
    agree(out, plan)
    for number, (name, (train, *words)) in enumerate(plan.items(), 1):
        run = out / name
        if _finished(run):
            say(f"{number} of {len(plan)}: {name}: done before")
            continue
        say(f"{number} of {len(plan)}: {name}")
        if checkpoints(run):
            training.resume(run, mirror=mirror)
        else:
            training.train(train, *words, dataset=dataset, out=run, mirror=mirror)
    found = {name: [measured(out / _run(name, seed)) for seed in seeds] for name in table.rows}
    write_json(out / f"{TABLE}.json", {"about": table.about, "dataset": dataset, "seeds": seeds, "rows": found})
    (out / f"{TABLE}.md").write_text(markdown(found), encoding="utf-8")
    from i2i.compare_sheet import draw

    draw(out, data, {name: out / _run(name, seeds[0]) for name in table.rows}, table.about)
    return out


def _run(row: str, seed: int) -> str:
    """The folder of a training: the row's name without what is awkward in a path."""
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', row).strip('_')}-{seed}"


def _words(
    table: Comparison, row: Row, dataset: str, overrides: Sequence[str], data: training.Prepared,
    say: Callable[[str], None],
) -> list[str]:  # fmt: skip
    """What ``training.train`` is told: method or recipe, then overrides, with as many images as the share allows."""
    said = [f"{key}={json.dumps(value)}" for key, value in {**table.set, **row.set}.items()]
    words = [*said, *overrides]
    path = recipe.find(row.train) if row.train in recipe.names() else recipe.find_for(row.train, dataset)
    wanted = recipe.load(path, words, dataset=dataset)
    share = row.tflop or table.tflop
    if share and not any(word.startswith("train.images=") for word in words):
        from i2i.flops import per_image

        each = per_image(wanted, data)
        images = max(1, round(share * 1e12 / each / wanted.step_images)) * wanted.step_images
        words.append(f"train.images={images}")
        say(f"{row.train}: {each / 1e9:.2f} GFLOP an image, {images:,} images")
    if table.steps and not any(word.startswith("train.images=") for word in words):
        images = table.steps * wanted.step_images * critic_steps(wanted)
        words.append(f"train.images={images}")
        every = -(-images // table.evaluations)
        for key in ("watch.eval_images", "watch.save_images"):
            if not any(word.startswith(f"{key}=") for word in words):
                words.append(f"{key}={every}")
    return [row.train, *words]


def critic_steps(wanted: recipe.Recipe) -> int:
    """How many steps a training takes for one of its generator: ``n_critic`` of its method, 1 where there is none."""
    return int(getattr(wanted.method, "n_critic", 1))


def agree(out: Path, plan: dict[str, list[str]]) -> None:
    """Keep the plan beside the runs, so that a later call can see whether they are the same trainings.

    Raises:
        UsageError: one of them was made otherwise.
    """
    path = out / PLAN
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name, words in plan.items():
        if before.get(name, words) != words:
            other = " ".join(sorted({*before[name]} ^ {*words}))
            raise UsageError(f"{out / name}: was trained otherwise ({other}): choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    write_json(path, {**before, **plan})


def _finished(run: Path) -> bool:
    events = RunLog.read(run / LOG)
    return bool(events) and events[-1]["event"] == "end"


def measured(run: Path) -> dict[str, Any]:
    """What the last evaluation of a finished run found, with the images and seconds that it took; under ``best`` what
    was found of the best model, with its images.

    Of a method that translates both ways it is the way that the recipe calls its direction.

    Raises:
        TrainingError: it has not ended: another process has begun it anew meanwhile.
    """
    events = RunLog.read(run / LOG)
    end = next((e for e in reversed(events) if e["event"] == "end"), None)
    if end is None:
        raise TrainingError(f"{run}: another process trains it now: say the same again when that has ended")
    last: dict[str, Any] = next((e for e in reversed(events) if e["event"] == "eval"), {})
    way = recipe.load(run / RECIPE).data.direction
    found: dict[str, Any] = {"images": end["images"], "seconds": round(end["seconds"], 1), **_numbers(last, way)}
    if is_model(run / BEST):
        info = read_info(run / BEST)
        found["best"] = {"images": info.images, **_numbers(info.metrics, way)}
    return found


def _numbers(values: Mapping[str, Any], way: str) -> dict[str, Any]:
    other = ("event", "steps", "images", "seconds", "split", "time", "n")
    kept = {k: v for k, v in values.items() if k not in other and recipe.TURNED[way] not in k}
    return {key.replace(f"_{way}", ""): value for key, value in kept.items()}


def markdown(found: dict[str, list[dict[str, Any]]]) -> str:
    """The table: for each number its mean over the seeds and, with two or more, its sample standard deviation. The best
    models have columns of their own unless all are the last ones."""
    best = any(row.get("best", row).get("images") != row.get("images") for rows in found.values() for row in rows)
    flat = {name: [_flat(row) if best else row for row in rows] for name, rows in found.items()}
    keys = list(dict.fromkeys(k for rows in flat.values() for row in rows for k, v in row.items() if _number(v)))
    head = f"| | {' | '.join(keys)} |\n|---|{'---|' * len(keys)}\n"
    lines = []
    for name, rows in flat.items():
        cells = " | ".join(_cell([row.get(key) for row in rows]) for key in keys)
        lines.append(f"| {name} | {cells} |\n")
    return head + "".join(lines)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return row | {f"best: {key}": value for key, value in row.get("best", {}).items()}


def _cell(values: list[Any]) -> str:
    known = [v for v in values if _number(v)]
    if not known:
        return ""
    mean = fmean(known)
    digits = 0 if abs(mean) >= 100 or all(isinstance(v, int) for v in known) else 2 if abs(mean) >= 10 else 3
    spread = f" ± {stdev(known):.{digits}f}" if len(known) > 1 and len({*known}) > 1 else ""
    return f"{mean:,.{digits}f}{spread}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

"""What a run folder says about itself: its log and recipe, read so that nothing in them can surprise who draws them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from i2i import paths
from i2i.charts import Point
from i2i.errors import UsageError, did_you_mean
from i2i.log import RunLog

HIGHER = ("psnr", "ssim", "accuracy", "label", "precision", "recall", "density", "coverage")  # is better
LOWER = ("fid", "kid", "fd", "lpips", "l1", "mae")


@dataclass(frozen=True)
class Run:
    """What a run folder says about itself."""

    folder: Path
    events: list[dict[str, Any]]
    recipe_text: str
    recipe: dict[str, Any]

    @cached_property
    def placed(self) -> dict[str, list[dict[str, Any]]]:
        """By kind, the events that say after how many images they happened, in the order of images."""
        kinds: dict[str, list[dict[str, Any]]] = {}
        for event in self.events:
            images = real(event.get("images"))
            if images is not None and images >= 0:
                kinds.setdefault(event["event"], []).append(event)
        return {kind: sorted(events, key=lambda e: e["images"]) for kind, events in kinds.items()}

    def of(self, kind: str) -> list[dict[str, Any]]:
        return self.placed.get(kind, [])

    @property
    def reached(self) -> float:
        """The images seen when the log was last written."""
        return max((float(events[-1]["images"]) for events in self.placed.values()), default=0.0)

    def setting(self, *keys: str) -> Any:
        """A value of the recipe, or None."""
        value: Any = self.recipe
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value


def read(run: Path) -> Run:
    """The log and the recipe of a run folder.

    Raises:
        UsageError: the folder has neither.
    """
    log, recipe = run / "log.jsonl", run / "recipe.yaml"
    if not log.is_file() and not recipe.is_file():
        here = "a file, and no run folder" if run.is_file() else "no such folder"
        what = "not a run folder (neither log.jsonl nor recipe.yaml in it)" if run.is_dir() else here
        near = paths.runs()
        others = [str(near / p.name) for p in near.iterdir() if (p / "log.jsonl").is_file()] if near.is_dir() else []
        raise UsageError(f"{run}: {what}{did_you_mean(str(run), others)}")
    text = tidy(recipe.read_text(encoding="utf-8", errors="replace")) if recipe.is_file() else ""
    try:
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        tree = None
    return Run(run, RunLog.read(log), text, tree if isinstance(tree, dict) else {})


def real(value: Any) -> float | None:
    """A number that can be drawn, else None: a log may hold anything."""
    if type(value) not in (int, float) or not -1e30 < value < 1e30:  # bool is an int, but no number here
        return None
    return float(value) if abs(value) > 1e-30 else 0.0


def series(records: Sequence[dict[str, Any]], key: str) -> list[Point]:
    return [(e["images"], real(e[key])) for e in records if key in e]


def resumes(run: Run) -> list[float]:
    return sorted({e["images"] for e in run.of("resume")})


def metrics(run: Run) -> list[tuple[tuple[str, str], list[Point], float | None]]:
    """``((split, metric), values, value of the copied input)`` for everything that was measured."""
    lines: dict[tuple[str, str], list[Point]] = {}
    copies: dict[tuple[str, str], float] = {}
    for event in run.of("eval"):
        split = str(event.get("split", "held out"))
        for key, value in event.items():
            if key in ("images", "n", "steps", "seconds", "time") or (y := real(value)) is None:
                continue
            if key.endswith("_input"):
                copies[split, key.removesuffix("_input")] = y
            else:
                lines.setdefault((split, key), []).append((event["images"], y))
    return [(key, points, copies.get(key)) for key, points in lines.items()]


def goal(metric: str) -> str:
    """``higher is better``, ``lower is better``, or nothing for a metric that is not known."""
    for names, words in ((HIGHER, "higher is better"), (LOWER, "lower is better")):
        if metric.split("_")[0] in names:
            return words
    return ""


def best(metric: str, points: Sequence[Point]) -> tuple[float, float]:
    known = [(x, y) for x, y in points if y is not None]
    if goal(metric) == "higher is better":
        return max(known, key=lambda p: p[1])
    return min(known, key=lambda p: p[1]) if goal(metric) else known[-1]


def status(run: Run, seen: float, total: float | None) -> tuple[bool, str]:
    """Whether the training came to its end, and a word for it."""
    if total and seen >= total:
        return True, "finished"
    ended = next((e["event"] == "end" for e in reversed(run.events) if e["event"] in ("start", "resume", "end")), False)
    if ended and not total:
        return True, "finished"
    return False, ("stopped" if ended else "not finished") + (f" at {100 * seen / total:.0f} %" if total else "")


def all_sheets(run: Run) -> list[tuple[float, Path]]:
    """The sheets that exist: those of the log, else those found in the folder. Nothing outside the run folder."""
    logged = {str(e.get("file")): e["images"] for e in run.of("sheet")}
    root = run.folder.resolve()
    if not logged:
        logged = {
            f"sheets/{p.name}": float(p.stem) for p in sorted((root / "sheets").glob("*.png")) if p.stem.isdecimal()
        }
    found = []
    for name, at in logged.items():
        try:
            path = (root / name).resolve()
            if path.is_relative_to(root) and path.is_file():
                found.append((float(at), path))
        except (OSError, ValueError):  # a name that no file can have
            continue
    return sorted(found)


def tidy(text: str) -> str:
    """Reports are shown to others: the home folder of the person who trained is nobody's business."""
    home = str(Path.home())
    return re.sub(re.escape(home) + r"(?![\w.-])", "~", text) if len(home) > 1 else text

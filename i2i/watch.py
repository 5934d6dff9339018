"""What is shown and kept while a trainer works: lines of the log, sample sheets, evaluation, checkpoints, models."""

from __future__ import annotations

import shutil
import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from i2i import folder, sheets
from i2i.data.batches import loader
from i2i.display import display
from i2i.drawing import Draws
from i2i.errors import RecipeError, UsageError
from i2i.held import Held, Subject, Way, better, chosen, fitted, labels_of, measure, named, palette_of
from i2i.log import RunLog
from i2i.metrics import Metric, Setting
from i2i.metrics.pixel import as_written
from i2i.nets import takes_mask
from i2i.nets.used import Used, seeded
from i2i.recipe import TURNED, Recipe
from i2i.runs import checkpoint_of, checkpoints
from i2i.trackers import Trackers
from i2i.trainer import Trainer
from i2i.zoo.base import Drawing

if TYPE_CHECKING:
    from i2i.training import Prepared


class Watch:
    """The periodic work of one process, the main one, on one run folder."""

    def __init__(
        self, run: Path, recipe: Recipe, data: Prepared, held: Held, log: RunLog, show: display, trackers: Trackers
    ):
        self.run, self.recipe, self.data, self.held = run, recipe, data, held
        self.dataset = data.card.name
        self.log, self.show, self.trackers = log, show, trackers
        # Methods call their input a; the data set's own names and directions are what users know.
        self.turned = recipe.data.direction == "b2a"
        shown = data.shown(held.shown.reads, recipe.data.direction)
        self.names = dict(zip("ab", reversed(shown) if self.turned else shown, strict=True))
        self.metrics: dict[str, Metric] = {}
        self.setting = Setting()
        self.mark = (0, 0.0, 0.0)

    def start(self, trainer: Trainer) -> None:
        """Hook into a trainer that is about to start or to go on.

        Raises:
            RecipeError: ``watch.metrics`` does not fit the data or the method.
            FetchError, MissingExtra: what a metric needs cannot be had.
        """
        watch = self.recipe.watch
        if watch.eval_images:
            self.prepare(trainer)
        trainer.periodic = [
            (watch.log_images, self.losses), (watch.sheet_images, self.sheet),
            (watch.eval_images, self.evaluate), (watch.save_images or self.recipe.train.images, self.save),
        ]  # fmt: skip
        self.mark = (trainer.images, trainer.seconds, trainer.waited)

    def record(self, event: str, trainer: Trainer, **values: Any) -> dict[str, Any]:
        values = {"images": trainer.images, "steps": trainer.steps, "seconds": round(trainer.seconds, 3), **values}
        self.log.write(event, **values)
        self.show.update({"event": event, **values})
        return values

    def losses(self, trainer: Trainer) -> None:
        """One line of the log: the mean of every loss term since the last one, and the speed."""
        trainer.check_finite()
        images, seconds, waited = self.mark
        spent = max(trainer.seconds - seconds, 1e-9)
        self.mark = (trainer.images, trainer.seconds, trainer.waited)
        rates = {who: opt.param_groups[0]["lr"] for who, opt in trainer.opts.items()}
        values = self.record(
            "losses", trainer, images_per_second=(trainer.images - images) / spent,
            data_wait=(trainer.waited - waited) / spent, lr=rates, **trainer.losses.means(),
        )  # fmt: skip
        trainer.losses.clear()
        self.trackers.losses(trainer.images, values)

    def used(self, trainer: Trainer) -> dict[str, Used]:
        return {name: Used(net, trainer.method.inference) for name, net in trainer.products.items()}

    def sheet(self, trainer: Trainer) -> None:
        """A sample sheet of held-out pictures as PNG."""
        method, count = trainer.method, min(self.recipe.watch.sheet_rows, len(self.held.shown))
        # What is drawn belongs to no picture: all rows at once. Pictures to translate may be of any size.
        at_once = count if isinstance(method, Drawing) else 1
        batches = loader(self.held.shown, batch=at_once, shuffle=False, stop=count, device=trainer.device)
        nets = self.used(trainer)
        columns: dict[tuple[str, int], list[Any]] = {}
        for batch in batches:
            for caption, found in method.panels(nets, batch).items():
                for i, column in enumerate(found.unbind(1) if found.ndim == 5 else [found]):
                    key = (caption.format(**self.names), i)
                    columns.setdefault(key, []).extend(pixels(picture[None]) for picture in column)
        headers = ["" if i else caption for caption, i in columns]
        title = f"{self.recipe.method.name} · {self.dataset} · {self.held.split} · {trainer.images:,} images seen"
        path = self.run / "sheets" / f"{trainer.images:08d}.png"
        sheets.save(sheets.sheet(list(zip(*columns.values(), strict=True)), headers, title), path)
        self.record("sheet", trainer, file=path.relative_to(self.run).as_posix())
        self.trackers.sheet(trainer.images, path)

    def prepare(self, trainer: Trainer) -> None:
        """Choose what is measured, and load what that needs: better now than when the first evaluation is due."""
        asked, held = self.recipe.watch.metrics, self.held
        if held.measured is None:
            if asked:
                why = f"all pictures are in the split {held.split}, which is trained on: nothing is held out to measure"
                raise RecipeError(f"watch.metrics: {why}")
            return
        labels = labels_of(self.data, self.recipe.data.direction)
        self.setting = Setting(trainer.device, palette_of(self.data.card), labels, self.show.note)
        subject, size, count = self.subject(trainer), self.recipe.data.size, self.recipe.watch.eval_count
        try:
            self.metrics = chosen(asked, subject, held.measured, size, count)
        except UsageError as e:
            raise RecipeError(f"watch.metrics: {e}") from e
        with seeded(0, trainer.device):
            for metric in self.metrics.values():
                metric.new(self.setting)

    def subject(self, trainer: Trainer) -> Subject:
        """The products as users would run them, and the classifiers."""
        method = trainer.method
        classifiers = {name: named(net) for name, net in method.classifiers.items()}
        if isinstance(method, Drawing):
            draws = {name: Draws(used, method.latent, method.classes) for name, used in self.used(trainer).items()}
            return Subject({}, classifiers, draws)
        maps = TURNED[self.data.maps] if self.turned else self.data.maps
        ways = {}
        for name, used in self.used(trainer).items():
            target = "a" if name == "b2a" else "b"
            net: Any = trainer.products[name]
            call = fitted(used, net.multiple, net.scale)
            way = Way(call, back=target == "a", maps=target == maps, fills=takes_mask(net))
            ways[self.public(name)] = way
        return Subject(ways, classifiers)

    def evaluate(self, trainer: Trainer) -> None:
        """Measure on held-out pictures, beside the naive copy of the input; keep the best as ``best/``."""
        if self.held.measured is None or not self.metrics:
            return
        subject, count = self.subject(trainer), min(self.recipe.watch.eval_count, len(self.held.measured))
        metrics = measure(subject, self.held.measured, self.metrics, self.setting, count)
        values = self.record("eval", trainer, split=self.held.split, n=count, **metrics)
        self.trackers.losses(trainer.images, {k: v for k, v in values.items() if k in metrics})
        trainer.measured = {"images": trainer.images, "metrics": metrics}
        first = next(iter(self.metrics.values()))
        before = subject.score(trainer.best["metrics"], first) if trainer.best else None
        if better(first.keys[0], subject.score(metrics, first), before):
            trainer.best = trainer.measured
            self.write_model(trainer, "best", metrics)

    def save(self, trainer: Trainer) -> None:
        """A checkpoint to resume from and the model as it is now; only the last ``watch.keep`` checkpoints stay."""
        began = time.perf_counter()
        path = checkpoint_of(self.run, trainer.images)
        trainer.save(path)
        if trainer.accelerator.is_main_process:
            now = trainer.measured.get("images") == trainer.images
            self.write_model(trainer, "model", trainer.measured["metrics"] if now else {})
            for old in checkpoints(self.run)[: -self.recipe.watch.keep]:
                discard(old)
            took = time.perf_counter() - began
            self.record("save", trainer, folder=path.relative_to(self.run).as_posix(), took=round(took, 3))

    def public(self, product: str) -> str:
        """The name of a product in terms of the data set's domains."""
        return TURNED[product] if self.turned else product

    def write_model(self, trainer: Trainer, name: str, metrics: dict[str, float]) -> None:
        """The products as a model folder of the run."""
        a, b = self.names["a"], self.names["b"]
        products, tensors, sampler = {}, {}, None
        for product, net in trainer.products.items():
            if isinstance(trainer.method, Drawing):
                sampler = trainer.method.described(net)
                tensors[product] = net.state_dict()
                continue
            source, target = (a, b) if product == "a2b" else (b, a)
            described: Any = net.config  # torch types every attribute of a network as a tensor or a network
            config = described.model_dump(mode="json")
            products[self.public(product)] = folder.Product(
                source=source, target=target, generator=config, multiple=net.multiple, scale=net.scale,
                channels=(config["inputs"], config["outputs"]), masked=takes_mask(net),
            )  # fmt: skip
            tensors[self.public(product)] = net.state_dict()
        classifiers = {}
        for key, net in trainer.method.classifiers.items():
            described = net.config
            classifiers[key] = described.model_dump(mode="json")
            tensors[key] = net.state_dict()
        info = folder.Info(
            name=self.run.resolve().name, method=self.recipe.method.name, dataset=self.dataset,
            size=self.recipe.data.size, images=trainer.images, seconds=round(trainer.seconds, 1),
            products=products, classifiers=classifiers,
            default=self.public("a2b") if products else "", sampler=sampler,
            inference=trainer.method.inference, metrics=metrics, licence=self.data.card.about.licence,
        )  # fmt: skip
        folder.write(self.run / name, info, tensors)


def pixels(batch: Tensor) -> Any:
    """The first picture of a batch [N, C, H, W] in [-1, 1] as uint8 [H, W, C]."""
    return (as_written(batch[0]) * 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()


def discard(path: Path) -> None:
    """Remove a folder so that a half-removed one cannot be taken for a whole one."""
    dead = path.with_name(f".{path.name}.dead")
    path.rename(dead)
    shutil.rmtree(dead)


def last_sheet(run: Path) -> Path | None:
    return next(islice(sorted((run / "sheets").glob("*.png"), reverse=True), 1), None)

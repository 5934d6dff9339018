"""From a recipe to a trained run, and on from a run that was stopped: what ``i2i train`` and ``i2i.train`` do."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2i import __version__, card, fetch, recipe, runs
from i2i.errors import DataError, NotFinite, RecipeError, TrainingError, UsageError, needing
from i2i.memory import exhausted
from i2i.runs import LOG, RECIPE, checkpoint_of, checkpoints

if TYPE_CHECKING:
    from accelerate import Accelerator

    from i2i.data.layouts import Layout
    from i2i.held import Held
    from i2i.methods.base import Method
    from i2i.recipe import Recipe
    from i2i.trainer import Trainer

RESUMABLE = (
    "train.images", "train.decay_from", "train.optimizer.lr", "train.clip_norm", "train.precision", "train.recompute",
    "train.compile", "watch.", "data.dataset", "data.workers", "data.cache_gb",
)  # fmt: skip
"""What may be changed when a run goes on; everything else would make it another experiment."""


def train(
    what: str, *overrides: str, dataset: str | None = None, out: str | Path | None = None, seed: int | None = None,
    mirror: str | None = None, quiet: bool = False,
) -> Path:  # fmt: skip
    """Train and return the run folder.

    Args:
        what: a method (its recipe for ``dataset`` is taken), a packaged recipe's name, or a recipe file.
        overrides: ``"train.images=2000"`` and the like, validated like the file.
        dataset: a card's name or a folder; the recipe's own when None.
        out: the run folder; ``runs/<method>-<dataset>`` with a free number when None.
        mirror: a folder or address that is asked first for downloads.

    Raises:
        I2IError: anything in recipe, data or training that needs the user.
    """
    extra = [] if seed is None else [f"train.seed={seed}"]
    path = recipe.find(what) if what.endswith((".yaml", ".yml")) or what in recipe.names() else None
    if path is None:
        path = recipe.find_for(what, dataset)
        if dataset is None and not any(o.startswith("data.dataset=") for o in overrides):
            names = "NAME (i2i datasets list shows all)"
            raise UsageError(f"train {what} on what? --dataset {names} or --dataset ./my_folder")
    wanted = _placed(recipe.load(path, [*overrides, *extra], dataset=dataset))
    name = f"{wanted.method.name}-{Path(wanted.data.dataset).name or 'data'}"
    return _run(lambda: runs.new(out, name), wanted, False, mirror, quiet)


def resume(run: str | Path, *overrides: str, mirror: str | None = None, quiet: bool = False) -> Path:
    """Go on with a run from its newest checkpoint, exactly as if it had not been stopped.

    Args:
        overrides: what ``RESUMABLE`` names (say, more images), nothing that makes it another experiment. More images
            change the learning rate, which falls towards the last of them.

    Raises:
        TrainingError: not a run, nothing to resume from, or a damaged checkpoint.
    """
    run = Path(run)
    if not (run / RECIPE).is_file():
        raise TrainingError(f"{run}: not a run ({RECIPE} is missing)")
    for override in overrides:
        if not override.startswith(RESUMABLE):
            allowed = ", ".join(f"{name}*" if name.endswith(".") else name for name in RESUMABLE)
            raise RecipeError(f"override {override!r}: a resumed run can change {allowed} only")
    if not checkpoints(run):
        anew = f"start it anew with i2i train {run / RECIPE} --out {run}"
        raise TrainingError(f"{run}: no checkpoint to go on from; {anew}")
    return _run(lambda: run, _placed(recipe.load(run / RECIPE, overrides)), True, mirror, quiet)


def _placed(wanted: Recipe) -> Recipe:
    """The recipe with the full paths of its folder and files: the run can be resumed from anywhere."""
    name, watch = wanted.data.dataset, wanted.watch
    folder = Path(name).expanduser() if name.startswith("~") else Path(name)
    parts = (metric.partition(":") for metric in watch.metrics)
    metrics = tuple(f"{kind}:{Path(file).resolve()}" if colon else kind for kind, colon, file in parts)
    wanted = wanted.model_copy(update={"watch": watch.model_copy(update={"metrics": metrics})})
    if (name in card.names() and folder.name == name) or not folder.is_dir():
        return wanted
    return wanted.model_copy(update={"data": wanted.data.model_copy(update={"dataset": str(folder.resolve())})})


@dataclass(frozen=True)
class Prepared:
    """A data set that is here: its card and its files."""

    card: card.Card
    layout: Layout

    @property
    def domains(self) -> tuple[str, str]:
        """The names of a and b: what the card says, for a user's own folder what the folders are called."""
        names = self.layout.domains or self.card.domains
        return names[0], names[-1]

    @property
    def maps(self) -> str:
        """The domain that is label maps of a known palette: a, b, or empty."""
        palette = self.card.palette
        return "ab"[self.card.domains.index(palette.domain)] if palette else ""

    def shown(self, reads: type, direction: str) -> tuple[str, str]:
        """The names of a and b for a method that reads ``reads``: both are those of the one domain that it sees."""
        from i2i.data.batches import Images, Labelled, Reduced

        a, b = self.domains
        only = b if direction == "a2b" else a
        unlabelled = reads is Labelled and self.layout.name != "arrays"
        return (only, only) if reads in (Reduced, Images) or unlabelled else (a, b)


def prepare(dataset: str, mirror: str | None, say: Callable[[str], None]) -> Prepared:
    """The data set of a name or folder; a known one is downloaded if it is not here yet."""
    from i2i.data import layouts

    if dataset in card.names():
        known = card.load(dataset)
        if not fetch.is_ready(known):
            say(f"{dataset}: not here yet, downloading")
            for note in fetch.download(known, mirror=mirror).notes:
                say(note)
    found, root = card.resolve(dataset)
    return Prepared(found, layouts.recognise(root))


def _run(claim: Callable[[], Path], wanted: Recipe, resumed: bool, mirror: str | None, quiet: bool) -> Path:
    with needing("train"):
        import torch
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState
        from accelerate.utils import broadcast_object_list
        from safetensors import SafetensorError

        from i2i import cuda, numerics
        from i2i.trainer import Stopped
    from rich.console import Console

    cpu = not (torch.cuda.is_available() or torch.backends.mps.is_available())
    AcceleratorState._reset_state()  # it is one per process and would keep the precision of an earlier training
    accelerator = Accelerator(cpu=cpu, mixed_precision=numerics.precision(wanted.train.precision, cpu))
    main = accelerator.is_main_process
    console = Console(quiet=quiet or not main)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    data = prepare(wanted.data.dataset, mirror, say)  # processes on one machine wait for the first one's download
    run = None
    chosen = cuda.switches(wanted.train, accelerator.device, accelerator.mixed_precision != "no")
    with numerics.deterministic(wanted.train.deterministic), cuda.switched(chosen), ExitStack() as held_open:
        try:
            named = [str(claim()) if main else ""]
            run = Path(broadcast_object_list(named)[0])
            if main:
                held_open.enter_context(runs.claimed(run))
            _train(run, wanted, data, accelerator, resumed, quiet, say)
        except Stopped as e:
            say(f"stopped and saved at {e}; go on with: i2i train --resume {run}")
            raise KeyboardInterrupt from None
        except NotFinite as e:
            slower = f"train.optimizer.lr={wanted.train.optimizer.lr / 2:.1e}"
            kept = f"the last good state is kept: i2i train --resume {run} {slower}"
            saved = run is not None and checkpoints(run)
            raise TrainingError(f"{e}; {kept if saved else f'nothing had been saved yet: try {slower}'}") from e
        except (OSError, SafetensorError) as e:
            place, why = getattr(e, "filename", None) or run, getattr(e, "strerror", None) or str(e)
            on = f"; when that is mended: i2i train --resume {run}" if run and checkpoints(run) else ""
            raise TrainingError(f"{place}: cannot be written ({why}){on}") from e
        except RuntimeError as e:
            if wanted.train.deterministic and "deterministic" in str(e):
                raise TrainingError(f"train.deterministic: {str(e).splitlines()[0][:200]}") from e
            if exhausted(e):
                less = "a smaller data.batch with train.accumulate as much larger, train.recompute=true, or a smaller"
                raise TrainingError(f"too much for the memory of this machine: take {less} data.size") from e
            raise
    return run


def _train(
    run: Path, wanted: Recipe, data: Prepared, accelerator: Accelerator, resumed: bool, quiet: bool,
    say: Callable[[str], None],
) -> None:  # fmt: skip
    """Build everything, train, and say where the results are."""
    import torch

    from i2i import report
    from i2i.display import eval_line
    from i2i.methods import METHODS
    from i2i.trainer import Stopped, Trainer
    from i2i.watch import last_sheet
    from i2i.zoo.base import Drawing

    view = _view(wanted)
    dataset, held = _open(wanted, data, METHODS[wanted.method.name].reads, view)
    torch.manual_seed(wanted.train.seed)
    method = _method(wanted, view, dataset)
    if not resumed:
        method.begin(-(-wanted.train.images // (wanted.step_images * accelerator.num_processes)))
    wanted = wanted.model_copy(update={"method": method.cfg})
    torch.manual_seed(wanted.train.seed + accelerator.process_index)
    trainer = Trainer(method, wanted, dataset, accelerator)
    if resumed:
        trainer.load(checkpoints(run)[-1])
        if trainer.images >= wanted.train.images:
            raise TrainingError(
                f"{run}: already trained to the end ({trainer.images:,} images): i2i train --resume {run} "
                f"train.images={2 * wanted.train.images} goes on, with the learning rate that belongs to so many"
            )
    main = accelerator.is_main_process
    try:
        if main:
            wanted.write(run / RECIPE)
            _train_watched(run, wanted, data, held, trainer, resumed, quiet)
        else:
            _train_along(run, wanted, trainer)
    except Stopped:
        if main:
            report.write(run)
        raise
    if not main:
        return
    page, sheet = report.write(run), last_sheet(run)
    waited = 100 * trainer.waited / max(trainer.seconds, 1e-9)
    say(f"trained {trainer.images:,} images in {_duration(trainer.seconds)}, {waited:.1f} % of it waiting for data")
    for name, found in {"measured": trainer.measured, "best": trainer.best}.items():
        if found and not (name == "best" and found["images"] == trainer.measured["images"]):
            line = eval_line({"split": held.split, **found["metrics"]})
            where = f" ({run / 'best'})" if name == "best" else ""
            say(f"  {name:<10} {line} at {found['images']:,} images{where}")
    say(f"  sheet      {sheet or 'none'}")
    say(f"  report     {page}")
    if isinstance(method, Drawing):
        say(f"  draw       i2i generate --model {run} -n 64 --sheet")
    else:
        say(f"  translate  i2i translate PICTURE --model {run}")


def _train_watched(
    run: Path, wanted: Recipe, data: Prepared, held: Held, trainer: Trainer, resumed: bool, quiet: bool
) -> None:
    """Train in the main process, with the log, the display and everything periodic."""
    import torch

    from i2i import numerics
    from i2i.display import display
    from i2i.log import RunLog
    from i2i.trackers import open_trackers
    from i2i.trainer import Stopped
    from i2i.watch import Watch

    name = data.card.name
    title = f"{wanted.method.name} on {name} → {run}"
    if resumed:
        RunLog.rewind(run / LOG, trainer.images)
    else:
        (run / LOG).unlink(missing_ok=True)  # of a start that never came to a checkpoint
    with RunLog(run / LOG) as log, display(wanted.train.images, title, quiet=quiet) as show:
        trackers = open_trackers(wanted.watch.trackers, run, wanted.dump(), images=trainer.images, warn=show.note)
        watch = Watch(run, wanted, data, held, log, show, trackers)
        watch.start(trainer)
        log.write(
            "resume" if resumed else "start", time=time.time(), images=trainer.images,
            recipe=f"{wanted.method.name}-{name}", device=str(trainer.device), processes=trainer.world,
            precision=numerics.said(trainer.accelerator.mixed_precision),
            threads=torch.get_num_threads(), version=__version__, torch=torch.__version__,
            python=platform.python_version(),
        )  # fmt: skip
        try:
            trainer.train()
        except (Stopped, DataError):  # a picture that cannot be read: mend it and go on from here
            watch.save(trainer)
            raise
        finally:
            trackers.close()
        log.write("end", time=time.time(), images=trainer.images, seconds=trainer.seconds)


def _train_along(run: Path, wanted: Recipe, trainer: Trainer) -> None:
    """Train in every other process: the same steps, and its own part of each checkpoint."""
    from i2i.trainer import Stopped

    def check(trainer: Trainer) -> None:
        trainer.check_finite()
        trainer.losses.clear()

    def save(trainer: Trainer) -> None:
        trainer.save(checkpoint_of(run, trainer.images))

    # What the main process does together with the others, at the same steps and in the same order.
    trainer.periodic = [(wanted.watch.log_images, check), (wanted.watch.save_images or wanted.train.images, save)]
    try:
        trainer.train()
    except (Stopped, DataError):
        save(trainer)
        raise


def _method(wanted: Recipe, view: Any, samples: Any) -> Method:
    """The recipe's method with fresh weights, for pictures as ``samples`` gives them."""
    from i2i.methods import METHODS
    from i2i.methods.base import Task

    task = Task(a=view.channels[0], b=view.channels[1], size=wanted.data.size, classes=samples.classes)
    return METHODS[wanted.method.name](wanted.method, task)


def _view(wanted: Recipe) -> Any:
    from i2i.data.transforms import View

    data = wanted.data
    load = (round(data.size[0] * data.jitter), round(data.size[1] * data.jitter)) if data.jitter > 1 else None
    channels = data.channels if data.direction == "a2b" else data.channels[::-1]
    return View(size=data.size, load=load, flip=data.flip, channels=channels, direction=data.direction, train=True)


def _open(wanted: Recipe, data: Prepared, reads: type, view: Any) -> tuple[Any, Any]:
    """The training split, and the held-out one as what the method reads and as what it is measured on."""
    from i2i.data.batches import Reduced, open_split
    from i2i.data.labelled import Shown
    from i2i.data.reduced import Reduction
    from i2i.held import Held, as_read, open_measured

    splits, block, name = data.layout.splits, wanted.data, wanted.method.name
    for key, asked in (("data.split", block.split), ("data.eval_split", block.eval_split)):
        if asked and asked not in splits:
            raise DataError(f"{data.layout.root}: has no split {asked!r} ({key}); it has {', '.join(splits)}")
    held_name = block.eval_split or next((s for s in ("val", "test") if s in splits), block.split)
    reduction = Reduction(wanted.method.generator.scale, block.degradation) if reads is Reduced else None
    dataset = open_split(
        reads, as_read(reads, splits[block.split]), view, cache_bytes=int(block.cache_gb * 2**30), who=name,
        shown=Shown(block.labelled, wanted.train.seed), reduction=reduction,
    )  # fmt: skip
    still, split = replace(view, train=False), splits[held_name]
    shown = open_split(reads, as_read(reads, split), still, who=name, reduction=reduction)
    measured = None if held_name == block.split else open_measured(reads, split, still, name, reduction)
    return dataset, Held(held_name, shown, measured)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


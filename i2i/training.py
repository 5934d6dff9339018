"""From a recipe to a trained run, and on from a run that was stopped: what ``i2i train`` and ``i2i.train`` do."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from i2i import __version__, card, fetch, paths, recipe
from i2i.errors import DataError, MissingExtra, RecipeError, TrainingError, UsageError

if TYPE_CHECKING:
    from i2i.data.layouts import Layout
    from i2i.recipe import Recipe
    from i2i.trainer import Trainer
    from i2i.watch import Held

LOG, RECIPE = "log.jsonl", "recipe.yaml"
RESUMABLE = ("train.", "watch.", "data.workers", "data.cache_gb")
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
    wanted = recipe.load(path, [*overrides, *extra], dataset=dataset)
    run = Path(out) if out else _free_name(wanted)
    if run.exists() and (not run.is_dir() or any(run.iterdir())):
        way_out = f"i2i train --resume {run} goes on with it, or " if (run / RECIPE).is_file() else ""
        raise UsageError(f"{run}: exists and is not empty: {way_out}choose another --out")
    return _run(run, wanted, None, mirror, quiet)


def resume(run: str | Path, *overrides: str, mirror: str | None = None, quiet: bool = False) -> Path:
    """Go on with a run from its newest checkpoint, exactly as if it had not been stopped.

    Args:
        overrides: may change ``train.*`` (say, more images) and ``watch.*``, nothing that makes it another experiment.

    Raises:
        TrainingError: not a run, nothing to resume from, or a damaged checkpoint.
    """
    run = Path(run)
    if not (run / RECIPE).is_file():
        raise TrainingError(f"{run}: not a run ({RECIPE} is missing)")
    for override in overrides:
        if not override.startswith(RESUMABLE) or override.startswith("train.seed"):
            raise RecipeError(f"override {override!r}: a resumed run can change train.*, watch.* and data.workers only")
    saved = sorted(p for p in (run / "checkpoints").glob("[0-9]*") if p.is_dir())
    if not saved:
        anew = f"start it anew with i2i train {run / RECIPE} --out ..."
        raise TrainingError(f"{run}: no checkpoint to go on from; {anew}")
    return _run(run, recipe.load(run / RECIPE, overrides), saved[-1], mirror, quiet)


def _free_name(wanted: Recipe) -> Path:
    """``runs/<method>-<dataset>``, numbered when that is taken."""
    base = paths.runs() / f"{wanted.method.name}-{Path(wanted.data.dataset).name or 'data'}"
    names = [base, *(base.with_name(f"{base.name}-{i}") for i in range(2, 1000))]
    return next(p for p in names if not p.exists())


@dataclass(frozen=True)
class Prepared:
    """A data set that is here: its card and its files."""

    card: card.Card
    layout: Layout

    @property
    def domains(self) -> tuple[str, str]:
        """The names of a and b: what the card says, for a user's own folder what the folders are called."""
        names = self.layout.domains or self.card.domains
        return (names[0], names[1]) if len(names) == 2 else ("a", "b")


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


def _run(run: Path, wanted: Recipe, checkpoint: Path | None, mirror: str | None, quiet: bool) -> Path:
    try:
        import torch
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState

        from i2i.methods import METHODS
        from i2i.methods.base import Task
        from i2i.trainer import Stopped, Trainer
        from i2i.watch import checkpoints, last_sheet
    except ModuleNotFoundError as e:
        if e.name and e.name.startswith("i2i"):
            raise
        raise MissingExtra(e.name or "torch", "train") from e
    from rich.console import Console

    from i2i import report
    from i2i.display import eval_line

    console = Console(quiet=quiet)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    cpu = not (torch.cuda.is_available() or torch.backends.mps.is_available())
    AcceleratorState._reset_state()  # it is one per process and would keep the precision of an earlier training
    accelerator = Accelerator(cpu=cpu, mixed_precision=precision(wanted.train.precision, cpu))
    main = accelerator.is_main_process
    with accelerator.main_process_first():
        data = prepare(wanted.data.dataset, mirror, say if main else lambda line: None)
    view = _view(wanted)
    method_class = METHODS[wanted.method.name]
    dataset, held = _open(wanted, data, method_class.reads, view)
    torch.use_deterministic_algorithms(wanted.train.deterministic)
    torch.manual_seed(wanted.train.seed)
    channels = view.channels
    method = method_class(wanted.method, Task(a=channels[0], b=channels[1], size=wanted.data.size))
    torch.manual_seed(wanted.train.seed + accelerator.process_index)
    trainer = Trainer(method, wanted, dataset, accelerator)
    if checkpoint:
        trainer.load(checkpoint)
        if trainer.images >= wanted.train.images:
            raise TrainingError(
                f"{run}: already trained to the end ({trainer.images:,} images): "
                f"i2i train --resume {run} train.images={2 * wanted.train.images} goes on"
            )
    if main:
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        wanted.write(run / RECIPE)
    accelerator.wait_for_everyone()
    try:
        if main:
            _train_watched(run, wanted, data, held, trainer, checkpoint is not None, quiet)
        else:
            _train_along(run, wanted, trainer)
    except Stopped:
        if main:
            say(f"stopped and saved at {trainer.images:,} images; go on with: i2i train --resume {run}")
            report.write(run)
        raise KeyboardInterrupt from None
    except TrainingError as e:
        slower = f"train.optimizer.lr={wanted.train.optimizer.lr / 2:.1e}"
        kept = f"the last good state is kept: i2i train --resume {run} {slower}"
        nothing = f"nothing had been saved yet: try {slower}"
        raise TrainingError(f"{e}; {kept if checkpoints(run) else nothing}") from e
    if main:
        page, sheet = report.write(run), last_sheet(run)
        say(f"trained {trainer.images:,} images in {_duration(trainer.seconds)}")
        if trainer.best:
            measured = eval_line({"split": held.split, **trainer.best["metrics"]})
            say(f"  best       {measured} at {trainer.best['images']:,} images")
        say(f"  sheet      {sheet or 'none'}")
        say(f"  report     {page}")
        say(f"  translate  i2i translate PICTURE --model {run}")
    return run


def _train_watched(
    run: Path, wanted: Recipe, data: Prepared, held: Held, trainer: Trainer, resumed: bool, quiet: bool
) -> None:
    """Train in the main process, with the log, the display and everything periodic."""
    import torch

    from i2i.display import display
    from i2i.log import RunLog
    from i2i.trackers import open_trackers
    from i2i.trainer import Stopped
    from i2i.watch import Watch

    name = data.card.name
    title = f"{wanted.method.name} on {name} → {run}"
    if resumed:
        RunLog.rewind(run / LOG, trainer.images)
    with RunLog(run / LOG) as log, display(wanted.train.images, title, quiet=quiet) as show:
        trackers = open_trackers(wanted.watch.trackers, run, wanted.dump(), images=trainer.images, warn=show.note)
        watch = Watch(run, wanted, data.domains, name, held, log, show, trackers, data.card.about.licence)
        watch.start(trainer)
        log.write(
            "resume" if resumed else "start", time=time.time(), images=trainer.images,
            recipe=f"{wanted.method.name}-{name}", device=str(trainer.device), processes=trainer.world,
            precision={"no": "fp32"}.get(trainer.accelerator.mixed_precision, trainer.accelerator.mixed_precision),
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
    from i2i.watch import checkpoint_of

    def save(trainer: Trainer) -> None:
        trainer.save(checkpoint_of(run, trainer.images))

    trainer.periodic = [(wanted.watch.save_images or wanted.train.images, save)]
    try:
        trainer.train()
    except Stopped:
        save(trainer)
        raise


def precision(asked: str, cpu: bool) -> str:
    """``auto`` as what the processor has: bfloat16 where the hardware computes it, else float32. In Accelerate's words.

    Raises:
        TrainingError: float16 on a CPU.
    """
    import torch

    if asked == "fp16" and cpu:
        raise TrainingError("train.precision fp16 needs a GPU: use auto, fp32 or bf16 on a CPU")
    if asked == "auto":
        if cpu:
            fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        else:
            fast = torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if fast else "no"
    return {"fp32": "no"}.get(asked, asked)


def _view(wanted: Recipe) -> Any:
    from i2i.data.transforms import View

    data = wanted.data
    load = (round(data.size[0] * data.jitter), round(data.size[1] * data.jitter)) if data.jitter > 1 else None
    channels = data.channels if data.direction == "a2b" else data.channels[::-1]
    return View(size=data.size, load=load, flip=data.flip, channels=channels, direction=data.direction, train=True)


def _open(wanted: Recipe, data: Prepared, reads: type, view: Any) -> tuple[Any, Any]:
    """The training split, and the held-out one as what the method reads and, where it holds pairs, as pairs."""
    from i2i.data.batches import Pair, Unpaired, open_split
    from i2i.data.layouts import Split, as_unpaired
    from i2i.watch import Held

    def as_read(split: Split) -> Split:
        return as_unpaired(split) if reads is Unpaired and split.kind == "paired" else split

    splits, block, name = data.layout.splits, wanted.data, wanted.method.name
    for key, asked in (("data.split", block.split), ("data.eval_split", block.eval_split)):
        if asked and asked not in splits:
            raise DataError(f"{data.layout.root}: has no split {asked!r} ({key}); it has {', '.join(splits)}")
    held_name = block.eval_split or next((s for s in ("val", "test") if s in splits), block.split)
    dataset = open_split(reads, as_read(splits[block.split]), view, cache_bytes=int(block.cache_gb * 2**30), who=name)
    still, split = replace(view, train=False), splits[held_name]
    shown = open_split(reads, as_read(split), still, who=name)
    paired = split.kind in ("aligned", "paired") and held_name != block.split
    return dataset, Held(held_name, shown, open_split(Pair, split, still, who=name) if paired else None)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {rest:02d} s"


"""THE loop. A method yields moves; the trainer plays each one, and does everything that is the same for all methods:
devices, precision, averaging over processes, schedules, EMA, the log, sheets, evaluation, saving and resuming."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from i2i import cuda, formats, state
from i2i.data.batches import loader
from i2i.errors import DataError, NotFinite, RecipeError, TrainingError
from i2i.interrupt import interruptible
from i2i.methods.base import Method
from i2i.nets.recompute import recompute
from i2i.optimizers import new_optimizer, same_strides
from i2i.recipe import Recipe
from i2i.reducing import Reducer

Action = Callable[["Trainer"], None]


class Stopped(Exception):
    """Ctrl-C (or SIGTERM) asked for an end; says where it came."""


@dataclass
class Averages:
    """Loss terms summed up between two lines of the log, each with its count: not every player moves in every step."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, player: str, losses: Mapping[str, Tensor]) -> None:
        for name, value in losses.items():
            key = f"{player}/{name}"
            self.sums[key] = self.sums.get(key, 0) + value.detach()
            self.counts[key] = self.counts.get(key, 0) + 1

    def clear(self) -> None:
        self.sums.clear()
        self.counts.clear()

    def means(self) -> dict[str, float]:
        return {k: v.item() / self.counts[k] for k, v in self.sums.items()}


class Trainer:
    """Plays a method's moves on batches until ``recipe.train.images`` have been seen.

    Args:
        dataset: what ``i2i.data.batches.open_split`` gives for the batch type that the method reads.

    ``periodic`` holds ``(every so many images, function of the trainer)``, run in order after the step that passes a
    multiple, and after the last one.
    """

    def __init__(self, method: Method, recipe: Recipe, dataset: Any, accelerator: Accelerator):
        self.recipe, self.dataset, self.accelerator = recipe, dataset, accelerator
        self.device = accelerator.device
        self.world, self.rank = accelerator.num_processes, accelerator.process_index
        low = accelerator.mixed_precision != "no"
        last = cuda.switches(recipe.train, self.device, low).channels_last
        self.layout = torch.channels_last if last else torch.contiguous_format
        self.method = method.to(self.device).to(memory_format=self.layout).train()
        self.params = {who: [p for net in nets for p in net.parameters()] for who, nets in method.players.items()}
        self.opts = {who: new_optimizer(recipe.train.optimizer, params) for who, params in self.params.items()}
        self.reducers = {who: Reducer(params, self.world) for who, params in self.params.items()}
        for who in recipe.train.rates.keys() - self.opts.keys():
            players = ", ".join(self.opts)
            raise RecipeError(f"train.rates: {who!r} is no player of {recipe.method.name} (one of {players})")
        half = accelerator.mixed_precision == "fp16"
        self.scalers = {who: torch.amp.GradScaler(self.device.type, enabled=half) for who in self.opts}
        averaged = method.products if recipe.train.ema_halflife_images else {}
        self.average = {name: copy.deepcopy(net) for name, net in averaged.items()}
        if recipe.train.recompute:
            for net in method.products.values():
                recompute(net)
        if recipe.train.compile:
            mode = "default" if recipe.train.compile is True else recipe.train.compile
            for nets in method.players.values():
                for net in nets:
                    net.compile(mode=mode)
        self.images = self.steps = 0
        self.seconds = self.waited = 0.0
        self.best: dict[str, Any] = {}  # the best measurement of held-out pairs, and the last one
        self.measured: dict[str, Any] = {}
        self.losses = Averages()
        self.periodic: list[tuple[int, Action]] = []

    @property
    def batch(self) -> int:
        """Images that one step of all processes sees."""
        return self.recipe.step_images * self.world

    @property
    def products(self) -> dict[str, nn.Module]:
        """What is sampled, saved and exported: the averages where there are any."""
        return self.average or self.method.products

    def train(self) -> None:
        """Train to the end. Whatever ends it early ends it in all processes after the same step.

        Raises:
            Stopped: Ctrl-C or SIGTERM.
            DataError: a picture cannot be read; the state is that before it.
            NotFinite: a loss term or a weight is not finite.
        """
        data, total = self.recipe.data, self.recipe.train.images
        batches = loader(
            self.dataset, batch=data.batch, seed=self.recipe.train.seed, start=self.images, workers=data.workers,
            rank=self.rank, world=self.world, device=self.device,
        )  # fmt: skip
        with interruptible() as interrupted:
            clock = time.perf_counter()
            while self.images < total:
                parts, trouble = fetch(batches, self.recipe.train.accumulate)
                stopped, failed = self.any_rank(interrupted(), trouble is not None)
                if failed:
                    raise trouble or DataError("another process could not read a picture: its message names the file")
                if stopped:
                    raise Stopped(f"{self.images:,} images")
                fetched = time.perf_counter()
                self.waited += fetched - clock
                self.step(*parts)
                before, self.images, self.steps = self.images, self.images + self.batch, self.steps + 1
                self.seconds += time.perf_counter() - clock
                last = self.images >= total
                for every, act in self.periodic:
                    if every and (last or self.images // every > before // every):
                        act(self)
                clock = time.perf_counter()

    def step(self, *parts: Any) -> None:
        """One training step: every move of the method, in its order.

        Several batches are played side by side, as parts of one: a player moves when each has added to its gradient,
        and what comes after that sees it moved. What a later move still needs is kept of all of them until then.
        """
        rate = self.rate()
        if self.recipe.train.compile == "reduce-overhead":  # what CUDA graphs gave in the last step may be written over
            torch.compiler.cudagraph_mark_step_begin()
        sides = [self.method.step(self.laid_out(part), self.steps) for part in parts]
        going = True
        while going:
            for i, moves in enumerate(sides, start=1):
                with self.accelerator.autocast():
                    move = next(moves, None)
                going = move is not None
                if move:
                    self.play(*move, rate, i, len(sides))
        if self.average:
            self.update_average()

    def laid_out(self, batch: Any) -> Any:
        return type(batch)(*(t.to(memory_format=self.layout) if t.ndim == 4 else t for t in batch))

    def play(self, who: str, losses: dict[str, Tensor], rate: float = 1.0, part: int = 1, parts: int = 1) -> None:
        """Minimize the sum of ``losses`` for one player, which moves with the last of ``parts``, by the mean of all.
        No other's gradient is computed, no other's weight moves."""
        opt, scaler, params, clip = self.opts[who], self.scalers[who], self.params[who], self.recipe.train.clip_norm
        self.losses.add(who, losses)
        if part == 1:
            opt.zero_grad(set_to_none=True)
        with self.reducers[who] if part == parts else nullcontext():
            scaler.scale(cast(Tensor, sum(losses.values())) / parts).backward(inputs=params)
        if part < parts:
            return
        if clip:
            scaler.unscale_(opt)
            nn.utils.clip_grad_norm_(params, clip)
        for group in opt.param_groups:
            group["lr"] = self.recipe.train.optimizer.lr * self.recipe.train.rates.get(who, 1.0) * rate
        scaler.step(opt)
        scaler.update()

    def rate(self) -> float:
        """The share of the learning rate for the next step: constant, then linear to zero (Zhu et al. 2017, section 4).

        A function of the images seen, so it is smooth where the paper steps down once an epoch. And a function of
        ``train.images``: it rises again when a run that had decayed is given more of them.
        """
        train = self.recipe.train
        decay = train.images * (1 - train.decay_from)
        return min(1.0, (train.images - self.images) / decay) if decay else 1.0

    def any_rank(self, *flags: bool) -> list[bool]:
        """Which flags are set in any process. Every process has to ask."""
        if self.world == 1:
            return list(flags)
        counts = torch.tensor([int(flag) for flag in flags], device=self.device)
        torch.distributed.all_reduce(counts)
        return [count > 0 for count in counts.tolist()]

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average of the products (Karras et al. 2018, arXiv:1710.10196); buffers are copied."""
        keep = 0.5 ** (self.batch / self.recipe.train.ema_halflife_images)
        for name, slow in self.average.items():
            fast = self.method.products[name]
            torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), 1 - keep)
            for s, f in zip(slow.buffers(), fast.buffers(), strict=True):
                s.copy_(f)

    def check_finite(self) -> None:
        """Whether the training is still sound. Every process has to ask.

        Raises:
            NotFinite: a loss since the last line of the log, or a weight, is not finite, in any process.
        """
        bad = [k for k, v in self.losses.sums.items() if not math.isfinite(v.item())]
        if not bad:
            bad = [f"a weight of {who}" for who, ps in self.params.items() if not all(p.isfinite().all() for p in ps)]
        if any(self.any_rank(bool(bad))):
            what = ", ".join(bad) or "something in another process"
            raise NotFinite(f"{what} is not finite after {self.images:,} images")

    # -- state -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything that decides how training goes on, but for what each process has for itself (``own_state``)."""
        return {
            formats.KEY: formats.CHECKPOINT.newest,
            "images": self.images, "steps": self.steps, "seconds": self.seconds, "waited": self.waited,
            "batch": self.batch, "best": self.best, "measured": self.measured,
            "method": dict(self.method.state_dict()),
            "optimizers": {who: opt.state_dict() for who, opt in self.opts.items()},
            "scalers": {who: scaler.state_dict() for who, scaler in self.scalers.items()},
            "average": {name: dict(net.state_dict()) for name, net in self.average.items()},
        }  # fmt: skip

    def own_state(self) -> dict[str, Any]:
        """What differs between processes: random numbers, and buffers: pools of old fakes, running statistics."""
        weights = {name for name, _ in self.method.named_parameters()}
        own = {k: v for k, v in self.method.state_dict().items() if k not in weights}
        return {formats.KEY: formats.RANK.newest, "rng": state.rng(), "own": own}

    def save(self, folder: Path) -> None:
        """Write a checkpoint; ``folder`` appears only when it is complete.

        Raises:
            NotFinite: something is: a bad state never replaces a good one.
        """
        self.check_finite()
        draft = folder.with_name(f".{folder.name}.draft")
        draft.mkdir(parents=True, exist_ok=True)
        if self.accelerator.is_main_process:
            state.write(draft, "state", self.state())
        state.write(draft, f"rank{self.rank}", self.own_state())
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            state.publish(draft, folder)
        self.accelerator.wait_for_everyone()

    def load(self, folder: Path) -> None:
        """Go on from a checkpoint, of whatever format.

        Raises:
            TrainingError: it is damaged, of a newer i2i, or belongs to another network or batch.
        """
        saved = formats.CHECKPOINT.upgraded(state.read(folder, "state"), str(folder), TrainingError)
        if saved["batch"] != self.batch:
            raise TrainingError(
                f"{folder}: trained with {saved['batch']} images a step; {self.batch} (data.batch x train.accumulate x "
                "processes) do not continue it exactly: use as many processes as before"
            )
        try:
            self.method.load_state_dict(saved["method"])
            for who, opt in self.opts.items():
                opt.load_state_dict(saved["optimizers"][who])
                same_strides(opt)
                self.scalers[who].load_state_dict(saved["scalers"][who])
            for name, net in self.average.items():
                net.load_state_dict(saved["average"][name])
            own = formats.RANK.upgraded(state.read(folder, f"rank{self.rank}"), str(folder), TrainingError)
            self.method.load_state_dict(own["own"], strict=False)
            state.set_rng(own["rng"])
        except (RuntimeError, KeyError, ValueError) as e:
            raise TrainingError(f"{folder}: does not fit this recipe: {' '.join(str(e).split())[:300]}") from e
        self.images, self.steps = saved["images"], saved["steps"]
        self.best, self.measured = saved["best"], saved["measured"]
        self.seconds, self.waited = saved["seconds"], saved["waited"]


def fetch(batches: Iterator[Any], count: int) -> tuple[list[Any], DataError | None]:
    """The next ``count`` batches, or what is wrong with one of them."""
    try:
        return list(islice(batches, count)), None
    except DataError as e:
        return [], e

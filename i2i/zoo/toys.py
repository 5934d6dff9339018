"""A toy proof: do the zoo's games find all of a distribution that one can see? Points of the plane, minutes on a CPU.

Points are pictures of one pixel with two channels, so that step, losses, penalties and trainer are those of every
training; see ``mixtures`` for the data and the count.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from i2i.compare import agree, markdown
from i2i.data.batches import Images
from i2i.errors import NotFinite, UsageError, did_you_mean
from i2i.latents import Latent
from i2i.ledger import write_json
from i2i.losses import CONTESTS
from i2i.methods import METHODS
from i2i.methods.base import Task
from i2i.nets import MLPConfig, MLPCriticConfig
from i2i.recipe import Data, Optimizer, Recipe, Train, Watch
from i2i.trainer import Trainer
from i2i.zoo.adversarial import Adversarial, named
from i2i.zoo.mixtures import COUNT, MIXTURES, Mixture
from i2i.zoo.toys_figure import draw

SEEDS = 3
STEPS, BATCH = 3000, 256  # steps of the generator; points in a batch
OPTIMIZER = Optimizer(name="adam", lr=1e-3, betas=(0.5, 0.9))  # the same for all, then linearly to zero
GENERATOR = MLPConfig(layers=2, width=64, norm="none")  # 64, 128
CRITIC = MLPCriticConfig(layers=2, width=128)  # 128, 64
LATENT = Latent(noise=2)


def losses() -> dict[str, type[Adversarial]]:
    """The rows of the zoo's table whose game or penalty is another one, of rows that differ in networks the first; then
    the games that no row plays."""
    found: dict[str, type[Adversarial]] = {}
    seen = []
    for name, row in METHODS.items():
        if not issubclass(row, Adversarial) or row.step is not Adversarial.step:
            continue
        kept = settings(row).model_dump(exclude={"name"})
        if kept not in seen:
            seen.append(kept)
            found[name] = row
    played = {one["game"] for one in seen}
    for game, contest in CONTESTS.items():
        if contest.bounded and game not in played:
            found[game] = named(f"The game {game}.", Adversarial.Config(name=game, game=game))
    return found


def settings(row: type[Adversarial]) -> Any:
    """A row's own game, penalty, clipping and steps of the critic, with the small networks of all toys."""
    default: Any = row.Config  # its name has a default, which its base does not know
    own = default()
    critic = CRITIC.model_copy(update={"spectral": own.discriminator.spectral})
    return own.model_copy(
        update={"latent": LATENT, "generator": GENERATOR, "discriminator": critic, "init": "kaiming"}
    )


def train(row: type[Adversarial], mixture: Mixture, seed: int, steps: int = STEPS) -> np.ndarray:
    """What the generator draws after so many of its steps: float32 [COUNT, 2]. Not a number if the training broke."""
    config = settings(row)
    total = steps * config.n_critic
    wanted = Recipe(
        method=config, data=Data(dataset="points", batch=BATCH), watch=Watch(),
        train=Train(images=total * BATCH, optimizer=OPTIMIZER, decay_from=0.5, seed=seed, precision="fp32"),
    )  # fmt: skip
    torch.manual_seed(seed)
    method = row(config, Task(a=2, b=2, size=(1, 1)))
    generator: Any = method.G
    generator.model = generator.model[:-1]  # without the tanh: points lie anywhere
    trainer = Trainer(method, wanted, None, Accelerator(cpu=True))
    random = np.random.default_rng(seed)
    unknown = torch.full((BATCH,), -1)
    for _ in range(total):
        trainer.step(Images(as_pixels(mixture.draw(BATCH, random)), unknown))
        trainer.steps += 1
        trainer.images += BATCH
    try:
        trainer.check_finite()
    except NotFinite:
        return np.full((COUNT, 2), np.nan, np.float32)
    z = torch.from_numpy(LATENT.draw(COUNT, np.random.default_rng(seed)))
    with torch.inference_mode():
        return trainer.products["sampler"].eval()(z)[:, :, 0, 0].numpy()


def as_pixels(points: np.ndarray) -> Tensor:
    """[N, 2] -> [N, 2, 1, 1]: one pixel with two channels."""
    return torch.from_numpy(points)[:, :, None, None]


def prove(
    out: Path, names: Sequence[str] = (), seeds: int = SEEDS, steps: int = STEPS,
    say: Callable[[str], None] = lambda line: None,
) -> Path:  # fmt: skip
    """Trains every loss on every mixture with every seed; writes ``table.md``, ``table.json`` and ``figure.png`` into
    ``out``. What was trained before is not trained again.

    Args:
        names: of ``losses()``; all when empty.

    Raises:
        UsageError: no such loss, or ``out`` holds results of other settings.
    """
    known = losses()
    for name in names:
        if name not in known:
            raise UsageError(f"no loss {name!r}{did_you_mean(name, known)} (one of {', '.join(known)})")
    chosen = {name: known[name] for name in names or known}
    todo = [(name, mixture, seed) for name in chosen for mixture in MIXTURES for seed in range(seeds)]
    plan = {name: settings(row).model_dump(mode="json").items() for name, row in chosen.items()}
    words = {name: [f"{key}={json.dumps(value)}" for key, value in items] for name, items in plan.items()}
    agree(out, {_file(*one): [*words[one[0]], f"steps={steps}"] for one in todo})
    for number, (name, mixture, seed) in enumerate(todo, 1):
        path = out / _file(name, mixture, seed)
        if path.is_file():
            continue
        began = time.perf_counter()
        _keep(path, train(chosen[name], MIXTURES[mixture], seed, steps))
        say(f"{number} of {len(todo)}: {path.stem}: {time.perf_counter() - began:.0f} s")
    points = {name: {m: [np.load(out / _file(name, m, s)) for s in range(seeds)] for m in MIXTURES} for name in chosen}
    found = {
        name: [
            {f"{m}: {key}": value for m in MIXTURES for key, value in MIXTURES[m].counted(drawn[m][seed]).items()}
            for seed in range(seeds)
        ]
        for name, drawn in points.items()
    }
    write_json(out / "table.json", {"steps": steps, "batch": BATCH, "seeds": seeds, "rows": found})
    (out / "table.md").write_text(markdown(found), encoding="utf-8")
    draw(out / "figure.png", MIXTURES, points, found, f"Toys · {steps:,} steps of the generator, seed 0 of {seeds}")
    return out


def _file(name: str, mixture: str, seed: int) -> str:
    return f"{name}-{mixture}-{seed}.npy"


def _keep(path: Path, points: np.ndarray) -> None:
    """The file is there in full or not at all."""
    draft = path.with_name(f".{path.name}")
    with draft.open("wb") as file:
        np.save(file, points)
    draft.replace(path)

"""The contract that every method in the table keeps. Nothing here names a method: a new one is tested at once."""

from __future__ import annotations

import ast
import copy
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from conftest import picture as colorful
from small import FOLDERS, SIZE, small_method, small_recipe, train_small

import i2i
from i2i import nets, recipe, training
from i2i.card import resolve
from i2i.data.batches import loader
from i2i.data.layouts import recognise
from i2i.methods import METHODS
from i2i.methods.base import Task
from i2i.nets.used import Used
from i2i.trainer import Trainer
from i2i.zoo.base import Drawing

every_method = pytest.mark.parametrize("name", sorted(METHODS))
every_translation = pytest.mark.parametrize("name", sorted(n for n in METHODS if not issubclass(METHODS[n], Drawing)))
with_a_target = pytest.mark.parametrize("name", sorted(n for n in METHODS if METHODS[n].reconstruction))
"""What learns from nothing but a game is tested in test_zoo."""


@pytest.fixture
def folder(request: pytest.FixtureRequest, name: str) -> Path:
    return request.getfixturevalue(FOLDERS[METHODS[name].reads])


def trainer_of(name: str, folder: Path, **blocks: dict) -> Trainer:
    wanted = small_recipe(name, folder, **blocks)
    torch.manual_seed(0)
    card, root = resolve(folder)
    data, _ = training._open(
        wanted, training.Prepared(card, recognise(root)), METHODS[name].reads, training._view(wanted)
    )
    method = METHODS[name](wanted.method, Task(size=wanted.data.size, classes=data.classes))
    return Trainer(method, wanted, data, Accelerator(cpu=True))


@every_method
def test_a_move_changes_only_its_player(name: str, folder: Path) -> None:
    trainer = trainer_of(name, folder)
    batch = next(loader(trainer.dataset, batch=2))
    moved = set()
    for who, losses in trainer.method.step(batch, 0):
        before = copy.deepcopy(trainer.params)
        grads = {w: [p.grad for p in ps] for w, ps in trainer.params.items() if w != who}
        trainer.play(who, losses)
        moved.add(who)
        for other, params in trainer.params.items():
            same = [torch.equal(p, q) for p, q in zip(params, before[other], strict=True)]
            if other == who:  # but for a gradient of exactly zero: the last bias of a Wasserstein critic cancels
                same = [s for s, p in zip(same, params, strict=True) if p.grad is None or p.grad.any()]
            assert (not any(same)) if other == who else all(same), f"{who} moved, and {other}"
        for other, old in grads.items():
            now = [p.grad for p in trainer.params[other]]
            untouched = all(a is b for a, b in zip(now, old, strict=True))
            assert untouched, f"{who} moved, the gradient of {other} was touched"
    assert moved == set(trainer.params)


@every_method
def test_loss_terms_are_finite_scalars_with_names_that_stay(name: str, folder: Path) -> None:
    trainer = trainer_of(name, folder)
    seen = []
    for it, batch in zip(range(3), loader(trainer.dataset, batch=2), strict=False):
        names = []
        for who, losses in trainer.method.step(batch, it):
            for term, value in losses.items():
                assert value.shape == ()
                assert value.isfinite()
                assert value.dtype == torch.float32
                names.append(f"{who}/{term}")
            trainer.play(who, losses)
        seen.append(names)
    assert seen[0] == seen[1] == seen[2]
    assert METHODS[name].reconstruction in ["", *seen[0]]


@with_a_target
def test_one_batch_is_learned_by_heart(name: str, folder: Path) -> None:
    blocks = {"train": {"optimizer": {"lr": 2e-3}}, "data": {"jitter": 1.0, "flip": False}}
    trainer = trainer_of(name, folder, images=10_000, **blocks)
    batch = next(loader(trainer.dataset, batch=1))
    values = []
    for _ in range(400):
        trainer.losses.clear()
        trainer.step(batch)
        values.append(trainer.losses.means()[METHODS[name].reconstruction])
        if min(values) < values[0] / 3.5:
            break
    assert min(values) < values[0] / 3, f"{values[0]:.2f} -> {min(values):.2f}"


@every_translation
def test_the_model_on_disk_translates_like_the_model_in_training(name: str, folder: Path, tmp_path: Path) -> None:
    wanted = small_recipe(name, folder, images=4, watch={"save_images": 4})
    run = train_small(tmp_path / "run", wanted)
    picture = np.asarray(colorful(SIZE))
    trainer = trainer_of(name, folder, images=4)
    trainer.load(run / "checkpoints/00000004")
    x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    hole = np.zeros((SIZE, SIZE), bool)
    hole[8:20, 4:30] = True
    for product, net in trainer.products.items():
        masked = nets.takes_mask(net)
        given = torch.cat([x, torch.from_numpy(hole)[None, None].float()], 1) if masked else x
        inside = Used(net, trainer.method.inference)(given)
        expected = ((inside[0].permute(1, 2, 0).double() + 1) * 127.5).round().clamp(0, 255).byte().numpy()
        if masked:
            expected = np.where(hole[..., None], expected, picture)
        translated = i2i.load(run, direction=product)(picture, mask=hole if masked else None)
        assert translated.shape == (SIZE * net.scale, SIZE * net.scale, 3)
        np.testing.assert_allclose(translated.astype(int), expected.astype(int), atol=1)
        assert (translated == expected).mean() > 0.999


@every_method
def test_config_round_trips_through_yaml(name: str, tmp_path: Path) -> None:
    before = small_recipe(name, "somewhere")
    before.write(tmp_path / "recipe.yaml")
    after = recipe.load(tmp_path / "recipe.yaml")
    assert after == before
    assert type(after.method) is METHODS[name].Config


@every_method
def test_the_file_names_its_paper(name: str) -> None:
    method = METHODS[name]
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", inspect.getmodule(method).__doc__ or "")
    assert re.search(r"arXiv:\d{4}\.\d{4,5}", method.__doc__ or "")


@every_method
def test_products_and_players_are_the_methods_own_networks(name: str) -> None:
    method = small_method(name)
    own = {id(p) for p in method.parameters()}
    played = [id(p) for nets in method.players.values() for net in nets for p in net.parameters()]
    assert len(played) == len(set(played)), "a network has two players"
    assert set(played) == own, "a network that nobody trains"
    assert set(method.products) <= ({"sampler"} if isinstance(method, Drawing) else {"a2b", "b2a"})
    for net in method.products.values():
        assert isinstance(method, Drawing) or SIZE % net.multiple == 0
        assert {id(p) for p in net.parameters()} <= own


FILES = sorted(p for folder in ("methods", "zoo") for p in Path(i2i.__file__).parent.glob(f"{folder}/*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.stem}/{p.stem}")
def test_no_yield_inside_with(path: Path) -> None:
    """A yield under ``no_grad`` or autocast would leak that mode into the trainer."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.With):
            inner = [n for n in ast.walk(node) if isinstance(n, ast.Yield | ast.YieldFrom)]
            assert not inner, f"{path}:{inner[0].lineno}"

"""The toy proof: what is counted, that the zoo's own steps are played, and that nothing is trained twice."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from PIL import Image

from i2i.errors import UsageError
from i2i.trainer import Trainer
from i2i.zoo import mixtures, toys
from i2i.zoo.adversarial import Adversarial, named
from i2i.zoo.mixtures import MIXTURES, Mixture


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys, "BATCH", 8)
    monkeypatch.setattr(toys, "COUNT", 50)


def test_the_mixtures_are_those_of_the_papers() -> None:
    ring, grid = MIXTURES["ring"], MIXTURES["grid"]
    assert (ring.modes.shape, ring.deviation) == ((8, 2), 0.02)
    np.testing.assert_allclose(np.linalg.norm(ring.modes, axis=1), 2)
    np.testing.assert_allclose(ring.modes[1], [2**0.5, 2**0.5])
    assert (grid.modes.shape, grid.deviation) == ((25, 2), 0.05)
    assert sorted({*grid.modes[:, 0]}) == [-4, -2, 0, 2, 4]
    for mixture in MIXTURES.values():
        points = mixture.draw(20_000, np.random.default_rng(0))
        assert (points.shape, points.dtype) == ((20_000, 2), np.float32)
        found = mixture.counted(points)
        assert found["modes"] == len(mixture.modes)
        assert found["quality"] == pytest.approx(1 - np.exp(-4.5), abs=0.003)  # of a normal distribution on the plane


def test_points_are_counted_by_hand() -> None:
    two = Mixture(np.array([[0.0, 0.0], [10.0, 0.0]]), 1.0)
    near, edge, far = [0.0, 2.9], [10.0, 3.0], [10.0, 3.1]
    assert two.counted(np.array([near, near, far, far])) == {"modes": 1.0, "quality": 0.5}
    assert two.counted(np.array([near, edge, far, far])) == {"modes": 2.0, "quality": 0.5}
    assert two.counted(np.array([far, [np.nan, np.nan]])) == {"modes": 0.0, "quality": 0.0}


def test_every_loss_is_there_once() -> None:
    rows = toys.losses()
    assert next(iter(rows)) == "gan"
    assert "dcgan" not in rows  # the same game with other networks
    kept = [toys.settings(row).model_dump(exclude={"name"}) for row in rows.values()]
    assert all(one not in kept[:i] for i, one in enumerate(kept))


@pytest.mark.parametrize("name", sorted(toys.losses()))
def test_every_loss_can_be_trained_on_points(name: str) -> None:
    points = toys.train(toys.losses()[name], MIXTURES["ring"], 0, steps=2)
    assert (points.shape, points.dtype) == ((50, 2), np.float32)
    assert np.isfinite(points).all()
    assert np.array_equal(points, toys.train(toys.losses()[name], MIXTURES["ring"], 0, steps=2))
    assert not np.array_equal(points, toys.train(toys.losses()[name], MIXTURES["ring"], 1, steps=2))


def test_steps_are_those_of_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    row = named("x", Adversarial.Config(name="x", game="wasserstein", clip=0.01, n_critic=3))
    moved: list[str] = []
    play = Trainer.play

    def noted(self: Trainer, who: str, *rest: object) -> None:
        moved.append(who)
        play(self, who, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Trainer, "play", noted)
    toys.train(row, MIXTURES["grid"], 0, steps=4)
    assert moved == ["D", "D", "D", "G"] * 4


def test_a_broken_training_finds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    row = toys.losses()["gan"]
    monkeypatch.setattr(toys, "OPTIMIZER", toys.OPTIMIZER.model_copy(update={"name": "sgd", "lr": 1e30}))
    points = toys.train(row, MIXTURES["ring"], 0, steps=6)
    assert np.isnan(points).all()
    assert MIXTURES["ring"].counted(points) == {"modes": 0.0, "quality": 0.0}


def test_the_command_leaves_a_table_and_a_figure_and_goes_on(
    i2i: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {name: toys.losses()["gan"] for name in ("gan", "other")}
    monkeypatch.setattr(toys, "losses", lambda: rows)
    out = tmp_path / "toys"
    words = ("zoo", "toys", "--seeds", 2, "--steps", 2, "--out", out)
    code, said, err = i2i(*words, "--losses", "gan")
    assert (code, err) == (0, "")
    assert "4 of 4: gan-grid-1: " in said
    tree = json.loads((out / "table.json").read_text())
    assert (tree["steps"], tree["seeds"], list(tree["rows"])) == (2, 2, ["gan"])
    points = np.load(out / "gan-ring-1.npy")
    assert tree["rows"]["gan"][1]["ring: quality"] == MIXTURES["ring"].counted(points)["quality"]
    before = (out / "gan-ring-1.npy").stat().st_mtime_ns
    with Image.open(out / "figure.png") as figure:
        small = figure.size
    code, said, _ = i2i(*words)
    assert code == 0
    assert "gan-ring" not in said.replace("other", "")
    assert "8 of 8: other-grid-1: " in said
    assert (out / "gan-ring-1.npy").stat().st_mtime_ns == before
    assert (out / "table.md").read_text().startswith("| | ring: modes | ring: quality | grid: modes | grid: quality |")
    with Image.open(out / "figure.png") as figure:
        assert figure.size > small
    code, _, err = i2i(*words, "--steps", 3)
    assert code == 2
    assert "gan-ring-0.npy: was trained otherwise (steps=2 steps=3): choose another --out" in err


def test_an_unknown_loss_is_told_with_the_near_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no loss 'gna'; did you mean 'gan'\? \(one of gan"):
        toys.prove(tmp_path, ["gna"])


@pytest.mark.slow
def test_a_game_with_an_end_finds_the_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toys, "BATCH", 256)
    monkeypatch.setattr(toys, "COUNT", mixtures.COUNT)
    found = MIXTURES["ring"].counted(toys.train(toys.losses()["gan"], MIXTURES["ring"], 0))
    assert found["modes"] >= 6
    assert found["quality"] > 0.25  # 0.41 when this was written

"""DualGAN: its losses by hand, the bound of its critics, who moves when, and what it refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from small import SIZE, small_config, small_recipe
from test_discogan import Times, played
from torch import Tensor, nn

from i2i import recipe, training
from i2i.data.batches import Unpaired, loader, open_split
from i2i.data.layouts import recognise
from i2i.errors import RecipeError
from i2i.methods import METHODS
from i2i.methods.base import Method, Task
from i2i.nets import PatchConfig, receptive_field
from i2i.trainer import Trainer

DUALGAN = METHODS["dualgan"]


def config(**changes: Any) -> dict[str, Any]:
    made = small_config("dualgan", **changes)
    if changes.get("loss") == "gp":
        made["discriminator"]["norm"] = "instance"
    return made


def method(**changes: Any) -> Method:
    return DUALGAN(DUALGAN.Config.model_validate(config(**changes)), Task(size=(SIZE, SIZE)))


class Critic(nn.Module):
    """Twice the mean of the picture."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x.mean((1, 2, 3))


def simple(**changes: Any) -> Method:
    """ab is -x, ba is x / 2."""
    made = method(**changes)
    made.ab, made.ba, made.Da, made.Db = Times(-1.0), Times(0.5), Critic(), Critic()
    return made


def test_losses_by_hand():
    """a is 0.2 and 0.6, b -0.4 and 0, fake_b -0.2 and -0.6, fake_a -0.2 and 0; there and back, a is -0.1 and -0.3."""
    (d, of_d), (g, of_g) = played(simple(lambda_u=10, lambda_v=1000), 0)
    assert (d, g) == ("D", "G")
    assert of_d == pytest.approx({"real_a": -0.8, "fake_a": -0.2, "real_b": 0.4, "fake_b": -0.8})
    assert of_g == pytest.approx({
        "gan_ab": 0.8, "gan_ba": 0.2, "reconstruction_a": 10 * (0.3 + 0.9) / 2, "reconstruction_b": 1000 * 0.6 / 2,
    })  # fmt: skip


def test_the_penalty_by_hand():
    """The critic's slope is 2 / pixels for each of 192 numbers: 2 / sqrt(192) in length, wherever it is taken."""
    of_d = dict(played(simple(loss="gp", gp_weight=10), 0))["D"]
    expected = 10 * (2 / 192**0.5 - 1) ** 2
    assert (of_d["penalty_a"], of_d["penalty_b"]) == pytest.approx((expected, expected))
    assert of_d["real_a"] == pytest.approx(-0.8)


@pytest.mark.parametrize(("n_critic", "moves"), [(1, "DG DG DG"), (2, "D DG D DG"), (4, "D D D DG D D D DG")])
def test_the_critics_move_so_often_before_g_does(n_critic, moves):
    made = simple(n_critic=n_critic)
    found = ["".join(who for who, _ in played(made, it)) for it in range(len(moves.split()))]
    assert " ".join(found) == moves
    assert DUALGAN.Config().n_critic in (2, 3, 4)


def trainer_of(folder: Path, **changes: Any) -> Trainer:
    wanted = small_recipe("dualgan", folder, method=config(**changes), train={"optimizer": {"name": "rmsprop"}})
    data = open_split(Unpaired, recognise(folder).splits["train"], training._view(wanted))
    torch.manual_seed(0)
    return Trainer(DUALGAN(wanted.method, Task(size=(SIZE, SIZE))), wanted, data, Accelerator(cpu=True))


def largest(trainer: Trainer, who: str) -> float:
    return max(p.abs().max().item() for p in trainer.params[who])


def test_every_weight_of_the_critics_is_bounded_after_each_of_their_moves(domains: Path):
    trainer = trainer_of(domains, clip=0.05, n_critic=2)
    batch = next(loader(trainer.dataset, batch=2))
    assert largest(trainer, "D") > 0.5
    bounded = []
    for trainer.steps in range(4):
        for who, losses in trainer.method.step(batch, trainer.steps):
            if who == "G":  # G is charged by critics that are bounded already
                bounded.append(largest(trainer, "D"))
            trainer.play(who, losses, 100.0)
            if who == "D":
                assert largest(trainer, "D") > 0.0501, "there is nothing to clip"
        bounded.append(largest(trainer, "D"))
    assert bounded == pytest.approx([0.05] * 6)
    assert largest(trainer, "G") > 0.5


def test_a_penalty_leaves_the_weights_free(domains: Path):
    trainer = trainer_of(domains, loss="gp", clip=0.001)
    batch = next(loader(trainer.dataset, batch=2))
    trainer.step(batch)
    assert largest(trainer, "D") > 0.01


def test_the_penalty_brings_the_slope_of_the_critics_towards_one(domains: Path):
    trainer = trainer_of(domains, loss="gp", gp_weight=1000.0, n_critic=100)
    batch = next(loader(trainer.dataset, batch=2))
    found = []
    for trainer.steps in range(12):
        ((who, terms),) = trainer.method.step(batch, trainer.steps)
        trainer.play(who, terms, 10.0)
        found.append(terms["penalty_a"].item())
    assert found[-1] < found[0] / 2


def test_a_step_of_the_critics_alone_spares_the_graph_of_g():
    made, graphs = method(n_critic=2), []
    made.ab.register_forward_hook(lambda net, given, out: graphs.append(out.requires_grad))
    for it in range(2):
        for _ in made.step(BATCH_OF_NOISE, it):
            pass
    assert graphs == [False, True, True]  # in the second step, there and back


BATCH_OF_NOISE = Unpaired(*torch.rand(2, 4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("loss", ["clip", "gp"])
def test_nobody_knows_which_pictures_belong_together(loss):
    """Pictures of b in another order: the same losses."""
    (a, b), changes = BATCH_OF_NOISE, config(loss=loss)
    changes["generator"]["dropout"] = 0.0
    made = DUALGAN(DUALGAN.Config.model_validate(changes), Task(size=(SIZE, SIZE)))
    found = []
    for order in ([0, 1, 2, 3], [2, 0, 3, 1]):
        same = copy.deepcopy(made)  # a step clips
        terms = {f"{who}/{k}": v for who, them in played(same, 0, Unpaired(a, b[order])) for k, v in them.items()}
        found.append({k: v for k, v in terms.items() if "penalty" not in k})  # taken at points drawn at random
    assert found[0] == pytest.approx(found[1], rel=1e-3, abs=1e-5)


def test_batch_norm_and_a_penalty_for_each_picture_do_not_go_together(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("data: {dataset: x}\ntrain: {images: 3}\nmethod:\n  name: dualgan\n  loss: gp\n", encoding="utf-8")
    with pytest.raises(RecipeError) as e:
        recipe.load(path)
    assert str(e.value) == (
        f"{path}:3: method: loss gp bounds the slope for each picture, and batch norm mixes the pictures of a batch: "
        "take discriminator.norm instance or none"
    )
    for norm in ("instance", "none"):
        assert recipe.load(path, [f"method.discriminator.norm={norm}"]).method.loss == "gp"
    assert recipe.load(path, ["method.loss=clip"]).method.discriminator.norm == "batch"


def test_the_networks_are_those_of_the_paper():
    with torch.device("meta"):
        made = DUALGAN(DUALGAN.Config(), Task(size=(256, 256)))
    assert (made.ab.config.net, made.ab.config.depth, made.ab.config.dropout) == ("unet", 8, 0.5)
    assert receptive_field(PatchConfig.model_validate(made.Da.config.model_dump())) == 70
    assert made.inference.dropout, "the noise of the paper"
    assert made.cfg.loss == "clip"
    assert made.cfg.clip == 0.01

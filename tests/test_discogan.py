"""DiscoGAN: its losses by hand, its ramp-up, who moves when, what it builds and what it refuses."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from small import SIZE, small_config, small_method, small_recipe, train_small
from torch import Tensor, nn

from i2i.data.batches import Unpaired
from i2i.errors import ModelError, RecipeError
from i2i.methods import METHODS
from i2i.methods.base import Method, Task
from i2i.nets import EncDec, Plain, ResNet, UNet
from i2i.nets.patch import Patch

DISCOGAN = METHODS["discogan"]


class Times(nn.Module):
    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class Judge(nn.Module):
    """The logit is the mean of the picture, its features are the picture and its double."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))

    def with_features(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        return self(x), [x, 2 * x]


def flat(*values: float) -> Tensor:
    """A batch of pictures of one color each."""
    return torch.stack([torch.full((3, 8, 8), v) for v in values])


def method(**changes: Any) -> Method:
    return DISCOGAN(DISCOGAN.Config.model_validate(small_config("discogan", **changes)), Task(size=(SIZE, SIZE)))


def simple(**changes: Any) -> Method:
    """ab is -x, ba is x / 2."""
    made = method(**changes)
    made.ab, made.ba, made.Da, made.Db = Times(-1.0), Times(0.5), Judge(), Judge()
    return made


BATCH = Unpaired(flat(0.2, 0.6), flat(-0.4, 0.0))


def played(made: Method, it: int, batch: Unpaired = BATCH) -> list[tuple[str, dict[str, float]]]:
    return [(who, {k: v.item() for k, v in terms.items()}) for who, terms in made.step(batch, it)]


def log1pexp(*values: float) -> float:
    return sum(math.log(1 + math.exp(v)) for v in values) / len(values)


def test_losses_by_hand():
    """fake_b is -0.2 and -0.6, fake_a -0.2 and 0; there and back, a is -0.1 and -0.3, b is 0.2 and 0."""
    (d, of_d), (g, of_g) = played(simple(), 0)
    assert (d, g) == ("D", "G")
    assert of_d == pytest.approx({
        "real_a": log1pexp(-0.2, -0.6) / 2,
        "fake_a": log1pexp(-0.2, 0.0) / 2,
        "real_b": log1pexp(0.4, 0.0) / 2,
        "fake_b": log1pexp(-0.2, -0.6) / 2,
    })  # fmt: skip
    # Means: a 0.4, fake_a -0.1, b -0.2, fake_b -0.4; the second layer sees twice that. Pictures from 0 to 1: a quarter.
    assert of_g == pytest.approx({
        "gan_ab": 0.5 * 0.1 * log1pexp(0.2, 0.6),
        "gan_ba": 0.5 * 0.1 * log1pexp(0.2, 0.0),
        "features_a": 0.5 * 0.9 * (0.5**2 + 1.0**2),
        "features_b": 0.5 * 0.9 * (0.2**2 + 0.4**2),
        "reconstruction_a": 0.5 * (0.3**2 + 0.9**2) / 2 / 4,
        "reconstruction_b": 0.5 * (0.6**2 + 0.0**2) / 2 / 4,
    })  # fmt: skip


def test_every_weight_weighs_its_own_terms():
    before = dict(played(simple(), 0))["G"]
    for key, of in (("gan_weight", "gan"), ("features_weight", "features")):
        after = dict(played(simple(**{key: 0.3}), 0))["G"]
        published = getattr(DISCOGAN.Config(), key)
        assert after == pytest.approx(
            {name: v * (0.3 / published if name.startswith(of) else 1) for name, v in before.items()}
        )


def test_reconstruction_counts_little_in_the_first_ten_thousand_steps():
    made = simple(early_steps=DISCOGAN.Config().early_steps)
    shares = {}
    for it in (0, 9_999, 10_000, 50_000):
        terms = dict(played(made, it))["G"]
        shares[it] = terms["reconstruction_a"] / ((0.3**2 + 0.9**2) / 8)
        assert terms["gan_ab"] == pytest.approx((1 - shares[it]) * 0.1 * log1pexp(0.2, 0.6))
        assert terms["features_b"] == pytest.approx((1 - shares[it]) * 0.9 * 0.2)
    assert list(shares.values()) == pytest.approx([0.01, 0.01, 0.5, 0.5])
    other = simple(early_steps=3, early_reconstruction=0.2, reconstruction=0.8)
    found = [dict(played(other, it))["G"]["reconstruction_a"] / 0.1125 for it in range(5)]
    assert found == pytest.approx([0.2, 0.2, 0.2, 0.8, 0.8])


@pytest.mark.parametrize(("interval", "moves"), [(3, "D G G D G G"), (2, "D G D G"), (1, "DG DG DG")])
def test_d_moves_in_one_of_so_many_steps_and_g_in_the_others(interval, moves):
    made = simple(update_interval=interval)
    found = ["".join(who for who, _ in played(made, it)) for it in range(len(moves.split()))]
    assert " ".join(found) == moves
    assert DISCOGAN.Config().update_interval == 3


def test_nobody_knows_which_pictures_belong_together():
    """Pictures of b in another order: the same losses."""
    torch.manual_seed(0)
    made = small_method("discogan")
    a, b = torch.rand(4, 3, SIZE, SIZE), torch.rand(4, 3, SIZE, SIZE)
    one, two = played(made, 0, Unpaired(a, b)), played(made, 0, Unpaired(a, b[[2, 0, 3, 1]]))
    for (who, terms), (other, same) in zip(one, two, strict=True):
        assert who == other
        assert terms == pytest.approx(same, rel=1e-4)
    assert dict(played(made, 0, Unpaired(a, b / 2)))["G"] != pytest.approx(dict(one)["G"], rel=1e-2)


def test_the_networks_of_the_shortest_recipe():
    with torch.device("meta"):
        made = DISCOGAN(DISCOGAN.Config(), Task(a=1, b=3, size=(64, 64)))
        assert made.Db(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 1, 1)
    assert (made.ab.config.depth, made.Da.config.depth, made.ab.multiple) == (4, 4, 16)
    assert (made.ab.config.inputs, made.ab.config.outputs, made.ba.config.inputs) == (1, 3, 3)
    assert (made.inference.norm, made.inference.dropout) == ("running", False)


def test_the_recipe_of_a_run_says_what_was_built():
    with torch.device("meta"):
        made = DISCOGAN(DISCOGAN.Config(), Task(size=(32, 48)))
    assert made.cfg.generator.depth == made.ab.config.depth == 3
    assert made.cfg.discriminator.depth == made.Da.config.depth == made.Db.config.depth == 3
    with pytest.raises(RecipeError, match=r"data\.size: an encoder-decoder halves 70x70 only 1 times: take 64x64"):
        DISCOGAN(DISCOGAN.Config(), Task(size=(70, 70)))


@pytest.mark.parametrize(
    ("generator", "discriminator", "kinds"),
    [
        ({"net": "unet", "width": 2}, {"width": 2}, (UNet, Plain)),
        ({"net": "resnet", "width": 2, "blocks": 1}, {"net": "patch", "width": 2, "layers": 1}, (ResNet, Patch)),
        ({"width": 2, "bottleneck": 4}, {"net": "patch", "width": 2, "layers": 1}, (EncDec, Patch)),
    ],
)
def test_other_networks(generator, discriminator, kinds):
    made = DISCOGAN(
        DISCOGAN.Config.model_validate({"generator": generator, "discriminator": discriminator, "update_interval": 1}),
        Task(size=(32, 32)),
    )
    assert (type(made.ab), type(made.Db)) == kinds
    terms = [v for _, found in played(made, 0, Unpaired(*torch.rand(2, 2, 3, 32, 32))) for v in found.values()]
    assert len(terms) == 10
    assert all(map(math.isfinite, terms))


def test_one_picture_a_step_does_not_fit_through_a_normalized_bottleneck(domains: Path, tmp_path: Path):
    config = small_config("discogan")
    config["generator"]["bottleneck"] = 4
    with pytest.raises(ModelError, match=r"batch of one: data\.batch=2 or more, or method\.generator\.bottleneck=0"):
        train_small(tmp_path / "one", small_recipe("discogan", domains, images=2, method=config))
    wanted = small_recipe("discogan", domains, images=4, method=config, data={"batch": 2})
    assert (train_small(tmp_path / "two", wanted) / "model" / "model.safetensors").is_file()

"""What saves memory in training changes nothing else: batches that are accumulated, activations computed again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from small import SIZE, small_config, small_method, small_recipe, train_in_two_processes, train_small
from test_trainer import assert_same_state, last, plain

from i2i import nets, training
from i2i.bench import steps
from i2i.data.batches import Images, Labelled
from i2i.errors import DataError, RecipeError, TrainingError
from i2i.methods import METHODS
from i2i.methods.base import Method, Task
from i2i.nets import recompute as again
from i2i.nets.used import Used
from i2i.reducing import Reducer
from i2i.state import read
from i2i.trainer import Trainer, fetch

# -- train.accumulate --------------------------------------------------------------------------------------------------


def config(name: str, norm: str = "none", **changes: Any) -> dict[str, Any]:
    """Small networks that draw nothing and keep nothing."""
    settings = plain(small_config(name, **changes))
    for part in ("generator", "discriminator"):
        if "norm" in settings.get(part, {}):
            settings[part]["norm"] = norm
    return settings


def stepped(settings: dict[str, Any], parts: int, **train: Any) -> Trainer:
    """After one step on four samples, in so many parts."""
    torch.manual_seed(0)
    cls = METHODS[settings["name"]]
    method = cls(cls.Config.model_validate(settings), Task(size=(SIZE, SIZE))).double()
    read = steps.random_batch(method, SIZE, 4)
    whole = type(read)(*(x.double() for x in read))
    train = {"precision": "fp32", "optimizer": {"name": "sgd", "lr": 0.1}, "accumulate": parts, **train}
    trainer = steps.new_trainer(method, small_recipe(settings["name"], "none", method=settings, train=train))
    trainer.step(*(type(whole)(*part) for part in zip(*(x.split(4 // parts) for x in whole), strict=True)))
    return trainer


def difference(one: Trainer, other: Trainer) -> float:
    """The largest between their gradients, as a share of the largest gradient of the network."""
    worst = 0.0
    for a, b in zip(one.method.children(), other.method.children(), strict=True):
        grads = [(p.grad, q.grad) for p, q in zip(a.parameters(), b.parameters(), strict=True) if p.grad is not None]
        if grads:
            largest = max(g.abs().max().item() for g, _ in grads)
            worst = max(worst, *((g - h).abs().max().item() / largest for g, h in grads))
    return worst


EQUAL = [
    config("pix2pix", "instance", l1=1.0),  # the game, in which G is judged by the D that has moved, counts too
    config("cyclegan", "instance"),
    config("srgan", gan_weight=1.0),
    config("discogan"),
    config("dualgan"),
]


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("settings", EQUAL, ids=lambda s: s["name"])
def test_accumulated_batches_are_one_batch_as_large(settings: dict[str, Any], parts: int) -> None:
    whole, split = stepped(settings, 1), stepped(settings, parts)
    assert difference(whole, split) < 1e-5
    assert split.losses.means() == pytest.approx(whole.losses.means(), rel=1e-5, abs=1e-7)


def test_batch_norm_sees_each_batch_alone() -> None:
    settings = config("pix2pix", "batch")
    assert difference(stepped(settings, 1), stepped(settings, 2)) > 1e-3


def test_a_player_moves_once_by_the_mean_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """One clipping, one averaging over processes, one step of the optimizer, however many batches."""
    averaged: list[Reducer] = []
    monkeypatch.setattr(Reducer, "__enter__", lambda self: averaged.append(self))
    trainer = stepped(config("pix2pix"), 4, optimizer={"name": "adam"}, clip_norm=0.01)
    assert averaged == [trainer.reducers[who] for who in trainer.params]
    for who, params in trainer.params.items():
        assert {state["step"].item() for state in trainer.opts[who].state.values()} == {1}
        assert torch.stack([p.grad.norm() for p in params]).norm() <= 0.0101


def test_a_scaled_loss_is_accumulated_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in float16, whose scale must not change between the parts of a step."""
    plain_step = stepped(config("pix2pix"), 2)
    real = torch.amp.GradScaler
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: real(device, init_scale=1024.0, enabled=True))
    scaled = stepped(config("pix2pix"), 2)
    for one, other in zip(plain_step.method.parameters(), scaled.method.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


FIRST = ("cyclegan", "pixelda", "srgan")
ONE_OF_A_KIND = [pytest.param(name, marks=() if name in FIRST else pytest.mark.slow) for name in METHODS]


@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_every_method_plays_batches_side_by_side(name: str) -> None:
    torch.manual_seed(0)
    method = small_method(name)
    trainer = steps.new_trainer(method, small_recipe(name, "none", train={"precision": "fp32", "accumulate": 2}))
    moved: list[tuple[str, int]] = []
    real = trainer.play
    trainer.play = lambda who, losses, rate, i, of: (moved.append((who, i)), real(who, losses, rate, i, of))
    trainer.step(batch_for(method), batch_for(method))
    assert moved[::2] == [(who, 1) for who, _ in moved[::2]]
    assert moved[1::2] == [(who, 2) for who, _ in moved[::2]]
    assert {who for who, _ in moved} == set(method.players)
    assert all(value.isfinite() for value in trainer.losses.sums.values())


ACCUMULATED = {"train": {"accumulate": 2, "ema_halflife_images": 4}, "watch": {"save_images": 4}}


def test_images_are_counted_and_a_training_goes_on_between_whole_steps(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(METHODS["pix2pix"], "begin", lambda self, steps: told.append(steps))
    whole = train_small(tmp_path / "whole", small_recipe("pix2pix", pairs, images=8, **ACCUMULATED))
    state = read(last(whole), "state")
    assert (told, state["images"], state["steps"], state["batch"]) == ([4], 8, 4, 2)
    part = train_small(tmp_path / "part", small_recipe("pix2pix", pairs, images=4, **ACCUMULATED))
    assert_same_state(last(whole), last(training.resume(part, "train.images=8", quiet=True)))


def test_a_step_needs_its_images() -> None:
    with pytest.raises(RecipeError, match=r"train\.images \(3\) is less than one step \(4\)"):
        small_recipe("pix2pix", "none", images=3, train={"accumulate": 4})


def test_a_picture_that_cannot_be_read_takes_its_step_with_it() -> None:
    def batches() -> Any:
        yield "good"
        raise DataError("3.png: damaged")

    got, trouble = fetch(batches(), 2)
    assert got == []
    assert str(trouble) == "3.png: damaged"


@pytest.mark.slow
def test_two_processes_accumulate_what_one_sees_at_once(pairs: Path, tmp_path: Path) -> None:
    train = {"optimizer": {"name": "sgd", "lr": 0.01}, "precision": "fp32"}
    blocks = {"method": config("pix2pix"), "watch": {"save_images": 8}}
    one = train_small(tmp_path / "one", small_recipe("pix2pix", pairs, 8, data={"batch": 4}, train=train, **blocks))
    train["accumulate"] = 2
    two = small_recipe("pix2pix", pairs, 8, data={"batch": 1}, train=train, **blocks)
    train_in_two_processes(two, tmp_path / "two")
    a, b = read(last(one), "state"), read(last(tmp_path / "two"), "state")
    assert (a["images"], a["steps"]) == (b["images"], b["steps"]) == (8, 2)
    for key, value in a["method"].items():
        torch.testing.assert_close(b["method"][key], value, atol=2e-6, rtol=2e-5, msg=lambda m, key=key: f"{key}: {m}")


# -- train.recompute ---------------------------------------------------------------------------------------------------


def batch_for(method: Method) -> Any:
    if method.reads not in (Images, Labelled):
        return steps.random_batch(method, SIZE, 2)
    x, labels = torch.rand(3, 3, SIZE, SIZE) * 2 - 1, torch.arange(3)
    return Images(x, labels) if method.reads is Images else Labelled(x, labels, -x, labels)


def trained(name: str, **train: Any) -> tuple[Trainer, torch.Tensor]:
    """Two steps, and a random number drawn after them."""
    torch.manual_seed(0)
    method = small_method(name)
    batch = batch_for(method)
    trainer = steps.new_trainer(method, small_recipe(name, "none", train=train))
    for _ in range(2):
        trainer.step(batch)
    return trainer, torch.rand(())


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is run to be run again."""
    runs: list[Any] = []
    real = again.checkpoint
    monkeypatch.setattr(again, "checkpoint", lambda f, *x, **how: (runs.append(f), real(f, *x, **how))[1])
    return runs


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ONE_OF_A_KIND)
def test_what_is_computed_again_is_the_same_bit_for_bit(
    name: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, running statistics, estimates of spectral norms, pools, and the random numbers that come after."""
    kept, number = trained(name, precision=precision)
    runs = counted(monkeypatch)
    computed, same_number = trained(name, precision=precision, recompute=True)
    assert runs
    assert number == same_number
    other = computed.method.state_dict()
    assert other.keys() == kept.method.state_dict().keys()
    for key, value in kept.method.state_dict().items():
        assert torch.equal(value, other[key]), key


NETS = {
    "dropout in a U-Net": nets.UNetConfig(width=4, depth=5, norm="batch", dropout=0.5),
    "batch norm and dropout in blocks": nets.ResNetConfig(width=4, blocks=2, norm="batch", dropout=0.5),
    "enlarging": nets.SRResNetConfig(width=4, blocks=2),
    "spectral norm": nets.DCGANConfig(width=4, latent=8, size=(SIZE, SIZE), spectral=True),
}


@pytest.mark.parametrize("what", NETS)
def test_a_network_run_twice_before_its_gradient_is_due(what: str) -> None:
    """Buffers have moved on by then: what is computed again must still be what was, and must not move them again."""
    torch.manual_seed(0)
    net: Any = nets.build(NETS[what])
    given = torch.randn(2, 2, 8) if "spectral" in what else torch.randn(2, 2, 3, SIZE, SIZE)
    other = copy.deepcopy(net)
    again.recompute(other)
    found = []
    for one in (net, other):
        torch.manual_seed(1)
        (one(given[0]).square().mean() + one(given[1]).mean()).backward()
        found.append([p.grad for p in one.parameters()] + list(one.buffers()) + [torch.rand(())])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert list(net.state_dict()) == list(other.state_dict())


def test_a_chain_of_blocks_is_cut_at_every_block() -> None:
    net: Any = nets.build(nets.ResNetConfig(width=2, blocks=3))
    kinds = [type(piece).__name__ for piece in again.pieces(net.model)]
    assert kinds == ["Sequential", "Residual", "Residual", "Residual", "Sequential"]


def test_a_pyramid_is_cut_into_its_levels_which_learn_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = counted(monkeypatch)
    net: Any = nets.build(nets.LapGANConfig(width=2, dense=4, size=(14, 14), latent=200))
    again.recompute(net)
    coarsest, detail = net.parts(torch.randn(2, 200))
    picture = net.level(0, coarsest)
    assert net.level(1, detail, net.up(picture)).requires_grad
    net(torch.randn(2, 200))
    assert len(runs) == 4


def test_named_arguments_reach_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = counted(monkeypatch)
    net: Any = nets.build(nets.ProGANConfig(width=2, size=(16, 16), latent=8))
    again.recompute(net)
    assert net(torch.randn(2, 8), doublings=1).shape == (2, 3, 8, 8)
    assert len(runs) == 1


def test_activations_are_kept_no_longer() -> None:
    """What autograd keeps for the way back: nothing of what is inside the pieces, whose inputs are not seen here."""

    def kept(net: Any) -> int:
        seen: dict[int, int] = {}
        own = {p.data_ptr() for p in net.parameters()}

        def pack(x: torch.Tensor) -> torch.Tensor:
            if x.data_ptr() not in own:
                seen[x.data_ptr()] = x.numel()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            y = net(torch.randn(1, 3, 64, 64))
        assert y.requires_grad
        return sum(seen.values())

    torch.manual_seed(0)
    net = nets.build(nets.ResNetConfig(width=8, blocks=6))
    before = kept(net)
    again.recompute(net)
    assert kept(net) < before / 8


def test_copies_of_a_network_are_their_own(pairs: Path) -> None:
    """What is shown and measured is run by a copy, which must not run the network that it was made of."""
    net: Any = nets.build(nets.ResNetConfig(width=2, blocks=1))
    again.recompute(net)
    inference = METHODS["cyclegan"].Config().inference
    used, x = Used(net, inference), torch.rand(1, 3, 8, 8)
    before = used(x)
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    assert torch.equal(used(x), before)
    assert not torch.equal(Used(net, inference)(x), before)


def test_a_training_goes_on_with_it_and_nobody_notices(pairs: Path, tmp_path: Path) -> None:
    """Averages, checkpoints and the saved model know nothing of it."""
    train = {"ema_halflife_images": 4}
    whole = train_small(tmp_path / "whole", small_recipe("pix2pix", pairs, images=4, train=train))
    part = train_small(tmp_path / "part", small_recipe("pix2pix", pairs, images=2, train=train))
    training.resume(part, "train.images=4", "train.recompute=true", quiet=True)
    assert_same_state(last(whole), last(part))
    models = [(run / "model/model.safetensors").read_bytes() for run in (whole, part)]
    assert models[0] == models[1]


@pytest.mark.parametrize("said", ["CUDA out of memory. Tried to allocate 9 GiB", "can't allocate memory: you tried"])
def test_too_little_memory_is_one_line_with_the_ways_out(
    said: str, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(*_: Any) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(Trainer, "step", step)
    with pytest.raises(TrainingError, match=r"^too much for the memory .* train\.accumulate .* train\.recompute=true"):
        train_small(tmp_path / "run", small_recipe("pix2pix", pairs))


def test_it_cannot_be_compiled_too() -> None:
    with pytest.raises(RecipeError, match="train: recompute and compile: what is compiled cannot be run in pieces"):
        small_recipe("pix2pix", "none", train={"recompute": True, "compile": True})

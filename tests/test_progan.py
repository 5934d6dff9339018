"""Networks that grow: how far, when, and that everybody who draws with them knows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from small import small_config, small_recipe, steps, train_small
from test_methods import trainer_of
from test_trainer import assert_same_state
from torch.nn.functional import avg_pool2d, interpolate

import i2i
from i2i import exporting, folder, nets
from i2i.data.batches import Images
from i2i.errors import ModelError
from i2i.methods.base import Task
from i2i.nets import ProGANConfig, ProGANCriticConfig, count
from i2i.nets.progan import ProGAN, ProGANCritic, faded
from i2i.zoo import progan
from i2i.zoo.progan import ProGAN as Method

SMALL = {"width": 3, "most": 2, "size": (16, 16)}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def generator(grown: float = 2.0, **changes: object) -> ProGAN:
    net = nets.build(ProGANConfig(**{"latent": 5, "outputs": 1, **SMALL, **changes}))
    net.grown.fill_(grown)
    return net


def critic(grown: float) -> ProGANCritic:
    net = nets.build(ProGANCriticConfig(inputs=1, **SMALL))
    net.grown.fill_(grown)
    return net


def method(**changes: object) -> Method:
    wanted = small_config("progan", **{"growth": 0.5, "latent": {"noise": 5}, **changes})
    return Method(Method.Config.model_validate(wanted), Task(a=1, b=1, size=(16, 16))).train()


# -- networks ----------------------------------------------------------------------------------------------------------


def test_both_networks_have_the_published_size() -> None:
    wide = {"width": 16, "most": 32, "size": (1024, 1024)}
    with torch.device("meta"):
        pair = nets.build(ProGANConfig(latent=512, **wide)), nets.build(ProGANCriticConfig(**wide))
    assert [round(count(net) / 1e6, 1) for net in pair] == [23.1, 23.1]  # table 2
    assert [layer.weight.shape[1] for layer in pair[0].pictures] == [512] * 4 + [256, 128, 64, 32, 16]


def test_parameters_by_hand() -> None:
    layers = 6 * (5 + 1) * 16 + 6 * (6 * 9 + 1) + 2 * 6 * (6 * 9 + 1) + 3 * (6 * 9 + 1) + 3 * (3 * 9 + 1)
    assert count(generator()) == layers + (6 + 1) + (6 + 1) + (3 + 1)
    seen = 3 * (3 * 9 + 1) + 6 * (3 * 9 + 1) + 2 * 6 * (6 * 9 + 1)
    last = 6 * (7 * 9 + 1) + 6 * (6 * 16 + 1) + (6 + 1)
    assert count(critic(2.0)) == seen + last + 2 * 2 * 6 + 2 * 3


@pytest.mark.parametrize(("grown", "alpha"), [(1.0, 0.0), (1.25, 0.25), (2.0, 1.0)])
def test_the_newest_size_is_faded_in(grown: float, alpha: float) -> None:
    net, z = generator(grown), torch.randn(2, 5)
    small = net.blocks[0](net.first(z))
    old, new = net.pictures[1](small), net.pictures[2](net.blocks[1](small))
    expected = (1 - alpha) * interpolate(old, scale_factor=2) + alpha * new
    torch.testing.assert_close(net(z), expected)
    assert torch.equal(net(z, doublings=2), net(z))


def test_what_has_not_grown_is_enlarged_from_what_has() -> None:
    z = torch.randn(2, 5)
    for grown, sizes in ((0.0, 0), (0.4, 1), (1.0, 1)):
        net = generator(grown)
        small = net(z, doublings=sizes)
        assert small.shape == (2, 1, 4 * 2**sizes, 4 * 2**sizes)
        assert torch.equal(net(z), interpolate(small, size=(16, 16)))
    assert generator().eval()(100 * z).abs().max() <= 1


def test_the_critic_sees_the_newest_size_faded_in() -> None:
    net, x = critic(1.25), torch.randn(4, 1, 16, 16)
    half = avg_pool2d(x, 2)
    at_half = 0.75 * net.pictures[1](half) + 0.25 * net.blocks[1](net.pictures[2](x))
    torch.testing.assert_close(net(x), net.head(net.last(net.blocks[0](at_half))))
    small = critic(0.0)
    tiny = torch.randn(4, 1, 4, 4)
    torch.testing.assert_close(small(tiny, doublings=0), small.head(small.last(small.pictures[0](tiny))))
    with pytest.raises(ModelError, match=r"takes pictures of 4 x 4, not 8 x 8"):
        small(half, doublings=0)


def test_it_can_be_asked_for_a_class() -> None:
    net, z = generator(classes=3), torch.randn(1, 5)
    assert not torch.allclose(net(z, torch.tensor([0])), net(z, torch.tensor([2])))


# -- growing -----------------------------------------------------------------------------------------------------------


def test_sizes_are_trained_and_faded_in_in_turn() -> None:
    eighths = [progan.grown(i / 8, 2) for i in range(10)]
    assert eighths == [0, 0, 0, 0.5, 1, 1, 1, 1.5, 2, 2]
    assert [progan.grown(i / 4, 1) for i in range(5)] == [0, 0, 0, 0.5, 1]
    assert progan.grown(0.3, 0) == 0  # nothing to double


def test_growth_has_no_jumps() -> None:
    values = [progan.grown(i / 6000, 3) for i in range(6001)]
    steps = np.diff(values)
    assert (values[0], values[-1]) == (0, 3)
    assert steps.min() >= 0
    assert steps.max() == pytest.approx(1 / 1000)


def test_real_pictures_are_faded_in_alike() -> None:
    x = torch.zeros(1, 1, 8, 8)
    x[0, 0, 0, :3] = torch.tensor([4.0, 0.0, 8.0])
    assert torch.equal(progan.seen(x, 1.0, 1, 1), x)
    small = progan.seen(x, 0.0, 0, 1)
    assert small.shape == (1, 1, 4, 4)
    assert small[0, 0, 0, :2].tolist() == [1, 2]  # means of four
    fading = progan.seen(x, 0.25, 1, 1)
    assert fading[0, 0, 0, :4].tolist() == [0.75 * 1 + 0.25 * 4, 0.75 * 1, 0.75 * 2 + 0.25 * 8, 0.75 * 2]
    assert fading[0, 0, 1, :2].tolist() == [0.75, 0.75]
    larger = torch.randn(1, 1, 16, 16)
    assert torch.equal(progan.seen(larger, 0.25, 1, 2), progan.seen(avg_pool2d(larger, 2), 0.25, 1, 1))


def test_no_gradient_flows_to_what_counts_nothing() -> None:
    old, new = torch.ones(2, requires_grad=True), torch.full((2,), 3.0, requires_grad=True)
    for alpha, expected in ((0.0, (1, 0)), (1.0, (0, 1)), (0.25, (0.75, 0.25))):
        found = torch.autograd.grad(faded(old, new, torch.tensor(alpha)).sum(), (old, new))
        assert tuple(g[0].item() for g in found) == expected


def test_layers_of_sizes_to_come_stand_still() -> None:
    made = method()
    made.begin(80)  # fully grown after 40 steps: phases of 10
    for it, sizes in ((0, 0), (9, 0), (10, 0), (11, 1), (29, 1), (31, 2), (40, 2), (79, 2)):
        made.zero_grad()
        for _, losses in made.step(Images(torch.randn(4, 1, 16, 16), torch.zeros(4)), it):
            sum(losses.values()).backward()
        for net in (made.G, made.D):
            blocks = [any(p.grad is not None for p in block.parameters()) for block in net.blocks]
            pictures = [any(p.grad is not None for p in layer.parameters()) for layer in net.pictures]
            assert blocks == [i < sizes for i in range(2)]
            assert pictures == [i <= sizes for i in range(3)]
            assert net.grown.item() == pytest.approx({11: 0.1, 31: 1.1}.get(it, sizes))


def test_the_share_of_growth() -> None:
    for growth, it, expected in ((0.0, 0, 2.0), (1.0, 30, 0.5), (1.0, 70, 1.5), (0.5, 35, 1.5)):
        made = method(growth=growth)
        assert made.grow(0) == 2.0  # nobody said how long the training is
        made.begin(80)
        assert made.grow(it) == pytest.approx(expected)
        assert [net.grown.item() for net in (made.G, made.D)] == pytest.approx([expected] * 2)


def test_a_step_charges_wasserstein_penalty_and_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    made = method(penalty=10.0, drift=0.5)
    slope = torch.full((1, 16, 16), 3 / 16)  # of length 3
    monkeypatch.setattr(made.D, "forward", lambda x, sizes: (x * slope).sum((1, 2, 3))[:, None])
    monkeypatch.setattr(made.G, "forward", lambda z, doublings: torch.full((4, 1, 16, 16), -1 / 48))
    x = torch.full((4, 1, 16, 16), 1 / 48)
    x[2:] *= 3
    (who_d, d), (who_g, g) = made.step(Images(x, torch.zeros(4)), 0)
    assert (who_d, who_g) == ("D", "G")
    found = {name: value.item() for name, value in {**d, **g}.items()}  # scores 1, 1, 3, 3 and -1
    expected = {"real": -2, "fake": -1, "penalty": 10 * (3 - 1) ** 2, "drift": 0.5 * (1 + 9) / 2, "gan": 1}
    assert found == pytest.approx(expected, rel=1e-5)


# -- everybody who draws -----------------------------------------------------------------------------------------------


def test_a_training_goes_on_in_the_middle_of_a_fade_in(digits: Path, tmp_path: Path) -> None:
    blocks = {"data": {"batch": 2, "size": 16}, "train": {"ema_halflife_images": 4}}
    whole, part, again = (trainer_of("progan", digits, **blocks) for _ in range(3))
    for trainer in (whole, part):
        trainer.method.growing.fill_(10)  # phases of two and a half steps
    torch.manual_seed(5)
    steps(whole, 0, 9)
    torch.manual_seed(5)
    steps(part, 0, 5)
    part.save(tmp_path / "part")
    again.load(tmp_path / "part")
    for trainer in (part, again):
        assert trainer.average["sampler"].grown.item() == pytest.approx(0.6)
    steps(again, 5, 9)
    assert again.average["sampler"].grown.item() == pytest.approx(1.2)
    whole.save(tmp_path / "whole")
    again.save(tmp_path / "again")
    assert_same_state(tmp_path / "whole", tmp_path / "again")


def test_models_and_exports_draw_whole_pictures_with_what_has_grown(digits: Path, tmp_path: Path) -> None:
    blocks = {"data": {"batch": 2, "size": 16}, "train": {"ema_halflife_images": 4}}
    growing = small_config("progan", growth=1.0)
    run = train_small(tmp_path / "run", small_recipe("progan", digits, images=10, method=growing, **blocks))
    net = i2i.load(run).engine.net
    assert net.grown.item() == pytest.approx(1.2)  # the last of five steps, at 3.2 of four phases
    drawn = i2i.load(run)(5, seed=3)
    whole = np.stack([np.asarray(p).astype(int) for p in drawn])
    assert whole.shape == (5, 16, 16, 3)
    out = exporting.export(run)
    assert folder.read_info(out).export.proofs["sampler"].max <= 1e-4
    theirs = np.stack([np.asarray(p).astype(int) for p in i2i.load(out)(5, seed=3)])
    assert np.abs(whole - theirs).max() <= 1
    net.grown.fill_(2.0)
    grown = net(torch.from_numpy(folder.read_info(run / "model").sampler.latent.numbered(5, 3))).numpy(force=True)
    assert np.abs(grown.transpose(0, 2, 3, 1) - (whole / 127.5 - 1)).max() > 0.1

"""The zoo: what all methods that draw pictures promise, the parts that the table puts together, and its own games."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import SIZE, small_config, small_method, small_recipe, steps, train_small
from test_methods import trainer_of
from test_trainer import assert_same_state
from torch import nn

from i2i import nets, recipe
from i2i.data.batches import Images, Labelled, loader, open_split
from i2i.data.labelled import Shown
from i2i.data.layouts import recognise
from i2i.data.transforms import View
from i2i.errors import DataError, ModelError, RecipeError
from i2i.folder import read_info
from i2i.latents import Latent
from i2i.losses import CONTESTS
from i2i.methods.base import Method, Task
from i2i.nets import DCGANConfig, DCGANCriticConfig, MLPConfig, MLPCriticConfig, count
from i2i.zoo import ZOO
from i2i.zoo.augment import CHANGES, augment
from i2i.zoo.base import COLUMNS, Drawing
from i2i.zoo.drawn import draw

every_name = pytest.mark.parametrize("name", sorted(ZOO))
TASK = Task(a=1, b=1, size=(SIZE, SIZE), classes=3)


def made(name: str, **changes: object) -> Method:
    torch.manual_seed(0)
    return ZOO[name](ZOO[name].Config.model_validate(small_config(name, **changes)), TASK).train()


def pictures(count: int = 4) -> Images:
    """A square on black, at a place of its own."""
    x = torch.full((count, 1, SIZE, SIZE), -1.0)
    for i in range(count):
        x[i, :, 4 * i % 16 : 4 * i % 16 + 12, 8:20] = 1
    return Images(x, torch.arange(count) % 3)


def read_by(method: Method, batch: Images) -> Images | Labelled:
    """The batch as the method reads it."""
    return Labelled(*batch, *batch) if method.reads is Labelled else batch


# -- the contract ------------------------------------------------------------------------------------------------------


@every_name
def test_against_opponents_that_stand_still_each_player_learns(name: str) -> None:
    method = made(name)
    batch = read_by(method, pictures(4))
    for mover, networks in method.players.items():
        optimizer = torch.optim.Adam([p for net in networks for p in net.parameters()], 2e-3, betas=(0.5, 0.999))
        values = []
        for _ in range(25):
            torch.manual_seed(1)  # the same z at every step
            for who, losses in method.step(batch, 0):
                if who == mover:
                    total = sum(losses.values())
                    values.append(total.item())
                    optimizer.zero_grad()
                    total.backward(inputs=[p for net in networks for p in net.parameters()])
                    optimizer.step()
        assert values[-1] < values[0] - 0.05 * abs(values[0]), f"{mover}: {values[0]:.3f} -> {values[-1]:.3f}"


@every_name
def test_a_training_goes_on_bit_for_bit(name: str, digits: Path, tmp_path: Path) -> None:
    blocks = {"data": {"batch": 2}, "train": {"ema_halflife_images": 4}}
    whole, part, again = (trainer_of(name, digits, **blocks) for _ in range(3))
    torch.manual_seed(5)
    steps(whole, 0, 4)
    torch.manual_seed(5)
    steps(part, 0, 2)
    part.save(tmp_path / "part")
    again.load(tmp_path / "part")
    steps(again, 2, 4)
    whole.save(tmp_path / "whole")
    again.save(tmp_path / "again")
    assert_same_state(tmp_path / "whole", tmp_path / "again")


@every_name
def test_the_sampler_draws_pictures(name: str) -> None:
    method = made(name)
    assert set(method.products) == {"sampler"}
    z = torch.from_numpy(method.latent.draw(3, np.random.default_rng(0)))
    labels = [torch.tensor([2, 0, 1])] * bool(method.classes)
    sampler = method.products["sampler"].eval()
    x = sampler(z, *labels)
    assert x.shape == (3, 1, SIZE, SIZE)
    assert x.abs().max() <= 1
    torch.testing.assert_close(sampler(z[:1], *(y[:1] for y in labels)), x[:1], rtol=1e-4, atol=1e-5)  # no neighbor
    with pytest.raises(ModelError, match=rf"draws from \[N, {method.latent.size}\], not from \[3, 1\]"):
        sampler(z[:, :1], *labels)


def test_a_model_folder_holds_the_sampler(digits: Path, tmp_path: Path) -> None:
    blocks = {"watch": {"sheet_images": 4, "sheet_rows": 2}, "train": {"ema_halflife_images": 4}, "data": {"batch": 2}}
    run = train_small(tmp_path / "run", small_recipe("dcgan", digits, images=4, **blocks))
    info = read_info(run / "model")
    assert (info.products, info.default, info.classifiers) == ({}, "", {})
    sampler = info.sampler
    assert (sampler.size, sampler.channels, sampler.classes) == ((SIZE, SIZE), 3, 0)
    assert sampler.latent == Latent(noise=100, prior="uniform")
    net = nets.build(DCGANConfig.model_validate(sampler.generator))
    weights = load_file(run / "model/model.safetensors")
    net.load_state_dict({key.removeprefix("sampler/"): value for key, value in weights.items()})
    trained = trainer_of("dcgan", digits, images=4, **blocks)
    trained.load(run / "checkpoints/00000004")
    averaged = trained.average["sampler"].state_dict()
    assert all(torch.equal(value, averaged[key]) for key, value in net.state_dict().items())
    assert (run / "sheets/00000004.png").is_file()
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [e["event"] for e in events if e["event"] in ("sheet", "save")] == ["sheet", "save"]


def test_a_sheet_shows_the_same_z_at_every_time() -> None:
    method = made("dcgan")
    nets_ = {"sampler": method.products["sampler"].eval()}
    before, after = method.panels(nets_, pictures(2)), method.panels(nets_, pictures(2))
    assert before["drawn"].shape == (2, COLUMNS, 1, SIZE, SIZE)
    assert torch.equal(before["drawn"], after["drawn"])
    assert torch.equal(before["{a}"], pictures(2).x)


def test_a_sheet_of_classes_has_one_in_each_row() -> None:
    class Asked(Drawing):
        latent, classes = Latent(noise=4), 3

        def __init__(self) -> None:
            torch.nn.Module.__init__(self)  # no G: what is drawn comes from the function below

        def step(self, batch: Images, it: int):
            raise NotImplementedError

    seen = []

    def sampler(z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        seen.append((z, labels))
        return labels.float().view(-1, 1, 1, 1).expand(-1, 1, 8, 8)

    drawn = Asked().panels({"sampler": sampler}, pictures(4))["drawn"]
    assert drawn[:, :, 0, 0, 0].tolist() == [[float(row)] * COLUMNS for row in (0, 1, 2, 0)]
    z = seen[0][0].unflatten(0, (4, COLUMNS))
    assert torch.equal(z[0], z[3])


# -- what is read and drawn --------------------------------------------------------------------------------------------


def test_images_of_a_labelled_set_carry_the_labels_that_are_shown(digits: Path) -> None:
    split = recognise(digits / "A").splits["train"]
    view = View(size=(32, 32), flip=False)
    all_of_them = next(loader(open_split(Images, split, view), batch=24, shuffle=False))
    assert all_of_them.x.shape == (24, 3, 32, 32)
    assert all_of_them.labels.dtype == torch.int64
    assert all_of_them.labels.tolist() == [i % 3 for i in range(24)]
    data = open_split(Images, split, view, shown=Shown(6, seed=1))
    assert data.classes == 3
    some = next(loader(data, batch=24, shuffle=False)).labels
    known = some >= 0
    assert some[known].bincount().tolist() == [2, 2, 2]
    assert torch.equal(some[known], all_of_them.labels[known])
    assert (some[~known] == -1).all()
    with pytest.raises(DataError, match=r"^data\.labelled=4: train-labels\.npy allows a multiple of 3"):
        open_split(Images, split, view, shown=Shown(4, seed=1))


@pytest.mark.parametrize(("direction", "side"), [("a2b", "B"), ("b2a", "A")])
def test_of_two_domains_the_images_are_those_to_paint(digits: Path, domains: Path, direction: str, side: str) -> None:
    view = View(size=(32, 32), flip=False, direction=direction, train=False)
    both = recognise(digits).splits["train"]
    one = recognise(digits / side).splits["train"]
    batches = [next(loader(open_split(Images, split, view), batch=4, shuffle=False)) for split in (both, one)]
    assert torch.equal(batches[0].x, batches[1].x)
    plain = open_split(Images, recognise(domains).splits["train"], view)
    assert len(plain) == {"A": 5, "B": 7}[side]
    batch = next(loader(plain, batch=4))
    assert (batch.x.shape, batch.labels.tolist(), plain.classes) == ((4, 3, 32, 32), [-1] * 4, 0)
    with pytest.raises(DataError, match=r"^data\.labelled=3: .* holds pictures without labels$"):
        open_split(Images, recognise(domains).splits["train"], view, shown=Shown(3, 0))


def test_z_is_drawn_as_the_latent_says() -> None:
    torch.manual_seed(0)
    z = draw(Latent(noise=4, choices=(3, 5), codes=2), 2000, torch.device("cpu"))
    assert z.shape == (2000, 14)
    assert z[:, :4].std().item() == pytest.approx(1, abs=0.05)
    for part, n in ((z[:, 4:7], 3), (z[:, 7:12], 5)):
        assert torch.equal(part.sum(1), torch.ones(2000))
        assert part.mean(0).tolist() == pytest.approx([1 / n] * n, abs=0.05)
    uniform = torch.cat([z[:, 12:], draw(Latent(noise=2, prior="uniform"), 2000, torch.device("cpu"))])
    assert -1 <= uniform.min() < -0.98
    assert 0.98 < uniform.max() <= 1
    assert uniform.mean().item() == pytest.approx(0, abs=0.05)


# -- networks ----------------------------------------------------------------------------------------------------------


def test_the_fully_connected_pair_has_the_published_size() -> None:
    gray = {"size": (28, 28)}
    generator, critic = nets.build(MLPConfig(outputs=1, **gray)), nets.build(MLPCriticConfig(inputs=1, **gray))
    running = sum(b.numel() for b in generator.buffers() if b.ndim)
    assert count(generator) + running == 1_493_520
    assert count(critic) == 533_505


def test_the_widths_of_the_dcgan_are_the_papers() -> None:
    net = nets.build(DCGANConfig(size=(64, 64)))
    assert net.shape == (1024, 4, 4)
    ups = [layer for layer in net.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in ups] == [512, 256, 128, 3]
    critic = nets.build(DCGANCriticConfig(size=(64, 64)))
    convolutions = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [128, 256, 512, 1024]
    assert isinstance(critic.trunk[1], nn.Identity), "no norm where the picture comes in"
    assert critic.features(torch.zeros(2, 3, 64, 64)).shape == (2, 1024 * 16)


@pytest.mark.parametrize("size", [(28, 28), (32, 32), (64, 64), (32, 48), (8, 8)])
@pytest.mark.parametrize("spectral", [False, True])
def test_dcgans_of_many_sizes(size: tuple[int, int], spectral: bool) -> None:
    generator = nets.build(DCGANConfig(size=size, width=4, latent=5, classes=3, spectral=spectral))
    critic = nets.build(DCGANCriticConfig(size=size, width=4, spectral=spectral, norm="none", answers=2))
    x = generator(torch.randn(2, 5), torch.tensor([0, 2]))
    assert x.shape == (2, 3, *size)
    assert critic(x).shape == (2, 2)
    with pytest.raises(ModelError, match=r"has to be asked for one of 3 classes"):
        generator(torch.randn(2, 5))


def test_a_generator_listens_to_what_it_is_asked_for() -> None:
    torch.manual_seed(0)
    for config in (DCGANConfig(width=4, latent=5, classes=3), MLPConfig(width=8, latent=5, classes=3)):
        net, z = nets.build(config).eval(), torch.randn(1, 5)
        assert not torch.allclose(net(z, torch.tensor([0])), net(z, torch.tensor([2])))
    with pytest.raises(ModelError, match="this generator knows no classes"):
        nets.build(MLPConfig(width=8, latent=5))(z, torch.tensor([0]))


def test_spectral_norm_holds_every_singular_value_at_one_also_after_first_weights() -> None:
    torch.manual_seed(0)
    critic = nets.build(DCGANCriticConfig(size=(32, 32), width=4, norm="none", spectral=True))
    nets.initialise(critic, "kaiming")
    layers = [layer for layer in critic.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 4
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.2)
        assert not layer.bias.any()


def test_sizes_and_batches_that_cannot_be() -> None:
    with pytest.raises(RecipeError, match=r"^data\.size: a DCGAN needs .* multiples of 4, not 30x30 \(method\.gen"):
        ZOO["dcgan"](ZOO["dcgan"].Config(), Task(size=(30, 30)))
    flat = {"generator": MLPConfig(width=8)}
    for key in ("encoder", "decoder"):
        with pytest.raises(RecipeError, match=rf"^data\.size: a DCGAN needs .* not 30x30 \(method\.{key}\)$"):
            ZOO["ebgan"](ZOO["ebgan"].Config(**flat), Task(size=(30, 30)))
        flat["encoder"] = MLPCriticConfig(width=8)
    method = made("gan")
    with pytest.raises(ModelError, match=r"no statistics of a single picture: data\.batch=2"):
        list(method.step(pictures(1), 0))


# -- the game and its options ------------------------------------------------------------------------------------------


def moves(method: Method, it: int = 0, batch: Images | None = None) -> list[tuple[str, dict[str, torch.Tensor]]]:
    torch.manual_seed(3)
    return list(method.step(read_by(method, batch or pictures()), it))


@pytest.mark.parametrize("game", CONTESTS)
def test_a_step_charges_what_the_game_says(game: str) -> None:
    norm = {"net": "dcgan_critic", "width": 6, "norm": "none"}
    method = made("dcgan", game=game, discriminator=norm, clip=0 if CONTESTS[game].bounded else 1.0)
    batch = pictures()
    (who_d, d), (who_g, g) = moves(method, batch=batch)
    assert (who_d, who_g) == ("D", "G")
    torch.manual_seed(3)
    real, fake = method.D(batch.x), method.D(method.G(method.draw(batch.x)))
    torch.testing.assert_close(d, CONTESTS[game].judge(real, fake))
    torch.testing.assert_close(g, {"gan": CONTESTS[game].fool(fake, real)})


def test_critic_steps() -> None:
    method = made("wgan_gp", n_critic=3)
    assert [[who for who, _ in moves(method, it)] for it in range(6)] == 2 * [["D"], ["D"], ["D", "G"]]


def test_weights_are_clipped_after_each_move_of_d() -> None:
    method = made("wgan", clip=0.01)
    torch.manual_seed(0)
    found = method.step(pictures(), 0)
    next(found)
    assert max(p.abs().max() for p in method.D.parameters()) > 0.01
    next(found)
    assert max(p.abs().max() for p in method.D.parameters()) <= 0.01
    assert max(p.abs().max() for p in method.G.parameters()) > 0.01


@pytest.mark.parametrize(
    ("penalty", "term"),
    [
        ({"kind": "gp"}, "penalty"),
        ({"kind": "div"}, "penalty"),
        ({"kind": "dragan"}, "penalty"),
        ({"kind": "r1"}, "penalty"),
        ({"kind": "qp", "norm": 2}, "potential"),
    ],
)
def test_every_penalty_goes_with_every_game_and_is_weighed(penalty: dict, term: str) -> None:
    plain = {"net": "dcgan_critic", "width": 6, "norm": "none"}

    def charged(game: str, weight: float) -> torch.Tensor:
        method = made("dcgan", game=game, discriminator=plain, penalty={**penalty, "weight": weight})
        return moves(method)[0][1][term]

    light, heavy = (charged("vanilla", weight) for weight in (1.0, 4.0))
    for game in CONTESTS:
        torch.testing.assert_close(charged(game, 1.0), light)
    assert (heavy / light).item() == pytest.approx(0.25 if penalty["kind"] == "qp" else 4, rel=1e-4)
    assert light > 0


def test_r1_can_be_taken_now_and_then() -> None:
    plain = {"net": "dcgan_critic", "width": 6, "norm": "none"}
    lazy = made("dcgan", discriminator=plain, penalty={"kind": "r1", "every": 4})
    eager = made("dcgan", discriminator=plain, penalty={"kind": "r1"})
    assert ["penalty" in moves(lazy, it)[0][1] for it in range(5)] == [True, False, False, False, True]
    torch.testing.assert_close(moves(lazy)[0][1]["penalty"], 4 * moves(eager)[0][1]["penalty"])


def test_each_player_may_learn_at_a_rate_of_its_own(digits: Path) -> None:
    trainer = trainer_of("dcgan", digits, train={"rates": {"D": 4.0}, "optimizer": {"lr": 1e-4}})
    trainer.step(pictures()._replace(x=torch.zeros(2, 3, SIZE, SIZE)))
    rates = {who: opt.param_groups[0]["lr"] for who, opt in trainer.opts.items()}
    assert rates == pytest.approx({"D": 4e-4, "G": 1e-4})
    with pytest.raises(RecipeError, match=r"^train\.rates: 'E' is no player of dcgan \(one of D, G\)$"):
        trainer_of("dcgan", digits, train={"rates": {"E": 1.0}})


def test_orthogonal_weights_are_charged_to_their_own_player() -> None:
    (_, d), (_, g) = moves(made("dcgan", orthogonal=0.5))
    (_, twice_d), (_, twice_g) = moves(made("dcgan", orthogonal=1.0))
    assert d["orthogonal"] != g["orthogonal"]
    torch.testing.assert_close(twice_d["orthogonal"], 2 * d["orthogonal"])
    torch.testing.assert_close(twice_g["orthogonal"], 2 * g["orthogonal"])


def test_combinations_that_cannot_be() -> None:
    with pytest.raises(RecipeError, match=r"method\.penalty: gp takes the slope at each picture, and batch norm mixes"):
        made("dcgan", penalty={"kind": "gp"})
    with pytest.raises(RecipeError, match=r"^method\.generator: attention=8: features are at most 4 times smaller"):
        made("dcgan", generator={"net": "sngan", "width": 4, "attention": 8})
    with pytest.raises(RecipeError, match=r"^method\.encoder: attention=8: features are at most 4 times smaller"):
        made("vae", encoder={"net": "sngan_critic", "width": 4, "attention": 8})
    with pytest.raises(RecipeError, match=r"^method\.decoder\.norm: conditional, but this method asks"):
        made("ebgan", decoder={"net": "dcgan", "norm": "conditional"})
    base = recipe.paths.data("recipes") / "wgan_gp-mnist.yaml"
    with pytest.raises(RecipeError, match=r"the game wasserstein has no end unless the slope of D is bounded: by "):
        recipe.load(base, ["method.penalty={kind: none}"])
    assert recipe.load(base, ["method.penalty={kind: none}", "method.discriminator.spectral=true"])
    with pytest.raises(RecipeError, match=r"^method\.generator\.norm: conditional, but this method asks"):
        made("dcgan", generator={"net": "dcgan", "norm": "conditional"})
    with pytest.raises(RecipeError, match=r"method\.game: 'hinje' is not known; did you mean 'hinge'\? \(one of van"):
        recipe.load(base, ["method.game=hinje"])
    with pytest.raises(RecipeError, match=r"method\.latent: a VAE draws from a normal distribution alone"):
        recipe.load(recipe.paths.data("recipes") / "vae-mnist.yaml", ["method.latent={noise: 8, prior: uniform}"])


@pytest.mark.parametrize(
    ("name", "network", "key", "value", "wanted", "way_out"),
    [
        ("dcgan", "generator", "latent", 64, 100, "set method.latent.noise"),
        ("dcgan", "generator", "size", (64, 64), (SIZE, SIZE), "set data.size"),
        ("dcgan", "generator", "outputs", 2, 1, "see data.channels"),
        ("dcgan", "generator", "classes", 7, 0, "leave it out"),
        ("cgan", "generator", "classes", 7, 3, "leave it out"),
        ("dcgan", "discriminator", "size", (64, 64), (SIZE, SIZE), "set data.size"),
        ("dcgan", "discriminator", "inputs", 2, 1, "see data.channels"),
        ("dcgan", "discriminator", "answers", 2, 1, "leave it out"),
        ("cgan", "discriminator", "classes", 7, 3, "leave it out"),
        ("lapgan", "discriminator", "size", (64, 64), (SIZE, SIZE), "set data.size"),
        ("vae", "encoder", "answers", 7, 64, "leave it out"),
        ("ebgan", "decoder", "latent", 7, 64, "set method.code"),
        ("aae", "discriminator", "inputs", 7, 8, "set method.latent.noise"),
        ("bigan", "joint", "inputs", 7, 256 + 50, "leave it out"),
        ("sgan", "discriminator", "classes", 7, 3, "leave it out"),
        ("sgan", "discriminator", "inputs", 2, 1, "leave it out"),
    ],
)
def test_what_data_and_method_say_of_a_network_a_recipe_cannot(
    name: str, network: str, key: str, value: object, wanted: object, way_out: str
) -> None:
    block = small_config(name)[network]
    message = f"method.{network}.{key}: {value}, but it is {wanted} here: {way_out}"
    with pytest.raises(RecipeError, match=f"^{re.escape(message)}$"):
        made(name, **{network: {**block, key: value}})
    made(name, **{network: {**block, key: wanted}})
    made(name)  # of a written recipe, which holds what is usual


def test_a_line_of_the_table_says_only_what_differs() -> None:
    found = recipe.load(recipe.paths.data("recipes") / "wgan_sn-mnist.yaml", ["method.discriminator={width: 8}"])
    assert found.method.discriminator == DCGANCriticConfig(norm="none", spectral=True, width=8)
    assert found.method.name == "wgan_sn"
    with pytest.raises(ValueError, match="Input should be 'wgan_sn'"):
        ZOO["wgan_sn"].Config(name="wgan")


# -- DiffAugment -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHANGES)
def test_each_picture_has_a_change_of_its_own_and_gradients_flow(name: str) -> None:
    torch.manual_seed(0)
    x = pictures(1).x.repeat(6, 3, 1, 1).requires_grad_()
    changed = CHANGES[name](x)
    assert changed.shape == x.shape
    assert len(changed.flatten(1).unique(dim=0)) > 3
    changed.sum().backward()
    assert x.grad.any()


def test_color_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.tensor([0.75, 1.0, 0.0]).view(3, 1, 1, 1, 1)  # brightness + 0.25, saturation x 2, contrast x 0.5
    monkeypatch.setattr(torch, "rand", lambda *shape, device: drawn)
    x = torch.tensor([0.3, 0.0, -0.3]).view(1, 3, 1, 1)  # brighter, its gray is 0.25; twice as colorful
    expected = [0.25 + 0.5 * 0.6, 0.25, 0.25 - 0.5 * 0.6]
    assert CHANGES["color"](x).flatten().tolist() == pytest.approx(expected)


def test_translation_and_cutout_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    ranges: list[tuple[int, int]] = []

    def randint(low: int, high: int, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        ranges.append((low, high))
        return torch.full(shape, drawn.pop(0))

    monkeypatch.setattr(torch, "randint", randint)
    x = torch.arange(1.0, 65).view(1, 1, 8, 8)
    drawn += [1, -1]
    moved = CHANGES["translation"](x)[0, 0]
    assert torch.equal(moved[:7, 1:], x[0, 0, 1:, :7])
    assert not moved[7].any()
    assert not moved[:, 0].any()
    drawn += [0, 4]
    blanked = CHANGES["cutout"](x)[0, 0] == 0
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[:2, 2:6] = True
    assert torch.equal(blanked, expected)
    assert ranges == [(-1, 2), (-1, 2), (0, 9), (0, 9)]


def test_half_a_pixel_is_a_whole_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth of 20 is 2.5, of 28 it is 3.5: shifts are at most 3 and 4; half of 5 blanks 3, half of 7 blanks 4."""
    ranges: list[tuple[int, int]] = []

    def randint(low: int, high: int, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        ranges.append((low, high))
        return torch.full(shape, 2)

    monkeypatch.setattr(torch, "randint", randint)
    CHANGES["translation"](torch.zeros(1, 1, 20, 28))
    blanked = CHANGES["cutout"](torch.ones(1, 1, 5, 7))[0, 0] == 0
    assert ranges == [(-3, 4), (-4, 5), (0, 5), (0, 8)]
    expected = torch.zeros(5, 7, dtype=torch.bool)
    expected[1:4, :4] = True
    assert torch.equal(blanked, expected)


def test_d_sees_pictures_through_the_changes_and_g_learns_through_them() -> None:
    method = made("dcgan", augment=["color", "translation", "cutout"])
    batch, seen = pictures(), []
    method.D.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    (_, _), (_, g) = moves(method, batch=batch)
    assert len(seen) == 3
    assert not torch.equal(seen[0], batch.x)
    assert not torch.equal(seen[1], seen[2])
    g["gan"].backward()
    assert all(p.grad is not None for p in method.G.parameters())
    assert augment(batch.x, ()) is batch.x


# -- other games -------------------------------------------------------------------------------------------------------


def test_ebgan_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("ebgan", margin=2.0, pull_away=0.5)
    batch = pictures(2)
    fake, codes = torch.zeros_like(batch.x), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    monkeypatch.setattr(method.G, "forward", lambda z: fake)
    monkeypatch.setattr(method.encoder, "forward", lambda x: codes)
    monkeypatch.setattr(method.decoder, "forward", lambda code: torch.ones_like(batch.x))
    (_, d), (_, g) = moves(method, batch=batch)
    assert d["real"].item() == pytest.approx((batch.x - 1).square().mean().item())
    assert d["fake"].item() == pytest.approx(2 - 1)  # the energy of what is drawn is 1
    assert g["gan"].item() == pytest.approx(1)
    assert g["pull_away"].item() == pytest.approx(0.5 * 0.5)
    assert "pull_away" not in moves(made("ebgan", pull_away=0))[1][1]


def test_began_keeps_its_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("began", gamma=0.5, k_rate=0.1)
    errors = {True: torch.tensor(0.8), False: torch.tensor(0.3)}
    batch = pictures(2)
    monkeypatch.setattr(method, "error", lambda x: errors[x is batch.x])
    (_, d), (_, g) = moves(method, batch=batch)
    assert d["real"].item() == pytest.approx(0.8)
    assert d["fake"].item() == 0  # k starts at 0
    assert g["gan"].item() == pytest.approx(0.3)
    assert method.k.item() == pytest.approx(0.1 * (0.5 * 0.8 - 0.3))
    (_, d), _ = moves(method, batch=batch)
    assert d["fake"].item() == pytest.approx(-0.01 * 0.3)
    errors[False] = torch.tensor(100.0)
    moves(method, batch=batch)
    assert method.k.item() == 0  # never below
    assert "k" in method.state_dict()


def test_vae_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("vae", sigma=0.5, latent={"noise": 2})
    batch = pictures(2)
    said = torch.tensor([[1.0, 0.0, -60.0, -60.0]]).repeat(2, 1)  # z is what is said, without noise
    given = []
    monkeypatch.setattr(method.E, "forward", lambda x: said)
    monkeypatch.setattr(method.G, "forward", lambda z: given.append(z) or torch.zeros_like(batch.x))
    ((who, losses),) = moves(method, batch=batch)
    assert who == "G"
    torch.testing.assert_close(given[0], torch.tensor([[1.0, 0.0]]).repeat(2, 1))
    assert losses["reconstruction"].item() == pytest.approx(SIZE * SIZE / (2 * 0.25))  # every pixel is off by one
    assert losses["kl"].item() == pytest.approx((1 + 2 * (60 - 1)) / 2, rel=1e-5)


def test_small_methods_have_all_that_the_contract_needs() -> None:
    """What test_methods runs on all methods, it runs on these."""
    assert {name for name in ZOO if small_method(name).players} == set(ZOO)

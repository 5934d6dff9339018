"""PixelDA: its losses by hand, who moves when, and that the labels of the target domain are read by nobody."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small import small_config, small_recipe, train_small

import i2i
from i2i import models, nets, state
from i2i.data.batches import Labelled
from i2i.errors import DataError, ModelError
from i2i.exporting import export
from i2i.folder import Inference, read_info
from i2i.losses import pairwise_mse
from i2i.methods import METHODS
from i2i.methods.base import Task
from i2i.methods.pixelda import PixelDA
from i2i.nets.used import Used
from i2i.run_torch import load_classifier

SIZE = (16, 16)


def method(**changes: object) -> PixelDA:
    torch.manual_seed(0)
    return PixelDA(PixelDA.Config.model_validate(small_config("pixelda", **changes)), Task(size=SIZE, classes=3))


def batch(seed: int = 0) -> Labelled:
    g = torch.Generator().manual_seed(seed)
    a, b = (torch.rand(4, 3, *SIZE, generator=g) * 2 - 1 for _ in "ab")
    return Labelled(a, torch.tensor([0, 1, 2, 0]), b, torch.tensor([2, 2, 1, 0]))


def test_counts_of_the_paper_sized_networks() -> None:
    generator = nets.build(nets.PixelDAConfig())
    # 10 numbers to 32 x 32 pixels; 4 -> 64; 6 blocks of two convolutions with batch norm; 64 -> 3
    assert nets.count(generator) == 10 * 1024 + (4 * 9 + 1) * 64 + 6 * 2 * ((64 * 9 + 1) * 64 + 128) + (64 * 9 + 1) * 3
    assert generator(torch.zeros(2, 3, 32, 32)).shape == (2, 3, 32, 32)
    discriminator = nets.build(nets.NoisyConfig())
    assert discriminator(torch.zeros(2, 3, 32, 32)).shape == (2, 1)
    classifier = nets.build(nets.DigitsConfig())
    assert classifier(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert nets.count(classifier) == 76 * 32 + (32 * 25 + 1) * 48 + (48 * 64 + 1) * 100 + 101 * 100 + 101 * 10


def test_the_generator_takes_any_size_and_the_others_say_theirs() -> None:
    generator = nets.build(nets.PixelDAConfig(width=4, blocks=1, size=SIZE))
    assert generator(torch.zeros(1, 3, 21, 9)).shape == (1, 3, 21, 9)
    for config in (nets.NoisyConfig(size=SIZE), nets.DigitsConfig(size=SIZE)):
        with pytest.raises(ModelError, match=r"takes pictures of 16 x 16, not 8 x 16: resize$"):
            nets.build(config)(torch.zeros(1, 3, 8, 16))


def test_noise_is_drawn_in_training_and_when_the_model_says_so() -> None:
    made = method()
    x = batch().a[:1].expand(2, -1, -1, -1)
    made.G.eval()
    made.G.noise.train()
    assert not torch.equal(*made.G(x).split(1))
    noisy, still = (Used(made.G, Inference(norm="running", dropout=on)) for on in (True, False))
    assert torch.equal(noisy(x), noisy(x))  # one seed, one result
    assert not torch.equal(noisy(x), still(x))
    assert torch.equal(*still(x).split(1))


def test_the_pairwise_error_by_hand() -> None:
    source = torch.zeros(1, 1, 1, 4)
    output = torch.tensor([[[[1.0, 3.0, 5.0, 7.0]]]])
    mask = torch.tensor([[[[True, True, False, False]]]])
    # d = 1, 3: (1 + 9) / 2 - ((1 + 3) / 2) ** 2 = 1
    assert pairwise_mse(output, source, mask).item() == 1.0
    assert pairwise_mse(output + 10, source, mask).item() == 1.0  # the same change everywhere costs nothing
    assert pairwise_mse(output, source, torch.zeros_like(mask)).item() == 0.0


def test_losses_by_hand() -> None:
    made = method(gan_weight=2.0, task=3.0, content=5.0)
    given = batch()
    for net in (made.G, made.D, made.T):
        for weight in net.parameters():
            weight.data.zero_()  # G paints gray, D is undecided, T finds all classes equally likely
    (who_d, d), (who_g, g) = list(made.step(given, 0))
    half, third = torch.tensor(2.0).log(), torch.tensor(3.0).log()
    assert (who_d, who_g) == ("D", "G")
    torch.testing.assert_close(d, {"real": half, "fake": half})
    mask = given.a.amax(1, keepdim=True) > -0.9
    torch.testing.assert_close(g["gan"], 2 * half)
    torch.testing.assert_close(g["task_a"], 3 * third)
    torch.testing.assert_close(g["task_fake"], 3 * third)
    torch.testing.assert_close(g["content"], 5 * pairwise_mse(torch.zeros_like(given.a), given.a, mask))


@pytest.mark.parametrize("baseline", ["none", "source", "target"])
def test_labels_of_the_target_are_read_by_its_baseline_alone(baseline: str) -> None:
    def terms(given: Labelled) -> list[float]:
        made = method(baseline=baseline)
        torch.manual_seed(1)
        return [value.item() for _, losses in made.step(given, 0) for value in losses.values()]

    given = batch()
    changed = given._replace(b_labels=torch.tensor([0, 0, 0, 1]))
    assert (terms(given) == terms(changed)) == (baseline != "target")


def test_a_baseline_trains_the_classifier_and_has_no_pictures() -> None:
    for baseline, wanted in (("source", "a"), ("target", "b")):
        made = method(baseline=baseline)
        assert (list(made.players), made.products, set(made.classifiers)) == (["T"], {}, {"classifier"})
        given = batch()
        [(who, losses)] = list(made.step(given, 0))
        expected = torch.nn.functional.cross_entropy(
            made.T(getattr(given, wanted)), getattr(given, f"{wanted}_labels")
        )
        assert who == "T"
        torch.testing.assert_close(losses["task"], expected)
        assert list(made.panels({}, given)) == ["{a}", "{b}"]


def test_what_it_cannot_learn_from_is_refused() -> None:
    config = METHODS["pixelda"].Config()
    with pytest.raises(DataError, match=r"^pixelda needs labels of at least two classes: "):
        PixelDA(config, Task(size=SIZE))
    with pytest.raises(DataError, match=r"^pixelda: one classifier sees both domains: data\.channels=3$"):
        PixelDA(config, Task(a=1, b=3, size=SIZE, classes=3))


def test_the_run_of_a_baseline_is_a_classifier_and_says_so(digits: Path, tmp_path: Path) -> None:
    wanted = small_recipe("pixelda", digits, method=small_config("pixelda", baseline="source"))
    run = train_small(tmp_path / "run", wanted)
    info = read_info(run / "model")
    assert (info.products, info.default) == ({}, "")
    trained = load_classifier(run / "model", info, "classifier")
    weights = state.read(run / "checkpoints/00000008", "state")["method"]
    assert all(torch.equal(value, weights[f"T.{key}"]) for key, value in trained.state_dict().items())
    assert "A classifier. Trained with i2i: pixelda" in (run / "model/README.md").read_text()
    assert ("classifier", "digits, width 6, classes 3, size [32, 32], inputs 3") in models.show(run)
    for refused in (lambda: i2i.load(run), lambda: export(run)):
        with pytest.raises(ModelError, match=r"model: holds a classifier only, nothing that translates pictures"):
            refused()

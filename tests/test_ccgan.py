"""CC-GAN: its losses by hand, who moves when, what labels may touch, and holes that hide what they hide."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import torch
from PIL import Image
from small import small_recipe, train_small
from torch import Tensor

from i2i import compare_sheet, holes, losses, nets, training
from i2i.card import resolve
from i2i.data.batches import Labelled, loader, open_split
from i2i.data.layouts import recognise
from i2i.data.samples import Samples
from i2i.data.transforms import View
from i2i.errors import RecipeError
from i2i.evaluating import evaluate
from i2i.held import Subject, Way, chosen, measure, unfit
from i2i.methods.base import Task
from i2i.methods.ccgan import CCGAN
from i2i.metrics import METRICS, Setting
from i2i.metrics.pixel import psnr_rgb
from i2i.nets.context import completed

SMALL = {"generator": {"width": 4, "halvings": 2, "blocks": 1}, "discriminator": {"width": 4, "stages": 2}}


def method(classes: int = 3, **changes: object) -> CCGAN:
    torch.manual_seed(0)
    return CCGAN(CCGAN.Config.model_validate({**SMALL, **changes}), Task(1, 1, (16, 16), classes))


def batch(labelled: int = 4, count: int = 3) -> Labelled:
    torch.manual_seed(1)
    a, b = (torch.rand(n, 1, 16, 16) * 2 - 1 for n in (labelled, count))
    return Labelled(a, torch.arange(labelled) % 3, b, torch.zeros(count, dtype=torch.int64))


def moves(game: CCGAN, given: Labelled) -> list[tuple[str, dict[str, Tensor]]]:
    torch.manual_seed(2)
    return list(game.step(given, 0))


# -- losses ------------------------------------------------------------------------------------------------------------


def test_l1_inside_by_hand() -> None:
    output = torch.tensor([[[[1.0, 0.0]], [[0.5, 9.0]]], [[[0.0, 7.0]], [[0.0, 7.0]]]])  # [2, 2, 1, 2]
    target = torch.zeros(2, 2, 1, 2)
    mask = torch.tensor([[[[1.0, 0.0]]], [[[1.0, 0.0]]]])
    assert losses.l1_inside(output, target, mask).item() == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    assert losses.l1_inside(output, target, torch.zeros_like(mask)).item() == 0


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])  # 3/4 and 1/4; a half each
    expected = (math.log(4 / 3) + math.log(2)) / 2
    assert losses.cross_entropy(logits, torch.tensor([0, 1])).item() == pytest.approx(expected)


class Scripted(nets.Judge):
    """Judges a picture by its mean and names its class by its first pixels: verdicts that a hand can compute."""

    def judge(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None]

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, 0, :3]


@pytest.mark.parametrize("variant", ["ccgan", "ccgan2"])
def test_every_term_by_hand(variant: str) -> None:
    game = method(variant=variant, labels=2.0, reconstruction=5.0, share=[0.5, 0.5])
    game.D = Scripted(game.D.config)
    game.G.forward = lambda x: torch.full((3, 1, 16, 16), 0.5)
    given = Labelled(*(t.clone() for t in batch()))
    given.b[:] = -0.5
    found = moves(game, given)
    assert [who for who, _ in found] == ["D", "G"]
    inpainted = -0.5 + 1.0 * 64 / 256  # an 8x8 hole of 16x16 is painted 0.5
    softplus = math.log1p
    expected_d = {"real": softplus(math.exp(0.5)), "fake": softplus(math.exp(inpainted))}
    expected_g = {"gan": softplus(math.exp(-inpainted)), "reconstruction": 5.0 * 1.0}
    if variant == "ccgan2":
        expected_d["fake_whole"], expected_g["gan_whole"] = softplus(math.exp(0.5)), softplus(math.exp(-0.5))
    rows, numbers = given.a[:, 0, 0, :3].double(), given.a_labels
    wrong = [-math.log(math.exp(r[n]) / sum(math.exp(v) for v in r)) for r, n in zip(rows, numbers, strict=True)]
    expected_d["labels"] = 2.0 * sum(wrong) / 4
    for (_, terms), expected in zip(found, (expected_d, expected_g), strict=True):
        assert {name: value.item() for name, value in terms.items()} == pytest.approx(expected, rel=1e-5)


def test_the_paper_has_no_reconstruction() -> None:
    (_, d), (_, g) = moves(method(reconstruction=0.0), batch())
    assert (set(d), set(g)) == ({"real", "fake", "labels"}, {"gan"})


def test_without_labels_the_game_is_played_all_the_same() -> None:
    empty = batch(labelled=0)
    game = method(classes=0)
    assert game.D.label is None
    assert not game.classifiers
    assert [set(terms) for _, terms in moves(game, empty)] == [{"real", "fake"}, {"gan", "reconstruction"}]


# -- who learns from what ----------------------------------------------------------------------------------------------


def test_labels_of_b_are_not_read() -> None:
    game, given = method(), batch()
    other = given._replace(b_labels=torch.tensor([2, 1, 99]))
    for (_, before), (_, after) in zip(moves(game, given), moves(game, other), strict=True):
        assert {k: v.item() for k, v in before.items()} == {k: v.item() for k, v in after.items()}


def test_the_class_head_learns_from_labelled_pictures_alone() -> None:
    game = method()
    (_, d), (_, g) = moves(game, batch())
    head = list(game.D.label.parameters())

    def gradients(loss: Tensor) -> list[Tensor | None]:
        return list(torch.autograd.grad(loss, head, retain_graph=True, allow_unused=True))

    for name, value in {**d, **g}.items():
        assert all((grad is not None) == (name == "labels") for grad in gradients(value)), name
    other = moves(game, batch()._replace(b=torch.zeros(3, 1, 16, 16)))[0][1]
    for a, b in zip(gradients(d["labels"]), gradients(other["labels"]), strict=True):
        assert torch.equal(a, b)


def test_the_trunk_learns_from_everything() -> None:
    game = method()
    (_, d), _ = moves(game, batch())
    trunk = list(game.D.trunk.parameters())
    for name, value in d.items():
        assert all(grad.abs().sum() > 0 for grad in torch.autograd.grad(value, trunk, retain_graph=True)), name


def test_d_moves_first_and_does_not_move_g() -> None:
    game = method()
    (first, d), (second, g) = moves(game, batch())
    assert (first, second) == ("D", "G")
    painting = list(game.G.parameters())
    judged = torch.autograd.grad(sum(d.values()), painting, retain_graph=True, allow_unused=True)
    assert all(grad is None for grad in judged)
    assert all(grad.abs().sum() > 0 for grad in torch.autograd.grad(sum(g.values()), painting))


def test_the_supervised_baseline_is_the_same_network_on_labels_alone() -> None:
    game, full = method(baseline="supervised"), method()
    assert list(game.players) == ["D"]
    assert not game.products
    assert game.classifiers["classifier"] is game.D
    assert all(torch.equal(p, q) for p, q in zip(game.D.parameters(), full.D.parameters(), strict=True))
    (who, terms), = moves(game, batch())
    assert (who, set(terms)) == ("D", {"labels"})
    assert terms["labels"].item() == moves(full, batch())[0][1]["labels"].item()
    assert list(game.panels({}, batch())) == ["{b}"]


def test_what_does_not_fit_the_data() -> None:
    with pytest.raises(RecipeError, match=r"^method\.baseline: supervised, but the data have no labels$"):
        method(classes=0, baseline="supervised")
    with pytest.raises(RecipeError, match=r"^data\.channels: one network sees all pictures: take 3 for both$"):
        CCGAN(CCGAN.Config(), Task(1, 3, (32, 32), 10))
    with pytest.raises(RecipeError, match=r"^data\.size: .* a multiple of 8, not 20x16: take 24x16 instead$"):
        CCGAN(CCGAN.Config.model_validate(SMALL), Task(1, 1, (20, 16), 0))
    with pytest.raises(ValueError, match="expected the smallest share, then the largest"):
        CCGAN.Config(share=(0.5, 0.25))


# -- sheets ------------------------------------------------------------------------------------------------------------


def test_a_sheet_shows_the_same_holes_and_draws_nothing() -> None:
    game, given = method(), batch()
    state = torch.get_rng_state()
    one = game.panels({"a2b": game.G.eval()}, given)
    torch.rand(5)
    torch.set_rng_state(state)
    again = game.panels({"a2b": game.G}, given)
    assert torch.equal(torch.get_rng_state(), state)
    assert list(one) == ["with a hole", "inpainted", "{b}"]
    assert all(torch.equal(one[k], again[k]) for k in one)
    kept = one["with a hole"] != 0
    assert 0.7 < kept.float().mean() < 0.95
    assert torch.equal(one["inpainted"][kept], given.b[kept])
    assert not torch.equal(one["inpainted"], given.b)


def test_a_comparison_shows_the_holes_of_its_pictures_filled(pictures: Path, tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", small_recipe("ccgan", pictures, images=2))
    card, root = resolve(pictures)
    data = training.Prepared(card, recognise(root))
    with Image.open(compare_sheet.draw(tmp_path, data, {"one": run, "two": run}, "filled")) as sheet:
        assert min(sheet.size) > 200


# -- measuring ---------------------------------------------------------------------------------------------------------


def held_out(folder: Path) -> Samples:
    return open_split(Labelled, recognise(folder).splits["test"], View((32, 32), train=False))


def paint(color: float) -> Way:
    return Way(lambda x: torch.full_like(x[:, :-1], color), fills=True)


def test_filled_holes_are_measured_beside_what_was_there(pictures: Path) -> None:
    samples = held_out(pictures)
    truth = torch.cat([batch.b for batch in loader(samples, batch=1, shuffle=False, stop=2)])
    seen: list[Tensor] = []

    def perfect(x: Tensor) -> Tensor:
        seen.append(x)
        assert torch.equal(x[:, :-1], truth[len(seen) - 1 : len(seen)] if len(x) == 1 else truth)
        return x[:, :-1]

    subject = Subject({"a2b": Way(perfect, fills=True)}, {})
    metrics = chosen([], subject, samples, (32, 32), 2)
    assert list(metrics) == ["psnr_rgb", "ssim_rgb"]
    values = measure(subject, samples, metrics, Setting(), 2)
    assert values["psnr_rgb"] == 100
    assert values["ssim_rgb"] == pytest.approx(1)
    hole = torch.cat(seen)[:, -1:]
    empty = completed(torch.zeros_like(truth), truth, hole)
    assert values["psnr_rgb_input"] == pytest.approx(fmean(psnr_rgb(empty, truth)))
    gray = Subject({"a2b": paint(0.0)}, {})
    assert measure(gray, samples, metrics, Setting(), 2) == pytest.approx(
        {**values, "psnr_rgb": values["psnr_rgb_input"], "ssim_rgb": values["ssim_rgb_input"]}
    )


def test_sets_are_compared_by_what_is_filled(pictures: Path, digits: Path) -> None:
    for folder, count in ((pictures, 2), (digits, 9)):
        samples = held_out(folder)
        metric = replace(METRICS["psnr_rgb"], needs="sets", pictures=count)
        assert not unfit(metric, Subject({"a2b": paint(0.5)}, {}), samples, count)
        values = measure(Subject({"a2b": paint(0.5)}, {}), samples, {"x": metric}, Setting(), count)
        assert 5 < values["psnr_rgb"] < 50


def test_a_classifier_that_fills_is_measured_by_its_labels_first(digits: Path) -> None:
    subject = Subject({"a2b": paint(0.0)}, {"classifier": lambda x: torch.zeros(len(x), 3)})
    assert list(chosen([], subject, held_out(digits), (32, 32), 9)) == ["accuracy", "psnr_rgb", "ssim_rgb"]


def test_training_and_eval_measure_the_same(pictures: Path, tmp_path: Path) -> None:
    run = train_small(tmp_path / "run", small_recipe("ccgan", pictures, images=2, watch={"eval_images": 2}))
    events = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    (in_training,) = [event for event in events if event["event"] == "eval"]
    after = evaluate(run, device="cpu")["metrics"]
    assert set(after) == {"psnr_rgb", "psnr_rgb_input", "ssim_rgb", "ssim_rgb_input"}
    assert {key: in_training[key] for key in after} == pytest.approx(after, rel=1e-4)


# -- holes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (40, 24)])
def test_a_square_hole_is_a_square_of_its_share_anywhere_inside(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x = torch.zeros(500, 3, *size)
    found = holes.draw("square", x, (0.25, 0.5))
    assert found.shape == (500, 1, *size)
    assert set(found.unique().tolist()) == {0, 1}
    rows, columns = found.amax(3).sum(2)[:, 0], found.amax(2).sum(2)[:, 0]
    assert torch.equal(rows, columns)
    assert torch.equal(found.sum((1, 2, 3)), rows * columns)
    short = min(size)
    assert rows.min() == round(short / 4)
    assert rows.max() == round(short / 2)
    assert rows.mean() == pytest.approx(0.375 * short, rel=0.05)
    often = found.mean((0, 1))
    assert often.min() > 0, "a pixel that is never taken away"
    assert len({tuple(h.flatten().tolist()) for h in found}) > 400


def test_one_share_is_one_size() -> None:
    found = holes.draw("square", torch.zeros(20, 1, 16, 16), (0.5, 0.5))
    assert found.sum((1, 2, 3)).unique().tolist() == [64]
    assert holes.draw("square", torch.zeros(20, 1, 16, 16), (0.001, 0.001)).sum((1, 2, 3)).unique().tolist() == [1]
    assert holes.draw("square", torch.zeros(2, 1, 16, 16), (1.0, 1.0)).min() == 1


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_a_free_form_hole_is_one_stroke_as_thick_as_its_share(share: float) -> None:
    torch.manual_seed(0)
    found = holes.draw("free-form", torch.zeros(200, 1, 32, 48), (share, share))
    taken = found.sum((1, 2, 3))
    assert taken.min() >= 1
    assert set(found.unique().tolist()) == {0, 1}
    brush, reach = max(1, share * 32 / 4), holes.SEGMENTS * share * 32
    assert taken.max() <= (reach + brush + 2) * (brush + 2)
    if share > 0.1:
        assert len({tuple(h.flatten().tolist()) for h in found}) == 200
        assert found.mean((0, 1)).min() > 0
        assert taken.mean() > 2 * brush * brush  # a stroke, not a dot


def test_a_segment_is_a_capsule() -> None:
    rows, columns = torch.meshgrid(torch.arange(7), torch.arange(9), indexing="ij")
    pixels = torch.stack([rows, columns], 2).float()
    away = holes._distance(pixels, torch.tensor([[3.0, 2.0]]), torch.tensor([[3.0, 6.0]]))[0]
    assert away[3, 2:7].tolist() == [0] * 5
    assert away[0, 4] == 3
    assert away[3, 8] == 2
    assert away[0, 0].item() == pytest.approx(math.hypot(3, 2))


def test_holes_follow_the_random_numbers() -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat([holes.draw(kind, torch.zeros(4, 1, 16, 16), (0.3, 0.6)) for kind in ("square", "free-form")])

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


def test_completed_keeps_what_is_known() -> None:
    x, painted = torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4)
    hole = torch.zeros(2, 1, 4, 4)
    hole[0, 0, 1, 2] = 1
    done = completed(painted, x, hole)
    assert torch.equal(done[1], x[1])
    assert torch.equal(done[0, :, 1, 2], painted[0, :, 1, 2])
    assert (done != x).sum() == 3

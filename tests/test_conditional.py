"""Methods that are told classes, name them, or find them by themselves, and those with an encoder."""

from __future__ import annotations

from math import log, log1p
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from small import small_recipe, train_small
from test_zoo import made, moves, pictures, read_by
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

import i2i
from i2i import nets, recipe
from i2i.data.batches import Images, Labelled
from i2i.errors import ModelError, RecipeError
from i2i.evaluating import evaluate
from i2i.folder import read_info
from i2i.losses import orthogonal_penalty
from i2i.methods.base import Task
from i2i.nets import DCGANConfig, DCGANCriticConfig, MLPCriticConfig, SNGANConfig, SNGANCriticConfig, count
from i2i.nets.attention import Attention
from i2i.nets.conditional import ConditionalNorm, EmbeddedNorm, projected
from i2i.nets.minibatch import MinibatchDiscrimination
from i2i.nets.used import Used
from i2i.zoo import ZOO
from i2i.zoo.past import Past

# -- networks ----------------------------------------------------------------------------------------------------------


def test_conditional_batch_norm_by_hand() -> None:
    norm = ConditionalNorm(1, classes=3)
    norm.scale.data, norm.shift.data = torch.tensor([[1.0], [2.0], [0.0]]), torch.tensor([[0.0], [0.5], [7.0]])
    x = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(4, 1, 1, 1)  # mean 0, variance 1
    found = norm(x, torch.tensor([0, 0, 1, 2])).flatten().tolist()
    assert found == pytest.approx([1, -1, 2.5, 7], abs=1e-4)
    assert norm.norm.running_var.item() == pytest.approx(0.9 + 0.1 * 4 / 3)


def test_with_conditional_norms_the_norms_alone_are_told() -> None:
    torch.manual_seed(0)
    config = DCGANConfig(width=4, latent=5, classes=3, norm="conditional")
    net, z = nets.build(config).eval(), torch.randn(1, 5)
    assert net.project.in_features == 5
    before = net(z, torch.tensor([0]))
    assert torch.equal(before, net(z, torch.tensor([2])))  # they all begin alike
    plain = nets.build(config.model_copy(update={"norm": "batch", "classes": 0}))
    changed = sum(2 * (config.classes - 1) * layer.norm.num_features for layer in net.model[:-2:3])
    assert count(net) == count(plain) + changed + net.project.bias.numel()
    nn.init.normal_(net.model[0].shift)
    assert not torch.allclose(before, net(z, torch.tensor([2])))


@pytest.mark.parametrize("kind", [DCGANConfig, SNGANConfig])
def test_conditional_norms_draw_what_has_places_without_z(kind: type[DCGANConfig] | type[SNGANConfig]) -> None:
    """Norms scale and shift all places of a channel alike: what a class looks like has to come from elsewhere."""
    torch.manual_seed(0)
    net = nets.build(kind(width=4, latent=5, classes=3, norm="conditional", size=(32, 32))).eval()
    if net.project.bias is not None:
        nn.init.normal_(net.project.bias)
    for layer in net.modules():
        if isinstance(layer, ConditionalNorm):
            nn.init.normal_(layer.scale)
    x = net(torch.zeros(2, 5), torch.tensor([0, 1]))
    inner = x[..., 8:24, 8:24]  # away from the borders, which are seen by their padding
    assert (inner.std((2, 3)) > 1e-3).all()
    assert not torch.allclose(inner[0], inner[1], atol=0.01)


def test_a_norm_told_by_an_embedding_by_hand() -> None:
    norm = EmbeddedNorm(2, 3, lambda layer: layer)
    norm.scale.weight.data = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
    norm.shift.weight.data = torch.tensor([[0.0, 2.0, 0.0], [0.0, 0.0, 0.5]])
    x = torch.tensor([1.0, -1.0]).view(2, 1, 1, 1).expand(2, 2, 1, 1)  # mean 0, variance 1
    told = torch.tensor([[0.5, 1.0, 1.0], [2.0, 0.0, 3.0]])
    expected = [[(1 + 0.5) + 2, 0 + 0.5], [-(1 + 2.0) + 0, 2 + 1.5]]
    torch.testing.assert_close(norm(x, told).flatten(1), torch.tensor(expected), rtol=1e-4, atol=1e-4)
    assert count(norm) == 2 * 2 * 3


def test_the_projection_by_hand() -> None:
    verdict, products = torch.tensor([[1.0], [-1.0]]), torch.tensor([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0]])
    assert projected(verdict, products, torch.tensor([2, 0])).tolist() == [[5.0], [4.0]]


@pytest.mark.parametrize(
    "config",
    [
        DCGANCriticConfig(width=4, classes=3, norm="none"),
        MLPCriticConfig(width=8, classes=3),
        SNGANCriticConfig(width=4, classes=3, plain=1),
    ],
)
@pytest.mark.parametrize("told", ["input", "projection"])
def test_a_critic_sees_the_class_beside_the_picture(
    config: DCGANCriticConfig | MLPCriticConfig | SNGANCriticConfig, told: str
) -> None:
    torch.manual_seed(0)
    net = nets.build(config.model_copy(update={"told": told})).eval()
    x, labels = torch.randn(2, 3, 32, 32), torch.tensor([0, 2])
    scores, others = net(x, labels), net(x, labels.flip(0))
    assert scores.shape == (2, 1)
    assert not torch.allclose(scores, others)
    if told == "projection":
        h = net.features(x, labels)
        assert torch.equal(h, net.features(x, labels.flip(0)))
        torch.testing.assert_close(scores, net.head(h) + (h * net.classes.weight[labels]).sum(1, True))
    elif isinstance(config, MLPCriticConfig):
        beside = torch.cat([x.flatten(1), torch.tensor([[32.0, 0, 0], [0, 0, 32.0]])], 1)
        torch.testing.assert_close(scores, net.head(net.trunk(beside)))  # as loud as 32 x 32 ones
    elif isinstance(config, SNGANCriticConfig):
        planes = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]])[..., None, None].expand(-1, -1, 32, 32)
        torch.testing.assert_close(scores, net.head(net.trunk(torch.cat([x, planes], 1)).sum((2, 3))))
    with pytest.raises(ModelError, match=r"sees each picture beside one of 3 classes"):
        net(x)
    with pytest.raises(ModelError, match=r"this critic is shown no classes"):
        nets.build(config.model_copy(update={"classes": 0}))(x, labels)


# -- the generator of BigGAN -------------------------------------------------------------------------------------------


def big(**changes: object) -> nn.Module:
    torch.manual_seed(0)
    config = {"width": 4, "latent": 14, "classes": 3, "norm": "conditional", "embedding": 5, "chunks": True}
    return nets.build(SNGANConfig(**{**config, "size": (28, 28), "outputs": 1, **changes}))


def test_z_is_cut_into_a_part_for_each_layer_and_one_embedding_goes_to_all() -> None:
    net = big()
    assert net.parts == [6, 4, 4]  # 14 = 3 * 4 and 2 left over
    z, labels = torch.arange(28.0).view(2, 14), torch.tensor([2, 0])
    first, told = net.told(z, labels)
    assert torch.equal(first, z[:, :6])
    for part, given in zip((z[:, 6:10], z[:, 10:]), told, strict=True):
        assert torch.equal(given, torch.cat([net.embedding.weight[labels], part], 1))
    uncut = big(chunks=False)
    first, told = uncut.told(z, labels)
    assert torch.equal(first, z)
    assert [t.shape for t in told] == [(2, 5), (2, 5)]
    tables = big(embedding=0, chunks=False)
    assert all(torch.equal(t, labels) for t in tables.told(z, labels)[1])
    with pytest.raises(ModelError, match="chunks: a z of 2 has no value for each of 3 parts: it needs 3 or more"):
        big(latent=2)
    with pytest.raises(ValueError, match="embedding: only the norm conditional"):
        SNGANConfig(embedding=5)
    with pytest.raises(ValueError, match="chunks: they go to the norms beside the embedding"):
        SNGANConfig(norm="conditional", chunks=True)


def test_the_parameters_of_biggan_by_hand() -> None:
    """Width w, embedding e, c values in a chunk and f in the first one, k classes, 7 x 7 places at first."""
    w, e, c, f, k = 4, 5, 4, 6, 3
    norms = 2 * (2 * 2 * w * (e + c))  # two blocks of two norms: a scale and a shift, without bias
    blocks = 2 * (2 * (9 * w * w + w) + w * w + w)
    ends = f * 49 * w + 49 * w + 2 * w + 9 * w + 1  # the projection, the last norm, the picture
    assert count(big()) == k * e + norms + blocks + ends
    attention = 3 * w + w + 1  # an eighth of so few channels is 1
    assert count(big(attention=2)) == count(big()) + attention
    tables = 2 * (2 * 2 * w * k)
    assert count(big(embedding=0, chunks=False, latent=f)) == tables + blocks + ends
    spectral = sum(p.numel() for name, p in big(spectral=True).named_parameters())
    assert spectral == count(big())


def test_each_part_of_z_and_the_class_change_what_is_drawn() -> None:
    net = big().eval()
    z, labels = torch.randn(1, 14), torch.tensor([0])
    drawn = net(z, labels)
    assert not torch.allclose(net(z, torch.tensor([1])), drawn)
    for place in (0, 6, 10):
        other = z.clone()
        other[:, place] += 2
        assert not torch.allclose(net(other, labels), drawn)
    assert isinstance(net.norm, nn.BatchNorm2d)


def test_the_recipe_of_biggan_is_the_paper_in_small() -> None:
    torch.manual_seed(0)
    method = ZOO["biggan"](recipe.load(recipe.find("biggan-mnist")).method, Task(a=1, b=1, size=(28, 28), classes=3))
    method.train()
    attending = [[m for m in net.modules() if isinstance(m, Attention)] for net in (method.G, method.D)]
    assert [len(found) for found in attending] == [1, 1]
    for net in (method.G, method.D):
        layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        assert all(is_parametrized(layer, "weight") for layer in layers)
    embedding = method.G.embedding.weight
    torch.testing.assert_close(embedding @ embedding.T, torch.eye(3), rtol=0, atol=1e-5)
    small = pictures(2)._replace(x=torch.zeros(2, 1, 28, 28))
    assert [[who for who, _ in moves(method, it, small)] for it in range(4)] == 2 * [["D"], ["D", "G"]]


def test_g_alone_is_charged_for_weights_that_are_not_orthogonal() -> None:
    terms = {weight: dict(moves(made("biggan", init="kaiming", orthogonal=weight))) for weight in (0.0, 1e-4, 2e-4)}
    assert "orthogonal" not in terms[0.0]["G"]
    assert all("orthogonal" not in of["D"] for of in terms.values())
    method = made("biggan", init="kaiming", orthogonal=1e-4)
    once, twice = (terms[weight]["G"]["orthogonal"].item() for weight in (1e-4, 2e-4))
    assert twice == pytest.approx(2 * once)
    assert once == pytest.approx(1e-4 * orthogonal_penalty(method.G.eval()).item(), rel=0.05)  # its norms are estimates


# -- the conditional game ----------------------------------------------------------------------------------------------


CONDITIONAL = pytest.mark.parametrize("name", ["biggan", "cgan", "projection"])


@CONDITIONAL
def test_the_conditional_game_by_hand(name: str) -> None:
    method, batch = made(name), pictures()
    method.D.eval()  # the power iterations of spectral norms stand still
    for layer in method.G.modules():
        if is_parametrized(layer):
            layer.parametrizations.eval()
    (_, d), (_, g) = moves(method, batch=batch)
    torch.manual_seed(3)
    fake = method.G(method.draw(batch.x), batch.labels)
    torch.testing.assert_close(d["real"], method.game.real(method.D(batch.x, batch.labels)))
    torch.testing.assert_close(d["fake"], method.game.fake(method.D(fake, batch.labels)))
    torch.testing.assert_close(g["gan"], method.game.fool(method.D(fake, batch.labels)))
    slow = made(name, n_critic=2)
    assert [[who for who, _ in moves(slow, it)] for it in range(4)] == 2 * [["D"], ["D", "G"]]


NEED_LABELS = pytest.mark.parametrize("name", ["cgan", "acgan", "biggan", "projection"])


@NEED_LABELS
def test_what_is_asked_for_has_to_be_known(name: str) -> None:
    batch = pictures()
    batch.labels[1] = -1
    with pytest.raises(RecipeError, match=rf"^{name} needs every label, and some are hidden \(data\.labelled\) or -1"):
        moves(made(name), batch=batch)
    for classes, has in ((0, "none"), (1, "1")):
        with pytest.raises(RecipeError, match=rf"^{name} needs pictures with labels .*, and these have {has}$"):
            ZOO[name](ZOO[name].Config(), Task(size=(32, 32), classes=classes))


def test_a_model_of_classes_draws_those_and_is_measured_by_them(digits: Path, tmp_path: Path) -> None:
    watch = {"eval_images": 4, "save_images": 4, "metrics": ["accuracy_asked_digits"], "eval_count": 3}
    run = train_small(tmp_path / "run", small_recipe("projection", digits, images=4, data={"batch": 2}, watch=watch))
    info = read_info(run / "model")
    assert info.sampler.classes == 3
    assert info.metrics["accuracy_asked_digits"] in (0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1)
    draw = i2i.load(run)
    both = draw(2, labels=[2, 0], seed=1)
    assert np.array_equal(both[0], draw(1, labels=2, seed=1)[0])


# -- D names what it sees ----------------------------------------------------------------------------------------------


def given(monkeypatch: pytest.MonkeyPatch, net: nn.Module, answers: dict[int, list[float]]) -> None:
    """``net`` answers by the number of the picture, which is the value of its first pixel."""
    monkeypatch.setattr(net, "forward", lambda x: torch.tensor([answers[int(v)] for v in x.flatten(1)[:, 0].detach()]))


def numbered(*numbers: int) -> torch.Tensor:
    return torch.tensor(numbers).float().view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


def test_acgan_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("acgan", labels=2.0)
    fake = numbered(2, 3).clone().requires_grad_()
    asked = []
    monkeypatch.setattr(method.G, "forward", lambda z, labels: asked.append(labels) or fake)
    zero = [0.0, 0.0, 0.0]
    answers = {0: [1.0, *zero], 1: [1.0, *zero], 2: [-1.0, 0, 0, log(2)], 3: [-1.0, 0, 0, log(2)]}
    given(monkeypatch, method.D, answers)
    labels = torch.tensor([0, 2])
    (_, d), (_, g) = moves(method, batch=Images(numbered(0, 1), labels))
    assert torch.equal(asked[0], labels)
    sure = log1p(np.exp(-1))  # of a verdict of 1 that is right
    seen = 2 * (log(4) + log(2)) / 2  # the shares of classes 0 and 2 are 1/4 and 1/2; weighed twice
    assert {k: v.item() for k, v in d.items()} == pytest.approx(
        {"real": sure, "fake": sure, "classes_real": 2 * log(3), "classes_fake": seen}
    )
    assert {k: v.item() for k, v in g.items()} == pytest.approx({"gan": log1p(np.exp(1)), "classes": seen})


def test_sgan_shares_one_softmax_among_the_classes_and_fake(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("sgan", labels=0.5)
    monkeypatch.setattr(method.G, "forward", lambda z: numbered(1, 1))
    # Logits of the three classes, and of fake with its sign turned: shares of 1, 2, 3 and 2 eighths.
    classes, real = torch.tensor([0.0, log(2), log(3)]), torch.tensor([-log(2)])
    monkeypatch.setattr(method.D, "answers", lambda x: (classes.expand(len(x), -1), real.expand(len(x), -1)))
    batch = Labelled(numbered(0, 0), torch.tensor([1, 2]), numbered(0, 0), torch.tensor([-1, -1]))
    (_, d), (_, g) = list(method.step(batch, 0))
    named = 0.5 * (log(8 / 2) + log(8 / 3)) / 2
    assert {k: v.item() for k, v in d.items()} == pytest.approx(
        {"real": log(8 / 6), "fake": log(8 / 2), "labels": named}
    )
    assert g["gan"].item() == pytest.approx(log(8 / 6))


def test_both_heads_of_a_judge_by_one_run() -> None:
    judge = made("sgan").D
    x, runs = torch.randn(2, 1, 32, 32), []
    judge.trunk[0].register_forward_hook(lambda *_: runs.append(1))
    classes, real = judge.answers(x)
    assert len(runs) == 1
    torch.testing.assert_close((classes, real), (judge(x), judge.judge(x)))
    with pytest.raises(ModelError, match="knows no classes"):
        nets.build(nets.JudgeConfig()).answers(torch.zeros(1, 3, 32, 32))


def ssgan(**changes: object) -> nn.Module:
    return made("ssgan", **changes)


def test_ssgan_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    method = ssgan(labels=2.0, matching=False, target=0.9)
    monkeypatch.setattr(method.G, "forward", lambda z: numbered(2, 2))
    # Z is 4 for real pictures and 1/2 for fakes: they are real by 4/5 and by 1/3.
    logits = {0: [log(1), log(1), log(2)], 1: [log(2), log(1), log(1)], 2: [log(1 / 4), log(1 / 8), log(1 / 8)]}
    monkeypatch.setattr(method.D, "features", lambda x: x.flatten(1)[:, :1])
    given(monkeypatch, method.D.head, logits)
    given(monkeypatch, method.D, logits)
    batch = Labelled(numbered(0, 1), torch.tensor([0, 0]), numbered(0, 1), torch.tensor([-1, -1]))
    (_, d), (_, g) = list(method.step(batch, 0))
    named = 2 * (log(4) + log(2)) / 2
    real = 0.9 * log(5 / 4) + 0.1 * log(5)
    assert {k: v.item() for k, v in d.items()} == pytest.approx({"real": real, "fake": log(3 / 2), "labels": named})
    assert {k: v.item() for k, v in g.items()} == pytest.approx({"gan": log(3)})


def test_ssgan_matches_the_mean_of_features(monkeypatch: pytest.MonkeyPatch) -> None:
    method = ssgan()
    fake = numbered(5, 7).clone().requires_grad_()
    monkeypatch.setattr(method.G, "forward", lambda z: fake)
    wide = method.D.head.in_features
    monkeypatch.setattr(method.D, "features", lambda x, labels=None: x.flatten(1)[:, :1].expand(-1, wide))
    batch = Labelled(pictures(2).x, torch.tensor([0, 1]), numbered(1, 3), torch.tensor([-1, -1]))
    _, (_, g) = list(method.step(batch, 0))
    assert list(g) == ["features"]
    assert g["features"].item() == pytest.approx((6 - 2) ** 2)


def test_minibatch_discrimination_by_hand() -> None:
    layer = MinibatchDiscrimination(features=1, kernels=2, size=2)
    layer.project.weight.data = torch.tensor([[1.0], [1.0], [0.0], [0.0]])  # the first kernel doubles distances
    found = layer(torch.tensor([[0.0], [0.0], [log(2) / 2]]))
    expected = torch.tensor([[1 + 1 + 0.5, 3], [1 + 1 + 0.5, 3], [1 + 0.5 + 0.5, 3]])
    torch.testing.assert_close(found, expected)


def test_the_crowd_has_a_say_in_the_verdict_and_none_in_the_name() -> None:
    method = ssgan(kernels=4, kernel_size=3).eval()
    x = pictures(3).x
    alone, among = method.D(x[:1]), method.D(x)[:1]
    torch.testing.assert_close(alone, among)
    assert not torch.allclose(method.verdict(x[:1]), method.verdict(x)[:1])
    crowd = method.crowd(method.D.features(x))
    torch.testing.assert_close(method.verdict(x), method.D(x).logsumexp(1, keepdim=True) + crowd)
    assert method.players["D"] == [method.D, method.crowd]


def test_the_past_by_hand() -> None:
    layer = nn.Linear(1, 1, bias=False)
    past, found = Past(layer), []
    for weight in (1.0, 3.0, 5.0):
        layer.weight.data.fill_(weight)
        found.append(past([layer]))
    assert [f.item() for f in found] == pytest.approx([0, (3 - 2) ** 2, (5 - 3) ** 2])
    found[-1].backward()
    assert layer.weight.grad.item() == pytest.approx(2 * (5 - 3))
    assert set(past.state_dict()) == {"seen", "mean_0"}


def test_a_player_is_charged_for_leaving_its_past() -> None:
    method = ssgan(history=0.5)
    batch = read_by(method, pictures())
    for moved in (0.0, 1.0):
        with torch.no_grad():
            for p in method.parameters():
                p += moved
        torch.manual_seed(3)
        charged = {who: terms["history"].item() for who, terms in method.step(batch, 0)}
    # Each weight is 1/2 from the mean of the two.
    expected = {who: 0.5 * count(nn.ModuleList(n)) / 4 for who, n in method.players.items()}
    assert charged == pytest.approx(expected, rel=1e-4)
    assert "history" not in moves(ssgan())[0][1]


def test_noise_is_added_in_training_alone() -> None:
    critic = nets.build(MLPCriticConfig(width=8, layers=2, noise=0.5))
    x = torch.randn(2, 3, 32, 32)
    assert not torch.equal(critic(x), critic(x))
    critic.eval()
    assert torch.equal(critic(x), critic(x))
    plain = nets.build(MLPCriticConfig(width=8, layers=2))
    assert count(plain) == count(critic)
    assert torch.equal(plain(x), plain(x))


FEW = pytest.mark.parametrize("name", ["sgan", "ssgan"])


@FEW
def test_few_labels_teach_a_classifier_that_is_measured_and_kept(name: str, digits: Path, tmp_path: Path) -> None:
    wanted = small_recipe(
        name, digits, images=4, data={"batch": 2, "labelled": 3},
        watch={"eval_images": 4, "save_images": 4, "sheet_images": 4, "sheet_rows": 2, "metrics": ["accuracy"]},
    )  # fmt: skip
    run = train_small(tmp_path / "run", wanted)
    info = read_info(run / "model")
    assert 0 <= info.metrics["accuracy"] <= 1
    assert set(info.classifiers) == {"classifier"}
    assert info.sampler.classes == 0
    assert (run / "sheets/00000004.png").is_file()
    assert evaluate(run, device="cpu")["metrics"]["accuracy"] == info.metrics["accuracy"]


def test_d_of_ssgan_is_a_network_that_a_model_keeps_as_a_classifier() -> None:
    for name in ("mlp_critic", "dcgan_critic"):
        method = ssgan(discriminator={"net": name, "width": 8}, kernels=2)
        assert TypeAdapter(nets.Classifier).validate_python(method.D.config.model_dump()) == method.D.config
    for name in ("sngan_critic", "progan_critic", "stylegan_critic", "stylegan2_critic"):
        with pytest.raises(RecipeError, match=rf"method\.discriminator\.net: '{name}' is not known"):
            recipe.load(recipe.find("ssgan-mnist"), [f"method.discriminator={{net: {name}}}"])


@FEW
def test_few_labels_need_pictures_of_one_kind(name: str) -> None:
    with pytest.raises(RecipeError, match=r"^data\.channels: one network sees all pictures: take 3 for both"):
        ZOO[name](ZOO[name].Config(), Task(a=1, b=3, size=(32, 32), classes=3))
    with pytest.raises(RecipeError, match=rf"^{name} needs pictures with labels"):
        ZOO[name](ZOO[name].Config(), Task(size=(32, 32)))


# -- what is found without labels --------------------------------------------------------------------------------------


def test_infogan_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("infogan", choice=2.0, code=0.5, latent={"noise": 2, "choices": [2, 3], "codes": 1})
    z = torch.tensor([[9.0, 9.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.5], [9.0, 9.0, 0.0, 1.0, 1.0, 0.0, 0.0, -1.0]])
    monkeypatch.setattr(method, "draw", lambda like: z)
    monkeypatch.setattr(method.G, "forward", lambda given: numbered(1, 2))
    # verdict, two logits, three logits, mean, log-variance
    answers = {
        0: [1.0, *[7.0] * 7],
        1: [0.0, log(3), 0, 0, 0, 0, 0.5, 0],
        2: [0.0, 0, log(3), 0, 0, log(2), 1.0, log(4)],
    }
    given(monkeypatch, method.D, answers)
    (_, d), (_, g) = moves(method, batch=Images(numbered(0, 0), torch.tensor([-1, -1])))
    choice = 2 * (log(4 / 3) + (log(3) + log(4)) / 2)
    code = 0.5 * (log(2 * np.pi) / 2 + (log(2 * np.pi) + log(4) + 4 / 4) / 2) / 2
    assert {k: v.item() for k, v in d.items()} == pytest.approx(
        {"real": log1p(np.exp(-1)), "fake": log(2), "choice": choice, "code": code}
    )
    assert {k: v.item() for k, v in g.items()} == pytest.approx({"gan": log(2), "choice": choice, "code": code})


def test_infogan_without_codes_or_choices() -> None:
    assert list(moves(made("infogan", latent={"noise": 2, "choices": [3]}))[1][1]) == ["gan", "choice"]
    assert list(moves(made("infogan", latent={"noise": 2, "codes": 2}))[1][1]) == ["gan", "code"]
    with pytest.raises(RecipeError, match=r"method\.latent: infogan learns what choices and codes mean"):
        recipe.load(recipe.find("infogan-mnist"), ["method.latent={noise: 62}"])


# -- encoders ----------------------------------------------------------------------------------------------------------


def test_aae_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("aae", reconstruction=3.0)
    batch = pictures(2)
    codes, z = torch.full((2, 8), 1.0), torch.full((2, 8), 2.0)
    monkeypatch.setattr(method, "draw", lambda like: z)
    monkeypatch.setattr(method.E, "forward", lambda x: codes)
    monkeypatch.setattr(method.G, "forward", lambda given: batch.x + 2 * (given[:, :1, None, None] == 1))
    monkeypatch.setattr(method.D, "forward", lambda given: given[:, :1])
    (_, d), (who, g) = moves(method, batch=batch)
    assert who == "G"
    assert {k: v.item() for k, v in d.items()} == pytest.approx({"real": log1p(np.exp(-2)), "fake": log1p(np.exp(1))})
    assert {k: v.item() for k, v in g.items()} == pytest.approx({"reconstruction": 3 * 4, "gan": log1p(np.exp(-1))})


def test_bigan_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("bigan")
    z, codes = torch.full((2, 50), 0.25), torch.full((2, 50), -0.5)
    monkeypatch.setattr(method, "draw", lambda like: z)
    monkeypatch.setattr(method.E, "forward", lambda x: codes)
    monkeypatch.setattr(method.G, "forward", lambda given: numbered(3, 3))
    monkeypatch.setattr(method, "judged", lambda x, beside: x[:, :1, 0, 0] + beside[:, :1])
    (_, d), (_, g) = moves(method, batch=Images(numbered(1, 1), torch.tensor([-1, -1])))
    real, fake = 1 - 0.5, 3 + 0.25
    assert {k: v.item() for k, v in d.items()} == pytest.approx(
        {"real": log1p(np.exp(-real)), "fake": log1p(np.exp(fake))}
    )
    assert {k: v.item() for k, v in g.items()} == pytest.approx(
        {"gan": log1p(np.exp(-fake)), "encoder": log1p(np.exp(real))}
    )


def test_bigan_judges_a_picture_beside_its_code() -> None:
    method = made("bigan").eval()
    x, z = pictures(2).x, torch.randn(2, 50)
    first = method.judged(x, z)
    assert first.shape == (2, 1)
    assert not torch.allclose(first, method.judged(x, -z))
    assert not torch.allclose(first, method.judged(-x, z))


def test_o_gan_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    method = made("o_gan", correlation=0.5, penalty={"kind": "qp", "norm": 2, "weight": 2.0}, latent={"noise": 2})
    z = torch.tensor([[1.0, 0.0], [0.0, 4.0]])
    monkeypatch.setattr(method, "draw", lambda like: z)
    monkeypatch.setattr(method.G, "forward", lambda given: numbered(2, 3))
    answers = {0: [3.0, 5.0], 1: [3.0, 5.0], 2: [2.0, 0.0], 3: [1.5, 0.5]}  # verdicts 4, 4, 1, 1; correlations 1, -1
    given(monkeypatch, method.E, answers)
    (who, d), (_, g) = moves(method, batch=Images(numbered(0, 1), torch.tensor([-1, -1])))
    assert who == "E"
    potential = (4 - 1) ** 2 / (2 * 2.0 * 2)  # the pictures are 2 apart
    assert {k: v.item() for k, v in d.items()} == pytest.approx(
        {"real": -4, "fake": 1, "potential": potential, "correlation": 0}, abs=1e-6
    )
    assert {k: v.item() for k, v in g.items()} == pytest.approx({"gan": -1, "correlation": 0}, abs=1e-6)
    answers[3] = [0.5, 1.5]
    given(monkeypatch, method.E, answers)
    _, (_, g) = moves(method, batch=Images(numbered(0, 1), torch.tensor([-1, -1])))
    assert g["correlation"].item() == pytest.approx(-0.5)
    code = method.code(torch.tensor([[3.0, 5.0, 4.0]]))
    torch.testing.assert_close(code, torch.tensor([[-1.0, 1.0, 0.0]]))
    with pytest.raises(RecipeError, match=r"method\.latent: o_gan correlates two or more normal numbers"):
        recipe.load(recipe.find("o_gan-mnist"), ["method.latent={noise: 8, codes: 1}"])


@pytest.mark.parametrize("name", ["aae", "bigan", "o_gan"])
def test_a_sheet_shows_what_an_encoder_keeps_of_pictures(name: str) -> None:
    method, batch = made(name), pictures(2)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    panels = method.panels({"sampler": Used(method.G, method.inference)}, batch)
    assert list(panels) == ["{a}", "again", "drawn"]
    expected = method.G.eval()(method.code(method.E.eval()(batch.x)))
    torch.testing.assert_close(panels["again"], expected)
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())

"""SRResNet and SRGAN: the published networks, the two stages, what VGG19 sees, what a training starts from."""

from __future__ import annotations

import copy
import itertools
import math
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from small import small_config, small_recipe, train_small
from test_trainer import assert_same_state
from torch import Tensor, nn

from i2i import nets, recipe, training
from i2i.content import RESCALE, Content
from i2i.data.batches import Reduced
from i2i.errors import FetchError, I2IError, ModelError, RecipeError
from i2i.folder import read_info
from i2i.log import RunLog
from i2i.losses import l2
from i2i.methods import METHODS
from i2i.methods.base import Task, detail, enlarged
from i2i.methods.srgan import SRGAN
from i2i.models import find
from i2i.nets import SRResNetConfig, WholeConfig
from i2i.nets.vgg import VGG19
from i2i.run_torch import load_net
from i2i.runs import checkpoints
from i2i.state import read

SIZE = (32, 32)


def batch(scale: int = 4, count: int = 2, seed: int = 0) -> Reduced:
    generator = torch.Generator().manual_seed(seed)
    large = torch.rand(count, 3, 32, 32, generator=generator) * 2 - 1
    return Reduced(F.avg_pool2d(large, scale), large)


def made(**changes: object) -> SRGAN:
    torch.manual_seed(0)
    return SRGAN(SRGAN.Config.model_validate(small_config("srgan", **changes)), Task(size=SIZE))


# -- the networks ------------------------------------------------------------------------------------------------------


def test_srresnet_is_as_large_as_published() -> None:
    def conv(inputs: int, outputs: int, side: int) -> int:
        return inputs * outputs * side**2 + outputs

    w, prelu, norm = 64, 1, 2 * 64
    expected = conv(3, w, 9) + prelu
    expected += 16 * (2 * conv(w, w, 3) + 2 * norm + prelu) + conv(w, w, 3) + norm
    expected += 2 * (conv(w, 4 * w, 3) + prelu) + conv(w, 3, 9)
    assert nets.count(nets.build(SRResNetConfig())) == expected == 1_549_462


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (16, 7)])
def test_srresnet_enlarges_pictures_of_any_size(scale: int, size: tuple[int, int]) -> None:
    net = nets.build(SRResNetConfig(scale=scale, blocks=1, width=4, outputs=1)).eval()
    assert net(torch.rand(2, 3, *size)).shape == (2, 1, scale * size[0], scale * size[1])
    assert (net.multiple, net.scale) == (1, scale)
    assert sum(isinstance(layer, nn.PixelShuffle) for layer in net.modules()) == math.log2(scale)


def test_the_output_of_srresnet_is_not_squashed() -> None:
    torch.manual_seed(0)
    net = nets.build(SRResNetConfig(blocks=1, width=4))
    with torch.no_grad():
        net.tail[-1].bias.fill_(5.0)
        assert net(torch.rand(1, 3, 8, 8)).mean() > 3


def test_a_block_that_adds_nothing_leaves_only_the_skips() -> None:
    net = nets.build(SRResNetConfig(blocks=2, width=4, norm="none")).eval()
    x = torch.rand(1, 3, 6, 6)
    with torch.no_grad():
        for key, weight in net.named_parameters():
            if key.startswith("trunk"):
                weight.zero_()
        torch.testing.assert_close(net(x), net.tail(net.head(x)))


def test_the_discriminator_is_that_of_figure_4() -> None:
    widths = [64, 64, 128, 128, 256, 256, 512, 512]
    expected = 3 * 64 * 9 + 64  # no norm behind the first one, hence a bias
    expected += sum(9 * i * o + 2 * o for i, o in itertools.pairwise(widths))  # batch norms have weight and bias
    expected += 512 * 6 * 6 * 1024 + 1024 + 1024 + 1
    net = nets.build(WholeConfig())
    assert nets.count(net) == expected == 23_563_649
    convs = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.stride[0] for layer in convs] == [1, 2, 1, 2, 1, 2, 1, 2]
    assert [layer.kernel_size for layer in convs] == [(3, 3)] * 8
    assert {layer.negative_slope for layer in net.modules() if isinstance(layer, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("size", [(32, 32), (8, 24), (50, 33)])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
def test_the_discriminator_judges_pictures_of_its_size(size: tuple[int, int], norm: str) -> None:
    net = nets.build(WholeConfig(width=2, dense=3, norm=norm, size=size, inputs=1)).eval()
    assert net(torch.rand(2, 1, *size)).shape == (2, 1)
    with pytest.raises(ModelError, match=f"this discriminator takes pictures of {size[0]} x {size[1]}, not 32 x 40"):
        net(torch.rand(2, 1, 32, 40))


# -- losses and moves --------------------------------------------------------------------------------------------------


def test_l2_by_hand() -> None:
    x, y = torch.tensor([[1.0, 2.0], [3.0, -1.0]]), torch.tensor([[0.0, 2.0], [1.0, 1.0]])
    assert l2(x, y).item() == pytest.approx((1 + 0 + 4 + 4) / 4)
    assert l2(x.bfloat16(), y.bfloat16()).dtype == torch.float32


def test_the_paper_is_the_default() -> None:
    cfg = SRGAN.Config()
    assert (cfg.pretrain_steps, cfg.content, cfg.content_weight, cfg.gan_weight) == (10**6, "vgg54", 1.0, 1e-3)
    assert (cfg.gan, cfg.vgg, cfg.start) == ("vanilla", "", "")


def test_srresnet_moves_once_and_pays_for_pixels() -> None:
    for pixels, loss in (("l2", F.mse_loss), ("l1", F.l1_loss)):
        method = METHODS["srresnet"](
            METHODS["srresnet"].Config.model_validate(small_config("srresnet", pixels=pixels)), Task(size=SIZE)
        )
        given = batch()
        ((who, losses),) = method.step(given, 0)
        assert who == "G"
        assert losses.keys() == {"pixels"}
        torch.testing.assert_close(losses["pixels"], loss(method.G(given.a), given.b))


def moves(method: SRGAN, it: int) -> list[tuple[str, dict[str, float]]]:
    return [(who, {k: v.item() for k, v in losses.items()}) for who, losses in method.step(batch(), it)]


def test_pixels_first_then_the_game() -> None:
    method = made(pretrain_steps=3)
    for it in (0, 2):
        assert [(who, [*losses]) for who, losses in moves(method, it)] == [("G", ["pixels"])]
    for it in (3, 4, 10**6):
        assert [(who, [*losses]) for who, losses in moves(method, it)] == [
            ("D", ["real", "fake"]),
            ("G", ["content", "gan"]),
        ]


def test_the_terms_are_those_of_the_paper() -> None:
    method = made(content_weight=3.0, gan_weight=0.25)
    reference, given = copy.deepcopy(method), batch()
    (_, judged), (_, painted) = list(method.step(given, 0))
    fake = reference.G(given.a)
    real_logits, fake_logits = reference.D(given.b), reference.D(fake)
    torch.testing.assert_close(judged["real"], -real_logits.sigmoid().log().mean())
    torch.testing.assert_close(judged["fake"], -(1 - fake_logits.sigmoid()).log().mean())
    torch.testing.assert_close(painted["content"], 3 * (fake - given.b).square().mean())
    torch.testing.assert_close(painted["gan"], -0.25 * fake_logits.sigmoid().log().mean())
    assert all(p.grad is None for p in method.parameters())
    judged["fake"].backward()
    assert all(p.grad is None for p in method.G.parameters()), "G is charged for D's move"


def test_g_meets_the_d_that_has_just_moved() -> None:
    method = made()
    steps = method.step(batch(), 0)
    next(steps)
    with torch.no_grad():
        method.D.model[-1].weight.zero_()
        method.D.model[-1].bias.fill_(2.0)
    _, losses = next(steps)
    assert losses["gan"].item() == pytest.approx(1e-3 * math.log(1 + math.exp(-2)), rel=1e-5)


# -- VGG19 -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def vgg() -> nn.Module:
    """torchvision's network as a reference, with few random weights that keep the signal alive."""
    from torchvision.models import vgg19

    with torch.device("meta"):
        net = vgg19(weights=None).features
    net.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in net:
            if isinstance(layer, nn.Conv2d):
                fan = 9 * layer.in_channels
                layer.weight.normal_(0, math.sqrt(2 / fan), generator=generator)
                layer.bias.normal_(0, 0.1, generator=generator)
    return net.eval()


@pytest.fixture(scope="module")
def weights(vgg: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    save_file({f"features.{key}": value for key, value in vgg.state_dict().items()}, path)
    return path


def before_pooling(vgg: nn.Module, block: int, conv: int, x: Tensor) -> Tensor:
    """phi_{block, conv} by the paper's words: counted in torchvision's own list of layers."""
    seen, poolings, convolutions, wanted = x, 0, 0, False
    for layer in vgg:
        layer = copy.copy(layer)
        if isinstance(layer, nn.ReLU):
            layer.inplace = False
        if isinstance(layer, nn.Conv2d):
            convolutions += 1
            wanted = poolings == block - 1 and convolutions == conv
        seen = layer(seen)
        if isinstance(layer, nn.ReLU) and wanted:
            return seen
        if isinstance(layer, nn.MaxPool2d):
            poolings, convolutions = poolings + 1, 0
    raise AssertionError("no such layer")


@pytest.mark.parametrize(("layer", "block", "conv", "shape"), [("vgg22", 2, 2, (128, 16)), ("vgg54", 5, 4, (512, 2))])
@torch.no_grad()
def test_content_is_compared_where_the_paper_says(
    vgg: nn.Module, weights: Path, layer: str, block: int, conv: int, shape: tuple[int, int]
) -> None:
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    x, y = batch(seed=1).b, batch(seed=2).b
    seen, target = (before_pooling(vgg, block, conv, ((v + 1) / 2 - mean) / std) for v in (x, y))
    assert seen.shape == (2, shape[0], shape[1], shape[1])
    assert seen.min() == 0 < seen.max()  # after the activation
    content = Content(layer, str(weights))
    torch.testing.assert_close(content.net(x), seen, rtol=1e-4, atol=1e-4)
    expected = (seen / 12.75 - target / 12.75).square().mean()
    torch.testing.assert_close(content(x, y), expected, rtol=1e-4, atol=0.0)
    assert pytest.approx(0.006, abs=2e-4) == RESCALE**2  # the paper's figure


def test_the_content_network_is_frozen_and_in_no_checkpoint(weights: Path) -> None:
    method = made(content="vgg22", vgg=str(weights))
    assert not [key for key in method.state_dict() if key.startswith("content")]
    assert nets.count(method) == nets.count(made())
    assert not [m for m in method.modules() if isinstance(m, VGG19)]
    inside = method.train().content.net
    assert not inside.training
    assert not any(p.requires_grad for p in inside.parameters())
    given = batch()
    fake = given.a.repeat_interleave(4, 2).repeat_interleave(4, 3).requires_grad_()
    method.content(fake, given.b).backward()
    assert fake.grad.abs().sum() > 0
    gray = fake[:, :1], given.b[:, :1]
    color = (x.expand(-1, 3, -1, -1) for x in gray)
    torch.testing.assert_close(method.content(*gray), method.content(*color))


def test_the_first_weights_do_not_depend_on_the_content_loss(weights: Path) -> None:
    one, two = made(), made(content="vgg22", vgg=str(weights))
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters(), strict=True))


def test_the_file_of_vgg_may_be_torchs_own(vgg: nn.Module, weights: Path, tmp_path: Path) -> None:
    whole = {f"features.{k}": v for k, v in vgg.state_dict().items()} | {"classifier.0.bias": torch.zeros(4096)}
    torch.save(whole, tmp_path / "vgg19.pth")
    x, y = batch(seed=1).b, batch(seed=2).b
    assert torch.equal(Content("vgg22", str(tmp_path / "vgg19.pth"))(x, y), Content("vgg22", str(weights))(x, y))


def test_a_file_that_is_no_vgg_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"features.0.weight": torch.zeros(64, 3, 5, 5)}, path)
    with pytest.raises(ModelError) as caught:
        made(content="vgg22", vgg=str(path))
    assert str(caught.value) == (
        f"{path}: no weights of torchvision's VGG19: 'features.0.weight' has shape [64, 3, 5, 5], not [64, 3, 3, 3]"
    )
    save_file({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"no weights of torchvision's VGG19: 'features\.0\.weight' is missing$"):
        made(content="vgg22", vgg=str(path))
    with pytest.raises(ModelError, match=r"nowhere\.pth: no such file$"):
        made(content="vgg22", vgg=str(tmp_path / "nowhere.pth"))


def test_without_a_network_it_says_before_anything_is_trained(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    wanted = small_recipe("srgan", pictures, method=small_config("srgan", content="vgg54", pretrain_steps=4))
    with pytest.raises(FetchError) as caught:
        train_small(tmp_path / "run", wanted)
    assert str(caught.value) == (
        "the weights of VGG19 cannot be downloaded (no route to host): get "
        "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth by other means and give it (method.vgg=FILE), "
        "or compare pixels instead (method.content=mse)"
    )
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_a_picture_too_small_for_vgg_is_refused(weights: Path) -> None:
    cfg = SRGAN.Config.model_validate(small_config("srgan", content="vgg54", vgg=str(weights)))
    with pytest.raises(RecipeError, match=r"data\.size: 8 pixels are too few for vgg54: 16 or more, or content vgg22"):
        SRGAN(cfg, Task(size=(8, 32)))


def test_training_with_vgg_goes_on_from_any_directory(
    weights: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(weights.parent)
    method = small_config("srgan", content="vgg22", vgg=weights.name)
    run = train_small(tmp_path / "run", small_recipe("srgan", pictures, images=2, method=method))
    monkeypatch.chdir(tmp_path)
    training.resume(run, "train.images=3", quiet=True)
    assert recipe.load(run / "recipe.yaml").method.vgg == str(weights)
    kept = read(checkpoints(run)[-1], "state")["method"]
    assert {key.split(".")[0] for key in kept} == {"G", "D"}


# -- stages and starts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_resuming_before_at_and_after_the_change_of_stages_is_exact(stop: int, pictures: Path, tmp_path: Path) -> None:
    method = small_config("srgan", pretrain_steps=3)
    blocks = {"train": {"ema_halflife_images": 4}, "watch": {"log_images": 1}}
    whole = train_small(tmp_path / "whole", small_recipe("srgan", pictures, images=7, method=method, **blocks))
    half = train_small(tmp_path / "half", small_recipe("srgan", pictures, images=max(stop, 4), method=method, **blocks))
    resumed = training.resume(half, "train.images=7", quiet=True)
    assert_same_state(checkpoints(whole)[-1], checkpoints(resumed)[-1])
    terms = [{k for k in e if "/" in k} for e in RunLog.read(whole / "log.jsonl") if e["event"] == "losses"]
    assert terms == [{"G/pixels"}] * 3 + [{"D/real", "D/fake", "G/content", "G/gan"}] * 4


def test_a_pretraining_that_never_ends_is_refused(pictures: Path, tmp_path: Path) -> None:
    method = small_config("srgan", pretrain_steps=4)
    with pytest.raises(RecipeError) as caught:
        train_small(tmp_path / "run", small_recipe("srgan", pictures, images=7, data={"batch": 2}, method=method))
    assert str(caught.value) == (
        "method.pretrain_steps: 4, but train.images makes 4 steps in all, so that D would never play: take more of "
        "these, fewer of those, or the method srresnet"
    )


@pytest.fixture
def srresnet(pictures: Path, tmp_path: Path) -> Path:
    return train_small(tmp_path / "srresnet", small_recipe("srresnet", pictures, images=3))


def test_it_starts_from_a_trained_srresnet(srresnet: Path, pictures: Path, tmp_path: Path) -> None:
    method = made(start=str(srresnet))
    first = {key: value.clone() for key, value in method.G.state_dict().items()}
    method.begin(10)
    folder = find(srresnet)
    trained = load_net(folder, read_info(folder), "a2b").state_dict()
    assert all(torch.equal(value, trained[key]) for key, value in method.G.state_dict().items())
    assert not all(torch.equal(value, first[key]) for key, value in method.G.state_dict().items())

    wanted = small_recipe(
        "srgan", pictures, images=1, method=small_config("srgan", start=str(srresnet)),
        train={"optimizer": {"name": "sgd", "lr": 1e-9, "betas": [0.0, 0.0]}},
    )  # fmt: skip
    run = train_small(tmp_path / "run", wanted)
    now = read(checkpoints(run)[-1], "state")["method"]
    weights = {key for key, _ in method.G.named_parameters()}
    assert all(torch.allclose(now[f"G.{key}"], trained[key], atol=1e-6) for key in weights)
    assert recipe.load(run / "recipe.yaml").method.start == str(folder)
    for path in sorted(srresnet.rglob("*"), reverse=True):  # it is not needed any more
        path.unlink() if path.is_file() else path.rmdir()
    assert training.resume(run, "train.images=2", quiet=True) == run


def test_a_start_that_does_not_fit_is_one_line(srresnet: Path, pairs: Path, tmp_path: Path) -> None:
    other = made(start=str(srresnet), generator={"net": "srresnet", "blocks": 2, "width": 6, "scale": 2})
    with pytest.raises(ModelError, match=r"model: method\.start: its generator has scale 4, not 2$"):
        other.begin(10)
    unet = train_small(tmp_path / "unet", small_recipe("pix2pix", pairs, images=1))
    with pytest.raises(ModelError, match=r"method\.start: its generator has net unet, not srresnet$"):
        made(start=str(unet)).begin(10)
    with pytest.raises(I2IError, match="no model 'nothing_such'"):
        made(start="nothing_such").begin(10)


# -- sheets ------------------------------------------------------------------------------------------------------------


def test_a_sheet_shows_the_middle_pixel_by_pixel() -> None:
    large = torch.arange(40 * 24, dtype=torch.float32).reshape(1, 1, 40, 24)
    given = Reduced(large[..., ::4, ::4], large)
    whole = detail(given)
    assert torch.equal(whole.b, large)
    cut = detail(given, side=18)  # 4 small pixels: the largest whole number of them
    assert torch.equal(cut.b, large[..., 12:28, 4:20])
    assert torch.equal(cut.a, given.a[..., 3:7, 1:5])
    assert torch.equal(cut.a, cut.b[..., ::4, ::4])
    assert detail(given, side=1).b.shape == (1, 1, 4, 4)


@pytest.mark.parametrize("name", ["srresnet", "srgan"])
def test_panels(name: str) -> None:
    method = METHODS[name](METHODS[name].Config.model_validate(small_config(name)), Task(size=SIZE))
    given = batch(count=1)
    panels = method.panels({"a2b": method.G}, given)
    assert [*panels] == ["bicubic", "output", "original"]
    assert {tuple(p.shape) for p in panels.values()} == {(1, 3, 32, 32)}
    torch.testing.assert_close(panels["bicubic"], enlarged(given))
    flat = enlarged(Reduced(torch.full((1, 3, 4, 4), 0.25), torch.zeros(1, 3, 16, 16)))
    np.testing.assert_allclose(flat.numpy(), 0.25, atol=1e-6)

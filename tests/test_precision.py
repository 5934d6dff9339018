"""bfloat16: near float32 in every network, and taken only where it is asked for or was measured to be worth it."""

from __future__ import annotations

import re
import shutil
from datetime import date
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from conftest import Command
from models_for_tests import make_model
from PIL import Image
from safetensors.torch import load_file, save_file

from i2i import choosing, folder, measured, nets, numerics, parity
from i2i.errors import I2IError, ModelError, UsageError
from i2i.measured import Measure
from i2i.nets.blocks import Noise
from i2i.run_torch import TorchEngine
from i2i.tiles import Padded
from i2i.translator import load

SMALL = [
    nets.UNetConfig(depth=3, width=4, dropout=0),
    nets.UNetConfig(depth=4, width=4, dropout=0, norm="instance", up="resize"),
    nets.LabUNetConfig(depth=3, width=4, dropout=0),
    nets.ResNetConfig(width=4, blocks=2),
    nets.ResNetConfig(width=4, blocks=1, norm="batch", down="blur", up="blur"),
    nets.EncDecConfig(depth=3, width=4),
    nets.PixelDAConfig(width=4, blocks=2, size=(64, 64)),
    nets.SRResNetConfig(width=4, blocks=2, scale=2),
    nets.ContextConfig(width=4, halvings=2),
    nets.FlatUNetConfig(depth=3, width=4, norm="affine", quiet=1),
    nets.FlatContextConfig(depth=4, width=4, norm="batch"),
    nets.MSRResNetConfig(width=4, blocks=2, scale=2),
    nets.SRResNetTanhConfig(width=4, blocks=2, scale=2),
]


def both(place: Path, **options: Any) -> list[TorchEngine]:
    info = folder.read_info(place)
    return [TorchEngine(place, info, "a2b", "cpu", precision=kind, **options) for kind in ("fp32", "bf16")]


def pictures(product: folder.Product, number: int, size: int = 64) -> np.ndarray:
    given = parity.with_holes(parity.pictures) if product.masked else parity.pictures
    return given(number, product.inputs, (size, size))


# -- the arithmetic ----------------------------------------------------------------------------------------------------


def test_every_generator_is_among_those_that_are_compared() -> None:
    assert {type(config) for config in SMALL} == set(get_args(get_args(nets.AnyGenerator)[0]))


@pytest.mark.parametrize("norm", ["image", "running"])
@pytest.mark.parametrize("config", SMALL, ids=lambda c: c.net)
def test_bf16_is_near_float32(config: Any, norm: str, tmp_path: Path) -> None:
    info = make_model(tmp_path / "m", config, norm=norm, settled="context" not in config.net, gain=0.05)
    full, half = both(tmp_path / "m")
    assert {p.dtype for p in half.net.net.parameters()} == {torch.bfloat16}
    for number in (1, 3):
        x = pictures(info.products["a2b"], number)
        a, b = full.run(x), half.run(x)
        assert b.dtype == np.float32
        assert a.shape == b.shape
        assert a.std() > 0.01, "nothing is compared"
        assert 0 < np.abs(a - b).max() < 0.2
        assert np.abs(a - b).mean() < 0.02 * a.std()


def test_noise_is_the_same_in_both(tmp_path: Path) -> None:
    make_model(tmp_path / "m", nets.UNetConfig(depth=6, width=8), dropout=True)
    full, half = both(tmp_path / "m", seed=3)
    x = pictures(full.product, 2)
    other = both(tmp_path / "m", seed=4)[1].run(x)
    apart, to_other = (np.abs(full.run(x) - y).mean() for y in (half.run(x), other))
    assert apart < 0.2 * to_other

    def drawn(dtype: torch.dtype) -> torch.Tensor:
        torch.manual_seed(0)
        return Noise(5)(torch.zeros(2, 3, 4, 4, dtype=dtype))

    with torch.random.fork_rng(devices=[]):
        assert torch.equal(drawn(torch.bfloat16), drawn(torch.float32).bfloat16())


def test_tiles_are_in_float32(tmp_path: Path) -> None:
    make_model(tmp_path / "m", nets.ResNetConfig(width=4, blocks=1))
    full, half = both(tmp_path / "m")
    values = pictures(full.product, 1)[0].transpose(1, 2, 0)
    picture = Padded(values, [(0, 0), (0, 0)])
    rows = [np.concatenate(list(one.tiled(picture, 2**30, "exact"))) for one in (full, half)]
    assert np.array_equal(*rows)
    assert half.per_pixel < full.per_pixel


def test_frames_of_a_clip(tmp_path: Path) -> None:
    make_model(tmp_path / "m", nets.ResNetConfig(width=4, blocks=1))
    full, half = both(tmp_path / "m")
    x = pictures(full.product, 3)
    answers = []
    for one in (full, half):
        with one.frames():
            answers.append(one.run(x))
    assert 0 < np.abs(answers[0] - answers[1]).max() < 0.15


# -- which one ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the processor: bfloat16 is asked for here, not timed."""
    monkeypatch.setattr(numerics, "has_bf16", lambda kind: True)


def measure(trained: Path, **changes: Any) -> Measure:
    facts: dict[str, Any] = {
        "here": choosing.here(torch.device("cpu")), "model": measured.fingerprint(trained, folder.TENSORS),
        "product": "a2b", "size": 64, "ratio": 0.4, "largest": 0.02, "mean": 0.001, "day": date(2026, 11, 26),
    }  # fmt: skip
    return Measure(**{**facts, **changes})


def test_auto_is_float32_until_it_was_measured(tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    assert (load(tmp_path / "m", device="cpu").engine.precision, load(tmp_path / "m").why) == ("fp32", "")
    measured.keep([measure(tmp_path / "m"), measure(tmp_path / "m", size=128, ratio=0.51, largest=0.01)])
    translate = load(tmp_path / "m", device="cpu")
    assert translate.engine.precision == "bf16"
    assert translate.why == (
        "bf16: takes 0.51 of the time of fp32 and differs by 2.6 of 255 levels at most, 0.13 on the mean, as "
        "`i2i bench model` measured here on 2026-11-26; --precision fp32 is exact"
    )
    assert load(tmp_path / "m", device="cpu", precision="fp32").engine.precision == "fp32"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"ratio": 0.95}, "fp32: bf16 takes 0.95 of its time, as"),
        ({"largest": 0.07}, "fp32: bf16 differs by 8.9 of 255 levels at most, 0.13 on the mean (8 and 0.5 are allowed"),
        ({"mean": 0.01}, "fp32: bf16 differs by 2.6 of 255 levels at most, 1.28 on the mean"),
        ({"product": "b2a"}, ""),
        ({"model": "another"}, ""),
        ({"here": measured.here("cpu", 1000, torch.__version__)}, ""),
        ({"here": measured.here("cpu", torch.get_num_threads(), "1.0")}, ""),
        ({"here": measured.here("a GPU", torch.get_num_threads(), torch.__version__)}, ""),
    ],
    ids=str,
)
def test_auto_stays_float32(changes: dict[str, Any], why: str, tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    measured.keep([measure(tmp_path / "m", **changes)])
    translate = load(tmp_path / "m", device="cpu")
    assert translate.engine.precision == "fp32"
    assert translate.why.startswith(why)
    assert bool(translate.why) == bool(why)


def test_a_model_that_learned_more_is_another(tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    measured.keep([measure(tmp_path / "m")])
    make_model(tmp_path / "m", images=4000)
    assert load(tmp_path / "m", device="cpu").engine.precision == "fp32"


def test_a_model_of_other_weights_is_another_and_a_copy_is_not(tmp_path: Path) -> None:
    places = [tmp_path / place / "m" for place in ("one", "two", "copy")]
    for place, seed in zip(places[:2], (0, 1), strict=True):
        make_model(place, seed=seed)
    shutil.copytree(places[0], places[2])
    one, two, copy = (measured.fingerprint(place, folder.TENSORS) for place in places)
    assert one == copy != two
    assert len({(place / folder.INFO).read_bytes() for place in places}) == 1, "they say the same of themselves"


def test_a_model_without_its_weights_is_told_by_who_opens_it(tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    (tmp_path / "m" / folder.TENSORS).unlink()
    with pytest.raises(ModelError, match=r"model.safetensors is missing"):
        load(tmp_path / "m", device="cpu")


def test_auto_with_dropout_is_float32(tmp_path: Path) -> None:
    make_model(tmp_path / "m", dropout=True)
    measured.keep([measure(tmp_path / "m")])
    assert load(tmp_path / "m", device="cpu").engine.precision == "fp32"


def test_measures_are_few_and_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "m")
    monkeypatch.setattr(measured, "KEPT", 3)
    for number in range(5):
        measured.keep([measure(tmp_path / "m", model=str(number))])
    measured.keep([measure(tmp_path / "m", model="3", ratio=0.7)])
    assert [(m.model, m.ratio) for m in measured.read()] == [("2", 0.4), ("4", 0.4), ("3", 0.7)]
    assert [p.name for p in measured.file().parent.iterdir()] == ["measured.json"]


@pytest.mark.parametrize("damage", [b"", b"{", b'[{"here": 1}]', b"\xff"])
def test_a_damaged_file_of_measures_says_nothing(damage: bytes, tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    measured.keep([measure(tmp_path / "m")])
    measured.file().write_bytes(damage)
    assert load(tmp_path / "m", device="cpu").engine.precision == "fp32"
    measured.keep([measure(tmp_path / "m")])
    assert load(tmp_path / "m", device="cpu").engine.precision == "bf16"


def test_measures_that_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "m")
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    with pytest.raises(I2IError, match=r"measured.json: cannot be written .*: set I2I_CACHE to another folder"):
        measured.keep([measure(tmp_path / "m")])
    (tmp_path / "other" / "measured.json").mkdir(parents=True)
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "other"))
    with pytest.raises(I2IError, match=r"measured.json: cannot be written"):
        measured.keep([measure(tmp_path / "m")])
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["measured.json"], "no draft is left behind"


def test_a_bench_shows_what_it_cannot_keep(i2i: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "m", nets.UNetConfig(depth=3, width=4, dropout=0))
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    words = ("--engines", "bf16", "--sizes", "32", "--seconds", 0, "--no-memory", "--device", "cpu")
    code, out, _ = i2i("bench", "model", "m", *words)
    assert code == 0
    assert "i2i translate --precision bf16: bfloat16, channels last" in out
    assert re.search(r"not kept for i2i translate: .*measured.json: cannot be written \(.*\): set I2I_CACHE", out)


def test_a_bench_of_weights_that_are_no_numbers_is_not_kept(i2i: Command, tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    path = tmp_path / "m" / folder.TENSORS
    save_file({key: t * float("nan") for key, t in load_file(path).items()}, path)
    words = ("--engines", "bf16", "--sizes", "32", "--seconds", 0, "--no-memory", "--device", "cpu")
    code, out, _ = i2i("bench", "model", "m", *words)
    assert code == 0
    assert "not kept for i2i translate: the answers differ by what is no number" in out
    assert measured.read() == []


def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(tmp_path / "m")
    with pytest.raises(UsageError, match=r"precision 'bf61': not known; did you mean 'bf16'\? \(one of auto, fp32, bf"):
        load(tmp_path / "m", precision="bf61")
    monkeypatch.setattr(numerics, "has_bf16", lambda kind: False)
    with pytest.raises(UsageError, match="precision bf16: cpu has no arithmetic for it here, fp32 is faster"):
        load(tmp_path / "m", device="cpu", precision="bf16")
    product = folder.Product(source="a", target="b", generator={}, multiple=1, file="m.onnx")
    exported = make_model(tmp_path / "o").model_copy(update={"products": {"a2b": product}})
    assert choosing.choice(tmp_path, exported, "a2b", "cpu", "auto").precision == "fp32"
    with pytest.raises(UsageError, match="was exported in fp32: leave precision out"):
        choosing.choice(tmp_path, exported, "a2b", "cpu", "bf16")


@pytest.mark.usefixtures("fast")
def test_bench_and_then_translate(i2i: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CLI and Python give the same pixels, before and after; what is measured changes what auto is, and says so."""
    make_model(tmp_path / "m", nets.ContextConfig(width=4, halvings=2), gain=0.05)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
    Image.fromarray(pixels).save("a.png")

    def translated(*words: str) -> tuple[np.ndarray, str]:
        said = i2i("translate", "a.png", "--model", "m", "--device", "cpu", "--overwrite", *words)
        assert (said.code, said.err) == (0, "")
        with Image.open("out/a.png") as image:
            return np.asarray(image).astype(int), said.out.splitlines()[0]

    before, first = translated()
    assert first.startswith("translated 1 of 1")
    monkeypatch.setattr(measured, "WORTH", 1e9)
    words = ("--engines", "bf16", "--sizes", "64", "--seconds", 0, "--no-memory", "--device", "cpu")
    code, out, _ = i2i("bench", "model", "m", *words)
    assert code == 0
    assert "i2i translate now runs this model here in bf16: takes " in out
    fast_one, why = translated()
    assert why.startswith("bf16: takes ")
    assert np.array_equal(fast_one, np.asarray(load("m", device="cpu")("a.png")).astype(int))
    assert 0 < np.abs(fast_one - before).max() < 16
    exact, first = translated("--precision", "fp32")
    assert np.array_equal(exact, before)
    assert first.startswith("translated 1 of 1")
    asked, why = translated("--precision", "bf16")
    assert np.array_equal(asked, fast_one)
    assert why == "bf16: as asked; --precision fp32 is exact"

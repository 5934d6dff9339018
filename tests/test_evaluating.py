"""``i2i eval`` measures what training measures, by the same functions; what does not fit is told with the way out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from models_for_tests import make_model
from PIL import Image
from small import FOLDERS, small_config, small_recipe, train_small
from torch import Tensor

from i2i import card, cli, exporting, training
from i2i.data.batches import Images, Labelled, Pair, Unpaired, loader, open_split
from i2i.data.layouts import recognise
from i2i.data.transforms import View
from i2i.drawing import Draws
from i2i.errors import ModelError, RecipeError, UsageError
from i2i.evaluating import evaluate
from i2i.folder import read_info
from i2i.held import Subject, Way, better, chosen, fitted, labels_of, measure
from i2i.latents import Latent
from i2i.log import RunLog
from i2i.methods import METHODS
from i2i.metrics import METRICS, Setting, taught
from i2i.metrics.features import Features
from i2i.zoo.base import Drawing

SIZE = (32, 32)


def evals(run: Path) -> list[dict]:
    return [e for e in RunLog.read(run / "log.jsonl") if e["event"] == "eval"]


def numbers(record: dict, found: dict) -> None:
    """A record of the log says what ``i2i eval`` found."""
    assert found["metrics"]
    assert {k: record[k] for k in found["metrics"]} == pytest.approx(found["metrics"], abs=1e-6)
    assert (record["split"], record["n"]) == (found["split"], found["n"])


# ---------------------------------------------------------------- the command and training


@pytest.mark.parametrize("name", sorted(METHODS))
def test_eval_of_a_run_is_the_evaluation_of_its_training(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(FOLDERS[METHODS[name].reads])
    watch = {"eval_images": 2, "save_images": 2}
    asked = ["l1_rgb"] if METHODS[name].reads is Unpaired else []
    if asked:  # pairs to measure on
        folder = request.getfixturevalue("pairs")
    batch = 2 if issubclass(METHODS[name], Drawing) else 1  # some of the zoo compare the pictures of a batch
    blocks = {"data": {"batch": batch}, "watch": {**watch, "metrics": asked}}
    run = train_small(tmp_path / "run", small_recipe(name, folder, images=2, **blocks))
    (record,) = evals(run)
    numbers(record, evaluate(run, metrics=asked))


def test_an_exported_model_is_measured_by_its_own_engine(pairs: Path, tmp_path: Path) -> None:
    quiet = small_config("pix2pix", inference={"norm": "image", "dropout": False})
    watch = {"eval_images": 2, "save_images": 2}
    run = train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=2, method=quiet, watch=watch))
    exporting.export(run, target="onnx")
    found, torchs = evaluate(run / "onnx"), evaluate(run)
    assert found["engine"].startswith("onnxruntime ")
    assert torchs["engine"] == f"torch {torch.__version__} on cpu"
    assert found["metrics"] == pytest.approx(torchs["metrics"], abs=0.01)
    assert (found["split"], found["n"], found["dataset"]) == (torchs["split"], torchs["n"], torchs["dataset"])


def test_both_directions_are_measured_and_one_can_be_asked_for(pairs: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "m", both=True)
    found = evaluate(tmp_path / "m", str(pairs), metrics=["psnr_rgb"])
    assert list(found["metrics"]) == ["psnr_rgb_a2b", "psnr_rgb_a2b_input", "psnr_rgb_b2a", "psnr_rgb_b2a_input"]
    one = evaluate(tmp_path / "m", str(pairs), metrics=["psnr_rgb"], direction="b2a")
    assert one["metrics"]["psnr_rgb"] == found["metrics"]["psnr_rgb_b2a"]
    assert one["metrics"]["psnr_rgb"] != found["metrics"]["psnr_rgb_a2b"]


def test_a_turned_run_is_measured_in_its_direction(pairs: Path, tmp_path: Path) -> None:
    blocks = {"data": {"direction": "b2a"}, "watch": {"eval_images": 2, "save_images": 2}}
    run = train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=2, **blocks))
    numbers(evals(run)[0], evaluate(run))
    kept = tmp_path / "kept"
    (run / "model").rename(kept)  # without the recipe, its products say it
    assert evaluate(kept, str(pairs))["metrics"] == pytest.approx(evaluate(run / "best", str(pairs))["metrics"])


def test_domains_are_matched_by_their_names(pairs: Path, tmp_path: Path) -> None:
    """A model label -> photo on folders where photo comes second, and on some where it comes first."""
    make_model(tmp_path / "m")
    values = []
    for names in (("label", "photo"), ("photo", "label")):
        root = tmp_path / "-".join(names)
        for side, domain in zip("AB", ("label", "photo"), strict=True):
            (root / "val" / domain).mkdir(parents=True)
            for file in (pairs / "val" / side).iterdir():
                (root / "val" / domain / file.name).write_bytes(file.read_bytes())
        values.append(evaluate(tmp_path / "m", str(root))["metrics"])
    assert values[0] == values[1]


def test_enlarged_pictures_are_measured_at_their_own_sizes(tmp_path: Path) -> None:
    root = tmp_path / "sr"
    (root / "test").mkdir(parents=True)
    (root / "train").mkdir()
    rng = np.random.default_rng(0)
    for i, size in enumerate([(50, 41), (37, 66)]):
        smooth = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        for split in ("train", "test"):
            Image.fromarray(smooth).resize(size[::-1], Image.Resampling.BICUBIC).save(root / split / f"{i}.png")
    run = train_small(
        tmp_path / "run", small_recipe("srresnet", root, images=2, watch={"eval_images": 2, "save_images": 2})
    )
    found = evaluate(run)
    assert list(found["metrics"]) == ["psnr_y_b4", "psnr_y_b4_input", "ssim_y_b4", "ssim_y_b4_input"]
    assert found["size"] is None
    assert found["degradation"] == "bicubic"
    assert found["metrics"]["psnr_y_b4_input"] > found["metrics"]["psnr_y_b4"]  # two images teach nothing
    numbers(evals(run)[0], found)


def test_classifiers_are_measured_on_the_labels_that_were_not_shown(digits: Path, tmp_path: Path) -> None:
    watch = {"eval_images": 2, "save_images": 2}
    run = train_small(tmp_path / "run", small_recipe("pixelda", digits, images=2, watch=watch))
    found = evaluate(run)
    assert list(found["metrics"]) == ["accuracy"]
    assert found["n"] == 9
    assert evaluate(run, count=4)["n"] == 4


def test_drawn_pictures_are_measured_beside_held_out_ones(digits: Path, tmp_path: Path) -> None:
    blocks = {"data": {"batch": 2}, "watch": {"eval_images": 2, "save_images": 2}}
    run = train_small(tmp_path / "run", small_recipe("dcgan", digits, images=2, **blocks))
    found = evaluate(run)
    assert list(found["metrics"]) == [*METRICS["fd_digits"].keys, *METRICS["prdc_digits"].keys]
    assert found["measured_by"]["fd_digits"]["n"] == 9
    assert found["measured_by"]["fd_digits"]["backend"].startswith("classifier of digits, test accuracy ")
    assert evaluate(run, metrics=["fd_digits"], count=4)["metrics"] != evaluate(run, metrics=["fd_digits"])["metrics"]
    with pytest.raises(UsageError, match="accuracy_asked_digits does not fit: this model draws nothing for a class"):
        evaluate(run, metrics=["accuracy_asked_digits"])
    with pytest.raises(UsageError, match=r"psnr_rgb does not fit: .* drawn pictures have none: take fd_digits"):
        evaluate(run, metrics=["psnr_rgb"])
    with pytest.raises(ModelError, match="this model translates nothing: it draws pictures, not 'a2b'"):
        evaluate(run, direction="a2b")


def test_without_labels_there_is_no_classifier_to_measure_by(pictures: Path, tmp_path: Path) -> None:
    blocks = {"data": {"batch": 2}, "watch": {"eval_images": 2, "save_images": 2}}
    run = train_small(tmp_path / "run", small_recipe("dcgan", pictures, images=2, **blocks))
    assert not evals(run)
    with pytest.raises(UsageError, match="fd_digits does not fit: it learns classes from labelled pictures"):
        evaluate(run, metrics=["fd_digits"])


def test_classes_are_asked_for_and_classifiers_are_measured_on_labelled_pictures(
    digits: Path,
) -> None:
    """Of a network that draws what it is asked for: the bars of the data themselves."""
    samples = open_split(Images, recognise(digits).splits["train"], View(SIZE, channels=(3, 3)))
    shown = next(iter(loader(samples, batch=24, shuffle=False, stop=24)))
    bars = torch.stack([shown.x[shown.labels == c][0] for c in range(3)])

    def draw(z: Tensor, labels: Tensor) -> Tensor:
        return bars[labels]

    subject = Subject(
        {}, {"D": lambda x: torch.eye(3)[:, :1].T.expand(len(x), 3)}, {"sampler": Draws(draw, Latent(noise=4), 3)}
    )
    setting = Setting(labels=labels_of(training.prepare(str(digits), None, print), "a2b"))
    metrics = chosen((), subject, samples, SIZE, 24)
    assert list(metrics) == ["fd_digits", "prdc_digits", "accuracy_asked_digits", "accuracy"]
    net = setting.network(taught.digits(setting))
    right = (net.logits(bars).argmax(1) == torch.arange(3)).float().mean().item()
    found = measure(subject, samples, metrics, setting, 24)
    assert found["accuracy_asked_digits"] == pytest.approx(right)
    assert found["accuracy"] == pytest.approx(1 / 3)  # it always says 0
    assert subject.names(metrics["fd_digits"]) == {"sampler": ""}
    assert subject.score(found, metrics["fd_digits"]) == found["fd_digits"]


# ---------------------------------------------------------------- the shell


@pytest.fixture
def i2i(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple]:
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["i2i", *map(str, words)])
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as e:
            return e.code or 0, *capsys.readouterr()
        return 0, *capsys.readouterr()

    return run


def test_the_command_prints_a_table_and_writes_json(i2i: Callable[..., tuple], pairs: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    code, out, _ = i2i("eval", "m", "--dataset", pairs, "--count", "2", "--out", "deep/er.json")
    assert code == 0
    first, head, *lines, last = out.splitlines()
    assert first.startswith("m, a2b on pairs, split val: 2 pictures at 64 x 64 pixels, torch ")
    assert head.split() == ["metric", "value", "copy", "of", "the", "input", "pictures", "measured", "by"]
    assert [line.split()[0] for line in lines] == ["psnr_rgb", "ssim_rgb"]
    assert "(higher is better)" in lines[0]
    assert "kornia " in lines[0]
    assert last == f"written to {Path('deep/er.json')}"
    found = json.loads((tmp_path / "deep/er.json").read_text())
    assert set(found) == {
        "model", "method", "images", "dataset", "split", "directions", "n", "size", "metrics", "measured_by",
        "degradation", "engine", "i2i",
    }  # fmt: skip
    assert (found["model"], found["dataset"], found["split"], found["n"]) == ("m", "pairs", "val", 2)
    assert found["measured_by"]["psnr_rgb"]["backend"].startswith("kornia ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "psnr"], "no metric 'psnr'; did you mean 'psnr_rgb'?"),
        (["--metrics", "label_accuracy"], "label_accuracy does not fit: it reads label maps by their colors"),
        (["--metrics", "accuracy"], "accuracy does not fit: it measures classifiers, and this model has none"),
        (["--metrics", "prdc_effnet"], "prdc_effnet does not fit: it needs 6 pictures of each set at least"),
        (["--split", "tset"], "pairs has no split 'tset' (it has train, val)"),
        (["--direction", "b2a"], "m: this model translates a2b only, not 'b2a'"),
        (["--dataset", "./nowhere"], "./nowhere: no such folder"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], said: str, i2i: Callable[..., tuple], pairs: Path, tmp_path: Path
) -> None:
    make_model(tmp_path / "m")
    code, out, err = i2i("eval", "m", *([] if "--dataset" in words else ["--dataset", pairs]), *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert said in err


def test_unpaired_data_want_a_metric_of_sets(i2i: Callable[..., tuple], domains: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "m")
    code, _, err = i2i("eval", "m", "--dataset", domains)
    assert code == 2
    assert "the split test holds no pairs: --metrics fd_effnet compares sets of pictures" in err
    code, _, err = i2i("eval", "m", "--dataset", domains, "--metrics", "psnr_rgb")
    assert code == 2
    assert "psnr_rgb does not fit: it compares outputs with their targets, and these pictures are no pairs" in err


def test_without_a_held_out_split_one_has_to_be_asked_for(pairs: Path, tmp_path: Path) -> None:
    make_model(tmp_path / "m", dataset="somebodys_own")
    (pairs / "val").rename(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="pairs has no split val or test to measure on: --split train measures"):
        evaluate(tmp_path / "m", str(pairs))
    assert evaluate(tmp_path / "m", str(pairs), split="train")["n"] == 6
    with pytest.raises(UsageError, match="its data set 'somebodys_own' is not known here: --dataset NAME or a folder"):
        evaluate(tmp_path / "m")
    with pytest.raises(ModelError, match="no such model folder or run"):
        evaluate(tmp_path / "none", str(pairs))


# ---------------------------------------------------------------- measuring


def mirrored(x: Tensor) -> Tensor:
    return -x


def pairs_of(folder: Path, reads: type = Pair, split: str = "val"):
    return open_split(reads, recognise(folder).splits[split], View(SIZE, train=False))


def test_the_right_answer_is_perfect_and_the_copy_is_not(pairs: Path) -> None:
    subject = Subject({"a2b": Way(mirrored), "b2a": Way(lambda x: x, back=True)}, {})  # b is the negative of a
    samples = pairs_of(pairs)
    metrics = chosen(["l1_rgb", "psnr_rgb"], subject, samples, SIZE, 3)
    values = measure(subject, samples, metrics, Setting(), 3)
    assert values["l1_rgb_a2b"] < 0.005 < 0.1 < values["l1_rgb_b2a"]
    assert values["l1_rgb_b2a"] == values["l1_rgb_b2a_input"] == values["l1_rgb_a2b_input"]
    first = metrics["l1_rgb"]
    assert subject.score(values, first) == pytest.approx((values["l1_rgb_a2b"] + values["l1_rgb_b2a"]) / 2)
    assert subject.score({}, first) is None


def test_label_maps_are_measured_where_they_are_made(pairs: Path) -> None:
    subject = Subject({"a2b": Way(mirrored), "b2a": Way(mirrored, back=True, maps=True)}, {})
    samples = pairs_of(pairs)
    metrics = chosen([], subject, samples, SIZE, 3)
    assert list(metrics) == ["psnr_rgb", "ssim_rgb", "label_accuracy"]
    palette = torch.tensor([[0, 0, 0], [255, 255, 255]], dtype=torch.float64)
    values = measure(subject, samples, metrics, Setting(palette=palette), 3)
    assert values["label_pixel_accuracy_b2a"] > 0.95 > values["label_pixel_accuracy_b2a_input"]
    assert not any(key.startswith("label") and "a2b" in key for key in values)


def test_each_picture_of_unpaired_sides_counts_once(domains: Path) -> None:
    seen: list[Tensor] = []

    def look(levels: Tensor) -> Tensor:
        seen.append(levels)
        return levels.mean((2, 3))

    from i2i.metrics import fid
    from i2i.metrics import seen as through

    metric = through(lambda device: Features(look), fid.fd("mean"), (), "fd_mean")
    samples = pairs_of(domains, Unpaired, "test")  # 3 and 2
    subject = Subject({"a2b": Way(mirrored), "b2a": Way(mirrored, back=True)}, {})
    values = measure(subject, samples, {"fd_mean": metric}, Setting(), 100)
    # outputs 3, targets 2 and copies 3 of one way; outputs 2, targets 3 and copies 2 of the other
    assert len(seen) <= 15
    assert set(values) == {"fd_mean_a2b", "fd_mean_a2b_input", "fd_mean_b2a", "fd_mean_b2a_input"}
    a, b = (torch.cat([samples_side(samples, side, i) for i in range(n)]) for side, n in (("a", 3), ("b", 2)))
    expected = fid.frechet((255 - a).mean((2, 3)), b.mean((2, 3)))
    assert values["fd_mean_a2b"] == pytest.approx(expected, rel=1e-3)
    assert values["fd_mean_a2b_input"] == pytest.approx(fid.frechet(a.mean((2, 3)), b.mean((2, 3))), rel=1e-3)


def samples_side(samples, side: str, i: int) -> Tensor:
    return torch.from_numpy(getattr(samples, side)[i].copy()).permute(2, 0, 1)[None].float()


def test_measuring_leaves_the_random_numbers_alone(pairs: Path) -> None:
    noisy = Subject({"a2b": Way(lambda x: x + 0.1 * torch.randn(x.shape))}, {})
    samples = pairs_of(pairs)
    metrics = chosen(["l1_rgb"], noisy, samples, SIZE, 3)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two = (measure(noisy, samples, metrics, Setting(), 3) for _ in range(2))
    assert one == two
    assert torch.equal(torch.get_rng_state(), before)


def test_a_picture_that_does_not_fit_is_padded_as_in_translate() -> None:
    seen = []

    def double(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)

    x = torch.rand(1, 3, 13, 18)
    y = fitted(double, 8, 2)(x)
    assert seen == [(1, 3, 16, 24)]
    torch.testing.assert_close(y, double(x))


def test_small_pictures_are_measured_by_what_they_allow(pairs: Path) -> None:
    subject = Subject({"a2b": Way(mirrored)}, {})
    samples = pairs_of(pairs)
    assert list(chosen([], subject, samples, (8, 40), 3)) == ["psnr_rgb"]
    assert list(chosen([], subject, samples, (11, 11), 3)) == ["psnr_rgb", "ssim_rgb"]
    with pytest.raises(UsageError, match="ssim_rgb needs 11 pixels a side or more, the smallest picture has 8"):
        chosen(["ssim_rgb"], subject, samples, (8, 40), 3)


def test_two_metrics_that_would_share_a_number_are_refused(pairs: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        for name in ("net.onnx", "other.onnx", "effnet.onnx"):
            (tmp_path / folder / name).touch()
    a, b = f"fd:{tmp_path}/a/net.onnx", f"fd:{tmp_path}/b/net.onnx"
    effnet = f"fd:{tmp_path}/a/effnet.onnx"
    subject, samples = Subject({"a2b": Way(mirrored)}, {}), pairs_of(pairs)
    for first, second, key in ((a, b, "fd_net"), ("fd_effnet", effnet, "fd_effnet")):
        with pytest.raises(UsageError, match=f"^{first} and {second} both measure {key}, named after the file: rename"):
            chosen([first, "l1_rgb", second], subject, samples, SIZE, 3)
    one_each = [a, f"fd:{tmp_path}/b/other.onnx", "fd_effnet"]
    assert list(chosen([*one_each, a], subject, samples, SIZE, 3)) == one_each


def test_a_translation_that_no_metric_asks_for_is_not_made(digits: Path) -> None:
    def never(x: Tensor) -> Tensor:
        raise AssertionError

    samples = pairs_of(digits, Labelled, "test")
    subject = Subject({"a2b": Way(never)}, {"classifier": lambda x: torch.eye(3)[torch.zeros(len(x), dtype=int)]})
    metrics = chosen([], subject, samples, SIZE, 9)
    assert measure(subject, samples, metrics, Setting(), 9) == {"accuracy": 1 / 3}
    assert measure(subject, samples, metrics, Setting(), 5) == {"accuracy": 2 / 5}


def test_better() -> None:
    assert better("psnr_rgb", 21.0, 20.0)
    assert not better("psnr_rgb", 20.0, 20.0)
    assert better("fd_effnet", 19.0, 20.0)
    assert not better("fd_effnet", 21.0, 20.0)
    assert better("l1_rgb", 3.0, None)
    assert not better("l1_rgb", None, None)
    assert not better("l1_rgb", float("nan"), 3.0)


# ---------------------------------------------------------------- in training


def test_the_best_is_by_the_first_metric_in_its_direction(pairs: Path, tmp_path: Path) -> None:
    watch = {"save_images": 2, "eval_images": 2, "metrics": ["l1_rgb", "psnr_rgb"]}
    blocks = {"train": {"optimizer": {"lr": 5e-3}}}
    run = train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=10, watch=watch, **blocks))
    found = evals(run)
    assert set(found[0]) >= {"l1_rgb", "l1_rgb_input", "psnr_rgb", "psnr_rgb_input"}
    assert "ssim_rgb" not in found[0]
    best = min(found, key=lambda e: e["l1_rgb"])
    assert best["l1_rgb"] < max(e["l1_rgb"] for e in found)
    assert (read_info(run / "best").images, read_info(run / "best").metrics["l1_rgb"]) == (
        best["images"], best["l1_rgb"],
    )  # fmt: skip


def test_another_first_metric_starts_the_best_anew(pairs: Path, tmp_path: Path) -> None:
    watch = {"save_images": 2, "eval_images": 2, "metrics": ["psnr_rgb"]}
    run = train_small(tmp_path / "run", small_recipe("pix2pix", pairs, images=2, watch=watch))
    training.resume(run, "train.images=4", "watch.metrics=[l1_rgb]", quiet=True)
    assert read_info(run / "best").images == 4
    assert set(read_info(run / "best").metrics) == {"l1_rgb", "l1_rgb_input"}


@pytest.mark.parametrize(
    ("fixture", "metrics", "said"),
    [
        ("pairs", ["psnr"], "watch.metrics: no metric 'psnr'; did you mean 'psnr_rgb'?"),
        ("pairs", ["label_accuracy"], "watch.metrics: label_accuracy does not fit: it reads label maps"),
        ("domains", ["ssim_rgb"], "watch.metrics: ssim_rgb does not fit: it compares outputs with their targets"),
    ],
)
def test_a_metric_that_does_not_fit_is_told_before_training(
    fixture: str, metrics: list[str], said: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(fixture)
    name = {"pairs": "pix2pix", "domains": "cyclegan"}[fixture]
    small_recipe(name, folder, images=4, watch={"eval_images": 2}).write(tmp_path / "recipe.yaml")
    override = f"watch.metrics=[{', '.join(metrics)}]"
    with pytest.raises(RecipeError) as e:
        training.train(str(tmp_path / "recipe.yaml"), override, out=tmp_path / "run", quiet=True)
    assert said in str(e.value)
    assert not (tmp_path / "run/checkpoints").exists()


def test_nothing_held_out_and_a_metric_asked_for(pairs: Path, tmp_path: Path) -> None:
    (pairs / "val").rename(tmp_path / "elsewhere")
    wanted = small_recipe("pix2pix", pairs, watch={"eval_images": 2, "metrics": ["psnr_rgb"]})
    with pytest.raises(RecipeError, match=r"watch\.metrics: all pictures are in the split train, which is trained on"):
        train_small(tmp_path / "run", wanted)


def test_unpaired_training_is_measured_by_sets_if_asked(domains: Path, tmp_path: Path) -> None:
    from test_metrics import network

    network(tmp_path / "mean.onnx")
    watch = {"eval_images": 2, "save_images": 2, "metrics": [f"fd:{tmp_path / 'mean.onnx'}"]}
    run = train_small(tmp_path / "run", small_recipe("cyclegan", domains, images=4, watch=watch))
    found = evals(run)
    assert [e["images"] for e in found] == [2, 4]
    assert set(found[0]) >= {"fd_mean_a2b", "fd_mean_b2a", "fd_mean_a2b_input", "fd_mean_b2a_input"}
    best = min(found, key=lambda e: e["fd_mean_a2b"] + e["fd_mean_b2a"])
    assert read_info(run / "best").images == best["images"]
    asked = evaluate(run, metrics=[f"fd:{tmp_path / 'mean.onnx'}"])
    numbers(found[-1], asked)
    (how,) = asked["measured_by"].values()
    assert how["n"] == {"a": 3, "b": 2}
    assert how["backend"].startswith("mean.onnx, sha256 ")


def test_label_accuracy_of_the_drawn_data_set(tmp_path: Path) -> None:
    """The palette comes from the card, also for a folder that was prepared from it."""
    from i2i.data import shapes

    root = card.prepared("shapes")
    shapes.make(root, size=32, train=2, val=2, test=1)
    (root / "card.json").write_text(json.dumps({"format": 1, "card": "shapes"}))
    blocks = {"data": {"direction": "b2a"}, "watch": {"eval_images": 2, "save_images": 2}}
    run = train_small(tmp_path / "run", small_recipe("pix2pix", "shapes", images=2, **blocks))
    (record,) = evals(run)
    assert set(record) >= {"psnr_rgb", "ssim_rgb", "label_pixel_accuracy", "label_class_accuracy", "label_iou"}
    found = evaluate(run)
    numbers(record, found)
    there = evaluate(run, metrics=["label_accuracy"], split="test")
    assert (there["split"], there["n"], len(there["metrics"])) == ("test", 1, 6)
    back = {"watch": blocks["watch"]}
    forward = train_small(tmp_path / "forward", small_recipe("pix2pix", "shapes", images=2, **back))
    assert "label_iou" not in evals(forward)[0]

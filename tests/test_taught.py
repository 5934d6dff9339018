"""The classifier that i2i teaches for measuring, and what is measured through it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from i2i import folder, paths
from i2i.drawing import Draws
from i2i.errors import DataError
from i2i.latents import Latent
from i2i.metrics import METRICS, Labels, Setting, taught
from i2i.metrics.accuracy import AskedAccuracy
from i2i.metrics.fid import frechet


def bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Gray pictures of three classes: uint8 [N, 28, 28], int64 [N]; a bright bar at the height of its class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = rng.integers(0, 90, (count, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        left = rng.integers(0, 8)
        image[4 + 7 * label : 9 + 7 * label, left : left + 18] = 250
    return images, labels


def written(root: Path, train: int) -> Labels:
    files = []
    for split, (images, numbers) in {"train": bars(train, 0), "test": bars(60, 1)}.items():
        files.append((root / f"{split}-images.npy", root / f"{split}-labels.npy"))
        for file, array in zip(files[-1], (images, numbers), strict=True):
            np.save(file, array)
    return Labels("bars", *files)


@pytest.fixture(scope="module")
def taught_before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Labels, Path]:
    """Pictures, and the classifier that has learned them."""
    root = tmp_path_factory.mktemp("bars")
    labels = written(root, 600)
    taught.teach(labels, root / "classifier")
    return labels, root / "classifier"


@pytest.fixture
def labels(taught_before: tuple[Labels, Path]) -> Labels:
    """Pictures whose classifier is in the cache."""
    labels, path = taught_before
    shutil.copytree(path, taught.Digits(labels).folder())
    return labels


def as_pictures(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images)[:, None].float() / 127.5 - 1


def test_a_classifier_learns_and_is_an_ordinary_model_folder(labels: Labels) -> None:
    path = taught.Digits(labels).folder()
    assert path.parent == paths.cache() / "classifiers"
    info = folder.read_info(path)
    assert info.metrics["accuracy"] > 0.95
    assert info.classifiers["digits"]["inputs"] == 1
    assert (info.images, info.size, info.dataset, info.default) == (3 * 600, (32, 32), "bars", "")
    net = taught.Digits(labels)("cpu")
    answers = net.logits(as_pictures(bars(60, 1)[0])).argmax(1).numpy()
    assert (answers == bars(60, 1)[1]).mean() == pytest.approx(info.metrics["accuracy"])
    assert net.about.startswith(f"classifier of bars, test accuracy {info.metrics['accuracy']:.4f}, weights sha256 ")


def test_it_is_taught_once_and_always_the_same(tmp_path: Path) -> None:
    labels, said = written(tmp_path, 200), []
    before = torch.random.get_rng_state()
    loads = taught.Digits(labels, said.append)
    loads("cpu")
    assert torch.equal(before, torch.random.get_rng_state())
    assert said == ["teaching the classifier that measures bars: once, about a minute"]
    weights = (loads.folder() / folder.TENSORS).read_bytes()
    taught.Digits(labels, said.append)("cpu")
    assert len(said) == 1
    taught.teach(labels, tmp_path / "again")
    assert (tmp_path / "again" / folder.TENSORS).read_bytes() == weights
    images, _ = bars(200, 7)
    np.save(labels.train[0], images)
    assert not taught.Digits(labels).folder().exists(), "other pictures have a classifier of their own"


def test_pictures_are_seen_at_32_pixels_in_the_channels_that_were_learned() -> None:
    levels = torch.tensor([100.0, 50.0, 200.0])[None, :, None, None].expand(1, 3, 28, 28)
    seen = taught.fitted(levels, 1)
    luma = 0.299 * 100 + 0.587 * 50 + 0.114 * 200
    torch.testing.assert_close(seen, torch.full((1, 1, 32, 32), luma / 127.5 - 1))
    assert taught.fitted(levels, 3).shape == (1, 3, 32, 32)
    same = torch.rand(2, 1, 32, 32) * 255
    torch.testing.assert_close(taught.fitted(same, 1), same / 127.5 - 1)


def test_what_is_measured_through_it(labels: Labels) -> None:
    setting = Setting(labels=labels)
    net = setting.network(taught.digits(setting))
    near, far = as_pictures(bars(90, 3)[0]), as_pictures(np.full((90, 28, 28), 128, np.uint8)) + 0.1
    held_out = as_pictures(bars(90, 2)[0])
    values = {}
    for name, drawn in {"near": near, "far": far}.items():
        meters = [METRICS[metric].new(setting) for metric in ("fd_digits", "prdc_digits")]
        for meter in meters:
            meter.update(drawn, held_out[:0])
            meter.update(drawn[:0], held_out)
        values[name] = meters[0].compute() | meters[1].compute()
    assert list(values["near"]) == [*METRICS["fd_digits"].keys, *METRICS["prdc_digits"].keys]
    assert values["near"]["fd_digits"] == pytest.approx(frechet(net(near), net(held_out)))
    assert values["near"]["fd_digits"] < values["far"]["fd_digits"] / 10
    assert values["near"]["precision_digits"] > 0.5 > values["far"]["precision_digits"]
    assert METRICS["fd_digits"].measured_by(setting) == net.about


def test_the_share_of_pictures_that_are_what_was_asked_for(labels: Labels) -> None:
    setting = Setting(labels=labels)
    meter = METRICS["accuracy_asked_digits"].new(setting)
    assert isinstance(meter, AskedAccuracy)
    images, numbers = bars(60, 1)
    asked = torch.from_numpy(numbers.copy())
    asked[:15] = (asked[:15] + 1) % 3
    meter.update(as_pictures(images[:30]), asked[:30])
    meter.update(as_pictures(images[30:]), asked[30:])
    right = meter.network.logits(as_pictures(images)).argmax(1) == asked
    assert meter.compute() == {"accuracy_asked_digits": pytest.approx(right.float().mean().item())}
    assert 0.7 < meter.compute()["accuracy_asked_digits"] < 0.8


def test_without_labels_nothing_is_learned(tmp_path: Path) -> None:
    labels = written(tmp_path, 12)
    with pytest.raises(DataError, match=r"learn a classifier from labelled pictures .* and this data set has none"):
        METRICS["fd_digits"].new(Setting())
    np.save(labels.train[1], np.full(12, -1))
    with pytest.raises(DataError, match=r"train-labels\.npy: no picture has a label"):
        METRICS["fd_digits"].new(Setting(labels=labels))


@pytest.mark.parametrize("classes", [0, 3])
def test_the_same_pictures_are_drawn_every_time(classes: int) -> None:
    given: list[tuple[Tensor, ...]] = []

    def net(*inputs: Tensor) -> Tensor:
        given.append(inputs)
        return inputs[0][:, :1, None, None].expand(-1, 1, 8, 8)

    latent = Latent(noise=5)
    draws = Draws(net, latent, classes)
    batches = [list(draws.pictures(150, torch.device("cpu"))) for _ in range(2)]
    assert [len(x) for x, _ in batches[0]] == [64, 64, 22]
    for (x, asked), (y, again) in zip(*batches, strict=True):
        assert torch.equal(x, y)
        assert torch.equal(asked, again)
    first = torch.from_numpy(latent.draw(64, np.random.default_rng(0)))
    assert torch.equal(given[0][0], first)
    every = torch.cat([asked for _, asked in batches[0]])
    if classes:
        assert [inputs[1].shape for inputs in given[:3]] == [(64,), (64,), (22,)]
        assert every.bincount().tolist() == [50, 50, 50]
    else:
        assert {len(inputs) for inputs in given} == {1}
        assert not every.any()

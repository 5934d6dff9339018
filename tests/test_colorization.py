"""Colorization: pictures of one domain are pairs with their gray versions; the network paints colors, not lightness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import picture
from kornia.color import rgb_to_lab
from small import small_config, small_recipe, train_small

import i2i
from i2i import nets
from i2i.data.batches import Pair, Unpaired, loader, open_split
from i2i.data.layouts import recognise
from i2i.data.transforms import View
from i2i.errors import DataError, ModelError, RecipeError
from i2i.exporting import export

COLOR = {"net": "lab_unet", "depth": 5, "width": 4}


def test_pairs_are_pictures_with_their_gray_versions(pictures: Path) -> None:
    split = recognise(pictures).splits["train"]
    view = View(size=(16, 16), load=(20, 20), channels=(1, 3))
    batch = next(loader(open_split(Pair, split, view), batch=4))
    assert (batch.a.shape, batch.b.shape) == ((4, 1, 16, 16), (4, 3, 16, 16))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]  # ITU-R 601: the same crop and flip as b
    torch.testing.assert_close(batch.a[:, 0], (batch.b * weights).sum(1), atol=1.1 / 127.5, rtol=0)
    cached = next(loader(open_split(Pair, split, view, cache_bytes=10**6), batch=4))
    assert all(torch.equal(x, y) for x, y in zip(batch, cached, strict=True))


def test_other_channels_still_need_pairs(pictures: Path) -> None:
    split = recognise(pictures).splits["train"]
    for reads, channels in ((Pair, (3, 3)), (Unpaired, (1, 3))):
        with pytest.raises(DataError, match=r" needs .*, but .* holds pictures of one domain: "):
            open_split(reads, split, View(size=(16, 16), channels=channels))
    with pytest.raises(DataError, match=r"or color gray versions of them with data\.channels=\[1, 3\]$"):
        open_split(Pair, split, View(size=(16, 16)))


def test_lightness_is_that_of_the_input_where_the_color_can_be_shown() -> None:
    torch.manual_seed(0)
    net = nets.build(nets.LabUNetConfig(depth=5, width=4)).eval()
    nets.initialise(net, gain=0.02)  # faint colors, none of them outside of what a screen can show
    gray = torch.rand(2, 1, 32, 64) - 0.5
    with torch.no_grad():
        color = net(gray)
    assert color.shape == (2, 3, 32, 64)
    given = rgb_to_lab((gray.expand(-1, 3, -1, -1) + 1) / 2)
    found = rgb_to_lab((color + 1) / 2)
    torch.testing.assert_close(found[:, 0], given[:, 0], atol=0.05, rtol=0)  # of 100
    assert found[:, 1:].abs().mean() > 0.01
    with pytest.raises(ModelError, match=r"^this Lab U-Net \(depth 5\) takes a batch \[N, 1, height, width\]"):
        net(torch.zeros(1, 3, 32, 32))


def test_a_constant_color_by_hand() -> None:
    """With a* = b* = 0 the output is the gray input."""
    net = nets.build(nets.LabUNetConfig(depth=5, width=4)).eval()
    for weight in net.parameters():
        weight.data.zero_()
    gray = torch.rand(1, 1, 32, 32) * 2 - 1
    torch.testing.assert_close(net(gray), gray.expand(-1, 3, -1, -1), atol=1e-3, rtol=0)


def test_it_trains_is_measured_translates_and_is_exported(pictures: Path, tmp_path: Path) -> None:
    method = {**small_config("pix2pix"), "generator": COLOR, "inference": {"norm": "image", "dropout": False}}
    blocks = {"data": {"channels": [1, 3]}, "watch": {"eval_images": 4}}
    wanted = small_recipe("pix2pix", pictures, images=4, method=method, **blocks)
    run = train_small(tmp_path / "run", wanted)
    assert '"psnr_rgb"' in (run / "log.jsonl").read_text()
    photo = picture(3, size=40).convert("L")
    colored = i2i.load(run)(photo)
    assert (colored.mode, colored.size) == ("RGB", (40, 40))
    again = i2i.load(run)(picture(3, size=40))  # its colors are not looked at
    assert np.array_equal(np.asarray(again), np.asarray(colored))
    exported = np.asarray(i2i.load(export(run, tmp_path / "onnx"))(photo)).astype(int)
    assert np.abs(exported - np.asarray(colored)).max() <= 1


def test_it_needs_gray_input(pictures: Path) -> None:
    method = {**small_config("pix2pix"), "generator": COLOR}
    with pytest.raises((RecipeError, DataError), match=r"data\.channels|channels=\[1, 3\]"):
        train_small(pictures.parent / "run", small_recipe("pix2pix", pictures, method=method))

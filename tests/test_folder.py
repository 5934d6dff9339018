"""A trained-model folder: what is written comes back, is replaced as a whole, and damage is named."""

from __future__ import annotations

import json
import sys
import threading

import numpy as np
import pytest
import torch
from models_for_tests import make_model
from safetensors.numpy import load_file

from i2i import __version__, folder, nets
from i2i.errors import ModelError
from i2i.latents import Latent

INFERENCE = folder.Inference(norm="running", dropout=False)


def info(**changes) -> folder.Info:
    product = folder.Product(source="label", target="photo", generator={"net": "unet"}, multiple=8)
    facts = {
        "name": "m", "method": "pix2pix", "dataset": "facades", "size": (64, 48), "images": 1234,
        "products": {"a2b": product}, "default": "a2b", "inference": INFERENCE,
    }  # fmt: skip
    return folder.Info(**{**facts, **changes})


def test_what_is_written_comes_back(tmp_path):
    written = info(metrics={"psnr_rgb": 17.25}, licence="CC BY 4.0")
    folder.write(tmp_path / "m", written, {"a2b": {"w": np.arange(6, dtype=np.float32).reshape(2, 3)}})
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["README.md", "i2i.json", "model.safetensors"]
    assert folder.read_info(tmp_path / "m") == written
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]  # nothing is left beside it
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    assert list(tensors) == ["a2b/w"]
    assert np.array_equal(tensors["a2b/w"], [[0, 1, 2], [3, 4, 5]])


def test_tensors_that_safetensors_would_refuse(tmp_path):
    """Weights in channels_last, one tensor in two products, a view, and a parameter that still has its graph."""
    weight = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    state = {"w": weight, "view": weight[1], "p": torch.nn.Parameter(torch.ones(2))}
    both = {"a2b": info().products["a2b"], "b2a": info().products["a2b"]}
    folder.write(tmp_path / "m", info(products=both), {"a2b": state, "b2a": state})
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    assert len(tensors) == 6
    assert np.array_equal(tensors["b2a/w"], weight.numpy())
    assert np.array_equal(tensors["a2b/view"], weight[1].numpy())


def test_a_model_is_replaced_and_a_link_to_it_stays_a_link(tmp_path):
    make_model(tmp_path / "m", seed=1)
    (tmp_path / "link").symlink_to(tmp_path / "m", target_is_directory=True)
    make_model(tmp_path / "link", images=7)
    assert (tmp_path / "link").is_symlink()
    assert folder.read_info(tmp_path / "m").images == 7
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "m"]


def test_replacing_works_where_folders_cannot_be_exchanged(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "_exchange", lambda a, b: False)
    make_model(tmp_path / "m")
    make_model(tmp_path / "m", images=7)
    assert folder.read_info(tmp_path / "m").images == 7
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]


def test_a_failed_write_leaves_the_old_model(tmp_path, monkeypatch):
    make_model(tmp_path / "m")

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folder, "_to_disk", full)
    with pytest.raises(OSError, match="No space left"):
        make_model(tmp_path / "m", images=7)
    assert folder.read_info(tmp_path / "m").images == 2000
    assert list(tmp_path.iterdir()) == [tmp_path / "m"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems may not exchange folders in one step")
def test_a_reader_never_finds_half_a_model(tmp_path):
    """Somebody replaces the model all the time; every look at it finds a complete one."""
    tensors = {"a2b": {"w": np.zeros(4, np.float32)}}
    folder.write(tmp_path / "m", info(images=0), tensors)

    def replace():
        for i in range(60):
            folder.write(tmp_path / "m", info(images=i), tensors)

    writer = threading.Thread(target=replace)
    writer.start()
    seen = set()
    while writer.is_alive():
        seen.add(folder.read_info(tmp_path / "m").images)
        assert (tmp_path / "m" / "model.safetensors").is_file()
    writer.join()
    assert len(seen) > 3


def test_what_a_killed_write_left_behind_is_no_hindrance(tmp_path):
    (tmp_path / ".m.new").mkdir()
    (tmp_path / ".m.new" / "junk").write_text("x")
    make_model(tmp_path / "m")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == ["README.md", "i2i.json", "model.safetensors"]


def test_a_folder_of_other_things_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.md").write_text("years of work")
    with pytest.raises(ModelError) as e:
        make_model(tmp_path / "thesis")
    assert str(e.value) == (
        f"{tmp_path / 'thesis'}: exists and is not a model folder: choose another place, nothing was written"
    )
    assert (tmp_path / "thesis" / "text.md").read_text() == "years of work"
    (tmp_path / "empty").mkdir()
    make_model(tmp_path / "empty")
    assert folder.is_model(tmp_path / "empty")


def test_products_and_tensors_must_belong_together(tmp_path):
    with pytest.raises(ModelError, match=r"products \['a2b'\] do not fit tensors for \['b2a'\]"):
        folder.write(tmp_path / "m", info(), {"b2a": {}})
    with pytest.raises(ModelError, match=r"default 'b2a' is none of the products \['a2b'\]"):
        folder.write(tmp_path / "m", info(default="b2a"), {"a2b": {}})
    assert not (tmp_path / "m").exists()


def test_not_a_model(tmp_path):
    with pytest.raises(ModelError) as e:
        folder.read_info(tmp_path)
    assert str(e.value) == f"{tmp_path}: not a model folder (i2i.json is missing)"


def damaged(tmp_path, change) -> str:
    make_model(tmp_path / "m")
    path = tmp_path / "m" / "i2i.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(ModelError) as e:
        folder.read_info(tmp_path / "m")
    return str(e.value).replace(str(path), "i2i.json")


def changed(**facts):
    return lambda text: json.dumps({**json.loads(text), **facts})


def product(**facts):
    def change(text):
        tree = json.loads(text)
        tree["products"]["a2b"].update(facts)
        return json.dumps(tree)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[: t.index("images") - 1], "i2i.json:11: damaged: not valid JSON"),
        (lambda t: "[]", "i2i.json: damaged: it says no format number"),
        (changed(metod="x"), "i2i.json: metod: unknown key; did you mean 'method'?"),
        (changed(images="many"), "i2i.json: images: input should be a valid integer"),
        (product(multiple=0), "i2i.json: products.a2b.multiple: input should be greater than or equal to 1, not 0"),
        (product(multiple=100_000), "i2i.json: products.a2b.multiple: input should be less than or equal to 4096"),
        (product(scale=0), "i2i.json: products.a2b.scale: input should be greater than or equal to 1"),
        (product(scale=17), "i2i.json: products.a2b.scale: input should be less than or equal to 16"),
        (product(channels=[3, 4]), "i2i.json: products.a2b.channels: pictures have 1 or 3 channels, not 3 and 4"),
        (changed(default="b2a"), "i2i.json: default: 'b2a' is none of its products (a2b)"),
    ],
)
def test_a_damaged_description_is_named(tmp_path, change, message):
    assert damaged(tmp_path, change).startswith(message)


def test_the_files_that_hold_its_numbers():
    named = info(classifiers={"C": {"net": "digits"}})
    assert named.files == ["model.safetensors"]
    sampler = folder.Sampler(generator={}, latent=Latent(noise=1), size=(8, 8), file="model.onnx")
    export = folder.Export(
        target="onnx", opset=18, precision="fp32", tolerance=0, sizes=(), batches=(), noise_removed=False, proofs={},
        torch="",
    )  # fmt: skip
    drawn = named.model_copy(update={"products": {}, "sampler": sampler})
    assert drawn.files == ["model.onnx", "model.safetensors"]
    assert drawn.model_copy(update={"export": export}).files == ["model.onnx"]


def test_a_newer_format_asks_for_a_newer_i2i(tmp_path):
    assert damaged(tmp_path, changed(format=9, i2i="7.1", novelty=True)) == (
        f"i2i.json: format 9 was written by a newer i2i (7.1); this is {__version__}: pip install -U i2i-toolkit"
    )


def test_the_model_card_tells_how_to_use_it_and_how_it_behaves(tmp_path):
    make_model(tmp_path / "m", nets.UNetConfig(depth=3, width=4), both=True, dropout=True, metrics={"psnr_rgb": 17.254})
    text = (tmp_path / "m" / "README.md").read_text()
    for words in (
        "label -> photo (`a2b`) and photo -> label (`b2a`)",
        "i2i translate picture.jpg --model path/to/this/folder",
        'i2i.load("path/to/this/folder", direction="a2b")',
        "a multiple of 8",
        "statistics of the very picture",
        "drawn from seed 0",
        "| psnr_rgb | 17.25 |",
        "Not stated.",
    ):
        assert words in text
    assert "17.25" not in folder.card(info())
    assert "nothing is random" in folder.card(info())
    assert "- Pictures seen: 1,234, in 1.5 hours" in folder.card(info(seconds=5400.0))
    assert "- Pictures seen: 1,234\n" in folder.card(info())

"""Models on the Hugging Face Hub, against a stand-in: what is pushed comes back, and nothing else does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from exports_for_tests import make_exported
from hub_for_tests import TOKEN, Hub
from models_for_tests import make_model, make_sampler
from PIL import Image

import i2i as package
from i2i import folder, hub, hub_card, models, paths
from i2i.errors import FetchError, MissingExtra, ModelError, UsageError

HERE = "hf://me/houses"


@pytest.fixture
def site(monkeypatch, tmp_path):
    """The stand-in, a user who is logged in, and places of huggingface_hub that are the test's own."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # a protocol that it does not speak
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_STORED_TOKENS_PATH", str(tmp_path / "tokens"))
    monkeypatch.setattr("huggingface_hub.constants.DEFAULT_REQUEST_TIMEOUT", 5, raising=False)
    made = Hub()
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield made
    made.close()


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """A run with a model in it."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "runs" / "mine"
    make_model(path / "model", name="mine", metrics={"fid": 61.25}, licence="CC BY 4.0", both=True)
    (path / "recipe.yaml").write_text(
        "# resolved\nmethod: {name: pix2pix, l1: 100.0}\ndata: {dataset: /home/me/secret/facades, split: train/a}\n"
    )
    (path / "sheets").mkdir()
    for name, shade in (("00000100", 10), ("00002000", 200)):
        Image.new("RGB", (8, 8), (shade, 0, 0)).save(path / "sheets" / f"{name}.png")
    return path


def pushed(site: Hub, run: Path) -> dict[str, bytes]:
    hub.push(run / "model", hub.parse(HERE))
    return site.repos["me/houses"]["main"]


def test_what_is_pushed_comes_back_and_answers_the_same(site, run, i2i):
    said = i2i("models", "push", run, HERE)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith(f"{HERE} is there: {site.url}/me/houses/commit/")
    names = {"i2i.json", "model.safetensors", "README.md", "recipe.yaml", "samples.png"}
    assert set(site.repos["me/houses"]["main"]) == names
    said = i2i("models", "pull", HERE)
    place = paths.models() / "me--houses"
    assert said == (0, f"{HERE} is ready: {place}\ni2i translate PICTURES --model {HERE}\n", "")
    assert {p.name for p in place.iterdir()} == names
    assert folder.read_info(place) == folder.read_info(run / "model")
    picture = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    for direction in ("a2b", "b2a"):
        same = [package.load(what, direction, device="cpu")(picture) for what in (str(run), HERE, "me--houses")]
        np.testing.assert_array_equal(same[0], same[1])
        np.testing.assert_array_equal(same[0], same[2])
    assert [row.name for row in models.listing() if row.folder == place] == ["me--houses"]


def test_a_first_use_pulls_and_later_ones_ask_nobody(site, run, i2i, monkeypatch):
    pushed(site, run)
    Image.new("RGB", (16, 16), "red").save("x.png")
    assert i2i("models", "show", HERE).err == f"error: {HERE}: not on this machine yet: i2i models pull {HERE}\n"
    said = i2i("translate", "x.png", "--model", HERE, "--out", "y.png", "--device", "cpu")
    assert said == (0, "translated 1 of 1: y.png\n", "")
    site.status = 500
    said = i2i("translate", "x.png", "--model", HERE, "--out", "z.png", "--device", "cpu")
    assert said.code == 0
    assert "folder" in i2i("models", "show", HERE).out


def test_the_card_says_what_the_hub_reads_and_what_people_do(site, run):
    text = pushed(site, run)["README.md"].decode()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "license": "cc-by-4.0",
        "library_name": "i2i",
        "pipeline_tag": "image-to-image",
        "tags": ["image-to-image", "i2i", "pix2pix"],
        "datasets": ["facades"],
        "metrics": ["fid"],
    }
    assert "# mine" in body and "path/to/this/folder" not in body  # noqa: PT018
    for line in (
        f"i2i translate picture.jpg --model {HERE}", f'translate = i2i.load("{HERE}", direction="a2b")',
        "pip install 'i2i-toolkit[train,hub]'", "![samples](samples.png)", "| fid | 61.25 |", "CC BY 4.0",
        "`i2i train recipe.yaml`, with the file of this repository, trains such a model again.",
    ):  # fmt: skip
        assert line in body.splitlines()
    order = [line for line in body.splitlines() if line.startswith("## ")]
    assert order == ["## Use", "## Samples", "## Training", "## Measured", "## Licence"]


def test_a_recipe_and_a_sheet_come_along_without_folders_of_this_machine(site, run):
    files = pushed(site, run)
    recipe = yaml.safe_load(files["recipe.yaml"])
    assert recipe == {"method": {"name": "pix2pix", "l1": 100.0}, "data": {"dataset": "facades", "split": "train/a"}}
    assert files["samples.png"] == (run / "sheets" / "00002000.png").read_bytes()
    assert b"/home/me" not in b"".join(files.values())
    assert hub_card._without_paths(["~/x/y", "C:\\a\\b", "../c", "a/b", 3]) == ["y", "b", "c", "a/b", 3]


def test_an_exported_model_and_one_without_a_run(site, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_exported(Path("shipped"))
    hub.push(Path("shipped"), hub.parse("hf://me/onnx"), licence="MIT")
    files = site.repos["me/onnx"]["main"]
    assert set(files) == {"i2i.json", "model.onnx", "README.md"}
    card = files["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["license"], front["tags"][-1]) == ("mit", "onnx")
    assert "datasets" not in front
    assert "pip install 'i2i-toolkit[hub]'" in card and "recipe.yaml" not in card  # noqa: PT018
    picture = np.zeros((8, 8, 3), np.uint8)
    np.testing.assert_array_equal(package.load("hf://me/onnx")(picture), package.load("shipped")(picture))
    assert folder.read_info(paths.models() / "me--onnx").licence == "MIT"


def test_what_draws_pictures_comes_back_too(site, tmp_path, monkeypatch, i2i):
    make_sampler(tmp_path / "m")
    said = i2i("models", "push", "m", HERE)
    assert (said.code, said.err) == (0, "")
    files = site.repos["me/houses"]["main"]
    assert set(files) == {"i2i.json", "model.safetensors", "README.md"}
    card = files["README.md"].decode()
    assert yaml.safe_load(card.split("---\n")[1])["pipeline_tag"] == "unconditional-image-generation"
    assert f"i2i generate -n 64 --seed 0 --sheet --model {HERE}" in card
    assert f'draw = i2i.load("{HERE}")' in card
    said = i2i("models", "pull", HERE)
    assert said.out.endswith(f"i2i generate -n 64 --sheet --model {HERE}\n")
    ours, theirs = package.load("m", device="cpu")(2), package.load(HERE, device="cpu")(2)
    assert [p.tobytes() for p in ours] == [p.tobytes() for p in theirs]


def test_licences_have_the_names_of_the_hub():
    names = {"MIT": "mit", "CC BY-NC 4.0": "cc-by-nc-4.0", "": "unknown", "research use (ImageNet terms)": "other"}
    assert {text: hub_card.licence(text) for text in names} == names


def test_only_what_a_model_needs_is_fetched(site, run):
    files = pushed(site, run)
    extra = {"pytorch_model.bin": b"x", "evil.pkl": b"x", "deep/er.png": b"x", ".hidden.png": b"x", "run.py": b"x",
             "other.safetensors": b"x", "more.jpg": b"x"}  # fmt: skip
    site.put("me/houses", {**files, **extra})
    place = hub.pull(hub.parse(HERE))
    fetched = {"i2i.json", "model.safetensors", "README.md", "recipe.yaml", "samples.png", "more.jpg"}
    assert {p.name for p in place.rglob("*")} == fetched
    assert set(site.got) == fetched


def test_a_revision_is_a_model_of_its_own(site, run):
    first = dict(pushed(site, run))
    old = site.put("me/houses", first)
    info = json.loads(first["i2i.json"])
    site.put("me/houses", {**first, "i2i.json": json.dumps({**info, "images": 9}).encode()})
    assert folder.read_info(hub.pull(hub.parse(HERE))).images == 9
    place = hub.pull(hub.parse(HERE, old))
    assert (place.name, folder.read_info(place).images) == (f"me--houses@{old}", 2000)
    assert models.find(f"{HERE}@{old}") == place
    with pytest.raises(UsageError, match=r"names another revision than v2: give one of them"):
        hub.parse(f"{HERE}@v1", "v2")
    with pytest.raises(FetchError, match=r"^hf://me/houses@v7: no such revision of this model$"):
        hub.pull(hub.parse(HERE, "v7"))
    with pytest.raises(UsageError, match=r"a model is pushed to the main branch: leave @v1 out"):
        hub.push(run / "model", hub.parse(HERE, "v1"))


@pytest.mark.parametrize(
    "wrong", ["hf://", "hf://name", "hf://a/b/c", "hf://../x", "hf://a/b@", "hf://a/..", "hf://a b/c"]
)
def test_what_is_no_address(i2i, wrong):
    said = i2i("models", "pull", wrong)
    assert said == (2, "", f"error: {wrong}: a model on the Hub is written as {hub.EXAMPLE}\n")


def without_token(site, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")


def wrong_token(site, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_Wrong")


def nobody_there(site, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def offline(site, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def broken(site, monkeypatch):
    site.status = 503


PULLS = {
    "not there": (
        lambda s, m: None,
        "hf://me/no: no such model on the Hub, or a private one: hf auth login, or set HF_TOKEN",
    ),
    "private": (without_token, "hf://me/houses: no such model on the Hub, or a private one: hf auth login"),
    "no network": (nobody_there, "hf://me/houses: the Hub cannot be reached or is not understood ("),
    "offline": (offline, "hf://me/houses: the Hub cannot be reached or is not understood ("),
    "trouble": (broken, "hf://me/houses: the Hub answered 503: try again later"),
}
PUSHES = {
    "no token": (without_token, "hf://me/houses: pushing needs a token: hf auth login, or set HF_TOKEN"),
    "wrong token": (wrong_token, "hf://me/houses: the token is not valid or may not do this: hf auth login"),
    "no network": (nobody_there, "hf://me/houses: the Hub cannot be reached or is not understood ("),
    "trouble": (broken, "hf://me/houses: the Hub answered 503: try again later"),
}


@pytest.mark.parametrize("why", PULLS)
def test_a_failed_pull_is_one_line(site, run, i2i, monkeypatch, why):
    pushed(site, run)
    site.private.add("me/houses")
    change, line = PULLS[why]
    change(site, monkeypatch)
    said = i2i("models", "pull", "hf://me/no" if why == "not there" else HERE)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {line}")
    assert said.err.count("\n") == 1
    assert TOKEN not in said.err
    assert not (paths.models() / "me--houses").exists()


@pytest.mark.parametrize("why", PUSHES)
def test_a_failed_push_is_one_line(site, run, i2i, monkeypatch, why):
    change, line = PUSHES[why]
    change(site, monkeypatch)
    said = i2i("models", "push", run, HERE)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {line}")
    assert said.err.count("\n") == 1
    assert "hf_" not in said.err.replace("HF_TOKEN", "")
    assert "me/houses" not in site.repos


def test_who_must_be_asked_first(site, run):
    pushed(site, run)
    site.gated.add("me/houses")
    with pytest.raises(FetchError, match=r"^hf://me/houses: its owner wants to be asked first"):
        hub.pull(hub.parse(HERE))


def test_a_model_is_not_made_public_by_mistake(site, run):
    pushed(site, run)
    before = dict(site.repos["me/houses"])
    with pytest.raises(UsageError, match=r"exists and is open to all: leave --private out, or choose another name"):
        hub.push(run / "model", hub.parse(HERE), private=True, licence="MIT")
    assert site.repos["me/houses"] == before
    hub.push(run / "model", hub.parse("hf://me/secret"), private=True)
    assert "me/secret" in site.private


def test_what_is_not_as_announced_is_not_kept(site, run, monkeypatch):
    files = dict(pushed(site, run))
    place = hub.pull(hub.parse(HERE))
    before = (place / "model.safetensors").read_bytes()

    def refused(error, match, **changes):
        site.put("me/houses", {k: v for k, v in {**files, **changes}.items() if v is not None})
        with pytest.raises(error, match=match):
            hub.pull(hub.parse(HERE))
        assert (place / "model.safetensors").read_bytes() == before
        assert [p.name for p in paths.models().iterdir()] == ["me--houses"]

    info = json.loads(files["i2i.json"])
    info["products"]["a2b"]["file"] = "model.pkl"
    refused(ModelError, r"^hf://me/houses: not a model of i2i: it has no i2i.json$", **{"i2i.json": None})
    refused(ModelError, r"^hf://me/houses/i2i.json:1: damaged: not valid JSON", **{"i2i.json": b"{"})
    refused(
        ModelError,
        r"^i2i.json names model.pkl: weights are",
        **{"i2i.json": json.dumps(info).encode(), "model.pkl": b"x"},
    )
    refused(ModelError, r"names model.safetensors, which is not there$", **{"model.safetensors": None})
    refused(FetchError, r"README.md is of 1.0 MiB, at most 1 MiB are fetched$", **{"README.md": b"x" * (2**20 + 1)})
    site.sizes["model.safetensors"] = 2**34
    monkeypatch.setattr(hub, "need_space", lambda *_: None)
    refused(FetchError, r"model.safetensors is of 16,384.0 MiB, at most 8,192 MiB are fetched$")
    site.sizes["model.safetensors"] = 5
    refused(FetchError, r"model.safetensors")


def test_without_the_package_the_way_to_it_is_said(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"needs huggingface-hub, .+ pip install 'i2i-toolkit\[hub\]'"):
        hub.pull(hub.parse(HERE))
    with pytest.raises(MissingExtra):
        hub.push(run / "model", hub.parse(HERE))

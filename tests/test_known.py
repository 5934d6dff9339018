"""Published models by name: fetched once, from a mirror or the web, converted, used offline from then on."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from models_for_tests import make_model
from projects_for_tests import project
from reference_for_tests import reference, without_noise
from site_for_tests import Naps, Site
from typer.testing import CliRunner

import i2i
from i2i import card, folder, known, models, paths
from i2i.cli import app
from i2i.errors import FetchError, MissingExtra, ModelError, UsageError
from i2i.folder import Inference
from i2i.known import KNOWN, lookup, ready

CYCLEGAN = [
    "apple2orange", "orange2apple", "summer2winter_yosemite", "winter2summer_yosemite", "horse2zebra", "zebra2horse",
    "monet2photo", "style_monet", "style_cezanne", "style_ukiyoe", "style_vangogh", "sat2map", "map2sat",
    "cityscapes_photo2label", "cityscapes_label2photo", "facades_photo2label", "facades_label2photo",
    "iphone2dslr_flower",
]  # fmt: skip
PIX2PIX = ["edges2shoes", "sat2map", "map2sat", "facades_label2photo", "day2night"]


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    site = Site()
    yield site
    site.close()


@pytest.fixture(autouse=True)
def unreachable(monkeypatch):
    """No test asks the real server."""
    monkeypatch.setattr(known, "SERVER", "127.0.0.1:9")


def weights(path: Path, kind: str, seed: int = 0) -> torch.nn.Module:
    net = reference(kind, seed, **({"width": 4, "blocks": 2} if kind == "resnet" else {"width": 4, "depth": 6}))
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(net.state_dict(), path, _use_new_zipfile_serialization=False)
    return net


@pytest.fixture
def mirror(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("I2I_MIRROR", str(tmp_path / "mirror"))
    (tmp_path / "mirror" / "models").mkdir(parents=True)
    return tmp_path / "mirror" / "models"


# The table


def test_all_published_names_are_there():
    rows = {(k.method, k.published) for k in KNOWN.values()}
    assert rows == {("cyclegan", name) for name in CYCLEGAN} | {("pix2pix", name) for name in PIX2PIX}
    assert len(KNOWN) == len(CYCLEGAN) + len(PIX2PIX) == 23
    assert set(CYCLEGAN) | set(PIX2PIX) < set(KNOWN)


def test_a_name_that_was_published_twice_is_pix2pix():
    for name in set(CYCLEGAN) & set(PIX2PIX):
        assert lookup(name).method == lookup(f"pix2pix_{name}").method == "pix2pix"
        assert lookup(f"cyclegan_{name}").method == "cyclegan"
        assert lookup(f"cyclegan_{name}").name == f"cyclegan_{name}"
    assert lookup("cyclegan_horse2zebra") is lookup("horse2zebra") is KNOWN["horse2zebra"]
    assert lookup("pix2pix_horse2zebra") is None
    assert lookup("facades") is None  # a model of that name travels with i2i


@pytest.mark.parametrize("name", KNOWN)
def test_directions_and_domains_are_those_of_the_card(name):
    row = KNOWN[name]
    about = card.load(row.dataset)
    domains = about.domains if row.product == "a2b" else about.domains[::-1]
    assert (row.source, row.target) == tuple(domains)
    assert row.licence == f"not stated by the publishers; trained on {row.dataset}: {about.about.licence}"
    assert about.kind == ("paired" if row.method == "pix2pix" or row.dataset == "cityscapes" else "unpaired")


def test_addresses(monkeypatch):
    monkeypatch.undo()
    assert KNOWN["horse2zebra"].urls == (
        "https://efrosgans.eecs.berkeley.edu/cyclegan/pretrained_models/horse2zebra.pth",
    )  # and no plain http
    pix2pix = "https://efrosgans.eecs.berkeley.edu/pix2pix/models-pytorch/"
    assert lookup("facades_label2photo").urls[0] == f"{pix2pix}facades_label2photo.pth"
    assert KNOWN["cyclegan_sat2map"].urls[0].endswith("/cyclegan/pretrained_models/sat2map.pth")


# Fetched, converted, used


def test_from_a_mirror_folder(mirror, caplog):
    net = weights(mirror / "horse2zebra.pth", "resnet")
    translator = i2i.load("horse2zebra", device="cpu")
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING] == [
        "fetching the published model horse2zebra (cyclegan, horse -> zebra, about 46 MB); its licence: "
        "not stated by the publishers; trained on horse2zebra: research use (ImageNet terms)"
    ]
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        np.testing.assert_allclose(translator.engine.run(x.numpy()), net(x).numpy(), rtol=0, atol=1e-5)
    info = translator.info
    assert (info.method, info.dataset, info.default) == ("cyclegan", "horse2zebra", "a2b")
    assert translator.directions == {"a2b": "horse -> zebra"}
    assert info.inference == Inference(norm="image", dropout=False)
    assert info.licence == KNOWN["horse2zebra"].licence
    assert info.origin.startswith(f"a copy of {KNOWN['horse2zebra'].urls[0]} (sha256 ")
    picture = np.zeros((30, 50, 3), np.uint8)
    assert translator(picture).shape == picture.shape
    assert (mirror / "horse2zebra.pth").is_file(), "the mirror's copy is not ours to remove"


def test_pix2pix_keeps_dropout_and_its_direction(mirror):
    net = weights(mirror / "facades_label2photo.pth", "unet")
    info = folder.read_info(models.find("facades_label2photo"))
    assert info.name == "facades_label2photo"
    assert (info.method, info.dataset, info.default) == ("pix2pix", "facades", "b2a")
    assert (info.products["b2a"].source, info.products["b2a"].target) == ("label", "photo")
    assert info.inference == Inference(norm="image", dropout=True)
    engine = i2i.load("facades_label2photo", device="cpu", seed=4).engine
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(4)
        np.testing.assert_allclose(engine.run(x.numpy()), net(x).numpy(), rtol=0, atol=1e-5)
        assert not np.allclose(engine.run(x.numpy()), without_noise(net)(x).numpy(), atol=1e-3)


def test_from_a_mirror_address_then_offline(tmp_path, site, monkeypatch, caplog):
    weights(tmp_path / "w.pth", "resnet")
    site.files["/mine/models/zebra2horse.pth"] = (tmp_path / "w.pth").read_bytes()
    monkeypatch.setenv("I2I_MIRROR", f"{site.url}/mine")
    told: list[tuple[str, int, int | None]] = []
    where = models.find("zebra2horse", lambda stage, done, total: told.append((stage, done, total)))
    size = (tmp_path / "w.pth").stat().st_size
    assert ("download zebra2horse.pth", size, size) in told
    assert where == paths.models() / "zebra2horse"
    assert site.asked == [("/mine/models/zebra2horse.pth", None)]
    site.files.clear()
    monkeypatch.delenv("I2I_MIRROR")
    caplog.clear()
    assert models.find("zebra2horse") == models.find("cyclegan_zebra2horse") == where
    assert len(site.asked) == 1
    assert not caplog.records
    left = [p.name for p in (paths.cache() / "archives").rglob("*") if p.is_file()]
    assert left == ["sums.json"], "the fetched file is not kept twice"


def test_from_the_published_address(tmp_path, site, monkeypatch):
    def here(self):  # the test's server speaks http alone
        return (f"{site.url}/{known.FOLDERS[self.method]}/{self.published}.pth",)

    monkeypatch.setattr(known.Known, "urls", property(here))
    weights(tmp_path / "w.pth", "unet")
    site.files["/pix2pix/models-pytorch/sat2map.pth"] = (tmp_path / "w.pth").read_bytes()
    where = ready(lookup("sat2map"), sleep=Naps())
    assert folder.read_info(where).origin.startswith(f"{KNOWN['sat2map'].urls[0]} (sha256 ")
    with pytest.raises(FetchError, match="404"):
        ready(lookup("cyclegan_sat2map"), sleep=Naps())
    assert ("/cyclegan/pretrained_models/sat2map.pth", None) in site.asked


def test_not_to_be_had():
    with pytest.raises(FetchError) as e:
        ready(KNOWN["horse2zebra"], sleep=Naps())
    text = str(e.value)
    assert text.startswith("the published model horse2zebra could not be had: https://127.0.0.1:9/cyclegan/")
    assert text.endswith(
        " Try again later (what has arrived is kept), or give a copy of your own: "
        "i2i models import FILE --name horse2zebra"
    )
    assert not paths.models().exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><p>Sign in to this network", "a web page, not weights: the download went wrong"),
        (b"PK\x03\x04 and then nothing", "not a file of weights, or cut short or damaged"),
        (None, "holds a unet, and horse2zebra must be a resnet: choose another --name"),
    ],
)
def test_what_comes_is_no_use_and_does_not_stay(tmp_path, site, monkeypatch, content, reason):
    weights(tmp_path / "unet.pth", "unet")
    weights(tmp_path / "resnet.pth", "resnet")
    url = f"{site.url}/models/horse2zebra.pth"
    site.files["/models/horse2zebra.pth"] = content or (tmp_path / "unet.pth").read_bytes()
    monkeypatch.setenv("I2I_MIRROR", site.url)
    with pytest.raises(FetchError) as e:
        models.find("horse2zebra")
    assert str(e.value).startswith(f"{url} is of no use as horse2zebra: ")
    assert str(e.value).endswith(reason)
    assert not paths.models().exists()
    site.files["/models/horse2zebra.pth"] = (tmp_path / "resnet.pth").read_bytes()
    assert models.find("horse2zebra") == paths.models() / "horse2zebra"


def test_what_changed_since_its_first_use_is_not_trusted(tmp_path, site, monkeypatch):
    monkeypatch.setenv("I2I_MIRROR", site.url)
    for seed in (0, 1):
        weights(tmp_path / "w.pth", "resnet", seed)
        site.files["/models/horse2zebra.pth"] = (tmp_path / "w.pth").read_bytes()
        if seed == 0:
            shutil.rmtree(ready(KNOWN["horse2zebra"]))
    with pytest.raises(FetchError, match=r"changed since it was first used: .*the file is removed"):
        ready(KNOWN["horse2zebra"], sleep=Naps())
    assert not folder.is_model(paths.models() / "horse2zebra")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_in_the_middle_and_gone_on(tmp_path, site, monkeypatch):
    weights(tmp_path / "w.pth", "resnet")
    path = "/models/horse2zebra.pth"
    site.files[path], site.etag[path], site.cut[path] = (tmp_path / "w.pth").read_bytes(), '"one"', [1000]
    site.stall = True
    monkeypatch.setenv("I2I_MIRROR", site.url)
    # without the seconds of importing torch: it is killed before it would need it
    code = "from i2i import known; known._converter = lambda: None; known.ready(known.KNOWN['horse2zebra'])"
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stderr=subprocess.DEVNULL) as process:
        part = paths.cache() / "archives/models/horse2zebra/horse2zebra.pth.part"
        until = time.monotonic() + 120
        while not (part.exists() and part.stat().st_size == 1000) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    site.stall = False
    assert part.stat().st_size == 1000
    assert not paths.models().exists()
    assert folder.is_model(models.find("horse2zebra"))
    assert site.asked[-1] == (path, "bytes=1000-")


def test_killed_while_writing_the_model(mirror, monkeypatch):
    weights(mirror / "horse2zebra.pth", "resnet")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder, "_put_in_place", killed)
    with pytest.raises(KeyboardInterrupt):
        models.find("horse2zebra")
    assert list(paths.models().iterdir()) == []


def test_without_torch_it_says_so_before_it_downloads(site, monkeypatch):
    monkeypatch.setenv("I2I_MIRROR", site.url)
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "i2i.foreign", raising=False)
    with pytest.raises(MissingExtra, match=r"i2i-toolkit\[train\]"):
        models.find("horse2zebra")
    assert not site.asked


# What is meant by a name


def test_what_is_here_goes_first(mirror):
    weights(mirror / "facades_label2photo.pth", "unet")
    make_model(paths.runs() / "pix2pix-facades" / "model")
    assert models.find("facades") == paths.runs() / "pix2pix-facades" / "model"  # trained here on that data set
    assert models.find("facades_label2photo") == paths.models() / "facades_label2photo"
    assert models.find("facades") == paths.runs() / "pix2pix-facades" / "model"
    make_model(paths.runs() / "facades" / "model")
    assert models.find("facades") == paths.runs() / "facades" / "model"
    make_model(paths.runs() / "horse2zebra" / "model")
    assert models.find("horse2zebra") == paths.runs() / "horse2zebra" / "model"


def test_the_other_direction_is_not_taken_for_the_name(mirror):
    weights(mirror / "horse2zebra.pth", "resnet")
    weights(mirror / "zebra2horse.pth", "resnet")
    models.find("zebra2horse")  # it learned from the data set that is called horse2zebra
    assert models.find("horse2zebra") == paths.models() / "horse2zebra"


def test_a_run_without_a_model_is_told_and_nothing_fetched(mirror):
    weights(mirror / "horse2zebra.pth", "resnet")
    run = paths.runs() / "horse2zebra"
    run.mkdir(parents=True)
    (run / "log.jsonl").touch()
    for ask in (models.find, models.show):
        with pytest.raises(ModelError, match="has not saved a model yet"):
            ask("horse2zebra")
    with pytest.raises(ModelError, match="no such model folder"):
        models.find(Path("zebra2horse"))  # a path is a path
    assert not paths.models().exists()


def test_unknown_names_and_files():
    for what, near in (("horse2zebras", "horse2zebra"), ("style_vangoh", "style_vangogh"), ("facade", "facades")):
        with pytest.raises(ModelError, match=f"did you mean '{near}'\\?.*i2i models list --known"):
            models.find(what)


def test_a_file_of_weights_is_told_how_to_use_it(tmp_path):
    weights(tmp_path / "w.pth", "resnet")
    with pytest.raises(ModelError) as e:
        models.find(str(tmp_path / "w.pth"))
    path = tmp_path / "w.pth"
    assert str(e.value) == f"{path}: a file of weights: i2i models import {path} makes a model of it"


def test_show_and_list_fetch_nothing(mirror):
    weights(mirror / "facades_label2photo.pth", "unet")
    shown = dict(models.show("facades_label2photo"))
    assert shown["name"] == "facades_label2photo"
    assert shown["b2a"] == "label -> photo"
    assert shown["on this machine"] == "not yet: its first use fetches it, about 218 MB"
    row = ("facades_label2photo", "pix2pix", "label -> photo", "facades")
    assert KNOWN["facades_label2photo"].cells() == (*row, "")
    assert [row.name for row in models.listing()] == ["facades"]  # the one that travels with i2i
    models.find("facades_label2photo")
    shown = dict(models.show("facades_label2photo"))
    assert shown["origin"].startswith("a copy of https://")
    assert shown["licence"] == KNOWN["facades_label2photo"].licence
    assert "images seen" not in shown
    assert KNOWN["facades_label2photo"].cells() == (*row, "ready")
    assert models.listing()[0].cells()[:6] == (
        "facades_label2photo",
        "pix2pix",
        "facades",
        "label -> photo",
        "256 x 256",
        "",
    )


# A file of the user's


def test_a_copy_of_a_published_model(tmp_path):
    weights(tmp_path / "zebra2horse.pth", "resnet")
    made = known.import_file(tmp_path / "zebra2horse.pth")
    assert made.notes == []
    info = folder.read_info(models.find("zebra2horse"))
    assert (info.default, info.products["b2a"].source, info.licence) == ("b2a", "zebra", KNOWN["zebra2horse"].licence)
    assert info.origin.startswith(f"zebra2horse.pth, taken for a copy of {KNOWN['zebra2horse'].urls[0]} (sha256 ")


def test_a_published_name_must_fit(tmp_path):
    weights(tmp_path / "sat2map.pth", "resnet")
    with pytest.raises(ModelError, match="holds a resnet, and sat2map must be a unet: choose another --name"):
        known.import_file(tmp_path / "sat2map.pth")
    with pytest.raises(UsageError, match="the published horse2zebra is a2b: choose another --name"):
        known.import_file(tmp_path / "sat2map.pth", name="horse2zebra", direction="b2a")
    made = known.import_file(tmp_path / "sat2map.pth", name="cyclegan_sat2map")
    assert folder.read_info(made.folder).dataset == "maps_unpaired"


@pytest.mark.parametrize(
    ("file", "name", "default"),
    [
        ("my net (2).pth", "my_net_2_", "a2b"),
        ("cats/latest_net_G_A.pth", "cats_G_A", "a2b"),
        ("cats/150_net_G_B.pth", "cats_G_B", "b2a"),
        ("rooms/latest_net_G.pth", "rooms", "a2b"),
        ("zebra2horse_pretrained/latest_net_G.pth", "zebra2horse", "b2a"),
    ],
)
def test_the_name_is_the_files_or_that_of_its_run(tmp_path, file, name, default):
    weights(tmp_path / file, "resnet")
    made = known.import_file(tmp_path / file)
    assert made.folder == paths.models() / name
    assert folder.read_info(made.folder).default == default


# A file at an address


def test_from_an_address(tmp_path, site):
    net = weights(tmp_path / "latest_net_G_B.pth", "resnet")
    site.files["/of/mine/latest_net_G_B.pth?key=secret"] = (tmp_path / "latest_net_G_B.pth").read_bytes()
    made = known.import_file(f"{site.url}/of/mine/latest_net_G_B.pth?key=secret", name="cats", sleep=Naps())
    assert made.notes == []
    info = folder.read_info(models.find("cats"))
    assert info.default == "b2a"
    assert info.origin.startswith(f"{site.url}/of/mine/latest_net_G_B.pth (sha256 ")
    assert "secret" not in (made.folder / "README.md").read_text()
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        np.testing.assert_allclose(
            i2i.load("cats", device="cpu").engine.run(x.numpy()), net(x).numpy(), rtol=0, atol=1e-5
        )
    left = [p.name for p in (paths.cache() / "archives").rglob("*") if p.is_file()]
    assert left == ["sums.json"]


def test_an_address_says_the_name(tmp_path, site):
    weights(tmp_path / "w.pth", "resnet")
    site.files["/files/my%20net.pth"] = (tmp_path / "w.pth").read_bytes()
    assert known.import_file(f"{site.url}/files/my%20net.pth", sleep=Naps()).folder.name == "my_net"


def test_an_address_is_not_asked_in_vain(tmp_path, site):
    make_model(paths.models() / "w")
    with pytest.raises(ModelError, match="exists already"):
        known.import_file(f"{site.url}/w.pth", sleep=Naps())
    for address in ("ftp://host/w.pth", "file:///etc/w.pth", "https://host", "https://host/"):
        with pytest.raises(UsageError, match="a file, or an http or https address of one"):
            known.import_file(address)
    assert site.asked == []


def test_an_address_that_is_of_no_use(tmp_path, site):
    site.files["/w.pth"] = b"<!DOCTYPE html><p>Sign in"
    for _ in range(2):  # nothing of the first answer is remembered
        with pytest.raises(ModelError) as e:
            known.import_file(f"{site.url}/w.pth", sleep=Naps())
        assert str(e.value) == f"{site.url}/w.pth: a web page, not weights: the download went wrong"
    with pytest.raises(FetchError, match=r"nothing to import: .*404"):
        known.import_file(f"{site.url}/none.pth", sleep=Naps())
    assert not paths.models().exists()
    weights(tmp_path / "w.pth", "resnet")
    site.files["/w.pth"] = (tmp_path / "w.pth").read_bytes()
    shutil.rmtree(known.import_file(f"{site.url}/w.pth", sleep=Naps()).folder)
    weights(tmp_path / "w.pth", "resnet", seed=1)
    site.files["/w.pth"] = (tmp_path / "w.pth").read_bytes()
    with pytest.raises(FetchError, match="changed since it was first used"):
        known.import_file(f"{site.url}/w.pth", sleep=Naps())


def test_the_command_line_passes_on_what_it_is_told(tmp_path):
    net = project("basicsr", width=4, blocks=1)
    torch.save({"net_a": net.state_dict(), "net_b": net.state_dict()}, tmp_path / "w.pth")
    words = ["models", "import", str(tmp_path / "w.pth"), "--key", "net_b", "--range", "signed"]
    done = CliRunner().invoke(app, words)
    assert done.output.splitlines() == [
        "w is ready: i2i translate PICTURES --model w",
    ]
    assert folder.read_info(models.find("w")).products["a2b"].generator["values"] == "signed"


def test_nothing_heavy_is_imported_for_the_table():
    code = (
        "import sys, json, i2i.models; i2i.models.known.lookup('horse2zebra').cells();"
        "print(json.dumps(sorted({'torch', 'safetensors', 'numpy', 'PIL'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert json.loads(done.stdout) == []


def test_the_command_line_says_what_was_assumed(tmp_path):
    weights(tmp_path / "mine.pth", "unet")
    run = CliRunner().invoke
    done = run(app, ["models", "import", str(tmp_path / "mine.pth"), "--direction", "b2a", "--no-dropout"])
    assert done.output == "mine is ready: i2i translate PICTURES --model mine\n"
    info = folder.read_info(models.find("mine"))
    assert (info.default, info.inference.dropout) == ("b2a", False)
    done = run(app, ["models", "import", str(tmp_path / "mine.pth"), "--name", "other"])
    assert done.output.splitlines() == [
        "note: the file does not say which way it translates: taken as a2b (--direction b2a)",
        "note: the file does not say whether dropout stays on: taken as on, as in pix2pix (--no-dropout)",
        "other is ready: i2i translate PICTURES --model other",
    ]


def test_the_list_of_published_ones():
    run = CliRunner().invoke
    assert run(app, ["models", "list"]).output.endswith(
        "and 23 published ones can be used by name: i2i models list --known\n"
    )
    lines = run(app, ["models", "list", "--known"]).output.splitlines()
    assert len(lines) == 1 + 23
    assert ["horse2zebra", "cyclegan", "horse", "->", "zebra", "horse2zebra"] in [line.split() for line in lines]

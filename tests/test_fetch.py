"""Downloads against a server that misbehaves on purpose: resumed, checked, all or nothing."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from site_for_tests import Naps, Site

from i2i import card as cards
from i2i.card import Card, load, prepared
from i2i.errors import CardError, DataError, FetchError
from i2i.fetch import download, is_ready
from i2i.ledger import lock
from i2i.prepare import generate, join, mnist_m
from i2i.strict import Source, validate
from i2i.transfer import fetch_url


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


def png(i: int = 0, width: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, 8), (i % 256, 90, 30)).save(out, "PNG")
    return out.getvalue()


def zipped(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, content in entries.items():
            z.writestr(name, content)
    return out.getvalue()


def tarred(entries: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            t.addfile(info, io.BytesIO(content))
    return out.getvalue()


ENTRIES = {f"toy/train{s}/{i}.png": png(i) for s in "AB" for i in range(3)} | {"__MACOSX/toy/._x.png": b"x"}
TOY = zipped(ENTRIES)


def toy(*urls: str, **change) -> Card:
    file = {"name": "toy.zip", "urls": urls} | change.pop("file", {})
    tree = {
        "name": "toy",
        "title": "Toy",
        "about": {"homepage": "https://example.org", "licence": "MIT", "cite": "nobody"},
        "kind": "unpaired",
        "domains": ["red", "blue"],
        "layout": "trainA/trainB",
        "splits": {"train": [3, 3]},
        "files": [file],
    }
    return Card.model_validate(tree | change)


def leftovers() -> list[str]:
    return (
        [p.name for p in prepared("toy").parent.glob("*") if "making" in p.name]
        if prepared("toy").parent.exists()
        else []
    )


def error(card: Card, kind=FetchError, **how) -> str:
    how.setdefault("sleep", Naps())
    with pytest.raises(kind) as e:
        download(card, **how)
    assert type(e.value) is kind
    assert not leftovers()
    assert "\n" not in str(e.value)
    return str(e.value)


def test_download_prepare_and_marker(site):
    site.files["/toy.zip"] = TOY
    card = toy(f"{site.url}/toy.zip")
    told = []
    assert not is_ready(card)
    ready = download(card, progress=lambda *a: told.append(a))
    assert ready.folder == prepared("toy")
    assert ready.notes == []
    assert sorted(p.name for p in ready.folder.iterdir()) == ["card.json", "trainA", "trainB"], (
        "the top folder is stripped"
    )
    assert (ready.folder / "trainA/1.png").read_bytes() == png(1)
    marker = json.loads((ready.folder / "card.json").read_text())
    assert marker["files"][0]["sha256"] == hashlib.sha256(TOY).hexdigest()
    assert marker["files"][0]["source"] == f"{site.url}/toy.zip"
    assert marker["splits"] == {"train": [3, 3]}
    assert is_ready(card)
    assert ("download toy.zip", len(TOY), len(TOY)) in told
    assert {"check toy.zip", "unpack toy.zip"} <= {stage for stage, _, _ in told}
    before = len(site.asked)
    download(card)
    download(card, force=True)
    assert len(site.asked) == before, "what is ready or kept is not downloaded again"


def test_a_cut_transfer_goes_on_where_it_stopped(site, tmp_path):
    site.files["/f"] = os.urandom(100_000)
    site.etag["/f"] = '"one"'
    site.cut["/f"] = [30_000, 30_000]
    naps = Naps()
    fetch_url(f"{site.url}/f", tmp_path / "f", sleep=naps)
    assert (tmp_path / "f").read_bytes() == site.files["/f"]
    assert site.asked == [("/f", None), ("/f", "bytes=30000-"), ("/f", "bytes=60000-")]
    assert naps == [1.0, 2.0]
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_file_that_changed_meanwhile_starts_over(site, tmp_path):
    site.files["/f"], site.etag["/f"], site.cut["/f"] = b"old" * 1000, '"one"', [1000]

    def change(_):
        site.files["/f"], site.etag["/f"] = b"new" * 1000, '"two"'

    fetch_url(f"{site.url}/f", tmp_path / "f", sleep=change)
    assert (tmp_path / "f").read_bytes() == b"new" * 1000


def test_another_length_without_etag_starts_over(site, tmp_path):
    site.files["/f"], site.cut["/f"] = b"old" * 1000, [1000]

    def change(_):
        site.files["/f"] = b"newer" * 1000

    fetch_url(f"{site.url}/f", tmp_path / "f", sleep=change)
    assert (tmp_path / "f").read_bytes() == b"newer" * 1000


def test_a_server_without_ranges_sends_all_again(site, tmp_path):
    site.files["/f"], site.cut["/f"], site.ranges = os.urandom(5000), [1000], False
    fetch_url(f"{site.url}/f", tmp_path / "f", sleep=Naps())
    assert (tmp_path / "f").read_bytes() == site.files["/f"]


def test_a_complete_part_of_a_killed_run_is_taken(site, tmp_path):
    site.files["/f"] = b"x" * 5000
    (tmp_path / "f.part").write_bytes(site.files["/f"])
    (tmp_path / "f.part.json").write_text(json.dumps({"url": f"{site.url}/f", "total": 5000, "validator": None}))
    fetch_url(f"{site.url}/f", tmp_path / "f", sleep=Naps())
    assert (tmp_path / "f").read_bytes() == site.files["/f"]
    assert len(site.asked) == 1


def test_a_part_of_another_address_is_not_trusted(site, tmp_path):
    site.files["/f"] = b"right" * 1000
    (tmp_path / "f.part").write_bytes(b"wrong" * 10)
    (tmp_path / "f.part.json").write_text(json.dumps({"url": "http://example.org/f", "total": 5000, "validator": None}))
    fetch_url(f"{site.url}/f", tmp_path / "f", sleep=Naps())
    assert (tmp_path / "f").read_bytes() == b"right" * 1000


def test_tries_end(site, tmp_path):
    site.files["/f"], site.cut["/f"], site.ranges = b"x" * 5000, [1000] * 9, False
    naps = Naps()
    with pytest.raises(FetchError) as e:
        fetch_url(f"{site.url}/f", tmp_path / "f", sleep=naps)
    assert str(e.value) == f"{site.url}/f: cut off after 1000 of 5000 bytes (tried 4 times)"
    assert naps == [1.0, 2.0, 4.0]
    assert not (tmp_path / "f").exists()


def test_busy_server_is_asked_again_and_a_refusal_is_not(site, tmp_path):
    site.files["/f"], site.status["/f"] = b"x", [503, 500]
    fetch_url(f"{site.url}/f", tmp_path / "f", sleep=Naps())
    naps = Naps()
    with pytest.raises(FetchError) as e:
        fetch_url(f"{site.url}/gone", tmp_path / "g", sleep=naps)
    assert str(e.value) == f"{site.url}/gone: the server answers 404 Not Found"
    assert naps == []


def test_nobody_there(tmp_path):
    with pytest.raises(FetchError, match=r"no answer \(.*refused\) \(tried 2 times\)"):
        fetch_url("http://127.0.0.1:9/f", tmp_path / "f", tries=2, sleep=Naps())


def test_redirects_stay_on_the_web(site, tmp_path):
    site.files["/f"], site.redirect["/old"] = b"x", f"{site.url}/f"
    fetch_url(f"{site.url}/old", tmp_path / "f", sleep=Naps())
    site.redirect["/evil"] = "ftp://example.org/x"
    with pytest.raises(FetchError, match=r"redirects to ftp://example\.org/x, which i2i does not follow"):
        fetch_url(f"{site.url}/evil", tmp_path / "g", sleep=Naps())
    site.redirect["/worse"] = "file:///etc/passwd"
    with pytest.raises(FetchError, match="not allowed"):
        fetch_url(f"{site.url}/worse", tmp_path / "g", sleep=Naps())
    with pytest.raises(FetchError, match="unknown url type"):
        fetch_url("file:///etc/passwd", tmp_path / "h", sleep=Naps())


def test_no_space(site, monkeypatch):
    site.files["/toy.zip"] = TOY
    monkeypatch.setattr("i2i.transfer.SPARE", 1 << 60)
    assert "toy.zip needs 0 MB and" in error(toy(f"{site.url}/toy.zip"))


def test_the_second_address_helps(site):
    site.files["/b/toy.zip"] = TOY
    assert download(toy(f"{site.url}/a/toy.zip", f"{site.url}/b/toy.zip"), sleep=Naps()).notes == []


def test_all_addresses_fail(site):
    text = error(toy(f"{site.url}/a", f"{site.url}/b"))
    assert text == (
        f"toy.zip could not be had: {site.url}/a: the server answers 404 Not Found;"
        f" {site.url}/b: the server answers 404 Not Found."
        " Try again later (what has arrived is kept), or give a copy of your own: --from-file FILE or --mirror FOLDER"
    )
    assert not prepared("toy").exists()


def test_pinned_checksum(site):
    site.files["/toy.zip"] = TOY
    good = hashlib.sha256(TOY).hexdigest()
    text = error(toy(f"{site.url}/toy.zip", file={"sha256": "0" * 64}))
    assert f"wrong checksum: expected sha256 {'0' * 64}, got {good}; the file is removed" in text
    assert not (cards.paths.cache() / "archives/toy/toy.zip").exists()
    download(toy(f"{site.url}/toy.zip", file={"sha256": good}))


def test_checksum_is_recorded_and_held(site):
    site.files["/toy.zip"] = TOY
    card = toy(f"{site.url}/toy.zip")
    download(card)
    kept = cards.paths.cache() / "archives/toy/toy.zip"
    kept.unlink()
    site.files["/toy.zip"] = zipped(ENTRIES | {"toy/trainA/evil.png": png()})
    text = error(card, force=True)
    first, second = hashlib.sha256(TOY).hexdigest(), hashlib.sha256(site.files["/toy.zip"]).hexdigest()
    sums = cards.paths.cache() / "archives/toy/sums.json"
    assert (
        f"toy.zip: changed since it was first used: expected sha256 {first}, got {second} from {site.url}/toy.zip"
        in text
    )
    assert f"If the change is meant, delete {sums} and run again" in text
    assert not kept.exists()
    assert is_ready(card), "the data set that was there stays"
    sums.unlink()
    assert download(card, force=True).notes != []


def test_a_rotten_kept_archive_is_fetched_anew(site):
    site.files["/toy.zip"] = TOY
    card = toy(f"{site.url}/toy.zip")
    download(card)
    (cards.paths.cache() / "archives/toy/toy.zip").write_bytes(TOY[:-9])
    download(card, force=True)
    assert len(site.asked) == 2


def test_a_web_page_is_not_an_archive(site):
    site.files["/toy.zip"] = b"<html>Please log in</html>"
    card = toy(f"{site.url}/toy.zip")
    assert "what came is not an archive (a web page?); the file is removed" in error(card)
    site.files["/toy.zip"] = TOY
    download(card)


def test_a_harmful_archive_leaves_nothing_and_is_not_kept(site):
    site.files["/toy.zip"] = zipped(ENTRIES | {"../evil.png": png()})
    card = toy(f"{site.url}/toy.zip")
    assert "the entry '../evil.png' points outside the folder" in error(card)
    assert not prepared("toy").exists()
    site.files["/toy.zip"] = TOY
    download(card)


def test_no_picture_and_wrong_layout(site):
    site.files["/toy.zip"] = zipped({"toy/readme.txt": b"hello"})
    card = toy(f"{site.url}/toy.zip")
    assert error(card) == "toy: toy.zip holds no picture: not this data set"
    site.files["/toy.zip"] = zipped({"toy/1.png": png(), "toy/2.png": png()})
    assert (
        error(card, DataError) == "toy: the archive is laid out as 'one folder', not 'trainA/trainB': not this data set"
    )


def test_other_counts_are_told_and_strict_refuses(site):
    site.files["/toy.zip"] = TOY
    card = toy(f"{site.url}/toy.zip", splits={"train": [995, 1019], "test": [2, 2]})
    line = "toy: found train 3 + 3; published train 995 + 1019, test 2 + 2"
    assert error(card, DataError, strict=True) == f"{line} (--strict refuses that)"
    assert not prepared("toy").exists()
    assert download(card).notes == [line]
    assert download(card).notes == [line], "also told when it was ready before"
    assert error(card, DataError, strict=True) == f"{line} (--strict refuses that)"


def mirror_with(tmp_path: Path, content: bytes = TOY, name: str = "toy.zip") -> Path:
    (tmp_path / "mirror/toy").mkdir(parents=True, exist_ok=True)
    (tmp_path / "mirror/toy" / name).write_bytes(content)
    return tmp_path / "mirror"


def test_mirror_folder_comes_first_and_is_left_alone(site, tmp_path, monkeypatch):
    monkeypatch.setenv("I2I_MIRROR", str(mirror_with(tmp_path)))
    card = toy(f"{site.url}/toy.zip")
    download(card)
    assert site.asked == []
    mirror_with(tmp_path, zipped(ENTRIES | {"toy/trainA/new.png": png()}))
    assert "changed since it was first used" in error(card, force=True)
    assert (tmp_path / "mirror/toy/toy.zip").exists()


def test_mirror_by_another_name_and_other_bytes(tmp_path):
    card = toy("http://127.0.0.1:9/toy.zip", file={"aka": ["Toy_HR.zip"], "md5": "0" * 32})
    mirror = mirror_with(
        tmp_path, tarred({f"toy/train{s}/{i}.png": png() for s in "AB" for i in range(3)}), "Toy_HR.zip"
    )
    line = "toy: not byte for byte as published: Toy_HR.zip"
    assert error(card, DataError, mirror=mirror, strict=True) == f"{line} (--strict refuses that)"
    assert download(card, mirror=mirror).notes == [line]


def test_mirror_on_the_web_then_the_address(site, tmp_path):
    site.files["/mirror/toy/toy.zip"] = TOY
    download(toy("http://127.0.0.1:9/toy.zip"), mirror=f"{site.url}/mirror/")
    assert site.asked == [("/mirror/toy/toy.zip", None)]
    site.files["/toy.zip"] = TOY
    download(toy(f"{site.url}/toy.zip", name="toy2"), mirror=mirror_with(tmp_path))
    assert site.asked[-1] == ("/toy.zip", None), "what the mirror does not hold comes from the address"


def test_wrong_mirrors(tmp_path):
    assert error(toy("http://127.0.0.1:9/x"), mirror="ftp://example.org/x") == (
        "mirror ftp://example.org/x: only a folder, or an http or https address"
    )
    assert error(toy("http://127.0.0.1:9/x"), mirror=tmp_path / "no") == f"mirror {tmp_path / 'no'}: no such folder"


def test_withheld_and_from_file(tmp_path):
    card = toy(withheld="Ask the authors at https://example.org.")
    assert error(card) == (
        "toy may not be handed on: Ask the authors at https://example.org."
        " Then: i2i datasets download toy --from-file FILE"
    )
    assert error(card, from_file=tmp_path / "no.zip") == f"{tmp_path / 'no.zip'}: no such file"
    own = mirror_with(tmp_path) / "toy/toy.zip"
    assert download(card, from_file=own).notes == []
    assert json.loads((prepared("toy") / "card.json").read_text())["files"][0]["source"] == str(own)
    own.write_bytes(zipped(ENTRIES | {"toy/trainB/new.png": png()}))
    assert download(card, from_file=own).notes == ["toy: found train 3 + 4; published train 3 + 3"]


def test_take_picks_and_renames_folders(site):
    entries = {f"toy/{part}/{i}.png": png(i) for part in ("train/cat", "train/dog", "train/wild") for i in range(2)}
    site.files["/toy.zip"] = zipped(entries)
    take = {"trainA": "train/cat", "trainB": "train/dog"}
    folder = download(toy(f"{site.url}/toy.zip", take=take, splits={"train": [2, 2]})).folder
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png")) == [
        "trainA/0.png", "trainA/1.png", "trainB/0.png", "trainB/1.png",
    ]  # fmt: skip


def test_several_archives_in_their_places(site):
    site.files |= {"/hr.zip": zipped({"DIV_train/1.png": png()}), "/v.zip": zipped({"DIV_valid/2.png": png()})}
    files = [
        {"name": "hr.zip", "urls": [f"{site.url}/hr.zip"], "into": "train"},
        {"name": "v.zip", "urls": [f"{site.url}/v.zip"], "into": "val"},
    ]
    single = {"kind": "single", "domains": ["picture"], "layout": "one folder", "splits": {"train": 1, "val": 1}}
    folder = download(toy(files=files, **single)).folder
    assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png")) == ["train/1.png", "val/2.png"]


def idx(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def test_idx_files_become_arrays(site):
    images = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4)
    labels = np.array([7, 0, 2], np.uint8)
    files = []
    for word in ("train", "t10k"):
        for suffix, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            name = f"{word}-{suffix}.gz"
            site.files[f"/{name}"] = gzip.compress(idx(array))
            md5 = hashlib.md5(idx(array)).hexdigest()
            files.append({"name": name, "urls": [f"{site.url}/{name}"], "unpacked_md5": md5})
    labelled = {"kind": "labelled", "domains": ["digit"], "layout": "arrays", "prepare": "idx"}
    card = toy(files=files, splits={"train": 3, "test": 3}, **labelled)
    ready = download(card)
    assert ready.notes == []
    assert np.array_equal(np.load(ready.folder / "train-images.npy"), images)
    found = np.load(ready.folder / "test-labels.npy")
    assert found.dtype == np.int64
    assert found.tolist() == [7, 0, 2]
    wrong = [*files[:3], files[3] | {"unpacked_md5": "0" * 32}]
    text = error(toy(files=wrong, splits={"train": 3, "test": 3}, **labelled), force=True)
    assert text.startswith(
        f"t10k-labels-idx1-ubyte.gz: the content is not the published one: expected md5 {'0' * 32}, got "
    )


def test_cifar_binary(site):
    rows = np.random.default_rng(0).integers(0, 256, (4, 3073), dtype=np.uint8)
    names = [f"data_batch_{i}.bin" for i in (1, 2)] + ["test_batch.bin"]
    parts = {
        f"cifar-10-batches-bin/{n}": p.tobytes() for n, p in zip(names, (rows[:2], rows[2:3], rows[3:]), strict=True)
    }
    site.files["/toy.zip"] = tarred(parts)
    labelled = {"kind": "labelled", "domains": ["picture"], "layout": "arrays", "prepare": "cifar_binary"}
    folder = download(toy(f"{site.url}/toy.zip", splits={"train": 3, "test": 1}, **labelled)).folder
    images = np.load(folder / "train-images.npy")
    assert images.shape == (3, 32, 32, 3)
    assert images[2, 5, 6].tolist() == [rows[2, 1 + c * 1024 + 5 * 32 + 6] for c in range(3)]
    assert np.load(folder / "train-labels.npy").tolist() == rows[:3, 0].tolist()


@pytest.mark.slow  # torchvision alone takes long to import
def test_usps_is_read_by_torchvision(tmp_path):
    bz2 = pytest.importorskip("bz2")
    pytest.importorskip("torchvision")
    lines = [f"{label} " + " ".join(f"{i + 1}:{value}" for i in range(256)) for label, value in ((10, 1.0), (3, -1.0))]
    for name in ("usps.bz2", "usps.t.bz2"):
        mirror_with(tmp_path, bz2.compress("\n".join(lines).encode()), name)
    card = load("usps").model_copy(update={"name": "toy"})
    ready = download(card, mirror=tmp_path / "mirror")
    images = np.load(ready.folder / "test-images.npy")
    assert images.shape == (2, 16, 16)
    assert (images[0].min(), images[1].max()) == (255, 0)
    assert np.load(ready.folder / "train-labels.npy").tolist() == [9, 2]


def test_cityscapes_from_the_two_official_archives(tmp_path):
    stems = {"train": "aachen_000000_000019", "val": "lindau_000001_000019"}
    photos = {f"leftImg8bit/{s}/{n.split('_')[0]}/{n}_leftImg8bit.png": png(9, 16) for s, n in stems.items()}
    labels = {f"gtFine/{s}/{n.split('_')[0]}/{n}_gtFine_color.png": png(8, 16) for s, n in stems.items()}
    labels |= {k.replace("color", "labelIds"): png(1, 16) for k in labels} | {"license.txt": b"x"}
    (tmp_path / "gtFine_trainvaltest.zip").write_bytes(zipped(labels))
    (tmp_path / "leftImg8bit_trainvaltest.zip").write_bytes(zipped(photos))
    given = [tmp_path / "gtFine_trainvaltest.zip", tmp_path / "leftImg8bit_trainvaltest.zip"]
    ready = download(load("cityscapes"), from_file=given)
    assert ready.notes == ["cityscapes: found train 1, val 1; published train 2975, val 500"]
    with Image.open(ready.folder / "val/B/lindau_000001_000019.png") as picture:
        assert picture.size == (256, 256)
        assert picture.getpixel((3, 3)) == (8, 90, 30)


def test_mnist_m_blends_by_absolute_difference(tmp_path):
    mnist, photos, out = tmp_path / "mnist", tmp_path / "photos", [tmp_path / "1", tmp_path / "2"]
    for folder in (mnist, photos, *out):
        folder.mkdir()
    rng = np.random.default_rng(0)
    for split, n in (("train", 40), ("test", 8)):
        np.save(mnist / f"{split}-images.npy", rng.integers(0, 256, (n, 28, 28), dtype=np.uint8))
        np.save(mnist / f"{split}-labels.npy", rng.integers(0, 10, n))
    for i, shade in enumerate((50, 200)):
        Image.new("RGB", (40, 33), (shade, 100, 0)).save(photos / f"{i}.png")
    for folder in out:
        mnist_m(mnist, photos, folder, seed=3)
    digits, made = np.load(mnist / "train-images.npy").astype(int), np.load(out[0] / "train-images.npy")
    assert made.shape == (40, 28, 28, 3)
    assert np.array_equal(made[..., 1], np.abs(100 - digits))
    assert np.array_equal(made[..., 2], digits)
    which = [(made[i, ..., 0] == np.abs(50 - digits[i])).all() for i in range(40)]
    assert 5 < sum(which) < 35, "both photos are used"
    assert np.array_equal(made, np.load(out[1] / "train-images.npy")), "the same seed makes the same pictures"
    assert np.array_equal(np.load(out[0] / "test-labels.npy"), np.load(mnist / "test-labels.npy"))


def mnist_m_archive(path: Path, rows: str = "0.png 7\n1.png 3\n") -> Path:
    entries = {f"mnist_m/mnist_m_{split}/{i}.png": png(9 * i) for split in ("train", "test") for i in range(2)}
    entries |= {f"mnist_m/mnist_m_{split}_labels.txt": rows.encode() for split in ("train", "test")}
    path.write_bytes(zipped(entries))
    return path


def test_the_original_mnist_m_is_taken_too(tmp_path):
    ready = download(load("mnist_m"), from_file=mnist_m_archive(tmp_path / "mnist_m.zip"))
    images = np.load(ready.folder / "train-images.npy")
    assert images.shape == (2, 8, 8, 3)
    assert images[1, 0, 0].tolist() == [9, 90, 30]
    assert np.load(ready.folder / "test-labels.npy").tolist() == [7, 3]
    assert ready.notes == ["mnist_m: found train 2, test 2; published train 60000, test 10000"]


@pytest.mark.parametrize(
    ("name", "rows", "says"),
    [
        ("keras_mnistm.pkl.gz", "", "a pickle is not opened, for it could run anything"),
        ("m.zip", "0.png seven\n", "mnist_m_train_labels.txt: '0.png seven' is not a name and a digit"),
        ("m.zip", "5.png 7\n", "5.png"),
    ],
)
def test_another_mnist_m_is_refused_in_one_line(tmp_path, name, rows, says):
    with pytest.raises((FetchError, DataError)) as e:
        download(load("mnist_m"), from_file=mnist_m_archive(tmp_path / name, rows))
    assert says in str(e.value)
    assert "\n" not in str(e.value)
    assert not is_ready(load("mnist_m"))


def test_what_i2i_draws_itself_takes_no_file(tmp_path):
    with pytest.raises(FetchError, match=r"^shapes: is made by i2i, there is no file to give: leave --from-file out$"):
        download(load("shapes"), from_file=mnist_m_archive(tmp_path / "x.zip"))


JOINED = {
    "name": "joined", "title": "x", "about": {"homepage": "", "licence": "x", "cite": "x"}, "kind": "single",
    "domains": ["picture"], "layout": "one folder", "generate": "join", "made_from": ["one", "two"],
    "join": {"train": ["one/train", "two/train"], "test": ["two/test"]},
}  # fmt: skip


def test_join_puts_splits_of_several_data_sets_together(tmp_path):
    parts = {"one": tmp_path / "one", "two": tmp_path / "two"}
    for folder, splits in (("one", [""]), ("two", ["train", "test"])):  # one: no split folder, which is train
        for i, split in enumerate(splits):
            (tmp_path / folder / split).mkdir(parents=True)
            (tmp_path / folder / split / "a.png").write_bytes(png(i))
    (tmp_path / "two/card.json").write_text("{}")
    data = generate(Card.model_validate(JOINED), parts, tmp_path)
    assert sorted(p.relative_to(data).as_posix() for p in data.rglob("*.png")) == [
        "test/two-a.png", "train/one-a.png", "train/two-a.png",
    ]  # fmt: skip
    assert not list(data.rglob("card.json"))
    with pytest.raises(DataError, match=r"^one: has no split val, which this data set is made from$"):
        join({"train": ("one/val",)}, parts, tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"made_from": ["one"]}, "join: two is not in made_from"),
        ({"generate": "shapes"}, "'join' says which folders 'generate: join' puts together: one needs the other"),
        ({"join": {"train": ["../one"]}}, "must be a plain relative name"),
    ],
)
def test_a_join_that_cannot_be_is_refused(change, says):
    with pytest.raises(CardError) as e:
        validate(Card, JOINED | change, Source("x.yaml"), CardError)
    assert says in str(e.value)


def test_two_at_once(site):
    site.files["/toy.zip"] = TOY
    card = toy(f"{site.url}/toy.zip")
    with lock("toy", True, None, Naps()):
        text = error(card, wait=False)
        assert text == "toy: another process is downloading it: wait until it has ended, then run this again"
    results = []
    threads = [threading.Thread(target=lambda: results.append(download(card))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert len(site.asked) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_killed_in_the_middle_and_gone_on(site):
    site.files["/toy.zip"], site.etag["/toy.zip"], site.cut["/toy.zip"] = TOY, '"one"', [1000]
    site.stall = True
    card = toy(f"{site.url}/toy.zip")
    code = (
        "import sys; from i2i.card import Card; from i2i.fetch import download;"
        "download(Card.model_validate_json(sys.argv[1]))"
    )
    with subprocess.Popen([sys.executable, "-c", code, card.model_dump_json()]) as process:
        part = cards.paths.cache() / "archives/toy/toy.zip.part"
        until = time.monotonic() + 120
        while not (part.exists() and part.stat().st_size == 1000) and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    site.stall = False
    assert part.stat().st_size == 1000
    assert not is_ready(card)
    assert not prepared("toy").exists()
    assert leftovers(), "the kill left a work folder behind"
    assert download(card).notes == []
    assert not leftovers()
    assert site.asked[-1] == ("/toy.zip", "bytes=1000-")


def test_nothing_heavy_is_imported():
    code = (
        "import sys, i2i.card, i2i.fetch; i2i.card.load('mnist');"
        "sys.exit(','.join({'torch', 'torchvision', 'numpy', 'PIL'} & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


REAL = {
    "facades": ["facades: found train 400, val 100; published train 400, val 100, test 106"],
    "apple2orange": ["apple2orange: found train 896 + 918, test 99 + 101; published train 995 + 1019, test 266 + 248"],
    "edges2shoes": ["edges2shoes: found train 100, val 20; published train 49825, val 200"],
    "mnist": [],
    "set5": [],
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_archives(name, mirror):
    ready = download(load(name), mirror=mirror)
    assert ready.notes == REAL[name]
    assert cards.resolve(name) == (load(name), ready.folder)

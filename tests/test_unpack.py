"""Archives that mean harm, or are broken, are refused in one line; honest ones come out whole."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile

import pytest

from i2i.errors import FetchError
from i2i.unpack import Limits, kind, unpack


def make_zip(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in entries:
            z.writestr(name, content)
    return path


def make_tar(path, members):
    with tarfile.open(path, "w:gz") as t:
        for member in members:
            info, content = (
                member if isinstance(member[0], tarfile.TarInfo) else (tarfile.TarInfo(member[0]), member[1])
            )
            info.size = len(content) if info.isreg() else 0
            t.addfile(info, io.BytesIO(content))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def files(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive, into, **limits):
    with pytest.raises(FetchError) as e:
        unpack(archive, into, limits=Limits(**limits))
    return str(e.value)


HONEST = [("top/a.jpg", b"1"), ("top/sub/b.jpg", b"22"), ("__MACOSX/top/._a.jpg", b"x"), ("top/.DS_Store", b"x")]


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_honest_archive(make, tmp_path):
    archive = make(tmp_path / "x", HONEST)
    assert unpack(archive, tmp_path / "out") == 2
    assert files(tmp_path / "out") == {"top/a.jpg": b"1", "top/sub/b.jpg": b"22"}
    assert not (tmp_path / "out/__MACOSX").exists()


def test_modes_are_those_of_the_user(tmp_path):
    info = tarfile.TarInfo("run.sh")
    info.mode = 0o6777
    unpack(make_tar(tmp_path / "x.tar.gz", [(info, b"x")]), tmp_path / "out")
    assert stat.S_IMODE((tmp_path / "out/run.sh").stat().st_mode) & 0o7111 == 0


def test_single_gz_and_kinds(tmp_path):
    (tmp_path / "train-images.gz").write_bytes(gzip.compress(b"hello"))
    unpack(tmp_path / "train-images.gz", tmp_path / "out")
    assert files(tmp_path / "out") == {"train-images": b"hello"}
    assert kind(tmp_path / "train-images.gz") == "gz"
    assert kind(make_zip(tmp_path / "z.tar.gz", HONEST)) == "zip", "the content counts, not the name"
    (tmp_path / "page.zip").write_text("<html>not found</html>")
    assert kind(tmp_path / "page.zip") is None
    assert refused(tmp_path / "page.zip", tmp_path / "o2") == (
        "page.zip: neither a zip nor a tar nor a gz archive (a web page in its place?)"
    )


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/abs/evil.jpg", "C:/evil.jpg", "c:evil.jpg", "..\\evil.jpg"]
)
def test_paths_that_leave_the_folder(make, name, tmp_path):
    text = refused(make(tmp_path / "x.bin", [("ok.jpg", b"1"), (name, b"x")]), tmp_path / "out/inner")
    assert text == f"x.bin: the entry {name!r} points outside the folder: not a safe archive, nothing is unpacked"
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("what", "target", "why"),
    [
        (tarfile.SYMTYPE, "/etc", "is a link"),
        (tarfile.LNKTYPE, "ok.jpg", "is a link"),
        (tarfile.CHRTYPE, "", "is a device"),
        (tarfile.BLKTYPE, "", "is a device"),
        (tarfile.FIFOTYPE, "", "is a device"),
    ],
)
def test_tar_links_and_devices(what, target, why, tmp_path):
    archive = make_tar(tmp_path / "x.tar.gz", [("ok.jpg", b"1"), special("bad", what, target)])
    assert f"the entry 'bad' {why}" in refused(archive, tmp_path / "out")
    assert not (tmp_path / "out/bad").exists()


@pytest.mark.parametrize(("mode", "why"), [(stat.S_IFLNK, "is a link"), (stat.S_IFBLK, "is a device")])
def test_zip_links_and_devices(mode, why, tmp_path):
    info = zipfile.ZipInfo("bad")
    info.create_system, info.external_attr = 3, (mode | 0o777) << 16
    assert f"the entry 'bad' {why}" in refused(make_zip(tmp_path / "x.zip", [(info, "/etc/passwd")]), tmp_path / "out")


def test_encrypted_zip(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [("a.jpg", b"1")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x03\x04") + 6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    assert "the entry 'a.jpg' is encrypted" in refused(archive, tmp_path / "out")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_bombs(make, tmp_path):
    archive = make(tmp_path / "x", [("a", bytes(3_000_000)), ("b", b"1"), ("c", b"1")])
    size = archive.stat().st_size
    assert refused(archive, tmp_path / "1", total=2_000_000) == (
        f"x: {size} bytes unpack to more than 2000000: not a safe archive"
    )
    assert f"unpack to more than {max(100_000, size * 20)}" in refused(
        archive, tmp_path / "2", ratio=20, ratio_from=100_000
    )
    assert refused(archive, tmp_path / "3", entries=2) == "x: more than 2 entries: not a safe archive"
    assert sum(len(c) for c in files(tmp_path / "2").values()) < 600_000, "stopped early"
    assert unpack(archive, tmp_path / "4") == 3, "the usual limits leave small archives alone"


def test_gz_bomb(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(bytes(3_000_000)))
    assert "not a safe archive" in refused(tmp_path / "x.gz", tmp_path / "out", total=1_000_000)


def test_nothing_is_overwritten(tmp_path):
    archive = make_tar(tmp_path / "x.tar.gz", [("a.jpg", b"1"), ("a.jpg", b"2")])
    assert "the entry 'a.jpg' would overwrite another one" in refused(archive, tmp_path / "out")
    archive = make_tar(tmp_path / "y.tar.gz", [("a", b"1"), ("a/b.jpg", b"2")])
    assert "the entry 'a/b.jpg' would overwrite another one" in refused(archive, tmp_path / "out2")


def test_names_that_differ_in_case_only(tmp_path):
    archive = make_zip(tmp_path / "x.zip", [("IMG.jpg", b"1"), ("img.jpg", b"2")])
    (tmp_path / "probe").touch()
    if (tmp_path / "PROBE").exists():
        assert "would overwrite another one" in refused(archive, tmp_path / "out")
    else:
        unpack(archive, tmp_path / "out")
        assert files(tmp_path / "out") == {"IMG.jpg": b"1", "img.jpg": b"2"}


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_damaged(make, tmp_path):
    noise = bytes((i * 7919 >> 3) & 255 for i in range(50_000))
    archive = make(tmp_path / "x", [("a.jpg", noise)])
    content = archive.read_bytes()
    middle = len(content) // 2
    archive.write_bytes(
        content[:middle] + bytes(b ^ 255 for b in content[middle : middle + 64]) + content[middle + 64 :]
    )
    assert refused(archive, tmp_path / "1").startswith("x: the archive is damaged (")
    archive.write_bytes(content[:middle])
    assert "x: the archive is damaged (" in refused(archive, tmp_path / "2")

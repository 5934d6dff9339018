"""Archives of strangers, unpacked with care: nothing outside the folder, no links or devices, no bombs, nothing lost.

Entry by entry, never ``extractall``. Files get this user's default modes; the archive's times and owners are ignored.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from i2i.errors import FetchError
from i2i.transfer import Progress, need_space

JUNK = {"__macosx", ".ds_store", "thumbs.db", "desktop.ini"}
CHUNK = 1 << 18
_DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Limits:
    """Beyond these an archive is a bomb. Pictures hardly shrink, so honest archives stay far below."""

    total: int = 256 << 30  # bytes, unpacked
    entries: int = 2_000_000
    ratio: float = 200.0  # unpacked to packed, looked at once ``ratio_from`` bytes are out
    ratio_from: int = 64 << 20


def kind(path: Path) -> str | None:
    """``zip``, ``tar`` (compressed or not) or ``gz`` (one compressed file), by content; None: not an archive."""
    with path.open("rb") as f:
        head = f.read(6)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    try:
        with tarfile.open(path, "r:*") as t:
            if t.next():  # a file of zeros would pass for an empty tar
                return "tar"
    except (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError):
        pass
    return "gz" if head[:2] == b"\x1f\x8b" else None


def unpack(archive: Path, into: Path, *, limits: Limits | None = None, progress: Progress | None = None) -> int:
    """Unpack into ``into`` (made if missing); the number of files. After an error ``into`` is to be thrown away.

    Raises:
        FetchError: not an archive, damaged, unsafe, too big for the limits or for the disk.
    """
    into.mkdir(parents=True, exist_ok=True)
    job = _Job(archive, into, limits or Limits(), progress)
    with _named(archive):
        found = kind(archive)
        if found == "zip":
            _zip(job)
        elif found == "tar":
            _tar(job)
        elif found == "gz":
            with gzip.open(archive, "rb") as source:
                job.write(archive.name.removesuffix(".gz"), source)
        else:
            raise FetchError(f"{archive.name}: neither a zip nor a tar nor a gz archive (a web page in its place?)")
    return job.files


@contextmanager
def _named(archive: Path) -> Iterator[None]:
    try:
        yield
    except RuntimeError as e:  # zipfile's way to ask for a password
        if isinstance(e, NotImplementedError):
            raise FetchError(f"{archive.name}: packed in a way that Python cannot read ({e})") from e
        raise FetchError(f"{archive.name}: {e}") from e
    except _DAMAGE as e:
        raise FetchError(f"{archive.name}: the archive is damaged ({e}): get it anew") from e
    except OSError as e:
        if e.errno is None:  # what the decompressors say about bad data
            raise FetchError(f"{archive.name}: the archive is damaged ({e}): get it anew") from e
        raise FetchError(f"{archive.name}: cannot be unpacked: {e.strerror} ({e.filename or 'while writing'})") from e


def _zip(job: _Job) -> None:
    with zipfile.ZipFile(job.archive) as z:
        need_space(job.into, sum(i.file_size for i in z.infolist()), f"unpacking {job.archive.name}")
        for info in z.infolist():
            job.entry()
            mode = stat.S_IFMT(info.external_attr >> 16)
            if info.flag_bits & 0x41:
                job.refuse(info.filename, "is encrypted")
            if mode == stat.S_IFLNK:
                job.refuse(info.filename, "is a link")
            if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
                job.refuse(info.filename, "is a device")
            if info.is_dir():
                job.inside(info.filename)
                continue
            with z.open(info) as source:
                job.write(info.filename, source)


def _tar(job: _Job) -> None:
    need_space(job.into, job.packed, f"unpacking {job.archive.name}")
    with tarfile.open(job.archive, "r:*") as t:
        for member in t:
            job.entry()
            if member.issym() or member.islnk():
                job.refuse(member.name, "is a link")
            if member.isdir():
                job.inside(member.name)
                continue
            if not member.isfile() or member.issparse():
                job.refuse(member.name, "is a device")
            source = t.extractfile(member)
            if source is not None:
                with source:
                    job.write(member.name, source, member.size)
        while t.fileobj and (rest := t.fileobj.read(CHUNK)):  # to the end, where the compressed stream has its checksum
            job.total += len(rest)
            job.bounds()


class _Source(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Job:
    """One archive being unpacked: what has come out so far, held against the limits."""

    def __init__(self, archive: Path, into: Path, limits: Limits, progress: Progress | None):
        self.archive, self.into, self.limits, self.progress = archive, into, limits, progress
        self.packed = archive.stat().st_size
        self.files = self.entries = self.total = 0

    def refuse(self, name: str, why: str) -> None:
        raise FetchError(f"{self.archive.name}: the entry {name!r} {why}: not a safe archive, nothing is unpacked")

    def entry(self) -> None:
        self.entries += 1
        if self.entries > self.limits.entries:
            raise FetchError(f"{self.archive.name}: more than {self.limits.entries} entries: not a safe archive")

    def inside(self, name: str) -> PurePosixPath | None:
        """The entry's path below the folder; None for the litter that desktops leave."""
        plain = name.replace("\\", "/")
        path = PurePosixPath(plain)
        if plain.startswith("/") or re.match(r"^[A-Za-z]:", plain) or ".." in path.parts or "\0" in plain:
            self.refuse(name, "points outside the folder")
        if not path.parts or any(p.lower() in JUNK or p.startswith("._") for p in path.parts):
            return None
        if os.name == "nt":  # names that Windows cannot hold
            path = PurePosixPath(*(re.sub(r'[<>:"|?*]', "_", p).rstrip(" .") or "_" for p in path.parts))
        return path

    def write(self, name: str, source: _Source, size: int | None = None) -> None:
        path = self.inside(name)
        if path is None:
            return
        target = self.into / path
        before = self.total
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            out = target.open(
                "xb"
            )  # fails for a second entry of one name, also for 'a' and 'A' on disks that fold case
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            self.refuse(name, "would overwrite another one")
        with out:
            while chunk := source.read(CHUNK):
                self.total += len(chunk)
                self.bounds()
                out.write(chunk)
                if self.progress:
                    self.progress(f"unpack {self.archive.name}", self.total, None)
        if size is not None and self.total - before != size:
            raise EOFError(f"{name} is cut off")
        self.files += 1

    def bounds(self) -> None:
        most = self.limits.total
        if self.total > self.limits.ratio_from:
            most = min(most, int(max(self.packed * self.limits.ratio, self.limits.ratio_from)))
        if self.total > most:
            raise FetchError(f"{self.archive.name}: {self.packed} bytes unpack to more than {most}: not a safe archive")

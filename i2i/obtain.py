"""One published file at hand: a mirror's copy, the kept one, or a download; its sum checked either way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from i2i import paths
from i2i.card import File
from i2i.errors import FetchError
from i2i.ledger import Sums
from i2i.transfer import Progress, fetch_url
from i2i.unpack import kind


@dataclass(frozen=True)
class Got:
    """A file at hand: where it lies, where it came from, its sum."""

    path: Path
    source: str
    sha256: str
    differs: bool = False  # not the published bytes; only a mirror's or the user's copy may do so


def mirror_base(mirror: str | Path | None = None) -> str:
    """The mirror that is asked first: ``mirror``, else ``$I2I_MIRROR``, else none (an empty text).

    Raises:
        FetchError: neither a folder that exists nor an http or https address.
    """
    base = str(mirror or os.environ.get("I2I_MIRROR") or "")
    if base and "://" in base and not base.startswith(("http://", "https://")):
        raise FetchError(f"mirror {base}: only a folder, or an http or https address")
    if base and "://" not in base and not paths.is_dir(paths.user_path(base)):
        raise FetchError(f"mirror {base}: no such folder")
    return base


def obtain(
    place: str,
    file: File,
    base: str,
    sums: Sums,
    progress: Progress | None,
    sleep: Callable[[float], None],
    excuse: Callable[[str], str],
) -> Got:
    """``<base>/<place>/<file name>`` of the mirror, else the file's addresses in order; kept in ``sums.folder``.

    Args:
        excuse: the words of the error when every source failed, made from the reasons.

    Raises:
        FetchError: not to be had, a wrong sum, or other bytes than at its first use.
    """
    names = (file.name, *file.aka)
    urls = list(file.urls)
    if base and "://" in base:
        urls = [f"{base.rstrip('/')}/{place}/{quote(name)}" for name in names] + urls
    elif base:
        for name in names:
            path = paths.user_path(base).resolve() / place / name
            if path.is_file():
                got = own_copy(file, path, progress)
                if (known := sums.known(got.source)) not in (None, got.sha256):
                    raise FetchError(_changed(path.name, known, got, sums, "the mirror's copy is left alone"))
                return got
    target = sums.folder / file.name
    kept = sums.kept(file.name)
    if kept and kept["source"] in urls and target.is_file():
        sha256, _ = digest(target, progress)
        if sha256 == kept["sha256"]:
            return Got(target, kept["source"], sha256)
        target.unlink()  # it has rotted on this disk
    failed: list[str] = []
    for url in urls:
        try:
            fetch_url(url, target, progress=progress, sleep=sleep)
            return _accept(file, target, url, url not in file.urls, sums, progress)
        except FetchError as e:
            failed.append(str(e))
    raise FetchError(excuse("; ".join(failed)))


def own_copy(file: File, path: Path, progress: Progress | None) -> Got:
    """A mirror's or a user's copy: other bytes than published are a note, not an error.

    Where the card knows the sum of the content (``unpacked_md5``) only that counts, and ``prepare`` looks at it.
    """
    sha256, md5 = digest(path, progress)
    return Got(path, str(path), sha256, differs=_wrong_sum(file, sha256, md5) != "" and not file.unpacked_md5)


def _wrong_sum(file: File, sha256: str, md5: str) -> str:
    for algorithm, want, have in (("sha256", file.sha256, sha256), ("md5", file.md5, md5)):
        if want and want != have:
            return f"expected {algorithm} {want}, got {have}"
    return ""


def _accept(file: File, path: Path, url: str, mirrored: bool, sums: Sums, progress: Progress | None) -> Got:
    """A file fresh from the web: its sum, and whether it is an archive at all. What is wrong does not stay."""
    sha256, md5 = digest(path, progress)
    bad = _wrong_sum(file, sha256, md5)
    got = Got(path, url, sha256, differs=bool(bad) and mirrored and not file.unpacked_md5)
    wrong = f"{file.name} from {url}: wrong checksum: {bad}; the file is removed" if bad and not mirrored else ""
    if (known := sums.known(url)) not in (None, sha256):
        wrong = wrong or _changed(file.name, known, got, sums, "the file is removed")
    if not wrong and file.unpack and kind(path) is None:
        wrong = f"{url}: what came is not an archive (a web page?); the file is removed"
    if wrong:
        path.unlink()
        raise FetchError(wrong)
    sums.keep(file.name, got.source, got.sha256)
    return got


def _changed(name: str, known: str | None, got: Got, sums: Sums, then: str) -> str:
    return (
        f"{name}: changed since it was first used: expected sha256 {known}, got {got.sha256} from {got.source}; {then}."
        f" If the change is meant, delete {sums.path} and run again"
    )


def digest(path: Path, progress: Progress | None) -> tuple[str, str]:
    """sha256 and md5 in one reading."""
    sha256, md5, done = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
    total = path.stat().st_size
    with path.open("rb") as f:
        while chunk := f.read(1 << 20):
            sha256.update(chunk)
            md5.update(chunk)
            done += len(chunk)
            if progress:
                progress(f"check {path.name}", done, total)
    return sha256.hexdigest(), md5.hexdigest()

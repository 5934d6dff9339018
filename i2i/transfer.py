"""One file from the web to the disk: resumed where it was cut, tried again with pauses, complete or not there."""

from __future__ import annotations

import errno
import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from i2i.errors import FetchError

CHUNK = 1 << 18
SPARE = 64 << 20  # bytes of the disk that stay free


class Progress(Protocol):
    """Told what is going on: the stage in words, what is done, out of how much (None: not known)."""

    def __call__(self, stage: str, done: int, total: int | None) -> None: ...


class _Again(Exception):
    """A failure that another attempt may cure."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req, fp, code, msg, headers, newurl):
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old == "https" and new == "http"):
            raise FetchError(f"{req.full_url}: the server redirects to {newurl}, which i2i does not follow")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """http and https alone: urllib's default one would also open file:, ftp: and data: addresses."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def need_space(folder: Path, size: int, what: str) -> None:
    """Refuse early what cannot fit.

    Raises:
        FetchError: fewer than ``size`` bytes (and a little to spare) are free where ``folder`` lies.
    """
    free = shutil.disk_usage(folder).free
    if size + SPARE > free:
        raise FetchError(
            f"{what} needs {size / 1e6:,.0f} MB and {folder} has {free / 1e6:,.0f} MB free: make room, or set I2I_CACHE"
        )


def fetch_url(
    url: str,
    target: Path,
    *,
    progress: Progress | None = None,
    tries: int = 4,
    timeout: float = 30.0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Download ``url`` to ``target``. It grows as ``<target>.part``; the next attempt or run goes on from there.

    Raises:
        FetchError: the address is refused by the server, or ``tries`` attempts in a row brought nothing.
    """
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    failures, furthest = 0, 0
    while True:
        try:
            return _attempt(url, target, part, progress, timeout)
        except _Again as e:
            reason = str(e)
        reached = part.stat().st_size if part.exists() else 0
        failures = 0 if reached >= furthest + (1 << 20) else failures + 1
        furthest = max(furthest, reached)
        if failures >= tries:
            raise FetchError(f"{url}: {reason} (tried {tries} times)")
        sleep(2.0 ** max(failures - 1, 0))


def _attempt(url: str, target: Path, part: Path, progress: Progress | None, timeout: float) -> None:
    notes = part.with_name(part.name + ".json")
    known = _read(notes) if part.exists() else {}
    have = part.stat().st_size if known.get("url") == url else 0
    total = known.get("total") if have else None
    request = urllib.request.Request(url, headers={"User-Agent": "i2i", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if known.get("validator"):
            request.add_header("If-Range", known["validator"])
    try:
        response = _opener().open(request, timeout=timeout)
    except urllib.error.HTTPError as e:
        e.close()
        if e.code == 416 and have and have == total:
            return _finish(part, notes, target)
        if e.code == 416:
            part.unlink(missing_ok=True)
            raise _Again("the server cannot go on where the transfer was cut") from e
        if e.code >= 500 or e.code in (408, 425, 429):
            raise _Again(f"the server answers {e.code} {e.reason}") from e
        raise FetchError(f"{url}: the server answers {e.code} {e.reason}") from e
    except (urllib.error.URLError, OSError, http.client.HTTPException) as e:
        raise _Again(f"no answer ({getattr(e, 'reason', None) or e})") from e
    with response:
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if response.status == 206:
            if not have or not span or int(span[1]) != have or (total and span[2] not in ("*", str(total))):
                part.unlink(missing_ok=True)
                raise _Again("the server sends another part than asked for")
            total = total if span[2] == "*" else int(span[2])
        else:
            have, length = 0, response.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            etag = response.headers.get("ETag", "")
            validator = etag if etag.startswith('"') else response.headers.get("Last-Modified")
            part.unlink(missing_ok=True)
            notes.write_text(json.dumps({"url": url, "total": total, "validator": validator}), encoding="utf-8")
        need_space(part.parent, (total or have) - have, target.name)
        got = _copy(response, part, have, total, target.name, progress)
    if total is not None and got != total:
        raise _Again(f"cut off after {got} of {total} bytes")
    _finish(part, notes, target)


def _copy(response, part: Path, have: int, total: int | None, name: str, progress: Progress | None) -> int:
    with part.open("ab") as out:
        while True:
            try:
                chunk = response.read1(CHUNK)  # what is there: a slow line must not keep it in memory
            except (OSError, http.client.HTTPException) as e:
                raise _Again(f"cut off after {have} bytes ({e})") from e
            if not chunk:
                return have
            try:
                out.write(chunk)
                out.flush()
            except OSError as e:
                full = e.errno == errno.ENOSPC
                raise FetchError(f"{part}: {'the disk is full' if full else e.strerror}") from e
            have += len(chunk)
            if progress:
                progress(f"download {name}", have, total)


def _finish(part: Path, notes: Path, target: Path) -> None:
    part.replace(target)
    notes.unlink(missing_ok=True)


def _read(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

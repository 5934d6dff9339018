"""What the cache remembers of downloads: each source's sum at its first use; and one download of a card at a time."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from i2i import paths
from i2i.errors import FetchError
from i2i.transfer import Progress


class Sums:
    """``sums.json`` beside the kept archives: each source's sum at its first use, and the source of each kept file."""

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / "sums.json"
        try:
            self.tree = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self.tree = {}

    def known(self, source: str) -> str | None:
        return self.tree.get("sources", {}).get(source)

    def kept(self, name: str) -> dict[str, str] | None:
        return self.tree.get("kept", {}).get(name)

    def keep(self, name: str, source: str, sha256: str) -> None:
        self.tree.setdefault("kept", {})[name] = {"source": source, "sha256": sha256}
        self._write()

    def record(self, found: dict[str, str]) -> None:
        """Sums by source; called when the data set could be made: an error page is not remembered as the true file."""
        self.tree["sources"] = found | self.tree.get("sources", {})
        self._write()

    def drop(self, paths: Iterable[Path]) -> None:
        """Remove kept files that turned out to be no good; files elsewhere are not ours to remove."""
        for path in paths:
            if path.parent == self.folder:
                path.unlink(missing_ok=True)

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self.tree)


def write_json(path: Path, tree: dict) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(tree, indent=1), encoding="utf-8")
    part.replace(path)


@contextmanager
def lock(name: str, wait: bool, progress: Progress | None, sleep: Callable[[float], None]) -> Iterator[None]:
    """One process at a time per card. The operating system drops the lock when its holder dies, however it dies."""
    path = paths.cache() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as handle:
        while not try_lock(handle):
            if not wait:
                raise FetchError(
                    f"{name}: another process is downloading it: wait until it has ended, then run this again"
                )
            if progress:
                progress(f"another process downloads {name}", 0, None)
            sleep(0.5)
        yield  # closing the file gives the lock back


def try_lock(handle: IO[bytes]) -> bool:
    """Take the lock of an open file, held until it is closed. False: somebody else has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True

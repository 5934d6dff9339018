"""Several processes that share one list, as torchrun and accelerate start them: told by the environment alone."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from i2i.errors import UsageError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

STARTING = 60.0  # seconds that processes started together may begin apart


def share() -> tuple[int, int]:
    """(number of this process, how many there are): (0, 1) where nobody has started several.

    Raises:
        UsageError: RANK and WORLD_SIZE are set and make no sense.
    """
    rank, world = _number("RANK", 0), _number("WORLD_SIZE", 1)
    if rank >= world:
        raise UsageError(f"RANK={rank} with WORLD_SIZE={world} in the environment: RANK goes from 0 to {world - 1}")
    return rank, world


def own_gpu(count: int) -> int:
    """Which of the ``count`` GPUs of its machine is this process's own."""
    return _number("LOCAL_RANK", 0) % count if count else 0


def _number(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not text.isdecimal():
        raise UsageError(f"{name}={text} in the environment: a whole number is expected")
    return int(text)


@contextmanager
def siblings() -> Iterator[Callable[[], None]]:
    """Gives a function that returns when all others that the same launcher started on this machine have ended.

    A launcher that sees one process fail kills all others: who has failures to report therefore leaves last. Each holds
    a lock as long as it lives; the system takes it from the dead.
    """
    count = _number("LOCAL_WORLD_SIZE", 1)
    if count == 1 or fcntl is None:
        yield lambda: None
        return
    path = Path(tempfile.gettempdir()) / f"i2i-{os.getuid()}-{os.getppid()}.lock"
    with path.open("ab") as file:
        file.write(b".")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_SH)

        def all_here() -> bool:
            return os.fstat(file.fileno()).st_size >= count

        def wait() -> None:
            end = time.monotonic() + STARTING
            while not all_here() and time.monotonic() < end:
                time.sleep(0.1)
            fcntl.flock(file, fcntl.LOCK_EX)

        yield wait
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if all_here():
                path.unlink(missing_ok=True)
        except OSError:  # others are at work
            pass

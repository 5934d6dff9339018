"""Several processes that share one list, as torchrun and accelerate start them: told by the environment alone."""

from __future__ import annotations

import math
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

CGROUP = Path("/sys/fs/cgroup")
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


def cores() -> int:
    """Those that this process may use: of the computer's, what its affinity and the quota of its container leave."""
    known = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else known
    granted = quota()
    return allowed if granted is None else max(1, min(allowed, math.ceil(granted)))


def quota() -> float | None:
    """Cores' worth of time that the control group of a container grants (Linux); None: no limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # of version 2, and 1
        try:
            time, period = (float(x) for file in files for x in (CGROUP / file).read_text("utf-8").split())
        except (OSError, ValueError):  # "max" is no number
            continue
        if time > 0 and period > 0:  # -1 is no limit
            return time / period
    return None


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

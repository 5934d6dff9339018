"""Measuring where other programs may run: what is compared takes turns, so that a busy moment meets all alike."""

from __future__ import annotations

import json
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from i2i import __version__
from i2i.errors import I2IError, UsageError, did_you_mean
from i2i.memory import exhausted

ROUNDS = 3  # at least, however short the time


@dataclass(frozen=True)
class Spread:
    """The median, and the quartiles around it: half of the values lie between ``low`` and ``high``."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True)
class Memory:
    """The most that a process of its own held: its resident set, and what torch held of a GPU. None: not known."""

    resident_bytes: int | None
    gpu_bytes: int | None


@dataclass
class Bench:
    """All that was measured in one call, and on what; ``rows`` are dataclasses."""

    kind: str  # train or model
    device: str
    threads: int
    torch: str
    rows: list[Any] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    load_before: float | None = field(default_factory=lambda: load())
    load_after: float | None = None

    def busy(self) -> str:
        """A sentence about the machine's load when the measuring began."""
        cores = os.cpu_count() or 1
        if self.load_before is None:
            return "the load of this machine is not known"
        meaning = (
            "other programs were running: ratios hold, absolute figures are those of a busy machine"
            if self.load_before > 0.25 * cores
            else "quiet"
        )
        return f"load before the start {self.load_before:.2f} on {cores} cores: {meaning}"

    def write(self, path: Path) -> None:
        """As JSON: seconds, bytes, floating point operations; no name of the machine or its user."""
        about = {
            "bench": self.kind, "i2i": __version__, "torch": self.torch, "python": platform.python_version(),
            "system": platform.system(), "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(), "threads": self.threads, "device": self.device,
            "load_before": self.load_before, "load_after": self.load_after, "notes": self.notes,
        }  # fmt: skip
        path.write_text(json.dumps({**about, "rows": [asdict(row) for row in self.rows]}, indent=1) + "\n", "utf-8")


def interleaved(
    runs: Mapping[str, Callable[[], object]], seconds: float, tell: Callable[[float], None] = lambda done: None
) -> dict[str, list[float]]:
    """The seconds that each run took in each round. The order turns from round to round: nobody always goes first.

    Whoever calls has run each of them once before. ``tell`` hears the share of ``seconds`` that is over.
    """
    taken: dict[str, list[float]] = {name: [] for name in runs}
    names, began = list(runs), time.perf_counter()
    while len(taken[names[0]]) < ROUNDS or time.perf_counter() - began < seconds:
        for name in names:
            start = time.perf_counter()
            runs[name]()
            taken[name].append(time.perf_counter() - start)
        names = [*names[1:], names[0]]
        tell(min(1.0, (time.perf_counter() - began) / max(seconds, 1e-9)))
    return taken


def ratio(taken: Mapping[str, Sequence[float]], name: str, to: str) -> Spread:
    """How long ``name`` takes beside ``to``, round by round: both of a pair met the same moment of the machine."""
    return Spread.of([a / b for a, b in zip(taken[name], taken[to], strict=True)])


def load() -> float | None:
    """Processes that ran or waited to run, the mean of the last minute."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def alone(function: Callable[..., object], *args: Any) -> Memory:
    """The memory of a fresh process that imports what ``function`` needs and calls it; not known if the system ends
    it: what was measured before is not lost for that. An error of ``function`` is raised here. ``args`` are few and
    small: a pipe holds them until they are read.

    That the process has ended is asked of the system. An executor would wait for its pipes to close, and what the
    process has started, like the workers of a compiler, can hold them open long after.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_watched, args=(theirs, function, *args))
    process.start()
    theirs.close()
    try:
        while not ours.poll(0.1) and process.is_alive():
            pass
        found = ours.recv() if ours.poll() else Memory(None, None)
    except EOFError:
        found = Memory(None, None)
    finally:
        process.join(5)
        process.kill()
        process.join()
        ours.close()
    if isinstance(found, Exception):
        raise found
    return found


def _watched(pipe: Connection, function: Callable[..., object], *args: Any) -> None:
    """In the process: answers with its memory, or with the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the business of who started it
    try:
        function(*args)
    except Exception as e:
        pipe.send(e)
        return
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and torch.cuda.is_available()
    pipe.send(Memory(peak_resident(), torch.cuda.max_memory_allocated() if torch and on_gpu else None))


def peak_resident() -> int | None:
    """The largest resident set of this process so far, in bytes; None where the system does not tell (Windows)."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would count the parent: it survives the start of a program
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def fitting(what: str) -> Iterator[None]:
    """What does not fit the networks or the memory is one line that begins with ``what``.

    Raises:
        UsageError: instead of the other errors of i2i, and of those of torch about memory.
    """
    try:
        yield
    except I2IError as e:
        raise UsageError(f"{what}: {e}") from e
    except RuntimeError as e:
        if not exhausted(e):
            raise
        raise UsageError(f"{what}: too much for the memory of this machine: take a smaller size or batch") from e


def word(option: str, text: str, known: Sequence[str]) -> str:
    """``text``, if it is known.

    Raises:
        UsageError: with the right word.
    """
    if text not in known:
        raise UsageError(f"{option} {text}: not known{did_you_mean(text, known)} (one of {', '.join(known)})")
    return text


def words(option: str, text: str, known: Sequence[str]) -> list[str]:
    """``a,b`` as a list of words that are known.

    Raises:
        UsageError: with the right word.
    """
    found = [word(option, part.strip(), known) for part in text.split(",") if part.strip()]
    if not found:
        raise UsageError(f"{option}: names nothing (one or more of {', '.join(known)})")
    return list(dict.fromkeys(found))


def sizes(text: str) -> list[int]:
    """``128,256`` as pixels.

    Raises:
        UsageError: not such numbers.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and 8 <= int(part) <= 8192 for part in parts):
        raise UsageError(f"--sizes {text}: expected pixels from 8 to 8192, like 128,256")
    return list(dict.fromkeys(int(part) for part in parts))

"""How much memory there is, and sizes as people write them."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from pathlib import Path

from i2i.errors import UsageError

UNITS = {
    "B": 1,
    **{f"{p}B": 1000**i for i, p in enumerate("KMGT", 1)},
    **{f"{p}iB": 1024**i for i, p in enumerate("KMGT", 1)},
}
CGROUP = Path("/sys/fs/cgroup")


def parse(text: str) -> int:
    """``"2GB"``, ``"1.5 GiB"`` or ``"800mb"`` -> bytes; GB is 1000**3, GiB 1024**3.

    Raises:
        UsageError: no number with a unit, or less than one byte.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]+)", text.strip(), re.IGNORECASE)
    units = {unit.lower(): size for unit, size in UNITS.items()}
    if not found or found[2].lower() not in units:
        raise UsageError(f"memory {text!r}: give a size with its unit, like 800MB, 2GB or 1.5GiB")
    size = int(float(found[1]) * units[found[2].lower()])
    if size < 1:
        raise UsageError(f"memory {text!r}: nothing can be done in no memory")
    return size


def shown(size: float) -> str:
    """Bytes in two or three digits: ``812 MB``, ``1.4 GB``."""
    for unit in ("TB", "GB", "MB", "kB"):
        one = UNITS[unit.upper()]
        if size >= one:
            return f"{size / one:.{int(size < 10 * one)}f} {unit}"
    return f"{size:.0f} B"


def available() -> int:
    """Bytes that this process may still take without anything being swapped out or killed; 4 GB where nobody says."""
    if sys.platform == "win32":
        return _windows()
    found = []
    if (said := _read(Path("/proc/meminfo"))) and (line := re.search(r"MemAvailable:\s+(\d+) kB", said)):
        found.append(int(line[1]) * 1024)
    limit, used = _read(CGROUP / "memory.max"), _read(CGROUP / "memory.current")  # of a container
    if limit.strip().isdecimal() and used.strip().isdecimal():
        found.append(max(0, int(limit) - int(used)))
    if not found and "SC_PHYS_PAGES" in os.sysconf_names:  # macOS counts what is there, not what is free: half of it
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return min(found, default=4 * 1000**3)


def exhausted(e: Exception) -> bool:
    """Whether torch says that there is no memory left, of the machine or of a GPU."""
    return any(said in str(e) for said in ("allocate memory", "out of memory"))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _windows() -> int:
    class Status(ctypes.Structure):  # MEMORYSTATUSEX
        _fields_ = [("length", ctypes.c_uint32), ("load", ctypes.c_uint32)] + [
            (name, ctypes.c_uint64) for name in ("total", "available", "page", "free_page", "virtual", "free", "more")
        ]

    status = Status(length=ctypes.sizeof(Status))
    kernel: object = getattr(ctypes, "windll").kernel32  # noqa: B009 (only Windows has it)
    getattr(kernel, "GlobalMemoryStatusEx")(ctypes.byref(status))  # noqa: B009
    return status.available

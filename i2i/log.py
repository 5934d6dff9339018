"""The log of a run: ``log.jsonl``, one JSON object a line, appended while training; the report is made from it.

Events: start, losses, eval, sheet, save, resume, end. No server, no binary format: whatever reads JSON lines reads it.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

HISTORY = frozenset({"losses", "eval", "sheet", "save"})  # what a resumed training does once more


class RunLog:
    """Append-only log of a run. Opening it mends a line that a killed run left half-written."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        _mend(path)
        self._file = path.open("a", encoding="utf-8", newline="\n")

    def write(self, event: str, **values: Any) -> None:
        """Append one event as one line and flush it.

        Numbers of numpy and torch become plain numbers, paths become text; NaN and infinity, for which JSON has no
        word, become null.
        """
        self._file.write(json.dumps(_plain({"event": event, **values}), allow_nan=False, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @staticmethod
    def read(path: Path) -> list[dict[str, Any]]:
        """All events in order; a missing file is an empty log.

        A line that is no event, such as the half-written last one of a killed run, is left out.
        """
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        return [event for line in lines if (event := _event(line)) is not None]

    @staticmethod
    def rewind(path: Path, images: int) -> None:
        """Forget what happened after ``images``: a training resumed from there goes through it again.

        Call it before the log is opened. The file is replaced in one step: it is the old one or the new one.
        """
        events = RunLog.read(path)
        kept = [e for e in events if not (e["event"] in HISTORY and _images(e) > images)]
        if len(kept) == len(events):
            return
        fresh = path.with_name(path.name + ".tmp")
        with fresh.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(_plain(e), allow_nan=False, ensure_ascii=False) + "\n" for e in kept)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)


def _images(event: dict[str, Any]) -> float:
    images = event.get("images")
    return images if isinstance(images, int | float) else -math.inf


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):  # also bytes that are not UTF-8
        return None
    return event if isinstance(event, dict) and isinstance(event.get("event"), str) else None


def _mend(path: Path) -> None:
    """Make the file end with a whole line, so that the next event starts a new one."""
    if not path.is_file():
        return
    with path.open("rb+") as file:
        data = file.read()
        if not data or data.endswith(b"\n"):
            return
        tail = data[data.rfind(b"\n") + 1 :]
        if _event(tail) is None:
            file.truncate(len(data) - len(tail))
        else:
            file.write(b"\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if callable(getattr(value, "tolist", None)):  # arrays, tensors and their scalars, without importing either package
        return _plain(value.tolist())
    return str(value)

"""What a process may use of its machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from i2i import processes, run_torch
from i2i.bench import scale
from i2i.errors import UsageError


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
    ],
    ids=str,
)
def test_the_quota_of_a_container(
    files: dict[str, str], expected: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(processes, "CGROUP", tmp_path)
    assert processes.quota() == expected


@pytest.mark.parametrize(("granted", "expected"), [(None, 6), (1.5, 2), (0.2, 1), (64.0, 6)])
def test_cores(granted: float | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "quota", lambda: granted)
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    assert processes.cores() == expected


@pytest.mark.parametrize(("wanted", "cores", "expected"), [(None, 2, [2]), (None, 8, []), ("4", 2, [])])
def test_torch_takes_no_more_threads_than_there_are_cores(
    wanted: str | None, cores: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    taken: list[int] = []
    monkeypatch.setattr(run_torch, "cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    run_torch.pick_device("cpu")
    assert taken == expected


def test_bench_scale_says_when_processes_share_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "quota", lambda: 3.0)
    monkeypatch.setattr(processes.os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    assert scale.bench([], [8], processes=2, threads=1).notes == []
    (note,) = scale.bench([], [8], processes=2, threads=2).notes
    assert note == "2 processes of 2 threads on 3 cores: the cores are measured too"


@pytest.mark.parametrize("device", ["cuda-graphs", "tensorrt", "openvino", "DirectML"])
def test_torch_says_which_devices_are_for_exported_models(device: str) -> None:
    with pytest.raises(UsageError, match=rf"^device '{device}' is for exported models \(i2i export\): try auto, cpu"):
        run_torch.pick_device(device)

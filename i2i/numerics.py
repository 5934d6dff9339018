"""The arithmetic of a training: its precision, and whether it must be deterministic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from i2i.errors import TrainingError


def precision(asked: str, cpu: bool) -> str:
    """``auto`` as what the processor has: bfloat16 where the hardware computes it, else float32. In Accelerate's words.

    Raises:
        TrainingError: float16 or TF32 on a CPU.
    """
    if asked in ("fp16", "tf32") and cpu:
        raise TrainingError(f"train.precision {asked} needs a GPU: use auto, fp32 or bf16 on a CPU")
    if asked == "auto":
        return "bf16" if has_bf16("cpu" if cpu else "cuda") else "no"
    return {"fp32": "no", "tf32": "no"}.get(asked, asked)


def said(arithmetic: str) -> str:
    """What Accelerate calls a precision, as a recipe says it."""
    return "fp32" if arithmetic == "no" else arithmetic


def has_bf16(kind: str) -> bool:
    """Whether devices of this kind, cpu or cuda, compute bfloat16 in hardware: elsewhere it is slower than float32."""
    if kind == "cpu":
        return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return kind == "cuda" and torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Inside, torch refuses operations that have no deterministic implementation; outside as it was."""
    before = torch.are_deterministic_algorithms_enabled()
    if wanted:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    torch.use_deterministic_algorithms(wanted)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)

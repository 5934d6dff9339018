"""Which precision a trained model runs in: what is asked for, or what was measured on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from i2i import measured
from i2i.errors import UsageError, did_you_mean, needing
from i2i.folder import Info
from i2i.measured import Choice, Here

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "bf16")


def choice(folder: Path, info: Info, product: str, device: str, asked: str) -> Choice:
    """``asked``: a word of ``PRECISIONS``. ``auto`` is fp32, or bf16 where a measurement speaks for it; an exported
    model has the precision that it was exported in. With dropout, ``auto`` is fp32: noise is left out of measurements.

    Raises:
        UsageError: no such word, an exported model in another precision, or bf16 where it is not computed in hardware.
        MissingExtra: torch is not installed, and the model is not an exported one.
    """
    if asked not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise UsageError(f"precision {asked!r}: not known{did_you_mean(asked, PRECISIONS)} (one of {known})")
    file = info.products[product].file
    if Path(file).suffix == ".onnx":
        its = info.export.precision if info.export else "fp32"
        if asked not in ("auto", its):
            raise UsageError(f"precision {asked}: {folder} was exported in {its}: leave precision out")
        return Choice(its)
    if asked == "fp32":
        return Choice("fp32")
    with needing("train"):
        from i2i.numerics import has_bf16
        from i2i.run_torch import pick_device
    found = pick_device(device)
    if asked == "bf16":
        if not has_bf16(found.type):
            raise UsageError(f"precision bf16: {found.type} has no arithmetic for it here, fp32 is faster: take that")
        return Choice("bf16", "bf16: as asked; --precision fp32 is exact")
    if info.inference.dropout:
        return Choice("fp32")
    try:
        model = measured.fingerprint(folder, file)
    except OSError:  # a file that is missing or not readable is told by who opens it
        return Choice("fp32")
    return measured.choose(here(found), model, product)


def here(device: torch.device) -> Here:
    """This machine, as measurements on ``device`` are filed."""
    with needing("train"):
        import torch
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return measured.here(name, torch.get_num_threads(), torch.__version__)

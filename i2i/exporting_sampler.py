"""Exports networks that draw pictures to ONNX; like all others they are kept only after they answered like torch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from i2i import __version__, parity
from i2i.draw_onnx import OnnxSampler
from i2i.draw_torch import load_sampler
from i2i.errors import ModelError, UsageError
from i2i.folder import SAMPLER, Export, Info, Proof, Sampler
from i2i.graphs import anonymous, sampler_to_onnx

if TYPE_CHECKING:
    from i2i.exporting import Target

DRAWS = 4  # of each batch size are compared, all of other latents
PROVEN, CALIBRATED = 0, 1  # seeds: ranges are not taken from the latents that are compared
LAYERS = ("Conv", "Gemm", "MatMul")
"""What becomes 8 bits: the numbers of such a network lie in its dense layers too."""


def check(source: Path, name: str, target: Target, calibrate: str | Path | None) -> None:
    """
    Raises:
        UsageError: something that only a model that takes pictures has.
    """
    if target.runtime or target.pixels:
        what = "a page for browsers" if target.runtime else "raw pixels"
        raise UsageError(f"{source}: draws pictures and takes none: {what} (target {name}) needs some")
    if calibrate is not None:
        raise UsageError(f"{source}: draws pictures and takes none: it is calibrated with latents, leave pictures out")


def fill(fresh: Path, source: Path, info: Info, sampler: Sampler, name: str, target: Target) -> Info:
    """Writes ``model.onnx``, compares it, and describes the whole.

    Raises:
        ModelError: it differs from torch by more than the target allows.
    """
    from i2i import precision  # imports onnx

    written = sampler.model_copy(update={"file": "model.onnx"})
    exported = info.model_copy(update={"i2i": __version__, "sampler": written})
    net = load_sampler(source, info)
    noted = sampler_to_onnx(net, target.opset, sampler.shape, sampler.classes)
    calibrated = 0
    if target.precision == "fp16":
        noted = precision.halved(noted)
    elif target.precision == "int8":
        calibrated = target.calibrate
        ranges = [given(sampler, 1, i, CALIBRATED) for i in range(calibrated)]
        noted = precision.quantised(noted, ranges, LAYERS)
    path = fresh / written.file
    path.write_bytes(anonymous(noted).SerializeToString(deterministic=True))
    engine = OnnxSampler(fresh, exported, device="cpu")

    def cases() -> Iterator[parity.Case]:
        first = 0
        for number in parity.BATCHES * DRAWS:
            inputs = given(sampler, number, first, PROVEN)
            with torch.inference_mode():
                expected = net(*map(torch.from_numpy, inputs)).float()
            answer = engine.run(inputs[0], truncation=inputs[1]) if sampler.styles else engine.run(*inputs)
            yield expected, answer, (number, first)
            first += number

    found = parity.summed(cases())
    if not target.allows(found):
        number, first = found.worst
        layer = parity.worst_layer(net, noted, *given(sampler, number, first, PROVEN))
        where = f"{number} at once, from latent {first} of seed {PROVEN} on"
        raise ModelError(f"{source}: {target.refusal(found, where, name)}{layer}; nothing was kept")
    proof = Proof(max=found.max, mean=found.mean, psnr=found.psnr, bytes=path.stat().st_size)
    facts = Export(
        target=name, opset=target.opset, precision=target.precision, tolerance=target.tolerance, sizes=(sampler.size,),
        batches=parity.BATCHES, latents=DRAWS * sum(parity.BATCHES), calibrated=calibrated, noise_removed=False,
        proofs={SAMPLER: proof}, torch=torch.__version__,
    )  # fmt: skip
    return exported.model_copy(update={"export": facts})


def given(sampler: Sampler, number: int, first: int, seed: int) -> tuple[np.ndarray, ...]:
    """``number`` latents of ``seed`` from ``first`` on, and classes in turn for a network that is told one. Each layer
    that has a style has it from another latent, and every other picture is truncated."""
    z = sampler.latent.numbered(number, seed, first)
    if sampler.styles:
        layers = [sampler.latent.numbered(number, seed, first + i) for i in range(sampler.styles)]
        return np.stack(layers, axis=1), np.resize(np.array([1.0, 0.7], np.float32), number)
    labels = np.arange(first, first + number, dtype=np.int64) % max(1, sampler.classes)
    return (z, labels) if sampler.classes else (z,)

"""Proof that an exported model answers like the torch network it was made from; if not, which layer is to blame."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Size = tuple[int, int]
Given = Callable[[int, int, Size], np.ndarray]
Where = tuple[int, ...]
"""Which answer it was: pictures at once, then their height and width, or of a sampler the number of the first."""
BATCHES = (1, 3)
SCOPES = "pkg.torch.onnx.name_scopes"  # the modules around a node, as the exporter notes them

Case = tuple[Tensor, np.ndarray, Where]
"""What the torch network answers, what the exported one answers, and which answer it is."""


@dataclass(frozen=True)
class Comparison:
    """The differences of all compared answers; values go from -1 to 1. ``max`` is inf if an answer is not finite."""

    max: float
    mean: float
    psnr: float | None  # decibels, for the range 2; None: no difference at all
    worst: Where  # of the answer with the largest difference


def sizes(trained: Size, multiple: int) -> tuple[Size, Size, Size]:
    """What is compared: the size of training, one that is not square, and that of a padded picture; all differ."""

    def up(side: float) -> int:
        return math.ceil(max(side, 8) / multiple) * multiple

    height, width = (up(side) for side in trained)
    oblong = (up(height / 2), width)
    if oblong[0] == oblong[1] or oblong == (height, width):
        oblong = (height, width + multiple)
    padded = (up(height / 3 + 1), up(2 * width / 3 + 1))
    if padded in ((height, width), oblong):
        padded = (height + multiple, width + multiple)
    return (height, width), oblong, padded


def pictures(number: int, channels: int, size: Size, seed: int = 0) -> np.ndarray:
    """Float32 [N, C, H, W] in [-1, 1]: slopes with noise, of another contrast each, so that neighbors would matter."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in size), indexing="ij")
    slopes = rng.uniform(-1, 1, (number, channels, 2, 1, 1))
    noise = rng.uniform(-1, 1, (number, channels, *size))
    contrast = 0.5 ** np.arange(number)[:, None, None, None]
    return (contrast * np.clip(slopes[:, :, 0] * x + slopes[:, :, 1] * y + 0.5 * noise, -1, 1)).astype(np.float32)


def holes(number: int, size: Size, seed: int = 0) -> np.ndarray:
    """Masks with a rectangle of ones each, up to half as high and wide as the picture: float32 [N, 1, H, W]."""
    rng = np.random.default_rng((seed, number))
    masks = np.zeros((number, 1, *size), np.float32)
    for mask in masks[:, 0]:
        height, width = (int(rng.integers(1, side // 2 + 1)) for side in size)
        y, x = (int(rng.integers(0, side - own + 1)) for side, own in zip(size, (height, width), strict=True))
        mask[y : y + height, x : x + width] = 1
    return masks


def with_holes(given: Given) -> Given:
    """Pictures for a network that fills holes: the last of their channels is a mask."""

    def both(number: int, channels: int, size: Size) -> np.ndarray:
        return np.concatenate([given(number, channels - 1, size), holes(number, size)], 1)

    return both


def compare(
    reference: Callable[[Tensor], Tensor],
    run: Callable[[np.ndarray], np.ndarray],
    channels: int,
    compared: Sequence[Size],
    batches: Sequence[int] = BATCHES,
    given: Given = pictures,
) -> Comparison:
    """``run`` beside ``reference``, at all sizes and batches; ``given`` makes the pictures."""

    def cases() -> Iterator[Case]:
        for size in compared:
            for number in batches:
                x = given(number, channels, size)
                yield reference(torch.from_numpy(x)), run(x), (number, *size)

    return summed(cases())


def summed(cases: Iterable[Case]) -> Comparison:
    """The differences of all pairs of answers together; it stops at the first that is no answer."""
    largest = -1.0
    worst: Where = ()
    absolute = squared = count = 0.0
    for reference, answer, where in cases:
        expected = reference.numpy(force=True)
        if answer.shape != expected.shape or not np.isfinite(answer).all():
            return Comparison(math.inf, math.inf, -math.inf, where)
        difference = np.abs(answer.astype(np.float64) - expected)
        if difference.max() > largest:
            largest, worst = float(difference.max()), where
        absolute, squared = absolute + difference.sum(), squared + np.square(difference).sum()
        count += difference.size
    psnr = None if squared == 0 else float(10 * math.log10(4 / (squared / count)))
    return Comparison(largest, float(absolute / count), psnr, worst)


def worst_layer(net: nn.Module, model: Any, *inputs: np.ndarray) -> str:
    """The layer of ``net`` whose own error is the largest in ``model`` (ONNX, with the exporter's notes), in words.

    Every layer of torch is given what the ONNX layers before it answered, so that it shows its own error and none that
    it inherited; the error is relative to the largest value of the layer. The text starts with "; " to be added to a
    sentence, and is empty if no layer can be compared.
    """
    answers = _answers(model, inputs)
    order: list[str] = []
    names = {module: name for name, module in net.named_modules() if not list(module.children())}
    with _hooked(names, lambda name, out: order.append(name)), torch.inference_mode():
        net(*map(torch.from_numpy, inputs))
    # A layer without a node of its own was folded into the one before: what stands there is the answer of both.
    answer_of: dict[str, Tensor] = {}
    holder = ""
    for name in order:
        if name not in answers:
            answer_of.pop(holder, None)
        else:
            holder = name
        if holder and order.count(name) == 1:
            answer_of[name] = answers[holder]
    errors: dict[str, float] = {}

    def put(name: str, out: Tensor) -> Tensor | None:
        answer = answer_of.get(name)
        if answer is None or answer.shape != out.shape:
            return None
        error = (answer - out).abs().max() / out.abs().max().clamp_min(1e-30)
        errors[name] = math.inf if error.isnan() else float(error)
        return answer.clone()

    with _hooked(names, put), torch.inference_mode():
        net(*map(torch.from_numpy, inputs))
    if not errors:
        return ""
    name = max(errors, key=lambda n: errors[n])
    kind = type(net.get_submodule(name)).__name__
    return f"; worst layer: {name} ({kind}), whose own error is {errors[name]:.2g} of its largest value"


def _answers(model: Any, inputs: Sequence[np.ndarray]) -> dict[str, Tensor]:
    """What the ONNX nodes answer that end a module of torch: module -> float32."""
    import onnx
    import onnxruntime

    ends: dict[str, str] = {}
    for node in model.graph.node:
        notes = {note.key: note.value for note in node.metadata_props}
        if SCOPES in notes:
            scopes: list[str] = ast.literal_eval(notes[SCOPES])  # the network itself is "", the last is the operation
            if len(scopes) > 2:
                ends[scopes[-2]] = node.output[0]
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    inner = set(ends.values()) - {v.name for v in model.graph.output}
    probed.graph.output.extend(onnx.ValueInfoProto(name=value) for value in sorted(inner))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(probed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    named = {value.name: x for value, x in zip(session.get_inputs(), inputs, strict=True)}
    values = session.run(list(ends.values()), named)
    return {module: torch.from_numpy(v.astype(np.float32)) for module, v in zip(ends, values, strict=True)}


@contextmanager
def _hooked(names: Mapping[nn.Module, str], hook: Callable[[str, Tensor], Tensor | None]) -> Iterator[None]:
    """Inside, ``hook`` sees each layer's answer and may give another instead."""
    handles = [m.register_forward_hook(lambda m, args, out: hook(names[m], out)) for m in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()

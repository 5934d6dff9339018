"""The ONNX engine: an exported model becomes a function on arrays. Needs onnxruntime and no torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from i2i import tiles
from i2i.bound import Bound
from i2i.errors import DataError, ModelError, UsageError
from i2i.folder import Info
from i2i.providers import GRAPHS, choose, is_onnxruntimes, known, line, open_session, reasons


class OnnxEngine:
    """Runs one product of an exported model folder.

    A file that takes raw pixels is given values rounded to the 255 levels of pictures, and answers in such levels.
    ``provider`` is the one of ``PROVIDERS`` that it got, ``why_not`` says for each better one why it is not that.
    ``seed`` has no effect: nothing in an exported model is random.

    Raises:
        ModelError: onnxruntime or the file is missing, the file is damaged or does not fit ``i2i.json``.
        UsageError: no such device, or not on this machine.
    """

    batch = 8

    def __init__(self, folder: Path, info: Info, product: str, device: str = "auto", seed: int | None = None):
        self.path, self.channels = folder / info.products[product].file, info.products[product].channels
        self.inputs = info.products[product].inputs
        self.product, self.footprint = info.products[product], info.export.tiles.get(product) if info.export else None
        self.pixels = info.export is not None and info.export.pixels
        self.session, self.provider, self.why_not, self.bound = started(self.path, device)
        self._check()

    def __repr__(self) -> str:
        return f"OnnxEngine({self.path.name!r} on {self.provider}{reasons(self.why_not)})"

    def run(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C, H, W] in [-1, 1] -> [N, C', H * scale, W * scale]; no picture's result depends on the others.

        Raises:
            DataError: the device has too little memory for pictures of this size.
        """
        size = f"{x.shape[3]} x {x.shape[2]} pixels"
        too_many = f"{size} are too many for the memory of {self.provider}: make it smaller (resize)"
        channels, sides = self.channels[1], [side * self.product.scale for side in x.shape[2:]]
        if not self.pixels:
            shape = (len(x), channels, *sides)
            return answer(self.session, self.path, {self.input: x}, too_many, self.bound, shape)
        levels = np.rint(np.clip((x + 1) * np.float32(127.5), 0, 255)).transpose(0, 2, 3, 1)
        given = {self.input: np.ascontiguousarray(levels, dtype=np.uint8)}
        answered = answer(self.session, self.path, given, too_many, self.bound, (len(x), *sides, channels))
        return answered.transpose(0, 3, 1, 2) / np.float32(127.5) - 1

    def frames(self) -> contextlib.AbstractContextManager[None]:
        """Frames of a clip are run like any pictures: what the file's norms take from each cannot be averaged."""
        return contextlib.nullcontext()

    @property
    def per_pixel(self) -> int:
        """Bytes that ``run`` takes for each pixel of a picture; 0: the export does not say."""
        return self.footprint.per_pixel if self.footprint else 0

    def free(self) -> None:
        """onnxruntime does not say how much of a GPU's memory is free."""

    def tiled(self, picture: tiles.Padded, room: int, way: tiles.Way) -> Iterator[np.ndarray]:
        """The answer to one picture, from its first row to its last: float32 [rows, W * scale, C'].

        Raises:
            DataError: ``room`` is too little.
            UsageError: there would be seams: norms take statistics from the whole picture, or, unless ``way`` is fast,
                the network looks farther than tiles can share.
        """
        product, said = self.product, self.footprint
        if said is None or said.statistics:
            raise UsageError(
                f"{self.path}: its norms take statistics from the whole picture, which an exported model cannot gather "
                "from tiles: allow more memory, or take the model that was exported (it needs torch)"
            )
        plan = tiles.cut(picture, room, said.per_pixel, product.multiple, product.scale, said.reach)
        if plan.reach > plan.margin and way == "exact":
            raise UsageError(
                f"{self.path}: looks farther than tiles of {plan.side} pixels can share: allow more memory, take fast "
                "tiles, which are blended, or the model that was exported (it needs torch)"
            )
        return tiles.blended(self.run, picture, plan, product.scale)

    def _check(self) -> None:
        """Whether the file takes and gives what ``i2i.json`` says."""
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        kind, axis = ("uint8", 3) if self.pixels else ("float", 1)
        found = [(v.type, len(v.shape), v.shape[axis] if len(v.shape) == 4 else None) for v in (*inputs, *outputs)]
        if found != [(f"tensor({kind})", 4, channels) for channels in (self.inputs, self.channels[1])]:
            raise ModelError(
                f"{self.path}: does not fit i2i.json: one input and one output of {self.inputs} and "
                f"{self.channels[1]} channels in {kind} are expected, it has {kinds(inputs)} and {kinds(outputs)}"
            )
        self.input, self.output = inputs[0].name, outputs[0].name


def started(path: Path, device: str) -> tuple[Any, str, dict[str, str], Bound | None]:
    """A session for the file on ``device``, its provider, why it is none of the better ones, and its buffers if it
    computes in the memory of an NVIDIA GPU.

    Raises:
        ModelError: onnxruntime or the file is missing, or the file is damaged.
        UsageError: no such device, or not on this machine.
    """
    if not path.is_file():
        raise ModelError(f"{path.parent}: {path.name} is missing")
    tries, number, why_not = choose(device)
    for provider in tries:
        session = open_session(path, provider, number)
        if session.get_providers()[0] == known(provider):
            on_gpu = provider in ("tensorrt", "cuda", GRAPHS)
            return session, provider, why_not, Bound(session, "cuda", number, provider == GRAPHS) if on_gpu else None
        why_not[provider] = "onnxruntime could not start it: its libraries are missing or do not fit"
    raise UsageError(f"device {device!r} cannot be used here: {why_not[tries[-1]]}")


def answer(
    session: Any, path: Path, given: dict[str, np.ndarray], too_many: str, bound: Bound | None, shape: tuple[int, ...]
) -> np.ndarray:
    """The one output of a session, of that ``shape``; through buffers that stay on the GPU if it has some.

    Raises:
        DataError: too little memory, which ``too_many`` says in words.
        ModelError: whatever else onnxruntime complains about.
    """
    try:
        return bound.run(given, shape) if bound else session.run(None, given)[0]
    except Exception as e:
        said = line(e)
        # For its buffers onnxruntime raises a MemoryError, on a GPU a RuntimeError; in a run an error of its own.
        if any(words in said for words in ("allocate memory", "bad_alloc", "out of memory", "OUT_OF_MEMORY")):
            raise DataError(too_many) from e
        if not is_onnxruntimes(e):
            raise
        shapes = " and ".join(str(list(x.shape)) for x in given.values())
        raise ModelError(f"{path}: onnxruntime cannot run it on {shapes}: {said}") from e


def kinds(values: Any) -> str:
    """Shapes and types of inputs or outputs of a session, in words."""
    return ", ".join(f"{v.shape} in {v.type.removeprefix('tensor(').removesuffix(')')}" for v in values)

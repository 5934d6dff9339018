"""``load`` a trained model and call it: any picture in, the same kind of picture out. Needs no torch to be imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from i2i import masks, models
from i2i.choosing import choice
from i2i.errors import DataError, MissingExtra, ModelError, UsageError
from i2i.folder import Info, read_info
from i2i.generator import Generator, check_seed, open_sampler
from i2i.kinds import Taken, give, scaled, take
from i2i.many import Outcome, translate_many
from i2i.memory import available, parse
from i2i.tiles import LIKELY, Budget, Padded, Way, way
from i2i.transfer import Progress

__all__ = ["Engine", "Outcome", "Translator", "load", "open_engine", "translate_many"]

LEAST = 8  # pixels: less than that has no room for the reflected borders inside the networks
BATCH_PIXELS = 2**20  # pictures that are run together have no more pixels than this


class Engine(Protocol):
    """What runs a network. ``batch``: how many pictures are worth running at once. ``per_pixel``: bytes that a run
    takes for each pixel of a picture; 0: unknown."""

    batch: int

    @property
    def per_pixel(self) -> int: ...

    def run(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C, H, W] in [-1, 1] -> float32 [N, C', H * scale, W * scale]."""

    def frames(self) -> AbstractContextManager[Callable[[], None] | None]:
        """Inside, what is run are the frames of a clip, in order: statistics that the network takes from a picture are
        held steady. Yields what to call when a new scene begins; None: this engine cannot hold them."""

    def free(self) -> int | None:
        """Bytes that it may take where they are not the computer's own memory."""

    def tiled(self, picture: Padded, room: int, way: Way) -> Iterator[np.ndarray]:
        """The answer to one picture in ``room`` bytes, from its first row to its last: float32 [rows, W * scale, C]."""


def open_engine(
    folder: Path, info: Info, product: str, device: str = "auto", seed: int | None = None, precision: str = "fp32"
) -> Engine:
    """The engine for one product of a model folder. ``precision``: fp32 or bf16; exported models have their own.

    Raises:
        MissingExtra: torch is not installed, and the model is not an exported one.
        ModelError: the weights are missing, damaged, or do not fit.
    """
    if Path(info.products[product].file).suffix == ".onnx":
        from i2i.run_onnx import OnnxEngine

        return OnnxEngine(folder, info, product, device, seed)
    try:
        from i2i.run_torch import TorchEngine
    except ModuleNotFoundError as e:
        if e.name not in ("torch", "safetensors"):
            raise
        raise MissingExtra(e.name, "train") from e
    return TorchEngine(folder, info, product, device, seed, precision)


def load(
    what: str | Path,
    direction: str | None = None,
    device: str = "auto",
    seed: int | None = None,
    progress: Progress | None = None,
    *,
    memory: str | None = None,
    tiles: str = "exact",
    precision: str = "auto",
) -> Any:
    """A trained model, ready to be called: a ``Translator``, or for a model that draws pictures a ``Generator``.

    Args:
        what: a model folder, a run, the name of either, the data set that a model was trained on, or a published model
            such as "horse2zebra", or one on the Hub such as "hf://owner/name", which are fetched at their first use.
        direction: "a2b" or "b2a"; None is the model's own default.
        device: "auto" (the best there is), cpu, cuda, cuda:1, mps; an exported model also knows tensorrt, openvino,
            coreml, directml, and cuda-graphs: for many pictures of few sizes, whose work is recorded and replayed.
        seed: of the noise, for a model that has some; None is the model's own. Of pictures that are drawn; None is 0.
        progress: told how far the fetching of a model is.
        memory: what one picture and its translation may take beside the program, like "2GB"; None is half of what is
            free now. A picture that needs more is translated in parts.
        tiles: how. "exact" is as if it were whole, however large; on the way, files in the folder of caches hold what
            the memory does not. "fast" needs no files: tiles that overlap, with the statistics of a reduced copy of
            the picture where norms ask for the whole.
        precision: fp32 or bf16, which is faster where the processor has it and differs by a few of 255 levels. "auto"
            is fp32, unless ``i2i bench model`` has measured on this machine that bf16 is faster for this model, and
            near enough (``i2i.measured``); ``Translator.why`` then says so. Models that draw run in fp32.

    Raises:
        UsageError: no size, a seed below 0, none of these words, or bf16 where the processor has no arithmetic for it.
        ModelError: not found, damaged, or it does not translate in that direction.
        FetchError: a model that could not be had.
    """
    chosen, most = way(tiles), None if memory is None else parse(memory)
    if seed is not None:
        check_seed(seed)
    folder = models.find(what, progress)
    info = read_info(folder)
    if info.sampler:
        if direction is not None:
            raise ModelError(f"{folder}: draws pictures and has no {direction!r}: i2i generate --model {folder}")
        if memory is not None or tiles != "exact":
            raise UsageError(f"{folder}: draws pictures and cuts none into tiles: leave memory and tiles out")
        if precision not in ("auto", "fp32"):
            raise UsageError(f"{folder}: draws pictures, in fp32 alone: leave precision out")
        return Generator(open_sampler(folder, info, device), info, info.sampler, seed or 0)
    if not info.products:
        raise ModelError(f"{folder}: holds a classifier only, nothing that translates pictures: i2i eval measures it")
    product = info.default if direction is None else direction
    if product not in info.products:
        ways = " and ".join(f"{p.source} -> {p.target} ({key})" for key, p in info.products.items())
        only = " only" if len(info.products) == 1 else ""
        raise ModelError(f"{folder}: this model translates {ways}{only}, not {product!r}")
    runs = choice(folder, info, product, device, precision)
    engine = open_engine(folder, info, product, device, seed, runs.precision)
    free = engine.free() if most is None else None
    return Translator(engine, info, product, Budget(most or available() // 2, free, chosen), runs.why)


class Translator:
    """Translates pictures of any size and kind; the answer is of the same kind.

    - PIL image, or the path of a picture -> PIL image: gray or RGB, as the model writes; alpha is put back untouched,
      a color profile is kept. Gray stays as deep as it came; color of 16 bits comes in 8, which is all that PIL has.
    - NumPy uint8 [H, W] or [H, W, C] -> uint8; uint16 -> uint16; floats in [0, 1] -> floats. C: 1, 2 (gray, alpha), 3,
      4 (color, alpha).
    - ``i2i.own.Own``, which files are read to: as deep as they came, color too -> Own.
    - A list or tuple of these -> a list.

    A model that fills holes leaves all other pixels as they are, to the bit and in the picture's own kind: 16 bits stay
    16 bits, gray stays gray.

    A picture is padded by reflection, equally on all sides, to what the network needs, and cropped back; one that fits
    goes in as it is. Its size is its own, not that of the training pictures, unless ``resize`` asks for another. What a
    model that enlarges gives is ``product.scale`` times as large as the picture, its alpha too. A picture that needs
    more than the ``budget`` of memory is run in parts.
    """

    def __init__(self, engine: Engine, info: Info, product: str, budget: Budget | None = None, why: str = ""):
        """``budget``: of memory, see ``load``; None: every picture is run whole, whatever it takes. ``why``: the engine
        runs in the precision that it runs in."""
        self.engine, self.info, self.direction, self.budget, self.why = engine, info, product, budget, why
        self.product = info.products[product]

    @property
    def directions(self) -> dict[str, str]:
        """What the model can do, e.g. ``{"a2b": "label -> photo"}``."""
        return {key: f"{p.source} -> {p.target}" for key, p in self.info.products.items()}

    def __repr__(self) -> str:
        return f"Translator({self.info.name!r}, {self.direction}: {self.directions[self.direction]})"

    def __call__(
        self, picture: Any, *, resize: int | None = None, mask: Any = None, box: masks.Box | None = None
    ) -> Any:
        """Translates one picture, or a list of them.

        Args:
            picture: see the class.
            resize: work with this many pixels on the short side, then return to the size of the answer without it.
            mask: of a model that fills holes: a picture of the same size, white where it is to be filled; a path, PIL
                image or array [H, W] (bool, uint8, float). Without mask and box, what is transparent is filled.
            box: the same as x, y, width, height in pixels.

        Raises:
            DataError: a file cannot be read, an array is not a picture, or it is too large for the memory.
            UsageError: something that is no picture at all; a mask or box that does not fit, or is not wanted.
        """
        given = list(picture) if isinstance(picture, list | tuple) else [picture]
        if resize is not None and resize < 1:
            raise UsageError(f"resize={resize}: give the pixels of the short side, 1 or more")
        self.check(mask, box)
        try:
            results = self._fill(given, resize, mask, box) if self.product.masked else self._all(given, resize)
        except MemoryError as e:
            raise DataError("too large for the memory of this machine: make it smaller (resize)") from e
        return results if isinstance(picture, list | tuple) else results[0]

    def check(self, mask: Any, box: masks.Box | None) -> None:
        """
        Raises:
            UsageError: a mask or a box for a model that translates whole pictures.
        """
        if not self.product.masked and not (mask is None and box is None):
            raise UsageError(f"{self.info.name}: translates whole pictures: leave the mask or box out")

    def _fill(self, given: list[Any], resize: int | None, mask: Any, box: masks.Box | None) -> list[Any]:
        marked = None if mask is None else masks.read_mask(mask)
        inside = [take(picture, self.product.channels[0]) for picture in given]
        holes = [masks.missing(picture.own, marked, box) for picture in inside]
        values = [masks.for_network(picture.values, hole) for picture, hole in zip(inside, holes, strict=True)]
        if resize is not None:
            values = [masks.resized(v, short_side(v.shape, resize)) for v in values]
        results = []
        for picture, hole, v, y in zip(inside, holes, values, self._run(values), strict=True):
            if resize is not None:  # what is known stands beside the edges that the enlarging looks at
                y = scaled(np.where(v[..., -1:] > 0.5, y, v[..., :-1]), hole.shape)
            results.append(masks.painted(picture.own, y, hole))
        return results

    def _all(self, given: list[Any], resize: int | None) -> list[Any]:
        results: list[Any] = []
        waiting: list[Taken] = []
        for number, picture in enumerate(given, start=1):
            waiting.append(take(picture, self.product.channels[0]))
            height, width = waiting[-1].values.shape[:2]
            if self.budget:
                self.budget.room(height * width, self.product.scale)  # it may have none, whatever the size to work in
            if height * width > BATCH_PIXELS or number == len(given):  # no large ones side by side in memory
                results += self._together(waiting, resize)
                waiting = []
        return results

    def _together(self, inside: list[Taken], resize: int | None) -> list[Any]:
        values = [p.values if resize is None else scaled(p.values, short_side(p.values.shape, resize)) for p in inside]
        outside = self._run(values)
        for i, (picture, y) in enumerate(zip(inside, outside, strict=True)):
            height, width = (side * self.product.scale for side in picture.values.shape[:2])
            outside[i] = give(picture, y if resize is None else scaled(y, (height, width)))
        return outside

    def _run(self, values: list[np.ndarray]) -> list[Any]:
        """Pictures [H, W, C] in [-1, 1] -> the same, translated; those of one padded size run together, one that the
        memory has no room for in parts."""
        margins = [margin(v.shape[:2], self.product.multiple) for v in values]
        shapes: dict[tuple[int, ...], list[int]] = {}
        for i, (v, m) in enumerate(zip(values, margins, strict=True)):
            shapes.setdefault(tuple(side + sum(added) for side, added in zip(v.shape, m, strict=False)), []).append(i)
        results: list[Any] = [None] * len(values)
        for (height, width), members in shapes.items():
            count = self._at_once(height, width)
            for start in range(0, len(members), count or 1):
                some = members[start : start + (count or 1)]
                if self.budget and not count:
                    results[some[0]] = self._in_parts(values[some[0]], margins[some[0]], self.budget)
                    continue
                padded = [np.pad(values[i], (*margins[i], (0, 0)), mode="reflect") for i in some]
                x = np.ascontiguousarray(np.stack(padded).transpose(0, 3, 1, 2), dtype=np.float32)
                for i, y in zip(some, self._finite(self.engine.run(x)), strict=True):
                    top, left = (m[0] * self.product.scale for m in margins[i])
                    height_out, width_out = (side * self.product.scale for side in values[i].shape[:2])
                    results[i] = y.transpose(1, 2, 0)[top : top + height_out, left : left + width_out]
        return results

    def _at_once(self, height: int, width: int) -> int:
        """How many pictures of this size are run together; 0: not even one fits into the memory as a whole."""
        pixels, scale = height * width, self.product.scale
        count = max(1, min(self.engine.batch, BATCH_PIXELS // pixels))
        if self.budget is None:
            return count
        room = self.budget.room(pixels, scale)
        if count * pixels * scale**2 * LIKELY <= room or not self.engine.per_pixel:  # no need to know it exactly
            return count
        return min(count, room // (pixels * self.engine.per_pixel))

    def _in_parts(self, values: np.ndarray, margins: list[tuple[int, int]], budget: Budget) -> np.ndarray:
        picture, scale = Padded(values, margins), self.product.scale
        room = budget.room(picture.shape[0] * picture.shape[1], scale)
        (top, _), (left, _) = margins
        height, width = (side * scale for side in values.shape[:2])
        result = np.empty((height, width, self.product.channels[1]), np.float32)
        first = -top * scale  # of the rows that come, counted in the picture without its borders
        for rows in self.engine.tiled(picture, room, budget.tiles):
            a, b = max(first, 0), min(first + len(rows), height)
            if a < b:
                part = rows[a - first : b - first, left * scale : left * scale + width]
                result[a:b] = self._finite(part)
            first += len(rows)
        return result

    def _finite(self, y: np.ndarray) -> np.ndarray:
        if not np.isfinite(y).all():
            raise ModelError(f"{self.info.name}: the network's answer is not finite: its weights are damaged")
        return y


def margin(size: tuple[int, ...], multiple: int) -> list[tuple[int, int]]:
    """What to add before and after each side: equally, the odd pixel after; nothing where the side fits already."""
    added = [-(-max(side, LEAST) // multiple) * multiple - side for side in size]
    return [(a // 2, a - a // 2) for a in added]


def short_side(size: tuple[int, ...], pixels: int) -> tuple[int, int]:
    """``size`` (height, width, ...) in proportion, so that the shorter side has so many pixels."""
    height, width = size[:2]
    factor = pixels / min(height, width)
    return max(1, round(height * factor)), max(1, round(width * factor))

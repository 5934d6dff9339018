"""Feature maps that are larger than the memory: tensors to all who handle them, but of rows that are asked for."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_map

from i2i.errors import ModelError

aten: Any = torch.ops.aten
Rows = Callable[[int, int], Tensor]
"""The rows from the first to before the last: [..., rows, W], memory of their own."""

COPIES = 6, 3  # of the rows that go in (as read, in another layout, activated, with borders) and of those that come out
READS = 2  # a map that would be computed from more stored ones than this is stored itself

BY_ROWS = {
    aten.batch_norm, aten.cat, aten.clone, aten.detach, aten.expand, aten.lift_fresh, aten.ones_like, aten.prelu,
    aten.select, aten.stack, aten.unsqueeze, aten.zeros_like, aten._to_copy,
}  # fmt: skip
"""What makes each row from the same row, beside all that torch itself calls pointwise."""


class Map(torch.Tensor):
    """A feature map [..., H, W] without its numbers; ``rows`` has some of them."""

    @staticmethod
    def __new__(cls, work: Work, like: Tensor, rows: Rows, reads: int) -> Map:
        make: Any = torch.Tensor._make_wrapper_subclass
        return make(cls, like.shape, dtype=like.dtype, device=work.device)

    def __init__(self, work: Work, like: Tensor, rows: Rows, reads: int):
        self.work, self.rows, self.reads = work, rows, reads
        self.moments: Moments | None = None

    @property
    def row_bytes(self) -> int:
        return self.numel() // self.shape[-2] * self.element_size()

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.einsum:  # of channels
            return by_rows(func, *args)
        with torch._C.DisableTorchFunctionSubclass():  # else every answer is made a Map
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket
        operations = next(one.work.operations for one in maps_in((args, kwargs)))
        if packet in operations:
            return operations[packet](func, *args, **kwargs)
        if packet in BY_ROWS or torch.Tag.pointwise in func.tags:
            return by_rows(func, *args, **kwargs)
        made = func.decompose(*args, **kwargs)
        if made is NotImplemented:
            raise unknown(func)
        return made


@dataclass
class Work:
    """What one run shares: what becomes of the operations that see more than one row, ``room`` bytes for a strip, where
    the maps are kept. ``dry``: nothing is computed, only what it would take is noted."""

    operations: Mapping[Any, Callable[..., Any]]
    device: torch.device
    room: int = 2**62
    folder: Path | None = None
    dry: bool = False
    kept: int = 0  # bytes in files, now
    most_kept: int = 0  # at any time
    least_room: int = 0  # no strip can be smaller

    def drop(self, size: int, file: Any) -> None:
        """A map is needed no more."""
        self.kept -= size
        if file is not None:
            file.close()

    def strips(self, height: int, out: int, into: int = 0, halo: int = 0) -> list[tuple[int, int]]:
        """The first row and that after the last of each strip. Bytes: ``out`` and ``into`` of each row that it makes
        and is made from, ``halo`` of the rows that it sees beside."""
        fixed, each = COPIES[0] * halo, COPIES[0] * into + COPIES[1] * out
        self.least_room = max(self.least_room, fixed + each)
        rows = max(1, (self.room - fixed) // each)
        return [(a, min(a + rows, height)) for a in range(0, height, rows)]


def by_rows(func: Any, *args: Any, **kwargs: Any) -> Map:
    """Of an operation that makes each row from the same row of all that it is given; it may be in place."""
    like = described(func, *args, **kwargs)
    height = like.shape[-2]
    given = list(maps_in((args, kwargs)))
    if any(one.shape[-2] != height for one in given):
        raise unknown(func)
    sources = tree_map(lambda leaf: leaf.rows if isinstance(leaf, Map) else leaf, (args, kwargs))

    def rows(a: int, b: int) -> Tensor:
        def some(leaf: Any) -> Any:
            if isinstance(leaf, FunctionType):
                return leaf(a, b)
            whole = isinstance(leaf, Tensor) and leaf.ndim > 1 and leaf.shape[-2] == height > 1
            return leaf[..., a:b, :] if whole else leaf

        inside, named = tree_map(some, sources)
        return func(*inside, **named)

    made = lazy(like, rows, *given)
    schema = getattr(func, "_schema", None)
    if schema is None or not schema.is_mutable:
        return made
    args[0].rows, args[0].reads, args[0].moments = made.rows, made.reads, made.moments
    return args[0]


def maps_in(given: Any) -> Iterator[Map]:
    return (leaf for leaf in tree_flatten(given)[0] if isinstance(leaf, Map))


def described(func: Any, *args: Any, **kwargs: Any) -> Tensor:
    """What ``func`` would give, without its numbers."""

    def empty(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return torch.empty(leaf.shape, dtype=leaf.dtype, device="meta")

    inside, named = tree_map(empty, (args, kwargs))
    return func(*inside, **named)


def lazy(like: Tensor, rows: Rows, *given: Map) -> Map:
    """A map that is computed when it is asked for, unless it is made from so many stored ones that reading them again
    and again takes longer than storing it."""
    work, reads = given[0].work, sum(one.reads for one in given)
    if reads <= READS:
        return Map(work, like, rows, reads)
    return stored(work, like, rows, into=sum(one.row_bytes for one in given))


def stored(work: Work, like: Tensor, make: Rows, into: int, halo: int = 0) -> Map:
    """A map that is computed once, from its first row to its last, and kept in a file; with its moments.

    ``into`` is the bytes that one row is made from, ``halo`` those that a strip sees beside.
    """
    *front, height, width = like.shape
    row = like[..., 0, :].numel() * like.element_size()
    store = Store(work, row * height)
    moments = Moments(front[-1], work.device) if like.is_floating_point() and like.ndim == 4 else None
    for a, b in work.strips(height, row, into, halo):
        if not work.dry:
            y = make(a, b)
            store.write(y.movedim(-2, 0))
            if moments is not None:
                moments.add(y)

    def rows(a: int, b: int) -> Tensor:
        return store.read(a, (b - a, *front, width), like.dtype).to(work.device).movedim(0, -2).contiguous()

    one = Map(work, like, rows, 1)
    one.moments = moments
    return one


class Store:
    """A file without a name that is gone when nobody holds it any more; in a dry run, the count of its bytes alone."""

    def __init__(self, work: Work, size: int):
        self.row_bytes = 0
        self.file: Any = None if work.dry else tempfile.TemporaryFile(dir=work.folder)  # noqa: SIM115
        work.kept += size
        work.most_kept = max(work.most_kept, work.kept)
        weakref.finalize(self, work.drop, size, self.file)

    def write(self, y: Tensor) -> None:
        """The next rows, [rows, ..., W]."""
        values = y.contiguous().cpu().numpy()
        self.row_bytes = values[0].nbytes
        self.file.write(values)

    def read(self, first: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """[rows, ..., W] from row ``first`` on."""
        values = torch.empty(shape, dtype=dtype)
        self.file.seek(first * self.row_bytes)
        self.file.readinto(values.numpy())
        return values


class Moments:
    """The mean and variance of each channel of a map, gathered strip by strip in float64 (Chan, Golub, LeVeque 1983,
    "Algorithms for computing the sample variance", equation 2.1)."""

    def __init__(self, channels: int, device: torch.device):
        kind = torch.float32 if device.type == "mps" else torch.float64
        self.count, self.mean, self.var = 0, *torch.zeros(2, channels, dtype=kind, device=device)

    def add(self, y: Tensor) -> None:
        var, mean = torch.var_mean(y, (0, 2, 3), correction=0)
        new = y.numel() // y.shape[1]
        self.count += new
        share, apart = new / self.count, mean - self.mean
        self.mean = self.mean + share * apart
        self.var = (1 - share) * self.var + share * var + share * (1 - share) * apart**2


def unknown(func: Any) -> ModelError:
    return ModelError(f"this network cannot be run strip by strip ({func}): allow more memory, so that it runs whole")

"""Runs a network on a picture of any size in little memory, exactly: layer by layer, and each layer strip by strip.

What a convolution makes is written, strip by strip, to a file; what only changes values or moves them within a few rows
(activations, norms, borders, skips) is computed from the file when rows are asked for. The mean and variance that a
norm takes over the whole picture are gathered while the file is written. Thus any network that is made of the
operations below runs as it is, with the arithmetic that the whole picture takes, and no convolution is computed twice.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.maps import Map, Moments, Rows, Work, aten, by_rows, described, lazy, stored, unknown


def begin(device: torch.device, room: int = 2**62, folder: Path | None = None, dry: bool = False) -> Work:
    """A run with ``room`` bytes for each strip and its files in ``folder``; dry: only what it would take is noted."""
    return Work(OPERATIONS, device, room, folder, dry)


def out_of(work: Work, picture: Any, channels: int) -> Map:
    """A picture (its ``shape`` and its ``part``, see ``tiles.Padded``) as [1, C, H, W]."""
    height, width = picture.shape

    def rows(a: int, b: int) -> Tensor:
        return torch.from_numpy(picture.part(a, b, 0, width)).to(work.device)

    return Map(work, torch.empty(1, channels, height, width, device="meta"), rows, 1)


def convolution(
    func: Any, x: Map, weight: Tensor, bias: Tensor | None, stride: list[int], padding: list[int],
    dilation: list[int], transposed: bool, output_padding: list[int], groups: int,
) -> Map:  # fmt: skip
    """Each strip from the rows that it sees: those above and below the map are zeros."""
    like = described(func, x, weight, bias, stride, padding, dilation, transposed, output_padding, groups)
    step, above, beyond = stride[0], padding[0], dilation[0] * (weight.shape[2] - 1)
    beside, read = [0, padding[1]], x.rows
    height = x.shape[-2]

    def make(a: int, b: int) -> Tensor:
        if transposed:  # row i is spread over the rows i * step - above to i * step - above + beyond
            first, last = -((beyond - a - above) // step), (b - 1 + above) // step + 1
        else:
            first, last = a * step - above, (b - 1) * step - above + beyond + 1
        seen = with_zeros(read, first, last, height)
        more = [0, output_padding[1]]
        y = func(seen, weight, bias, stride, beside, dilation, transposed, more, groups)
        start = a + above - first * step if transposed else 0
        return y[..., start : start + b - a, :]

    ratio = -(-x.shape[-2] // like.shape[-2]) if transposed else step
    return stored(x.work, like, make, into=ratio * x.row_bytes, halo=(beyond + 1) * x.row_bytes)


def with_zeros(read: Rows, first: int, last: int, height: int) -> Tensor:
    """Rows of a map of which some may lie above or below it: zeros."""
    a, b = max(first, 0), min(last, height)
    inside = read(a, b)
    return inside if (a, b) == (first, last) else F.pad(inside, (0, 0, a - first, last - b))


def group_norm(
    func: Any, x: Map, groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5,
    cudnn: bool = True,
) -> Map:  # fmt: skip
    """Of one channel a group, which is what instance norms are here: by the moments of the whole map."""
    if groups != x.shape[1]:
        raise unknown(func)
    moments, x = with_moments(x)
    mean, var = moments.mean.to(x.dtype), moments.var.to(x.dtype)
    return by_rows(aten.batch_norm, x, weight, bias, mean, var, False, 0.0, eps, False)


def with_moments(x: Map) -> tuple[Moments, Map]:
    """A map that has been stored, so that its moments are known."""
    if x.moments is None:
        x = stored(x.work, described(aten.clone, x), x.rows, into=x.row_bytes)
    return x.moments or Moments(x.shape[1], x.device), x


def mean(func: Any, x: Map, dims: list[int], keepdim: bool = False, dtype: Any = None) -> Tensor:
    """Over the whole map, [1, C, 1, 1]."""
    if sorted(dim % x.ndim for dim in dims) != [2, 3] or not keepdim:
        raise unknown(func)
    return with_moments(x)[0].mean.to(x.dtype)[None, :, None, None]


def dropout(func: Any, x: Map, p: float, train: bool) -> Map:
    """Every row draws by itself, from the first to the last: what is drawn does not depend on the memory there is, but
    it is another draw than that of the whole map."""
    if not train or not p:
        return x
    read = x.rows

    def make(a: int, b: int) -> Tensor:
        return torch.cat([func(row, p, True) for row in read(a, b).split(1, -2)], -2)

    return stored(x.work, described(aten.clone, x), make, into=2 * x.row_bytes)


def padded(func: Any, x: Map, pad: list[int], value: float = 0.0) -> Map:
    """Borders of zeros, or reflected, or repeated; pad: left, right, above, below."""
    like = described(func, x, pad)
    left, right, above, _ = pad
    read, height = x.rows, x.shape[-2]
    zeros = func.overloadpacket is aten.constant_pad_nd
    if zeros and value:
        raise unknown(func)

    def rows(a: int, b: int) -> Tensor:
        if zeros:
            return func(with_zeros(read, a - above, b - above, height), [left, right])
        place = torch.arange(a - above, b - above)
        if func.overloadpacket is aten.reflection_pad2d:
            place = height - 1 - (height - 1 - place.abs()).abs()
        place = place.clamp(0, height - 1)
        first = int(place.min())
        y = read(first, int(place.max()) + 1)
        if len(y[0, 0]) != b - a or int(place[0]) != first:
            y = y[..., (place - first).to(y.device), :]
        return func(y, [left, right, 0, 0])

    return lazy(like, rows, x)


def enlarged(func: Any, x: Map, *args: Any) -> Map:
    """By a whole factor, each row from those next to where it comes from: nearest, bilinear, pixel shuffle."""
    like = described(func, x, *args)
    factor, height, read = like.shape[-2] // x.shape[-2], x.shape[-2], x.rows

    def rows(a: int, b: int) -> Tensor:
        first, last = max(0, a // factor - 1), min(height, -(-b // factor) + 1)
        return func(read(first, last), *args)[..., a - first * factor : b - first * factor, :]

    return lazy(like, rows, x)


def pooled(func: Any, x: Map, size: list[int], stride: list[int] | None = None, *args: Any) -> Map:
    """Means of windows, without borders."""
    like = described(func, x, size, stride or [], *args)
    step, read = (stride or size)[0], x.rows
    if any(args[0] if args else ()):
        raise unknown(func)

    def rows(a: int, b: int) -> Tensor:
        return func(read(a * step, (b - 1) * step + size[0]), size, stride or [], *args)

    return lazy(like, rows, x)


def cut(func: Any, x: Map, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Map:
    """A slice, also of rows."""
    if dim % x.ndim != x.ndim - 2:
        return by_rows(func, x, dim, start, end, step)
    if step != 1:
        raise unknown(func)
    like, read = described(func, x, dim, start, end, step), x.rows
    first = range(x.shape[-2])[slice(start, end)].start
    return lazy(like, lambda a, b: read(a + first, b + first), x)


def new_zeros(func: Any, x: Map, size: list[int], **kind: Any) -> Tensor:
    """Numbers of the network's own, such as noise: no map."""
    return torch.zeros(size, dtype=kind.get("dtype") or x.dtype, device=x.device)


OPERATIONS: dict[Any, Callable[..., Any]] = {
    aten.convolution: convolution,
    aten.group_norm: group_norm,
    aten.mean: mean,
    aten.dropout: dropout,
    aten.constant_pad_nd: padded,
    aten.reflection_pad2d: padded,
    aten.replication_pad2d: padded,
    aten.upsample_nearest2d: enlarged,
    aten.upsample_bilinear2d: enlarged,
    aten.pixel_shuffle: enlarged,
    aten.avg_pool2d: pooled,
    aten.slice: cut,
    aten.new_zeros: new_zeros,
}

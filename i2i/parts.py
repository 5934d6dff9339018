"""A picture that the memory has no room for, through a torch network: exact, strip by strip; or fast, tile by tile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, Protocol

import numpy as np
import torch

from i2i import masks, paths, strips, tiles
from i2i.errors import DataError, UsageError
from i2i.folder import Product
from i2i.kinds import scaled
from i2i.maps import Map, Work
from i2i.memory import shown
from i2i.nets import frozen
from i2i.nets.used import Used, seeded


class Runs(Protocol):
    """What runs a network on what fits into the memory, see ``i2i.translator.Engine``."""

    @property
    def per_pixel(self) -> int: ...

    def run(self, x: np.ndarray) -> np.ndarray: ...


def exact(used: Used, device: torch.device, product: Product, picture: tiles.Padded, room: int) -> Iterator[np.ndarray]:
    """As the whole would be, see ``i2i.strips``. The noise of a network is drawn from its seed, but row by row: it is
    not that of the whole, and the same for any memory.

    Raises:
        DataError: ``room`` bytes, or those that are free on the disk, are too few.
    """
    folder, size = paths.cache(), f"{picture.shape[1]} x {picture.shape[0]} pixels"
    plan = strips.begin(device, dry=True)
    through(used, plan, product, picture)
    if plan.least_room > room:
        raise DataError(
            f"{size}: a strip takes {shown(plan.least_room)}, {shown(room)} are left for it: allow more memory"
        )
    folder.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(folder).free
    if plan.most_kept > disk:
        raise DataError(
            f"{size}: exact tiles need {shown(plan.most_kept)} of disk, {shown(disk)} are free in {folder}: "
            "set I2I_CACHE to a folder with more, or take fast tiles"
        )
    work = strips.begin(device, room, folder)
    try:
        answer = through(used, work, product, picture)
    except OSError as e:
        raise DataError(f"{size}: {folder} cannot be written ({e.strerror or e}): set I2I_CACHE to another one") from e
    for a, b in work.strips(answer.shape[2], answer.row_bytes, answer.row_bytes):
        with torch.inference_mode():
            rows = answer.rows(a, b)[0].permute(1, 2, 0).cpu().numpy()
        yield rows


def through(used: Used, work: Work, product: Product, picture: tiles.Padded) -> Map:
    noise = seeded(used.seed, work.device) if used.noisy else nullcontext()
    with torch.inference_mode(), noise:
        return used.net(strips.out_of(work, picture, product.inputs))


def fast(
    engine: Runs, used: Used, product: Product, picture: tiles.Padded, room: int
) -> Iterator[np.ndarray]:  # fmt: skip
    """Tiles that overlap, with the statistics of a reduced copy of the picture where norms ask for the whole.

    Raises:
        DataError: ``room`` bytes are too few.
        UsageError: for a network with noise: each tile would draw its own.
    """
    if used.noisy:
        raise UsageError("this model keeps dropout on as noise, of which each tile would draw its own: exact tiles")
    config: Any = used.net.config
    plan = tiles.cut(picture, room, engine.per_pixel, product.multiple, product.scale, frozen.reach(config))
    with frozen.frozen(used.net):
        if frozen.sees_whole(used.net):
            engine.run(reduced(picture.values, room // engine.per_pixel, product))
        yield from tiles.blended(engine.run, picture, plan, product.scale)


def reduced(values: np.ndarray, pixels: int, product: Product) -> np.ndarray:
    """A copy [1, C, H, W] of a picture [H, W, C] of about so many pixels, if it has more."""
    height, width = values.shape[:2]
    share, k = min(1.0, (pixels / (height * width)) ** 0.5), product.multiple
    size = max(k, int(share * height) // k * k), max(k, int(share * width) // k * k)
    small = masks.resized(values, size) if product.masked else scaled(values, size)
    return np.ascontiguousarray(small.transpose(2, 0, 1)[None], dtype=np.float32)

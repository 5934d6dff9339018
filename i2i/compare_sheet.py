"""The sheet of a comparison: the same held-out pictures as every trained row paints them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import recipe, sheets, training
from i2i.data.batches import Labelled, Reduced, loader
from i2i.draw_torch import load_sampler
from i2i.drawing import Draws
from i2i.folder import read_info
from i2i.methods import METHODS
from i2i.methods.base import detail, enlarged
from i2i.methods.ccgan import same_hole
from i2i.nets import takes_mask
from i2i.nets.context import completed
from i2i.nets.used import Used
from i2i.run_torch import load_net
from i2i.runs import RECIPE
from i2i.watch import pixels

ROWS = 6
DRAWN = 5, 10  # rows and columns of what each run draws: 10 digits side by side


def draw(out: Path, data: training.Prepared, runs: dict[str, Path], title: str) -> Path | None:
    """Writes ``sheet.png``: the input, a column for each run that translates pictures, the target; of runs that draw
    pictures, what each draws. None without any."""
    nets: dict[str, Used] = {}
    for name, run in runs.items():
        info = read_info(run / "model")
        if info.sampler:
            return draw_drawn(out, data, runs, title)
        if info.products:
            nets[name] = Used(load_net(run / "model", info, info.default), info.inference)
    if not nets:
        return None
    wanted = recipe.load(runs[next(iter(nets))] / RECIPE)
    reads = METHODS[wanted.method.name].reads
    _, held = training._open(wanted, data, reads, training._view(wanted))
    columns: dict[str, list[Any]] = {}

    def put(caption: str, picture: Any) -> None:
        columns.setdefault(caption, []).append(pixels(picture))

    a, b = data.domains if wanted.data.direction == "a2b" else reversed(data.domains)
    masked = any(takes_mask(used.net) for used in nets.values())
    for batch in loader(held.shown, batch=1, shuffle=False, stop=min(ROWS, len(held.shown))):
        if masked:
            x, hole = batch.b, same_hole(wanted.method, batch.b)
            put("with a hole", completed(torch.zeros_like(x), x, hole))
            for name, net in nets.items():
                put(name, completed(net(torch.cat([x, hole], 1)), x, hole))
            put("original", x)
            continue
        if reads is Reduced:
            batch = detail(batch)
        put("bicubic" if reads is Reduced else a, enlarged(batch) if reads is Reduced else batch.a)
        for name, net in nets.items():
            put(name, net(batch.a))
        if reads is not Labelled:
            put("original" if reads is Reduced else b, batch.b)
    path = out / "sheet.png"
    sheets.save(sheets.sheet(list(zip(*columns.values(), strict=True)), list(columns), title), path)
    return path


def draw_drawn(out: Path, data: training.Prepared, runs: dict[str, Path], title: str) -> Path:
    """Writes ``sheet.png``: held-out pictures, and as many drawn by each run, by those that know classes class by
    class: a column shows one of them."""
    count = DRAWN[0] * DRAWN[1]
    wanted = recipe.load(next(iter(runs.values())) / RECIPE)
    _, held = training._open(wanted, data, METHODS[wanted.method.name].reads, training._view(wanted))
    batch = next(loader(held.shown, batch=count, shuffle=False, stop=count))
    tiles = {f"{data.card.name}, {held.split}": tile(batch.x)}
    for name, run in runs.items():
        info = read_info(run / "model")
        if info.sampler:
            net = Used(load_sampler(run / "model", info), info.inference)
            draws = Draws(net, info.sampler.latent, info.sampler.classes)
            tiles[name] = tile(torch.cat([x for x, _ in draws.pictures(count, torch.device("cpu"))]))
    path = out / "sheet.png"
    sheets.save(sheets.wall(list(tiles.values()), list(tiles), title), path)
    return path


def tile(x: Tensor) -> Any:
    """[N, C, H, W] in [-1, 1] -> uint8 [rows * H, columns * W, C]: from left to right and down, missing ones black."""
    rows, columns = DRAWN
    _, channels, height, width = x.shape
    full = torch.full((rows * columns, channels, height, width), -1.0)
    full[: len(x)] = x
    whole = full.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return pixels(whole.reshape(1, channels, rows * height, columns * width))

"""Pictures of the kind that an exported network will be given: to find the ranges of its values, and to compare."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from i2i import card
from i2i.data.layouts import recognise
from i2i.data.sides import Decoder, Half, Side
from i2i.errors import DataError
from i2i.folder import Info
from i2i.parity import holes

HELD_OUT = 8  # pictures for the comparison, at most; none of them is calibrated with
LEAST = 4  # pictures


class Samples:
    """Pictures of the domain that ``product`` takes, from a data set or a folder.

    Raises:
        DataError: no such data set or folder, or too few pictures in it.
    """

    def __init__(self, what: str | Path, info: Info, product: str):
        about, root = card.resolve(what)
        layout = recognise(root)
        splits, domains = layout.splits, layout.domains or about.domains
        split = splits.get("train") or next(iter(splits.values()))
        if split.kind == "arrays":
            raise DataError(f"{root}: holds number arrays, pictures are needed to calibrate with")
        self.channels, self.masked = info.products[product].channels[0], info.products[product].masked
        source = info.products[product].source
        second = source == domains[1] if source in domains and len(domains) > 1 else product == "b2a"
        self._half: Half = "whole"
        if split.kind == "aligned":
            self._half = "right" if second else "left"
        files = split.b if second and split.b else split.a
        if len(files) < LEAST:
            raise DataError(f"{root}: {len(files)} pictures are too few to calibrate with: {LEAST} at least")
        order = np.random.default_rng(0).permutation(len(files))
        held = min(HELD_OUT, len(files) // 4)
        self._held = [files[i] for i in order[:held]]
        self._others = [files[i] for i in order[held:]]

    def calibrating(self, count: int, size: tuple[int, int]) -> list[np.ndarray]:
        """Up to ``count`` batches of one, float32 [1, C, H, W] in [-1, 1]."""
        return [self._batch([file], size, i + 1) for i, file in enumerate(self._others[:count])]

    def held_out(self, number: int, channels: int, size: tuple[int, int]) -> np.ndarray:
        """Float32 [number, C, H, W] in [-1, 1], of the pictures that were not calibrated with."""
        return self._batch([self._held[i % len(self._held)] for i in range(number)], size)

    def _batch(self, files: Sequence[Path], size: tuple[int, int], seed: int = 0) -> np.ndarray:
        side = Side(tuple(files), self._half, Decoder(), self.channels, self.channels, size)
        pictures = np.stack([side[i] for i in range(len(files))]).astype(np.float32)
        x = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)) / np.float32(127.5) - np.float32(1)
        return np.concatenate([x, holes(len(x), size, seed)], 1) if self.masked else x

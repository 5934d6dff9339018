"""The embedded data set ``shapes``: little storybook landscapes, as label maps (A) and as painted pictures (B).

Everything is drawn by code from a seed, so that a first training needs no download. The picture is nearly a function of
its label map: the light comes from the left, late in the afternoon, in every scene; shading follows the shape of a
region, textures follow the position in the image. A network can therefore learn the painting, and PSNR means something.
Flips and random crops break these rules: train without them.

What is guaranteed: a scene depends on its own (seed, split, index) and on the size, never on how many are made. Random
numbers are ``Generator(PCG64).random()`` only, seeded by a ``SeedSequence``, and all arithmetic is float64, so label
maps and pictures agree between machines and numpy versions (a value could differ by 1, or a pixel at an edge fall to
the other side, where a sine is rounded otherwise: rare enough not to expect it). Two machines' files hold the same
pixels; their compressed bytes may differ with the version of zlib.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from i2i.data.canvas import PALETTE
from i2i.data.landscape import paint
from i2i.errors import DataError

__all__ = ["PALETTE", "make", "scene"]

# The stream of random numbers of a folder. trainB of the unpaired form has its own: no scene of it is in trainA.
STREAMS = {"train": 0, "val": 1, "test": 2, "trainB": 3}


def scene(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """One scene: (label map, picture), both uint8 [size, size, 3]. The label map has the colors of PALETTE only."""
    return paint(rng.random, size)


def generator(seed: int, split: str, index: int) -> np.random.Generator:
    """The random numbers of one scene; ``split`` is a key of STREAMS, ``index`` counts from 1 like the file names."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, STREAMS[split], index])))


def make(
    root: Path,
    *,
    seed: int = 0,
    size: int = 128,
    train: int = 400,
    val: int = 64,
    test: int = 64,
    unpaired: bool = False,
) -> None:
    """Write the data set as PNG files below ``root``; ``size`` is height and width in pixels, the rest are counts.

    Paired: train/A/0001.png (label map) and train/B/0001.png (picture of the same scene), val/ and test/ likewise.
    Unpaired: trainA, trainB, valA, valB, testA, testB. The scenes of trainA and trainB are disjoint (trainA and all of
    val and test are those of the paired form); in val and test the files of one name show one scene, so that a
    translation can be measured against the truth.

    Raises DataError when a number makes no sense or a folder of that name is already there.
    """
    numbers = {"seed": (seed, 0), "size": (size, 32), "train": (train, 0), "val": (val, 0), "test": (test, 0)}
    for name, (value, least) in numbers.items():
        if value < least:
            raise DataError(f"shapes: {name} is {value}, it must be at least {least}")
    form = "{split}{side}" if unpaired else "{split}/{side}"
    counts = {split: n for split, n in {"train": train, "val": val, "test": test}.items() if n}
    folders = {(split, side): root / form.format(split=split, side=side) for split in counts for side in "AB"}
    for folder in folders.values():
        if folder.exists():
            raise DataError(f"{folder}: is already there; remove it or choose another folder for shapes")
    for folder in folders.values():
        folder.mkdir(parents=True)
    for split, count in counts.items():
        for index in range(1, count + 1):
            name = f"{index:04d}.png"
            label, picture = scene(generator(seed, split, index), size)
            if unpaired and split == "train":
                _, picture = scene(generator(seed, "trainB", index), size)
            save(label, folders[split, "A"] / name)
            save(picture, folders[split, "B"] / name)


def save(pixels: np.ndarray, path: Path) -> None:
    """Write a PNG that is there in full or not at all."""
    part = path.with_suffix(".part")
    Image.fromarray(pixels).save(part, format="PNG")
    part.replace(path)

"""A trained model is a folder: ``i2i.json`` says what it is, ``model.safetensors`` holds its numbers.

One folder may hold several products (``a2b``, ``b2a``): its tensors are named ``<product>/<state_dict key>``, so that
one direction can be read without the other. An exported model is such a folder with an ONNX file for each product.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from i2i import __version__, formats, paths
from i2i.errors import ModelError
from i2i.latents import Latent
from i2i.modelcard import card
from i2i.strict import Source, Strict, validate

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

INFO, TENSORS, CARD = "i2i.json", "model.safetensors", "README.md"
SAMPLER = "sampler"  # what the network that draws pictures is called where products have their names


class Product(Strict):
    """One network that can be called: from which domain to which, and how to build it."""

    source: str
    target: str
    generator: dict[str, Any]  # the network's config, as JSON
    multiple: int = Field(ge=1, le=4096)  # height and width must be multiples of it
    scale: int = Field(1, ge=1, le=16)  # the output is that many times as large
    channels: tuple[int, int] = (3, 3)  # of the input and of the output
    masked: bool = False  # it fills holes: the input has one more channel, the mask: 1 where the picture is missing
    file: str = Field(TENSORS, pattern=r"^[^/\\]+$")  # in the folder: its numbers; the ending says which engine runs it

    @field_validator("channels")
    @classmethod
    def _gray_or_color(cls, channels: tuple[int, int]) -> tuple[int, int]:
        if not {1, 3}.issuperset(channels):
            raise ValueError(f"pictures have 1 or 3 channels, not {' and '.join(map(str, channels))}")
        return channels

    @model_validator(mode="after")
    def _fills_what_it_takes(self) -> Product:
        if self.masked and (self.scale != 1 or self.channels[0] != self.channels[1]):
            raise ValueError("what fills holes gives pictures of the size and the channels that it takes")
        return self

    @property
    def inputs(self) -> int:
        """The channels that the network takes, its mask included."""
        return self.channels[0] + self.masked


class Sampler(Strict):
    """One network that draws pictures from random numbers, and how to build it."""

    generator: dict[str, Any]  # the network's config, as JSON
    latent: Latent  # what it draws from
    classes: int = Field(0, ge=0, le=100_000)  # it draws what it is asked for: a second input, int64 [N]; 0: no classes
    styles: int = Field(0, ge=0, le=256)  # so many layers have a style, each can have a z of its own; 0: none has
    size: tuple[int, int]  # height, width of its pictures
    channels: Literal[1, 3] = 3
    file: str = Field(TENSORS, pattern=r"^[^/\\]+$")  # in the folder: its numbers; the ending says which engine runs it

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what one picture is drawn from."""
        return (self.styles, self.latent.size) if self.styles else (self.latent.size,)

    def sentence(self) -> str:
        """``gray pictures of 28 x 28, of 10 classes, from 100 normal values``."""
        kind = "gray" if self.channels == 1 else "color"
        asked = f", of {self.classes} classes" if self.classes else ""
        return f"{kind} pictures of {self.size[0]} x {self.size[1]}{asked}, from {self.latent.sentence()}"


class Inference(Strict):
    """How the network behaves when it is used, stated instead of left to chance.

    ``norm``: "image": batch norms take the statistics of the picture itself, as Pix2Pix does (Isola et al. 2017,
    arXiv:1611.07004, section 3.3); "running": those collected in training.
    ``dropout``: it stays on as the noise of the generator, drawn from ``seed``.
    """

    norm: Literal["image", "running"]
    dropout: bool
    seed: int = 0

    def sentence(self) -> str:
        norm = {
            "image": "Normalisation layers use the statistics of the very picture that is translated",
            "running": "Normalisation layers use what they learned in training",
        }[self.norm]
        noise = f"dropout stays on as the noise of the generator, drawn from seed {self.seed}: one seed, one result."
        return f"{norm}; {noise if self.dropout else 'nothing is random: one picture, one result.'}"


class Proof(Strict):
    """How an exported file answers compared with the torch network it was made from; values go from -1 to 1."""

    max: float  # the largest absolute difference that was seen
    mean: float  # the mean absolute difference
    psnr: float | None  # decibels, for the range 2; None: no difference at all
    bytes: int  # of the file
    levels: int | None = None  # raw pixels: the largest difference, of 255 levels, from what i2i makes of a picture
    differing: float = 0.0  # raw pixels: the share of values that are not the same


class Footprint(Strict):
    """What cutting a picture into tiles asks of an exported network."""

    per_pixel: int = Field(ge=0)  # bytes that a run takes for each pixel of a picture
    statistics: bool  # its norms take statistics over the whole picture
    reach: int | None  # pixels around a block of ``multiple`` pixels on which its answer depends; None: all, or nearly


class Export(Strict):
    """How a folder of ONNX files was made, and what was proven before it was kept."""

    target: str
    opset: int
    precision: Literal["fp32", "fp16", "int8"]
    tolerance: float  # the largest absolute difference that was allowed
    sizes: tuple[tuple[int, int], ...]  # height, width of the compared pictures; other sizes work as well
    batches: tuple[int, ...]  # how many of them at once
    pixels: bool = False  # takes and gives uint8 [N, H, W, C] of any size, instead of float32 [N, C, H, W]
    picture_sizes: tuple[tuple[int, int], ...] = ()  # raw pixels: height, width of the pictures that were compared
    page: bool = False  # a page for browsers lies beside it
    latents: int = 0  # of a model that draws pictures: how many were drawn from to compare
    calibrated: int = 0  # int8: pictures (or latents) that the ranges of values come from; others were compared
    noise_removed: bool  # the trained model keeps dropout on, this one answers without it
    proofs: dict[str, Proof]  # for each product
    tiles: dict[str, Footprint] = Field(default_factory=dict)  # for each product; older exports do not say
    torch: str  # the version that made it


class Info(Strict):
    """Everything about a trained model but its numbers."""

    format: int = formats.MODEL.newest
    i2i: str = __version__
    name: str
    method: str
    dataset: str
    size: tuple[int, int]  # height, width of the pictures it was trained on
    images: int  # seen in training
    seconds: float = Field(0, ge=0)  # that the training took so far; 0: not known
    products: dict[str, Product]
    classifiers: dict[str, dict[str, Any]] = Field(default_factory=dict)  # networks that name classes: their configs
    sampler: Sampler | None = None  # a network that draws pictures; its tensors are named sampler/<state_dict key>
    default: str  # the product that is meant when none is named; empty if there is none
    value_range: tuple[float, float] = (-1.0, 1.0)
    inference: Inference
    metrics: dict[str, float] = Field(default_factory=dict)
    licence: str = ""
    export: Export | None = None  # of an exported model
    origin: str = ""  # where the weights come from, if i2i did not train them

    @property
    def files(self) -> list[str]:
        """The files that hold its numbers; an exported model has none of its classifiers."""
        names = {product.file for product in self.products.values()}
        names |= {self.sampler.file} if self.sampler else set()
        names |= {TENSORS} if self.classifiers and not self.export else set()
        return sorted(names)


def is_model(folder: Path) -> bool:
    return paths.is_file(folder / INFO)


def read_info(folder: Path) -> Info:
    """What ``i2i.json`` in a model folder says; that of an older format as the newest says it.

    Raises:
        ModelError: no model folder, a damaged file, or a format that is newer than this i2i.
    """
    path = folder / INFO
    if not is_model(folder):
        raise ModelError(f"{folder}: not a model folder ({INFO} is missing)")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as e:
        raise ModelError(f"{path}:{e.lineno}: damaged: not valid JSON ({e.msg})") from e
    except UnicodeDecodeError as e:
        raise ModelError(f"{path}: damaged: not UTF-8 text") from e
    except OSError as e:
        raise ModelError(f"{path}: cannot be read ({e.strerror})") from e
    if not isinstance(tree, dict):
        raise ModelError(f"{path}: damaged: it says no format number")
    tree = formats.MODEL.upgraded(tree, str(path), ModelError)
    info = validate(Info, tree, Source(str(path)), ModelError)
    if info.default not in (info.products or ("",)):
        raise ModelError(f"{path}: default: {info.default!r} is none of its products ({', '.join(info.products)})")
    return info


def write(folder: Path, info: Info, tensors: Mapping[str, Mapping[str, np.ndarray | Tensor]]) -> None:
    """Writes a model folder: product -> state_dict in ``tensors``; that of a sampler is called so.

    Raises:
        ModelError: the folder exists and is something else than a model; products and tensors do not belong together.
    """
    if set(tensors) != {*info.products, *info.classifiers, *([SAMPLER] if info.sampler else [])}:
        raise ModelError(f"{folder}: products {sorted(info.products)} do not fit tensors for {sorted(tensors)}")
    if info.default not in (info.products or ("",)):
        raise ModelError(f"{folder}: default {info.default!r} is none of the products {sorted(info.products)}")

    def fill(fresh: Path) -> Info:
        _save({f"{p}/{key}": t for p, state in tensors.items() for key, t in state.items()}, fresh / TENSORS)
        return info

    write_whole(folder, fill)


def write_whole(folder: Path, fill: Callable[[Path], Info], readme: Callable[[Info], str] | None = None) -> None:
    """Writes a model folder as a whole: ``fill`` puts the network's files into a folder and describes them.

    Everything is written into a folder beside it, brought to disk and then swapped in. Where the system can exchange
    two folders in one step (Linux, macOS) a complete model is there at every moment, elsewhere but for an instant.
    If ``fill`` fails, nothing has changed.

    Raises:
        ModelError: the folder exists and is something else than a model.
    """
    if folder.exists() and not is_model(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise ModelError(f"{folder}: exists and is not a model folder: choose another place, nothing was written")
    folder = folder.resolve()  # a link stays a link, to the new model
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.new")
    if fresh.exists():
        shutil.rmtree(fresh)  # what a killed write left behind
    fresh.mkdir()
    try:
        info = fill(fresh)
        (fresh / CARD).write_text((readme or card)(info), encoding="utf-8")
        (fresh / INFO).write_text(json.dumps(info.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
        for path in (*fresh.rglob("*"), fresh):
            _to_disk(path)
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(
            fresh, ignore_errors=True
        )  # after the swap the previous model, after a failure the unfinished one


def _save(tensors: dict[str, Any], path: Path) -> None:
    if any(hasattr(t, "detach") for t in tensors.values()):
        import torch
        from safetensors.torch import save_file as save_torch

        # A copy of its own for each: safetensors refuses views, shared memory and channels_last strides.
        own = {
            key: torch.as_tensor(t).detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for key, t in tensors.items()
        }
        save_torch(own, path, metadata={"format": "pt"})
    else:
        import numpy as np
        from safetensors.numpy import save_file as save_numpy

        save_numpy({key: np.ascontiguousarray(t) for key, t in tensors.items()}, path, metadata={"format": "pt"})


def _to_disk(path: Path) -> None:
    if sys.platform == "win32" and path.is_dir():
        return  # Windows cannot open a folder
    handle = os.open(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put_in_place(fresh: Path, folder: Path) -> None:
    """``fresh`` becomes ``folder``; what stood there is left at ``fresh`` or gone."""
    if not folder.exists():
        fresh.rename(folder)
    elif not _exchange(fresh, folder):
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    _to_disk(folder.parent)


def _exchange(a: Path, b: Path) -> bool:
    """Swaps two folders in one step; False where the system or the file system cannot."""
    names = (os.fsencode(a), os.fsencode(b))
    swap = 2  # RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            return libc.renamex_np(*names, ctypes.c_uint(swap)) == 0
        here = -100  # AT_FDCWD
        return libc.renameat2(here, names[0], here, names[1], ctypes.c_uint(swap)) == 0
    except (OSError, AttributeError, TypeError):
        return False

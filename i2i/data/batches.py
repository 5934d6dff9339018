"""Batches: a split of a data set and a view of it in, float tensors in [-1, 1] out.

The way of a picture: file -> decoded -> cut (side by side) -> resized [cached here] -> cropped and flipped by its own
seed -> uint8 batch (in a worker) -> float batch (in the training process).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from i2i.data.labelled import LabelledImages, LabelledPictures, Shown
from i2i.data.reduced import ReducedPictures, Reduction
from i2i.data.samplers import BatchSampler, Place, mix
from i2i.data.samples import Samples
from i2i.data.sides import Decoder, Half, Side
from i2i.data.transforms import Augment, View
from i2i.errors import DataError

if TYPE_CHECKING:
    from i2i.data.layouts import Split


class Pair(NamedTuple):
    """a[i] and b[i] show the same scene: float32 [N, C, H, W] in [-1, 1]."""

    a: Tensor
    b: Tensor


class Unpaired(NamedTuple):
    """a and b show two domains and nothing links a[i] to b[i]: float32 [N, C, H, W] in [-1, 1]."""

    a: Tensor
    b: Tensor


class Reduced(NamedTuple):
    """a[i] is b[i] made smaller: float32 [N, C, H / scale, W / scale] and [N, C, H, W], in [-1, 1].

    From data of two domains, b is of the second one (in the direction b2a, of the first).
    """

    a: Tensor
    b: Tensor


class Labelled(NamedTuple):
    """Pictures whose labels are known, and pictures to learn from without: of another domain, or all there are. From
    pictures of two domains without labels, b is of the second one (in the direction b2a, of the first).

    a, b: float32 [N, C, H, W] in [-1, 1]; a is empty, [0, C, H, W], if the data have no labels.
    a_labels, b_labels: int64 [N], -1 where unknown. b_labels is for measuring, not for learning.
    """

    a: Tensor
    a_labels: Tensor
    b: Tensor
    b_labels: Tensor

    @property
    def x(self) -> Tensor:
        """The pictures that a method which draws draws like, as in ``Images``."""
        return self.b


class Images(NamedTuple):
    """Pictures to be drawn like: of two domains the second one (in the direction b2a, the first).

    x: float32 [N, C, H, W] in [-1, 1]. labels: int64 [N], -1 where unknown.
    """

    x: Tensor
    labels: Tensor


Reads = type[Pair] | type[Unpaired] | type[Reduced] | type[Labelled] | type[Images]


class Pictures(Samples):
    """Two sides seen through a view, as Pair or Unpaired."""

    def __init__(self, reads: Reads, a: Side, b: Side, view: View):
        super().__init__(reads, (len(a), len(b)), tied=reads is Pair)
        self.a, self.b = a, b
        self._augment = Augment(view)

    def __getitem__(self, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """uint8 [H, W, C] of both sides."""
        a, b = self.a[place.a], self.b[place.b]
        if self.tied:
            return self._augment.pair(a, b, place.seed)
        return self._augment.single(a, mix(place.seed, 0)), self._augment.single(b, mix(place.seed, 1))


def open_split(
    reads: Reads,
    split: Split,
    view: View,
    *,
    cache_bytes: int = 0,
    who: str = "this method",
    shown: Shown | None = None,
    reduction: Reduction | None = None,
) -> Samples:
    """A split as a data set of samples.

    Args:
        reads: what the method reads. Pairs can be read as Unpaired: each side in an order of its own. Pictures of one
            domain, seen with one channel and three, are pairs for colorization: each with its gray version as a.
        cache_bytes: disk (and page cache) for decoded pictures, per process; 0 decodes anew each time.
        who: the method's name, for the error.
        shown: for Labelled and Images: how many labels are shown; None shows all.
        reduction: for Reduced: how pictures are made smaller.

    Raises:
        DataError: the split has no pictures, or is not what the method reads.
    """
    colorization = reads is Pair and split.kind == "single" and view.channels == (1, 3)
    if not colorization:
        _check(reads, split, who)
    if reads is Labelled:
        return LabelledPictures(reads, split, view, cache_bytes, shown, _target(split, view))
    if reads is Images:
        return LabelledImages(reads, split, view, cache_bytes, shown, _target(split, view))
    if reads is Reduced:
        if reduction is None:
            raise ValueError("Reduced needs a reduction")
        files, half = _target(split, view)
        return ReducedPictures(reads, files, view, reduction, cache_bytes, half)
    aligned = split.kind == "aligned"
    channels = view.channels if view.direction == "a2b" else view.channels[::-1]
    decoder = Decoder()
    if aligned:
        wide = max(channels)  # one decoding serves both halves
        left = Side(split.a, "left", decoder, wide, channels[0], view.resized)
        right = Side(split.a, "right", decoder, wide, channels[1], view.resized)
    elif colorization:
        left, right = (Side(split.a, "whole", decoder, 3, kept, view.resized) for kept in view.channels)
    else:
        left = Side(split.a, "whole", decoder, channels[0], channels[0], view.resized)
        right = Side(split.b, "whole", decoder, channels[1], channels[1], view.resized)
    need = [len(side) * int(np.prod(side.shape)) for side in (left, right)]
    for side, bytes_ in zip((left, right), need, strict=True):
        # in proportion, so that the same first pictures fit on both sides; a flag byte per picture is not counted
        side.keep(int(cache_bytes * bytes_ / sum(need)) + (len(side) if cache_bytes else 0))
    straight = colorization or view.direction == "a2b"
    return Pictures(reads, left, right, view) if straight else Pictures(reads, right, left, view)


def _target(split: Split, view: View) -> tuple[tuple[Path, ...], Half]:
    """The pictures that a method which reads one domain learns from: of two domains the one that it would paint."""
    second = view.direction == "a2b"
    if split.kind == "aligned":
        return split.a, "right" if second else "left"
    return (split.b if second and split.b else split.a), "whole"


_HOLDS = {
    "unpaired": "unpaired pictures (trainA/trainB)",
    "single": "pictures of one domain",
    "arrays": "number arrays (images and labels)",
}
_WANTS: dict[Reads, tuple[str, tuple[str, ...], str]] = {
    Pair: ("pairs", ("aligned", "paired"), "put partners of equal names into folders A and B"),
    Unpaired: ("two domains", ("aligned", "paired", "unpaired"), "put each domain's pictures into trainA and trainB"),
    Reduced: ("pictures", ("single", "aligned", "paired", "unpaired"), "name a folder of pictures"),
    Labelled: ("labelled arrays or pictures", ("arrays", "single", "aligned", "paired", "unpaired"), "name a folder"),
    Images: ("pictures", ("arrays", "single", "aligned", "paired", "unpaired"), "name a folder of pictures"),
}
"""What each batch is made from: in words, the kinds of splits, and what to do about another."""


def _check(reads: Reads, split: Split, who: str) -> None:
    where = _where(split)
    if split.kind != "arrays" and (not split.a or (split.kind in ("paired", "unpaired") and not split.b)):
        raise DataError(f"{where}: no pictures{' of domain B' if split.a else ''} in this split")
    wants, kinds, way_out = _WANTS[reads]
    if split.kind in kinds:
        return
    holds = _HOLDS.get(split.kind, "pairs of pictures")
    if split.kind == "arrays":
        pictures = {"pairs": "pairs of pictures", "two domains": "pictures of two domains"}.get(wants, wants)
        raise DataError(
            f"{who} needs {pictures}, but {where} holds {holds}: they are for methods that learn from labels"
        )
    if reads is Pair and split.kind == "single":
        way_out += ", or color gray versions of them with data.channels=[1, 3]"
    if reads is Pair and split.kind == "unpaired":
        way_out = f"use cyclegan, or {way_out}"
    raise DataError(f"{who} needs {wants}, but {where} holds {holds}: {way_out}")


def _where(split: Split) -> str:
    files = [*split.a, *split.b]
    return os.path.commonpath([f.parent for f in files]) if files else "the data set"


def loader(
    dataset: Samples,
    *,
    batch: int,
    seed: int = 0,
    start: int = 0,
    stop: int | None = None,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    shuffle: bool = True,
    device: torch.device | str = "cpu",
) -> Iterator[Any]:
    """Batches of ``dataset.reads`` from position ``start`` (images seen by all processes) on; see ``samplers``.

    Endless unless ``stop`` is given; evaluation takes ``shuffle=False, stop=len(dataset)``. The number of workers
    changes nothing but the speed, no global random generator is touched, and closing the iterator ends the workers.

    Args:
        device: where the batches are wanted. They travel as uint8 and become float32 there.

    Raises:
        TrainingError: ``start`` does not fit the batch size.
        DataError: while iterating: a picture that cannot be read, a worker that was killed.
    """
    sampler = BatchSampler(
        dataset.sizes,
        tied=dataset.tied,
        batch=batch,
        seed=seed,
        start=start,
        stop=stop,
        rank=rank,
        world=world,
        shuffle=shuffle,
    )
    batches = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_settle_worker,
        prefetch_factor=4 if workers else None,
        generator=torch.Generator(),  # else making the iterator would draw from the global one
    )
    return _floats(_started(batches), dataset.reads, torch.device(device))


def _started(batches: DataLoader[Any]) -> Iterator[Any]:
    """Start the workers, but without torch's SIGCHLD handler: it raises in the middle of whatever runs when a worker
    dies. Without it the death is noticed where the next batch is fetched, at most five seconds later."""
    if not batches.num_workers or threading.current_thread() is not threading.main_thread() or os.name == "nt":
        return iter(batches)
    before = signal.getsignal(signal.SIGCHLD)
    try:
        return iter(batches)
    finally:
        signal.signal(signal.SIGCHLD, before)


def _floats(batches: Iterator[Any], reads: Reads, device: torch.device) -> Iterator[Any]:
    try:
        for parts in batches:
            if isinstance(parts, DataError):
                raise parts
            yield reads(*(as_float(t.to(device)) if t.dtype == torch.uint8 else t.to(device) for t in parts))
    except RuntimeError as e:
        if "DataLoader worker" not in str(e):
            raise
        raise DataError(
            "a process that reads pictures was killed, most likely for lack of memory: use fewer (data.workers)"
        ) from e
    finally:
        if isinstance(batches, _MultiProcessingDataLoaderIter):
            batches._shutdown_workers()  # now, not when the last traceback that holds the iterator is forgotten


def as_float(batch: Tensor) -> Tensor:
    """uint8 [N, H, W, C] -> float32 [N, C, H, W] in [-1, 1], contiguous: x / 127.5 - 1."""
    floats = batch.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return floats.div_(127.5).sub_(1)


def _as_it_is(batch: Any) -> Any:
    return batch


def _settle_worker(_: int) -> None:
    """In a worker: one thread (there is one worker per core), and Ctrl-C is the training process's business."""
    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)

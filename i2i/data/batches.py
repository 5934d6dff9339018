"""Batches: a split of a data set and a view of it in, float tensors in [-1, 1] out.

The way of a picture: file -> decoded -> cut (side by side) -> resized [cached here] -> cropped and flipped by its own
seed -> uint8 batch (in a worker) -> float batch (in the training process).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from i2i.data.samplers import BatchSampler, Place, mix
from i2i.data.sides import Decoder, Side
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


class Pictures(Dataset):
    """Two sides seen through a view. Items are asked for by ``Place``; ``sizes`` says how many pictures each side has.

    Its length is that of the longer side: as many samples show every picture at least once.
    """

    def __init__(self, reads: type[Pair] | type[Unpaired], a: Side, b: Side, view: View):
        self.reads, self.a, self.b = reads, a, b
        self.sizes = (len(a), len(b))
        self._augment = Augment(view)

    def __len__(self) -> int:
        return max(self.sizes)

    def __getitem__(self, place: Place) -> tuple[np.ndarray, np.ndarray]:
        """uint8 [H, W, C] of both sides."""
        a, b = self.a[place.a], self.b[place.b]
        if self.reads is Pair:
            return self._augment.pair(a, b, place.seed)
        return self._augment.single(a, mix(place.seed, 0)), self._augment.single(b, mix(place.seed, 1))

    def __getitems__(self, places: list[Place]) -> tuple[Tensor, Tensor] | DataError:
        """A batch of uint8 [N, H, W, C], or the error: raised in a worker it would come back wrapped in a traceback."""
        try:
            sides = zip(*(self[place] for place in places), strict=True)
            a, b = (torch.from_numpy(np.stack(side)) for side in sides)
        except DataError as e:
            return e
        return a, b


def open_split(
    reads: type[Pair] | type[Unpaired], split: Split, view: View, *, cache_bytes: int = 0, who: str = "this method"
) -> Pictures:
    """A split as a data set of samples.

    Args:
        reads: what the method reads, Pair or Unpaired. Pairs can be read as Unpaired: each side in an order of its own.
        cache_bytes: disk (and page cache) for decoded pictures, per process; 0 decodes anew each time.
        who: the method's name, for the error.

    Raises:
        DataError: the split has no pictures, or is not what the method reads.
    """
    _check(reads, split, who)
    aligned = split.kind == "aligned"
    channels = view.channels if view.direction == "a2b" else view.channels[::-1]
    decoder = Decoder()
    if aligned:
        wide = max(channels)  # one decoding serves both halves
        left = Side(split.a, "left", decoder, wide, channels[0], view.resized)
        right = Side(split.a, "right", decoder, wide, channels[1], view.resized)
    else:
        left = Side(split.a, "whole", decoder, channels[0], channels[0], view.resized)
        right = Side(split.b, "whole", decoder, channels[1], channels[1], view.resized)
    need = [len(side) * int(np.prod(side.shape)) for side in (left, right)]
    for side, bytes_ in zip((left, right), need, strict=True):
        # in proportion, so that the same first pictures fit on both sides; a flag byte per picture is not counted
        side.keep(int(cache_bytes * bytes_ / sum(need)) + (len(side) if cache_bytes else 0))
    return Pictures(reads, left, right, view) if view.direction == "a2b" else Pictures(reads, right, left, view)


_HOLDS = {
    "unpaired": "unpaired pictures (trainA/trainB)",
    "single": "pictures of one domain",
    "arrays": "number arrays (images and labels)",
}


def _check(reads: type[Pair] | type[Unpaired], split: Split, who: str) -> None:
    where = _where(split)
    holds = _HOLDS.get(split.kind, "pairs of pictures")
    if split.kind == "arrays":
        wants = "pairs of pictures" if reads is Pair else "pictures of two domains"
        raise DataError(f"{who} needs {wants}, but {where} holds {holds}: they are for methods that learn from labels")
    if not split.a or (split.kind in ("paired", "unpaired") and not split.b):
        raise DataError(f"{where}: no pictures{' of domain B' if split.a else ''} in this split")
    if reads is Pair and split.kind not in ("aligned", "paired"):
        way_out = "use cyclegan, or " if split.kind == "unpaired" else ""
        raise DataError(
            f"{who} needs pairs, but {where} holds {holds}: {way_out}put partners of equal names into folders A and B"
        )
    if reads is Unpaired and split.kind == "single":
        raise DataError(
            f"{who} needs two domains, but {where} holds {holds}: put each domain's pictures into trainA and trainB"
        )


def _where(split: Split) -> str:
    files = [*split.a, *split.b]
    return os.path.commonpath([f.parent for f in files]) if files else "the data set"


def loader(
    dataset: Pictures,
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
        tied=dataset.reads is Pair,
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


def _floats(batches: Iterator[Any], reads: type[Pair] | type[Unpaired], device: torch.device) -> Iterator[Any]:
    try:
        for both in batches:
            if isinstance(both, DataError):
                raise both
            yield reads(*(as_float(side.to(device)) for side in both))
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

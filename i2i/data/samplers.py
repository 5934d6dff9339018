"""The place in the data: an endless order of samples that is a pure function of (seed, position).

Nothing here has state that could be lost: position ``p`` always names the same pictures and the same augmentation, so a
training goes on in the middle of an epoch with any number of workers, and ``R`` processes of batch ``B`` see together
what one process of batch ``B * R`` sees. Hashing is spelt out (not ``hash()``, not a library's generator) so that the
order also survives other versions of Python, numpy and torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

import numpy as np

from i2i.errors import TrainingError

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_M1, _M2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # splitmix64's finalizer (Stafford's mix 13)
_AUGMENT, _ORDER = 1, 2  # separate streams of one seed


class Place(NamedTuple):
    """One sample: which picture of each side, and the seed of its augmentation."""

    a: int
    b: int
    seed: int


def mix(*words: int) -> int:
    """A well-mixed 64-bit number from integers: a change of one bit anywhere changes half of its bits."""
    h = 0
    for word in words:
        h = ((h + _GOLDEN) ^ word) & _MASK
        h = ((h ^ (h >> 30)) * _M1) & _MASK
        h = ((h ^ (h >> 27)) * _M2) & _MASK
        h ^= h >> 31
    return h


def permutation(n: int, key: int) -> np.ndarray:
    """A random order of ``range(n)`` that depends on nothing but ``n`` and ``key``: int64 [n]."""
    h = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(key)
    h = (h ^ (h >> np.uint64(30))) * np.uint64(_M1)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(_M2)
    return np.argsort(h ^ (h >> np.uint64(31)), kind="stable")


class Order:
    """The endless order of ``n`` pictures: position -> index. Every picture once before any comes again."""

    def __init__(self, n: int, seed: int, stream: int, shuffle: bool):
        self.n, self.seed, self.stream, self.shuffle = n, seed, stream, shuffle
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __call__(self, position: int) -> int:
        epoch, i = divmod(position, self.n)
        if not self.shuffle:
            return i
        if epoch != self._epoch:
            self._epoch, self._order = epoch, permutation(self.n, mix(self.seed, _ORDER, self.stream, epoch))
        return int(self._order[i])


class BatchSampler:
    """Batches of places, from position ``start`` on, for one of ``world`` processes.

    Positions count samples of all processes together. Global step ``s`` takes the positions ``s * batch * world`` up to
    ``(s + 1) * batch * world``, and process ``rank`` the ``rank``-th run of ``batch`` among them.

    Args:
        sizes: how many pictures the sides a and b have.
        tied: both sides go through one order (pairs); else each through its own, so that each shows all its pictures
            before any comes again (the reference implementation of CycleGAN draws b with replacement instead).
        batch: samples per process and step.
        stop: the position at which to end, or None for endless. The last batch may be short, or missing on some ranks.

    Raises:
        TrainingError: ``start`` is not at the beginning of a global step.
    """

    def __init__(
        self,
        sizes: tuple[int, int],
        *,
        tied: bool,
        batch: int,
        seed: int,
        start: int = 0,
        stop: int | None = None,
        rank: int = 0,
        world: int = 1,
        shuffle: bool = True,
    ):
        self.step = batch * world
        if start % self.step:
            raise TrainingError(
                f"cannot go on at image {start}: not a multiple of {self.step} ({batch} a batch x {world} processes); "
                "use the batch size and the number of processes that the training began with"
            )
        self.batch, self.start, self.stop, self.rank, self.seed = batch, start, stop, rank, seed
        self.a = Order(sizes[0], seed, 0, shuffle)
        self.b = self.a if tied else Order(sizes[1], seed, 1, shuffle)

    def __iter__(self) -> Iterator[list[Place]]:
        for step in count(self.start, self.step):
            if self.stop is not None and step >= self.stop:
                return
            first = step + self.rank * self.batch
            last = first + self.batch if self.stop is None else min(first + self.batch, self.stop)
            if first < last:
                yield [self.place(p) for p in range(first, last)]

    def place(self, position: int) -> Place:
        return Place(self.a(position), self.b(position), mix(self.seed, _AUGMENT, position))

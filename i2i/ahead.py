"""Work beside the main thread: a few steps ahead of it, never so many that they fill the memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")


@contextmanager
def threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that are told to stop, not waited for through all that is queued, when the work is left early."""
    pool = ThreadPoolExecutor(count, thread_name_prefix="i2i")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[A], B],
    items: Iterable[A],
    weigh: Callable[[A], int],
    limit: int,
    room: int,
) -> Iterator[tuple[A, B]]:
    """Each item with ``function`` of it, in order. Begun and not yet taken are ``limit`` at most, which weigh no more
    than ``room`` together, or one that is heavier."""
    begun: deque[tuple[A, int, Future[B]]] = deque()
    held = 0
    for item in items:
        weight = weigh(item)
        while begun and (len(begun) >= limit or held + weight > room):
            first, its, result = begun.popleft()
            held -= its
            yield first, result.result()
        begun.append((item, weight, pool.submit(function, item)))
        held += weight
    for first, _, result in begun:
        yield first, result.result()


class Behind(Generic[B]):
    """Results that are worked out later, taken in order."""

    def __init__(self, pool: ThreadPoolExecutor, limit: int, room: int):
        self.pool, self.limit, self.room = pool, limit, room
        self.waiting: deque[tuple[int, Future[B]]] = deque()

    def submit(self, weight: int, function: Callable[..., B], *args: object) -> None:
        self.waiting.append((weight, self.pool.submit(function, *args)))

    def taken(self, all: bool = False) -> Iterator[B]:
        """Those that are ready, and as many more as are over the limit or the room; or all."""
        while self.waiting:
            over = len(self.waiting) > self.limit or sum(weight for weight, _ in self.waiting) > self.room
            if not (all or over or self.waiting[0][1].done()):
                return
            yield self.waiting.popleft()[1].result()

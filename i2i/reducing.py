"""Gradients become their mean over all processes, while backward still computes others.

Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", arXiv:2006.15704, section
3.2: gradients travel in buckets, each as soon as it is whole. Not by ``DistributedDataParallel`` itself: that wraps one
network and one forward before each backward, and a move may run several networks several times.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

BUCKET = 8 * 2**20  # bytes: few collectives, and the last one, which no backward hides, is short


class Reducer:
    """Surrounds the backward of one player's move; after it the gradients are the mean of those of all processes.

        with reducer:
            loss.backward(inputs=params)

    Backward comes to the last layers first, and so do the buckets. They leave in one order, whatever order gradients
    come in: a collective meets its like in every process. In every process the same parameters have to have a gradient;
    those that have none keep none. Where several backwards add up, the last one is to be surrounded.

    Args:
        params: float32, all of one device; each gets its gradient once in a backward, from all its uses.
        world: how many processes there are; with one of them nothing is done.
        bucket: bytes of gradients that travel together; a larger gradient travels alone.

    ``waited`` sums the seconds that this process has waited after its own backward was done (on a GPU the processor
    does not wait: it is no measure there), ``collectives`` counts and ``bytes`` sums what was sent.
    """

    def __init__(self, params: Sequence[nn.Parameter], world: int, bucket: int = BUCKET):
        self.world = world
        self.buckets = buckets(params, bucket) if world > 1 else []
        self.missing: list[int] = []
        self.sent = 0
        self.flying: list[tuple[list[Tensor], Tensor, Any]] = []
        self.inside = False
        self.waited, self.collectives, self.bytes = 0.0, 0, 0
        for number, members in enumerate(self.buckets):
            for p in members:
                p.register_post_accumulate_grad_hook(partial(self._arrived, number))

    def __enter__(self) -> None:
        self.missing = [len(members) for members in self.buckets]
        self.sent, self.flying, self.inside = 0, [], True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.inside = False
        if kind is not None or not self.buckets:
            return
        while self.sent < len(self.buckets):  # parameters without a gradient held up their bucket and those behind it
            self._send()
        began = time.perf_counter()
        for grads, flat, work in self.flying:
            work.wait()
            for g, total in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
                torch.div(total.view_as(g), self.world, out=g)
        self.waited += time.perf_counter() - began
        self.flying = []

    def _arrived(self, number: int, _: Tensor) -> None:
        if not self.inside:
            return
        self.missing[number] -= 1
        while self.sent < len(self.buckets) and not self.missing[self.sent]:
            self._send()

    def _send(self) -> None:
        grads = [p.grad for p in self.buckets[self.sent] if p.grad is not None]
        self.sent += 1
        if grads:
            flat = torch.cat([g.flatten() for g in grads])
            self.flying.append((grads, flat, torch.distributed.all_reduce(flat, async_op=True)))
            self.collectives += 1
            self.bytes += flat.nbytes


def buckets(params: Sequence[nn.Parameter], size: int) -> list[list[nn.Parameter]]:
    """From the last parameter to the first, as many together as ``size`` bytes hold, one at least."""
    found: list[list[nn.Parameter]] = []
    room = 0
    for p in reversed(params):
        if p.nbytes > room:
            found.append([])
            room = size
        found[-1].append(p)
        room -= p.nbytes
    return found

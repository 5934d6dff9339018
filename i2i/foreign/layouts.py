"""What a layout is: how one project names the weights of one network, and how that network is built here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from i2i.errors import ModelError

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """One network of one project.

    Args:
        network, project: in words, for messages.
        knows: whether a state_dict is of this layout, by its keys.
        config: the network as we build it, by keys and shapes. It raises ModelError (what is wrong, without the file)
            or pydantic's ValidationError where that cannot be.
        names: (theirs, ours): parts of keys that are called otherwise.
        dropped: what the file holds and we do not, or None; it raises ModelError if it is not what we compute.
        size: height and width that the project trains on unless told otherwise; of the large picture.
        norm, dropout: how the project uses its network, see ``folder.Inference``.
        unsaid: what of that the file does not say, in words.
    """

    network: str
    project: str
    knows: Callable[[State], bool]
    config: Callable[[State], Any]
    names: tuple[tuple[str, str], ...] = ()
    dropped: Callable[[str, Tensor], bool] = lambda key, t: False
    size: tuple[int, int] = (256, 256)
    norm: Literal["image", "running"] = "image"
    dropout: bool = True
    unsaid: tuple[Literal["dropout", "norm", "values"], ...] = ()

    def ours(self, key: str) -> str:
        for theirs, ours in self.names:
            key = key.replace(theirs, ours)
        return key

    def theirs(self, key: str) -> str:
        for theirs, ours in self.names:
            key = key.replace(ours, theirs)
        return key


def without_prefixes(tensors: State) -> dict[str, Tensor]:
    """Without what parallel or compiled training and checkpoints of several networks put before each key."""
    state = dict(tensors)
    for prefix in ("module.", "_orig_mod.", "netG.", "net_g.", "generator.", "G."):
        with_it = {key.removeprefix(prefix): t for key, t in state.items() if key.startswith(prefix)}
        parts_of_another = prefix not in ("module.", "_orig_mod.")
        if len(with_it) == len(state) or (with_it and parts_of_another):
            state = with_it
    return state


def cleaned(tensors: State) -> dict[str, Tensor]:
    """Without prefixes and without the statistics that old instance norms carried along, never used.

    Where a prefix has a weight of its own, the statistics are a batch norm's and stay; torch before 0.4.1 did not
    count its batches.
    """
    state = without_prefixes(tensors)
    for prefix in [key.removesuffix("running_mean") for key in state if key.endswith(".running_mean")]:
        if f"{prefix}weight" in state:
            state.setdefault(f"{prefix}num_batches_tracked", torch.tensor(0))
        else:
            for buffer in ("running_mean", "running_var", "num_batches_tracked"):
                state.pop(prefix + buffer, None)
    return state


def convolution(state: State, key: str) -> tuple[int, int]:
    """The first two sizes of a convolution's weight.

    Raises:
        ModelError: it is missing, or no convolution's.
    """
    if key not in state:
        raise ModelError(f"{key!r} is missing")
    if state[key].ndim != 4 or 0 in state[key].shape:
        raise ModelError(f"{key!r} is no convolution (its shape is {list(state[key].shape)})")
    return state[key].shape[0], state[key].shape[1]


def difference(state: State, expected: State, theirs: Callable[[str], str]) -> str:
    """The first thing that does not fit, in words; empty when all fits. Both have our keys, the words have theirs."""
    missing = [key for key in expected if key not in state]
    if missing:
        return f"{theirs(missing[0])!r} is missing"
    for key, t in state.items():
        if key not in expected:
            return f"{theirs(key)!r} is not expected"
        if t.shape != expected[key].shape:
            return f"{theirs(key)!r} has shape {list(t.shape)}, expected {list(expected[key].shape)}"
    return ""

"""What every data set of samples is: pictures asked for by their place in the order, whole batches at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from i2i.data.samplers import Place
from i2i.errors import DataError


class Samples(Dataset):
    """Items are asked for by ``Place``; ``sizes`` says how many pictures each side has.

    Its length is that of the longer side: as many samples show every picture at least once. ``tied``: both sides go
    through one order. ``classes``: how many labels there are, 0 for data without.
    """

    classes = 0

    def __init__(self, reads: type, sizes: tuple[int, int], tied: bool):
        self.reads, self.sizes, self.tied = reads, sizes, tied

    def __len__(self) -> int:
        return max(self.sizes)

    def __getitem__(self, place: Place) -> Sequence[Any]:
        """One sample: uint8 [H, W, C] for each picture, a number for each label."""
        raise NotImplementedError

    def __getitems__(self, places: list[Place]) -> tuple[Tensor, ...] | DataError:
        """A batch of uint8 [N, H, W, C], or the error: raised in a worker it would come back wrapped in a traceback."""
        try:
            parts = zip(*(self[place] for place in places), strict=True)
            return tuple(torch.from_numpy(np.stack(part)) for part in parts)
        except DataError as e:
            return e

"""What i2i wrote stays readable: each kind of file has a format number, and a step from every number to the next.

A new key whose default is what was done before needs no step. A renamed key, another default or another meaning does:

1. raise ``newest`` and add the step from the number before: it takes what such a file says as plain values and gives
   what the new format says;
2. store a folder that the version before has written under ``tests/stored``; a test reads all that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from i2i import __version__
from i2i.errors import I2IError

Tree = dict[str, Any]
KEY = "format"


@dataclass(frozen=True)
class Kind:
    """A kind of file. ``unnumbered``: the format of one that says no number; None: each says one."""

    newest: int
    steps: Mapping[int, Callable[[Tree], Tree]]
    unnumbered: int | None = None

    def upgraded(self, tree: Tree, where: str, error: type[I2IError]) -> Tree:
        """What a file says, as the newest format says it, its number included; ``tree`` is left as it is.

        Raises:
            error: no number where there must be one, or one that this i2i does not know.
        """
        number = tree.get(KEY, self.unnumbered)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise error(f"{where}: damaged: it says no format number")
        if number > self.newest:
            raise error(
                f"{where}: format {number} was written by a newer i2i ({tree.get('i2i', 'unknown')}); "
                f"this is {__version__}: pip install -U i2i-toolkit"
            )
        tree = dict(tree)
        for before in range(number, self.newest):
            tree = self.steps[before](tree)
        return {**tree, KEY: self.newest}


MODEL = Kind(newest=1, steps={})
"""``i2i.json`` of a model folder."""
RECIPE = Kind(newest=1, steps={}, unnumbered=1)
"""A recipe. Who writes one needs no number: steps leave alone what is new already, and so change only what is old."""
CHECKPOINT = Kind(newest=1, steps={}, unnumbered=1)
"""``Trainer.state()`` in a checkpoint of a run."""
RANK = Kind(newest=1, steps={}, unnumbered=1)
"""``Trainer.own_state()`` of each process, beside it."""

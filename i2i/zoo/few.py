"""What methods share that learn to name pictures from few labels while they learn to draw (Odena 2016,
arXiv:1606.01583; Salimans et al. 2016, arXiv:1606.03498)."""

from __future__ import annotations

from torch import Tensor

from i2i.data.batches import Labelled
from i2i.errors import RecipeError
from i2i.methods.base import Nets, Task
from i2i.zoo.base import Drawing, classes_of


class FewLabels(Drawing):
    """Each step sees as many pictures whose label is shown as pictures of all kinds; D is measured as a classifier."""

    reads = Labelled

    def panels(self, nets: Nets, batch: Labelled) -> dict[str, Tensor]:
        return {"{b}": batch.b, "drawn": self.drawn(nets, batch.b)}


def known_classes(task: Task, who: str) -> int:
    """How many classes the data know.

    Raises:
        RecipeError: fewer than two, or pictures with labels have other channels.
    """
    if task.a != task.b:
        raise RecipeError(f"data.channels: one network sees all pictures: take {max(task.a, task.b)} for both")
    return classes_of(task, who)

"""Measures of classes: label maps read by their colors, and the answers of classifiers."""

from __future__ import annotations

import torch
from torch import Tensor

from i2i.errors import DataError
from i2i.metrics.base import Setting
from i2i.metrics.pixel import as_written
from i2i.metrics.taught import Taught


class LabelAccuracy:
    """Label maps compared class by class; every pixel belongs to the class whose color is nearest.

    Computes, over the pixels of all pictures together, what Long, Shelhamer, Darrell 2015 (arXiv:1411.4038, section 5)
    call pixel accuracy, mean accuracy and mean IU; means are over the classes that occur in the targets. That is what
    Isola et al. 2017 report for photo -> labels (arXiv:1611.07004, table 6): no network is needed to read the result.

    Args:
        palette: float64 [classes, 3] from 0 to 255.
    """

    def __init__(self, palette: Tensor):
        self.palette = palette
        self.counts = torch.zeros(len(palette), len(palette), dtype=torch.int64)  # [true class, class of the output]

    def update(self, output: Tensor, target: Tensor) -> None:
        if output.shape[1] != 3 or target.shape[1] != 3:
            raise DataError("label_accuracy reads classes by their colors: it needs color pictures (data.channels)")
        classes = len(self.palette)
        pairs = self.classes(target) * classes + self.classes(output)
        self.counts += pairs.flatten().bincount(minlength=classes**2).view(classes, classes).cpu()

    def compute(self) -> dict[str, float]:
        counts = self.counts.double()
        hits, true, found = counts.diagonal(), counts.sum(1), counts.sum(0)
        occurs = true > 0
        return {
            "label_pixel_accuracy": (hits.sum() / true.sum()).item(),
            "label_class_accuracy": (hits / true)[occurs].mean().item(),
            "label_iou": (hits / (true + found - hits))[occurs].mean().item(),
        }

    def classes(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] -> int64 [N, H, W]: the nearest color of the palette, the first of equals."""
        levels = (255 * as_written(x)).round().movedim(1, -1)
        palette = self.palette.to(levels.device)
        # |p - c|^2 without |p|^2, which is the same for all c: whole numbers, exact in float64.
        return (palette.square().sum(1) - 2 * levels @ palette.T).argmin(-1)


def label_accuracy(setting: Setting) -> LabelAccuracy:
    """A meter for the palette of the data.

    Raises:
        DataError: the data have none.
    """
    if setting.palette is None:
        raise DataError("label_accuracy needs the colors of the classes: a data set whose card has a palette")
    return LabelAccuracy(setting.palette)


class ClassAccuracy:
    """The share of pictures whose largest logit is the true class; a label of -1 (not known) does not count."""

    def __init__(self, setting: Setting) -> None:
        self.right = self.known = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        known = target >= 0
        self.right += int((output.argmax(1) == target)[known].sum())
        self.known += int(known.sum())

    def compute(self) -> dict[str, float]:
        if not self.known:
            raise DataError("accuracy: none of the pictures has a label")
        return {"accuracy": self.right / self.known}


class AskedAccuracy:
    """The share of drawn pictures that ``network`` takes for the class that was asked for: GAN-test of Shmelkov,
    Schmid, Alahari 2018 (arXiv:1807.09499, section 3), for which the classifier has learned from real pictures."""

    def __init__(self, network: Taught):
        self.network = network
        self.right = self.asked = 0

    def update(self, output: Tensor, target: Tensor) -> None:
        answers = self.network.logits(output).argmax(1)
        self.right += int((answers == target.cpu()).sum())
        self.asked += len(target)

    def compute(self) -> dict[str, float]:
        return {"accuracy_asked_digits": self.right / self.asked}

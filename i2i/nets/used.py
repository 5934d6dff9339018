"""A generator as users of a trained model run it: one definition for sheets, evaluation, translation and export."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from i2i.folder import Inference
from i2i.nets.blocks import Noise, per_image


class Used:
    """``net`` behaving as ``inference`` states; [N, C, H, W] in [-1, 1] -> the same, float32, without gradients. What
    draws pictures is given z, and labels if it can be asked for classes.

    A picture's result does not depend on its neighbors in the batch, on earlier calls or the caller's random numbers.
    It works on a copy of ``net``, made now.
    """

    def __init__(self, net: nn.Module, inference: Inference, seed: int | None = None):
        self.noisy, self.seed = inference.dropout, inference.seed if seed is None else seed
        self.net = (per_image(net) if inference.norm == "image" else copy.deepcopy(net)).eval()
        for layer in self.net.modules():
            if isinstance(layer, nn.Dropout | Noise):
                layer.train(self.noisy)

    @torch.inference_mode()
    def __call__(self, x: Tensor, *labels: Tensor) -> Tensor:
        if not self.noisy:
            return self.net(x, *labels).float()
        out = []
        for one in x.split(1):
            with seeded(self.seed, x.device):
                out.append(self.net(one).float())
        return torch.cat(out)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers start from ``seed`` inside; outside, nobody notices: every generator is put back."""
    cuda, mps = device.type == "cuda", device.type == "mps"
    before = torch.mps.get_rng_state() if mps else None
    # Not torch.manual_seed: that would also reseed the devices that are not forked here.
    with torch.random.fork_rng(devices=[device] if cuda else []):
        torch.default_generator.manual_seed(seed)
        if cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif mps:
            torch.mps.manual_seed(seed)
        try:
            yield
        finally:
            if before is not None:
                torch.mps.set_rng_state(before)

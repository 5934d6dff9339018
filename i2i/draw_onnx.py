"""The ONNX engine of exported models that draw pictures. Needs onnxruntime and no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from i2i.errors import ModelError
from i2i.folder import Info
from i2i.latents import LABELS, TRUNCATION, Z
from i2i.run_onnx import answer, kinds, started


class OnnxSampler:
    """Runs the exported network of a model folder that draws pictures.

    Raises:
        ModelError: onnxruntime or the file is missing, the file is damaged or does not fit ``i2i.json``.
        UsageError: no such device, or not on this machine.
    """

    batch = 64

    def __init__(self, folder: Path, info: Info, device: str = "auto"):
        if info.sampler is None:
            raise ModelError(f"{folder}: holds no network that draws pictures")
        self.path = folder / info.sampler.file
        self.session, self.provider, self.why_not, self.bound = started(self.path, device)
        sampler = info.sampler
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        self.styles = sampler.styles
        self.picture = (sampler.channels, *sampler.size)
        wanted = [(Z, "tensor(float)", [*sampler.shape])] + [(LABELS, "tensor(int64)", [])] * bool(sampler.classes)
        wanted += [(TRUNCATION, "tensor(float)", [])] * bool(sampler.styles)
        if [(v.name, v.type, v.shape[1:]) for v in inputs] != wanted or outputs[0].shape[1:] != [*self.picture]:
            raise ModelError(
                f"{self.path}: does not fit i2i.json: it should draw {sampler.sentence()}; "
                f"it has {kinds(inputs)} and {kinds(outputs)}"
            )

    def run(self, z: np.ndarray, labels: np.ndarray | None = None, truncation: np.ndarray | None = None) -> np.ndarray:
        """float32 [N, size], and int64 [N] if it knows classes -> float32 [N, C, H, W] in [-1, 1]. If it has styles, z
        may be [N, styles, size], and ``truncation`` float32 [N].

        Raises:
            DataError: the device has too little memory for so many at once.
        """
        given = {Z: z} if labels is None else {Z: z, LABELS: labels}
        if self.styles:
            given[Z] = np.repeat(z[:, None], self.styles, axis=1) if z.ndim == 2 else z
            given[TRUNCATION] = np.ones(len(z), np.float32) if truncation is None else truncation
        too_many = f"{len(z)} pictures at once are too many for the memory of {self.provider}: choose another --device"
        return answer(self.session, self.path, given, too_many, self.bound, (len(z), *self.picture))

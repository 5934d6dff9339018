"""The table of contents: one file per paper, one line per method; the zoo has a table of its own."""

from __future__ import annotations

from i2i.methods.base import Method
from i2i.methods.ccgan import CCGAN
from i2i.methods.cyclegan import CycleGAN
from i2i.methods.discogan import DiscoGAN
from i2i.methods.dualgan import DualGAN
from i2i.methods.pix2pix import Pix2Pix
from i2i.methods.pixelda import PixelDA
from i2i.methods.srgan import SRGAN
from i2i.methods.srresnet import SRResNet
from i2i.zoo.table import ZOO

METHODS: dict[str, type[Method]] = {
    "pix2pix": Pix2Pix,
    "cyclegan": CycleGAN,
    "discogan": DiscoGAN,
    "dualgan": DualGAN,
    "pixelda": PixelDA,
    "srresnet": SRResNet,
    "srgan": SRGAN,
    "ccgan": CCGAN,
    **ZOO,
}

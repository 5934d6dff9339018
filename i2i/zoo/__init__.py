"""The zoo: methods that draw pictures. Most are one game with other parts: a line of ``ROWS``."""

from __future__ import annotations

from i2i.methods.base import Method
from i2i.nets import MLPConfig, MLPCriticConfig
from i2i.zoo.adversarial import Adversarial, named

ROWS = (
    named(
        "Goodfellow et al. 2014, arXiv:1406.2661, with fully connected networks.",
        Adversarial.Config(name="gan", generator=MLPConfig(), discriminator=MLPCriticConfig()),
    ),
    named(
        "Radford, Metz, Chintala 2016, arXiv:1511.06434: the same game with convolutions.",
        Adversarial.Config(name="dcgan"),
    ),
)

ZOO: dict[str, type[Method]] = {row.__name__: row for row in ROWS}

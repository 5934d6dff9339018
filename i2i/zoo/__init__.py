"""The zoo: methods that draw pictures. Its table of contents is ``i2i.zoo.table``."""

from __future__ import annotations

import i2i.methods  # noqa: F401  first: its table holds that of the zoo, whose methods need its base
from i2i.zoo.table import ZOO

__all__ = ["ZOO"]

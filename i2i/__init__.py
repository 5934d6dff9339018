"""i2i: image-to-image translation, one small toolkit.

>>> import i2i
>>> translate = i2i.load("runs/mine")          # a run, a model folder or a known name
>>> picture = translate(picture)               # any picture in, the same kind of picture out
>>> draw = i2i.load("runs/dcgan-mnist")        # a model that draws from random numbers
>>> pictures = draw(64, seed=0)
>>> i2i.train("cyclegan", dataset="apple2orange")

Importing ``i2i`` imports nothing heavy: each public name is looked up on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "load": "i2i.translator",
    "Translator": "i2i.translator",
    "Generator": "i2i.generator",
    "train": "i2i.training",
    "Recipe": "i2i.recipe",
    "METHODS": "i2i.methods",
}
__all__ = ["METHODS", "Generator", "Recipe", "Translator", "__version__", "load", "train"]

if TYPE_CHECKING:
    from i2i.generator import Generator
    from i2i.methods import METHODS
    from i2i.recipe import Recipe
    from i2i.training import train
    from i2i.translator import Translator, load


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'i2i' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__

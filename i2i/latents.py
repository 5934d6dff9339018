"""What a picture is drawn from: random numbers, described so that every engine draws the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from i2i.strict import Strict

if TYPE_CHECKING:
    import numpy as np


class Latent(Strict):
    """The input z of a generator that draws pictures: [noise, one-hot choices, codes], one row for each picture.

    ``noise`` values come from ``prior``: standard normal, or uniform in [-1, 1]. Then, for networks that split what
    they draw into factors (InfoGAN: Chen et al. 2016, arXiv:1606.03657), one one-hot choice for each number in
    ``choices`` and ``codes`` values that are uniform in [-1, 1].
    """

    noise: int = Field(ge=1, le=65536)
    prior: Literal["normal", "uniform"] = "normal"
    choices: tuple[int, ...] = ()
    codes: int = Field(0, ge=0, le=4096)

    @model_validator(mode="after")
    def _real_choices(self) -> Latent:
        if any(not 2 <= choice <= 4096 for choice in self.choices):
            raise ValueError(f"choices: {list(self.choices)}: a choice is between 2 or more")
        return self

    @property
    def size(self) -> int:
        """How many values a row has."""
        return self.noise + sum(self.choices) + self.codes

    def draw(self, count: int, random: np.random.Generator) -> np.ndarray:
        """float32 [count, size]."""
        import numpy as np

        normal = self.prior == "normal"
        noise = random.standard_normal((count, self.noise)) if normal else random.uniform(-1, 1, (count, self.noise))
        chosen = [np.eye(n)[random.integers(n, size=count)] for n in self.choices]
        codes = random.uniform(-1, 1, (count, self.codes))
        return np.concatenate([noise, *chosen, codes], axis=1).astype(np.float32)

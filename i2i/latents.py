"""What a picture is drawn from: random numbers, described so that every engine draws the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from i2i.strict import Strict

if TYPE_CHECKING:
    import numpy as np

Z, LABELS, TRUNCATION = "z", "labels", "truncation"
"""What an exported network calls its inputs; the second one if it knows classes, the third one if it has styles."""

MOST = 65536
"""Values of noise that a row of z has at most."""


class Latent(Strict):
    """The input z of a generator that draws pictures: [noise, one-hot choices, codes], one row for each picture.

    ``noise`` values come from ``prior``: standard normal, or uniform in [-1, 1]. Then, for networks that split what
    they draw into factors (InfoGAN: Chen et al. 2016, arXiv:1606.03657), one one-hot choice for each number in
    ``choices`` and ``codes`` values that are uniform in [-1, 1].
    """

    noise: int = Field(ge=1, le=MOST)
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

    @property
    def gaussian(self) -> bool:
        """Whether a row is standard normal numbers alone."""
        return self.prior == "normal" and self.size == self.noise

    def draw(self, count: int, random: np.random.Generator, truncation: float | None = None) -> np.ndarray:
        """float32 [count, size].

        ``truncation``, of a normal prior: noise that is farther from 0 is drawn again, which gives better pictures that
        differ less (the truncation trick: Brock, Donahue, Simonyan 2019, arXiv:1809.11096, section 3.1).
        """
        import numpy as np  # not above: who only lists models does not wait for it

        normal = self.prior == "normal"
        noise = random.standard_normal((count, self.noise)) if normal else random.uniform(-1, 1, (count, self.noise))
        if truncation is not None:
            while (outside := np.abs(noise) > truncation).any():
                noise[outside] = random.standard_normal(outside.sum())
        chosen = [np.eye(n)[random.integers(n, size=count)] for n in self.choices]
        codes = random.uniform(-1, 1, (count, self.codes))
        return np.concatenate([noise, *chosen, codes], axis=1).astype(np.float32)

    def numbered(self, count: int, seed: int, first: int = 0, truncation: float | None = None) -> np.ndarray:
        """The latents ``first``, ``first + 1`` ... of ``seed``, float32 [count, size].

        Each is drawn by itself: how many are asked for, and how many at once, changes none of them.
        """
        import numpy as np

        numbers = range(first, first + count)
        return np.concatenate([self.draw(1, np.random.default_rng((seed, i)), truncation) for i in numbers])

    def between(self, a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
        """The latent [size] at ``share`` of the way from ``a`` to ``b``.

        Normal noise goes along an arc, which keeps its length what the network knows (Shoemake 1985, slerp; for GANs:
        White 2016, arXiv:1609.04468); uniform noise and codes go straight; choices stay those of ``a``.
        """
        import numpy as np

        along = (1 - share) * a + share * b
        along[self.noise : self.size - self.codes] = a[self.noise : self.size - self.codes]
        if self.prior == "normal":
            along[: self.noise] = _slerp(a[: self.noise], b[: self.noise], share)
        return along.astype(np.float32)

    def sentence(self) -> str:
        """``100 normal values, a choice of 10 and 2 codes``."""
        parts = [f"{self.noise} {self.prior} value{'s' * (self.noise > 1)}"]
        parts += [f"a choice of {choice}" for choice in self.choices]
        parts += [f"{self.codes} code{'s' * (self.codes > 1)}"] * (self.codes > 0)
        return ", ".join(parts[:-1]) + " and " * (len(parts) > 1) + parts[-1]


def _slerp(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    import numpy as np

    lengths = float(np.linalg.norm(a) * np.linalg.norm(b))
    angle = np.arccos(np.clip(float(a @ b) / lengths, -1, 1)) if lengths else 0.0
    if np.sin(angle) < 1e-4:  # one line holds both: no arc is shorter than another
        return (1 - share) * a + share * b
    return (np.sin((1 - share) * angle) * a + np.sin(share * angle) * b) / np.sin(angle)

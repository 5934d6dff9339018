"""What a recipe says of penalties: one block a kind, and what D is charged by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from i2i.errors import RecipeError
from i2i.losses import divergence_penalty, dragan_penalty, gradient_penalty, quadratic_potential, r1_penalty
from i2i.losses.penalties import MATRICES
from i2i.strict import Strict


class Seen(NamedTuple):
    """What D has just judged: pictures [N, C, H, W] and its scores [N, 1]; ``critic`` judges further ones."""

    critic: Callable[[Tensor], Tensor]
    real: Tensor
    fake: Tensor
    real_scores: Tensor
    fake_scores: Tensor


class Penalty(Strict):
    """``bounds``: it bounds the slope of D. ``slopes``: it takes the slope at each picture, which batch norm mixes."""

    bounds: ClassVar[bool] = True
    slopes: ClassVar[bool] = True

    def terms(self, seen: Seen, it: int) -> dict[str, Tensor]:
        """What D is charged in step ``it``."""
        raise NotImplementedError


class NoPenalty(Penalty):
    kind: Literal["none"] = "none"
    bounds, slopes = False, False

    def terms(self, seen: Seen, it: int) -> dict[str, Tensor]:
        return {}


class GP(Penalty):
    """WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028): slope 1 between real and fake pictures."""

    kind: Literal["gp"] = "gp"
    weight: float = Field(10.0, gt=0)

    def terms(self, seen: Seen, it: int) -> dict[str, Tensor]:
        return {"penalty": self.weight * gradient_penalty(seen.critic, seen.real, seen.fake)}


class Div(Penalty):
    """WGAN-div (Wu et al. 2018, arXiv:1712.01026): the slope to a power, k = 2 and p = 6."""

    kind: Literal["div"] = "div"
    weight: float = Field(2.0, gt=0)
    power: float = Field(6.0, gt=1)

    def terms(self, seen: Seen, it: int) -> dict[str, Tensor]:
        return {"penalty": self.weight * divergence_penalty(seen.critic, seen.real, seen.fake, self.power)}


class Dragan(Penalty):
    """DRAGAN (Kodali et al. 2017, arXiv:1705.07215): slope 1 around real pictures."""

    kind: Literal["dragan"] = "dragan"
    weight: float = Field(10.0, gt=0)

    def terms(self, seen: Seen, it: int) -> dict[str, Tensor]:
        return {"penalty": self.weight * dragan_penalty(seen.critic, seen.real)}


class R1(Penalty):
    """R1 (Mescheder et al. 2018, arXiv:1801.04406): no slope at real pictures. Taken in one step of ``every``, that
    many times as heavy (Karras et al. 2020, arXiv:1912.04958, section 3.1)."""

    kind: Literal["r1"] = "r1"
    weight: float = Field(10.0, gt=0)  # gamma
    every: int = Field(1, ge=1)

    def terms(self, seen: Seen, it: int) -> dict[str, Tensor]:
        return {} if it % self.every else {"penalty": self.every * self.weight * r1_penalty(seen.critic, seen.real)}


class QP(Penalty):
    """GAN-QP (Su 2018, arXiv:1811.07296): the squared difference of two verdicts, by the distance of their pictures."""

    kind: Literal["qp"] = "qp"
    norm: Literal[1, 2] = 1  # of the distance: L1 or L2
    weight: float = Field(10.0, gt=0)  # lambda, by which the square is divided
    slopes = False

    def terms(self, seen: Seen, it: int) -> dict[str, Tensor]:
        return {"potential": quadratic_potential(*seen[3:], *seen[1:3], self.norm, self.weight)}


def check_orthogonal(weight: float, **players: nn.Module) -> None:
    """Of the orthogonal penalty with that ``weight`` on networks, by what a recipe calls them.

    Raises:
        RecipeError: it would charge one of them for nothing.
    """
    for what, net in players.items():
        if weight and not any(isinstance(layer, MATRICES) for layer in net.modules()):
            why = f"of method.{what} no layer can be charged, as all are equalized"
            raise RecipeError(f"method.orthogonal: {weight}, but {why}: set 0")


AnyPenalty = Annotated[NoPenalty | GP | Div | Dragan | R1 | QP, Field(discriminator="kind")]

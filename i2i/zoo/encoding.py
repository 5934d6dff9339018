"""What methods share that learn a way back, from a picture to the z that it may have been drawn from: adversarially
learned codes (Makhzani et al. 2015, arXiv:1511.05644), inference (Donahue et al. 2017, arXiv:1605.09782), and more."""

from __future__ import annotations

from torch import Tensor, nn

from i2i.data.batches import Images
from i2i.methods.base import Nets
from i2i.nets.used import Used
from i2i.zoo.base import Drawing


class Encoding(Drawing):
    """An encoder E beside the generator: pictures [N, C, H, W] -> codes [N, latent.size]. A sheet shows what G makes of
    the codes of held-out pictures."""

    E: nn.Module
    coded = True

    def code(self, answers: Tensor) -> Tensor:
        """What E answered, as something to draw from."""
        return answers

    def panels(self, nets: Nets, batch: Images) -> dict[str, Tensor]:
        again = nets["sampler"](self.code(Used(self.E, self.inference)(batch.x)))
        return {"{a}": batch.x, "again": again, "drawn": self.drawn(nets, batch.x)}

"""Training steps as they are usually written in PyTorch, in float32: what i2i's own step is timed against.

The other player is frozen by ``requires_grad``, losses are torch's modules on tensors of targets, Adam and instance
norm are torch's own with their defaults, the discriminators of CycleGAN learn one after the other. Networks, first
weights, loss terms and the order of moves are those of the method at its default settings: in float32 both steps give
the same losses and gradients, or the times could not be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from i2i.bench.plain_batched import PlainDCGAN, PlainDiscoGAN, PlainPixelDA
from i2i.bench.usual import PlainStep, adam, as_usual, require_grad, verdicts
from i2i.data.batches import Pair, Reduced, Unpaired
from i2i.pool import ImagePool


class PlainPix2Pix:
    """Isola et al. 2017, arXiv:1611.07004: D first, its objective halved, then G."""

    def __init__(self, method: Any):
        self.G, self.D, self.weight = as_usual(method.G), as_usual(method.D), method.cfg.l1
        self.opt_G, self.opt_D = adam(self.G), adam(self.D)
        self.gan, self.l1 = nn.BCEWithLogitsLoss(), nn.L1Loss()

    def __call__(self, batch: Pair) -> dict[str, Tensor]:
        a, b = batch
        fake = self.G(a)
        require_grad(True, self.D)
        self.opt_D.zero_grad()
        real_logits = self.D(torch.cat([a, b], 1))
        fake_logits = self.D(torch.cat([a, fake.detach()], 1))
        real = verdicts(self.gan, real_logits, 1.0) / 2
        wrong = verdicts(self.gan, fake_logits, 0.0) / 2
        (real + wrong).backward()
        self.opt_D.step()

        require_grad(False, self.D)
        self.opt_G.zero_grad()
        logits = self.D(torch.cat([a, fake], 1))
        gan = verdicts(self.gan, logits, 1.0)
        l1 = self.weight * self.l1(fake, b)
        (gan + l1).backward()
        self.opt_G.step()
        return {"D/real": real, "D/fake": wrong, "G/gan": gan, "G/l1": l1}


class PlainCycleGAN:
    """Zhu et al. 2017, arXiv:1703.10593: both generators together, then each discriminator on a history of fakes."""

    def __init__(self, method: Any):
        self.ab, self.ba = as_usual(method.ab), as_usual(method.ba)
        self.Da, self.Db = as_usual(method.Da), as_usual(method.Db)
        self.opt_G, self.opt_D = adam(self.ab, self.ba), adam(self.Da, self.Db)
        self.pool_a, self.pool_b = ImagePool(method.cfg.pool), ImagePool(method.cfg.pool)
        self.cycle_a, self.cycle_b, self.identity = method.cfg.cycle_a, method.cfg.cycle_b, method.cfg.identity
        self.gan, self.l1 = nn.MSELoss(), nn.L1Loss()

    def __call__(self, batch: Unpaired) -> dict[str, Tensor]:
        a, b = batch
        fake_b, fake_a = self.ab(a), self.ba(b)
        again_a, again_b = self.ba(fake_b), self.ab(fake_a)
        require_grad(False, self.Da, self.Db)
        self.opt_G.zero_grad()
        logits_b, logits_a = self.Db(fake_b), self.Da(fake_a)
        terms = {
            "G/gan_ab": verdicts(self.gan, logits_b, 1.0),
            "G/gan_ba": verdicts(self.gan, logits_a, 1.0),
            "G/cycle_a": self.cycle_a * self.l1(again_a, a),
            "G/cycle_b": self.cycle_b * self.l1(again_b, b),
            "G/identity_a": self.cycle_a * self.identity * self.l1(self.ba(a), a),
            "G/identity_b": self.cycle_b * self.identity * self.l1(self.ab(b), b),
        }
        torch.stack([*terms.values()]).sum().backward()
        self.opt_G.step()

        require_grad(True, self.Da, self.Db)
        self.opt_D.zero_grad()
        old_a, old_b = self.pool_a(fake_a.detach()), self.pool_b(fake_b.detach())
        for name, D, picture, old in (("a", self.Da, a, old_a), ("b", self.Db, b, old_b)):
            real_logits, fake_logits = D(picture), D(old)
            terms[f"D/real_{name}"] = verdicts(self.gan, real_logits, 1.0) / 2
            terms[f"D/fake_{name}"] = verdicts(self.gan, fake_logits, 0.0) / 2
            (terms[f"D/real_{name}"] + terms[f"D/fake_{name}"]).backward()
        self.opt_D.step()
        return terms


class PlainSRResNet:
    """Ledig et al. 2017, arXiv:1609.04802, eq. 4: a supervised loop."""

    def __init__(self, method: Any):
        self.G = as_usual(method.G)
        self.opt, self.mse = adam(self.G), nn.MSELoss()

    def __call__(self, batch: Reduced) -> dict[str, Tensor]:
        self.opt.zero_grad()
        loss = self.mse(self.G(batch.a), batch.b)
        loss.backward()
        self.opt.step()
        return {"G/pixels": loss}


PLAIN: dict[str, Callable[[Any], PlainStep]] = {
    "pix2pix": PlainPix2Pix,
    "cyclegan": PlainCycleGAN,
    "srresnet": PlainSRResNet,
    "discogan": PlainDiscoGAN,
    "pixelda": PlainPixelDA,
    "dcgan": PlainDCGAN,
}
"""The methods that can be timed: each takes the method, whose networks it copies."""


def period(cfg: Any) -> int:
    """How many steps it takes until all players of a method have moved and all begins again."""
    return getattr(cfg, "update_interval", getattr(cfg, "n_critic", 1))

"""Plain PyTorch steps of methods that are meant for batches of small pictures; see ``i2i.bench.plain``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from i2i.bench.usual import adam, as_usual, require_grad, verdicts
from i2i.data.batches import Images, Labelled, Unpaired


class PlainDiscoGAN:
    """Kim et al. 2017, arXiv:1703.05192: the discriminators in one of ``update_interval`` steps, the generators in the
    others."""

    def __init__(self, method: Any):
        self.cfg, self.it = method.cfg, 0
        self.ab, self.ba = as_usual(method.ab), as_usual(method.ba)
        self.Da: Any = as_usual(method.Da)
        self.Db: Any = as_usual(method.Db)
        self.opt_G, self.opt_D = adam(self.ab, self.ba), adam(self.Da, self.Db)
        self.gan, self.mse = nn.BCEWithLogitsLoss(), nn.MSELoss()

    def __call__(self, batch: Unpaired) -> dict[str, Tensor]:
        (a, b), it, interval = batch, self.it, self.cfg.update_interval
        self.it += 1
        fake_b, fake_a = self.ab(a), self.ba(b)
        terms = {}
        if it % interval == 0:
            require_grad(True, self.Da, self.Db)
            self.opt_D.zero_grad()
            for name, D, real, fake in (("a", self.Da, a, fake_a), ("b", self.Db, b, fake_b)):
                terms[f"D/real_{name}"] = verdicts(self.gan, D(real), 1.0) / 2
                terms[f"D/fake_{name}"] = verdicts(self.gan, D(fake.detach()), 0.0) / 2
            torch.stack([*terms.values()]).sum().backward()
            self.opt_D.step()
        if it % interval == 0 and interval > 1:
            return terms
        require_grad(False, self.Da, self.Db)
        self.opt_G.zero_grad()
        moved = self.of_generators(batch, fake_a, fake_b, it)
        torch.stack([*moved.values()]).sum().backward()
        self.opt_G.step()
        return {**terms, **moved}

    def of_generators(self, batch: Unpaired, fake_a: Tensor, fake_b: Tensor, it: int) -> dict[str, Tensor]:
        (a, b), cfg = batch, self.cfg
        share = cfg.early_reconstruction if it < cfg.early_steps else cfg.reconstruction
        logits_b, seen_b = self.Db.with_features(fake_b)
        logits_a, seen_a = self.Da.with_features(fake_a)
        gan, features = (1 - share) * cfg.gan_weight, (1 - share) * cfg.features_weight
        return {
            "G/gan_ab": gan * verdicts(self.gan, logits_b, 1.0),
            "G/gan_ba": gan * verdicts(self.gan, logits_a, 1.0),
            "G/features_a": features * self.matching(seen_a, self.Da.with_features(a)[1]),
            "G/features_b": features * self.matching(seen_b, self.Db.with_features(b)[1]),
            "G/reconstruction_a": share * self.mse(self.ba(fake_b), a) / 4,
            "G/reconstruction_b": share * self.mse(self.ab(fake_a), b) / 4,
        }

    def matching(self, fake: list[Tensor], real: list[Tensor]) -> Tensor:
        layers = [self.mse(f.mean(0), r.detach().mean(0)) for f, r in zip(fake, real, strict=True)]
        return torch.stack(layers).sum()


class PlainPixelDA:
    """Bousmalis et al. 2017, arXiv:1612.05424: the discriminator, then generator and classifier together."""

    def __init__(self, method: Any):
        self.cfg = method.cfg
        self.G, self.D, self.T = as_usual(method.G), as_usual(method.D), as_usual(method.T)
        self.opt_G, self.opt_D = adam(self.G, self.T), adam(self.D)
        self.gan, self.named = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()

    def __call__(self, batch: Labelled) -> dict[str, Tensor]:
        a, labels, b, _ = batch
        fake = self.G(a)
        require_grad(True, self.D)
        self.opt_D.zero_grad()
        real = verdicts(self.gan, self.D(b), 1.0)
        wrong = verdicts(self.gan, self.D(fake.detach()), 0.0)
        (real + wrong).backward()
        self.opt_D.step()

        require_grad(False, self.D)
        self.opt_G.zero_grad()
        gan = self.cfg.gan_weight * verdicts(self.gan, self.D(fake), 1.0)
        task_a = self.cfg.task * self.named(self.T(a), labels)
        task_fake = self.cfg.task * self.named(self.T(fake), labels)
        (gan + task_a + task_fake).backward()
        self.opt_G.step()
        return {"D/real": real, "D/fake": wrong, "G/gan": gan, "G/task_a": task_a, "G/task_fake": task_fake}


class PlainDCGAN:
    """Radford et al. 2016, arXiv:1511.06434: the discriminator, then the generator on the same draw."""

    def __init__(self, method: Any):
        self.draw, self.G, self.D = method.draw, as_usual(method.G), as_usual(method.D)
        self.opt_G, self.opt_D = adam(self.G), adam(self.D)
        self.gan = nn.BCEWithLogitsLoss()

    def __call__(self, batch: Images) -> dict[str, Tensor]:
        fake = self.G(self.draw(batch.x))
        require_grad(True, self.D)
        self.opt_D.zero_grad()
        real = verdicts(self.gan, self.D(batch.x), 1.0)
        wrong = verdicts(self.gan, self.D(fake.detach()), 0.0)
        (real + wrong).backward()
        self.opt_D.step()

        require_grad(False, self.D)
        self.opt_G.zero_grad()
        gan = verdicts(self.gan, self.D(fake), 1.0)
        gan.backward()
        self.opt_G.step()
        return {"D/real": real, "D/fake": wrong, "G/gan": gan}

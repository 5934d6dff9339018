"""What bounds a discriminator or keeps it smooth: penalties on its slope and on its weights.

All are taken in float32, also under autocast. The value of a picture is the mean of its verdicts, which is what a game
charges. Each picture needs a slope of its own: no batch norm in the critic.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Critic = Callable[[Tensor], Tensor]


def slopes(critic: Critic, x: Tensor) -> Tensor:
    """The length of the gradient of each picture's value: [N, C, H, W] -> float32 [N]."""
    with torch.autocast(x.device.type, enabled=False):
        x = x.detach().float().requires_grad_()
        # A view: torch's counter of operations cannot follow a gradient to what a network was given itself (2.14).
        values = critic(x.view_as(x)).reshape(len(x), -1).mean(1)
        (found,) = torch.autograd.grad(values.sum(), x, create_graph=True)
        return found.flatten(1).norm(dim=1)


def between(real: Tensor, fake: Tensor) -> Tensor:
    """A point between each real picture and a fake one, drawn from torch's global random numbers: float32."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    return torch.lerp(real.detach().float(), fake.detach().float(), share)


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
    """How far the slope of ``critic`` is from 1 between real and fake pictures [N, C, H, W].

    Gulrajani et al. 2017, arXiv:1704.00028, eq. 3, without the weight.
    """
    return (slopes(critic, between(real, fake)) - 1).square().mean()


def divergence_penalty(critic: Critic, real: Tensor, fake: Tensor, power: float = 6.0) -> Tensor:
    """The slope between real and fake pictures, to a power.

    Wu et al. 2018, arXiv:1712.01026, without the weight: Wasserstein divergence.
    """
    return slopes(critic, between(real, fake)).pow(power).mean()


def dragan_penalty(critic: Critic, real: Tensor) -> Tensor:
    """How far the slope is from 1 around real pictures.

    Kodali et al. 2017, arXiv:1705.07215, without the weight. The noise is that of its released program, where the paper
    has a normal one: uniform, up to half of the standard deviation of the batch, times a share drawn for each picture.
    """
    real = real.detach().float()
    around = real + 0.5 * real.std() * torch.rand_like(real)
    return (slopes(critic, between(real, around)) - 1).square().mean()


def r1_penalty(critic: Critic, real: Tensor) -> Tensor:
    """Half the squared slope at real pictures (Mescheder et al. 2018, arXiv:1801.04406, eq. 9, without the weight)."""
    return slopes(critic, real).square().mean() / 2


def path_lengths(draw: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """How much pictures change with their styles: w [N, L, K], drawn [N, C, H, W] -> float32 [N].

    Karras et al. 2020, arXiv:1912.04958, section 3.2: the length of J^T y for a random picture y, as in its released
    program scaled by 1 / sqrt(H W) and averaged (as mean square) over the L layers that w goes to.
    """
    with torch.autocast(w.device.type, enabled=False):
        w = w.float()
        drawn = draw(w)
        y = torch.randn_like(drawn) / math.sqrt(drawn.shape[2] * drawn.shape[3])
        (found,) = torch.autograd.grad((drawn * y).sum(), w, create_graph=True)
        return found.square().sum(2).mean(1).sqrt()


def quadratic_potential(
    real_scores: Tensor, fake_scores: Tensor, real: Tensor, fake: Tensor, norm: int, weight: float
) -> Tensor:
    """The squared difference of two verdicts, by the distance of their pictures.

    Su 2018, arXiv:1811.07296: (D(x_r) - D(x_f))^2 / (2 lambda d(x_r, x_f)), ``weight`` is lambda. d is the mean
    absolute difference (``norm`` 1) or the root of the mean squared one (2), as in its released program.
    """
    apart = (real.detach().float() - fake.detach().float()).flatten(1)
    distance = apart.abs().mean(1) if norm == 1 else apart.square().mean(1).sqrt()
    risen = (real_scores.float() - fake_scores.float()).flatten(1).mean(1)
    return (risen.square() / (2 * weight * distance.clamp_min(1e-6))).mean()


MATRICES = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
"""Layers whose weights ``orthogonal_penalty`` looks at."""


def orthogonal_penalty(net: nn.Module) -> Tensor:
    """How far each weight matrix is from being orthogonal, whatever the lengths of its rows.

    Brock et al. 2018, arXiv:1809.11096, eq. 3, without the weight: the squared entries of W W^T off its diagonal,
    summed. A matrix of more rows than columns has its columns taken: so many rows cannot be orthogonal.
    """
    total = torch.zeros((), device=next(net.parameters()).device)
    for layer in net.modules():
        if isinstance(layer, MATRICES):
            weight = layer.weight.float()
            rows = (weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight).flatten(1)
            rows = rows.T if len(rows) > rows.shape[1] else rows
            products = rows @ rows.T
            total = total + products.square().sum() - products.diagonal().square().sum()
    return total


@torch.no_grad()
def clip_weights(net: nn.Module, most: float) -> None:
    """Every weight into [-most, most]: the slope is bounded (Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1)."""
    for weight in net.parameters():
        weight.clamp_(-most, most)

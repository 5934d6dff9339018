"""The zoo: methods that draw pictures. Most are one game with other parts, a line of ``LINES``; those that play another
game have a file of their own. Optimizers and averaging are in the recipes, as for all methods."""

from __future__ import annotations

from typing import Any

from i2i.latents import Latent
from i2i.methods.base import Method
from i2i.nets import (
    DCGANCriticConfig,
    MLPConfig,
    MLPCriticConfig,
    SNGANConfig,
    SNGANCriticConfig,
    StyleGANConfig,
    StyleGANCriticConfig,
)
from i2i.zoo.aae import AAE
from i2i.zoo.acgan import ACGAN
from i2i.zoo.adversarial import Adversarial, named
from i2i.zoo.began import BEGAN
from i2i.zoo.bigan import BiGAN
from i2i.zoo.biggan import BigGAN
from i2i.zoo.cgan import CGAN
from i2i.zoo.ebgan import EBGAN
from i2i.zoo.infogan import InfoGAN
from i2i.zoo.lapgan import LAPGAN
from i2i.zoo.o_gan import OGAN
from i2i.zoo.penalties import GP, QP, R1, Div, Dragan
from i2i.zoo.progan import ProGAN
from i2i.zoo.projection import Projection
from i2i.zoo.sgan import SGAN
from i2i.zoo.ssgan import SSGAN
from i2i.zoo.stylegan2 import StyleGAN2
from i2i.zoo.vae import VAE

Config = Adversarial.Config
MLPS = MLPConfig(), MLPCriticConfig()
UNIFORM = Latent(noise=100, prior="uniform")
PLAIN = DCGANCriticConfig(norm="none")
ATTENTIVE = SNGANCriticConfig(attention=2)
HINGE: Any = {"game": "hinge", "latent": Latent(noise=128), "discriminator": SNGANCriticConfig(), "init": "kaiming"}
SPECTRAL = DCGANCriticConfig(norm="none", spectral=True)

LINES = (
    named(
        "Goodfellow et al. 2014, arXiv:1406.2661: fully connected networks. The game saturating is its eq. 1.",
        Config(name="gan", generator=MLPS[0], discriminator=MLPS[1], init="kaiming"),
    ),
    named(
        "Radford, Metz, Chintala 2016, arXiv:1511.06434: the same game with convolutions and batch norm.",
        Config(name="dcgan", latent=UNIFORM),
    ),
    named(
        "Mao et al. 2017, arXiv:1611.04076: least squares in place of logarithms.",
        Config(name="lsgan", game="lsgan"),
    ),
    named(
        "Hjelm et al. 2017, arXiv:1702.08431: G seeks the boundary where D is undecided.",
        Config(name="bgan", game="boundary"),
    ),
    named(
        "Lin 2017, arXiv:1704.06191: D shares one softmax out among all pictures of both batches.",
        Config(name="softmax_gan", game="softmax"),
    ),
    named(
        "Arjovsky, Chintala, Bottou 2017, arXiv:1701.07875: the Wasserstein distance, weights of D clipped.",
        Config(name="wgan", game="wasserstein", clip=0.01, n_critic=5),
    ),
    named(
        "Gulrajani et al. 2017, arXiv:1704.00028: the Wasserstein distance, the slope of D held at 1.",
        Config(name="wgan_gp", game="wasserstein", penalty=GP(), n_critic=5, discriminator=PLAIN),
    ),
    named(
        "Wu et al. 2018, arXiv:1712.01026: the Wasserstein divergence, the slope of D kept small.",
        Config(name="wgan_div", game="wasserstein", penalty=Div(), n_critic=5, discriminator=PLAIN),
    ),
    named(
        "The Wasserstein distance (arXiv:1701.07875), weights of D divided by spectral norms (Miyato et al. 2018, "
        "arXiv:1802.05957).",
        Config(name="wgan_sn", game="wasserstein", n_critic=5, discriminator=SPECTRAL),
    ),
    named(
        "Kodali et al. 2017, arXiv:1705.07215: the slope of D held at 1 around real pictures.",
        Config(name="dragan", penalty=Dragan(), discriminator=PLAIN),
    ),
    named(
        "Jolicoeur-Martineau 2018, arXiv:1807.00734: a real picture should look more real than a fake one.",
        Config(name="rsgan", game="relativistic", discriminator=PLAIN),
    ),
    named(
        "Jolicoeur-Martineau 2018, arXiv:1807.00734: more real than the other batch on the mean.",
        Config(name="ragan", game="relativistic_average", discriminator=PLAIN),
    ),
    named(
        "Su 2018, arXiv:1811.07296: the difference of two verdicts, less its square by the distance of the pictures.",
        Config(name="gan_qp", game="wasserstein", penalty=QP(), n_critic=2, discriminator=PLAIN),
    ),
    named(
        "Miyato et al. 2018, arXiv:1802.05957: weights of D divided by spectral norms, residual networks.",
        Config(name="sngan", n_critic=5, generator=SNGANConfig(), **HINGE),
    ),
    named(
        "Zhang et al. 2019, arXiv:1805.08318: places attend to each other, spectral norms in G too, D learns faster.",
        Config(
            name="sagan", generator=SNGANConfig(spectral=True, attention=2), **{**HINGE, "discriminator": ATTENTIVE}
        ),
    ),
    named(
        "Chen et al. 2019, arXiv:1810.01365: batch norms of G are scaled and shifted by what z says.",
        Config(name="self_mod", n_critic=5, generator=SNGANConfig(norm="self"), **{**HINGE, "init": "normal"}),
    ),
    named(
        "Karras et al. 2019, arXiv:1812.04948: z becomes a style, which scales and shifts what each layer draws.",
        Config(
            name="stylegan",
            penalty=R1(),
            latent=Latent(noise=512),
            generator=StyleGANConfig(),
            discriminator=StyleGANCriticConfig(),
        ),
    ),
)

ZOO: dict[str, type[Method]] = {
    **{line.__name__: line for line in LINES},
    "ebgan": EBGAN,
    "began": BEGAN,
    "lapgan": LAPGAN,
    "progan": ProGAN,
    "stylegan2": StyleGAN2,
    "vae": VAE,
    "cgan": CGAN,
    "acgan": ACGAN,
    "sgan": SGAN,
    "ssgan": SSGAN,
    "infogan": InfoGAN,
    "projection": Projection,
    "biggan": BigGAN,
    "aae": AAE,
    "bigan": BiGAN,
    "o_gan": OGAN,
}

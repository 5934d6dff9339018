"""The networks, one family a file. A config describes a network completely; ``build`` makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field
from torch import nn

from i2i.nets.blocks import Init, InstanceNorm, Norm, Up, count, initialise, per_image
from i2i.nets.context import Context, ContextConfig
from i2i.nets.dcgan import DCGAN, DCGANConfig, DCGANCritic, DCGANCriticConfig
from i2i.nets.encdec import EncDec, EncDecConfig
from i2i.nets.flat_unet import FlatContext, FlatContextConfig, FlatUNet, FlatUNetConfig
from i2i.nets.judge import Judge, JudgeConfig
from i2i.nets.lab import LabUNet, LabUNetConfig
from i2i.nets.lapgan import LapGAN, LapGANConfig, LapGANCritic, LapGANCriticConfig
from i2i.nets.mlp import MLP, CodeCritic, CodeCriticConfig, MLPConfig, MLPCritic, MLPCriticConfig
from i2i.nets.msrresnet import MSRResNet, MSRResNetConfig
from i2i.nets.patch import PatchConfig, patch, receptive_field
from i2i.nets.pixelda import Digits, DigitsConfig, Noisy, NoisyConfig, PixelDA, PixelDAConfig
from i2i.nets.plain import Plain, PlainConfig
from i2i.nets.progan import ProGAN, ProGANConfig, ProGANCritic, ProGANCriticConfig
from i2i.nets.resnet import ResNet, ResNetConfig
from i2i.nets.sngan import SNGAN, SNGANConfig, SNGANCritic, SNGANCriticConfig
from i2i.nets.srresnet import SRResNet, SRResNetConfig
from i2i.nets.srresnet_tanh import SRResNetTanh, SRResNetTanhConfig
from i2i.nets.stylegan import StyleGAN, StyleGANConfig, StyleGANCritic, StyleGANCriticConfig
from i2i.nets.stylegan2 import StyleGAN2, StyleGAN2Config, StyleGAN2Critic, StyleGAN2CriticConfig
from i2i.nets.unet import UNet, UNetConfig
from i2i.nets.whole import Whole, WholeConfig
from i2i.strict import Strict

__all__ = [
    "NETS", "AnyDrawer", "AnyGenerator", "Classifier", "CodeCriticConfig", "Context", "ContextConfig", "Critic",
    "DCGANConfig", "DCGANCriticConfig", "DigitsConfig", "Discriminator", "Drawer", "EncDec", "EncDecConfig",
    "FlatContextConfig", "FlatUNetConfig", "Generator", "Init", "InstanceNorm", "Judge", "JudgeConfig", "LabUNetConfig",
    "LapGANConfig", "LapGANCriticConfig", "MLPConfig", "MLPCriticConfig", "MSRResNetConfig", "NoisyConfig", "Norm",
    "PatchConfig", "PixelDAConfig", "Plain", "PlainConfig", "ProGANConfig", "ProGANCriticConfig", "ResNet",
    "ResNetConfig", "SNGANConfig", "SNGANCriticConfig", "SRResNetConfig", "SRResNetTanhConfig", "StyleGAN2Config",
    "StyleGAN2CriticConfig", "StyleGANConfig", "StyleGANCriticConfig", "UNet", "UNetConfig", "Up", "WholeConfig",
    "build", "count", "initialise", "patch", "per_image", "receptive_field", "starting_from", "takes_mask",
]  # fmt: skip

NETS: dict[str, Callable[[Any], nn.Module]] = {
    "unet": UNet,
    "lab_unet": LabUNet,
    "resnet": ResNet,
    "encdec": EncDec,
    "srresnet": SRResNet,
    "pixelda": PixelDA,
    "context": Context,
    "flat_unet": FlatUNet,
    "flat_context": FlatContext,
    "msrresnet": MSRResNet,
    "srresnet_tanh": SRResNetTanh,
    "patch": patch,
    "plain": Plain,
    "noisy": Noisy,
    "digits": Digits,
    "whole": Whole,
    "judge": Judge,
    "mlp": MLP,
    "mlp_critic": MLPCritic,
    "code_critic": CodeCritic,
    "dcgan": DCGAN,
    "dcgan_critic": DCGANCritic,
    "sngan": SNGAN,
    "sngan_critic": SNGANCritic,
    "lapgan": LapGAN,
    "lapgan_critic": LapGANCritic,
    "progan": ProGAN,
    "progan_critic": ProGANCritic,
    "stylegan": StyleGAN,
    "stylegan_critic": StyleGANCritic,
    "stylegan2": StyleGAN2,
    "stylegan2_critic": StyleGAN2Critic,
}

Generator = Annotated[UNetConfig | LabUNetConfig | ResNetConfig | EncDecConfig, Field(discriminator="net")]
"""What translates pictures in any method: the output is as large as the input."""
AnyGenerator = Annotated[
    UNetConfig
    | LabUNetConfig
    | ResNetConfig
    | EncDecConfig
    | PixelDAConfig
    | SRResNetConfig
    | ContextConfig
    | FlatUNetConfig
    | FlatContextConfig
    | MSRResNetConfig
    | SRResNetTanhConfig,
    Field(discriminator="net"),
]
"""What a trained model may hold: also networks of other projects, which nothing here trains."""
Discriminator = PatchConfig
Drawer = Annotated[
    MLPConfig | DCGANConfig | SNGANConfig | ProGANConfig | StyleGANConfig | StyleGAN2Config, Field(discriminator="net")
]
"""What draws pictures from random numbers in any method, see ``i2i.nets.drawn``."""
AnyDrawer = Annotated[Drawer | LapGANConfig, Field(discriminator="net")]
"""What a trained model may draw with: also a network that a single method trains."""
Critic = Annotated[
    MLPCriticConfig
    | DCGANCriticConfig
    | SNGANCriticConfig
    | ProGANCriticConfig
    | StyleGANCriticConfig
    | StyleGAN2CriticConfig,
    Field(discriminator="net"),
]
"""What judges pictures of the size that it is made for."""
Classifier = Annotated[
    DigitsConfig | JudgeConfig | MLPCriticConfig | DCGANCriticConfig, Field(discriminator="net")
]
"""What names classes in a trained model."""


def build(config: Any) -> nn.Module:
    """The network that ``config`` describes, with torch's first weights; ``initialise`` draws the published ones."""
    return NETS[config.net](config)


def takes_mask(net: nn.Module) -> bool:
    """Whether the network takes one more channel, the mask of what is to be filled."""
    return isinstance(net, Context | FlatContext)


def starting_from(default: Strict) -> BeforeValidator:
    """A recipe's block says only what differs from ``default``, as long as it names no other ``net``.

    ``generator: Annotated[Generator, starting_from(UNetConfig(depth=7))] = UNetConfig(depth=7)`` reads ``{width: 16}``
    as a U-Net of depth 7 and width 16, and ``{net: resnet}`` as the usual ResNet.
    """
    base = default.model_dump()

    def fill(block: Any) -> Any:
        same = isinstance(block, Mapping) and block.get("net", base["net"]) == base["net"]
        return {**base, **block} if same else block

    return BeforeValidator(fill)

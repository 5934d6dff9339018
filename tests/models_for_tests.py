"""Tiny trained-model folders, for every test that needs one."""

from __future__ import annotations

from pathlib import Path

import torch

from i2i import folder, nets
from i2i.latents import Latent
from i2i.nets.conditional import ConditionalNorm


def make_model(
    path: Path,
    config: nets.UNetConfig | nets.ResNetConfig | nets.SRResNetConfig | nets.ContextConfig | None = None,
    *,
    norm: str = "image",
    dropout: bool = False,
    both: bool = False,
    settled: bool = False,
    gain: float = 0.3,
    seed: int = 0,
    **facts: object,
) -> folder.Info:
    """Writes a model folder with an untrained network of visible contrast and says what is in it.

    ``settled``: its batch norms know the statistics of noise, as those of a trained network know their pictures'.
    """
    config = config or nets.UNetConfig(depth=3, width=4)
    products, tensors = {}, {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for key, (source, target) in {"a2b": ("label", "photo"), "b2a": ("photo", "label")}.items():
            if key == "b2a" and not both:
                continue
            net = nets.build(config)
            nets.initialise(net, gain=gain)
            if settled:
                settle(net)
            products[key] = folder.Product(
                source=source,
                target=target,
                generator=config.model_dump(mode="json"),
                multiple=net.multiple,
                scale=net.scale,
                channels=(config.inputs, config.outputs),
                masked=nets.takes_mask(net),
            )
            tensors[key] = net.state_dict()
    info = folder.Info(
        **{
            "name": path.name,
            "method": "pix2pix",
            "dataset": "facades",
            "size": (64, 64),
            "images": 2000,
            "products": products,
            "default": "a2b",
            "inference": folder.Inference(norm=norm, dropout=dropout),
            **facts,
        }
    )
    folder.write(path, info, tensors)
    return info


def settle(net: torch.nn.Module) -> None:
    norms = [layer for layer in net.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean of what is seen
    with torch.no_grad():
        net(torch.rand(4, net.config.inputs, 8 * net.multiple, 8 * net.multiple) * 2 - 1)
    for norm in norms:
        norm.momentum = 0.1


def make_sampler(
    path: Path, config: nets.MLPConfig | nets.DCGANConfig | None = None, latent: Latent | None = None, seed: int = 0
) -> folder.Info:
    """Writes a model folder with an untrained network that draws pictures, its batch norms settled."""
    latent = latent or Latent(noise=8)
    config = config or nets.DCGANConfig(width=8, size=(16, 12), outputs=3)
    config = config.model_copy(update={"latent": latent.size})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = nets.build(config)
        nets.initialise(net, gain=0.3)
        for layer in net.modules():
            if isinstance(layer, ConditionalNorm):  # it begins as if there were no classes
                torch.nn.init.normal_(layer.scale, 1, 0.3)
                torch.nn.init.normal_(layer.shift, 0, 0.3)
        norms = [layer for layer in net.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.momentum = None
        with torch.no_grad():
            net(torch.randn(60, latent.size), *([torch.arange(60) % config.classes] if config.classes else []))
    info = folder.Info(
        name=path.name, method="dcgan", dataset="mnist", size=config.size, images=2000, products={}, default="",
        inference=folder.Inference(norm="running", dropout=False),
        sampler=folder.Sampler(
            generator=config.model_dump(mode="json"), latent=latent, classes=config.classes,
            styles=getattr(net, "styles", 0), size=config.size, channels=config.outputs,
        ),
    )  # fmt: skip
    folder.write(path, info, {folder.SAMPLER: net.state_dict()})
    return info

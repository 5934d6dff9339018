"""Tiny trained-model folders, for every test that needs one."""

from __future__ import annotations

from pathlib import Path

import torch

from i2i import folder, nets


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

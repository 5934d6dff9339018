"""Tiny trained-model folders, for every test that needs one."""

from __future__ import annotations

from pathlib import Path

import torch

from i2i import folder, nets


def make_model(
    path: Path,
    config: nets.UNetConfig | nets.ResNetConfig | None = None,
    *,
    norm: str = "image",
    dropout: bool = False,
    both: bool = False,
    seed: int = 0,
    **facts: object,
) -> folder.Info:
    """Writes a model folder with an untrained network of visible contrast and says what is in it."""
    config = config or nets.UNetConfig(depth=3, width=4)
    products, tensors = {}, {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for key, (source, target) in {"a2b": ("label", "photo"), "b2a": ("photo", "label")}.items():
            if key == "b2a" and not both:
                continue
            net = nets.build(config)
            nets.initialise(net, gain=0.3)
            products[key] = folder.Product(
                source=source,
                target=target,
                generator=config.model_dump(mode="json"),
                multiple=net.multiple,
                channels=(config.inputs, config.outputs),
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

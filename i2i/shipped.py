"""What is written beside an exported model: a README with a caller, what was proven, and where the model comes from."""

from __future__ import annotations

from i2i.folder import Info, card, command


def readme(info: Info) -> str:
    """The model card of an exported model."""
    return card(info, use=[*_use(info), "", *_proof(info)])


def summary(info: Info) -> list[str]:
    """What to tell the one who exported it, in lines."""
    facts = info.export
    if facts is None:
        return []
    lines = []
    for key, proof in facts.proofs.items():
        file = info.products[key].file
        lines.append(
            f"{file}: {_size(proof.bytes)}, opset {facts.opset}, {facts.precision}; "
            f"differs from torch by {proof.max:.2g} at most ({_decibels(proof.psnr)})"
        )
    lines.append(f"compared at {_sizes(info)} (height x width), {' and '.join(map(str, facts.batches))} at once")
    if facts.calibrated:
        lines.append(f"calibrated with {facts.calibrated} pictures, compared on others")
    if facts.noise_removed:
        lines.append("dropout, the noise of the trained model, is off in the exported one: one picture, one result")
    return lines


def caller(info: Info) -> list[str]:
    """A program that needs onnxruntime, NumPy and Pillow only."""
    product = info.products[info.default]
    mode, into = ("L", "[None, None]") if product.channels[0] == 1 else ("RGB", ".transpose(2, 0, 1)[None]")
    back = "y[0]" if product.channels[1] == 1 else "y.transpose(1, 2, 0)"
    fit = f"[max({product.multiple}, round(side / {product.multiple}) * {product.multiple}) for side in picture.size]"
    fitted = f"picture = picture.resize({fit})  # sides are multiples of {product.multiple}"
    mask = [
        'mask = Image.open("mask.png").convert("L").resize(picture.size)  # white: to be filled',
        "hole = np.asarray(mask)[None] >= 128",
        "x = np.concatenate([x, hole[None]], 1, dtype=np.float32)",
    ]
    return [
        "import numpy as np",
        "import onnxruntime",
        "from PIL import Image",
        "",
        f'session = onnxruntime.InferenceSession("{product.file}", providers=["CPUExecutionProvider"])',
        f'picture = Image.open("picture.jpg").convert("{mode}")',
        *([fitted] if product.multiple > 1 else []),
        f"x = np.asarray(picture, np.float32){into} / 127.5 - 1",
        *(mask if product.masked else []),
        'y = session.run(None, {"input": x})[0][0]',
        *(["y = np.where(hole, y, x[0, :-1])  # what is known stays"] if product.masked else []),
        f'Image.fromarray((({back} + 1) * 127.5).round().clip(0, 255).astype(np.uint8)).save("translated.png")',
    ]


def _use(info: Info) -> list[str]:
    scale = info.products[info.default].scale
    larger = f" The output is {scale} times as high and as wide as the input." if scale > 1 else ""
    masked = info.products[info.default].masked
    return [
        "With i2i, any picture in, the same kind of picture out (no torch needed):",
        "",
        "```",
        "pip install i2i-toolkit",
        command(info.products[info.default]),
        "```",
        "",
        "Or with nothing but onnxruntime, from this folder:",
        "",
        "```python",
        *caller(info),
        "```",
        "",
        "Input and output are float32 [batch, channels, height, width] from -1 to 1; batch, height and width are free."
        + larger,
        *(["The last channel of the input is the mask: 1 where the picture is missing, else 0."] * masked),
    ]


def _proof(info: Info) -> list[str]:
    facts = info.export
    if facts is None:
        return []
    return [
        "## Exported",
        "",
        f"ONNX opset {facts.opset}, {facts.precision} (target {facts.target}); by i2i {info.i2i}, torch {facts.torch}.",
        f"Compared with the torch network at {_sizes(info)} pixels (height x width), "
        f"{' and '.join(map(str, facts.batches))} pictures at once:",
        "",
        "| file | size | largest difference | mean difference | PSNR |",
        "|---|---|---|---|---|",
        *(
            f"| {info.products[key].file} | {_size(p.bytes)} | {p.max:.2g} | {p.mean:.2g} | {_decibels(p.psnr)} |"
            for key, p in facts.proofs.items()
        ),
        *(["", f"Calibrated with {facts.calibrated} pictures, compared on others."] if facts.calibrated else []),
        *(["", "The trained model keeps dropout on as its noise; this one answers without it."] * facts.noise_removed),
    ]


def _sizes(info: Info) -> str:
    return ", ".join(f"{h}x{w}" for h, w in info.export.sizes) if info.export else ""


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count > 2**20 else f"{count / 2**10:.0f} KiB"


def _decibels(psnr: float | None) -> str:
    return "no difference" if psnr is None else f"{psnr:.0f} dB"

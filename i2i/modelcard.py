"""The model card, README.md of every trained model: what it is, how to use it, where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from i2i.folder import Info, Product

HERE = "path/to/this/folder"


def card(info: Info, use: Sequence[str] = ()) -> str:
    """The whole text; ``use`` stands in place of the usual lines on how to use it."""
    numbers = [f"| {name} | {value:.4g} |" for name, value in info.metrics.items()]
    trained = f"Trained with i2i: {info.method} on {info.dataset}."
    converted = f"Weights of another project, converted by i2i {info.i2i}: {info.origin}."
    lines = [
        f"# {info.name}",
        "",
        f"{_kind(info)}. {converted if info.origin else trained}",
        "",
        *_use(info, use),
        "## Training",
        "",
        f"- Method: {info.method}",
        f"- Data set: {info.dataset}",
        f"- Picture size (height x width): {info.size[0]} x {info.size[1]}",
        *([] if info.origin else [f"- Pictures seen: {info.images:,}{_took(info)}"]),
        f"- i2i {info.i2i}, model format {info.format}",
        "",
        *(["## Measured", "", "| metric | value |", "|---|---|", *numbers, ""] if numbers else []),
        "## Licence",
        "",
        info.licence or f"Not stated. The licence of the data set ({info.dataset}) may bind what is trained on it.",
        "",
    ]
    return "\n".join(lines)


def _took(info: Info) -> str:
    return f", in {info.seconds / 3600:.1f} hours" if info.seconds else ""


def _kind(info: Info) -> str:
    if info.sampler:
        return f"A model that draws {info.sampler.sentence()}"
    ways = [f"{p.source} -> {p.target} (`{key}`)" for key, p in info.products.items()]
    return f"An image-to-image model: {' and '.join(ways)}" if ways else "A classifier"


def _use(info: Info, use: Sequence[str]) -> list[str]:
    main = info.products.get(info.default)
    if info.sampler:
        return ["## Use", "", *(use or usage(info)), "", "The same seed draws the same pictures.", ""]
    if main:
        return ["## Use", "", *(use or usage(info)), "", *_sizes(info, main), info.inference.sentence(), ""]
    return []


def usage(info: Info, extras: str = "train", where: str = HERE) -> list[str]:
    """What to type, in a terminal and in Python, to use the model that lies at ``where``."""
    if info.sampler:
        some = f", labels={info.sampler.classes - 1}" if info.sampler.classes else ""
        program = [f'draw = i2i.load("{where}")', f'draw(1, seed=0{some})[0].save("drawn.png")']
    else:
        mask = ', mask="mask.png"' if info.products[info.default].masked else ""
        load = f'translate = i2i.load("{where}", direction="{info.default}")'
        program = [load, f'translate("picture.jpg"{mask}).save("translated.png")']
    return [
        "```", f"pip install 'i2i-toolkit[{extras}]'", command(info, where), "```",
        "```python", "import i2i", "", *program, "```",
    ]  # fmt: skip


def command(info: Info, where: str = HERE) -> str:
    """What to type to use the model that lies at ``where``."""
    if info.sampler:
        some = f" --label {info.sampler.classes - 1}" if info.sampler.classes else ""
        return f"i2i generate -n 64 --seed 0{some} --sheet --model {where}"
    mask = " --mask mask.png" if info.products[info.default].masked else ""
    return f"i2i translate picture.jpg{mask} --model {where}"


def _sizes(info: Info, product: Product) -> list[str]:
    any_size = "Pictures of any size"
    if product.multiple > 1:
        any_size += f": they are padded to a multiple of {product.multiple} and cropped back"
    trained = f"It was trained at {info.size[1]} x {info.size[0]} pixels"
    if product.scale > 1:
        return [f"{any_size}; the result is {product.scale} times as large.", f"{trained} of the large picture."]
    return [f"{any_size}.", f"{trained} and works best near that size."]

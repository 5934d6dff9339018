"""Other projects' weights become model folders: read without running code, recognised by their keys, converted.

``reading`` opens files; ``reference``, ``pytorch_gan`` and ``basicsr`` know the layouts of one family of projects each.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from i2i import folder, nets, paths
from i2i.errors import ModelError, UsageError
from i2i.foreign import basicsr, pytorch_gan, reference
from i2i.foreign.layouts import Layout, State, cleaned, difference
from i2i.foreign.reading import read_entry, read_weights
from i2i.obtain import digest

__all__ = ["LAYOUTS", "Imported", "convert", "free_place", "import_model", "read_weights"]

LAYOUTS: tuple[Layout, ...] = (
    reference.UNET, reference.CUT, reference.RESNET, *pytorch_gan.LAYOUTS, *basicsr.LAYOUTS,
)  # fmt: skip
"""All that can be imported; the first that knows a file takes it."""

# Networks that people try to import and that are not built here: a key that gives them away.
OTHERS = {
    r"(body|RRDB_trunk)\.\d+\.(rdb|RDB)1\..*": "the RRDBNet of ESRGAN and Real-ESRGAN",
    r"conv_after_body\.weight": "the EDSR of BasicSR",
    r".*\.modulation\.weight": "a StyleGAN2 generator",
}

VALUES = {"signed": "from -1 to 1", "unit": "from 0 to 1", "imagenet": "normalised by ImageNet's mean and deviation"}


@dataclass(frozen=True)
class Imported:
    """A model folder made from foreign weights, and what had to be assumed."""

    folder: Path
    notes: list[str]


def import_model(
    source: Path,
    name: str,
    *,
    direction: str | None = None,
    domains: tuple[str, str] | None = None,
    dropout: bool | None = None,
    values: str | None = None,
    key: str | None = None,
    method: str = "imported",
    dataset: str = "not stated",
    licence: str = "",
    origin: str = "",
    expected: str | None = None,
) -> Imported:
    """Converts a file of weights into the model folder ``paths.models() / name``.

    Args:
        direction: "a2b" or "b2a"; None is taken from a file name like ``latest_net_G_B.pth``, else "a2b".
        domains: what it translates from and to.
        dropout: whether it stays on when the model is used; None is as its project does where the network has some.
        values: what a super-resolution network takes and gives, see ``VALUES``; None is what its project uses.
        key: which weights of a checkpoint; None is a usual one, else the only ones.
        origin: where the weights come from, for the model card; the file's sum is added; "" is the file's name.
        expected: the kind of network that it must be: "resnet" or "unet".

    Raises:
        ModelError: not readable, not recognised, or a model of that name is there already.
        UsageError: the name is no plain word, there is no such direction, or an option that the network has not.
    """
    target = free_place(name)
    if direction not in (None, "a2b", "b2a"):
        raise UsageError(f"--direction {direction!r}: a2b or b2a")
    tensors, notes = read_entry(source, key)
    layout, config, state = recognised(tensors, str(source))
    if not {1, 3}.issuperset((config.inputs, config.outputs)):
        has = f"from {config.inputs} to {config.outputs} channels"
        raise ModelError(f"{source}: translates {has}: i2i reads and writes pictures of 1 or 3 channels")
    if expected not in (None, config.net):
        raise ModelError(f"{source}: holds a {config.net}, and {name} must be a {expected}: choose another --name")
    config = _with_values(config, values, str(source))
    with torch.device("meta"):
        net: Any = nets.build(config)
    direction, more = _way(source, direction, translates=net.scale == 1 and not nets.takes_mask(net))
    noisy = any(isinstance(layer, nn.Dropout) for layer in net.modules())
    notes += more + _assumed(layout, config, noisy if dropout is None else False, values)
    way = domains or (("a", "b") if direction == "a2b" else ("b", "a"))
    product = folder.Product(
        source=way[0], target=way[1], generator=config.model_dump(mode="json"), multiple=net.multiple,
        scale=net.scale, channels=(config.inputs, config.outputs), masked=nets.takes_mask(net),
    )  # fmt: skip
    stays = layout.dropout and noisy if dropout is None else dropout
    inference = folder.Inference(norm=layout.norm, dropout=stays)
    info = folder.Info(
        name=name, method=method, dataset=dataset, size=layout.size, images=0, products={direction: product},
        default=direction, inference=inference, licence=licence,
        origin=f"{origin or source.name} (sha256 {digest(source, None)[0]})",
    )  # fmt: skip
    folder.write(target, info, {direction: state})
    return Imported(target, notes)


def free_place(name: str) -> Path:
    """The folder for a model of that name.

    Raises:
        UsageError: the name is no plain word. ModelError: it is there already.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"--name {name!r}: a model's name is one word of letters, digits, '_', '-' and '.'")
    target = paths.models() / name
    if folder.is_model(target):
        raise ModelError(f"{target}: exists already: choose another name (--name), or delete that folder first")
    return target


def _way(source: Path, direction: str | None, translates: bool) -> tuple[str, list[str]]:
    """The direction, and a line where it is a guess. What enlarges or fills holes has none, and is an a2b."""
    if direction is not None or not translates:
        return direction or "a2b", []
    found = re.search(r"(?:^|_)G_(A|B|AB|BA)(?:_\d+)?$", source.stem)  # G_A and G_AB make b from a
    if found:
        return ("b2a" if found[1].startswith("B") else "a2b"), []
    return "a2b", ["the file does not say which way it translates: taken as a2b (--direction b2a)"]


def _with_values(config: Any, values: str | None, where: str) -> Any:
    if values is None:
        return config
    if "values" not in type(config).model_fields:
        raise UsageError(f"--range {values}: {where} holds a {config.net}, which goes {VALUES['signed']}: leave it out")
    try:
        return type(config).model_validate({**config.model_dump(), "values": values})
    except ValidationError as e:
        raise UsageError(f"--range {values}: one of {', '.join(VALUES)}; imagenet for colors only") from e


def _assumed(layout: Layout, config: Any, noisy: bool, values: str | None) -> list[str]:
    """What the file does not say about how its network is used, a line each, and how to say it."""
    notes = []
    if "dropout" in layout.unsaid and noisy:
        on, other = ("on", "--no-dropout") if layout.dropout else ("off", "--dropout")
        like = "pix2pix" if layout is reference.UNET else layout.project
        notes.append(f"the file does not say whether dropout stays on: taken as {on}, as in {like} ({other})")
    if "norm" in layout.unsaid:
        notes.append(
            "the file does not say by which statistics its batch norms work: taken as those that it holds "
            "(in i2i.json: inference.norm)"
        )
    if "values" in layout.unsaid and values is None:
        taken = f"{VALUES[config.values]}, as in {layout.project}"
        ways = " or ".join(f"--range {name}" for name in VALUES if name != config.values)
        notes.append(f"the file does not say what its values mean: taken as {taken} ({ways})")
    return notes


def convert(tensors: State, where: str = "these weights") -> tuple[Any, dict[str, Tensor]]:
    """The network that the keys and shapes describe, and its state_dict as ``nets.build`` wants it.

    Raises:
        ModelError: a discriminator, or no layout that can be built; ``where`` says whose weights they are.
    """
    return recognised(tensors, where)[1:]


def recognised(tensors: State, where: str) -> tuple[Layout, Any, dict[str, Tensor]]:
    """As ``convert``; and the layout."""
    state = cleaned(tensors)
    for pattern, what in OTHERS.items():
        if any(re.fullmatch(pattern, key) for key in state):
            raise ModelError(f"{where}: {what}: not a network that i2i builds")
    layout = next((layout for layout in LAYOUTS if layout.knows(state)), None)
    if layout is None:
        raise ModelError(f"{where}: {_no_layout(state)}")
    almost = f"{where}: almost a {layout.network} of {layout.project}, but"
    try:
        config = layout.config(state)
        kept = {layout.ours(key): t for key, t in state.items() if not layout.dropped(key, t)}
    except ValidationError as e:
        first = e.errors()[0]
        what = f"{first['loc'][0]}: {first['msg']}" if first["loc"] else first["msg"]
        raise ModelError(f"{where}: a network that i2i does not build ({what})") from e
    except ModelError as e:
        raise ModelError(f"{almost} {e}") from e
    with torch.device("meta"):
        expected = nets.build(config).state_dict()
    wrong = difference(kept, expected, layout.theirs)
    if wrong and layout in (reference.UNET, reference.CUT, reference.RESNET) and _no_norms(kept, expected):
        wrong += ": a network trained without norms (--norm none) is not supported"
    if wrong:
        raise ModelError(f"{almost} {wrong}")
    return layout, config, {key: kept[key] for key in expected}


def _no_norms(state: State, expected: State) -> bool:
    missing = [key for key in expected if key not in state]
    return bool(missing) and all(key.endswith(".bias") for key in missing)


def _no_layout(state: State) -> str:
    if reference.is_discriminator(state):
        return "a discriminator: it judges pictures and makes none; import the generator (net_G)"
    projects = ", ".join(dict.fromkeys(layout.project for layout in LAYOUTS))
    return f"not recognised: looked for the generators of {projects}; found {', '.join(map(repr, list(state)[:3]))}"

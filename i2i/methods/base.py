"""What a method is: its networks, who plays, what it produces, and one training step as a generator of moves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from i2i.data.batches import Reduced, Unpaired
from i2i.data.bicubic import imresize
from i2i.errors import RecipeError
from i2i.folder import Inference
from i2i.nets import AnyGenerator, EncDecConfig, Init, UNetConfig, build, initialise
from i2i.nets.equalized import BatchDeviation
from i2i.strict import Strict

Update = tuple[str, dict[str, Tensor]]
"""The player to move, and its loss terms: already weighted, their sum is what the player minimizes."""

Nets = Mapping[str, Callable[..., Tensor]]
"""Products by name, as a user of the trained model would run them."""


@dataclass(frozen=True)
class Task:
    """What the data say: channels of the domains a and b (1 or 3), the size (height, width) of training pictures, and
    how many classes their labels name (0: no labels)."""

    a: int = 3
    b: int = 3
    size: tuple[int, int] = (256, 256)
    classes: int = 0


class Method(nn.Module, ABC):
    """Base of all methods.

    A subclass sets ``self.players`` (name -> networks with one optimizer), ``self.products`` (``"a2b"``, ``"b2a"`` ->
    generator, or ``"sampler"``, see ``i2i.zoo.base``: averaged, sampled, saved, exported) and ``self.inference`` (how
    products behave when used), and yields its moves from ``step``. The order of the yields is the order of the updates.
    A method that learns labels sets ``self.classifiers`` too (name -> network, pictures [N, C, H, W] to logits
    [N, classes]): measured and saved.
    """

    reads: ClassVar[type]
    """The batch type it wants, see i2i.data.batches; pictures are float32 [N, C, H, W] in [-1, 1]."""
    reconstruction: ClassVar[str] = ""
    """The loss term ``player/term`` that falls when one batch is learned by heart; empty if there is none."""

    class Config(Strict):
        name: str

    cfg: Any
    """A Config, as used: a depth, for one, is that which the size of the pictures allows. What the data alone say of a
    network (channels, size, classes) is left to them, so that a written recipe starts the same training again."""
    players: dict[str, list[nn.Module]]
    products: dict[str, nn.Module]
    classifiers: Mapping[str, nn.Module] = MappingProxyType({})
    inference: Inference

    def begin(self, steps: int) -> None:
        """Called once before a new training of so many steps, not when one goes on: what it takes from elsewhere (the
        weights of another model) need not be there for ever.

        Raises:
            I2IError: the training cannot start.
        """
        return

    @abstractmethod
    def step(self, batch: Any, it: int) -> Iterator[Update]:
        """The moves of one training step on a batch. ``it`` counts the steps before this one.

        Who moves and when is told by ``it`` and the settings, not by the batch: several may be played side by side, and
        each player then moves once for all of them.
        """

    @abstractmethod
    def panels(self, nets: Nets, batch: Any) -> dict[str, Tensor]:
        """The columns of a sample sheet: caption -> pictures [N, C, H, W] in [-1, 1]; ``nets`` are the products.
        Several columns under one caption are [N, columns, C, H, W].

        ``{a}`` and ``{b}`` in a caption stand for the names of the domains.
        """


def new_generator(config: AnyGenerator, inputs: int, outputs: int, size: tuple[int, int], init: Init) -> nn.Module:
    """A generator with fresh weights for pictures of ``size``.

    A U-Net has at most ``config.depth`` levels and no more than the size can be halved: 8 at 256 pixels, 7 at 128 (the
    published unet_256 and unet_128). An encoder-decoder halves until at least 4 x 4 is left: 4 times at 64 pixels.

    Raises:
        RecipeError: the size does not fit (a U-Net wants five halvings, an encoder-decoder three), or the data have
            other channels than the recipe says.
    """
    for key, given, wanted in (("inputs", config.inputs, inputs), ("outputs", config.outputs, outputs)):
        if given not in (3, wanted):
            raise RecipeError(f"method.generator.{key}: {given}, but the data have {wanted} (see data.channels)")
    update: dict[str, Any] = {"inputs": inputs, "outputs": outputs}
    if isinstance(config, UNetConfig):
        update["depth"] = halvings("a U-Net", size, config.depth, least=5)
    elif isinstance(config, EncDecConfig):
        update["depth"] = halvings("an encoder-decoder", size, config.depth, least=3, left=4)
    net: Any = build(config.model_copy(update=update))
    if any(side % net.multiple for side in size):
        near = "x".join(str(-(-side // net.multiple) * net.multiple) for side in size)
        needs = f"a multiple of {net.multiple}, not {size[0]}x{size[1]}"
        raise RecipeError(f"data.size: this generator needs {needs}: take {near} instead")
    initialise(net, init)
    return net


def halvings(who: str, size: tuple[int, int], most: int, *, least: int, left: int = 1) -> int:
    """How often ``size`` can be halved, at most ``most`` times, so that ``left`` pixels remain.

    Raises:
        RecipeError: that is fewer than ``least`` times, and ``most`` would be more.
    """
    even = min((side & -side).bit_length() - 1 for side in size)
    found = min(most, even, max(0, (min(size) // left).bit_length() - 1))
    if found < min(least, most):
        near = "x".join(str(max(1, round(side / 32)) * 32) for side in size)
        height, width = size
        raise RecipeError(f"data.size: {who} halves {height}x{width} only {found} times: take {near} instead")
    return found


def as_built(config: AnyGenerator, net: nn.Module) -> AnyGenerator:
    """The config of a generator as it was built, its channels left to the data as they were."""
    built: Any = net.config
    return built.model_copy(update={"inputs": config.inputs, "outputs": config.outputs})


def new_discriminator(config: Any, inputs: int, init: Init) -> nn.Module:
    """A discriminator with fresh weights."""
    net = build(config.model_copy(update={"inputs": inputs}))
    initialise(net, init)
    return net


def detail(batch: Reduced, side: int = 256) -> Reduced:
    """The middle of the pictures, at most ``side`` large pixels wide and high: a sheet shows it pixel by pixel."""
    scale = batch.b.shape[2] // batch.a.shape[2]
    places = []
    for small in batch.a.shape[2:]:
        wide = min(small, max(1, side // scale))
        first = (small - wide) // 2
        places.append((slice(first, first + wide), slice(scale * first, scale * (first + wide))))
    (rows, large_rows), (columns, large_columns) = places
    return Reduced(batch.a[..., rows, columns], batch.b[..., large_rows, large_columns])


def together(net: nn.Module, *batches: Tensor) -> tuple[Tensor, ...]:
    """``net`` of several batches of one shape [N, C, H, W], by one run: the same numbers in less time, since weights
    are read and their gradients made once. What looks at a batch as a whole, like batch norm, would mix the batches:
    with it each runs alone."""
    if any(isinstance(layer, nn.modules.batchnorm._BatchNorm | BatchDeviation) for layer in net.modules()):
        return tuple(net(x) for x in batches)
    return net(torch.cat(batches)).chunk(len(batches))


def enlarged(batch: Reduced) -> Tensor:
    """What needs no training: the small pictures, enlarged by the bicubic kernel that made them; [N, C, H, W]."""
    pixels = batch.a.float().permute(2, 3, 0, 1).numpy(force=True)
    large = imresize(pixels, batch.b.shape[2] / batch.a.shape[2])
    return torch.from_numpy(large).permute(2, 3, 0, 1).to(batch.a.device)


def there_and_back(nets: Nets, batch: Unpaired) -> dict[str, Tensor]:
    """The columns of a sheet for two generators that undo each other."""
    fake_b, fake_a = nets["a2b"](batch.a), nets["b2a"](batch.b)
    return {
        "{a}": batch.a,
        "{a} to {b}": fake_b,
        "{a} again": nets["b2a"](fake_b),
        "{b}": batch.b,
        "{b} to {a}": fake_a,
        "{b} again": nets["a2b"](fake_a),
    }

"""How much work a training step is: exact, the same on every machine, and no more than it was."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from small import FOLDERS, SIZE, small_config, small_method
from test_methods import every_method, trainer_of
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.flop_counter import FlopCounterMode

from i2i.data.batches import Pair, loader
from i2i.methods import METHODS
from i2i.methods.base import Task, Update, together
from i2i.nets import PatchConfig, build
from i2i.trainer import Trainer
from i2i.zoo import ZOO


class Work(NamedTuple):
    """Of one step on one sample (two of what learns to draw, for batch norm), in which every player moves: floating
    point operations of convolutions and matrix products, forward and backward; how often each network is run forward.
    """

    flops: int
    runs: dict[str, int]


WORK = {
    "aae": Work(flops=371136, runs={"G": 1, "E": 1, "D": 3}),
    "acgan": Work(flops=9507840, runs={"G": 1, "D": 3}),
    "began": Work(flops=17989632, runs={"G": 1, "encoder": 3, "decoder": 3}),
    "bgan": Work(flops=9461760, runs={"G": 1, "D": 3}),
    "bigan": Work(flops=16382928, runs={"G": 1, "E": 1, "D": 4, "joint": 4}),
    "biggan": Work(flops=43058820, runs={"G": 1, "D": 3}),
    "ccgan": Work(flops=28312368, runs={"D": 4, "G": 1}),
    "cgan": Work(flops=669120, runs={"G": 1, "D": 3}),
    "cyclegan": Work(flops=116846592, runs={"ab": 2, "ba": 2, "Da": 2, "Db": 2}),
    "dcgan": Work(flops=9461760, runs={"G": 1, "D": 3}),
    "discogan": Work(flops=17708544, runs={"ab": 2, "ba": 2, "Da": 4, "Db": 4}),
    "dragan": Work(flops=14479872, runs={"G": 1, "D": 3}),
    "dualgan": Work(flops=33976320, runs={"ab": 2, "ba": 2, "Da": 3, "Db": 3}),
    "ebgan": Work(flops=18101760, runs={"G": 1, "encoder": 3, "decoder": 3}),
    "gan": Work(flops=668544, runs={"G": 1, "D": 2}),
    "gan_qp": Work(flops=9461760, runs={"G": 1, "D": 2}),
    "infogan": Work(flops=9553920, runs={"G": 1, "D": 3}),
    "lapgan": Work(flops=35109888, runs={"G": 1, "D": 3}),
    "lsgan": Work(flops=9461760, runs={"G": 1, "D": 3}),
    "o_gan": Work(flops=11108352, runs={"G": 1, "E": 3}),
    "pix2pix": Work(flops=12122112, runs={"G": 1, "D": 3}),
    "pixelda": Work(flops=25880272, runs={"T": 2, "G": 1, "D": 3}),
    "progan": Work(flops=190280736, runs={"G": 1, "D": 4}),
    "projection": Work(flops=9584640, runs={"G": 1, "D": 3}),
    "ragan": Work(flops=10348032, runs={"G": 1, "D": 3}),
    "rsgan": Work(flops=10348032, runs={"G": 1, "D": 3}),
    "sagan": Work(flops=41992128, runs={"G": 1, "D": 2}),
    "self_mod": Work(flops=35921344, runs={"G": 1, "D": 2}),
    "sgan": Work(flops=22872192, runs={"G": 1, "D": 4}),
    "sngan": Work(flops=35430336, runs={"G": 1, "D": 2}),
    "softmax_gan": Work(flops=10348032, runs={"G": 1, "D": 4}),
    "srgan": Work(flops=27503872, runs={"G": 1, "D": 3}),
    "srresnet": Work(flops=12192768, runs={"G": 1}),
    "ssgan": Work(flops=890184, runs={"G": 1, "D": 5}),
    "stylegan": Work(flops=126788000, runs={"G": 2, "D": 4}),
    "stylegan2": Work(flops=164696640, runs={"G": 4, "D": 4}),
    "vae": Work(flops=5455872, runs={"G": 1, "E": 1}),
    "wgan": Work(flops=9461760, runs={"G": 1, "D": 3}),
    "wgan_div": Work(flops=14479872, runs={"G": 1, "D": 3}),
    "wgan_gp": Work(flops=14479872, runs={"G": 1, "D": 3}),
    "wgan_sn": Work(flops=9461760, runs={"G": 1, "D": 2}),
}
"""Each method with the small networks of ``small.py``, as it works now."""


def measured(trainer: Trainer) -> Work:
    runs: dict[str, int] = {}

    def counted(key: str) -> None:
        runs[key] += 1

    for key, net in trainer.method.named_children():
        whole = [layer for layer in net.modules() if is_parametrized(layer) or not list(layer.children())]
        layers = [layer for layer in whole if list(layer.parameters())]
        if layers:  # the first one, not the network: not everybody calls its forward
            runs[key] = 0
            layers[0].register_forward_hook(lambda *_, key=key: counted(key))
    batch = next(loader(trainer.dataset, batch=2 if trainer.recipe.method.name in ZOO else 1))
    with FlopCounterMode(display=False) as counter:
        trainer.step(batch)
    return Work(counter.get_total_flops(), runs)


@every_method
def test_a_step_is_no_more_work_than_it_was(name: str, request: pytest.FixtureRequest) -> None:
    work = measured(trainer_of(name, request.getfixturevalue(FOLDERS[METHODS[name].reads])))
    line = f'"{name}": {work},'
    assert name in WORK, f"{name} is missing in the table WORK of tests/test_work.py: add this line to it\n    {line}"
    before = WORK[name]
    grown = work.flops > before.flops or any(n > before.runs.get(key, 0) for key, n in work.runs.items())
    assert work == before, f"a step of {name} is {'more' if grown else 'less'} work than it was, now it is\n    {line}"


@pytest.mark.parametrize(("who", "runs"), [("G", {"G": 2, "D": 3}), ("D", {"G": 1, "D": 4})])
def test_one_forward_more_is_seen(who: str, runs: dict[str, int], pairs: Path) -> None:
    """Though it has no backward, and whichever network it is."""
    trainer = trainer_of("pix2pix", pairs)
    step = trainer.method.step

    def wasteful(batch: Pair, it: int) -> Iterator[Update]:
        with torch.no_grad():
            getattr(trainer.method, who)(batch.a if who == "G" else torch.cat(batch, 1))
        yield from step(batch, it)

    trainer.method.step = wasteful
    work = measured(trainer)
    assert work.runs == runs
    assert work.flops > WORK["pix2pix"].flops


def test_the_table_names_no_other_methods() -> None:
    assert set(WORK) <= set(METHODS)


@pytest.mark.parametrize(("norm", "runs"), [("instance", 1), ("none", 1), ("batch", 2)])
def test_batches_go_together_where_no_norm_would_mix_them(norm: str, runs: int) -> None:
    torch.manual_seed(0)
    net, sizes = build(PatchConfig(layers=1, width=4, norm=norm)), []
    net.register_forward_hook(lambda net, given, out: sizes.append(len(given[0])))
    x, y = torch.randn(2, 3, 16, 16), 3 + torch.randn(2, 3, 16, 16)
    found = together(net, x, y)
    assert sizes == [4 // runs] * runs
    torch.testing.assert_close(found, (net(x), net(y)), rtol=1e-5, atol=1e-5)


def test_cyclegan_without_the_identity_loss_leaves_its_passes_out() -> None:
    torch.manual_seed(0)
    whole = small_method("cyclegan")
    plain = METHODS["cyclegan"](
        METHODS["cyclegan"].Config(**small_config("cyclegan", identity=0)), Task(size=(SIZE,) * 2)
    )
    plain.load_state_dict(whole.state_dict())
    a, b = torch.rand(2, 1, 3, SIZE, SIZE)
    batch = METHODS["cyclegan"].reads(a, b)
    (_, terms), (_, fewer) = (next(iter(method.step(batch, 0))) for method in (whole, plain))
    assert list(fewer) == list(terms)[:4]
    for name, value in fewer.items():
        torch.testing.assert_close(value, terms[name], rtol=1e-5, atol=0)

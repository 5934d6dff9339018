"""Gradients are averaged over processes, in buckets that leave before backward has ended."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from i2i.methods import METHODS
from i2i.methods.base import Task
from i2i.nets import InstanceNorm
from i2i.reducing import BUCKET, Reducer, buckets


class Exchange:
    """Stands for one other process, whose gradients are all 1; what has happened is told in ``events``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.events: list[str] = []
        monkeypatch.setattr(torch.distributed, "all_reduce", self.all_reduce)

    def all_reduce(self, flat: Tensor, async_op: bool) -> Exchange:
        assert async_op
        self.events.append(f"send {flat.numel()}")
        flat += 1
        return self

    def wait(self) -> None:
        self.events.append("wait")


@pytest.fixture
def exchange(monkeypatch: pytest.MonkeyPatch) -> Exchange:
    return Exchange(monkeypatch)


def chain(exchange: Exchange) -> tuple[nn.Sequential, Tensor]:
    """Linear layers of 6, 8 and 12 weights, that tell when backward comes to them, and their loss."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2, False), nn.Linear(2, 4, False), nn.Linear(4, 3, False))
    for number, layer in enumerate(net):
        layer.register_full_backward_pre_hook(lambda *_, n=number: exchange.events.append(f"layer {n}"))
    return net, net(torch.randn(5, 3, requires_grad=True)).square().sum()


def test_buckets_leave_while_backward_runs_and_are_waited_for_at_its_end(exchange: Exchange) -> None:
    net, loss = chain(exchange)
    params = list(net.parameters())
    alone = torch.autograd.grad(loss, params, retain_graph=True)
    exchange.events.clear()
    reducer = Reducer(params, world=2, bucket=14 * 4)
    with reducer:
        loss.backward(inputs=params)
    assert exchange.events == ["layer 2", "send 12", "layer 1", "layer 0", "send 14", "wait", "wait"]
    for p, g in zip(params, alone, strict=True):
        torch.testing.assert_close(p.grad, (g + 1) / 2)
    assert (reducer.collectives, reducer.bytes) == (2, 26 * 4)
    assert reducer.waited > 0


def test_what_has_no_gradient_keeps_none_and_holds_up_nothing_for_ever(exchange: Exchange) -> None:
    """The layer in the middle is left out: its bucket leaves empty, or without it."""
    net, _ = chain(exchange)
    params = list(net.parameters())
    for bucket, sent in ((1, ["send 12", "send 6"]), (20 * 4, ["send 12", "send 6"]), (10**9, ["send 18"])):
        for p in params:
            p.grad = None
        loss = net[0](torch.ones(1, 3)).sum() + net[2](torch.ones(1, 4)).sum()
        exchange.events.clear()
        with Reducer(params, world=2, bucket=bucket):
            loss.backward(inputs=params)
        assert [e for e in exchange.events if e.startswith("send")] == sent, bucket
        assert params[1].grad is None
        assert torch.equal(params[0].grad, torch.ones(2, 3))


def test_buckets_leave_in_one_order_whatever_order_gradients_come_in(exchange: Exchange) -> None:
    first, second = nn.Linear(2, 2, False), nn.Linear(3, 3, False)
    params = [*first.parameters(), *second.parameters()]
    for order in ((first, second), (second, first)):
        losses = [layer(torch.ones(1, layer.in_features)).sum() for layer in order]
        exchange.events.clear()
        with Reducer(params, world=2, bucket=1):
            sum(losses).backward(inputs=params)
        assert exchange.events == ["send 9", "send 4", "wait", "wait"]


def test_several_backwards_are_averaged_once_with_the_last_one(exchange: Exchange) -> None:
    """Gradients that add up over several batches travel when they are whole."""
    p = nn.Parameter(torch.tensor([2.0]))
    reducer = Reducer([p], world=2)
    (3 * p).sum().backward(inputs=[p])
    assert exchange.events == []
    with reducer:
        (4 * p).sum().backward(inputs=[p])
    assert exchange.events == ["send 1", "wait"]
    assert p.grad.item() == (7 + 1) / 2


def test_a_gradient_penalty_sends_nothing_of_its_own(exchange: Exchange) -> None:
    """A gradient of a gradient, inside the loss, is no gradient of the parameters yet."""
    p, x = nn.Parameter(torch.tensor([2.0])), torch.tensor([3.0], requires_grad=True)
    with Reducer([p], world=2):
        (slope,) = torch.autograd.grad((p * x.square()).sum(), x, create_graph=True)
        assert exchange.events == []
        slope.square().sum().backward(inputs=[p])  # (2 p x)^2: 8 p x^2 = 144
    assert exchange.events == ["send 1", "wait"]
    assert p.grad.item() == (144 + 1) / 2


def test_gradients_keep_their_layout(exchange: Exchange) -> None:
    """The fused Adam of a CPU pairs weights and gradients by their place in memory."""
    net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 8, 8)
    (alone,) = torch.autograd.grad(net(x).square().sum(), [net.weight])
    with Reducer([net.weight], world=2):
        net(x).square().sum().backward(inputs=[net.weight])
    assert net.weight.grad.stride() == net.weight.stride()
    torch.testing.assert_close(net.weight.grad, (alone + 1) / 2)


def test_one_process_sends_nothing(exchange: Exchange) -> None:
    net, loss = chain(exchange)
    params = list(net.parameters())
    reducer = Reducer(params, world=1)
    with reducer:
        loss.backward(inputs=params)
    assert reducer.collectives == reducer.bytes == reducer.waited == 0
    assert not any("send" in e or "wait" in e for e in exchange.events)


def test_a_failure_in_backward_is_told_as_it_is(exchange: Exchange) -> None:
    p = nn.Parameter(torch.ones(1))
    reducer = Reducer([p], world=2)
    with pytest.raises(RuntimeError, match="the graph is broken"), reducer:
        raise RuntimeError("the graph is broken")
    (2 * p).sum().backward(inputs=[p])
    assert exchange.events == []


def test_small_gradients_travel_together_and_large_ones_alone() -> None:
    params = [nn.Parameter(torch.zeros(n)) for n in (3, 1, 20, 2, 2)]  # of 4 bytes each
    assert [[p.numel() for p in members] for members in buckets(params, 16)] == [[2, 2], [20], [1, 3]]
    assert [[p.numel() for p in members] for members in buckets(params, 10**9)] == [[2, 2, 20, 1, 3]]
    with torch.device("meta"):
        method = METHODS["pix2pix"](METHODS["pix2pix"].Config(), Task())
    counts = {
        who: (len(list(nets[0].parameters())), len(buckets(list(nets[0].parameters()), BUCKET)))
        for who, nets in method.players.items()
    }
    assert counts == {"D": (13, 3), "G": (43, 20)}, "parameters and collectives of the published Pix2Pix"


def one_of_two(rank: int, meeting: str, out: str) -> None:
    """Its half of a batch of two, with a norm that looks at each picture alone; leaves the gradients in a file."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    try:
        net, batch = judged()
        params = list(net.parameters())
        reducer = Reducer(params, world=2, bucket=1000)
        with reducer:
            net(batch[rank : rank + 1]).square().mean().backward(inputs=params)
        assert reducer.collectives == len(reducer.buckets) == 3
        torch.save([p.grad for p in params], f"{out}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


def judged() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), InstanceNorm(8), nn.LeakyReLU(0.2), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 1, 3)]
    return nn.Sequential(*layers), torch.randn(2, 3, 12, 12)


def test_two_real_processes_have_the_gradients_of_one_with_both_their_batches(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(one_of_two, (str(tmp_path / "meeting"), str(tmp_path)), nprocs=2)
    net, batch = judged()
    net(batch).square().mean().backward()
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for p, a, b in zip(net.parameters(), first, second, strict=True):
        assert torch.equal(a, b)
        torch.testing.assert_close(a, p.grad, atol=1e-6, rtol=1e-4)

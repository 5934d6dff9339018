"""The convolutions that halve and double are those of torch, whichever way they are computed."""

import pytest
import torch
from torch import nn

from i2i.nets.halving import Double, Halve, few

CASES = [
    (Halve, nn.Conv2d, (1, 8, 4, 6), 96),
    (Halve, nn.Conv2d, (3, 8, 5, 7), 96),  # odd sides: the last row and column are seen, and end there
    (Double, nn.ConvTranspose2d, (1, 96, 2, 3), 8),
    (Double, nn.ConvTranspose2d, (3, 96, 1, 1), 8),
]


@pytest.fixture
def always(monkeypatch):
    """The product, however many places there are."""
    for layer in (Halve, Double):
        monkeypatch.setattr(layer, "channels_a_place", {torch.float32: 0, torch.float64: 0, torch.bfloat16: 0})


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("layer", "torchs", "shape", "outputs"), CASES)
def test_the_product_is_the_convolution(layer, torchs, shape, outputs, bias, always):
    ours = layer(shape[1], outputs, bias).double()
    usual = torchs(shape[1], outputs, 4, 2, 1, bias=bias).double()
    usual.load_state_dict(ours.state_dict())
    x = torch.randn(shape, dtype=torch.float64)
    answers = []
    for net in (ours, usual):
        seen = x.clone().requires_grad_()
        y = net(seen)
        y.square().sum().backward()
        answers.append([y, seen.grad, *(p.grad for p in net.parameters())])
    for mine, theirs in zip(*answers, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("layer", "torchs", "shape", "outputs"), CASES)
def test_in_half_precision_it_is_as_near_to_the_truth(layer, torchs, shape, outputs, always):
    ours = layer(shape[1], outputs)
    x = torch.randn(shape)
    with torch.no_grad():
        truth = torchs.forward(ours.double(), x.double())
        ours.float()
        with torch.autocast("cpu", torch.bfloat16):
            errors = [(y - truth).square().mean().sqrt() for y in (ours(x), torchs.forward(ours, x))]
            assert ours(x).dtype == torch.bfloat16
    assert errors[0] < 2 * errors[1]  # a doubled map is a sum of four rounded values, and measured 1.5 times


def test_the_product_is_taken_where_channels_outnumber_places():
    x = torch.zeros(2, 1024, 4, 4)
    assert few(x, 32, 1024, Double.channels_a_place)
    assert not few(x, 128, 1024, Double.channels_a_place)
    assert few(x.bfloat16(), 128, 1024, Double.channels_a_place)
    assert not few(x, 1, 1024, Halve.channels_a_place)  # in float32 torch's is the faster
    with torch.autocast("cpu", torch.bfloat16):
        assert few(x, 128, 1024, Double.channels_a_place)
    assert not few(x.double(), 1, 1024, Double.channels_a_place)


def test_what_is_exported_stays_a_convolution():
    net = nn.Sequential(Double(64, 8), nn.ReLU())
    graph = torch.export.export(net.eval(), (torch.zeros(1, 64, 2, 2),)).graph
    called = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    assert any("conv_transpose" in name for name in called)
    assert not any("mm" in name or "matmul" in name for name in called)

"""A network of torch as a graph of ONNX: what is free in it, and what must not leave this machine."""

from __future__ import annotations

import copy
import math
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from i2i import __version__
from i2i.latents import LABELS, TRUNCATION, Z
from i2i.nets.blocks import InstanceNorm

if TYPE_CHECKING:
    from onnx import ModelProto


def to_onnx(net: nn.Module, opset: int, channels: int, multiple: int) -> ModelProto:
    """``net``, as it is used, as ONNX with batch, height and width free; nodes carry the exporter's notes."""
    side = multiple * math.ceil(16 / multiple)
    example = torch.zeros(2, channels, 2 * side, 3 * side)  # no side of 1 anywhere: that would be taken as fixed
    return _exported(net, opset, {"input": example}, ({0: "batch", 2: "height", 3: "width"},))


def sampler_to_onnx(net: nn.Module, opset: int, shape: tuple[int, ...], classes: int) -> ModelProto:
    """The same for a network that draws a picture from values of ``shape``, [size] or with styles [styles, size], of
    ``classes`` if there are some; the batch is free."""
    examples = {Z: torch.zeros(2, *shape)}
    if classes:
        examples[LABELS] = torch.zeros(2, dtype=torch.int64)
    if len(shape) > 1:
        examples[TRUNCATION] = torch.ones(2)
    return _exported(net, opset, examples, ({0: "batch"},) * len(examples))


def _exported(net: nn.Module, opset: int, examples: dict[str, Tensor], free: tuple[dict[int, str], ...]) -> ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own, about torch's inside
        program: Any = torch.onnx.export(
            _plain(copy.deepcopy(net)), tuple(examples.values()), dynamo=True, opset_version=opset,
            external_data=False, verbose=False, input_names=list(examples), output_names=["output"],
            dynamic_shapes=free,
        )  # fmt: skip
    return program.model_proto


class OneNode(nn.Module):
    """An ``InstanceNorm`` that becomes one node of ONNX; as a group norm it would become seven."""

    def __init__(self, norm: InstanceNorm):
        super().__init__()
        ones, zeros = torch.ones(norm.channels), torch.zeros(norm.channels)
        self.weight = nn.Parameter(ones if norm.weight is None else norm.weight.detach())
        self.bias = nn.Parameter(zeros if norm.bias is None else norm.bias.detach())
        self.eps = norm.eps

    def forward(self, x: Tensor) -> Tensor:
        return torch.instance_norm(x, self.weight, self.bias, None, None, True, 0.0, self.eps, False)


def _plain(net: nn.Module) -> nn.Module:
    if isinstance(net, InstanceNorm):
        return OneNode(net)
    for name, child in net.named_children():
        setattr(net, name, _plain(child))
    return net


def anonymous(noted: ModelProto) -> ModelProto:
    """A copy without the exporter's notes: they hold its source lines and the paths of this machine.

    It states the oldest file format that its operators allow, so that older runtimes read it too.
    """
    from onnx.helper import find_min_ir_version_for

    model = type(noted)()
    model.CopyFrom(noted)
    model.ir_version = find_min_ir_version_for(model.opset_import)
    model.producer_name, model.producer_version, model.doc_string = "i2i", __version__, ""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
    return model

"""Smaller numbers for ONNX files: half precision for GPUs, 8 bits for CPUs. Normalization stays in float32 in both."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from i2i.errors import ModelError

KEPT = frozenset({
    "InstanceNormalization", "BatchNormalization", "GroupNormalization", "LayerNormalization", "RMSNormalization",
    "LpNormalization", "MeanVarianceNormalization", "ReduceMean", "ReduceSum", "ReduceSumSquare", "ReduceL2",
    "GlobalAveragePool", "Pow", "Sqrt", "Reciprocal", "Exp", "Softmax",
})  # fmt: skip
"""Nodes that sum over many values, or whose results span many magnitudes: half precision would lose or overflow."""

FIXED_INPUTS = {"Resize": (1, 2)}
"""Inputs that the ONNX standard has in float32, whatever the node computes in."""

FLOAT, HALF = TensorProto.FLOAT, TensorProto.FLOAT16


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in half precision that still takes and gives float32.

    Raises:
        ModelError: a weight is too large for half precision, that is above 65504.
    """
    result = onnx.shape_inference.infer_shapes(model)
    graph = result.graph
    values = (*graph.value_info, *graph.input, *graph.output)
    floats = {v.name for v in values if v.type.tensor_type.elem_type == FLOAT}
    weights = {t.name: t for t in graph.initializer if t.data_type == FLOAT}
    inside = {v.name: f"{v.name}_half" for v in (*graph.input, *graph.output) if v.name in floats}
    half: set[str] = set()  # the weights that are wanted in half precision
    full: set[str] = set()
    nodes = [_cast(v.name, inside[v.name], HALF) for v in graph.input if v.name in inside]
    made: set[str] = set()
    for node in graph.node:
        kept = node.op_type in KEPT
        nodes_after: list[NodeProto] = []
        for i, name in enumerate(node.input):
            in_full = kept or i in FIXED_INPUTS.get(node.op_type, ())
            if name in weights:
                (full if in_full else half).add(name)
                node.input[i] = name if in_full else f"{name}_half"
            elif name in floats:
                node.input[i] = inside.get(name, name)
                if in_full:
                    widened = f"{node.input[i]}_full"
                    if widened not in made:
                        nodes.append(_cast(node.input[i], widened, FLOAT))
                        made.add(widened)
                    node.input[i] = widened
        for i, name in enumerate(node.output):
            if name not in floats:
                continue
            node.output[i] = inside.get(name, name)
            if kept:
                nodes_after.append(_cast(f"{node.output[i]}_exact", node.output[i], HALF))
                node.output[i] += "_exact"
        if not kept:
            _halve_attributes(node)
        nodes += [node, *nodes_after]
    nodes += [_cast(inside[v.name], v.name, FLOAT) for v in graph.output if v.name in inside]
    initializers = [t for t in graph.initializer if t.name not in weights or t.name in full]
    initializers += [_half_tensor(weights[name], f"{name}_half") for name in sorted(half)]
    fresh = helper.make_graph(nodes, graph.name, graph.input, graph.output, initializers)
    result.graph.CopyFrom(fresh)
    return result


def quantised(
    model: onnx.ModelProto, inputs: Sequence[tuple[np.ndarray, ...]], layers: Sequence[str] = ("Conv",)
) -> onnx.ModelProto:
    """A copy whose ``layers`` have 8-bit weights and inputs; the ranges are those seen with ``inputs``: what the
    network takes at once, e.g. one array [1, C, H, W].

    Their weights use 7 of the 8 bits: processors without VNNI instructions add two products in 16 bits, which overflows
    with 8, and the file would be right on one machine and wrong on another. Transposed convolutions, for which
    onnxruntime has no arithmetic in 8 bits, keep exact inputs and only store their weights so: 7 to 9 dB better.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            x = next(self.left, None)
            return None if x is None else {v.name: array for v, array in zip(model.graph.input, x, strict=True)}

    prepared = onnx.ModelProto.FromString(model.SerializeToString())
    # Shapes are inferred and constants folded already: say so, or a warning asks for it.
    helper.set_model_props(prepared, {"onnx.quant.pre_process": "onnxruntime.quant"})
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.onnx"
        quantize_static(
            prepared, path, Reader(), quant_format=QuantFormat.QDQ, op_types_to_quantize=list(layers),
            per_channel=True, reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )  # fmt: skip
        result = onnx.load(path)
    _store_transposed_in_8_bits(result.graph)
    return result


def _store_transposed_in_8_bits(graph: onnx.GraphProto) -> None:
    """Weights of transposed convolutions become int8 with one scale for each output channel, and a node that widens."""
    weights = {t.name: t for t in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "ConvTranspose" and node.input[1] in weights:
            name = node.input[1]
            exact = numpy_helper.to_array(weights[name])  # [in, out, height, width]
            scale = np.maximum(np.abs(exact).max(axis=(0, 2, 3)), np.float32(1e-20)) / np.float32(127)
            short = np.rint(exact / scale[:, None, None]).astype(np.int8)
            graph.initializer.remove(weights[name])
            graph.initializer.append(numpy_helper.from_array(short, f"{name}_int8"))
            graph.initializer.append(numpy_helper.from_array(scale.astype(np.float32), f"{name}_scale"))
            nodes.append(
                helper.make_node("DequantizeLinear", [f"{name}_int8", f"{name}_scale"], [name], f"widen_{name}", axis=1)
            )
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _cast(value: str, to: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [value], [to], name=f"cast_{to}", to=kind)


def _halve_attributes(node: NodeProto) -> None:
    for attribute in node.attribute:
        if attribute.t.data_type == FLOAT:
            attribute.t.CopyFrom(_half_tensor(attribute.t, attribute.t.name))
        elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == FLOAT:
            attribute.i = HALF


def _half_tensor(tensor: TensorProto, name: str) -> TensorProto:
    exact = numpy_helper.to_array(tensor)
    with np.errstate(over="ignore"):
        short = exact.astype(np.float16)
    if not np.isfinite(short).all():
        raise ModelError(f"{tensor.name}: {np.abs(exact).max():.3g} is too large for half precision (65504 at most)")
    return numpy_helper.from_array(short, name)

"""Exported model folders whose networks are written by hand: no torch is waited for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from i2i import folder, pixels

OPSETS = [helper.make_opsetid("", 18)]


def graph_of(nodes: Sequence[onnx.NodeProto], channels: tuple[int, int], **constants: np.ndarray) -> onnx.ModelProto:
    """From ``input`` to ``output``, float32 [N, C, H, W]."""
    given, answer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", c, f"height_{name}", f"width_{name}"])
        for name, c in zip(("input", "output"), channels, strict=True)
    )
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "written by hand", [given], [answer], tensors)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=helper.find_min_ir_version_for(OPSETS))


def mirrored(channels: tuple[int, int] = (3, 3)) -> onnx.ModelProto:
    """Mixes the channels and swaps left and right: a caller that takes one axis for another gives something else."""
    weights = np.random.default_rng(1).uniform(-0.6, 0.6, channels[::-1]).astype(np.float32)[..., None, None]
    nodes = [
        helper.make_node("Conv", ["input", "weights"], ["mixed"]),
        helper.make_node("Slice", ["mixed", "last", "first", "axis", "back"], ["output"]),
    ]
    places = {"last": [-1], "first": [-(2**31)], "axis": [3], "back": [-1]}
    return graph_of(nodes, channels, weights=weights, **{k: np.array(v, np.int64) for k, v in places.items()})


def doubled() -> onnx.ModelProto:
    """Twice as large, each pixel four times."""
    resize = helper.make_node(
        "Resize", ["input", "", "scales"], ["output"], mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    return graph_of([resize], (3, 3), scales=np.array([1, 1, 2, 2], np.float32))


def make_exported(
    path: Path, model: onnx.ModelProto | None = None, raw: bool = False, multiple: int = 4, scale: int = 1
) -> folder.Info:
    """Writes an exported model folder and says what is in it; ``raw``: it takes pixels."""
    model = model or mirrored()
    given, answer = (v.type.tensor_type.shape.dim[1].dim_value for v in (*model.graph.input, *model.graph.output))
    product = folder.Product(
        source="dark", target="light", generator={}, multiple=multiple, scale=scale, channels=(given, answer),
        file="model.onnx",
    )  # fmt: skip
    proof = folder.Proof(max=0.0, mean=0.0, psnr=None, bytes=1)
    facts = folder.Export(
        target="onnx", opset=18, precision="fp32", tolerance=0.0, sizes=((8, 8),), batches=(1,), pixels=raw,
        noise_removed=False, proofs={"a2b": proof}, torch="none",
    )  # fmt: skip
    info = folder.Info(
        name=path.name, method="none", dataset="none", size=(8, 8), images=0, products={"a2b": product}, default="a2b",
        inference=folder.Inference(norm="running", dropout=False), export=facts,
    )  # fmt: skip

    def fill(fresh: Path) -> folder.Info:
        onnx.save(pixels.wrapped(model, multiple, scale) if raw else model, fresh / "model.onnx")
        return info

    folder.write_whole(path, fill)
    return info

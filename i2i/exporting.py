"""Exports trained models to ONNX. A file is kept only after it has answered like the torch network it was made from."""

from __future__ import annotations

import importlib.util
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from i2i import __version__, exporting_sampler, models, parity, paths, web
from i2i.errors import DataError, MissingExtra, ModelError, UsageError, did_you_mean
from i2i.folder import Export, Footprint, Info, Proof, is_model, read_info, write_whole
from i2i.graphs import anonymous, to_onnx
from i2i.nets import frozen
from i2i.nets.used import Used
from i2i.run_onnx import OnnxEngine
from i2i.run_torch import load_net
from i2i.shipped import readme
from i2i.strict import Strict, read_yaml, validate
from i2i.translator import Translator

if TYPE_CHECKING:
    from onnx import ModelProto

    from i2i.calibration import Samples
    from i2i.pixels import Levels


class Target(Strict):
    """A file of ``export/``: what is written, and how far it may be from torch."""

    about: str
    opset: int = Field(ge=18, le=23)
    precision: Literal["fp32", "fp16", "int8"]
    tolerance: float = Field(ge=0)
    least_psnr: float = 0.0
    calibrate: int = Field(32, ge=1)
    pixels: bool = False
    runtime: str = Field("", pattern=r"^(onnxruntime-web@\d[\w.-]*)?$")

    def allows(self, found: parity.Comparison) -> bool:
        return found.max <= self.tolerance and (found.psnr is None or found.psnr >= self.least_psnr)

    def refusal(self, found: parity.Comparison, where: str, name: str) -> str:
        """Why what was found is not allowed by the target of that ``name``; ``where`` its worst answer was given."""
        if math.isinf(found.max):
            return f"the exported network's answer at {where} is not finite or of another shape"
        floor = f" and wants {self.least_psnr:g} dB" if self.least_psnr else ""
        return (
            f"the exported network differs from torch by {found.max:.2g} at {where} ({found.psnr:.0f} dB over all), "
            f"the target {name} allows {self.tolerance:g}{floor}"
        )


def targets() -> list[str]:
    return sorted(p.stem for p in paths.data("export").glob("*.yaml"))


def load_target(target: str | Path) -> tuple[str, Target]:
    """The name and the content of a packaged target, or of a YAML file of one's own.

    Raises:
        UsageError: no such target, or not a valid one.
    """
    path = Path(target)
    if path.suffix not in (".yaml", ".yml"):
        if str(target) not in targets():
            known = targets()
            near = did_you_mean(str(target), known)
            raise UsageError(f"unknown export target {str(target)!r}{near} (one of {', '.join(known)})")
        path = paths.data("export") / f"{target}.yaml"
    tree, source = read_yaml(path, UsageError)
    return path.stem, validate(Target, tree, source, UsageError)


def export(
    model: str | Path,
    out: Path | None = None,
    target: str | Path = "onnx",
    calibrate: str | Path | None = None,
    pixels: bool = False,
    runtime: Path | None = None,
) -> Path:
    """Writes an exported model folder and gives its path: ``model.onnx``, or one file for each direction.

    Batch, height and width stay free; of a model that draws pictures, the batch alone. Batch norms by the picture's own
    statistics stay what they are, those by learned statistics are folded into the convolutions. Dropout as noise cannot
    be seeded in ONNX: it is left out, and said so.
    What was compared and found is in ``read_info(folder).export``.

    Args:
        model: a run, a model folder, or the name of one.
        out: the new folder; by default beside the run's models, or beside the model folder, named after the target.
        target: a file of ``export/``, or the path of one's own.
        calibrate: for 8 bits: a data set, or a folder of pictures as the model will be given; by default its own data.
            A model that draws pictures needs none: what it draws from is known.
        pixels: raw pixels in and out, uint8 [N, H, W, C] of any size, whatever the target says.
        runtime: for a page in browsers: the folder of the npm package onnxruntime-web, if it is not found, see ``web``.

    Raises:
        ModelError: no such model; the exported one differs from torch by more than the target allows (nothing is kept
            then, and the worst layer is named); ``out`` holds something that an export must not replace.
        DataError: no pictures to calibrate with.
        MissingExtra: onnx or onnxscript is not installed.
        UsageError: no such target, or pictures or a runtime for one that needs none.
        FetchError: the browser's runtime could not be had.
    """
    name, wanted = load_target(target)
    if pixels and not wanted.pixels:
        name, wanted = f"{name}-pixels", wanted.model_copy(update={"pixels": True})
    if calibrate is not None and wanted.precision != "int8":
        raise UsageError(f"the target {name} needs no pictures to calibrate with: leave them out")
    if runtime is not None and not wanted.runtime:
        raise UsageError(f"the target {name} writes no page for browsers: leave the runtime out")
    for package in ("onnx", "onnxscript"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(package, "export")
    source = models.find(model)
    info = read_info(source)
    if info.export:
        raise ModelError(f"{source}: is an exported model: export the one it was made from")
    if info.sampler:
        exporting_sampler.check(source, name, wanted, calibrate)
    elif not info.products:
        raise ModelError(f"{source}: holds a classifier only, nothing that translates pictures")
    if wanted.pixels and any(p.masked for p in info.products.values()):
        raise UsageError(
            f"{source}: fills holes: raw pixels have no place for its mask, choose another target than {name}"
        )
    out = _place(source, name) if out is None else Path(out)
    if is_model(out) and not read_info(out).export:
        raise ModelError(f"{out}: holds a trained model: choose another place for the exported one")
    found = web.runtime(wanted.runtime, runtime) if wanted.runtime else None

    def fill(fresh: Path) -> Info:
        if info.sampler:
            return exporting_sampler.fill(fresh, source, info, info.sampler, name, wanted)
        if found is None:
            shutil.copyfile(paths.data("export") / "Dockerfile", fresh / "Dockerfile")
        else:
            web.write_page(fresh, found)
        return _fill(fresh, source, info, name, wanted, calibrate)

    write_whole(out, fill, readme)
    return out


def _place(source: Path, name: str) -> Path:
    inside_a_run = source.name in (models.BEST, models.LATEST)
    return source.with_name(name if inside_a_run else f"{source.name}-{name}")


def _fill(fresh: Path, source: Path, info: Info, name: str, target: Target, calibrate: str | Path | None) -> Info:
    """Writes the file of each product, compares it, and describes the whole."""
    from i2i import pixels, precision  # they import onnx

    single = len(info.products) == 1
    products = {
        key: product.model_copy(update={"file": "model.onnx" if single else f"{key}.onnx"})
        for key, product in info.products.items()
    }
    exported = info.model_copy(update={
        "i2i": __version__,
        "products": products,
        "inference": info.inference.model_copy(update={"dropout": False}),
    })  # fmt: skip
    enlarging = max(p.scale for p in products.values())  # its input is that much smaller than what it learned from
    height, width = (max(1, side // enlarging) for side in info.size)
    multiple = math.lcm(*(p.multiple for p in products.values()))
    compared = parity.sizes((height, width), multiple)
    shown = pixels.sizes(multiple) if target.pixels else ()
    proofs, footprints, calibrated = {}, {}, 0
    for key, product in products.items():
        channels = product.inputs
        given: parity.Given = parity.with_holes(parity.pictures) if product.masked else parity.pictures
        used = Used(load_net(source, info, key), exported.inference)
        footprints[key] = Footprint(
            per_pixel=frozen.per_pixel(used.net, channels, product.multiple), statistics=frozen.sees_whole(used.net),
            reach=frozen.reach(used.net.config),
        )  # fmt: skip
        noted = to_onnx(used.net, target.opset, channels, product.multiple)
        if target.precision == "fp16":
            noted = precision.halved(noted)
        elif target.precision == "int8":
            samples = _samples(calibrate, info, key)
            ranges = samples.calibrating(target.calibrate, compared[0])
            noted = precision.quantised(noted, [(x,) for x in ranges])
            given, calibrated = samples.held_out, len(ranges)
        path = fresh / product.file
        path.write_bytes(anonymous(noted).SerializeToString(deterministic=True))
        engine = OnnxEngine(fresh, exported, key, device="cpu")
        found = parity.compare(used, engine.run, channels, compared, given=given)
        if not target.allows(found):
            number, height, width = found.worst
            layer = parity.worst_layer(used.net, noted, given(number, channels, (height, width)))
            where = f"{number} x {height}x{width}"
            raise ModelError(f"{source}: {key}: {target.refusal(found, where, name)}{layer}; nothing was kept")
        proof = Proof(max=found.max, mean=found.mean, psnr=found.psnr, bytes=path.stat().st_size)
        if target.pixels:
            seen = _take_pixels(path, noted, Translator(engine, exported, key), shown)
            if seen.max > 1:
                differ = f"raw pixels give pictures that differ by {seen.max} of 255 levels from those of i2i translate"
                raise ModelError(f"{source}: {key}: {differ}; nothing was kept")
            proof = proof.model_copy(
                update={"levels": seen.max, "differing": seen.differing, "bytes": path.stat().st_size}
            )
        proofs[key] = proof
    facts = Export(
        target=name, opset=target.opset, precision=target.precision, tolerance=target.tolerance, sizes=compared,
        batches=parity.BATCHES, pixels=target.pixels, picture_sizes=shown, page=bool(target.runtime),
        calibrated=calibrated, noise_removed=info.inference.dropout, proofs=proofs, tiles=footprints,
        torch=torch.__version__,
    )  # fmt: skip
    return exported.model_copy(update={"export": facts})


def _take_pixels(path: Path, noted: ModelProto, translate: Translator, shown: tuple[parity.Size, ...]) -> Levels:
    """Puts the file that takes raw pixels in the place of the one that ``translate`` has read, and compares them."""
    from i2i import pixels

    product = translate.product
    wrapped = pixels.wrapped(noted, product.multiple, product.scale)
    path.write_bytes(anonymous(wrapped).SerializeToString(deterministic=True))
    return pixels.compare(translate, path, product.channels[0], shown)


def _samples(calibrate: str | Path | None, info: Info, product: str) -> Samples:
    from i2i import calibration  # imports what training reads pictures with

    if calibrate is not None:
        return calibration.Samples(calibrate, info, product)
    try:
        return calibration.Samples(info.dataset, info, product)
    except DataError as e:
        raise DataError(f"{e} (to calibrate with other pictures: --calibrate FOLDER)") from e

"""The ONNX engine: an exported model becomes a function on arrays. Needs onnxruntime and no torch."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from i2i import paths, tiles
from i2i.errors import DataError, ModelError, UsageError, did_you_mean
from i2i.folder import Info
from i2i.processes import cores, own_gpu

PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
"""What can run a network, best first: the word for ``device`` -> onnxruntime's name."""

SILENT, WARNINGS = 4, 2  # of onnxruntime's log: fatal errors only; its default


class OnnxEngine:
    """Runs one product of an exported model folder.

    A file that takes raw pixels is given values rounded to the 255 levels of pictures, and answers in such levels.
    ``provider`` is the one of ``PROVIDERS`` that it got, ``why_not`` says for each better one why it is not that.
    ``seed`` has no effect: nothing in an exported model is random.

    Raises:
        ModelError: onnxruntime or the file is missing, the file is damaged or does not fit ``i2i.json``.
        UsageError: no such device, or not on this machine.
    """

    batch = 8

    def __init__(self, folder: Path, info: Info, product: str, device: str = "auto", seed: int | None = None):
        self.path, self.channels = folder / info.products[product].file, info.products[product].channels
        self.inputs = info.products[product].inputs
        self.product, self.footprint = info.products[product], info.export.tiles.get(product) if info.export else None
        self.pixels = info.export is not None and info.export.pixels
        self.session, self.provider, self.why_not = started(self.path, device)
        self._check()

    def __repr__(self) -> str:
        return f"OnnxEngine({self.path.name!r} on {self.provider}{reasons(self.why_not)})"

    def run(self, x: np.ndarray) -> np.ndarray:
        """float32 [N, C, H, W] in [-1, 1] -> [N, C', H * scale, W * scale]; no picture's result depends on the others.

        Raises:
            DataError: the device has too little memory for pictures of this size.
        """
        size = f"{x.shape[3]} x {x.shape[2]} pixels"
        too_many = f"{size} are too many for the memory of {self.provider}: make it smaller (resize)"
        if not self.pixels:
            return answer(self.session, self.path, {self.input: x}, too_many)
        levels = np.rint(np.clip((x + 1) * np.float32(127.5), 0, 255)).transpose(0, 2, 3, 1)
        given = {self.input: np.ascontiguousarray(levels, dtype=np.uint8)}
        return answer(self.session, self.path, given, too_many).transpose(0, 3, 1, 2) / np.float32(127.5) - 1

    def frames(self) -> contextlib.AbstractContextManager[None]:
        """Frames of a clip are run like any pictures: what the file's norms take from each cannot be averaged."""
        return contextlib.nullcontext()

    @property
    def per_pixel(self) -> int:
        """Bytes that ``run`` takes for each pixel of a picture; 0: the export does not say."""
        return self.footprint.per_pixel if self.footprint else 0

    def free(self) -> None:
        """onnxruntime does not say how much of a GPU's memory is free."""

    def tiled(self, picture: tiles.Padded, room: int, way: tiles.Way) -> Iterator[np.ndarray]:
        """The answer to one picture, from its first row to its last: float32 [rows, W * scale, C'].

        Raises:
            DataError: ``room`` is too little.
            UsageError: there would be seams: norms take statistics from the whole picture, or, unless ``way`` is fast,
                the network looks farther than tiles can share.
        """
        product, said = self.product, self.footprint
        if said is None or said.statistics:
            raise UsageError(
                f"{self.path}: its norms take statistics from the whole picture, which an exported model cannot gather "
                "from tiles: allow more memory, or take the model that was exported (it needs torch)"
            )
        plan = tiles.cut(picture, room, said.per_pixel, product.multiple, product.scale, said.reach)
        if plan.reach > plan.margin and way == "exact":
            raise UsageError(
                f"{self.path}: looks farther than tiles of {plan.side} pixels can share: allow more memory, take fast "
                "tiles, which are blended, or the model that was exported (it needs torch)"
            )
        return tiles.blended(self.run, picture, plan, product.scale)

    def _check(self) -> None:
        """Whether the file takes and gives what ``i2i.json`` says."""
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        kind, axis = ("uint8", 3) if self.pixels else ("float", 1)
        found = [(v.type, len(v.shape), v.shape[axis] if len(v.shape) == 4 else None) for v in (*inputs, *outputs)]
        if found != [(f"tensor({kind})", 4, channels) for channels in (self.inputs, self.channels[1])]:
            raise ModelError(
                f"{self.path}: does not fit i2i.json: one input and one output of {self.inputs} and "
                f"{self.channels[1]} channels in {kind} are expected, it has {kinds(inputs)} and {kinds(outputs)}"
            )
        self.input, self.output = inputs[0].name, outputs[0].name


def started(path: Path, device: str) -> tuple[Any, str, dict[str, str]]:
    """A session for the file on ``device``, its provider, and why it is none of the better ones.

    Raises:
        ModelError: onnxruntime or the file is missing, or the file is damaged.
        UsageError: no such device, or not on this machine.
    """
    if not path.is_file():
        raise ModelError(f"{path.parent}: {path.name} is missing")
    tries, number, why_not = choose(device)
    for provider in tries:
        session = open_session(path, provider, number)
        if session.get_providers()[0] == PROVIDERS[provider]:
            return session, provider, why_not
        why_not[provider] = "onnxruntime could not start it: its libraries are missing or do not fit"
    raise UsageError(f"device {device!r} cannot be used here: {why_not[tries[-1]]}")


def answer(session: Any, path: Path, given: dict[str, np.ndarray], too_many: str) -> np.ndarray:
    """The one output of a session.

    Raises:
        DataError: too little memory, which ``too_many`` says in words.
        ModelError: whatever else onnxruntime complains about.
    """
    try:
        return session.run(None, given)[0]
    except Exception as e:
        if not _is_onnxruntimes(e):
            raise
        said = _line(e)
        if any(words in said for words in ("allocate memory", "bad_alloc", "out of memory", "OUT_OF_MEMORY")):
            raise DataError(too_many) from e
        shapes = " and ".join(str(list(x.shape)) for x in given.values())
        raise ModelError(f"{path}: onnxruntime cannot run it on {shapes}: {said}") from e


def choose(device: str) -> tuple[list[str], int, dict[str, str]]:
    """Which providers to try for ``device``, best first; the number of the GPU; why better ones are out of question.

    ``auto`` is the best that works; otherwise a word of ``PROVIDERS``, or ``cuda:1``; ``mps`` is CoreML. Of several
    processes each has a GPU of its own.

    Raises:
        UsageError: no such device, or not on this machine.
    """
    name, _, number = device.lower().partition(":")
    name = {"mps": "coreml", "gpu": "cuda"}.get(name, name)
    why_not = prospects()
    if name == "auto":
        works = [n for n, why in why_not.items() if not why]
        return works, own_gpu(_nvidia_gpus()), {n: why for n, why in why_not.items() if why}
    if name not in PROVIDERS or not (number or "0").isdecimal():
        known = ("auto", *PROVIDERS, "cuda:1")
        raise UsageError(f"device {device!r} is not known{did_you_mean(device, known)} (one of {', '.join(known)})")
    if why_not[name]:
        raise UsageError(f"device {device!r} cannot be used here: {why_not[name]}")
    return [name], int(number) if number else own_gpu(_nvidia_gpus()), {}


def prospects() -> dict[str, str]:
    """Each provider, best first, and why it is of no use here; an empty text: worth a try.

    onnxruntime lists what it was built with. Asking for CUDA where no GPU is costs time and noise: looked up before.
    """
    built = _onnxruntime().get_available_providers()
    gpus = _nvidia_gpus() if PROVIDERS["cuda"] in built else 0

    def why_not(name: str) -> str:
        if PROVIDERS[name] not in built:
            return "this onnxruntime was built without it"
        if name in ("tensorrt", "cuda") and not gpus:
            return "no NVIDIA GPU answers"
        if name == "tensorrt" and not _has_tensorrt():
            return "the TensorRT libraries are not installed"
        return ""

    return {name: why_not(name) for name in PROVIDERS}


def reasons(why_not: dict[str, str]) -> str:
    """``; not tensorrt, cuda (no NVIDIA GPU answers)``, for each reason."""
    groups: dict[str, list[str]] = {}
    for name, why in why_not.items():
        groups.setdefault(why, []).append(name)
    return "".join(f"; not {', '.join(names)} ({why})" for why, names in groups.items())


def threads() -> int:
    """Of a CPU session: ``$OMP_NUM_THREADS``, else the cores that this process may use; 0 is all there are."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    allowed = cores()
    return allowed if allowed < (os.cpu_count() or 1) else 0  # 0: one thread for each physical core


def open_session(path: Path, provider: str, number: int) -> Any:
    """An onnxruntime session for the file, on that provider and GPU.

    Raises:
        ModelError: the file is damaged, or onnxruntime is missing or too old for it.
    """
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = SILENT  # what goes wrong is raised as well
    options.intra_op_num_threads = threads()
    if provider == "directml":  # it works with neither
        options.enable_mem_pattern, options.execution_mode = False, ort.ExecutionMode.ORT_SEQUENTIAL
    wanted: list[Any] = [(PROVIDERS[provider], _settings(provider, number)), PROVIDERS["cpu"]]
    if provider == "tensorrt":  # for the layers that it leaves out
        wanted.insert(1, (PROVIDERS["cuda"], _settings("cuda", number)))
    try:
        with _quiet(ort) if provider != "cpu" else contextlib.nullcontext():
            if provider in ("tensorrt", "cuda") and hasattr(ort, "preload_dlls"):
                ort.preload_dlls()  # those that came with torch or as packages
            return ort.InferenceSession(path, options, providers=wanted if provider != "cpu" else wanted[1:])
    except Exception as e:
        if not _is_onnxruntimes(e):
            raise
        raise ModelError(f"{path}: damaged, or not for this onnxruntime ({ort.__version__}): {_line(e)}") from e


def _settings(provider: str, number: int) -> dict[str, str]:
    """No search for the fastest convolution: it would start anew for each picture size. TensorRT's engines are kept."""
    if provider == "tensorrt":
        kept = paths.cache() / "tensorrt"
        kept.mkdir(parents=True, exist_ok=True)
        return {"device_id": str(number), "trt_engine_cache_enable": "1", "trt_engine_cache_path": str(kept)}
    if provider == "cuda":
        return {"device_id": str(number), "cudnn_conv_algo_search": "HEURISTIC"}
    return {"device_id": str(number)} if provider == "directml" else {}


@contextlib.contextmanager
def _quiet(ort: Any) -> Iterator[None]:
    """A provider that does not start is told in ``why_not``, not in pages on the terminal."""
    ort.set_default_logger_severity(SILENT)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        ort.set_default_logger_severity(WARNINGS)


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as e:
        raise ModelError(f"exported models need onnxruntime: pip install --force-reinstall onnxruntime ({e})") from e
    return onnxruntime


def _nvidia_gpus() -> int:
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        number = ctypes.c_int()
        return 0 if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(number)) else number.value
    except (OSError, AttributeError):
        return 0


def _has_tensorrt() -> bool:
    try:
        ctypes.CDLL("nvinfer_10.dll" if sys.platform == "win32" else "libnvinfer.so.10")
    except OSError:
        return False
    return True


def kinds(values: Any) -> str:
    """Shapes and types of inputs or outputs of a session, in words."""
    return ", ".join(f"{v.shape} in {v.type.removeprefix('tensor(').removesuffix(')')}" for v in values)


def _is_onnxruntimes(e: Exception) -> bool:
    return type(e).__module__.startswith("onnxruntime")


def _line(e: Exception) -> str:
    """What onnxruntime says, without its codes and the path of the file."""
    return " ".join(str(e).split()).rsplit(" : ", 1)[-1].rsplit(" failed:", 1)[-1]

"""Which part of onnxruntime runs an exported network on this machine, and sessions on it. Needs no torch."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from i2i import paths
from i2i.errors import ModelError, UsageError, did_you_mean
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

GRAPHS = "cuda-graphs"
"""One more word for ``device``: CUDA, which records what each size needs and replays it. By no means the best for
pictures of many sizes, so that it has to be asked for."""

SILENT, WARNINGS = 4, 2  # of onnxruntime's log: fatal errors only; its default


def choose(device: str) -> tuple[list[str], int, dict[str, str]]:
    """Which providers to try for ``device``, best first; the number of the GPU; why better ones are out of question.

    ``auto`` is the best that works; otherwise a word of ``PROVIDERS`` or ``GRAPHS``, or ``cuda:1``; ``mps`` is CoreML.
    Of several processes each has a GPU of its own.

    Raises:
        UsageError: no such device, or not on this machine.
    """
    name, _, number = device.lower().partition(":")
    name = {"mps": "coreml", "gpu": "cuda"}.get(name, name)
    why_not = prospects()
    if name == "auto":
        works = [n for n, why in why_not.items() if not why]
        return works, own_gpu(_nvidia_gpus()), {n: why for n, why in why_not.items() if why}
    if name not in (*PROVIDERS, GRAPHS) or not (number or "0").isdecimal():
        words = ("auto", *PROVIDERS, "cuda:1", GRAPHS)
        raise UsageError(f"device {device!r} is not known{did_you_mean(device, words)} (one of {', '.join(words)})")
    if why := why_not["cuda" if name == GRAPHS else name]:
        raise UsageError(f"device {device!r} cannot be used here: {why}")
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
        UsageError: CUDA graphs, and not all layers of this network can be recorded; TensorRT, and the folder of caches
            cannot be written.
    """
    ort = _onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = SILENT  # what goes wrong is raised as well
    options.intra_op_num_threads = threads()
    if provider == "directml":  # it works with neither
        options.enable_mem_pattern, options.execution_mode = False, ort.ExecutionMode.ORT_SEQUENTIAL
    wanted: list[Any] = [(known(provider), _settings(provider, number)), PROVIDERS["cpu"]]
    if provider == "tensorrt":  # for the layers that it leaves out
        wanted.insert(1, (PROVIDERS["cuda"], _settings("cuda", number)))
    try:
        with _quiet(ort) if provider != "cpu" else contextlib.nullcontext():
            if provider in ("tensorrt", "cuda", GRAPHS) and hasattr(ort, "preload_dlls"):
                ort.preload_dlls()  # those that came with torch or as packages
            return ort.InferenceSession(path, options, providers=wanted if provider != "cpu" else wanted[1:])
    except Exception as e:
        if not is_onnxruntimes(e):
            raise
        if provider == GRAPHS:  # a layer that is left to the CPU cannot be in a graph
            raise UsageError(f"device {GRAPHS!r}: onnxruntime cannot record {path} ({line(e)}): take cuda") from e
        raise ModelError(f"{path}: damaged, or not for this onnxruntime ({ort.__version__}): {line(e)}") from e


def known(provider: str) -> str:
    """onnxruntime's name for it."""
    return PROVIDERS["cuda" if provider == GRAPHS else provider]


def _settings(provider: str, number: int) -> dict[str, str]:
    """No search for the fastest convolution: it would start anew for each picture size. TensorRT's engines are kept.

    Raises:
        UsageError: the folder of caches cannot be written, where TensorRT's engines are kept.
    """
    if provider == "tensorrt":
        kept = paths.cache() / "tensorrt"
        try:
            kept.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise UsageError(f"{kept}: cannot be made ({e.strerror or e}): set I2I_CACHE to another folder") from e
        return {"device_id": str(number), "trt_engine_cache_enable": "1", "trt_engine_cache_path": str(kept)}
    if provider in ("cuda", GRAPHS):
        graphs = {"enable_cuda_graph": "1"} if provider == GRAPHS else {}
        return {"device_id": str(number), "cudnn_conv_algo_search": "HEURISTIC", **graphs}
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


def is_onnxruntimes(e: Exception) -> bool:
    return type(e).__module__.startswith("onnxruntime")


def line(e: Exception) -> str:
    """What onnxruntime says, without its codes and the path of the file."""
    return " ".join(str(e).split()).rsplit(" : ", 1)[-1].rsplit(" failed:", 1)[-1]

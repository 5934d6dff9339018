"""The ONNX engine by itself: which provider it takes and why, and what is said when it cannot."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import i2i
from i2i import folder, paths, processes, providers, run_onnx
from i2i.bound import RECORDED, Bound
from i2i.errors import DataError, ModelError, UsageError
from i2i.providers import PROVIDERS
from i2i.run_onnx import OnnxEngine

ROOT = Path(__file__).parent.parent
PRODUCT = folder.Product(source="dark", target="light", generator={}, multiple=4, file="model.onnx")


def negative(path: Path, channels: int = 3) -> None:
    """A network that knows one thing: the negative."""
    shape = ["batch", channels, "height", "width"]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "output")]
    graph = helper.make_graph([helper.make_node("Neg", ["input"], ["output"])], "negative", value[:1], value[1:])
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=helper.find_min_ir_version_for(opsets)), path)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An exported model folder, written by hand: no torch is waited for."""
    info = folder.Info(
        name="negative", method="none", dataset="none", size=(8, 8), images=0, products={"a2b": PRODUCT}, default="a2b",
        inference=folder.Inference(norm="running", dropout=False),
    )  # fmt: skip

    def fill(fresh: Path) -> folder.Info:
        negative(fresh / "model.onnx")
        return info

    folder.write_whole(tmp_path / "m", fill)
    return tmp_path / "m"


def engine(model: Path, **options) -> OnnxEngine:
    return OnnxEngine(model, folder.read_info(model), "a2b", **options)


def pretend(monkeypatch: pytest.MonkeyPatch, *built: str, gpus: int = 0, tensorrt: bool = False) -> None:
    """What onnxruntime was built with, and what the machine has."""
    names = [PROVIDERS[name] for name in built]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    monkeypatch.setattr(providers, "_nvidia_gpus", lambda: gpus)
    monkeypatch.setattr(providers, "_has_tensorrt", lambda: tensorrt)


# ---------------------------------------------------------------- pictures


def test_a_picture_of_any_size_through_the_translator(model):
    pixels = np.random.default_rng(0).integers(0, 256, (13, 30, 4), dtype=np.uint8)
    result = i2i.load(model)(pixels)
    assert np.array_equal(result[..., 3], pixels[..., 3])
    shown = np.where(pixels[..., 3:], pixels[..., :3], 255)
    assert np.array_equal(result[..., :3], 255 - shown)
    assert [r.shape for r in i2i.load(model)([pixels, pixels[:5]])] == [(13, 30, 4), (5, 30, 4)]


def test_it_needs_neither_torch_nor_onnx_and_keeps_quiet(model):
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'safetensors', 'onnx'): sys.modules[name] = None\n"
        "import numpy as np, i2i\n"
        f"print(i2i.load({str(model)!r})(np.full((4, 4, 3), 55, np.uint8)).max())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr, done.returncode) == ("200\n", "", 0)


# ---------------------------------------------------------------- providers


def test_here_it_says_what_it_got_and_why(model):
    got = engine(model)
    better = list(PROVIDERS)[: list(PROVIDERS).index(got.provider)]
    assert set(better) <= set(got.why_not)
    assert all(got.why_not.values())
    assert repr(got) == f"OnnxEngine('model.onnx' on {got.provider}{providers.reasons(got.why_not)})"


@pytest.mark.parametrize(
    ("built", "gpus", "tensorrt", "expected"),
    [
        (("cpu",), 1, True, ["cpu"]),
        (("cpu", "cuda", "tensorrt"), 0, True, ["cpu"]),
        (("cpu", "cuda", "tensorrt"), 1, False, ["cuda", "cpu"]),
        (("cpu", "cuda", "tensorrt"), 2, True, ["tensorrt", "cuda", "cpu"]),
        (("cpu", "openvino"), 0, False, ["openvino", "cpu"]),
        (("coreml", "cpu"), 0, False, ["coreml", "cpu"]),
        (("directml", "cpu"), 0, False, ["directml", "cpu"]),
    ],
)
def test_the_best_that_is_there_comes_first(monkeypatch, built, gpus, tensorrt, expected):
    pretend(monkeypatch, *built, gpus=gpus, tensorrt=tensorrt)
    tries, number, why_not = providers.choose("auto")
    assert (tries, number) == (expected, 0)
    assert set(tries) | set(why_not) == set(PROVIDERS)


def test_the_reasons(monkeypatch):
    pretend(monkeypatch, "cpu", "cuda", "tensorrt", gpus=1)
    _, _, why_not = providers.choose("auto")
    assert why_not["tensorrt"] == "the TensorRT libraries are not installed"
    assert providers.reasons(why_not) == (
        "; not tensorrt (the TensorRT libraries are not installed)"
        "; not openvino, coreml, directml (this onnxruntime was built without it)"
    )


def test_a_device_that_is_wished_for(monkeypatch):
    pretend(monkeypatch, "cpu", "cuda", "coreml", gpus=2)
    assert providers.choose("cuda:1") == (["cuda"], 1, {})
    assert providers.choose("CPU") == (["cpu"], 0, {})
    assert providers.choose("mps")[0] == ["coreml"]
    pretend(monkeypatch, "cpu", "cuda")
    for device, message in (
        ("cuda", "device 'cuda' cannot be used here: no NVIDIA GPU answers"),
        ("openvino", "device 'openvino' cannot be used here: this onnxruntime was built without it"),
        ("coda", "device 'coda' is not known; did you mean 'cuda'? (one of auto, tensorrt, cuda, "),
        ("cuda:x", "device 'cuda:x' is not known; did you mean 'cuda"),
    ):
        with pytest.raises(UsageError) as e:
            providers.choose(device)
        assert str(e.value).startswith(message)


class Session:
    """As much of a session as is looked at."""

    def __init__(self, session, provider):
        self.session, self.provider = session, provider

    def __getattr__(self, name):
        return getattr(self.session, name)

    def get_providers(self):
        return [PROVIDERS[self.provider], PROVIDERS["cpu"]]


def test_a_provider_that_does_not_start_gives_way_to_the_next(model, monkeypatch):
    pretend(monkeypatch, "cpu", "cuda", "tensorrt", gpus=1, tensorrt=True)
    original, asked = run_onnx.open_session, []

    def session(path, provider, number):
        asked.append((provider, number))
        return Session(original(path, "cpu", 0), "cuda" if provider == "tensorrt" else provider)

    monkeypatch.setattr(run_onnx, "open_session", session)
    got = engine(model)
    assert asked == [("tensorrt", 0), ("cuda", 0)]
    assert got.provider == "cuda"
    assert got.why_not["tensorrt"] == "onnxruntime could not start it: its libraries are missing or do not fit"


@pytest.mark.skipif(PROVIDERS["cuda"] not in onnxruntime.get_available_providers(), reason="built without CUDA")
@pytest.mark.skipif(providers._nvidia_gpus() > 0, reason="has a GPU")
def test_cuda_without_a_gpu_falls_back_in_silence(model, monkeypatch, capfd):
    monkeypatch.setattr(providers, "_nvidia_gpus", lambda: 1)
    monkeypatch.setattr(providers, "_has_tensorrt", lambda: True)
    got = engine(model)
    assert got.provider == "cpu"
    assert {"tensorrt", "cuda"} <= set(got.why_not)
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UsageError, match="device 'cuda' cannot be used here: onnxruntime could not start it"):
        engine(model, device="cuda")


@pytest.mark.parametrize(
    ("wanted", "allowed", "cores", "expected"),
    [("3", 8, 8, 3), ("", 8, 8, 0), ("", 2, 8, 2), ("0", 8, 8, 0), ("many", 1, 4, 1)],
)
def test_threads(monkeypatch, wanted, allowed, cores, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    monkeypatch.setattr(providers.os, "sched_getaffinity", lambda pid: set(range(allowed)), raising=False)
    monkeypatch.setattr(providers.os, "cpu_count", lambda: cores)
    monkeypatch.setattr(processes, "quota", lambda: None)
    assert providers.threads() == expected


# ---------------------------------------------------------------- on a GPU: what is asked, not run on one


def asked_of(monkeypatch, model: Path, provider: str, refusal: Exception | None = None) -> list:
    """The providers that a session is opened with, and their settings."""
    asked = []

    def session(path, options, providers):
        asked.extend(providers)
        if refusal:
            raise refusal
        return None

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    providers.open_session(model / "model.onnx", provider, 1)
    return asked


def test_settings_of_gpus(model, monkeypatch):
    cuda = {"device_id": "1", "cudnn_conv_algo_search": "HEURISTIC"}
    kept = paths.cache() / "tensorrt"
    engines = {"device_id": "1", "trt_engine_cache_enable": "1", "trt_engine_cache_path": str(kept)}
    cpu = PROVIDERS["cpu"]
    assert asked_of(monkeypatch, model, "cuda") == [(PROVIDERS["cuda"], cuda), cpu]
    recorded = (PROVIDERS["cuda"], {**cuda, "enable_cuda_graph": "1"})
    assert asked_of(monkeypatch, model, providers.GRAPHS) == [recorded, cpu]
    assert not kept.exists()
    expected = [(PROVIDERS["tensorrt"], engines), (PROVIDERS["cuda"], cuda), cpu]
    assert asked_of(monkeypatch, model, "tensorrt") == expected
    assert kept.is_dir()
    assert asked_of(monkeypatch, model, "cpu") == [cpu]


def test_tensorrt_needs_a_place_for_its_engines(model, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("I2I_CACHE", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"tensorrt: cannot be made \(.*\): set I2I_CACHE to another folder"):
        asked_of(monkeypatch, model, "tensorrt")


def test_graphs_have_to_be_asked_for_and_need_a_gpu(monkeypatch):
    pretend(monkeypatch, "cpu", "cuda", "tensorrt", gpus=2, tensorrt=True)
    assert providers.GRAPHS not in providers.choose("auto")[0]
    assert providers.choose("cuda-graphs:1") == (["cuda-graphs"], 1, {})
    pretend(monkeypatch, "cpu", "cuda")
    with pytest.raises(UsageError, match="device 'cuda-graphs' cannot be used here: no NVIDIA GPU answers"):
        providers.choose("cuda-graphs")


def test_a_network_that_cannot_be_recorded(model, monkeypatch):
    class Fail(Exception):
        __module__ = "onnxruntime.capi"

    with pytest.raises(UsageError, match=r"^device 'cuda-graphs': onnxruntime cannot record .*model.onnx \(no\): take"):
        asked_of(monkeypatch, model, providers.GRAPHS, Fail("[ONNXRuntimeError] : 1 : FAIL : no"))
    with pytest.raises(ModelError, match=r"model.onnx: damaged, or not for this onnxruntime \(.*\): no$"):
        asked_of(monkeypatch, model, "cuda", Fail("[ONNXRuntimeError] : 1 : FAIL : no"))


@pytest.mark.parametrize("got", ["tensorrt", "cuda", "cuda-graphs", "openvino", "directml"])
def test_the_memory_of_a_gpu_is_bound(model, monkeypatch, got):
    pretend(monkeypatch, *PROVIDERS, gpus=2, tensorrt=True)
    original = run_onnx.open_session
    shown = "cuda" if got == providers.GRAPHS else got
    monkeypatch.setattr(run_onnx, "open_session", lambda path, *_: Session(original(path, "cpu", 0), shown))
    made = engine(model, device=got if got in ("openvino", "directml") else f"{got}:1")
    assert made.provider == got
    if got in ("openvino", "directml"):
        assert made.bound is None
    else:
        assert (made.bound.where, made.bound.graphs) == (("cuda", 1), got == providers.GRAPHS)


class Watched:
    """A session on the CPU that notes the number of the graph of each run."""

    def __init__(self, session):
        self.session, self.graphs = session, []

    def __getattr__(self, name):
        return getattr(self.session, name)

    def run_with_iobinding(self, binding, options):
        number = -1
        with contextlib.suppress(RuntimeError):  # the option is not set
            number = options.get_run_config_entry("gpu_graph_id")
        self.graphs.append(number)
        self.session.run_with_iobinding(binding, options)


def ramp(height: int, width: int, number: int = 1) -> np.ndarray:
    return np.linspace(-1, 1, 3 * number * height * width, dtype=np.float32).reshape(number, 3, height, width)


def test_bound_buffers_give_the_same_answers_and_are_kept(model):
    """On the CPU, where the same calls work on its memory."""
    got = engine(model, device="cpu")
    assert got.bound is None
    got.bound = Bound(Watched(got.session), "cpu")
    first = got.run(ramp(8, 12))
    place = got.bound.last[((1, 3, 8, 12),)]
    again = got.run(-ramp(8, 12))
    assert got.bound.last[((1, 3, 8, 12),)] is place
    assert np.array_equal(first, -ramp(8, 12))  # an answer is not overwritten by the next
    assert np.array_equal(again, ramp(8, 12))
    turned = ramp(12, 8).transpose(0, 1, 3, 2)  # its memory is not in the order of its axes
    assert np.array_equal(got.run(turned), -turned)
    assert np.array_equal(got.run(ramp(4, 4, 3)), -ramp(4, 4, 3))
    assert list(got.bound.last) == [((3, 3, 4, 4),)]
    assert got.bound.session.graphs == [-1, -1, -1, -1]


def test_the_first_sizes_are_recorded_and_no_others(model):
    got = engine(model, device="cpu")
    got.bound = Bound(Watched(got.session), "cpu", graphs=True)
    for side in range(4, 4 * (RECORDED + 3), 4):
        assert np.array_equal(got.run(ramp(side, 4)), -ramp(side, 4))
    assert got.bound.session.graphs == [*map(str, range(1, RECORDED + 1)), "-1", "-1"]
    assert len(got.bound.recorded) == RECORDED
    place = got.bound.recorded[((1, 3, 8, 4),)]
    got.bound.session.graphs.clear()
    got.run(ramp(8, 4))
    assert got.bound.session.graphs == ["2"]
    assert got.bound.recorded[((1, 3, 8, 4),)] is place


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("std::bad_alloc"),  # as raised on a CPU
        RuntimeError("bfc_arena.cc:359 AllocateRawInternal Failed to allocate memory for requested buffer of size 9"),
    ],
)
def test_too_little_memory_for_buffers(model, monkeypatch, error):
    got = engine(model, device="cpu")
    got.bound = Bound(got.session, "cpu")

    def full(*_):
        raise error

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", full)
    with pytest.raises(DataError, match="16 x 8 pixels are too many for the memory of cpu"):
        got.run(ramp(8, 16))


# ---------------------------------------------------------------- what goes wrong


def message(model: Path) -> str:
    with pytest.raises(ModelError) as e:
        i2i.load(model)
    assert "\n" not in str(e.value)
    return str(e.value).replace(str(model), "m")


def test_missing_and_damaged_files(model):
    file = model / "model.onnx"
    file.write_bytes(file.read_bytes()[:-20])
    assert message(model).startswith("m/model.onnx: damaged, or not for this onnxruntime (")
    file.write_bytes(b"")
    assert message(model).startswith("m/model.onnx: damaged, or not for this onnxruntime (")
    file.write_bytes(b"no network at all")
    assert message(model).endswith(": Protobuf parsing failed.")
    file.unlink()
    assert message(model) == "m: model.onnx is missing"


def test_a_file_that_does_not_fit_its_description(model):
    negative(model / "model.onnx", channels=1)
    assert message(model).startswith(
        "m/model.onnx: does not fit i2i.json: one input and one output of 3 and 3 channels"
    )


def test_a_file_outside_of_the_folder_is_not_read(model):
    path = model / "i2i.json"
    path.write_text(path.read_text().replace('"model.onnx"', '"../model.onnx"'))
    assert message(model).startswith("m/i2i.json: products.a2b.file: ")


def test_without_onnxruntime_it_says_what_to_install(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert message(model).startswith("exported models need onnxruntime: pip install")


def test_too_little_memory_and_other_failures(model):
    class Fail(Exception):
        __module__ = "onnxruntime.capi"

    class Failing:
        def __init__(self, text):
            self.text = text

        def run(self, outputs, inputs):
            raise Fail(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {self.text}")

    got = engine(model)
    x = np.zeros((1, 3, 8, 16), np.float32)
    got.session = Failing("Failed to allocate memory for requested buffer of size 9")
    with pytest.raises(
        DataError, match=r"^16 x 8 pixels are too many for the memory of .*: make it smaller \(resize\)$"
    ):
        got.run(x)
    got.session = Failing("the node is tired")
    with pytest.raises(
        ModelError, match=r"model.onnx: onnxruntime cannot run it on \[1, 3, 8, 16\]: the node is tired$"
    ):
        got.run(x)

"""Any picture in, the same kind of picture out; the same pixels however it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from models_for_tests import make_model
from PIL import Image
from safetensors.numpy import load_file, save_file

import i2i
from i2i import folder, nets
from i2i.errors import DataError, MissingExtra, ModelError, UsageError
from i2i.translator import Translator, load, margin, short_side

GRAY = nets.UNetConfig(depth=2, width=4, inputs=1, outputs=1)
NOISY = nets.UNetConfig(depth=6, width=4, dropout=0.5)  # the shallowest with a dropout layer


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


@pytest.fixture(scope="module")
def unet(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "unet"
    make_model(path)
    return path


@pytest.fixture(scope="module")
def gray(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "gray"
    make_model(path, GRAY)
    return path


@pytest.fixture(scope="module")
def noisy(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "noisy"
    make_model(path, NOISY, dropout=True)
    return path


def reference(path: Path, pixels: np.ndarray) -> np.ndarray:
    """By hand: the network as it was saved, on a picture that needs no padding."""
    info = folder.read_info(path)
    net = nets.build(nets.UNetConfig(**info.products["a2b"].generator))
    net.load_state_dict({k[4:]: torch.tensor(v) for k, v in load_file(path / "model.safetensors").items()})
    x = torch.tensor(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        y = net.train()(x)[0].permute(1, 2, 0).numpy()  # batch of one in train mode: statistics of the picture
    return np.rint((y + 1) / 2 * 255).clip(0, 255).astype(np.uint8)


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal, but for single steps where a rounding fell otherwise."""
    return a.shape == b.shape and np.abs(a.astype(int) - b).max() <= 1 and (a != b).mean() < 0.01


# ---------------------------------------------------------------- numbers


def test_a_fitting_picture_goes_through_the_very_network(unet):
    pixels = picture(64, 32)
    result = load(unet)(pixels)
    assert close(result, reference(unet, pixels))
    assert result.std() > 20  # there is something to compare


def test_running_statistics_are_another_result(tmp_path):
    make_model(tmp_path / "running", norm="running")
    make_model(tmp_path / "image", norm="image")
    pixels = picture(32, 32)
    running, image = (load(tmp_path / name)(pixels) for name in ("running", "image"))
    assert close(image, reference(tmp_path / "running", pixels))
    assert not close(running, image)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (17, 31), (31, 17), (64, 63), (65, 64)])
def test_any_size_comes_back_in_its_size(unet, size):
    pixels = picture(*size)
    result = load(unet)(pixels)
    assert result.shape == pixels.shape
    assert result.dtype == np.uint8


@pytest.mark.slow
@pytest.mark.parametrize("side", [255, 256, 257])
def test_sizes_around_the_trained_one(tmp_path, side):
    make_model(tmp_path / "m", nets.UNetConfig(depth=8, width=2))
    assert load(tmp_path / "m")(picture(side, side)).shape == (side, side, 3)


@pytest.mark.parametrize("size", [(1, 1), (5, 9)])
def test_a_residual_network_takes_tiny_pictures_too(tmp_path, size):
    make_model(tmp_path / "m", nets.ResNetConfig(blocks=1, width=4))
    assert load(tmp_path / "m")(picture(*size)).shape == (*size, 3)


def test_padding_is_reflected_and_cropped_where_it_was_added(unet):
    pixels = picture(30, 45)
    padded = np.pad(pixels, ((1, 1), (1, 2), (0, 0)), mode="reflect")
    translate = load(unet)
    assert np.array_equal(translate(pixels), translate(padded)[1:31, 1:46])


def test_margins():
    assert margin((64, 32), 8) == [(0, 0), (0, 0)]
    assert margin((30, 45), 8) == [(1, 1), (1, 2)]
    assert margin((1, 8), 4) == [(3, 4), (0, 0)]  # never less than 8 pixels
    assert margin((257, 256), 256) == [(127, 128), (0, 0)]


def test_resize_works_smaller_and_gives_back_the_size(unet):
    pixels = np.asarray(Image.fromarray(picture(8, 12)).resize((120, 80)))
    translate = load(unet)
    result = translate(pixels, resize=40)
    assert result.shape == pixels.shape
    assert not np.array_equal(result, translate(pixels))
    assert short_side((80, 120, 3), 40) == (40, 60)
    assert short_side((1000, 1, 3), 1) == (1000, 1)
    with pytest.raises(UsageError, match="resize=0"):
        translate(pixels, resize=0)


def test_a_larger_output_is_cropped_at_its_own_scale():
    class Doubling:
        batch = 4

        def run(self, x):
            return x.repeat(2, axis=2).repeat(2, axis=3)

    product = folder.Product(source="low", target="high", generator={}, multiple=8, scale=2)
    info = folder.Info(
        name="sr", method="srgan", dataset="x", size=(8, 8), images=1, products={"a2b": product}, default="a2b",
        inference=folder.Inference(norm="running", dropout=False),
    )  # fmt: skip
    pixels = picture(13, 9, 4)
    result = Translator(Doubling(), info, "a2b")(pixels)
    assert np.array_equal(result[..., :3], np.where(pixels[..., 3:], pixels[..., :3], 255).repeat(2, 0).repeat(2, 1))
    assert result.shape == (26, 18, 4)


# ---------------------------------------------------------------- kinds


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("RGB", "RGB"), ("L", "RGB"), ("1", "RGB"), ("P", "RGB"), ("CMYK", "RGB"), ("I;16", "RGB"), ("F", "RGB"),
     ("RGBA", "RGBA"), ("LA", "RGBA"), ("PA", "RGBA")],
)  # fmt: skip
def test_pil_modes_through_a_color_model(unet, mode, expected):
    image = Image.fromarray(picture(9, 12)).convert("RGBA" if mode == "PA" else "RGB")
    image = (
        Image.fromarray(picture(9, 12, 1)[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    )
    result = load(unet)(image)
    assert (result.mode, result.size) == (expected, (12, 9))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("L", "L"), ("RGB", "L"), ("LA", "LA"), ("RGBA", "LA"), ("I;16", "I;16"), ("F", "F")],
)
def test_pil_modes_through_a_gray_model(gray, mode, expected):
    image = Image.fromarray(picture(9, 12)).convert("L" if mode == "I;16" else mode)
    image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257) if mode == "I;16" else image
    result = load(gray)(image)
    assert (result.mode, result.size) == (expected, (12, 9))
    if mode == "I;16":  # the same gray, only deeper
        eight = load(gray)(Image.fromarray((np.asarray(image) // 257).astype(np.uint8)))
        assert np.abs(np.asarray(result) / 257 - np.asarray(eight)).max() <= 0.51
        assert len(np.unique(np.asarray(result) % 257)) > 10


def test_alpha_is_put_back_untouched_and_what_it_hides_does_not_matter(unet):
    pixels = picture(16, 16, 4)
    pixels[:4, :, 3], pixels[4:8, :, 3], pixels[8:, :, 3] = 0, 128, 255
    translate = load(unet)
    result = np.asarray(translate(Image.fromarray(pixels)))
    assert np.array_equal(result[..., 3], pixels[..., 3])
    shown = pixels[..., :3].copy()
    shown[:4] = 255
    assert np.array_equal(result[..., :3], translate(shown))  # half-transparent colors go in as they are stored
    assert np.array_equal(translate(pixels), result)  # an array of four channels is the same picture


def test_transparent_color_of_a_palette(unet):
    image = Image.fromarray(picture(9, 12)).quantize(8)
    image.info["transparency"] = 3
    result = load(unet)(image)
    assert result.mode == "RGBA"
    assert set(np.unique(np.asarray(result)[..., 3])) == {0, 255}


def test_orientation_is_applied_to_color_and_alpha(unet, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = picture(8, 16, 4)
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    result = load(unet)(tmp_path / "turned.png")
    assert result.size == (8, 16)
    assert np.array_equal(np.asarray(result)[..., 3], np.rot90(pixels, -1)[..., 3])
    assert np.array_equal(result, load(unet)(np.rot90(pixels, -1).copy()))


def test_arrays_of_all_shapes(unet, gray):
    color, mono = load(unet), load(gray)
    flat = picture(9, 12, 1)[..., 0]
    assert mono(flat).shape == (9, 12)
    assert mono(flat[..., None]).shape == (9, 12, 1)
    assert np.array_equal(mono(flat), mono(flat[..., None])[..., 0])
    assert color(flat).shape == (9, 12, 3)
    assert np.array_equal(color(flat), color(np.stack([flat] * 3, axis=2)))
    assert color(picture(9, 12, 2)).shape == (9, 12, 4)
    assert mono(picture(9, 12)).shape == (9, 12, 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_in_floats_out(unet, dtype):
    pixels = picture(16, 16, 4)
    pixels[..., 3] |= 1
    given = (pixels / 255).astype(dtype)
    result = load(unet)(given)
    assert result.dtype == dtype
    assert result.min() >= 0
    assert result.max() <= 1
    assert np.array_equal(result[..., 3], given[..., 3])
    assert np.abs(result[..., :3].astype(float) * 255 - load(unet)(pixels)[..., :3]).max() < (
        3 if dtype == np.float16 else 0.51
    )


def test_pil_and_path_and_array_are_the_same_pixels(unet, tmp_path):
    pixels = picture(17, 31)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    translate = i2i.load(unet)
    expected = translate(pixels)
    for given in (Image.fromarray(pixels), tmp_path / "x.png", str(tmp_path / "x.png")):
        result = translate(given)
        assert isinstance(result, Image.Image)
        assert np.array_equal(result, expected)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (3, UsageError, "int is no picture: give a path, a PIL image, a NumPy array or a list of them"),
        (np.zeros((2, 3, 4, 5), np.uint8), DataError, "an array [2, 3, 4, 5] is not a picture"),
        (np.zeros((3, 0), np.uint8), DataError, "an array [3, 0] is not a picture"),
        (np.zeros((3, 3, 5), np.uint8), DataError, "an array [3, 3, 5] is not a picture"),
        (
            np.zeros((3, 3), np.int64),
            DataError,
            "an array of int64 is not a picture: uint8 (0 to 255) or float (0 to 1)",
        ),
        (np.full((3, 3), 255.0), DataError, "float pictures go from 0 to 1, this one from 255 to 255"),
        (np.full((3, 3), np.nan), DataError, "float pictures go from 0 to 1, this one from nan to nan"),
    ],
)
def test_what_is_no_picture_is_refused(unet, given, error, message):
    with pytest.raises(error) as e:
        load(unet)(given)
    assert str(e.value).startswith(message)


# ---------------------------------------------------------------- many at once


class Counting:
    """An engine that notes what it is given."""

    def __init__(self, engine, batch):
        self.engine, self.batch, self.shapes = engine, batch, []

    def run(self, x):
        self.shapes.append(x.shape)
        return self.engine.run(x)


def test_a_list_runs_together_by_padded_size_and_keeps_its_order(unet):
    translate = load(unet)
    pixels = [picture(h, w, seed=h) for h, w in [(64, 64), (33, 17), (63, 62), (60, 64), (34, 18), (64, 64)]]
    alone = [translate(p) for p in pixels]
    translate.engine = Counting(translate.engine, batch=3)
    together = translate(pixels)
    assert translate.engine.shapes == [(3, 3, 64, 64), (1, 3, 64, 64), (2, 3, 40, 24)]
    assert all(close(a, b) for a, b in zip(alone, together, strict=True))
    assert translate([]) == []
    assert translate((pixels[0],))[0].shape == (64, 64, 3)


def test_noise_is_drawn_from_the_seed_alone(noisy):
    pixels = [picture(40, 40, seed=i) for i in range(3)]
    translate = load(noisy)
    alone = [translate(p) for p in pixels]
    translate.engine = Counting(translate.engine, batch=3)
    together = translate(pixels)
    assert translate.engine.shapes == [(3, 3, 64, 64)]
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(load(noisy, seed=0)(pixels[0]), alone[0])
    assert np.array_equal(load(noisy, seed=5)(pixels[0]), load(noisy, seed=5)(pixels[0]))
    assert not close(load(noisy, seed=5)(pixels[0]), alone[0])


def test_the_callers_random_numbers_are_untouched(noisy):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    load(noisy)(picture(16, 16))
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_off_where_the_model_says_so(tmp_path):
    make_model(tmp_path / "m", NOISY, dropout=False)
    pixels = picture(64, 64)
    assert np.array_equal(load(tmp_path / "m", seed=1)(pixels), load(tmp_path / "m", seed=2)(pixels))


# ---------------------------------------------------------------- loading


def test_directions(tmp_path):
    make_model(tmp_path / "both", both=True)
    a2b, b2a = load(tmp_path / "both"), load(tmp_path / "both", "b2a")
    assert a2b.directions == {"a2b": "label -> photo", "b2a": "photo -> label"}
    assert repr(b2a) == "Translator('both', b2a: photo -> label)"
    assert not close(a2b(picture(32, 32)), b2a(picture(32, 32)))
    with pytest.raises(ModelError) as e:
        load(tmp_path / "both", "c2a")
    assert str(e.value) == (
        f"{tmp_path / 'both'}: this model translates label -> photo (a2b) and photo -> label (b2a), not 'c2a'"
    )


def test_a_direction_that_the_model_has_not(unet):
    with pytest.raises(ModelError) as e:
        load(unet, direction="b2a")
    assert str(e.value) == f"{unet}: this model translates label -> photo (a2b) only, not 'b2a'"


def edited(tmp_path, change) -> str:
    make_model(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    return message(tmp_path)


def message(tmp_path) -> str:
    with pytest.raises(ModelError) as e:
        load(tmp_path / "m")
    return str(e.value).replace(str(tmp_path / "m"), "m")


def test_weights_that_do_not_fit_are_named(tmp_path):
    first = "a2b/model.model.0.weight"
    start = "m/model.safetensors: a2b does not fit the network in i2i.json: tensor"
    assert edited(tmp_path, lambda t: t.pop(first)) == f"{start} 'model.model.0.weight' is missing"
    assert edited(tmp_path, lambda t: t.update({"a2b/x": t[first], "a2b/y": t[first]})) == (
        f"{start} 'x' is not expected (and 1 more such)"
    )
    assert edited(tmp_path, lambda t: t.update({first: t[first][:, :1]})) == (
        f"{start} 'model.model.0.weight' has shape [4, 1, 4, 4], expected [4, 3, 4, 4]"
    )
    assert edited(tmp_path, lambda t: [t.update({"b2a" + k[3:]: t.pop(k)}) for k in list(t)]) == (
        "m/model.safetensors: holds no tensors for a2b"
    )


def test_missing_and_damaged_weights(tmp_path):
    make_model(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert message(tmp_path).startswith("m/model.safetensors: damaged: ")
    path.write_bytes(b"")
    assert message(tmp_path).startswith("m/model.safetensors: damaged: ")
    path.unlink()
    assert message(tmp_path) == "m: model.safetensors is missing"


def test_a_network_that_this_version_does_not_know(tmp_path):
    make_model(tmp_path / "m")
    path = tmp_path / "m" / "i2i.json"
    tree = json.loads(path.read_text())
    tree["products"]["a2b"]["generator"]["net"] = "transformer"
    path.write_text(json.dumps(tree))
    assert message(tmp_path).startswith("m: a2b: no network that this i2i can build (")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"multiple": 4}, "multiple is 4, but its network has 8: correct it there"),
        ({"scale": 2}, "scale is 2, but its network has 1: correct it there"),
        ({"channels": [1, 3]}, "channels is (1, 3), but its network has (3, 3): correct it there"),
    ],
)
def test_a_description_that_its_network_contradicts(tmp_path, facts, said):
    make_model(tmp_path / "m")
    path = tmp_path / "m" / "i2i.json"
    tree = json.loads(path.read_text())
    tree["products"]["a2b"].update(facts)
    path.write_text(json.dumps(tree))
    assert message(tmp_path) == f"{Path('m/i2i.json')}: a2b: {said}"


@pytest.mark.parametrize(
    ("net", "key"),
    [("resnet", "blocks"), ("resnet", "width"), ("unet", "width"), ("unet", "depth"), ("unet", "inputs")],
)
def test_an_endless_network_is_not_built(tmp_path, net, key):
    make_model(tmp_path / "m")
    path = tmp_path / "m" / "i2i.json"
    tree = json.loads(path.read_text())
    tree["products"]["a2b"]["generator"] = {"net": net, key: 10**9}
    path.write_text(json.dumps(tree))
    start = f"m: a2b: no network that this i2i can build ({net}.{key}: Input should be less than or equal to"
    assert message(tmp_path).startswith(start)


def test_weights_that_are_not_finite_give_no_picture(tmp_path):
    make_model(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    tensors = load_file(path)
    tensors["a2b/model.model.0.weight"][0] = np.nan
    save_file(tensors, path)
    with pytest.raises(ModelError, match="m: the network's answer is not finite: its weights are damaged"):
        load(tmp_path / "m")(picture(8, 8))


def test_a_device_that_is_not_here(unet):
    with pytest.raises(UsageError, match="device 'warp' cannot be used here: try auto, cpu, cuda, cuda:1 or mps"):
        load(unet, device="warp")


def test_without_torch_it_says_what_to_install(unet, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "i2i.run_torch", raising=False)
    with pytest.raises(MissingExtra) as e:
        load(unet)
    assert str(e.value) == "this needs torch, which is not installed: pip install 'i2i-toolkit[train]'"


def test_imports_need_no_torch():
    code = (
        "import sys\n"
        "for name in ('torch', 'torchvision', 'safetensors', 'accelerate', 'kornia'): sys.modules[name] = None\n"
        "import i2i.translator, i2i.many, i2i.kinds, i2i.folder, i2i.sheets, i2i.models\n"
        "i2i.models.listing()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(i2i.__file__).parent.parent, timeout=60)

"""Other projects' weights: the same outputs as in the network they come from, and no code run on the way."""

from __future__ import annotations

import io
import os
import pickle
import random
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from reference_for_tests import ReferenceResNet, ReferenceUNet, reference, without_noise
from safetensors.torch import save_file
from torch import Tensor, nn

import i2i
from i2i import folder, paths
from i2i.errors import ModelError, UsageError
from i2i.foreign import convert, import_model, read_weights
from i2i.foreign.reading import WRAPPERS, read_entry
from i2i.nets import PatchConfig, ResNetConfig, UNetConfig, build

SMALL_RESNET = {"width": 4, "blocks": 2}
SMALL_UNET = {"width": 4, "depth": 6}


def plain(state: dict) -> OrderedDict:
    return OrderedDict(state)


def in_parallel(state: dict) -> OrderedDict:
    return OrderedDict((f"module.{key}", value) for key, value in state.items())


def uncounted(state: dict) -> OrderedDict:
    """As torch before 0.4.1 wrote it."""
    return OrderedDict((key, value) for key, value in state.items() if not key.endswith("num_batches_tracked"))


def noise(channels: int, size: int) -> Tensor:
    return torch.rand(1, channels, size, size, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize(
    ("kind", "options", "change", "config"),
    [
        ("resnet", {}, plain, ResNetConfig(blocks=2, width=4)),
        ("resnet", {"norm": "old instance"}, plain, ResNetConfig(blocks=2, width=4)),
        ("resnet", {"norm": "old instance"}, in_parallel, ResNetConfig(blocks=2, width=4)),
        ("resnet", {"norm": "old instance", "dropout": True}, uncounted, ResNetConfig(blocks=2, width=4, dropout=0.5)),
        ("resnet", {"norm": "batch"}, plain, ResNetConfig(blocks=2, width=4, norm="batch")),
        ("resnet", {"norm": "batch", "width": 5}, uncounted, ResNetConfig(blocks=2, width=5, norm="batch")),
        ("resnet", {"inputs": 1, "blocks": 11}, plain, ResNetConfig(blocks=11, width=4, inputs=1)),
        ("unet", {}, plain, UNetConfig(depth=6, width=4)),
        ("unet", {}, in_parallel, UNetConfig(depth=6, width=4)),
        ("unet", {"depth": 5, "outputs": 1}, uncounted, UNetConfig(depth=5, width=4, outputs=1)),
        ("unet", {"norm": "instance", "inputs": 1}, plain, UNetConfig(depth=6, width=4, norm="instance", inputs=1)),
        ("unet", {"norm": "old instance"}, plain, UNetConfig(depth=6, width=4, norm="instance")),
    ],
)  # fmt: skip
def test_the_output_is_that_of_the_network_it_comes_from(tmp_path, kind, options, change, config):
    net = reference(kind, **{**(SMALL_RESNET if kind == "resnet" else SMALL_UNET), **options})
    torch.save(change(net.state_dict()), tmp_path / "weights.pth")
    import_model(tmp_path / "weights.pth", "theirs", dropout=False)
    info = folder.read_info(paths.models() / "theirs")
    assert info.products["a2b"].generator == config.model_dump(mode="json")
    assert info.products["a2b"].channels == (config.inputs, config.outputs)
    x = noise(config.inputs, 64)
    with torch.no_grad():
        theirs = without_noise(net)(x)
    ours = i2i.load("theirs", device="cpu").engine.run(x.numpy())
    assert theirs.std() > 0.05, "a flat picture proves nothing"
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "small"), [("resnet", {**SMALL_RESNET, "dropout": True}), ("unet", SMALL_UNET)])
def test_dropout_is_on_where_there_is_some_and_drawn_as_in_the_network_it_comes_from(tmp_path, kind, small):
    net = reference(kind, **small)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    import_model(tmp_path / "weights.pth", "noisy")
    x = noise(3, 64)
    for seed in (0, 5):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seed)
            theirs = net(x)
        ours = i2i.load("noisy", device="cpu", seed=seed).engine.run(x.numpy())
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5)


def test_every_kind_of_file_gives_the_same_tensors(tmp_path):
    state = reference("unet", **SMALL_UNET).state_dict()
    torch.save(state, tmp_path / "new.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)  # what the published files are
    torch.save({key: nn.Parameter(t, t.is_floating_point()) for key, t in state.items()}, tmp_path / "parameters.pt")
    save_file(state, tmp_path / "some.safetensors")
    for path in tmp_path.iterdir():
        found = read_weights(path)
        assert set(found) == set(state), path.name
        assert all(torch.equal(found[key], state[key]) for key in state), path.name


# Checkpoints that hold more


ADAM = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3}]}


def in_a_network(prefix: str, state: dict) -> dict:
    return {f"{prefix}{key}": t for key, t in state.items()}


@pytest.mark.parametrize(
    "wrapped",
    [
        *({key: None, "optimizer": ADAM, "epoch": 3} for key in WRAPPERS),
        {"net": None, "epoch": 3},  # the only weights in it
        {"params": "other", "params_ema": None},
        {"netD": "other", "netG": None, "iter": 5},
    ],
    ids=lambda tree: "-".join(tree),
)
def test_weights_are_found_in_a_checkpoint(tmp_path, wrapped):
    state, other = reference("unet", **SMALL_UNET).state_dict(), {"w": torch.zeros(2)}
    tree = {key: {None: state, "other": other}.get(v, v) if v in (None, "other") else v for key, v in wrapped.items()}
    torch.save(tree, tmp_path / "w.pth")
    found, notes = read_entry(tmp_path / "w.pth")
    assert set(found) == set(state)
    several = [key for key, v in wrapped.items() if v in (None, "other")]
    taken = next(key for key, v in wrapped.items() if v is None)
    said = f"the file holds the weights {', '.join(map(repr, several))}: taken {taken!r} (--key)"
    assert notes == ([said] if len(several) > 1 else [])


def test_a_key_says_which_weights(tmp_path):
    torch.save({"G_A": small(), "G_B": small("unet"), "epoch": 3}, tmp_path / "w.pth")

    def said(key):
        with pytest.raises(ModelError) as e:
            read_entry(tmp_path / "w.pth", key)
        return str(e.value).removeprefix(f"{tmp_path / 'w.pth'}: ")

    assert said(None) == "holds the weights 'G_A', 'G_B': say which (--key G_A)"
    assert said("G_C") == "--key G_C: holds the weights 'G_A', 'G_B'; did you mean 'G_B'?"
    import_model(tmp_path / "w.pth", "theirs", key="G_B", dropout=False)
    assert folder.read_info(paths.models() / "theirs").products["a2b"].generator["net"] == "unet"
    torch.save(small(), tmp_path / "w.pth")
    assert said("G_A") == "--key G_A: holds one set of weights, under no key"


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module._orig_mod.", "netG.", "generator.", "G.", "module.net_g."])
def test_prefixes(prefix):
    state = small()
    among_others = {} if prefix in ("_orig_mod.", "module._orig_mod.", "module.net_g.") else {"D.x": torch.zeros(1)}
    found, converted = convert({**in_a_network(prefix, state), **among_others})
    assert found == ResNetConfig(**SMALL_RESNET)
    assert set(converted) == set(state)


@pytest.mark.parametrize(
    ("net", "options", "tensors", "config"),
    [
        (ReferenceResNet, {}, 48, ResNetConfig()),
        (ReferenceResNet, {"dropout": True}, 48, ResNetConfig(dropout=0.5)),
        (ReferenceResNet, {"norm": "old instance"}, 117, ResNetConfig()),
        (ReferenceResNet, {"norm": "old instance", "dropout": True}, 117, ResNetConfig(dropout=0.5)),
        (ReferenceResNet, {"norm": "batch"}, 140, ResNetConfig(norm="batch")),
        (ReferenceResNet, {"blocks": 6}, 36, ResNetConfig(blocks=6)),
        (ReferenceUNet, {}, 82, UNetConfig()),
        (ReferenceUNet, {"depth": 7}, 70, UNetConfig(depth=7)),
        (ReferenceUNet, {"norm": "instance"}, 32, UNetConfig(norm="instance")),
        (ReferenceUNet, {"width": 32, "depth": 9, "outputs": 4}, 94, UNetConfig(width=32, depth=9, outputs=4)),
    ],
)  # fmt: skip
def test_the_published_sizes_are_recognised(net, options, tensors, config):
    with torch.device("meta"):
        theirs, ours = net(**options).state_dict(), build(config).state_dict()
    assert len(theirs) == tensors
    found, state = convert(theirs)
    assert found == config
    assert list(state) == list(ours)


# What is refused


def refusal(tensors: dict[str, Tensor]) -> str:
    with pytest.raises(ModelError) as e:
        convert(tensors, "w.pth")
    assert "\n" not in str(e.value)
    return str(e.value)


def small(kind: str = "resnet", **options) -> dict[str, Tensor]:
    return dict(reference(kind, **{**(SMALL_RESNET if kind == "resnet" else SMALL_UNET), **options}).state_dict())


def keys(*names: str) -> dict[str, Tensor]:
    return {name: torch.zeros(1) for name in names}


@pytest.mark.parametrize(
    "config", [PatchConfig(layers=n, width=2, norm=m) for n in (0, 3) for m in ("batch", "instance")]
)
def test_discriminators(config):
    said = "w.pth: a discriminator: it judges pictures and makes none; import the generator (net_G)"
    assert refusal(build(config).state_dict()) == said
    assert refusal(in_parallel(build(config).state_dict())) == said


def test_what_is_not_recognised():
    assert refusal(keys("features.0.weight", "features.0.bias", "fc.weight", "fc.bias")) == (
        "w.pth: not recognised: looked for the generators of the pix2pix and CycleGAN project, CUT, PyTorch-GAN's "
        "CycleGAN, PyTorch-GAN's pix2pix, PyTorch-GAN's DiscoGAN, PyTorch-GAN's DualGAN, PyTorch-GAN's CCGAN, "
        "PyTorch-GAN's SRGAN, BasicSR, MMSR; found 'features.0.weight', 'features.0.bias', 'fc.weight'"
    )


def lacking(state: dict[str, Tensor], key: str) -> dict[str, Tensor]:
    return {k: t for k, t in state.items() if k != key}


def test_almost():
    almost = "w.pth: almost a {} of the pix2pix and CycleGAN project, but "
    resnet, unet = almost.format("resnet"), almost.format("unet")
    assert refusal(lacking(small(), "model.4.weight")) == resnet + "'model.4.weight' is missing"
    assert refusal({**small(), "extra": torch.zeros(1)}) == resnet + "'extra' is not expected"
    assert refusal({**small(), "model.4.weight": torch.zeros(8, 4, 5, 5)}) == (
        resnet + "'model.4.weight' has shape [8, 4, 5, 5], expected [8, 4, 3, 3]"
    )
    for kind in ("resnet", "unet"):
        said = refusal(small(kind, norm="none"))
        assert said.endswith(".bias' is missing: a network trained without norms (--norm none) is not supported")
    assert refusal(lacking(small(), "model.19.weight")) == resnet + "'model.19.weight' is missing"
    assert refusal({**small(), "model.1.weight": torch.zeros(4)}) == (
        resnet + "'model.1.weight' is no convolution (its shape is [4])"
    )
    inner = "model.model.1.model.3.model.3.model.3.model.3.model."
    assert refusal(lacking(small("unet"), f"{inner}3.weight")) == unet + f"'{inner}3.weight' is missing"
    affine = {**small(), "model.2.weight": torch.ones(4), "model.2.bias": torch.zeros(4)}  # as DualGAN's
    assert refusal(affine).startswith(resnet)
    assert refusal(keys("model.model.0.weight")) == unet + "it has 1 levels: i2i builds 2 to 12"


class Harm:
    """Unpickling it runs a command."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"echo harm > {self.mark}",)


def written(path: Path, how: str, content: object) -> Path:
    if how == "zip":
        torch.save(content, path)
    elif how == "old":
        torch.save(content, path, _use_new_zipfile_serialization=False)
    else:
        path.write_bytes(pickle.dumps(content, protocol=int(how)))
    return path


@pytest.mark.parametrize("how", ["zip", "old", "0", "1", "2", "3", "4", "5"])
def test_code_is_refused_by_name_and_not_run(tmp_path, how):
    mark = tmp_path / "mark"
    content = {"model.1.weight": torch.zeros(2) if how in ("zip", "old") else 1, "x": Harm(mark)}
    path = written(tmp_path / "w.pth", how, content)
    with pytest.raises(ModelError) as e:
        read_weights(path)
    assert not mark.exists()
    assert str(e.value) == (
        f"{path}: refused, nothing was run: this pickle does not only hold tensors, it wants to call "
        f"{os.system.__module__}.system; a generator's state_dict() alone is accepted"
    )
    pickle.loads(pickle.dumps(Harm(mark)))
    assert mark.exists(), "the same pickle, read without care, does run"


def test_a_whole_network_object_is_refused_by_its_class(tmp_path):
    torch.save(ReferenceResNet(**SMALL_RESNET), tmp_path / "net.pth")
    with pytest.raises(ModelError, match=r"wants to call reference_for_tests\.ReferenceResNet, .*state_dict\(\) alone"):
        read_weights(tmp_path / "net.pth")


def unread(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ModelError) as e:
        read_weights(path)
    return str(e.value).removeprefix(f"{path}: ")


def saved(content: object, **options: bool) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


def test_files_that_are_no_weights(tmp_path):
    path = tmp_path / "w.pth"
    assert unread(path, b"") == "the file is empty"
    page = "a web page, not weights: the download went wrong"
    assert unread(path, b"\n <!DOCTYPE html><html>404</html>") == page
    assert unread(path, b"<html><body>moved</body></html>") == page
    damaged = "not a file of weights, or cut short or damaged"
    assert unread(path, b"no such thing") == damaged
    for old in (False, True):
        whole = saved(small(), _use_new_zipfile_serialization=not old)
        for end in (10, len(whole) // 3, len(whole) - 30):
            assert unread(path, whole[:end]) == damaged
    assert unread(path, saved(torch.zeros(3))) == "holds no tensors by name, as state_dict() gives them"
    assert unread(path, saved({})) == "holds no tensors by name, as state_dict() gives them"
    alone = "save the generator's state_dict() alone in a file"
    assert unread(path, saved({"epoch": 3, **small()})) == f"'epoch' is no tensor: {alone}"
    assert unread(path, saved({"epoch": 3, "net": {"of": small()}})) == f"'epoch' is no tensor: {alone}"
    many = saved({"model.1.weight": torch.zeros(1).expand(1000, 1000)})
    assert unread(path, many) == "damaged: it claims more numbers than it holds"
    assert unread(path, saved({"a": torch.eye(2).to_sparse()})).startswith("'a' is not a plain tensor")
    assert unread(tmp_path / "w.safetensors", b"xx").startswith("damaged, or not safetensors: ")
    with pytest.raises(ModelError, match="no such file"):
        read_weights(tmp_path / "none.pth")


@pytest.mark.parametrize("old", [False, True])
def test_mutated_files_end_in_tensors_or_in_one_line(tmp_path, old):
    whole = saved(small(width=1, blocks=1), _use_new_zipfile_serialization=not old)
    dice = random.Random(0)
    refused: list[str] = []
    for _ in range(100):
        content = bytearray(whole)
        for _ in range(dice.choice([1, 3, 20])):
            content[dice.randrange(len(content))] = dice.randrange(256)
        (tmp_path / "w.pth").write_bytes(content)
        try:
            convert(read_weights(tmp_path / "w.pth"))
        except ModelError as e:
            refused.append(str(e))
    assert len(refused) > 10
    assert not any("\n" in line for line in refused)


# The model folder


def weights(path: Path, kind: str = "resnet") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(small(kind), path)
    return path


def test_the_folder_says_where_it_comes_from(tmp_path):
    made = import_model(weights(tmp_path / "w.pth", "unet"), "theirs", direction="b2a")
    assert made.folder == paths.models() / "theirs"
    assert made.notes == ["the file does not say whether dropout stays on: taken as on, as in pix2pix (--no-dropout)"]
    info = folder.read_info(made.folder)
    product = info.products["b2a"]
    assert (info.default, product.source, product.target, product.multiple) == ("b2a", "b", "a", 64)
    assert info.inference == folder.Inference(norm="image", dropout=True)
    assert info.origin.startswith("w.pth (sha256 ")
    assert len(info.origin) == len("w.pth (sha256 )") + 64
    text = (made.folder / "README.md").read_text()
    assert f"Weights of another project, converted by i2i {i2i.__version__}: {info.origin}." in text
    assert "Trained with i2i" not in text
    assert "Pictures seen" not in text


@pytest.mark.parametrize(
    ("file", "direction", "notes"),
    [
        ("w", "a2b", 1),
        ("latest_net_G_A", "a2b", 0),
        ("60_net_G_B", "b2a", 0),
        ("G_AB_100", "a2b", 0),  # PyTorch-GAN's
        ("G_BA_0", "b2a", 0),
        ("BIG_A", "a2b", 1),
    ],
)
def test_the_direction_is_in_the_name_or_told(tmp_path, file, direction, notes):
    made = import_model(weights(tmp_path / f"{file}.pth"), "theirs")
    assert folder.read_info(made.folder).default == direction
    told = ["the file does not say which way it translates: taken as a2b (--direction b2a)"]
    assert made.notes == told[:notes]


@pytest.mark.parametrize("options", [{"inputs": 4}, {"outputs": 4}])
def test_only_gray_and_color_are_imported(tmp_path, options):
    torch.save(small(**options), tmp_path / "w.pth")
    channels = f"from {options.get('inputs', 3)} to {options.get('outputs', 3)} channels"
    with pytest.raises(ModelError, match=f"w.pth: translates {channels}: i2i reads and writes pictures of 1 or 3"):
        import_model(tmp_path / "w.pth", "theirs")
    assert not paths.models().exists()


@pytest.mark.parametrize(("options", "key"), [({"width": 1025, "blocks": 1}, "width"), ({"blocks": 65}, "blocks")])
def test_a_network_that_is_too_large_is_told(options, key):
    with torch.device("meta"):
        state = ReferenceResNet(**{"width": 1, **options}).state_dict()
    with pytest.raises(ModelError, match=rf"^w: a network that i2i does not build \({key}: Input should be less than"):
        convert(state, "w")


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path):
    path = weights(tmp_path / "w.pth")
    made = import_model(path, "theirs")
    with pytest.raises(ModelError) as e:
        import_model(path, "theirs")
    assert str(e.value) == (f"{made.folder}: exists already: choose another name (--name), or delete that folder first")
    with pytest.raises(ModelError):
        import_model(tmp_path / "none.pth", "other")
    assert [p.name for p in paths.models().iterdir()] == ["theirs"]


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "two words", "-x"])
def test_names_that_are_no_word(tmp_path, name):
    with pytest.raises(UsageError, match="one word"):
        import_model(weights(tmp_path / "w.pth"), name)


def test_a_direction_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="a2b or b2a"):
        import_model(weights(tmp_path / "w.pth"), "theirs", direction="forward")

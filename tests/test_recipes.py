"""Recipes: the packaged ones hold what they say; what is wrong in a file or an override is told where it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from small import small_config, small_recipe

import i2i
from i2i import card, paths, recipe, training
from i2i.errors import CardError, I2IError, RecipeError, UsageError
from i2i.methods import METHODS
from i2i.strict import read_yaml

PACKAGED = sorted(paths.data("recipes").glob("*.yaml"))
packaged = pytest.mark.parametrize("path", PACKAGED, ids=lambda p: p.stem)
FOLDER = "./my_folder"


def command(path: Path) -> list[str]:
    """The words of a recipe's first line, which is the command that runs it."""
    line = path.read_text(encoding="utf-8").splitlines()[0]
    assert line.startswith("# i2i train ")
    return shlex.split(line)[3:]


@packaged
def test_a_packaged_recipe_is_valid(path: Path) -> None:
    found = recipe.load(path)
    assert found.about == recipe.head(path) != ""
    assert path.stem.startswith(f"{found.method.name}-")


@packaged
def test_its_first_line_is_the_command_that_finds_it(path: Path) -> None:
    method, option, dataset = command(path)
    assert option == "--dataset"
    found = recipe.load(path, dataset=dataset)
    assert found == recipe.load(path)
    assert found.data.dataset == dataset
    if method in recipe.names():  # a variant has to be named in full
        assert recipe.find(method) == path
        assert method.startswith(f"{found.method.name}-{dataset}-")
        return
    assert recipe.find_for(method, dataset) == path
    assert found.method.name == method


@packaged
def test_its_data_set_is_one_that_the_method_can_read(path: Path) -> None:
    found = recipe.load(path)
    if found.data.dataset == FOLDER:
        assert path.stem == f"{found.method.name}-folder"
        return
    fitting = {
        "Pair": ("paired", "single"), "Unpaired": ("unpaired", "paired"), "Labelled": ("labelled", "single", "paired"),
        "Reduced": ("single", "paired", "unpaired"), "Images": ("labelled", "single", "paired", "unpaired"),
    }  # fmt: skip
    assert card.load(found.data.dataset).kind in fitting[METHODS[found.method.name].reads.__name__]


@packaged
def test_it_spells_out_every_setting_of_its_method_and_says_none_twice(path: Path) -> None:
    tree, _ = read_yaml(path, RecipeError)
    assert set(tree["method"]) >= {"name", "generator"}
    unsaid = set(METHODS[tree["method"]["name"]].Config.model_fields) - set(tree["method"])
    assert not unsaid, f"{path.name} leaves {unsaid} to the defaults"


@packaged
def test_it_survives_being_written_and_read(path: Path, tmp_path: Path) -> None:
    found = recipe.load(path)
    found.write(tmp_path / "again.yaml")
    again = recipe.load(tmp_path / "again.yaml")
    assert again == found
    assert type(again.method) is type(found.method)


def test_every_method_has_a_recipe_for_any_folder() -> None:
    for name in METHODS:
        assert recipe.find_for(name, FOLDER).stem == recipe.find_for(name, "no_such_card").stem == f"{name}-folder"


# -- overrides ---------------------------------------------------------------------------------------------------------

SHAPES = paths.data("recipes") / "pix2pix-shapes.yaml"


def wrong(*overrides: str, path: Path = SHAPES) -> str:
    with pytest.raises(RecipeError) as caught:
        recipe.load(path, overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("data.size=256x512", (256, 512)),
        ("data.size=64", (64, 64)),
        ("data.size=[64, 96]", (64, 96)),
        ("train.optimizer.lr=2e-4", 2e-4),
        ("train.optimizer.lr=1E-3", 1e-3),
        ("train.images=20000", 20_000),
        ("data.channels=[1, 3]", (1, 3)),
        ("data.channels=1", (1, 1)),
        ("data.flip=true", True),
        ("method.l1=10", 10.0),
        ("method.generator.width=16", 16),
        ("watch.trackers=[tensorboard]", ("tensorboard",)),
        ("about=my words", "my words"),
    ],
)
def test_overrides(override: str, value: object) -> None:
    found: object = recipe.load(SHAPES, [override])
    for part in override.partition("=")[0].split("."):
        found = getattr(found, part)
    assert found == value


def test_an_override_changes_nothing_else() -> None:
    before, after = recipe.load(SHAPES).dump(), recipe.load(SHAPES, ["train.optimizer.lr=1e-3"]).dump()
    assert before != after
    before["train"]["optimizer"]["lr"] = 1e-3
    assert before == after


def test_a_data_set_takes_the_place_of_the_recipes_own() -> None:
    assert recipe.load(SHAPES, dataset="facades").data.dataset == "facades"
    assert recipe.load(SHAPES, ["data.dataset=maps"], dataset="facades").data.dataset == "maps"


KEYS = {
    "train": "images, accumulate, seed, optimizer, rates, decay_from, clip_norm, ema_halflife_images, precision, "
    "recompute, channels_last, compile, deterministic",
    "recipe": "about, method, data, train, watch",
    "method": "name, gan, gan_weight, l1, generator, discriminator, init, inference",
    "unet": "net, depth, width, most, norm, dropout, up, inputs, outputs",
}
WRONG = [
    ("train.imges=3", f"train.imges: unknown key; did you mean 'images'? (known here: {KEYS['train']})"),
    ("traim.images=3", f"traim: unknown key; did you mean 'train'? (known here: {KEYS['recipe']})"),
    ("method.l2=3", f"method.l2: unknown key; did you mean 'l1'? (known here: {KEYS['method']})"),
    (
        "method.generator.wdth=3",
        f"method.generator.wdth: unknown key; did you mean 'width'? (known here: {KEYS['unet']})",
    ),
    (
        "train.images=many",
        "train.images: input should be a valid integer, not 'many'",
    ),
    ("train.images=0", "train.images: input should be greater than or equal to 1, not 0"),
    (
        "train.precision=fp61",
        "train.precision: 'fp61' is not known; did you mean 'fp16'? (one of auto, fp32, tf32, bf16, fp16)",
    ),
    ("data.size=big", "data.size: expected pixels like 256, 256x512 (height x width) or [256, 512], not 'big'"),
    ("data.size=4", "data.size: input should be greater than or equal to 8, not 4"),
    ("data.jitter=0.5", "data.jitter: input should be greater than or equal to 1, not 0.5"),
    ("method.gan=hinje", "method.gan: 'hinje' is not known; did you mean 'hinge'? (one of vanilla, lsgan, hinge)"),
    (
        "method.name=pixpix",
        f"method.name: 'pixpix' is not known; did you mean 'pix2pix'? (one of {', '.join(METHODS)})",
    ),
    (
        "method.generator.net=unett",
        "method.generator.net: 'unett' is not known; did you mean 'unet'? (one of unet, lab_unet, resnet, encdec)",
    ),
]


@pytest.mark.parametrize(("override", "say"), WRONG)
def test_a_wrong_override_is_told_with_the_right_word(override: str, say: str) -> None:
    assert wrong(override).splitlines()[0] == f"override {override}: {say}"


def test_what_is_no_override_at_all() -> None:
    assert wrong("train.=3") == "override 'train.=3': expected key.path=value, like train.images=2000"
    assert wrong("data.size=[1") == "override 'data.size=[1': the value is not valid YAML"
    assert wrong("train.images.x=3") == "override train.images.x: train.images is a value, not a block"


def test_everything_that_is_wrong_is_told_at_once() -> None:
    said = wrong("train.imges=3", "data.jitter=0.5", "method.l1=-1", "watch.keep=none").splitlines()
    assert {line.partition(": ")[0] for line in said} == {
        "override train.imges=3",
        "override data.jitter=0.5",
        "override method.l1=-1",
        "override watch.keep=none",
    }


# -- files -------------------------------------------------------------------------------------------------------------


def changed(tmp_path: Path, old: str, new: str) -> tuple[Path, int]:
    """The recipe of shapes with one thing changed, and the line where it stands."""
    text = SHAPES.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path, text[: text.index(old)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "say"),
    [
        ("  flip: false", "  flipp: false", "data.flipp: unknown key; did you mean 'flip'? (known here: dataset, "),
        ("lr: 2.0e-4", "lr: 2e-5x", "train.optimizer.lr: input should be a valid number, unable to "),
        ("name: adam", "name: adm", "train.optimizer.name: 'adm' is not known; did you mean 'adam'? (one of adam, "),
        ("  l1: 100.0", "  l3: 100.0", "method.l3: unknown key; did you mean 'l1'? (known here: name, gan, "),
        ("name: pix2pix\n", "name: pix2pixhd\n", "method.name: 'pix2pixhd' is not known; did you mean 'pix2pix'? ("),
    ],
)
def test_a_wrong_line_is_told_with_its_number(tmp_path: Path, old: str, new: str, say: str) -> None:
    path, line = changed(tmp_path, old, new)
    assert wrong(path=path).startswith(f"{path}:{line}: {say}")


def test_a_key_that_is_said_twice(tmp_path: Path) -> None:
    path, line = changed(tmp_path, "  batch: 4", "  batch: 4\n  batch: 2")
    assert wrong(path=path) == f"{path}:{line + 1}: data.batch: this key is already on line {line}"


@pytest.mark.parametrize(
    ("text", "say"),
    [
        ("", "{path}: expected 'key: value' lines, found nothing"),
        ("- a\n- b\n", "{path}: expected 'key: value' lines, found list"),
        ("a: b: c\n", "{path}:1: not valid YAML: mapping values are not allowed here"),
        ("method: {name: pix2pix}\ndata: {dataset: x}\n", "{path}: train: this key is missing"),
        ("method: pix2pix\ndata: {dataset: x}\ntrain: {images: 3}\n", "{path}:1: method: expected a block "),
        ("method: {}\ndata: {dataset: x}\ntrain: {images: 3}\n", "{path}:1: method.name: this key is missing (one of "),
        ("method: {name: cyclegan}\ndata: {dataset: x, batch: 8}\ntrain: {images: 3}\n", "{path}: train.images (3)"),
    ],
)
def test_what_is_no_recipe(tmp_path: Path, text: str, say: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    assert wrong(path=path).startswith(say.format(path=path))


def test_the_shortest_recipe_is_the_paper(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("method: {name: cyclegan}\ndata: {dataset: x}\ntrain: {images: 3}\n", encoding="utf-8")
    found = recipe.load(path)
    assert found.method == METHODS["cyclegan"].Config()
    assert found.data.size == (256, 256)


def test_a_block_that_names_another_network_takes_that_ones_settings(tmp_path: Path) -> None:
    mixed = {**small_config("pix2pix"), "generator": {"net": "resnet", "blocks": 2}}
    found = small_recipe("pix2pix", "x", method=mixed)
    assert (found.method.generator.net, found.method.generator.blocks) == ("resnet", 2)


# -- finding -----------------------------------------------------------------------------------------------------------


def test_names_that_are_not_known() -> None:
    with pytest.raises(RecipeError, match=r"^no recipe 'pix2pix-facade'; did you mean 'pix2pix-facades'\? \(i2i "):
        recipe.find("pix2pix-facade")
    with pytest.raises(RecipeError, match=r"^mine\.yaml: no such recipe file$"):
        recipe.find("mine.yaml")
    with pytest.raises(RecipeError) as caught:
        training.train("cyclgan", dataset="facades")
    assert str(caught.value) == (
        "no method or recipe 'cyclgan'; did you mean 'cyclegan'? "
        f"(methods: {', '.join(sorted(METHODS))}; i2i recipes list shows all recipes)"
    )
    with pytest.raises(RecipeError, match=r"^no method or recipe 'pix2pix-facade'; did you mean 'pix2pix-facades'\?"):
        training.train("pix2pix-facade")


def nothing_in(folder: Path) -> bool:
    return not any(folder.rglob("*"))


@pytest.mark.parametrize(
    ("kind", "dataset", "say"),
    [
        (CardError, "facade", "no data set is called 'facade'; did you mean 'facades'?"),
        (I2IError, "./nowhere", "./nowhere: no such folder"),
        (UsageError, None, "train cyclegan on what? --dataset NAME (i2i datasets list shows all) or --dataset ./"),
    ],
)
def test_a_data_set_that_is_not_there(
    kind: type[I2IError], dataset: str | None, say: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(kind) as caught:
        i2i.train("cyclegan", dataset=dataset, quiet=True)
    assert str(caught.value).startswith(say)
    assert nothing_in(tmp_path)
    assert not paths.runs().exists()

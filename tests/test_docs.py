"""What README and CONTRIBUTING say can be done: every command is parsed by the real command line, every name exists."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import i2i
from i2i import card, cli, paths, recipe, training
from i2i.methods import METHODS
from i2i.zoo import ZOO

ROOT = Path(__file__).parents[1]
DOCS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in DOCS}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(i2i [^`]+)`")
PLACEHOLDER = re.compile(r"[A-Z_]{3,}")
"""FILE, NAME: to be filled in by the reader."""
MINE = ("my-recipe.yaml",)
"""Recipe files that a reader makes by a command further up."""


def blocks(text: str, language: str) -> list[str]:
    return [code for kind, code in BLOCK.findall(text) if kind == language]


def shell_lines() -> Iterator[tuple[str, str]]:
    """(file, command) for everything that a reader may type, and for the first line of each recipe."""
    for name in ("README.md", "CONTRIBUTING.md"):
        text = TEXTS[name]
        for block in blocks(text, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if command := line.partition(" #")[0].strip():
                    yield name, command
        yield from ((name, command) for command in INLINE.findall(BLOCK.sub("", text)))
    for path in sorted(paths.data("recipes").glob("*.yaml")):
        yield path.name, path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")


def words_of(command: str) -> list[str] | None:
    """What the command line of i2i gets to see; None if it is another program's line."""
    words = shlex.split(command)
    if words[0] == "i2i":
        return words[1:]
    for i in range(len(words) - 1):
        if words[i : i + 2] == ["-m", "i2i"]:
            return words[i + 2 :]
    return None


COMMANDS = [(doc, command, words) for doc, command in shell_lines() if (words := words_of(command))]


def parsed(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command that would run, and its arguments; nothing runs."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def silence(command: Any, name: str) -> None:
        for inner_name, inner in getattr(command, "commands", {}).items():
            silence(inner, f"{name} {inner_name}".strip())
        if not hasattr(command, "commands"):
            command.callback = lambda **arguments: seen.append((name, arguments))

    app = typer.main.get_command(cli.app)
    silence(app, "")
    app.main(words, prog_name="i2i", standalone_mode=False)
    return seen[0] if seen else ("", {})


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 30
    assert {words[0] for _, _, words in COMMANDS} >= {
        "train", "translate", "datasets", "recipes", "models", "report", "doctor",
    }  # fmt: skip


def test_a_wrong_command_would_be_noticed() -> None:
    for wrong in ("train cyclegan --datset x", "translate a.png", "dataset list", "models shwo x"):
        with pytest.raises(Exception, match=r"No such|Missing"):
            parsed(wrong.split())


@pytest.mark.parametrize(("doc", "command", "words"), COMMANDS, ids=[f"{d}: {c}" for d, c, _ in COMMANDS])
def test_a_command_is_one(doc: str, command: str, words: list[str]) -> None:
    name, given = parsed(words)
    if words[0].startswith("-"):
        return
    assert name, f"{command} is no complete command"
    if name == "train":
        check_training(given)
    if name in ("datasets show", "datasets download"):
        check_dataset(given["name"])
    if name in ("recipes show", "recipes copy"):
        assert PLACEHOLDER.fullmatch(given["name"]) or given["name"] in recipe.names()


def check_training(given: dict[str, Any]) -> None:
    """The recipe is there, and the overrides are valid in it."""
    overrides = [w for w in given["words"] or [] if "=" in w]
    names = [w for w in given["words"] or [] if "=" not in w]
    if given["resume"]:
        assert not names
        assert all(o.startswith(training.RESUMABLE) for o in overrides)
        path = paths.data("recipes") / "pix2pix-folder.yaml"
    else:
        assert len(names) == 1
        if PLACEHOLDER.fullmatch(names[0]) or names[0] in MINE or names[0] == "regression":
            return
        path = recipe.find(names[0]) if names[0] in recipe.names() else recipe.find_for(names[0], given["dataset"])
        assert given["dataset"] or names[0] in recipe.names()
    recipe.load(path, overrides, dataset=given["dataset"])
    if given["dataset"]:
        check_dataset(given["dataset"])


def check_dataset(name: str) -> None:
    assert PLACEHOLDER.fullmatch(name) or "/" in name or name in card.names(), f"no data set {name}"


def test_the_commands_of_the_make_file_are_too() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    lines = re.findall(r"\$\(BIN\)/i2i (.*)", text)
    assert len(lines) == 2
    for line in lines:
        name, given = parsed(shlex.split(line.replace("$(DEMO)", "train.images=8").replace("$(RUN)", "runs/x")))
        if name == "train":
            check_training(given)


@pytest.mark.parametrize("name", DOCS)
def test_links_lead_to_files_and_headings(name: str) -> None:
    text = BLOCK.sub("", TEXTS[name])
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    headings = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        if target.startswith("#"):
            assert target[1:] in headings, f"{name}: no heading for {target}"
        elif "://" not in target:
            assert (ROOT / target).exists(), f"{name}: {target} is not there"


@pytest.mark.parametrize("name", DOCS)
def test_files_that_are_named_exist(name: str) -> None:
    """What looks like a path into the repository, but for the examples that CONTRIBUTING adds."""
    added = set(re.findall(r"`([\w./-]+)`:\n\n```", TEXTS[name]))
    for path in re.findall(r"`?\b((?:i2i|tests|datasets|recipes|\.ci)/[\w./-]+\.\w+)", TEXTS[name]):
        assert path in added or (ROOT / path).exists(), f"{name}: {path} is not there"


def test_python_in_the_readme_fits_the_package() -> None:
    """It is Python, and what it calls exists and takes these arguments."""
    found = 0
    for block in blocks(TEXTS["README.md"], "python"):
        for node in ast.walk(ast.parse(block)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id == "i2i":
                assert node.func.attr in i2i.__all__
                called = inspect.signature(getattr(i2i, node.func.attr))
                called.bind(*node.args, **{k.arg: k.value for k in node.keywords if k.arg})
                found += 1
    assert found >= 2


def test_the_table_of_methods_is_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\]\((i2i/methods/\w+\.py)\) \|$", TEXTS["README.md"], re.MULTILINE)
    assert [name for name, _ in rows] == [name for name in METHODS if name not in ZOO]
    for name, file in rows:
        assert Path(inspect.getfile(METHODS[name])) == ROOT / file
        assert re.search(rf"`{name}`.*arXiv:\d+\.\d+", TEXTS["README.md"])


def test_the_table_of_the_zoo_names_all_of_it() -> None:
    section = TEXTS["README.md"].partition("## The zoo")[2].partition("\n## ")[0]
    table = section.partition("| family |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(ZOO)
    for name, file in re.findall(r"\[`(\w+)`\]\((i2i/zoo/\w+\.py)\)", table):
        assert Path(inspect.getfile(METHODS[name])) == ROOT / file


def test_the_extras_in_the_readme_are_those_of_the_package() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    table = TEXTS["README.md"].partition("| extra |")[2].partition("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert {word for cell in first for word in re.findall(r"`(\w+)`", cell)} == set(project["optional-dependencies"])


def test_the_variables_in_the_readme_are_those_that_are_read() -> None:
    code = "".join(p.read_text(encoding="utf-8") for p in (ROOT / "i2i").rglob("*.py"))
    read = set(re.findall(r'environ(?:\.get\(|\[)"(I2I_\w+)"', code))
    assert set(re.findall(r"^\| `(I2I_\w+)` \|", TEXTS["README.md"], re.MULTILINE)) == read


def test_the_number_of_cards_in_the_changelog() -> None:
    assert f"{len(card.names())} cards" in TEXTS["CHANGELOG.md"]

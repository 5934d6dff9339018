"""The command line's groups: data sets, recipes, trained models. What there is, what it is, how to get and check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from i2i.errors import UsageError
from i2i.terminal import progress, table

datasets_app = typer.Typer(no_args_is_help=True, help="Data sets: list, show, download, check.")
recipes_app = typer.Typer(no_args_is_help=True, help="Recipes: list, show, copy, check.")
models_app = typer.Typer(no_args_is_help=True, help="Trained models: list, show, import, push, pull.")

Mirror = Annotated[str | None, typer.Option(help="Folder or address asked before the published ones: <card>/<file>.")]


@datasets_app.command("list")
def datasets_list() -> None:
    """All data sets that i2i knows."""
    from i2i import card

    rows = []
    for name in card.names():
        found = card.load(name)
        here = "ready" if card.is_ready(found) else "withheld" if found.withheld else "made" if found.generate else ""
        rows.append((name, found.kind, " / ".join(found.domains), card.count_text(found.splits), here))
    table(rows, ("name", "kind", "domains", "pictures", "here"))


@datasets_app.command("show")
def datasets_show(name: str) -> None:
    """Everything about one data set: content, licence, how to cite it."""
    from i2i import card

    table(card.describe(card.load(name)))


@datasets_app.command("download")
def datasets_download(
    name: str,
    mirror: Mirror = None,
    from_file: Annotated[list[Path] | None, typer.Option(help="An archive that you already have.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what differs from the published set.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Prepare it again although it is ready.")] = False,
) -> None:
    """Download, verify and unpack a data set."""
    from i2i import card, fetch

    with progress(name) as bar:
        ready = fetch.download(
            card.load(name), mirror=mirror, strict=strict, from_file=from_file or None, force=force, progress=bar
        )
    for note in ready.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"{name} is ready: {ready.folder}")


@datasets_app.command("check")
def datasets_check(what: Annotated[str, typer.Argument(metavar="PATH_OR_NAME")]) -> None:
    """Look at every file: layout, counts, sizes, corrupt or flat pictures, broken pairs, duplicates."""
    from i2i import card
    from i2i.data import check

    _, folder = card.resolve(what)
    with progress("checking") as bar:
        found = check.check(folder, progress=lambda done, total: bar("checking", done, total))
    table(found.rows())
    for problem in found.problems:
        typer.echo(f"problem: {problem}")
    if not found.ok:
        raise typer.Exit(1)


@recipes_app.command("list")
def recipes_list() -> None:
    """All packaged recipes."""
    from i2i import recipe

    table([(name, recipe.head(recipe.find(name))) for name in recipe.names()], ("name", "about"))


@recipes_app.command("show")
def recipes_show(name: str) -> None:
    """Print a recipe."""
    from i2i import recipe

    typer.echo(recipe.find(name).read_text(encoding="utf-8"), nl=False)


@recipes_app.command("copy")
def recipes_copy(
    name: str, to: Annotated[Path | None, typer.Argument(help="The new file; ./NAME.yaml if not given.")] = None
) -> None:
    """Copy a recipe to a file of your own to change it."""
    from i2i import recipe

    source, target = recipe.find(name), to or Path(f"{name}.yaml")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UsageError(f"{target}: exists; nothing was written") from None
    except OSError as e:
        raise UsageError(f"{target}: cannot be written ({e.strerror})") from e
    typer.echo(f"{target}: change it, then: i2i train {target}")


@recipes_app.command("check")
def recipes_check(file: str) -> None:
    """Validate a recipe without training."""
    from i2i import recipe

    path = recipe.find(file)
    found = recipe.load(path)
    typer.echo(f"{path}: fine ({found.method.name} on {found.data.dataset}, {found.train.images:,} images)")


@models_app.command("list")
def models_list(
    published: Annotated[bool, typer.Option("--known", help="The published ones, fetched at their first use.")] = False,
) -> None:
    """Trained models in ./runs and in the model folder, and those that travel with i2i."""
    from i2i import known, models

    if published:
        table([row.cells() for row in known.KNOWN.values()], known.HEADERS)
        return
    rows = models.listing()
    table([row.cells() for row in rows], models.HEADERS)
    for row in rows:
        if row.problem:
            typer.echo(f"damaged: {row.problem}", err=True)
    typer.echo(f"and {len(known.KNOWN)} published ones can be used by name: i2i models list --known")


@models_app.command("show")
def models_show(name: str) -> None:
    """Everything about one model."""
    from i2i import models

    table(models.show(name))


@models_app.command("import", short_help="Make a model of other people's weights.")
def models_import(
    file: Annotated[
        str, typer.Argument(metavar="FILE|URL", help="A .pth, .pt, .ckpt or .safetensors file of a generator.")
    ],
    name: Annotated[str | None, typer.Option(help="The model's name; the file's if not given.")] = None,
    direction: Annotated[str | None, typer.Option(help="Which way it translates: a2b or b2a.")] = None,
    dropout: Annotated[bool | None, typer.Option(help="Whether dropout stays on when it is used.")] = None,
    values: Annotated[
        str | None,
        typer.Option("--range", help="Its values, if it enlarges: signed (-1 to 1), unit (0 to 1), imagenet."),
    ] = None,
    key: Annotated[str | None, typer.Option(help="Which weights of a checkpoint that holds several.")] = None,
) -> None:
    """Make a model of other people's weights, e.g. i2i models import checkpoints/mine/latest_net_G_A.pth."""
    from i2i import known

    with progress("importing") as bar:
        made = known.import_file(file, name, direction, dropout, values, key, bar)
    for note in made.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"{made.folder.name} is ready: i2i translate PICTURES --model {made.folder.name}")


@models_app.command("pull", short_help="Fetch a model from the Hugging Face Hub.")
def models_pull(
    address: Annotated[str, typer.Argument(metavar="hf://OWNER/NAME", help="A model on the Hugging Face Hub.")],
    revision: Annotated[str | None, typer.Option(help="A branch, a tag or a commit, if not the main branch.")] = None,
) -> None:
    """Fetch a model from the Hugging Face Hub, or fetch it again, e.g. i2i models pull hf://owner/name."""
    from i2i import folder, hub

    repo = hub.parse(address, revision)
    with progress("pulling") as bar:
        place = hub.pull(repo, bar)
    typer.echo(f"{repo} is ready: {place}")
    draws = folder.read_info(place).sampler
    typer.echo(f"i2i generate -n 64 --sheet --model {repo}" if draws else f"i2i translate PICTURES --model {repo}")


@models_app.command("push", short_help="Put a model on the Hugging Face Hub.")
def models_push(
    model: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run, a model folder, or the name of one.")],
    address: Annotated[str, typer.Argument(metavar="hf://OWNER/NAME", help="Where it goes; made if not there.")],
    private: Annotated[bool, typer.Option("--private", help="Nobody else sees it.")] = False,
    licence: Annotated[str | None, typer.Option(help="Of the model, like MIT, if it states none.")] = None,
) -> None:
    """Put a model on the Hugging Face Hub, with a model card, e.g. i2i models push runs/mine hf://owner/name."""
    from i2i import hub, models

    repo = hub.parse(address)
    with progress("pushing") as bar:
        commit = hub.push(models.find(model, bar), repo, private=private, licence=licence, progress=bar)
    typer.echo(f"{repo} is there: {commit}")

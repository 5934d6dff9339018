"""Models on the Hugging Face Hub, as ``hf://owner/name``: pulled into the folder of kept models, pushed from a run.

A token comes from the environment (``HF_TOKEN``) or from ``hf auth login``, by huggingface_hub, and is never shown.
"""

from __future__ import annotations

import os
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from i2i import __version__, folder, hub_card, paths
from i2i.errors import FetchError, I2IError, MissingExtra, ModelError, UsageError
from i2i.folder import CARD, INFO, Info
from i2i.ledger import lock
from i2i.obtain import digest
from i2i.runs import RECIPE
from i2i.transfer import Progress, need_space

PREFIX = "hf://"
ADDRESS = re.compile(r"hf://([A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*?)(?:@([\w./-]+))?")
EXAMPLE = "hf://owner/name, or hf://owner/name@revision"

TEXT, PICTURE, WEIGHTS = 2**20, 2**25, 2**33  # bytes, at most
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
MANY = 16  # pictures that come along, at most
SAMPLES = "samples.png"


@dataclass(frozen=True)
class Repo:
    """A place on the Hub. ``revision``: a branch, a tag or a commit; None is the main branch."""

    id: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{PREFIX}{self.id}{f'@{self.revision}' if self.revision else ''}"

    @property
    def place(self) -> Path:
        """Where its model folder lies or will lie: ``owner--name`` is also its name on this machine."""
        name = self.id.replace("/", "--")
        return paths.models() / (f"{name}@{self.revision.replace('/', '--')}" if self.revision else name)


def is_address(what: object) -> bool:
    return isinstance(what, str) and what.startswith(PREFIX)


def parse(address: str, revision: str | None = None) -> Repo:
    """
    Raises:
        UsageError: not an address, or two revisions.
    """
    found = ADDRESS.fullmatch(address)
    if not found or ".." in address or (revision is not None and not re.fullmatch(r"[\w./-]+", revision)):
        wrong = address if not found or ".." in address else f"revision {revision!r}"
        raise UsageError(f"{wrong}: a model on the Hub is written as {EXAMPLE}")
    if revision is not None and found[2] not in (None, revision):
        raise UsageError(f"{address}: names another revision than {revision}: give one of them")
    return Repo(found[1], revision or found[2])


def pull(repo: Repo, progress: Progress | None = None, sleep: Callable[[float], None] = time.sleep) -> Path:
    """Fetches a model into the folder of kept models, in place of what was pulled before; returns its folder.

    Only what a model needs is fetched: ``i2i.json``, the weights that it names (safetensors or ONNX, never a pickle),
    the card, the recipe and pictures. All of one commit, whole or not at all, checked against the sizes and sums that
    the Hub states.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        FetchError: it does not exist or is not open to this user, the Hub does not answer, or what came is not what was
            announced.
        ModelError: it is not a model of i2i.
    """
    api = _api()
    with lock(f"hub-{repo.place.name}", True, progress, sleep), _plainly(repo):
        found = api.model_info(repo.id, revision=repo.revision, files_metadata=True)
        listed = {file.rfilename: file for file in found.siblings or []}
        if INFO not in listed:
            raise ModelError(f"{repo}: not a model of i2i: it has no {INFO}")
        text = ""

        def fetch(names: list[str], fresh: Path, most: int) -> None:
            for number, name in enumerate(names):
                if progress:
                    progress(name, number, len(names))
                _fetch(api, repo, found.sha, listed[name], fresh, most)

        def fill(fresh: Path) -> Info:
            nonlocal text
            try:
                fetch([INFO], fresh, TEXT)
                info = folder.read_info(fresh)
                weights = _weights(info)
                if gone := [name for name in weights if name not in listed]:
                    raise ModelError(f"{repo}: {INFO} names {gone[0]}, which is not there")
                total = sum(listed[name].size or 0 for name in weights)
                need_space(fresh, total, str(repo))
                fetch([name for name in (CARD, RECIPE) if name in listed], fresh, TEXT)
                fetch(_pictures(list(listed)), fresh, PICTURE)
                fetch(weights, fresh, WEIGHTS)
                card = fresh / CARD
                text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else folder.card(info)
                return info
            except ModelError as e:  # that names the unfinished folder
                raise ModelError(str(e).replace(str(fresh), str(repo))) from e
            finally:
                shutil.rmtree(fresh / ".cache", ignore_errors=True)  # the notes of huggingface_hub

        folder.write_whole(repo.place, fill, lambda info: text)
    return repo.place


def push(
    model: Path, repo: Repo, *, private: bool = False, licence: str | None = None, progress: Progress | None = None
) -> str:
    """Puts a model folder on the Hub, in one commit, with a generated card; returns the address of the commit.

    The repository is made if it does not exist. A recipe comes along without the folders of this machine, and the last
    sample sheet, if the model lies in its run.

    Args:
        private: nobody else sees it.
        licence: in place of what the model states.

    Raises:
        MissingExtra: huggingface_hub is not installed.
        UsageError: a revision; no token; ``private``, and the repository is open.
        FetchError: the Hub refuses or does not answer.
        ModelError: the folder is damaged.
    """
    if repo.revision:
        raise UsageError(f"{repo}: a model is pushed to the main branch: leave @{repo.revision} out")
    api = _api()
    from huggingface_hub import CommitOperationAdd, get_token

    info = folder.read_info(model)
    if licence is not None:
        info = info.model_copy(update={"licence": licence})
    if get_token() is None:
        raise UsageError(f"{repo}: pushing needs a token: hf auth login, or set HF_TOKEN")
    run = model.parent if (model.parent / RECIPE).is_file() else None
    sheet = max((run / "sheets").glob("*.png"), default=None) if run else None
    recipe = hub_card.portable(run / RECIPE) if run else None
    files: dict[str, Any] = {name: model / name for name in _weights(info)}
    for path in files.values():
        if not path.is_file():
            raise ModelError(f"{model}: {path.name} is missing")
    files |= {SAMPLES: sheet} if sheet else {}
    files |= {RECIPE: recipe.encode()} if recipe else {}
    files[CARD] = hub_card.card(info, str(repo), SAMPLES if sheet else None, recipe is not None).encode()
    files[INFO] = hub_card.json_of(info).encode()
    with _plainly(repo), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the Hub would like to see in a card besides
        if progress:
            progress(str(repo), 0, None)
        api.create_repo(repo.id, private=private or None, exist_ok=True)  # None: as its owner has set
        if private and not api.model_info(repo.id).private:
            raise UsageError(f"{repo}: exists and is open to all: leave --private out, or choose another name")
        added = [CommitOperationAdd(name, content) for name, content in files.items()]
        done = api.create_commit(repo.id, added, commit_message=f"{info.name}: {info.method} on {info.dataset}")
    return str(done.commit_url)


def _weights(info: Info) -> list[str]:
    """The files that hold a model's numbers.

    Raises:
        ModelError: of a kind that is not fetched.
    """
    for name in info.files:
        if Path(name).suffix not in (".safetensors", ".onnx") or name.startswith("."):
            raise ModelError(f"{INFO} names {name}: weights are .safetensors or .onnx files")
    return info.files


def _pictures(names: list[str]) -> list[str]:
    flat = (name for name in names if re.fullmatch(r"\w[\w.-]*", name) and Path(name).suffix.lower() in PICTURES)
    return sorted(flat)[:MANY]


def _fetch(api: Any, repo: Repo, commit: str, file: Any, fresh: Path, most: int) -> None:
    """One file of a commit, into the folder ``fresh``.

    Raises:
        FetchError: larger than ``most`` bytes, or not what the Hub announced.
    """
    name, size = file.rfilename, file.size
    if size is None or size > most:
        large = "of unknown size" if size is None else f"of {size / 2**20:,.1f} MiB"
        raise FetchError(f"{repo}: {name} is {large}, at most {most / 2**20:,.0f} MiB are fetched")
    got = Path(api.hf_hub_download(repo.id, name, revision=commit, local_dir=fresh))
    if got.stat().st_size != size or (file.lfs and digest(got, None)[0] != file.lfs.sha256):
        raise FetchError(f"{repo}: {name} did not arrive as the Hub states it: try again")


def _api() -> Any:
    """
    Raises:
        MissingExtra: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as e:
        raise MissingExtra("huggingface-hub", "hub") from e
    disable_progress_bars()  # the terminal has one already
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"), library_name="i2i", library_version=__version__)


@contextmanager
def _plainly(repo: Repo) -> Iterator[None]:
    """What goes wrong on the way to the Hub, in one line.

    Raises:
        FetchError: anything that is no error of i2i already.
    """
    from huggingface_hub import errors

    login = "hf auth login, or set HF_TOKEN"
    try:
        yield
    except I2IError:
        raise
    except errors.GatedRepoError as e:
        raise FetchError(f"{repo}: its owner wants to be asked first, on its page on the Hub; then: {login}") from e
    except errors.RepositoryNotFoundError as e:  # also what the Hub says to those who may not see it
        raise FetchError(f"{repo}: no such model on the Hub, or a private one: {login}") from e
    except errors.RevisionNotFoundError as e:
        raise FetchError(f"{repo}: no such revision of this model") from e
    except errors.HfHubHTTPError as e:
        status = getattr(e.response, "status_code", None)
        if status in (401, 403):
            raise FetchError(f"{repo}: the token is not valid or may not do this: {login}") from e
        raise FetchError(f"{repo}: the Hub answered {status or _line(e)}: try again later") from e
    except Exception as e:  # of the network and of huggingface_hub, which are of many classes
        raise FetchError(f"{repo}: the Hub cannot be reached or is not understood ({_line(e)})") from e


def _line(e: BaseException) -> str:
    words = " ".join(str(e).split()) or type(e).__name__
    return words if len(words) <= 200 else f"{words[:200]}..."

"""The page that runs an exported model in a browser, and the runtime that must lie beside it."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from i2i import paths
from i2i.errors import FetchError, UsageError

NPM = "onnxruntime-web"
FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""What a page needs of it to compute on the CPU, with one thread or several: 14 MB, less than 4 when compressed."""


def runtime(package: str, given: Path | None = None) -> Path:
    """The folder that holds ``FILES``: ``given``, else that in ``./node_modules``, else what npm packs, kept for later.

    Args:
        package: name and version, as npm takes them.
        given: the folder of an unpacked package, or its ``dist``.

    Raises:
        UsageError: ``given`` holds no such files.
        FetchError: npm is not installed, or cannot have the package.
    """
    if given is not None:
        folder = _complete(given)
        if folder is None:
            raise UsageError(f"{given}: not the npm package {NPM}: {', '.join(FILES)} must lie in it or in its dist/")
        return folder
    kept = paths.cache() / "runtime" / package
    return _complete(Path("node_modules") / NPM) or _complete(kept) or _packed(package, kept)


def _complete(folder: Path) -> Path | None:
    return next((f for f in (folder / "dist", folder) if all(paths.is_file(f / name) for name in FILES)), None)


def _packed(package: str, kept: Path) -> Path:
    """Lets npm download the package, without installing anything, and keeps what is needed of it."""
    npm = shutil.which("npm")
    if npm is None:
        raise FetchError(
            f"the page needs {package}, and npm is not installed here: run npm pack {package} where it is, unpack the "
            "archive, and give its folder: --runtime FOLDER"
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as place:
        done = subprocess.run(
            [npm, "pack", package, "--silent", "--pack-destination", place], cwd=place, capture_output=True, text=True
        )
        archives = list(Path(place).glob("*.tgz"))
        if done.returncode or not archives:
            said = (done.stderr.strip() or "it says nothing").splitlines()[-1]
            raise FetchError(f"npm pack {package} failed ({said}): try again, or give the package: --runtime FOLDER")
        fresh = Path(place) / "fresh"
        fresh.mkdir()
        with tarfile.open(archives[0]) as archive:
            for name in FILES:
                try:
                    content = archive.extractfile(f"package/dist/{name}")
                except KeyError as e:
                    raise FetchError(f"{package}: holds no dist/{name}: the page needs another version of {NPM}") from e
                if content is not None:
                    (fresh / name).write_bytes(content.read())
        shutil.rmtree(kept, ignore_errors=True)
        fresh.rename(kept)
    return kept


def write_page(folder: Path, found: Path) -> None:
    """Puts the page into ``folder``, and the runtime ``found`` beside it."""
    for path in sorted((paths.data("export") / "web").iterdir()):
        shutil.copyfile(path, folder / path.name)
    (folder / "runtime").mkdir()
    for name in FILES:
        shutil.copyfile(found / name, folder / "runtime" / name)

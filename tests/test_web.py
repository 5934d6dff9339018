"""The page beside an exported model: its files, where its runtime comes from, and a visit in a real browser."""

from __future__ import annotations

import base64
import functools
import http.server
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from exports_for_tests import mirrored
from models_for_tests import make_model
from PIL import Image

import i2i
from i2i import exporting, folder, nets, paths, web
from i2i.errors import FetchError, UsageError

PAGE = ["index.html", "page.css", "page.js", "worker.js"]


def package(place: Path, names=web.FILES, below: str = "dist") -> Path:
    """As npm unpacks it, with other content."""
    (place / below).mkdir(parents=True)
    for name in names:
        (place / below / name).write_text(f"this is {name}")
    return place


# ---------------------------------------------------------------- the runtime


def test_a_runtime_that_is_given(tmp_path):
    place = package(tmp_path / "onnxruntime-web")
    assert web.runtime("onnxruntime-web@1", place) == place / "dist"
    assert web.runtime("onnxruntime-web@1", place / "dist") == place / "dist"
    with pytest.raises(UsageError, match=r"elsewhere: not the npm package onnxruntime-web: ort.wasm.min.mjs, .* must"):
        web.runtime("onnxruntime-web@1", tmp_path / "elsewhere")


def test_a_runtime_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package(tmp_path / "node_modules" / "onnxruntime-web")
    assert web.runtime("onnxruntime-web@1") == Path("node_modules/onnxruntime-web/dist")


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """npm as far as it is asked; what it shall pack, say and answer is set by the test."""
    calls = []

    class Npm:
        names, code, says = web.FILES, 0, ""

        def run(self, words, cwd, **_):
            calls.append(words)
            if self.code == 0:
                with tarfile.open(Path(cwd) / "onnxruntime-web-1.tgz", "w:gz") as archive:
                    for name in self.names:
                        member = tarfile.TarInfo(f"package/dist/{name}")
                        member.size = len(name)
                        archive.addfile(member, io.BytesIO(name.encode()))
            return subprocess.CompletedProcess(words, self.code, "", self.says)

    fake = Npm()
    fake.calls = calls
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(web.shutil, "which", lambda name: "/bin/npm")
    monkeypatch.setattr(web.subprocess, "run", fake.run)
    return fake


def test_npm_packs_it_once(npm):
    found = web.runtime("onnxruntime-web@1")
    assert found == paths.cache() / "runtime" / "onnxruntime-web@1"
    assert {p.name: p.read_text() for p in found.iterdir()} == {name: name for name in web.FILES}
    assert web.runtime("onnxruntime-web@1") == found
    assert [call[:3] for call in npm.calls] == [["/bin/npm", "pack", "onnxruntime-web@1"]]
    assert [p.name for p in found.parent.iterdir()] == [found.name]


def test_npm_that_fails(npm):
    npm.code, npm.says = 1, "npm error code E404\nnpm error 404 Not Found"
    with pytest.raises(
        FetchError, match=r"^npm pack \S+@1 failed \(npm error 404 Not Found\): try again, or give the pac"
    ):
        web.runtime("onnxruntime-web@1")
    npm.code, npm.names = 0, web.FILES[:2]
    with pytest.raises(FetchError, match=r"holds no dist/ort-wasm-simd-threaded.wasm: the page needs another version"):
        web.runtime("onnxruntime-web@1")
    assert list((paths.cache() / "runtime").iterdir()) == []


def test_without_npm(npm, monkeypatch):
    monkeypatch.setattr(web.shutil, "which", lambda name: None)
    with pytest.raises(FetchError) as e:
        web.runtime("onnxruntime-web@1")
    assert "npm pack onnxruntime-web@1" in str(e.value)
    assert str(e.value).endswith("--runtime FOLDER")
    assert "\n" not in str(e.value)


# ---------------------------------------------------------------- the folder


@pytest.fixture
def noted(monkeypatch):
    """Nobody waits for torch: what it would export was written by hand, and is taken for equal."""
    monkeypatch.setattr(exporting, "to_onnx", lambda *_: mirrored())
    monkeypatch.setattr(exporting.parity, "worst_layer", lambda *_: "")


def lenient(tmp_path: Path) -> Path:
    """The packaged target, but for what it allows."""
    text = (paths.data("export") / "web.yaml").read_text()
    (tmp_path / "web.yaml").write_text(re.sub("tolerance: .*", "tolerance: 9", text))
    return tmp_path / "web.yaml"


def test_what_is_written(noted, tmp_path):
    make_model(tmp_path / "m", nets.UNetConfig(depth=3, width=4))
    place = package(tmp_path / "onnxruntime-web")
    out = exporting.export(tmp_path / "m", target=lenient(tmp_path), runtime=place)
    assert out == tmp_path / "m-web"
    top = sorted(p.name for p in out.iterdir())
    assert top == ["README.md", "i2i.json", "index.html", "model.onnx", "page.css", "page.js", "runtime", "worker.js"]
    assert {p.name: p.read_text() for p in (out / "runtime").iterdir()} == {n: f"this is {n}" for n in web.FILES}
    facts = folder.read_info(out).export
    assert (facts.target, facts.pixels, facts.page) == ("web", True, True)
    text = (out / "README.md").read_text()
    assert "python -m http.server --bind 127.0.0.1" in text
    assert "docker" not in text
    assert i2i.load(out)(np.zeros((5, 7, 3), np.uint8)).shape == (5, 7, 3)


def test_a_runtime_for_no_page(tmp_path):
    with pytest.raises(UsageError, match="the target onnx writes no page for browsers: leave the runtime out"):
        exporting.export(tmp_path, runtime=tmp_path)


def test_a_missing_runtime_is_noticed_before_anything_is_written(noted, tmp_path):
    make_model(tmp_path / "m", nets.UNetConfig(depth=3, width=4))
    with pytest.raises(UsageError, match="not the npm package"):
        exporting.export(tmp_path / "m", target="web", runtime=tmp_path / "nothing")
    assert [p.name for p in tmp_path.iterdir()] == ["m"]


def test_the_page_names_nothing_from_elsewhere():
    files = {p.name: p.read_text() for p in (paths.data("export") / "web").iterdir()}
    assert sorted(files) == PAGE
    assert not any(re.search(r"https?:|//[a-z]+\.|\beval\b(?!')|innerHTML", text) for text in files.values())
    page = files["index.html"]
    policy = dict(part.strip().split(" ", 1) for part in re.search(r'Policy" content="([^"]+)"', page)[1].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["connect-src"] == "'self'"
    allowed = {"'none'", "'self'", "'wasm-unsafe-eval'", "blob:", "data:"}
    assert {word for words in policy.values() for word in words.split()} <= allowed
    assert not re.search(r"<script(?! type=\"module\" src=)|\sstyle=|\son\w+=", page)  # the policy would forbid it
    used = set(re.findall(r'\$\("([\w-]+)"\)', files["page.js"]))
    assert used <= set(re.findall(r'id="([\w-]+)"', page))


# ---------------------------------------------------------------- a visit


class Place:
    """A web server on this machine, and what it was asked for."""

    def __init__(self, root: Path):
        asked = self.asked = []

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                super().do_GET()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=root))
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.browser
@pytest.mark.timeout(600)
def test_a_visit(tmp_path):
    browser = os.environ.get("I2I_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    modules = os.environ.get("I2I_NODE")
    if not browser or not modules:
        pytest.skip("no Chromium, or I2I_NODE names no folder where npm has installed playwright-core, onnxruntime-web")
    make_model(tmp_path / "m", nets.UNetConfig(depth=5, width=8), settled=True, gain=0.3, both=True)
    runtime = Path(modules) / "node_modules" / "onnxruntime-web"
    out = exporting.export(tmp_path / "m", target="web", runtime=runtime)
    dropped = np.random.default_rng(0).integers(0, 256, (45, 70, 3), dtype=np.uint8)
    dropped[:, 10:30] = (200, 30, 60)
    Image.fromarray(dropped).save(tmp_path / "picture.png")
    (tmp_path / "node_modules").symlink_to(Path(modules).resolve() / "node_modules")
    shutil.copy(Path(__file__).with_name("page_for_tests.mjs"), tmp_path)
    here, elsewhere = Place(out), Place(tmp_path)
    try:
        given = [here.url, tmp_path / "picture.png", tmp_path / "saved.png", tmp_path / "seen.png", elsewhere.url]
        done = subprocess.run(
            ["node", "page_for_tests.mjs", browser, *given], cwd=tmp_path, capture_output=True, text=True, timeout=500
        )
    finally:
        here.close()
        elsewhere.close()
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["errors"] == []
    assert seen["title"] == "m"
    assert seen["ways"] == ["label → photo", "photo → label"]

    def pixels(name: str) -> np.ndarray:
        canvas = seen[name]
        values = np.frombuffer(base64.b64decode(canvas["rgba"]), np.uint8)
        return values.reshape(canvas["height"], canvas["width"], 4)[..., :3]

    translate = i2i.load(tmp_path / "m")
    assert np.array_equal(pixels("picture"), dropped)
    assert np.abs(pixels("dropped").astype(int) - translate(dropped)).max() <= 1
    drawing = pixels("drawing")
    assert (drawing[22, 35] == (0x12, 0x34, 0x56)).all()
    assert (drawing[:10] == dropped[:10]).all()
    assert np.abs(pixels("drawn").astype(int) - translate(drawing)).max() <= 1
    back = i2i.load(tmp_path / "m", direction="b2a")
    assert np.abs(pixels("other_way").astype(int) - back(drawing)).max() <= 1
    assert np.abs(pixels("other_way").astype(int) - pixels("drawn")).max() > 10
    assert np.array_equal(np.asarray(Image.open(tmp_path / "saved.png").convert("RGB")), pixels("other_way"))
    assert np.array_equal(pixels("undone"), dropped)
    assert seen["saved_as"] == "translated.png"
    assert seen["split"] == "inset(0px 70% 0px 0px)"
    assert np.asarray(Image.open(tmp_path / "seen.png")).std() > 10
    # Nothing but this server was asked, and what tried to ask another was stopped before it left.
    assert {url.removeprefix("blob:").startswith(here.url) for url in seen["requests"]} == {True}
    assert (seen["page_leaves"], seen["worker_leaves"]) == ("refused", "refused")
    assert elsewhere.asked == []
    assert "/runtime/ort-wasm-simd-threaded.wasm" in here.asked

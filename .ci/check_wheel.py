"""Checks an installed wheel without extras: run by the environment's own Python, from outside of the checkout.

    python check_wheel.py CHECKOUT EMPTY_FOLDER
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import util
from pathlib import Path

checkout, here = Path(sys.argv[1]), Path(sys.argv[2])
here.mkdir(parents=True)
env = {k: v for k, v in os.environ.items() if not k.startswith(("I2I_", "PYTHON"))} | {"I2I_CACHE": str(here / "cache")}
command = Path(sys.executable).parent / "i2i"


def run(*args: str, code: int = 0) -> str:
    done = subprocess.run([command, *args], cwd=here, env=env, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    say(f"i2i {' '.join(args)}: exit code {code}", done.returncode == code and "Traceback" not in said, said)
    return said


def say(what: str, holds: bool, why: object = "") -> None:
    sys.stdout.write(f"{'ok  ' if holds else 'FAIL'}  {what}\n")
    if not holds:
        sys.exit(f"{what}\n{why}")


extras = ("torch", "torchvision", "kornia", "albumentations", "accelerate", "safetensors")
say("torch and the rest of the extras are not here", not any(util.find_spec(name) for name in extras))

import_it = "import i2i, sys; print(i2i.__file__); print(*i2i.__all__)"
done = subprocess.run([sys.executable, "-c", import_it], cwd=here, env=env, capture_output=True, text=True, check=True)
say("import i2i works without torch", "site-packages" in done.stdout.splitlines()[0], done.stdout)
package = Path(done.stdout.splitlines()[0]).parent

for kind in ("datasets", "recipes", "export"):
    for file in sorted(path for path in (checkout / kind).rglob("*") if path.is_file()):
        inside = package / "_data" / file.relative_to(checkout)
        same = inside.is_file() and inside.read_bytes() == file.read_bytes()
        if not same:
            say(f"{file.relative_to(checkout)} is packaged", same, inside)
    say(f"{kind}/ is packaged, every file", True)
say("typing marker py.typed is packaged", (package / "py.typed").is_file())

run("--help")
run("--version")
listed, recipes = run("datasets", "list"), run("recipes", "list")
say("datasets list names every card", all(f.stem in listed for f in (checkout / "datasets").glob("*.yaml")), listed)
say("recipes list names every recipe", all(f.stem in recipes for f in (checkout / "recipes").glob("*.yaml")), recipes)
run("datasets", "show", "facades")
run("recipes", "show", "pix2pix-facades")
run("models", "list")
run("doctor")
run("datasets", "download", "shapes")
run("datasets", "check", "shapes")

label = here / "cache" / "datasets" / "shapes" / "test" / "A"
run("translate", str(sorted(label.iterdir())[0]), "--model", "facades", "--out", "painted.png")
say("the model that travels with i2i translates, without torch and offline", (here / "painted.png").stat().st_size > 0)
seconds = []
for _ in range(5):
    began = time.perf_counter()
    run("translate", "painted.png", "--model", "facades", "--out", "again.png", "--overwrite")
    seconds.append(time.perf_counter() - began)
say(f"a translation, start and model included, takes {min(seconds):.2f} s (best of {len(seconds)})", True)

missing = "error: this needs torch, which is not installed: pip install 'i2i-toolkit[train]'\n"
said = run("train", "pix2pix", "--dataset", "shapes", code=2)
say("train says which extra is missing, in one line", said == missing, said)
say("train has left nothing behind", not (here / "runs").exists())

seconds = []
for _ in range(5):
    began = time.perf_counter()
    subprocess.run([command, "--help"], cwd=here, env=env, capture_output=True, check=True)
    seconds.append(time.perf_counter() - began)
say(f"i2i --help answers in {min(seconds):.2f} s, under 0.4 s (best of {len(seconds)})", min(seconds) < 0.4)

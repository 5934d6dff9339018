"""What is written beside an exported model: a README with a caller, what was proven, and where the model comes from."""

from __future__ import annotations

from i2i import callers
from i2i.folder import SAMPLER, Export, Info, Sampler
from i2i.latents import LABELS, TRUNCATION, Z
from i2i.modelcard import card, command


def readme(info: Info) -> str:
    """The model card of an exported model."""
    return card(info, use=[*_use(info), "", *_proof(info)])


def summary(info: Info) -> list[str]:
    """What to tell the one who exported it, in lines."""
    facts = info.export
    if facts is None:
        return []
    lines = []
    for key, proof in facts.proofs.items():
        file = _file(info, key)
        lines.append(
            f"{file}: {_size(proof.bytes)}, opset {facts.opset}, {facts.precision}; "
            f"differs from torch by {proof.max:.2g} at most ({_decibels(proof.psnr)})"
        )
    lines += _levels(info)
    lines.append(f"compared {_where(facts)}")
    if facts.calibrated:
        lines.append(f"calibrated with {_calibrated(facts)}, compared on others")
    if facts.noise_removed:
        lines.append("dropout, the noise of the trained model, is off in the exported one: one picture, one result")
    return lines


def _use(info: Info) -> list[str]:
    if info.sampler:
        return _drawing(info, info.sampler)
    page = info.export is not None and info.export.page
    masked = info.products[info.default].masked
    return [
        *(_page() if page else []),
        "With i2i, any picture in, the same kind of picture out (no torch needed):",
        "",
        "```",
        "pip install i2i-toolkit",
        command(info),
        "```",
        "",
        *([] if page else _container()),
        "The programs below need no i2i; they run in this folder.",
        "",
        "Python, with `pip install onnxruntime numpy pillow`:",
        "",
        *_code("python", callers.python(info)),
        *([] if masked else _other_languages(info)),
        _tensors(info),
        *(["The last channel of the input is the mask: 1 where the picture is missing, else 0."] * masked),
    ]


def _drawing(info: Info, sampler: Sampler) -> list[str]:
    labels = ""
    if sampler.classes:
        labels = f" Input `{LABELS}` is int64 [batch]: which of the classes 0 to {sampler.classes - 1}."
    if sampler.styles:
        labels = f" Each of {sampler.styles} layers has its own. Input `{TRUNCATION}` is float32 [batch]: "
        labels += "1 leaves styles as they are, less draws them towards their mean."
    takes = ", ".join(map(str, sampler.shape))
    shape = f"[batch, {sampler.channels}, {sampler.size[0]}, {sampler.size[1]}]"
    return [
        "With i2i (no torch needed):",
        "",
        "```",
        "pip install i2i-toolkit",
        command(info),
        "```",
        "",
        "The program below needs no i2i; it runs in this folder and draws what `i2i generate -n 16 --seed 0` draws.",
        "",
        "Python, with `pip install onnxruntime numpy pillow`:",
        "",
        *_code("python", callers.drawing(sampler)),
        f"Input `{Z}` is float32 [batch, {takes}]: {sampler.latent.sentence()}."
        f"{labels} The output is float32 {shape} from -1 to 1; the batch is free.",
    ]


def _other_languages(info: Info) -> list[str]:
    return [
        "Node, with `npm install onnxruntime-node sharp`, as `translate.mjs`:",
        "",
        *_code("js", callers.node(info)),
        "C++17, with onnxruntime's headers and library (`g++ -std=c++17 translate.cpp -lonnxruntime`):",
        "",
        *_code("cpp", callers.cpp(info)),
    ]


def _page() -> list[str]:
    return [
        "In a browser: every web server can offer this folder, for example",
        "",
        "```",
        "python -m http.server --bind 127.0.0.1 --directory path/to/this/folder 8000",
        "```",
        "",
        "Then open http://localhost:8000: drop a picture or draw one. Pictures never leave the machine of the one who "
        "looks at the page, and nothing is fetched from elsewhere. A server that also sends "
        "`Cross-Origin-Opener-Policy: same-origin` and `Cross-Origin-Embedder-Policy: require-corp` lets it use more "
        "than one core. The folder `runtime` is onnxruntime-web (MIT licence, Microsoft).",
        "",
    ]


def _container() -> list[str]:
    return [
        "In a container (the Dockerfile has not been built by those who wrote it), a folder of pictures at a time:",
        "",
        "```",
        "docker build -t translate path/to/this/folder",
        'docker run --rm --user "$(id -u)" -v "$PWD/in:/in:ro" -v "$PWD/out:/out" translate',
        "```",
        "",
    ]


def _code(language: str, text: str) -> list[str]:
    return [f"```{language}", *text.splitlines(), "```", ""]


def _tensors(info: Info) -> str:
    scale = info.products[info.default].scale
    larger = f" The output is {scale} times as high and as wide as the input." if scale > 1 else ""
    if info.export is not None and info.export.pixels:
        return (
            "Input `pixels` and output `translated` are uint8 [batch, height, width, channels]; every size from one "
            f"pixel up is taken: borders are padded by reflection and cropped back inside the file.{larger}"
        )
    shape = "[batch, channels, height, width]"
    return f"Input and output are float32 {shape} from -1 to 1; batch, height and width are free.{larger}"


def _proof(info: Info) -> list[str]:
    facts = info.export
    if facts is None:
        return []
    return [
        "## Exported",
        "",
        f"ONNX opset {facts.opset}, {facts.precision} (target {facts.target}); by i2i {info.i2i}, torch {facts.torch}.",
        f"Compared with the torch network {_where(facts)}:",
        "",
        "| file | size | largest difference | mean difference | PSNR |",
        "|---|---|---|---|---|",
        *(
            f"| {_file(info, key)} | {_size(p.bytes)} | {p.max:.2g} | {p.mean:.2g} | {_decibels(p.psnr)} |"
            for key, p in facts.proofs.items()
        ),
        *([""] * facts.pixels),
        *(f"{line}." for line in _levels(info)),
        *(["", f"Calibrated with {_calibrated(facts)}, compared on others."] if facts.calibrated else []),
        *(["", "The trained model keeps dropout on as its noise; this one answers without it."] * facts.noise_removed),
    ]


def _levels(info: Info) -> list[str]:
    """How pictures compare that went through raw pixels, in lines."""
    facts = info.export
    if facts is None or not facts.pixels:
        return []
    sizes = ", ".join(f"{h}x{w}" for h, w in facts.picture_sizes)
    return [
        f"{info.products[key].file}: raw pixels of {sizes}: "
        + (
            f"{proof.levels} of 255 levels from i2i translate at most, in {proof.differing:.2%} of the values"
            if proof.levels
            else "the very pictures of i2i translate"
        )
        for key, proof in facts.proofs.items()
    ]


def _file(info: Info, key: str) -> str:
    return info.sampler.file if info.sampler and key == SAMPLER else info.products[key].file


def _where(facts: Export) -> str:
    """What was compared: the sizes of pictures, or how many a network drew."""
    at_once = " and ".join(map(str, facts.batches))
    if facts.latents:
        return f"on {facts.latents} latents, {at_once} at once"
    return f"at {', '.join(f'{h}x{w}' for h, w in facts.sizes)} (height x width), {at_once} at once"


def _calibrated(facts: Export) -> str:
    return f"{facts.calibrated} {'latents' if facts.latents else 'pictures'}"


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count > 2**20 else f"{count / 2**10:.0f} KiB"


def _decibels(psnr: float | None) -> str:
    return "no difference" if psnr is None else f"{psnr:.0f} dB"

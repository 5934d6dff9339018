"""Animated GIF, WebP and PNG: their frames, times, repetitions and transparency."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

from i2i import writing
from i2i.data import pictures
from i2i.errors import DataError
from i2i.transfer import Progress

FORMATS: dict[str, tuple[str, dict[str, Any]]] = {
    ".gif": ("GIF", {"disposal": 2}),  # each frame by itself: what is transparent does not show the one before
    ".webp": ("WEBP", {"quality": 95}),
    ".png": ("PNG", {"disposal": 1, "blend": 0}),
    ".apng": ("PNG", {"disposal": 1, "blend": 0}),
}  # suffix -> Pillow's name, options
PIXELS = 2**29  # of all frames together, which an encoder holds at once

Through = Callable[[Iterable[tuple[Any, Any]]], Iterator[tuple[Any, Any]]]


def moves(path: Path) -> bool:
    """Whether the file is an animation of a kind that is written too. What cannot be read is none."""
    if path.suffix.lower() not in FORMATS:
        return False
    try:
        if path.suffix.lower() in (".png", ".apng"):  # a look at the head is enough for nearly all, and fast
            with path.open("rb") as file:
                if b"acTL" not in file.read(4096):
                    return False
        with pictures.opened(path) as image:
            return getattr(image, "is_animated", False)
    except (OSError, DataError):
        return False


def translate(
    source: Path, target: Path, through: Through, progress: Progress | None = None, quality: int | None = None
) -> None:
    """``through`` maps frames (milliseconds, PIL image) to the same, translated.

    GIF shows a pixel or does not: what is half transparent becomes one or the other. Frames that are equal become one
    that is shown longer, as Pillow writes them.

    Raises:
        DataError: a damaged or too large animation, or the format cannot hold the result.
    """
    with pictures.opened(source) as image:
        count, loop = getattr(image, "n_frames", 1), image.info.get("loop")
        if count * image.width * image.height > PIXELS:
            size = f"{count} frames of {image.width} x {image.height} pixels"
            raise DataError(f"{source}: {size} are too many for an animated picture: make a video of it")
    done: list[tuple[Any, Image.Image]] = []
    for duration, after in through(frames(source)):
        done.append((duration, after))
        if progress:
            progress(source.name, len(done), count)
    kind, options = FORMATS[target.suffix.lower()]
    first, *rest = [shown(after, kind) for _, after in done]
    times = {"duration": [duration for duration, _ in done], "loop": loop}
    if loop is None:  # a GIF that says nothing is shown once; the others have no way to say nothing
        times.update({} if kind == "GIF" else {"loop": 1})
    if quality is not None and "quality" in options:
        options = {**options, "quality": quality}
    options = {**options, **{key: value for key, value in times.items() if value is not None}}
    target.parent.mkdir(parents=True, exist_ok=True)
    part = writing.draft(target)
    try:
        first.save(part, kind, save_all=True, append_images=rest, **options)
        part.replace(target)
    except Exception as e:  # each of Pillow's encoders complains in its own class
        raise DataError(f"{target}: cannot be written ({str(e) or type(e).__name__})") from e
    finally:
        part.unlink(missing_ok=True)


def frames(path: Path) -> Iterator[tuple[float, Image.Image]]:
    """All frames, each with the milliseconds that it is shown.

    Raises:
        DataError: one cannot be read.
    """
    with pictures.opened(path) as image:
        for frame in ImageSequence.Iterator(image):
            frame.load()
            yield frame.info.get("duration", 0), frame.convert("RGBA" if pictures.has_alpha(frame) else "RGB")


def shown(image: Image.Image, kind: str) -> Image.Image:
    """As the format holds it."""
    if image.mode == "LA" or (kind == "WEBP" and image.mode == "L"):
        return image.convert("RGBA" if image.mode == "LA" else "RGB")
    return image

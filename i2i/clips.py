"""What moves: videos and animated pictures, translated frame after frame as one clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from PIL import Image

from i2i import animation, video
from i2i.errors import UsageError
from i2i.folder import Info
from i2i.transfer import Progress

if TYPE_CHECKING:
    from i2i.translator import Engine, Translator

SUFFIXES = frozenset({*video.SUFFIXES, ".apng"})  # beside those of pictures, which may be animated
TARGETS = frozenset({*video.CONTAINERS, *animation.FORMATS})

TOGETHER = 2**21  # pixels of frames that are held at once
SMALL = (16, 16)  # frames are compared at this size
CUT = 40  # mean difference of two frames, of 255 levels, from which on a new scene begins

Frame = TypeVar("Frame")


def suffix(source: Path, format: str | None) -> str | None:
    """How the translation of a clip is called; None: it is a still picture, or shall become one.

    A video stays in its container, or goes into Matroska where its own is no longer written. An animation stays what it
    is, or becomes ``format`` where that can be animated.
    """
    if source.suffix.lower() in video.SUFFIXES:
        return source.suffix if source.suffix.lower() in video.CONTAINERS else ".mkv"
    wanted = f".{format}" if format else source.suffix
    return wanted if wanted.lower() in animation.FORMATS and animation.moves(source) else None


def is_clip(source: Path, target: Path) -> bool:
    """Whether ``source`` is to be translated as a clip when the result is ``target``."""
    if source.suffix.lower() in video.SUFFIXES:
        return True
    return target.suffix.lower() in animation.FORMATS and animation.moves(source)


def translate_clip(
    translator: Translator,
    source: Path,
    target: Path,
    call: Callable[[Any], Any] | None = None,
    progress: Progress | None = None,
    quality: int | None = None,
) -> list[str]:
    """Translates a clip into a file: whole or not at all, frame by frame, so that length is no matter of memory.

    Args:
        call: translates a list of frames; ``translator`` itself if not given.
        progress: told how many frames are done, and out of how many, where that is known.
        quality: 1 to 100, of an animated WebP.

    Returns:
        What is worth saying about the result, a line each.

    Raises:
        UsageError: a video cannot become that kind of file.
        DataError: ``source`` is damaged, or ``target`` cannot be written.
        MissingExtra: a video, and PyAV is not installed.
    """
    moving = source.suffix.lower() in video.SUFFIXES
    if moving and target.suffix.lower() not in video.CONTAINERS:
        raise UsageError(f"{target}: videos are written as {', '.join(video.CONTAINERS)}")
    notes = []
    with translator.engine.frames() as new_scene:
        if new_scene is None and by_each_frame(translator.info, translator.direction):
            notes.append(
                f"{source}: exported models take statistics from each frame by itself, the result may flicker: "
                "the model that it was exported from holds them steady"
            )
        through = Through(call or translator, translator.engine, new_scene)
        if moving:
            return notes + video.translate(source, target, through, progress)
        animation.translate(source, target, through, progress, quality)
    return notes


class Through:
    """Frames in, translated frames out, as many at once as are worth it and fit; the statistics start anew at a cut.

    A frame is anything with a stamp, (stamp, picture), which stays beside its picture.
    """

    def __init__(self, call: Callable[[Any], Any], engine: Engine, new_scene: Callable[[], None] | None):
        self.call, self.batch, self.new_scene = call, engine.batch, new_scene

    def __call__(self, frames: Iterable[tuple[Frame, Any]]) -> Iterator[tuple[Frame, Any]]:
        group: list[tuple[Frame, Any]] = []
        last = None
        for stamp, picture in frames:
            small = thumb(picture)
            cut = last is not None and np.abs(small - last).mean() > CUT
            width, height = size(picture)
            if group and (cut or len(group) == max(1, min(self.batch, TOGETHER // (width * height)))):
                yield from self.translated(group)
                group = []
            if cut and self.new_scene:
                self.new_scene()
            group.append((stamp, picture))
            last = small
        if group:
            yield from self.translated(group)

    def translated(self, group: list[tuple[Frame, Any]]) -> Iterator[tuple[Frame, Any]]:
        return zip([stamp for stamp, _ in group], self.call([picture for _, picture in group]), strict=True)


def thumb(picture: Any) -> np.ndarray:
    """A frame, array [H, W, 3] or PIL image, small enough to compare it with another: int [h, w, 3]."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    return np.asarray(image.convert("RGB").resize(SMALL, Image.Resampling.BOX)).astype(int)


def size(picture: Any) -> tuple[int, int]:
    """(width, height)"""
    return picture.size if isinstance(picture, Image.Image) else picture.shape[1::-1]


def by_each_frame(info: Info, product: str) -> bool:
    """Whether the network has norms that take their statistics from the picture itself."""
    norm = info.products[product].generator.get("norm")
    return norm == "instance" or (norm == "batch" and info.inference.norm == "image")

"""Tiny clips, made on the spot: a few frames, a tone."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 64, 48
CODECS = {
    ".mp4": ("libx264", "aac"),
    ".mov": ("libx264", "aac"),
    ".mkv": ("libx264", "aac"),
    ".webm": ("libvpx-vp9", "libopus"),
    ".avi": ("mpeg4", "mp3"),
}
TIMES = (0, 50, 130, 240, 300, 340, 460, 500, 590, 640)  # milliseconds


class Clip(NamedTuple):
    """What is in a file: frames uint8 [H, W, 3], when they are shown in seconds, packets of sound."""

    frames: list[np.ndarray]
    times: list[float]
    sound: list[bytes]


def moving(count: int = 10, width: int = WIDTH, height: int = HEIGHT) -> list[np.ndarray]:
    """A ramp with a box that wanders over it."""
    ramp = np.linspace(30, 200, width)[None, :, None] * np.ones((height, 1, 3)) * [1.0, 0.8, 0.6]
    frames = []
    for i in range(count):
        frame = ramp.astype(np.uint8)
        frame[8:24, 4 + 3 * i : 20 + 3 * i] = (250, 240, 20)
        frames.append(frame)
    return frames


def make_clip(
    path: Path, frames: Sequence[np.ndarray] = (), times: Sequence[int] = TIMES, sound: bool = True, pixels="yuv420p"
) -> Path:
    """Writes frames uint8 [H, W, 3] at ``times``, and a tone of a second beside them."""
    import av

    frames = frames or moving()
    height, width = frames[0].shape[:2]
    coder, sounds = CODECS[path.suffix]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as file:
        video = file.add_stream(coder, rate=10)
        video.width, video.height, video.pix_fmt = width, height, pixels
        base = video.codec_context.time_base = Fraction(1, 10 if path.suffix == ".avi" else 1000)
        tone = file.add_stream(sounds, rate=48000) if sound else None
        if tone:
            tone.layout = "mono"
        for i, pixel in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixel, format="rgb24")
            frame.pts, frame.time_base = (i, base) if path.suffix == ".avi" else (times[i], base)
            file.mux(video.encode(frame))
        file.mux(video.encode())
        if tone:
            wave = (np.sin(np.arange(48000) * 2 * np.pi * 440 / 48000) / 2).astype(np.float32)
            for start in range(0, 48000, 960):
                samples = av.AudioFrame.from_ndarray(wave[None, start : start + 960], format="fltp", layout="mono")
                samples.sample_rate, samples.pts, samples.time_base = 48000, start, Fraction(1, 48000)
                file.mux(tone.encode(samples))
            file.mux(tone.encode())
    return path


def read_clip(path: Path) -> Clip:
    """As stored, not turned."""
    import av

    with av.open(str(path)) as file:
        video, sounds = file.streams.video[0], file.streams.audio
        frames, times, sound = [], [], []
        for packet in file.demux():
            if packet.stream.type == "video":
                for frame in packet.decode():
                    frames.append(frame.to_ndarray(format="rgb24"))
                    times.append(float(frame.pts * video.time_base))
            elif packet.size and packet.stream.index == sounds[0].index:
                sound.append(bytes(packet))
    return Clip(frames, times, sound)

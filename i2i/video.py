"""Videos through PyAV: pictures decoded and encoded anew one after the other, their times kept, sound copied.

    frames        times and time base are the source's, also where they are not equally far apart
    sound         all sound streams, packet by packet as they are; subtitles and data are left out
    turned clips  the frames are turned as the clip says, so that the result stands upright without saying anything
    odd sides     H.264 and VP9 store color at half the size: the last row or column is repeated once
    color         8 bits; the color space is the source's and stated, else the usual one of the size
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from i2i import writing
from i2i.errors import DataError, I2IError, MissingExtra
from i2i.transfer import Progress

H264 = ("libx264", {"crf": "17", "preset": "medium"})
VP9 = ("libvpx-vp9", {"crf": "24", "b:v": "0", "cpu-used": "4", "row-mt": "1"})
CONTAINERS: dict[str, tuple[str, tuple[str, dict[str, str]]]] = {
    ".mp4": ("mp4", H264),
    ".m4v": ("mp4", H264),
    ".mov": ("mov", H264),
    ".mkv": ("matroska", H264),
    ".webm": ("webm", VP9),
}  # what is written: suffix -> FFmpeg's name, encoder and its options
SUFFIXES = frozenset({*CONTAINERS, ".avi"})

# A file decides by its content how it is read. None of the kinds that name other files or addresses is among these.
OPENING = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"}
LARGEST = {"max_pixels": str(2**27)}  # of a frame

BT709, BT601, BT2020 = 1, 6, 9  # FFmpeg's numbers of color spaces
MATRIX = {BT709: "ITU709", 5: "ITU601", BT601: "ITU601", BT2020: "BT2020"}  # -> what its scaler calls them
LIMITED = 1  # FFmpeg's number of the range 16 to 235
HD = 720  # rows from which on players take a video that says nothing for BT.709

Through = Callable[[Iterable[tuple[Any, Any]]], Iterator[tuple[Any, Any]]]


@dataclass(frozen=True)
class Stamp:
    """When a frame is shown and how long, in the stream's time base."""

    pts: int
    duration: int


def translate(source: Path, target: Path, through: Through, progress: Progress | None) -> list[str]:
    """``through`` maps frames (stamp, uint8 [H, W, 3]) to the same, translated: uint8 [H', W', 1 or 3].

    Returns:
        One line if the sides had to be made even.

    Raises:
        MissingExtra: PyAV is not installed.
        DataError: ``source`` is damaged or cut off; ``target`` cannot be written, or its container does not take the
            sound. Then nothing is left of ``target``.
    """
    reader = Reader(source)
    writer = Writer(reader, target)
    try:
        for number, (stamp, pixels) in enumerate(through(reader.frames()), start=1):
            writer.add(stamp, pixels)
            if progress:
                progress(source.name, number, reader.count or 0)
        writer.finish()
    finally:
        writer.close()
        reader.close()
    if writer.added:
        return [f"{target}: the last row or column is there twice, because the codec wants even sides"]
    return []


class Reader:
    """A video that is open: its upright frames, and the packets of sound that were met between them.

    Raises:
        MissingExtra: PyAV is not installed.
        DataError: not a readable video, or one without pictures.
    """

    def __init__(self, path: Path):
        self.path, self.av = path, pyav()
        try:  # a path that starts with a slash, or a drive: no file name is read as an address
            self.given = self.av.open(str(path.resolve()), options=OPENING)
        except Exception as e:
            raise self._broken(e) from e
        streams = self.given.streams
        videos = [s for s in streams.video if not s.disposition & s.disposition.attached_pic and s.codec_context]
        if not videos:
            self.given.close()
            raise DataError(f"{path}: a video without pictures")
        self.stream = videos[0]
        self.stream.thread_type = "AUTO"
        self.stream.codec_context.options = LARGEST
        self.sounds = [s for s in streams.audio if s.codec_context]
        self.waiting: list[Any] = []  # packets of sound, in order
        self.rate: Fraction = self.stream.average_rate or Fraction(25)
        self.count = self.stream.frames or round((self.given.duration or 0) / 10**6 * self.rate) or None

    def frames(self) -> Iterator[tuple[Stamp, np.ndarray]]:
        """
        Raises:
            DataError: a packet or a frame is damaged, or the file ends before it should.
        """
        try:
            last, end = None, 0.0
            for packet in self.given.demux():
                if packet.is_corrupt:
                    raise self._broken(f"cut off or damaged after {end:.1f} s")
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
                if packet.stream_index == self.stream.index:
                    for frame in packet.decode():
                        if frame.is_corrupt:
                            raise self._broken(f"a frame is damaged after {end:.1f} s")
                        last = self._stamp(frame, last)
                        yield last, self._pixels(frame)
                elif packet.size and any(packet.stream_index == sound.index for sound in self.sounds):
                    self.waiting.append(packet)
            length = (self.given.duration or 0) / 10**6
            # Matroska says its length at the head; MP4 leaves packets that are cut off, AVI says what is there.
            if "matroska" in self.given.format.name and end < length - max(0.5, length / 100):
                raise self._broken(f"it ends after {end:.1f} of {length:.1f} s: the file is cut off")
            if last is None:
                raise self._broken("no frame in it can be decoded")
        except I2IError:
            raise
        except Exception as e:  # FFmpeg's errors are of many classes, and a damaged file meets PyAV's own
            raise self._broken(e) from e

    def close(self) -> None:
        self.given.close()

    def _stamp(self, frame: Any, last: Stamp | None) -> Stamp:
        length = frame.duration or round(1 / (self.rate * self.stream.time_base)) or 1
        after = None if last is None else last.pts + 1
        pts = frame.pts
        if pts is None:  # some AVI files time nothing
            pts = 0 if last is None else last.pts + last.duration
        return Stamp(pts if after is None else max(pts, after), length)

    def _pixels(self, frame: Any) -> np.ndarray:
        """uint8 [H, W, 3], upright; all as large as the first, from which the color space and the shape come."""
        if not hasattr(self, "colorspace"):
            tagged = int(frame.colorspace)
            # Where nothing is stated, what players assume.
            self.colorspace = tagged if tagged in MATRIX else BT709 if frame.height >= HD else BT601
            self.primaries, self.transfer = int(frame.color_primaries), int(frame.color_trc)
            self.turns = round(frame.rotation / 90) % 4
            self.shape = frame.width, frame.height
            aspect = self.stream.sample_aspect_ratio or Fraction(1)
            self.aspect = 1 / aspect if self.turns % 2 and aspect else aspect
        width, height = self.shape
        matrix = MATRIX[self.colorspace]
        rgb = frame.reformat(width, height, "rgb24", src_colorspace=matrix).to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, self.turns))  # counted against the clock, as FFmpeg does

    def _broken(self, why: object) -> DataError:
        if isinstance(why, Exception):
            why = getattr(why, "strerror", None) or str(why) or type(why).__name__
        words = str(why).splitlines()[0]
        return DataError(f"{self.path}: not a readable video ({words[:1].lower() + words[1:]})")


class Writer:
    """A video that is written: like the one that ``reader`` reads, with other frames. It is ``target`` once finished.

    Raises:
        DataError: it cannot be written, or its container does not take the sound.
    """

    def __init__(self, reader: Reader, target: Path):
        self.reader, self.target = reader, target
        self.part = writing.draft(target)
        self.container, (self.codec, self.options) = CONTAINERS[target.suffix.lower()]
        if self.codec not in reader.av.codecs_available:
            raise DataError(f"{target}: this PyAV has no encoder {self.codec}: pip install --force-reinstall av")
        self.made: Any = None
        self.added = False  # a row or a column

    def add(self, stamp: Stamp, pixels: np.ndarray) -> None:
        """A frame, uint8 [H, W, 1 or 3], and the sound that was read before it."""
        height, width = pixels.shape[:2]
        self.added |= bool(height % 2 or width % 2)
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        rgb = np.ascontiguousarray(np.broadcast_to(even, (*even.shape[:2], 3)))
        matrix = MATRIX[self.reader.colorspace]
        try:
            if self.made is None:
                self._open(even.shape[1], even.shape[0])
            self._sound()
            frame = self.reader.av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range="MPEG")
            frame.pts, frame.duration, frame.time_base = stamp.pts, stamp.duration, self.reader.stream.time_base
            self.made.mux(self.stream.encode(frame))
        except Exception as e:
            raise self._refused(e) from e

    def finish(self) -> None:
        try:
            self._sound()
            self.made.mux(self.stream.encode())
            self.made.close()
            self.part.replace(self.target)
            self.made = None
        except Exception as e:
            raise self._refused(e) from e

    def close(self) -> None:
        """What is not finished is removed."""
        if self.made is None:
            return
        try:
            self.made.close()
        except Exception:  # the end of a file that nobody will see
            pass
        finally:
            self.part.unlink(missing_ok=True)

    def _open(self, width: int, height: int) -> None:
        reader = self.reader
        self.target.parent.mkdir(parents=True, exist_ok=True)
        front = {"movflags": "faststart"} if self.container in ("mp4", "mov") else {}  # players can start at once
        self.made = reader.av.open(str(self.part.resolve()), "w", format=self.container, options=front)
        self.stream = self.made.add_stream(self.codec, rate=reader.rate)
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, "yuv420p"
        coder = self.stream.codec_context
        coder.options, coder.time_base = self.options, reader.stream.time_base
        coder.sample_aspect_ratio = reader.aspect
        coder.color_range, coder.colorspace = LIMITED, reader.colorspace
        coder.color_primaries, coder.color_trc = reader.primaries, reader.transfer
        self.sounds = {}
        for sound in reader.sounds:
            self.sounds[sound.index] = copy = self.made.add_stream_from_template(sound)
            if sound.language:
                copy.metadata["language"] = sound.language

    def _sound(self) -> None:
        for packet in self.reader.waiting:
            packet.stream = self.sounds[packet.stream_index]
            self.made.mux(packet)
        self.reader.waiting.clear()

    def _refused(self, e: Exception) -> DataError:
        why = (getattr(e, "strerror", None) or str(e) or type(e).__name__).splitlines()[0]
        refused = isinstance(e, ValueError) and self.container != "matroska"  # not the disk: the container
        other = "; .mkv takes any sound" if refused else ""
        return DataError(f"{self.target}: cannot be written ({why[:1].lower() + why[1:]}){other}")


def pyav() -> Any:
    """
    Raises:
        MissingExtra: PyAV is not installed.
    """
    try:
        import av
    except ImportError as e:
        raise MissingExtra("av", "video") from e
    return av

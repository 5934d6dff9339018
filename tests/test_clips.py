"""Videos: every frame, its time and the sound arrive; what is broken ends in one line, and nothing is left of it."""

from __future__ import annotations

import random
import struct
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips_for_tests import CODECS, HEIGHT, TIMES, WIDTH, make_clip, moving, read_clip
from exports_for_tests import make_exported
from models_for_tests import make_model
from PIL import Image

import i2i as package
from i2i import clips, nets, video
from i2i.errors import DataError, I2IError, MissingExtra, UsageError


@pytest.fixture(scope="module")
def translate(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "m"
    make_model(path, settled=True, norm="running")
    return package.load(path, device="cpu")


@pytest.fixture
def identity(translate, monkeypatch):
    """A model that changes nothing."""
    monkeypatch.setattr(translate.engine, "run", lambda x: x)
    return translate


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("suffix", CODECS)
def test_every_frame_its_time_and_the_sound_to_the_bit(translate, here, monkeypatch, suffix):
    monkeypatch.setattr(translate.engine, "run", lambda x: -x)
    before = read_clip(make_clip(Path(f"clip{suffix}")))
    target = Path("out") / f"new{clips.suffix(Path(f'clip{suffix}'), None)}"
    told = []
    assert clips.translate_clip(translate, Path(f"clip{suffix}"), target, progress=lambda *s: told.append(s)) == []
    after = read_clip(target)
    assert after.times == before.times
    assert len(after.frames) == len(before.frames) == 10
    if suffix != ".avi":
        assert after.times == [t / 1000 for t in TIMES]
    assert after.sound == before.sound
    assert len(after.sound) > 30
    assert [(stage, done) for stage, done, _ in told] == [(f"clip{suffix}", i) for i in range(1, 11)]
    assert left(Path("out")) == [target.name]
    for a, b in zip(after.frames, before.frames, strict=True):
        assert np.abs(a.astype(int) - (255 - b)).mean() < 3


def test_colors_are_those_of_the_source(identity, here):
    for height, tag, matrix in ((48, 2, "ITU601"), (720, 2, "ITU709"), (48, 1, "ITU709"), (48, 9, "BT2020")):
        with av.open("flat.mp4", "w") as file:
            stream = file.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, height, "yuv420p"
            coder = stream.codec_context
            coder.colorspace = coder.color_primaries = tag
            frame = av.VideoFrame.from_ndarray(np.full((height, 32, 3), (200, 30, 60), np.uint8), format="rgb24")
            file.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace=matrix, dst_color_range="MPEG")))
            file.mux(stream.encode())
        clips.translate_clip(identity, Path("flat.mp4"), Path("same.mp4"))
        with av.open("same.mp4") as file:
            frame = next(file.decode(video=0))
        assert frame.colorspace == {"ITU601": 6, "ITU709": 1, "BT2020": 9}[matrix]
        assert frame.color_range == 1
        pixel = frame.to_ndarray(format="rgb24", src_colorspace=matrix)[height // 2, 16].astype(int)
        assert np.abs(pixel - (200, 30, 60)).max() <= 6, (height, tag)


def test_a_video_in_rgb_keeps_its_colors(identity, here):
    with av.open("rgb.mp4", "w") as file:
        stream = file.add_stream("libx264rgb", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((32, 32, 3), (200, 30, 60), np.uint8), "rgb24")))
        file.mux(stream.encode())
    clips.translate_clip(identity, Path("rgb.mp4"), Path("same.mkv"))
    pixel = read_clip(Path("same.mkv")).frames[0][16, 16].astype(int)
    assert np.abs(pixel - (200, 30, 60)).max() <= 4


def test_a_turned_clip_stands_upright(identity, here):
    corner = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    corner[:16, :16] = 255
    data = make_clip(Path("clip.mp4"), [corner] * 3, sound=False).read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    # x' = -y + height, y' = x: a quarter turn to the right, as telephones write it for pictures taken upright
    right = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, HEIGHT << 16, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    Path("turned.mp4").write_bytes(data[:at] + right + data[at + len(right) :])
    clips.translate_clip(identity, Path("turned.mp4"), Path("new.mp4"))
    with av.open("new.mp4") as file:
        frame = next(file.decode(video=0))
    assert (frame.width, frame.height, frame.rotation) == (HEIGHT, WIDTH, 0)
    pixels = frame.to_ndarray(format="rgb24")
    assert pixels[4, -4].min() > 220
    assert max(pixels[4, 4].max(), pixels[-4, 4].max(), pixels[-4, -4].max()) < 30


def test_odd_sides_become_even_and_that_is_said(identity, here):
    make_clip(Path("odd.mkv"), moving(3, 49, 33), pixels="yuv444p")
    [note] = clips.translate_clip(identity, Path("odd.mkv"), Path("new.mkv"))
    assert note == "new.mkv: the last row or column is there twice, because the codec wants even sides"
    assert read_clip(Path("new.mkv")).frames[0].shape == (34, 50, 3)


def test_a_model_that_enlarges_and_one_that_writes_gray(here):
    make_model(Path("sr"), nets.SRResNetConfig(scale=2, blocks=1, width=4))
    make_clip(Path("clip.mp4"), moving(2))
    clips.translate_clip(package.load("sr", device="cpu"), Path("clip.mp4"), Path("large.mp4"))
    assert read_clip(Path("large.mp4")).frames[0].shape == (2 * HEIGHT, 2 * WIDTH, 3)
    make_model(Path("gray"), nets.UNetConfig(depth=3, width=4, outputs=1))
    clips.translate_clip(package.load("gray", device="cpu"), Path("clip.mp4"), Path("gray.mp4"))
    frame = read_clip(Path("gray.mp4")).frames[0].astype(int)
    assert frame.shape == (HEIGHT, WIDTH, 3)
    assert np.abs(frame - frame.mean(2, keepdims=True)).max() <= 3


def test_pixels_that_are_not_square_stay_so(identity, here):
    with av.open("wide.mp4", "w") as file:
        stream = file.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        file.mux(stream.encode(av.VideoFrame.from_ndarray(moving(1)[0], format="rgb24")))
        file.mux(stream.encode())
    clips.translate_clip(identity, Path("wide.mp4"), Path("new.mp4"))
    with av.open("new.mp4") as file:
        assert file.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_no_more_frames_are_held_than_run_together(identity, here):
    frames = moving(10) * 6
    read, most = [], []

    def count():
        for i, frame in enumerate(frames):
            read.append(i)
            yield i, frame

    for i, _ in clips.Through(identity, identity.engine, None)(count()):
        most.append(len(read) - i)
    assert len(most) == 60
    assert max(most) <= identity.engine.batch + 1


def test_a_cut_starts_a_new_scene(identity):
    dark, bright = moving(3), [255 - f for f in moving(3)]
    seen: list[object] = []

    def call(group):
        seen.append(len(group))
        return group

    through = clips.Through(call, identity.engine, lambda: seen.append("new scene"))
    stamps = [stamp for stamp, _ in through(enumerate([*dark, *bright, *dark]))]
    assert seen == [3, "new scene", 3, "new scene", 3]
    assert stamps == list(range(9))


def test_a_video_flickers_less_than_its_frames(here):
    make_model(Path("m"))
    translate = package.load("m", device="cpu")
    frames = moving(1) * 12
    for frame in (frames := [f.copy() for f in frames])[1::2]:
        frame[4:44, 44:60] = 255
    make_clip(Path("clip.mkv"), frames, range(0, 1200, 100), sound=False)
    before = read_clip(Path("clip.mkv")).frames
    clips.translate_clip(translate, Path("clip.mkv"), Path("new.mkv"))

    def flicker(clip):
        return np.abs(np.diff(np.stack(clip).astype(int)[4:, :, :16], axis=0)).mean()

    by_frame, held = flicker(translate(before)), flicker(read_clip(Path("new.mkv")).frames)
    assert by_frame > 2
    assert held < 0.5 * by_frame


def test_an_exported_model_says_that_it_may_flicker(here):
    info = make_exported(Path("m"))
    translate = package.load("m", device="cpu")
    make_clip(Path("clip.mp4"), moving(2), sound=False)
    assert clips.translate_clip(translate, Path("clip.mp4"), Path("new.mp4")) == []
    translate.info.products["a2b"].generator.update(norm="instance")
    assert info.products["a2b"].file == "model.onnx"
    [note] = clips.translate_clip(translate, Path("clip.mp4"), Path("new.mp4"))
    assert note.startswith("clip.mp4: exported models take statistics from each frame by itself, the result may flick")


BROKEN = {
    "empty": (lambda data: b"", "invalid data found when processing input"),
    "a text": (lambda data: b"hello" * 300, "invalid data found when processing input"),
    "cut": (lambda data: data[: len(data) * 6 // 10], "cut off or damaged after 0."),
    "a list of addresses": (
        lambda data: b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
        "invalid data found when processing input",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_what_is_no_whole_video_ends_in_one_line(identity, here, how):
    change, why = BROKEN[how]
    data = fast_start(make_clip(Path("whole.mp4")))
    Path("clip.mp4").write_bytes(change(data))
    Path("out").mkdir()
    Path("out/clip.mp4").write_bytes(b"an earlier one")
    with pytest.raises(DataError) as error:
        clips.translate_clip(identity, Path("clip.mp4"), Path("out/clip.mp4"))
    assert str(error.value).startswith(f"clip.mp4: not a readable video ({why}")
    assert left(Path("out")) == ["clip.mp4"]
    assert Path("out/clip.mp4").read_bytes() == b"an earlier one"


def fast_start(path: Path) -> bytes:
    """As streamed: the index comes first, so that a part can be read."""
    with av.open(str(path)) as given, av.open("fast.mp4", "w", options={"movflags": "faststart"}) as made:
        streams = {s.index: made.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                made.mux(packet)
    return Path("fast.mp4").read_bytes()


def test_matroska_that_is_cut_off_says_where(identity, here):
    data = make_clip(Path("clip.mkv"), moving() * 3, range(0, 3000, 100), sound=False).read_bytes()
    Path("clip.mkv").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"clip.mkv: not a readable video \(it ends after [01]\.\d of 3\.0 s: the file"):
        clips.translate_clip(identity, Path("clip.mkv"), Path("new.mkv"))
    assert left(here) == ["clip.mkv"]


def test_only_sound_is_no_video(identity, here):
    make_clip(Path("both.mkv"))
    with av.open("both.mkv") as given, av.open("sound.mkv", "w") as made:
        stream = made.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(given.streams.audio[0]):
            if packet.size:
                packet.stream = stream
                made.mux(packet)
    with pytest.raises(DataError, match=r"^sound.mkv: a video without pictures$"):
        clips.translate_clip(identity, Path("sound.mkv"), Path("new.mkv"))


def mutated(identity, count: int, seed: int) -> int:
    chance, whole = random.Random(seed), 0
    originals = [make_clip(Path(f"whole{s}"), moving(4)).read_bytes() for s in (".mp4", ".mkv", ".webm", ".avi")]
    for number in range(count):
        data = bytearray(originals[number % 4])
        for _ in range(chance.choice((1, 4, 30))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        source = Path(f"clip{('.mp4', '.mkv', '.webm', '.avi')[number % 4]}")
        source.write_bytes(data[: chance.randrange(len(data))] if number % 3 == 0 else data)
        line = ""
        try:
            clips.translate_clip(identity, source, Path("out/new.mkv"))
            whole += 1
            Path("out/new.mkv").unlink()
        except I2IError as e:
            line = str(e)
        assert "\n" not in line
        assert line == "" or line.startswith((f"{source}: ", "out/new.mkv: cannot be written ("))
        assert left(Path("out")) == []
    return whole


def test_damaged_files_end_in_a_video_or_one_line(identity, here):
    assert 0 < mutated(identity, 24, 0) < 24


@pytest.mark.slow
def test_many_damaged_files(identity, here):
    assert 0 < mutated(identity, 1000, 1) < 1000


def test_an_interrupted_clip_leaves_nothing(identity, here):
    make_clip(Path("clip.mp4"), moving(10) * 3, range(0, 3000, 100))
    calls = []

    def call(group):
        calls.append(len(group))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return group

    for broken in (call, lambda group: [1 / 0]):
        with pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
            clips.translate_clip(identity, Path("clip.mp4"), Path("out/new.mp4"), call=broken)
        assert left(Path("out")) == []


def test_a_container_that_does_not_take_it(identity, here):
    make_clip(Path("clip.mp4"), moving(2))
    with pytest.raises(UsageError, match=r"^new.png: videos are written as .mp4, .m4v, .mov, .mkv, .webm$"):
        clips.translate_clip(identity, Path("clip.mp4"), Path("new.png"))
    with pytest.raises(DataError, match=r"^new.webm: cannot be written \(.+\); .mkv takes any sound$"):
        clips.translate_clip(identity, Path("clip.mp4"), Path("new.webm"))
    Path("file").write_text("x")
    with pytest.raises(DataError, match=r"new.mp4: cannot be written"):
        clips.translate_clip(identity, Path("clip.mp4"), Path("file/new.mp4"))
    assert left(here) == ["clip.mp4", "file"]


def test_without_pyav_the_way_to_it_is_said(identity, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtra, match=r"needs av, which is not installed: pip install 'i2i-toolkit\[video\]'"):
        clips.translate_clip(identity, Path("clip.mp4"), Path("new.mp4"))


def test_the_command_translates_what_moves_among_pictures(i2i, here):
    make_model(here / "m")
    make_clip(Path("in/deep/clip.mov"), moving(2))
    make_clip(Path("in/old.avi"), moving(2))
    Image.fromarray(moving(1)[0]).save("in/still.gif")
    Path("in/bad.mp4").write_bytes(b"nothing")
    frames = [Image.fromarray(f) for f in moving(3)]
    frames[0].save("in/loop.gif", save_all=True, append_images=frames[1:], duration=40)
    said = i2i("translate", "in", "--model", "m", "--out", "out", "--sheet", "--device", "cpu")
    assert said.code == 1
    assert said.err == "failed: in/bad.mp4: not a readable video (invalid data found when processing input)\n"
    assert said.out == "translated 4 of 5: out\nbefore and after: out/before-after-001.png\n"
    names = {p.relative_to("out").as_posix() for p in Path("out").rglob("*") if p.is_file()}
    assert names == {"deep/clip.mov", "old.mkv", "still.png", "loop.gif", "before-after-001.png"}
    said = i2i("translate", "in/deep/clip.mov", "--model", "m", "--out", "one.mp4", "--device", "cpu")
    assert said == (0, "translated 1 of 1: one.mp4\n", "")
    assert len(read_clip(Path("one.mp4")).frames) == 2
    assert set(CODECS) <= video.SUFFIXES

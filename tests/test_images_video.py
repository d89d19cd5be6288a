"""Videos: their frames as displayed, and what hostile and damaged ones can do."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("av")

from videos import SIZE, picture, write_video

from yolo_max.images import decoded as decoded_module
from yolo_max.images.decoded import Decoded
from yolo_max.images.display import displayed
from yolo_max.images.frame import Frame
from yolo_max.images.memory import HeldMemory
from yolo_max.images.video import Video
from yolo_max.support.errors import ImageError

LIMIT = 10**6


def frames_of(path: Path, *, stride: int = 1, max_pixels: int = LIMIT) -> list[Frame]:
    with Video.of_file(path, max_pixels=max_pixels) as video:
        return list(video.frames(stride=stride))


def loaded(frames: list[Frame]) -> list[Any]:
    """The pixels of each frame, or why it has none."""
    found: list[Any] = []
    for frame in frames:
        try:
            found.append(frame.load())
        except ImageError as error:
            found.append(error.reason)
    return found


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),  # times in milliseconds
        ("a.webm", "libvpx-vp9"),
        ("a.avi", "mpeg4"),
        ("a.mov", "mjpeg"),  # each frame by itself
        ("a.ts", "libx264"),  # does not begin at 0
    ],
)
def test_frames_are_those_of_the_video_in_order(tmp_path: Path, name: str, codec: str) -> None:
    options = {"bf": "0"} if codec == "mpeg4" else {}
    frames = frames_of(write_video(tmp_path / name, codec=codec, options=options))
    assert [frame.position.index for frame in frames if frame.position] == list(range(12))
    assert [frame.position.last for frame in frames if frame.position] == [False] * 11 + [True]
    for number, frame in enumerate(frames):
        pixels = frame.load()
        assert pixels.shape == (*SIZE, 3)
        assert pixels.flags.c_contiguous
        assert abs(pixels.astype(int) - picture(number)).mean() < 6  # it is lossy
        assert frame.position is not None
        assert frame.position.time is not None
        first = frames[0].position
        assert first is not None
        assert first.time is not None
        assert abs(frame.position.time - first.time - Fraction(number, 25)) < Fraction(1, 10**4)


@pytest.mark.parametrize("degrees", [0, 90, 180, -90])
def test_frames_lie_as_they_are_displayed(tmp_path: Path, degrees: int) -> None:
    path = write_video(tmp_path / "a.mp4", rotation=degrees)
    pixels = frames_of(path)[0].load()
    expected = np.rot90(picture(0), degrees // 90)  # counter-clockwise, as FFmpeg counts
    assert pixels.shape == expected.shape
    assert abs(pixels.astype(int) - expected).mean() < 4
    capture = cv2.VideoCapture(str(path))  # what Ultralytics reads with
    _, by_opencv = capture.read()
    if by_opencv is not None:
        assert abs(pixels.astype(int) - by_opencv).mean() < 4


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("across", [1, -1])
@pytest.mark.parametrize("down", [1, -1])
def test_all_eight_display_matrices(transposed: bool, across: int, down: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 5, 3), np.uint8)
    a, b, c, d = (0, down, across, 0) if transposed else (across, 0, 0, down)
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1], np.int32) * 65536
    found = displayed(pixels, matrix)
    for y in range(3):
        for x in range(5):  # by the formula, with what leaves the picture shifted back into it
            to_x, to_y = a * x + c * y, b * x + d * y
            width, height = (3, 5) if transposed else (5, 3)
            to_x, to_y = to_x + (to_x < 0 or across < 0) * 0, to_y
            to_x = to_x if across > 0 else to_x + width - 1
            to_y = to_y if down > 0 else to_y + height - 1
            assert (found[to_y, to_x] == pixels[y, x]).all()


@pytest.mark.parametrize(
    ("codec", "pixels", "colors", "rotation"),
    [
        ("libx264", "yuv420p", {}, None),
        ("libx264", "yuv420p", {"colorspace": 1}, None),  # BT.709
        ("libx264", "yuv420p", {"color_range": 2}, None),  # full range
        ("mjpeg", "yuvj420p", {"color_range": 2}, None),
        ("libx264", "yuv422p", {}, None),  # these are converted whole
        ("libx264", "yuv420p10le", {}, None),
        ("libx264", "yuv420p", {}, 90),
    ],
)
def test_rows_alone_are_those_of_the_frame(
    tmp_path: Path, codec: str, pixels: str, colors: dict[str, int], rotation: float | None
) -> None:
    import av

    path, noise = tmp_path / "clip.mkv", np.random.default_rng(0).integers(0, 256, (270, 482, 3), np.uint8)
    if rotation is not None:
        path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 270, 482, pixels
        for name, value in colors.items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="bgr24")))
        container.mux(stream.encode(None))
    (frame,) = frames_of(path)
    assert isinstance(frame.load, Decoded)
    whole = frame.load()
    assert frame.load.size == whole.shape[:2]
    for rows in (np.arange(1, 270, 3), np.arange(270), np.array([0, 2, 3, 268]), np.array([5, 7, 9])):
        np.testing.assert_array_equal(frame.load(rows), whole[rows])


@pytest.mark.parametrize(("stride", "indices"), [(1, range(12)), (5, [4, 9]), (12, [11]), (13, [])])
def test_every_so_many_th_frame_is_read_as_by_ultralytics(
    tmp_path: Path, stride: int, indices: list[int]
) -> None:
    from ultralytics.data.loaders import LoadImagesAndVideos

    path = write_video(tmp_path / "a.mp4")
    frames = frames_of(path, stride=stride)
    if not indices:
        assert loaded(frames) == ["it has no frame that can be decoded"]
        return
    assert [frame.position.index for frame in frames if frame.position] == list(indices)
    assert [frame.position.number for frame in frames if frame.position] == list(range(1, len(frames) + 1))
    theirs = [image for _, images, _ in LoadImagesAndVideos(str(path), vid_stride=stride) for image in images]
    for frame, image in zip(frames, theirs, strict=True):
        assert abs(frame.load().astype(int) - image).mean() < 2


def test_a_frame_that_is_broken_costs_itself(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", codec="mjpeg")
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 3] == b"\xff\xd8\xff"]
    data[starts[4] + 2 : starts[4] + 600] = bytes(598)
    path.write_bytes(data)
    found = loaded(frames_of(path))
    assert len(found) == 12
    assert [i for i, each in enumerate(found) if isinstance(each, str)] == [4]
    assert "the frame" in found[4]


def test_a_video_that_is_cut_gives_what_it_has(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 50, codec="mjpeg")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    found = loaded(frames_of(path))
    assert 10 < sum(not isinstance(each, str) for each in found) < 40


@pytest.mark.parametrize("data", [b"", b"no video at all", b"\0" * 5000])
def test_what_is_no_video_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(ImageError) as refused:
        frames_of(path)
    # FFmpeg's words, without its number for them or that of the file.
    assert refused.value.reason == "it cannot be opened as a video (Invalid data found when processing input)"


def test_a_container_that_is_damaged_ends_the_video_with_a_reason(tmp_path: Path) -> None:
    import av

    def packets(*_: object, intact: int) -> Any:
        yield from list(real(video._stream))[:intact]
        raise av.error.InvalidDataError(1, "invalid data")

    for intact in (0, 3):
        with Video.of_file(write_video(tmp_path / "a.mov", codec="mjpeg"), max_pixels=LIMIT) as video:
            real = video._container.demux
            video._container = SimpleNamespace(
                demux=partial(packets, intact=intact), close=video._container.close
            )
            *whole, last = loaded(list(video.frames()))
        assert len(whole) == intact
        assert "the video cannot be read any further" in last


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        tone: Any = container.add_stream("aac", rate=48000)
        tone.layout = "mono"
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
        heard.sample_rate = 48000
        container.mux(tone.encode(heard))
        container.mux(tone.encode(None))
    with pytest.raises(ImageError, match="it has no pictures"):
        frames_of(path)


@pytest.mark.parametrize("kind", ["fifo", "folder", "missing"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.mp4"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(ImageError, match=r"it is a F|it is a folder|cannot be opened"):
        frames_of(path)


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
    "hls by address": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{other}\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{other}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
    ' mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4"><Representation id="1"'
    " bandwidth='1'><BaseURL>{other}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
}


@pytest.mark.parametrize("kind", PLAYLISTS)
def test_a_video_opens_no_other_file(tmp_path: Path, kind: str) -> None:
    other = write_video(tmp_path / "other.ts")
    path = tmp_path / "a.mp4"
    path.write_text(PLAYLISTS[kind].format(other=other))
    try:
        found = loaded(frames_of(path))
    except ImageError:
        return
    assert [each for each in found if not isinstance(each, str)] == []


def test_frames_of_more_pixels_than_allowed_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", size=(50, 70))  # in whole blocks, 64 x 80
    with pytest.raises(ImageError, match="its 70 x 50 pixels are more than the limit of 3,499"):
        frames_of(path, max_pixels=50 * 70 - 1)
    assert all(each.shape == (50, 70, 3) for each in loaded(frames_of(path, max_pixels=50 * 70)))


@pytest.mark.parametrize("suffix", [".ts", ".mkv"])
def test_no_decoder_allocates_a_frame_that_is_larger_than_its_header_says(
    tmp_path: Path, suffix: str
) -> None:
    # 4096 x 4096 in the stream, 64 x 48 in what comes before: a second video, or the header.
    large = write_video(tmp_path / f"large{suffix}", 2, size=(4096, 4096))
    path = tmp_path / f"a{suffix}"
    data = large.read_bytes()
    if suffix == ".ts":
        data = write_video(tmp_path / "small.ts", 2).read_bytes() + data
    else:
        at = data.index(b"\xb0\x82\x10\x00\xba\x82\x10\x00")  # PixelWidth and PixelHeight
        data = data[:at] + b"\xb0\x82\x00\x40\xba\x82\x00\x30" + data[at + 8 :]
    path.write_bytes(data)
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "support/video_peak.py", path],
        capture_output=True,
        text=True,
        check=True,
    )
    refused, kilobytes = map(int, done.stdout.split())
    assert refused
    assert kilobytes < 24_000  # of one frame


def test_frames_may_change_their_size(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    parts = [write_video(tmp_path / f"{i}.ts", size=size) for i, size in enumerate([SIZE, (96, 128)])]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    shapes = [each.shape[:2] for each in loaded(frames_of(path)) if not isinstance(each, str)]
    assert set(shapes) == {SIZE, (96, 128)}
    assert shapes == sorted(shapes)


def test_memory_is_counted_for_as_long_as_a_frame_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldMemory(3 * 6 * SIZE[0] * SIZE[1])
    monkeypatch.setattr(decoded_module, "HELD", held)
    frames = frames_of(write_video(tmp_path / "a.mp4", 3))
    assert not held.has_room()
    frames.pop()
    assert held.has_room()


def test_damaged_videos_give_frames_or_reasons(tmp_path: Path) -> None:
    random = np.random.default_rng(20)
    path = tmp_path / "a.mp4"
    for name, codec in (("b.mp4", "libx264"), ("b.mkv", "mpeg4"), ("b.ts", "libx264"), ("b.avi", "mjpeg")):
        whole = write_video(tmp_path / name, 8, codec=codec).read_bytes()
        for _ in range(25):
            data = bytearray(whole)
            for at in random.integers(0, len(data), random.integers(1, 40)):
                data[at] = random.integers(256)
            path.write_bytes(data[: random.integers(1, len(data) + 1)] if random.random() < 0.3 else data)
            try:
                found = loaded(frames_of(path))
            except ImageError:
                continue
            assert all(isinstance(each, str) or each.dtype == np.uint8 for each in found)

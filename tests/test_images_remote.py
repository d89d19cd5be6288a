"""What is read from the network: what is asked for, from where it is asked for, no more than allowed."""

from __future__ import annotations

import json
import socket
from functools import partial
from pathlib import Path
from threading import Event, Semaphore
from time import monotonic, sleep
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import SharedEngine, fake_weights, read_tree, write_image
from web_server import Answer, sending, serving

from yolo_max.cli import run
from yolo_max.images import addresses, remote, wire
from yolo_max.images.addresses import file_name, is_public, request, resolve
from yolo_max.images.remote import fetch_image
from yolo_max.predict.predictor import Predictor
from yolo_max.support.errors import ExitCode, ImageError

LIMITS: dict[str, Any] = {"max_bytes": 10**6, "seconds": 10.0}


@pytest.mark.parametrize(
    ("ip", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("127.0.0.1", False),
        ("127.8.9.1", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("172.16.3.4", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),  # metadata of a cloud
        ("100.64.0.1", False),  # a provider's own
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),  # the same written as IPv6
        ("::ffff:8.8.8.8", True),
        ("2002:7f00:1::", False),  # 127.0.0.1 through 6to4
        ("64:ff9b::7f00:1", False),  # and through NAT64
        ("2001:0:53aa:64c:0:fbff:80ff:fffe", False),  # Teredo
        ("ff02::1", False),
        ("nonsense", False),
    ],
)
def test_which_addresses_are_public(ip: str, public: bool) -> None:
    assert is_public(ip) is public


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]"]
)
def test_this_machine_is_refused_however_it_is_written(host: str) -> None:
    seen: list[str] = []
    with serving({}, seen) as server, pytest.raises(ImageError, match=r"is a private address|is not found"):
        request(f"http://{host}:{server.rpartition(':')[2]}/", private=False, **LIMITS)
    assert seen == []


def test_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ips = [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ips)
    with pytest.raises(ImageError, match="is a private address"):
        resolve("http://example.org/")


def test_the_address_that_was_checked_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look-up, which could give another address, is not made."""
    with serving({"/a": Answer([b"here"])}) as server:
        port = int(server.rpartition(":")[2])
        asked = []

        def look_up(host: str, *_: Any, **__: Any) -> Any:
            asked.append(host)
            assert len(asked) == 1
            return [(2, 1, 6, "", ("127.0.0.1", port))]

        real = socket.create_connection
        connected: list[Any] = []
        monkeypatch.setattr(socket, "getaddrinfo", look_up)

        def connect(address: Any, *rest: Any) -> Any:
            connected.append(address)
            monkeypatch.undo()
            return real(address, *rest)

        monkeypatch.setattr(socket, "create_connection", connect)
        with request(f"http://camera.example:{port}/a", private=True, **LIMITS) as response:
            assert response.read() == b"here"
    assert asked == ["camera.example"]
    assert connected == [("127.0.0.1", port)]


def test_a_redirect_to_a_private_address_is_refused_even_where_the_first_may_be_one() -> None:
    seen: list[str] = []
    answers = {"/secret": Answer([b"secret"])}
    with serving(answers, seen) as server:
        for status in (301, 302, 303, 307, 308):
            answers["/a"] = Answer([], status=status, headers={"Location": f"{server}/secret"})
            with pytest.raises(ImageError, match="is a private address"):
                request(f"{server}/a", private=True, **LIMITS)
        answers["/b"] = Answer([], status=302, headers={"Location": "/secret"})
        with pytest.raises(ImageError, match="is a private address"):
            request(f"{server}/b", private=True, **LIMITS)
    assert "/secret" not in seen


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "is not an address of http, https or rtsp"),
        ("ftp://8.8.8.8/a", "is not an address of http, https or rtsp"),
        ("gopher://8.8.8.8/", "is not an address of http, https or rtsp"),
        ("http://[::1", "not an address of http, https or rtsp"),
        ("http://8.8.8.8:0/", "is not an address of http, https or rtsp"),
        ("", "answers 302"),
    ],
)
def test_a_redirect_to_something_else_is_refused(location: str, reason: str) -> None:
    answer = Answer([], status=302, headers={"Location": location})
    with serving({"/a": answer}) as server, pytest.raises(ImageError, match=reason):
        request(f"{server}/a", private=True, **LIMITS)


def test_redirects_are_followed_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda _: True)
    answers = {f"/{i}": Answer([], status=302, headers={"Location": f"/{i + 1}"}) for i in range(20)}
    answers["/5"] = Answer([b"there"])
    with serving(answers) as server:
        with request(f"{server}/1", private=False, **LIMITS) as response:
            assert response.read() == b"there"
        del answers["/5"]
        answers["/5"] = Answer([], status=302, headers={"Location": "/6"})
        with pytest.raises(ImageError, match="it is redirected more than 5 times"):
            request(f"{server}/1", private=False, **LIMITS)


def test_no_more_bytes_are_read_than_allowed() -> None:
    with serving({"/a": Answer([b"x" * 10**6] * 50)}) as server:
        response = request(f"{server}/a", private=True, max_bytes=10**6, seconds=10.0)
        with response, pytest.raises(ImageError, match="more than the 1,000,000 bytes"):
            response.read()


def test_a_server_that_drips_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"/a": Answer([b"x"] * 100, pause=0.1)}) as server:
        response = request(f"{server}/a", private=True, max_bytes=10**6, seconds=0.5)
        with response, pytest.raises(ImageError, match="the server takes too long"):
            response.read()


def test_a_server_that_stalls_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "STALL_SECONDS", 0.3)
    with serving({"/a": Answer([b"x", b"y"], pause=3)}) as server:
        response = request(f"{server}/a", private=True, **LIMITS)
        with response, pytest.raises(ImageError, match="the connection was lost"):
            response.read()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b"", b"H"),  # the status
        (OK + b"X: ", b"x"),  # a header
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),  # answers before the answer
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),  # the length of a chunk
        (OK + b"Content-Length: 100000\r\n\r\n", b"x"),
    ],
)
def test_no_part_of_an_answer_takes_longer_than_allowed(start: bytes, again: bytes) -> None:
    began = monotonic()
    with sending(start, again, pause=0.05) as address, pytest.raises(ImageError, match="takes too long"):
        request(address, private=True, max_bytes=10**6, seconds=0.5).read()
    assert monotonic() - began < 5


def test_a_stream_is_opened_in_time_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    monkeypatch.setattr(addresses, "IMAGE_SECONDS", 0.5)
    began = monotonic()
    with sending(OK + b"Content-Type: multipart/x-mixed-replace\r\n\r\n", b"x", pause=0.05) as address:
        (only,) = predictor().predict(address, **LOCAL)
    assert "takes too long" in str(only)
    assert monotonic() - began < 5


def test_answers_before_the_answer_come_to_an_end() -> None:
    with (
        sending(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100) as address,
        pytest.raises(ImageError, match="does not begin"),
    ):
        request(address, private=True, **LIMITS)


def test_what_a_server_says_is_told_short_and_without_control_characters() -> None:
    with (
        sending(b"\x1b[2J\x1b]0;title\x07" + b"A" * 60_000 + b"\r\n\r\n") as address,
        pytest.raises(ImageError) as caught,
    ):
        request(address, private=True, **LIMITS)
    assert "does not answer" in caught.value.reason
    assert caught.value.reason.isprintable()
    assert len(caught.value.reason) < 200


@pytest.mark.parametrize(
    "head", [b"Content-Length: 100000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1000\r\n"]
)
def test_a_download_that_is_cut_off_is_not_taken_for_whole(head: bytes) -> None:
    with sending(OK + head + b"x" * 500) as address:
        response = request(address, private=True, **LIMITS)
        with response, pytest.raises(ImageError, match="the connection was lost"):
            response.read()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://example.org/photos/a.jpg?size=2", "a.jpg"),
        ("https://example.org/", "example.org"),
        ("https://example.org/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "passwd"),
        ("https://example.org/..", "stream"),
        ("https://example.org/a%00b%0a.mp4", "a_b_.mp4"),
        ("https://example.org/.hidden.jpg", "hidden.jpg"),
        (f"https://example.org/{'x' * 300}.jpg", f"{'x' * 96}.jpg"),
    ],
)
def test_names_of_results(address: str, name: str) -> None:
    assert file_name(address) == name


def test_an_image_is_that_of_its_file(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", 1)
    with serving({"/a.png": Answer([path.read_bytes()])}) as server:
        found = fetch_image(f"{server}/a.png", private=True, max_pixels=10**6)
        assert (found == cv2.imread(str(path))).all()
        with pytest.raises(ImageError, match="pixels are more than the limit"):
            fetch_image(f"{server}/a.png", private=True, max_pixels=10)
        with pytest.raises(ImageError, match="answers 404"):
            fetch_image(f"{server}/b.png", private=True, max_pixels=10)


@pytest.mark.usefixtures("fake_network")
def test_addresses_are_read_only_where_it_is_allowed(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    image = (photos / "a.jpg").read_bytes()
    with serving({"/a.jpg": Answer([image])}, seen) as server:
        url = f"{server}/a.jpg"
        Path("list.txt").write_text(f"{url}\nphotos/a.jpg\n")
        assert run(["predict", url]) == ExitCode.SOURCE
        assert "is an address, which is read only with --allow-remote" in capsys.readouterr().err
        assert run(["predict", "list.txt", "--json", "--no-save"]) == ExitCode.SOME_IMAGES_FAILED
        listed = capsys.readouterr().out
        assert "read only with --allow-remote" in listed
        assert f'"path": "{url}"' in listed
        assert run(["predict", url, "--allow-remote"]) == ExitCode.SOME_IMAGES_FAILED
        assert "is a private address" in capsys.readouterr().err
        assert seen == []
        arguments = ["predict", "list.txt", "--allow-remote", "--allow-private", "-o", "out", "--no-times"]
        assert run(arguments) == ExitCode.OK
        capsys.readouterr()
        assert run(["predict", url, "--allow-remote", "-o", "out", "--resume"]) == ExitCode.USAGE
        assert "cannot be resumed" in capsys.readouterr().err
    records = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert [each["path"] for each in records] == [url, "photos/a.jpg"]
    assert records[0]["boxes"] == records[1]["boxes"]
    assert {"a.jpg", "a_2.jpg"} <= {str(path) for path in read_tree(Path("out"))}


def jpegs(count: int) -> list[bytes]:
    """The parts of a stream of JPEGs, as cameras send them."""
    from videos import picture

    parts = []
    for number in range(count):
        encoded, data = cv2.imencode(".jpg", picture(number))
        assert encoded
        header = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {data.size}\r\n\r\n"
        parts.append(header.encode() + data.tobytes() + b"\r\n")
    return parts


MJPEG = {"Content-Type": "multipart/x-mixed-replace; boundary=frame"}
LOCAL = {"allow_remote": True, "allow_private": True, "stream_buffer": True}


def predictor() -> Predictor:
    return Predictor(fake_weights(), engine=SharedEngine())


def test_a_video_on_the_network_is_that_of_its_file(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from videos import write_video

    path = write_video(tmp_path / "a.mp4", 6)  # whose index is at its end
    with serving({"/a.mp4": Answer([path.read_bytes()])}) as server:
        found = list(predictor().predict(f"{server}/a.mp4", **LOCAL))
    expected = list(predictor().predict(path))
    assert [each.prediction for each in found] == [each.prediction for each in expected]
    assert [each.frame for each in found] == [each.frame for each in expected]


def test_a_stream_whose_connection_is_lost_ends_with_a_record(tmp_path: Path) -> None:
    pytest.importorskip("av")
    with serving({"/live": Answer(jpegs(20), pause=0.02, headers=MJPEG)}) as server:
        found = list(predictor().predict(f"{server}/live", **LOCAL))
    *read, last = found
    assert len(read) >= 18
    assert all(each.prediction is not None for each in read)
    assert last.error is not None
    assert last.frame is not None
    assert last.frame.last


def test_a_camera_is_seen_at_once() -> None:
    """Not after seconds, in which FFmpeg looks for what it knows already."""
    pytest.importorskip("av")
    with serving({"/live": Answer(jpegs(60), pause=0.1, headers=MJPEG)}) as server:
        start = monotonic()
        found = predictor().predict(f"{server}/live", **{**LOCAL, "stream_buffer": False})
        first = next(iter(found))
        assert monotonic() - start < 3
        assert first.prediction is not None
        assert first.frame is not None
        assert first.frame.index < 5


@pytest.mark.usefixtures("fake_network")
def test_a_stream_gives_an_annotated_video(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from videos import read_video

    with serving({"/live": Answer(jpegs(20), pause=0.02, headers=MJPEG)}) as server:
        arguments = ["predict", f"{server}/live", "--allow-remote", "--allow-private", "--stream-buffer"]
        assert run([*arguments, "-o", "out"]) == ExitCode.SOME_IMAGES_FAILED
    records = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    assert "error" in records[-1]
    assert len(read_video(Path("out/live.mp4")).frames) == len(records) - 1 >= 18


def test_an_rtsp_stream() -> None:
    pytest.importorskip("av")
    from rtsp_server import playing
    from videos import SIZE

    with playing() as (address, asked):
        found = list(predictor().predict(address, **LOCAL))
    assert asked[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]
    *read, last = found
    assert len(read) >= 25
    assert {each.prediction.image_size for each in read if each.prediction} == {SIZE}
    assert last.error is not None


STREAMS = {
    "/fast": Answer(jpegs(20), pause=0.02, headers=MJPEG),
    "/short": Answer(jpegs(4), pause=0.02, headers=MJPEG),
    "/slow": Answer(jpegs(6), pause=0.3, headers=MJPEG),
}


def test_streams_of_a_list_are_read_at_the_same_time(tmp_path: Path) -> None:
    pytest.importorskip("av")
    with serving(STREAMS) as server:
        addresses = [f"{server}{path}" for path in (*STREAMS, "/missing")]
        (tmp_path / "cameras.streams").write_text("\n".join(addresses))
        found = list(predictor().predict(tmp_path / "cameras.streams", **LOCAL))
    fast, short, slow, missing = ([each for each in found if each.source == name] for name in addresses)
    assert [each.frame for each in missing] == [None]  # it costs itself
    assert len(fast) >= 18
    for each in (fast, short, slow):
        assert [result.frame.number for result in each if result.frame] == [*range(1, len(each) + 1)]
        assert [result.error is None for result in each] == [*[True] * (len(each) - 1), False]


@pytest.mark.usefixtures("fake_network")
def test_streams_of_a_list_have_results_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("av")
    from videos import read_video

    with serving(STREAMS) as server:
        Path("cameras.streams").write_text("\n".join(f"{server}{path}" for path in STREAMS))
        arguments = ["predict", "cameras.streams", "--allow-remote", "--allow-private", "--stream-buffer"]
        assert run([*arguments, "-o", "out"]) == ExitCode.SOME_IMAGES_FAILED
    records = [json.loads(line) for line in Path("out/predictions.jsonl").read_text().splitlines()]
    for path in STREAMS:
        of_it = [each for each in records if each["path"] == f"{server}{path}"]
        assert of_it[-1]["video"] == f"{path[1:]}.mp4"
        assert len(read_video(Path("out", of_it[-1]["video"])).frames) == len(of_it) - 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("RTSP/1.0 302 Found", "it is redirected, which is not followed"),
        ("RTSP/1.0  302 Found", "it is redirected, which is not followed"),  # FFmpeg skips any blanks
        ("RTSP/1.0\t302 Found", "it is redirected, which is not followed"),
        ("RTSP/1.1 302 Found", "it is redirected, which is not followed"),  # and reads any version
        ("RTSP/1.0 \r302 Found", "it is redirected, which is not followed"),  # and drops returns
        ("RTSP/ 302", "it is redirected, which is not followed"),
        ("RTSP/1.0 200 OK\r\n\0\r\nRTSP/1.0 302 Found", "not RTSP"),  # an empty line to C: the answer ends
        ("RTSP/1.0 200 OK\r\n$\0\0\4....", "not RTSP"),  # a frame amid the headers
        ("$\0\0\4....RTSP/1.0 302 Found", "not RTSP"),  # a frame too short
        ("RTSP/1.0 200 OK\r\nContent-Length: 0x10", "not RTSP"),  # lengths read in two ways
        ("\r\nRTSP/1.0 302 Found", "not RTSP"),
        ("REDIRECT * RTSP/1.0", "not RTSP"),
    ],
)
def test_an_rtsp_redirect_is_not_followed(line: str, reason: str) -> None:
    pytest.importorskip("av")
    from rtsp_server import playing

    with playing() as (other, asked), playing(redirect=other, status_line=line) as (address, _):
        (only,) = predictor().predict(address, **LOCAL)
    assert only.error is not None
    assert reason in str(only)
    assert asked == []


def test_rtsp_at_a_private_address_is_refused() -> None:
    pytest.importorskip("av")
    from rtsp_server import playing

    with playing() as (address, asked):
        (only,) = predictor().predict(address, allow_remote=True)
    assert "is a private address" in str(only)
    assert asked == []


class Camera:
    """A webcam that gives so many frames and is gone."""

    def __init__(self, index: int, count: int = 200) -> None:
        self.left = count if index == 0 else 0

    def isOpened(self) -> bool:  # noqa: N802
        return self.left > 0

    def get(self, what: int) -> float:
        return 25.0 if what == cv2.CAP_PROP_FPS else -1.0

    def read(self) -> tuple[bool, Any]:
        self.left -= 1
        return self.left >= 0, np.full((48, 64, 3), self.left % 200, np.uint8)

    def release(self) -> None:
        self.left = 0


@pytest.mark.parametrize("buffer", [True, False])
def test_a_webcam(buffer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av")
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    indices = []
    for result in Predictor(fake_weights(), engine=SharedEngine(nap=0.002)).predict(0, stream_buffer=buffer):
        assert result.frame is not None
        indices.append(result.frame.index)
    if buffer:
        assert indices == list(range(201))
    else:
        assert indices == sorted(set(indices))
        assert len(indices) < 201  # the latest only
        assert indices[-2:] == [199, 200]
    (missing,) = predictor().predict("7", stream_buffer=buffer)
    assert missing.error is not None
    assert "there is no webcam of this number" in str(missing)


@pytest.mark.parametrize("buffer", [True, False])
def test_a_silent_stream_holds_up_no_other(
    buffer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    ended = Event()

    class Silent(Camera):
        def read(self) -> tuple[bool, Any]:
            assert ended.wait(timeout=60), "a stream waits for another"
            return super().read()

    monkeypatch.setattr(cv2, "VideoCapture", lambda index: (Silent if index else Camera)(0, 20))
    (tmp_path / "cameras.streams").write_text("0\n1\n")
    names = []
    for result in predictor().predict(tmp_path / "cameras.streams", stream_buffer=buffer):
        names.append(result.source)
        if result.error is not None:
            ended.set()
    assert len(names) > 2
    assert names.index("1") > max(i for i, name in enumerate(names) if name == "0")
    if buffer:
        assert names == ["0"] * 21 + ["1"] * 21


@pytest.mark.parametrize("tracker", [None, "bytetrack"])
@pytest.mark.parametrize("buffer", [True, False])
@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("captured", [True, False])  # by the caller, or here
def test_a_live_frame_is_answered_before_the_next_one_comes(
    tracker: str | None, buffer: bool, batch: int | None, captured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("av")
    if tracker:
        pytest.importorskip("trackers")
    answered = Semaphore(1)

    class Waiting(Camera):
        def read(self) -> tuple[bool, Any]:
            assert answered.acquire(timeout=60), "a result waits for a frame that comes later"
            return super().read()

    monkeypatch.setattr(cv2, "VideoCapture", lambda index: Waiting(index, 6))
    method = partial(predictor().track, tracker=tracker) if tracker else predictor().predict
    indices = []
    for result in method(Waiting(0, 6) if captured else 0, stream_buffer=buffer, batch=batch):
        answered.release()
        assert result.frame is not None
        indices.append(result.frame.index)
    assert indices == list(range(6 if captured else 7))  # the last one says that there are no more


def test_a_webcam_is_not_closed_while_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV would end the process."""
    pytest.importorskip("av")
    released = []

    class Slow(Camera):
        reads = False

        def read(self) -> tuple[bool, Any]:
            self.reads = True
            sleep(0.05)
            found = super().read()
            self.reads = False
            return found

        def release(self) -> None:
            released.append(self.reads)

    monkeypatch.setattr(cv2, "VideoCapture", Slow)
    stream = predictor().predict(0)
    next(stream)
    stream.close()
    assert released == [False]


def test_a_stream_that_is_left_ends_its_thread() -> None:
    import threading

    pytest.importorskip("av")
    with serving({"/live": Answer(jpegs(500), pause=0.02, headers=MJPEG)}) as server:
        stream = predictor().predict(f"{server}/live", **LOCAL)
        next(stream)
        stream.close()
    assert remote.THREAD not in {thread.name for thread in threading.enumerate()}

"""Limits of time, room and memory, against clients that mean no good or are gone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from abusive_requests import ABUSES, EXPECTED, HEAD, exchange, post
from fakes import SharedEngine, fake_weights
from image_files import encode, scene
from served import HOST, Served, serving
from web_server import Answer as WebAnswer
from web_server import serving as web

import yolo_max.serve.server
from yolo_max.images import addresses
from yolo_max.images.memory import MemoryBudget
from yolo_max.predict.predictor import Predictor
from yolo_max.serve import application

IMAGE = encode(scene(), "JPEG")
HEAD_OF_FORM = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yolo_max.serve.server, "HEAD_SECONDS", 1.0)
        patch.setattr(yolo_max.serve.server, "STALL_SECONDS", 1.0)
        with serving(timeout=3.0, max_bytes=2**21) as server:
            yield server


@pytest.mark.parametrize("name", ABUSES)
def test_abuse_is_answered_or_left(served: Served, name: str) -> None:
    assert ABUSES[name](HOST, served.port, IMAGE) in EXPECTED[name]
    assert served.ask(IMAGE).status == 200  # it goes on


@pytest.mark.parametrize(
    "pieces",
    [
        (),  # nothing
        (HEAD.encode(),),  # a head that stops
        tuple(bytes([each]) for each in (HEAD * 20).encode()[:40]),  # one that drips
    ],
    ids=["silent", "stops", "drips"],
)
def test_a_head_that_takes_too_long_is_left(served: Served, pieces: tuple[bytes, ...]) -> None:
    assert exchange(HOST, served.port, *pieces, pause=0.1 if pieces else 0) == 0
    assert eventually(lambda: not served.server.server_state.connections)


@pytest.mark.parametrize(
    "pieces",
    [
        (b"x",),  # of what is left of a body that is answered
        (b"x",) * 8,  # more of it, and never all
        (b"x" * 9,),  # all of it, and then nothing
        (b"x" * 9 + b"GET /hea",),  # and half a head
    ],
    ids=["a byte", "drips", "all", "more"],
)
def test_what_is_left_of_a_body_that_is_answered_has_its_time(
    served: Served, pieces: tuple[bytes, ...]
) -> None:
    with socket.create_connection((HOST, served.port), 60) as wire:
        wire.sendall(b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        assert wire.recv(1000).startswith(b"HTTP/1.1 405")
        for piece in pieces:
            wire.sendall(piece)
            time.sleep(0.05)
        assert eventually(lambda: not served.server.server_state.connections, 10)


def test_what_is_wrong_behind_an_answer_ends_the_connection_without_a_word(
    served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """A client could fill the log."""
    with socket.create_connection((HOST, served.port), 60) as wire:
        wire.sendall(b"POST /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert wire.recv(1000).startswith(b"HTTP/1.1 405")
        wire.sendall(b"zz\r\n")
        assert eventually(lambda: not served.server.server_state.connections, 10)
    assert not caplog.records


@pytest.mark.parametrize("behind", ["garbage", "an end"])
def test_a_connection_that_ends_waits_for_no_answer_to_be_taken(
    monkeypatch: pytest.MonkeyPatch, behind: str
) -> None:
    """With less in hand than is too much for the transport, which tells nobody of it."""
    monkeypatch.setattr(yolo_max.serve.server, "HEAD_SECONDS", 0.5)
    with serving(send_buffer=2**12) as served, socket.socket() as wire:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**12)
        wire.connect((HOST, served.port))
        assert eventually(lambda: served.server.server_state.connections)
        (connection,) = served.server.server_state.connections
        assert isinstance(connection, yolo_max.serve.server.Connection)
        answered = served.server.server_state.total_requests
        while not connection.transport.get_write_buffer_size():
            wire.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answered += 1
            assert eventually(lambda: served.server.server_state.total_requests == answered)  # noqa: B023
        assert not connection.flow.write_paused
        if behind == "garbage":
            wire.sendall(b"\r\ngarbage\r\n\r\n")
        else:
            wire.shutdown(socket.SHUT_WR)
        assert eventually(lambda: not served.server.server_state.connections, 10)


def test_an_answer_that_nobody_takes_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is given back, too."""
    monkeypatch.setattr(yolo_max.serve.server, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(yolo_max.serve.server, "HEAD_SECONDS", 0.5)
    image = encode(np.random.default_rng(0).integers(0, 256, (600, 700, 3), np.uint8), "JPEG")
    with serving(timeout=5.0, send_buffer=2**14) as served:
        wires = [socket.socket() for _ in range(3)]
        for wire in wires:
            wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            wire.connect((HOST, served.port))
            wire.sendall(post(image, more="Accept: image/png\r\n"))
        assert eventually(lambda: not is_whole(served.service._answers))  # some of it is held
        assert eventually(lambda: not served.server.server_state.connections)
        assert is_whole(served.service._answers)  # all of it


def test_a_body_that_is_refused_is_read_so_that_the_answer_arrives(served: Served) -> None:
    """http.client sends all of a body before it reads anything."""
    answer = served.ask(bytes(2**21 + 1))
    assert answer.status == 413


def test_a_client_that_waits_for_a_word_gets_the_refusal_at_once(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolo_max.serve.body.DISCARD_SECONDS", 1000.0)
    with socket.create_connection((HOST, served.port), 60) as wire:
        head = post(b"", length=2**30, more="Expect: 100-continue\r\n")
        wire.sendall(head)
        assert wire.recv(100).startswith(b"HTTP/1.1 413")


class Held(SharedEngine):
    """An engine that waits until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def __call__(self, batch: Any) -> Any:
        assert self.go_on.wait(60)
        return super().__call__(batch)


@contextmanager
def holding(served: Served, requests: int) -> Iterator[list[int]]:
    """So many requests are under way in the context; their statuses are there behind it."""
    statuses: list[int] = []
    with ThreadPoolExecutor(requests) as executor:
        under_way = [executor.submit(served.ask, IMAGE) for _ in range(requests)]
        assert eventually(lambda: served.service._workers._under_way >= requests)
        yield statuses
        statuses += [each.result().status for each in under_way]


def test_when_too_many_wait_others_are_told_to_come_again() -> None:
    engine = Held()
    predictor = Predictor(fake_weights(), engine=engine, workers=2)
    with serving(predictor=predictor, queue=2) as served:  # beside 2 callers and 2 workers
        with holding(served, 6) as statuses:
            answer = served.ask(IMAGE)
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
            assert "too many requests are waiting" in answer.error
            assert b"yolo_max_waiting 2.0" in served.ask(None, "/metrics").body
            engine.go_on.set()
        assert statuses == [200] * 6
        assert served.ask(IMAGE).status == 200


def test_no_answer_in_time_is_said_and_its_place_is_free_when_it_is_done() -> None:
    with serving(nap=0.6, queue=0, timeout=0.3) as served:
        answer = served.ask(IMAGE)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "no answer within 0.3 seconds" in answer.error
        assert eventually(lambda: not served.service._workers._under_way)


def test_nothing_is_done_for_clients_that_left_while_they_waited() -> None:
    engine = Held()
    predictor = Predictor(fake_weights(), engine=engine, workers=2)
    with serving(predictor=predictor) as served:
        with holding(served, 4):
            for _ in range(10):
                exchange(HOST, served.port, post(IMAGE), cut=True)
            gone = b'path="/predict",status="499"} 10.0'
            assert eventually(lambda: gone in served.ask(None, "/metrics").body)
            engine.go_on.set()
        assert eventually(lambda: not served.service._workers._under_way)
        assert len(engine.batches) == 4


def test_bodies_share_one_budget_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "BODIES_AT_ONCE", 2)
    with serving(max_bytes=2**20, timeout=5) as served, socket.create_connection((HOST, served.port)) as one:
        with socket.create_connection((HOST, served.port)) as another:
            for wire in (one, another):
                wire.sendall(post(bytes(2**20 - 1), length=2**20))
            assert eventually(lambda: not served.service._bodies.take(2**17))
            answer = served.ask(bytes(2**19))
            assert answer.status == 429
            assert "too many bodies" in answer.error
        one.close()
        assert eventually(lambda: served.ask(IMAGE).status == 200)


def test_too_many_connections_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a request that takes its time, too: a reset would overtake the answer."""
    monkeypatch.setattr(yolo_max.serve.server, "MAX_CONNECTIONS", 4)
    with serving() as served:
        wires = [socket.create_connection((HOST, served.port)) for _ in range(4)]
        assert eventually(lambda: len(served.server.server_state.connections) == 4)
        for body in (IMAGE, bytes(2**22)):
            answer = served.ask(body)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert answer.headers["connection"] == "close"
            assert answer.error == "too many connections are open; try again."
        wires.append(socket.create_connection((HOST, served.port)))  # the last that is told
        assert eventually(lambda: len(served.server.server_state.connections) == 5)
        with socket.create_connection((HOST, served.port), 60) as beyond, suppress(ConnectionError):
            assert beyond.recv(1000) == b""
        for wire in wires:
            wire.close()
        assert eventually(lambda: served.ask(IMAGE).status == 200)


def test_an_end_loses_nothing() -> None:
    with serving(nap=0.5) as served, holding(served, 6) as statuses:
        served.server.drain(0)
        assert eventually(lambda: refused(served.port))
    assert statuses == [200] * 6


def test_before_the_end_a_load_balancer_is_told() -> None:
    with serving() as served:
        assert (served.ask(None, "/health").status, served.ask(None, "/health").json["status"]) == (
            200,
            "ready",
        )
        served.server.drain(1.0)
        assert served.ask(None, "/health").status == 503
        assert served.ask(None, "/health").json["status"] == "draining"
        assert served.ask(IMAGE).status == 200
        assert eventually(lambda: refused(served.port))


def test_nothing_is_written_to_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even the large parts of a form, which would be spooled."""
    from tempfile import SpooledTemporaryFile

    def rolled(_: Any) -> None:
        raise AssertionError("a part was written to a file")

    monkeypatch.setattr(SpooledTemporaryFile, "rollover", rolled)
    noise = encode(scene(900, 1000), "BMP")
    with serving(max_bytes=2**23) as served:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
            + noise
            + b"\r\n--b--\r\n"
        )
        assert len(body) > 2**21
        assert served.ask(body, Content_Type="multipart/form-data; boundary=b").status == 200


def test_addresses_are_fetched_only_where_it_is_allowed_and_never_private_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    body = {"Content_Type": "application/json"}
    with web({"/a.jpg": WebAnswer([IMAGE]), "/b": WebAnswer([b"no"])}, seen) as address, serving() as closed:
        assert closed.ask(f'{{"url": "{address}/a.jpg"}}'.encode(), **body).status == 422
        with serving(allow_remote=True, max_bytes=2**18) as served:
            for url in (f"{address}/a.jpg", "file:///etc/passwd", "/etc/passwd", "rtsp://127.0.0.1/a", "0"):
                answer = served.ask(f'{{"url": "{url}"}}'.encode(), **body)
                assert answer.status == 422
                assert answer.error.startswith("the address is not read: ")
            assert seen == []
            monkeypatch.setattr(addresses, "is_public", lambda _: True)
            answer = served.ask(f'{{"url": "{address}/a.jpg", "conf": 0.5}}'.encode(), **body)
            assert (answer.status, answer.json["image_size"]) == (200, [48, 64])
            assert served.ask(f'{{"url": "{address}/b"}}'.encode(), **body).status == 415
            assert seen == ["/a.jpg", "/b"]


def test_a_slow_address_keeps_no_image_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "is_public", lambda _: True)
    slow = WebAnswer([b"\xff"] * 200, pause=0.2)
    with web({"/slow": slow}) as address, serving(allow_remote=True, timeout=5.0) as served:
        asked = f'{{"url": "{address}/slow"}}'.encode()
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: statuses.append(served.ask(asked, Content_Type="application/json").status)
            )
            for _ in range(application.FETCHES + 1)
        ]
        for thread in threads:
            thread.start()
        assert eventually(lambda: served.service._fetchers._under_way == application.FETCHES)
        assert served.ask(IMAGE).status == 200
        assert served.service._fetchers._under_way  # they are not done
        for thread in threads:
            thread.join()
        assert sorted(statuses)[-1] in (429, 503)
        assert set(statuses) <= {422, 429, 503}


def eventually(condition: Any, seconds: float = 60) -> bool:
    """Whether it becomes true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_whole(budget: MemoryBudget) -> bool:
    """Whether nobody holds any of it."""
    if budget.take(budget._size):
        budget.give_back(budget._size)
        return True
    return False


def refused(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 1).close()
    except ConnectionRefusedError:
        return True
    return False

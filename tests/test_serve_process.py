"""`yolo-max serve` as a process: where it listens, what it says, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from cli_process import FAKE_CLI
from image_files import encode, scene
from served import serving

from yolo_max.cli import run
from yolo_max.serve.packages import PACKAGES
from yolo_max.support.errors import ExitCode

IMAGE = encode(scene(), "PNG")
PATIENCE = 120
"""Seconds, on a machine that may be busy."""


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command with a network that takes no time; gives its port, too."""
    with subprocess.Popen(
        [*FAKE_CLI, "serve", "--port", "0", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        try:
            line = child.stdout.readline()
            found = re.fullmatch(r"fake\.safetensors at http://\S+:(\d+)/\n", line)
            assert found, line or child.communicate()[1]
            port = int(found[1])
            answers(port)
            yield child, port
        finally:
            child.kill()


def answers(port: int) -> None:
    """Waits until it does."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("it does not answer")


def ask(port: int, **headers: str) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("POST", "/predict", IMAGE, {"Content-Type": "image/png", **headers})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_finishes_what_has_begun_and_ends(number: signal.Signals) -> None:
    with process(FAKE_NAP="1") as (child, port), ThreadPoolExecutor(3) as executor:
        under_way = [executor.submit(ask, port) for _ in range(3)]
        time.sleep(0.7)
        child.send_signal(number)
        assert [each.result()[0] for each in under_way] == [200] * 3
        assert child.wait(PATIENCE) == ExitCode.OK
        assert child.stderr is not None
        assert child.stderr.read().splitlines() == [
            "Compiling the network.",
            "Finishing what has begun; a second signal (Ctrl-C) stops at once.",
        ]


def test_a_second_signal_ends_it_at_once() -> None:
    with process(FAKE_NAP="100") as (child, port), ThreadPoolExecutor(1) as executor:
        executor.submit(ask, port)
        time.sleep(0.5)
        child.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        child.send_signal(signal.SIGTERM)
        assert child.wait(PATIENCE) == ExitCode.INTERRUPTED


def test_it_listens_to_this_machine_alone_unless_told_otherwise() -> None:
    with process() as (child, port):
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        listening = [address for _, address, _, state, *_ in rows if state == "0A"]
        assert [each for each in listening if each.endswith(f":{port:04X}")] == [f"0100007F:{port:04X}"]
        child.terminate()
        assert child.wait(PATIENCE) == 0
        assert child.stderr is not None
        assert "no token" not in child.stderr.read()


@pytest.mark.parametrize("has_token", [False, True])
def test_listening_elsewhere_without_a_token_is_warned_of(has_token: bool) -> None:
    token = "0123456789abcdef"
    environment = {"YOLO_MAX_TOKEN": token} if has_token else {}
    with process("--host", "0.0.0.0", **environment) as (child, port):
        assert ask(port)[0] == (401 if has_token else 200)
        assert ask(port, Authorization=f"Bearer {token}")[0] == 200
        arguments = Path(f"/proc/{child.pid}/cmdline").read_bytes()
        assert token.encode() not in arguments
        child.terminate()
        child.wait(PATIENCE)
        assert child.stderr is not None
        said = child.stderr.read()
        assert token not in said
        assert ("Anybody who reaches this address may ask: there is no token." in said) != has_token


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_wherever_it_listens_it_answers_to_addresses_and_to_the_names_it_was_given(address: str) -> None:
    """Without a token: a name of somebody else's is one that he made lead here (DNS rebinding)."""
    with process("--host", address, "--allowed-host", "yolo.example,other.example") as (_, port):
        for name in ("127.0.0.1", "localhost", "yolo.example", "other.example"):
            assert ask(port, Host=f"{name}:{port}", Origin=f"http://{name}:{port}")[0] == 200
        status, answer = ask(port, Host=f"evil.example:{port}", Origin=f"http://evil.example:{port}")
        assert (status, answer["error"]) == (
            403,
            "this server is not called 'evil.example'; use its address, or start it with --allowed-host.",
        )


def test_answers_do_not_wait_for_more() -> None:
    """Nagle's algorithm would keep every other answer on a connection for 40 ms."""
    with serving() as served, socket.create_connection(("127.0.0.1", served.port)) as wire:
        wire.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wire.recv(1000)
        (connection,) = served.server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_options_are_those_of_predict() -> None:
    with process("--conf", "0.99", "--max-pixels", "3000") as (_, port):
        status, answer = ask(port)
        assert status == 413
        assert "more than the limit of 3,000" in answer["error"]
    with process("--conf", "0.99") as (_, port):
        assert ask(port)[1]["boxes"] == []


@pytest.mark.usefixtures("fake_network")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--port", "TAKEN"], ExitCode.USAGE, "cannot be listened at (Address already in use); use another"),
        (["--port", "70000"], ExitCode.USAGE, "port is 70000, but it must be a whole number from 0 to 65535"),
        (["--host", "192.0.2.1"], ExitCode.USAGE, "192.0.2.1 port 8000 cannot be listened at"),
        (["--host", "no such host"], ExitCode.USAGE, "no such host is not an address of this machine."),
        (["--timeout", "0"], ExitCode.USAGE, "timeout is 0.0, but it must be a number of seconds"),
        (["--queue", "-1"], ExitCode.USAGE, "queue is -1, but it must be a whole number of at least 0"),
        (["--token-file", "nowhere"], ExitCode.USAGE, "the token in nowhere cannot be read"),
        (["photos"], ExitCode.USAGE, "photos"),
        (["--ray-workers", "2"], ExitCode.USAGE, "--ray-workers goes with --ray only; add --ray."),
        (["--ray=nowhere"], ExitCode.USAGE, "'nowhere' is not the address of a Ray cluster"),
        (["--ray", "127.0.0.1:9"], ExitCode.ENGINE, "no Ray cluster answers at 127.0.0.1:9"),
        (
            ["--ray", "--compiled", "net.mef"],
            ExitCode.USAGE,
            "--compiled must be an absolute path with --ray",
        ),
    ],
)
def test_what_cannot_be_served_is_a_sentence_at_once(
    arguments: list[str], code: ExitCode, message: str, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", None)  # nothing slow is begun
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["serve", *[port if each == "TAKEN" else each for each in arguments]]) == code
    (line,) = capfd.readouterr().err.splitlines()
    assert message in line


@pytest.mark.usefixtures("fake_network")
def test_without_its_packages_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.setattr("yolo_max.serve.packages.find_spec", lambda name: name != "uvicorn" or None)
    assert run(["serve"]) == ExitCode.ENGINE
    assert capfd.readouterr().err == (
        "Error: serving needs uvicorn; pip install uvicorn (or 'yolo-max[serve]').\n"
    )
    assert set(PACKAGES) == {"fastapi", "uvicorn", "python_multipart", "prometheus_client"}

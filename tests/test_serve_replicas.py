"""Replicas on a real Ray cluster of this machine's own, behind the application."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_weights
from image_files import encode, scene
from ray_workers import LameSetup, MarkedEngine, descendants, listening
from served import Served, serving

from yolo_max.predict.predictor import Predictor
from yolo_max.ray.cluster import cluster
from yolo_max.ray.setup import Setup
from yolo_max.serve.answers import JSON
from yolo_max.serve.asked import Asked
from yolo_max.serve.errors import BUSY, RequestError
from yolo_max.serve.replicas import Replica, replicas
from yolo_max.support.errors import EngineError, UsageError

if find_spec("ray") is None:
    pytest.skip("Ray is not installed", allow_module_level=True)
IMAGE = encode(scene(), "PNG")
FILES = (IMAGE, encode(scene(90, 60), "PNG"), encode(scene(), "PNG")[:100], b"no image" * 100, b"")
TWO = min(2, os.cpu_count() or 1)
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
PATIENCE = 120


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster whose processes find what tests import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "support"), prepend=os.pathsep)
        with cluster("local") as connected:
            yield connected


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> MarkedEngine:
    return MarkedEngine(tmp_path_factory.mktemp("workers"), nap=0.1)


@pytest.fixture(scope="module")
def served(ray: Any, engine: MarkedEngine) -> Iterator[Served]:
    predictor = Predictor(fake_weights(), engine=engine, conf=0.5, max_pixels=10**6)
    with (
        replicas(ray, predictor, count=TWO, network=engine) as several,
        serving(predictor=predictor, backend=several, token="0123456789abcdef") as server,
    ):
        yield server


def test_what_does_not_fit_or_start_is_one_sentence(
    ray: Any, engine: MarkedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(fake_weights(), engine=engine)
    with pytest.raises(UsageError, match="too few for 1,000 workers"), replicas(ray, predictor, count=1000):
        pass
    setup = Setup.of(predictor, 1, engine)
    other = replace(setup, settings={**setup.settings, "imgsz": [32, 32]})
    monkeypatch.setattr(Setup, "of", lambda *_: other)
    with (
        pytest.raises(EngineError, match=r"its imgsz is \[64, 64\], not \[32, 32\]; ") as raised,
        replicas(ray, predictor, count=1, network=engine),
    ):
        pass
    assert "\n" not in str(raised.value)


def test_one_of_several_that_does_not_start_is_heard(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = MarkedEngine(tmp_path)
    predictor = Predictor(fake_weights(), engine=engine)
    whole = Setup.of(predictor, 1, engine)
    lame = LameSetup(**{each.name: getattr(whole, each.name) for each in fields(whole)})
    monkeypatch.setattr(Setup, "of", lambda *_: lame)
    with (
        pytest.raises(EngineError, match="this node has no network"),
        replicas(ray, predictor, count=TWO, network=engine),
    ):
        pass


def test_a_replacement_that_does_not_start_refuses_and_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody asks any more what is wrong with it."""
    whole = Setup.of(Predictor(fake_weights(), engine=(engine := MarkedEngine(tmp_path))), 1, engine)
    lame = LameSetup(**{each.name: getattr(whole, each.name) for each in fields(whole)})
    monkeypatch.setattr("ray.get", lambda setup: setup)
    monkeypatch.setattr("yolo_max.serve.replicas._listen_to_this_machine_alone", lambda: None)
    broken, replacement = Replica(lame, 1), Replica(lame, 1)
    asyncio.run(broken.check_health())  # Ray Serve takes it, and it can be asked
    refusal = asyncio.run(broken.answer(IMAGE, Asked({}, {}), JSON))
    assert isinstance(refusal, RequestError)
    assert (refusal.status, refusal.headers) == (503, BUSY)
    assert "could not load the network: this node has no network." in refusal.sentence
    with pytest.raises(EngineError, match="this node has no network"):
        asyncio.run(broken.check_health())
    assert not isinstance(asyncio.run(replacement.answer(IMAGE, Asked({}, {}), JSON)), RequestError)
    asyncio.run(replacement.check_health())


def ask(served: Served, data: bytes = IMAGE, path: str = "/predict", **headers: str) -> tuple[int, Any]:
    answer = served.ask(data, path, Authorization="Bearer 0123456789abcdef", **headers)
    body = answer.json if answer.headers["content-type"] == "application/json" else answer.body
    if isinstance(body, dict):
        body.pop("times_ms", None)
    return answer.status, body


def test_answers_are_those_of_the_plain_server(served: Served, engine: MarkedEngine) -> None:
    asked = [
        (data, path, accept)
        for data in FILES
        for path in ("/predict", "/predict?conf=0.9", "/predict?conf=2", "/predict?line_width=5")
        for accept in ("application/json", "image/png")
    ]

    def all_of(server: Served) -> list[tuple[int, Any]]:
        with ThreadPoolExecutor(8) as executor:
            return list(executor.map(lambda each: ask(server, *each[:2], Accept=each[2]), asked))

    with serving(predictor=served.predictor, token="0123456789abcdef") as plain:
        expected = all_of(plain)
    assert {status for status, _ in expected} == {200, 415, 422}
    assert all_of(served) == expected
    assert len(engine.workers) == TWO


def test_limits_token_and_health_are_those_of_the_application(served: Served) -> None:
    assert served.ask(IMAGE).status == 401
    assert ask(served, encode(scene(1001, 1000), "PNG"))[0] == 413
    assert served.ask(path="/health").json["status"] == "ready"
    metrics = served.ask(path="/metrics", Authorization="Bearer 0123456789abcdef").body.decode()
    assert 'yolo_max_requests_total{path="/predict",status="413"}' in metrics
    assert 'yolo_max_stage_seconds_count{stage="infer"}' in metrics


def test_a_killed_replica_costs_what_it_had_and_is_replaced(served: Served, engine: MarkedEngine) -> None:
    before = set(engine.workers)
    with ThreadPoolExecutor(8) as executor:
        under_way = [executor.submit(ask, served) for _ in range(16)]
        time.sleep(0.15)
        os.kill(min(before), signal.SIGKILL)
        answers = [each.result() for each in under_way]
    lost = [body for status, body in answers if status != 200]
    assert lost == [{"error": "the replica that had this request was lost; try again."}] * len(lost)
    assert {status for status, _ in answers} <= {200, 503}
    end = time.monotonic() + PATIENCE
    while not set(engine.workers) - before and time.monotonic() < end:
        assert ask(served)[0] == 200
    assert set(engine.workers) - before


@pytest.mark.usefixtures("served")
def test_replicas_listen_to_this_machine_alone() -> None:
    addresses = listening(descendants(os.getpid()))
    assert addresses
    assert addresses <= LOOPBACK

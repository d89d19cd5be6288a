"""A real Ray cluster of this machine's own: what runs on it, and what of it can be seen from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import FakeEngine, fake_weights, read_tree, write_image
from ray_workers import DeadlyEngine, MarkedEngine, descendants, listening

from yolo_max.images.sources import find_images
from yolo_max.predict.folder.run import FolderRun
from yolo_max.predict.predictor import Predictor
from yolo_max.ray import predict_dataset
from yolo_max.ray.attempts import CRASHES
from yolo_max.ray.cluster import cluster
from yolo_max.ray.run import RayRun
from yolo_max.ray.setup import Setup
from yolo_max.support.errors import EngineError, UsageError
from yolo_max.support.options import SaveOptions
from yolo_max.support.ray_options import RayOptions

if find_spec("ray") is None:
    pytest.skip("Ray is not installed", allow_module_level=True)
SAVING = SaveOptions(save_txt=True, times=False)
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    """A cluster whose processes find what tests import."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "support"), prepend=os.pathsep)
        with cluster("local") as connected:
            session = Path(connected._private.worker._global_node.get_session_dir_path())
            assert session.is_dir()
            yield connected
        assert not session.exists()
        link = session.with_name("session_latest")
        assert link.exists() or not link.is_symlink()


def runs(ray: Any, folder: Path, engine: MarkedEngine, **options: Any) -> tuple[FolderRun, RayRun]:
    predictor = Predictor(fake_weights(), engine=engine)
    found = list(find_images([folder / "photos"]))
    on = RayOptions(ray="local", **options)
    return (
        FolderRun(predictor, found, folder / "one", SAVING),
        RayRun(lambda: ray, predictor, found, folder / "ray", SAVING, on, network=engine),
    )


def results(out: Path) -> dict[Path, bytes]:
    return {
        path: data for path, data in read_tree(out).items() if path.parts[0] not in ("shards", "run.json")
    }


def test_two_workers_give_what_one_machine_gives(
    ray: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    for i in range(12):
        write_image(tmp_path / f"photos/{i}.{('jpg', 'png')[i % 2]}", i, (100, 150))
    (tmp_path / "photos/bad.jpg").write_bytes(b"no image" * 100)
    (tmp_path / "workers").mkdir()
    engine = MarkedEngine(tmp_path / "workers", nap=0.05)
    for run in runs(ray, tmp_path, engine, ray_workers=min(2, os.cpu_count() or 1), shard_images=2):
        with run:
            assert len(list(run.images())) == 13
    assert results(tmp_path / "ray") == results(tmp_path / "one")
    assert engine.workers
    assert not [each for each in recwarn if "ray_remote_args" in str(each.message)]


@pytest.mark.usefixtures("ray")
def test_sigterm_is_left_to_this_process() -> None:
    """Ray's handler would end a run at once, in the middle of what has begun."""
    handler = signal.getsignal(signal.SIGTERM)
    assert handler is None or "ray" not in getattr(handler, "__module__", "")


def test_nothing_listens_beyond_this_machine(ray: Any) -> None:
    addresses = listening(descendants(os.getpid()))
    assert addresses
    assert addresses <= LOOPBACK


def test_usage_is_not_reported_and_there_is_no_dashboard(ray: Any) -> None:
    from ray._common.usage.usage_lib import usage_stats_enabled

    assert not usage_stats_enabled()
    assert not ray._private.worker._global_node.webui_url


def test_what_is_wrong_with_a_worker_is_one_sentence(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "photos/a.jpg", 1)
    (tmp_path / "workers").mkdir()
    _, run = runs(ray, tmp_path, MarkedEngine(tmp_path / "workers"), ray_workers=1)
    setup = Setup.of(Predictor(fake_weights(), engine=FakeEngine()), 1, FakeEngine())
    other = replace(setup, settings={**setup.settings, "imgsz": [32, 32]})
    monkeypatch.setattr(Setup, "of", lambda *_: other)
    with run, pytest.raises(EngineError) as raised:
        list(run.images())
    assert "what this machine does: its imgsz is [64, 64], not [32, 32]; " in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.zoo
def test_killed_workers_lose_nothing_and_duplicate_nothing(ray: Any, tmp_path: Path) -> None:
    for i in range(120):
        write_image(tmp_path / f"photos/{i:03d}.jpg", i, (100, 150))
    (tmp_path / "workers").mkdir()
    engine = MarkedEngine(tmp_path / "workers", nap=0.05)
    one, many = runs(ray, tmp_path, engine, ray_workers=min(2, os.cpu_count() or 1), shard_images=8)
    with one:
        list(one.images())
    killed: list[int] = []

    def kill_the_first_five() -> None:
        while len(killed) < 5:
            for pid in set(engine.workers) - set(killed):
                os.kill(pid, signal.SIGKILL)  # it is at an image of its first shard
                killed.append(pid)
            time.sleep(0.02)

    threading.Thread(target=kill_the_first_five, daemon=True).start()
    with many:
        assert len(list(many.images())) == 120
    assert len(killed) >= 5
    assert many.finished
    assert results(tmp_path / "ray") == results(tmp_path / "one")
    lines = (tmp_path / "ray/predictions.jsonl").read_bytes()
    assert b"".join(path.read_bytes() for path in sorted((tmp_path / "ray/shards").iterdir())) == lines


KILLED = """
import os, signal, time
from yolo_max.ray.cluster import cluster

class Killed:
    def first(self): return os.getpid()
    def second(self):
        os.kill(os.getpid(), signal.SIGKILL)

with cluster("local") as ray:
    actor = ray.remote(max_restarts=1, max_task_retries=1)(Killed).remote()
    ray.get(actor.first.remote())
    try:
        ray.get(actor.second.remote())
    except ray.exceptions.RayError:
        time.sleep(1)  # Ray says it a little later
        print("killed")
"""


def test_the_standard_output_has_nothing_of_ray() -> None:
    """It would say there that a worker died and that its task failed."""
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("killed\n", "")


def write_white(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((100, 150, 3), 255, np.uint8))
    return path


@pytest.mark.zoo
def test_an_image_that_kills_each_worker_is_a_record(ray: Any, tmp_path: Path) -> None:
    for i in range(12):
        write_image(tmp_path / f"photos/{i:02d}.png", i, (100, 150))
    (tmp_path / "workers").mkdir()
    deadly = write_white(tmp_path / "photos/05.png")
    engine = DeadlyEngine(tmp_path / "workers")
    _, run = runs(ray, tmp_path, engine, ray_workers=1, shard_images=4)
    with run:
        records = list(run.images())
    assert run.finished
    assert len(records) == 12
    assert [each["path"] for each in records if "error" in each] == [str(deadly)]
    assert len(engine.workers) == 2 + CRASHES


@pytest.mark.zoo
def test_workers_that_die_and_die_end_the_run(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolo_max.ray.run.RESTARTS", 1)
    write_white(tmp_path / "photos/a.png")
    (tmp_path / "workers").mkdir()
    engine = DeadlyEngine(tmp_path / "workers")
    _, run = runs(ray, tmp_path, engine, ray_workers=1)
    with run, pytest.raises(EngineError, match=r"^the run on Ray failed .*; --resume goes on\.$"):
        list(run.images())
    assert len(engine.workers) == 2


@pytest.mark.zoo
def test_an_image_that_kills_each_worker_ends_a_dataset(
    ray: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolo_max.ray.dataset.RESTARTS", 1)
    (tmp_path / "workers").mkdir()
    engine = DeadlyEngine(tmp_path / "workers")
    ds = ray.data.from_items([{"image": write_white(tmp_path / "photos/a.png").read_bytes()}])
    with pytest.raises(ray.exceptions.RayError):
        predict_dataset(ds, fake_weights(), ray_workers=1, threads=1, network=engine).take_all()
    assert len(engine.workers) == 2


WRONG = [
    ("nowhere", UsageError, "'nowhere' is not the address of a Ray cluster"),
    ("ray://host:10001", UsageError, "is not the address"),  # Ray Client has no Ray Data of its own
    ("host:99999", UsageError, "is not the address"),  # there is no such port
    ("127.0.0.1:9", EngineError, "no Ray cluster answers at 127.0.0.1:9 "),
]


@pytest.mark.parametrize(("address", "error", "message"), WRONG)
def test_an_address_is_checked_at_once(address: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message), cluster(address):
        pass


def test_a_dataset_gets_predictions(ray: Any, tmp_path: Path) -> None:
    files = [write_image(tmp_path / f"{i}.png", i, (100, 150)).read_bytes() for i in range(3)]
    network = FakeEngine()
    ds = ray.data.from_items([{"id": i, "image": data} for i, data in enumerate([*files, b"no image"])])
    found = predict_dataset(ds, fake_weights(), ray_workers=1, threads=1, network=network).take_all()
    by_id = sorted(found, key=lambda row: row["id"])
    predictor = Predictor(fake_weights(), engine=network)
    assert [json.loads(row["prediction"]) for row in by_id[:3]] == [
        predictor(each).to_dict() for each in files
    ]
    assert [row["error"] for row in by_id[:3]] == ["", "", ""]
    assert by_id[3]["prediction"] == ""
    assert by_id[3]["error"]


def test_workers_are_as_urgent_as_this_process(ray: Any) -> None:
    """Ray's own niceness of 15 would starve them beside other work."""
    niceness = ray.remote(num_cpus=0)(lambda: os.nice(0))
    assert ray.get(niceness.remote()) == os.nice(0)

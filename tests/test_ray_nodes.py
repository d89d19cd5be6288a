"""A Ray cluster of two nodes, which are two sets of Ray's processes on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from fakes import fake_weights, read_tree, write_image
from ray_workers import MarkedEngine, descendants

from yolo_max.images.sources import find_images
from yolo_max.predict.folder.run import FolderRun
from yolo_max.predict.predictor import Predictor
from yolo_max.ray.cluster import cluster
from yolo_max.ray.run import RayRun
from yolo_max.support.options import SaveOptions
from yolo_max.support.ray_options import RayOptions

if find_spec("ray") is None:
    pytest.skip("Ray is not installed", allow_module_level=True)
pytestmark = pytest.mark.zoo


@pytest.fixture
def nodes() -> Iterator[Any]:
    """A head and another node of one CPU each, whose processes find what tests import."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent / "support"), prepend=os.pathsep)
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")
        handler = signal.getsignal(signal.SIGTERM)  # Ray sets one of its own
        several = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        several.add_node(num_cpus=1)
        yield several
        several.shutdown()
        signal.signal(signal.SIGTERM, handler)


def raylet_of(node: Any) -> int:
    """The process that the workers of a node are below."""
    return int(node.all_processes["raylet"][0].process.pid)


@pytest.mark.parametrize("what", ["its worker", "the whole node"])
def test_what_a_second_node_loses_is_done_again(nodes: Any, tmp_path: Path, what: str) -> None:
    for i in range(60):
        write_image(tmp_path / f"photos/{i:02d}.jpg", i, (100, 150))
    (tmp_path / "workers").mkdir()
    engine = MarkedEngine(tmp_path / "workers", nap=0.1)
    predictor, saving = Predictor(fake_weights(), engine=engine), SaveOptions(save_txt=True, times=False)
    found = list(find_images([tmp_path / "photos"]))
    with FolderRun(predictor, found, tmp_path / "one", saving) as one:
        list(one.images())
    (second,) = nodes.worker_nodes
    killed: list[int] = []

    def kill() -> None:
        below = descendants(raylet_of(second))
        while not killed:
            killed.extend(set(engine.workers) & below)
            below = descendants(raylet_of(second))
            time.sleep(0.05)
        if what == "its worker":
            os.kill(killed[0], signal.SIGKILL)
        else:
            nodes.remove_node(second, allow_graceful=False)

    threading.Thread(target=kill, daemon=True).start()
    on = RayOptions(ray=nodes.address, ray_workers=2, shard_images=5)
    with (
        cluster(nodes.address) as ray,
        RayRun(lambda: ray, predictor, found, tmp_path / "ray", saving, on, network=engine) as run,
    ):
        assert run.workers == (2, 1)
        assert len(list(run.images())) == 60
    assert killed
    assert len(engine.workers) >= 2
    before, after = read_tree(tmp_path / "one"), read_tree(tmp_path / "ray")
    assert {path: data for path, data in after.items() if path.parts[0] not in ("shards", "run.json")} == {
        path: data for path, data in before.items() if path.parts[0] != "run.json"
    }


JOIN = """
import sys
from yolo_max.ray.cluster import cluster, cpus_of
from yolo_max.support.errors import EngineError
try:
    with cluster(sys.argv[1]) as ray:
        print(cpus_of(ray))
except EngineError as error:
    print("" if "no Ray cluster answers" in str(error) else error)
"""


def test_a_cluster_with_a_token_says_what_is_missing(tmp_path: Path) -> None:
    """`ray start` asks for a token where there is one, and a run by itself leaves one behind."""
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray/auth_token").write_text("0" * 64)
    without = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    without["HOME"] = str(tmp_path)
    told = without | {"RAY_AUTH_MODE": "token"}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=3"]
    join = [sys.executable, "-c", JOIN, f"127.0.0.1:{port}"]
    with tempfile.TemporaryDirectory() as folder:  # in which paths of sockets are short
        more = [f"--port={port}", "--include-dashboard=false", f"--temp-dir={folder}"]
        with subprocess.Popen([*ray, *more], env=without, stdout=subprocess.DEVNULL) as head:
            try:
                end, joined = time.monotonic() + 120, ""
                while not joined.strip() and time.monotonic() < end:
                    joined = subprocess.check_output(join, env=told, text=True)
                refused = subprocess.check_output(join, env=without, text=True)
            finally:
                head.terminate()
    assert joined == "[3]\n"
    assert f"127.0.0.1:{port} cannot be used" in refused
    assert "set RAY_AUTH_MODE=token" in refused

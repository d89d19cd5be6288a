"""The engines of the registry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest
from bench_fakes import SETUP

from yolo_max.bench.engines import ENGINES, NotMeasuredError, Setup, choose, make_runtime
from yolo_max.bench.request import reference_point
from yolo_max.support.errors import UsageError
from yolo_max.weights.load import load_weights


def test_engines_are_chosen_by_key_in_the_order_of_the_registry() -> None:
    assert [each.key for each in choose(["openvino", "max"])] == ["max", "openvino"]
    assert choose(None) == list(ENGINES)
    with pytest.raises(UsageError, match=r"no engine 'tensorflow'; use some of max, "):
        choose(["max", "tensorflow"])


def test_torch_compile_is_absent_where_nothing_compiles_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    (engine,) = choose(["torch-compile"])
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert engine.absent() == "no C++ compiler on this machine (no-such-compiler)"
    monkeypatch.setenv("CXX", sys.executable)
    assert engine.absent() is None


def test_ratios_refer_to_pytorch_or_else_to_the_first() -> None:
    assert reference_point(["max", "torch", "openvino"], None) == "torch"
    assert reference_point(["max", "openvino"], None) == "max"
    assert reference_point(["max", "openvino"], "openvino") == "openvino"


BACKBONE = [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [24, 3, 2]]]
NETWORKS: dict[str, dict[str, Any]] = {
    "detect": {"head": [[[1, 2], 1, "Detect", ["nc"]]]},
    # two sets of branches, of which the one for NMS is compared; no DFL
    "detect, end to end": {"head": [[[1, 2], 1, "Detect", ["nc"]]], "end2end": True, "reg_max": 1},
    "classify": {"head": [[-1, 1, "Classify", ["nc"]]]},
    "segment": {"head": [[[1, 2], 1, "Segment", ["nc", 12, 16]]]},
    # prototypes from all levels
    "segment, YOLO26's": {"head": [[[1, 2], 1, "Segment26", ["nc", 12, 16]]], "reg_max": 1},
    "pose": {"head": [[[1, 2], 1, "Pose", ["nc", [5, 3]]]], "kpt_shape": [5, 3]},
    # the last convolution of its branch stands apart
    "pose, YOLO26's": {"head": [[[1, 2], 1, "Pose26", ["nc", [5, 3]]]], "kpt_shape": [5, 3], "reg_max": 1},
    "obb": {"head": [[[1, 2], 1, "OBB", ["nc", 1]]]},
}
"""A small network for each head, whose raw outputs differ in number and layout."""


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("key", ["torch", "onnxruntime", "openvino"])
def test_a_peer_runs_the_same_network(key: str, name: str, tmp_path: Path) -> None:
    """Through its own export and in two sizes, it gives all of PyTorch's raw outputs."""
    (peer,) = choose([key])
    if reason := peer.absent():
        pytest.skip(reason)
    from yolo_max.bench.raw_network import export_onnx
    from yolo_max.engine.torch_engine import TorchEngine

    weights, onnx = tmp_path / "network.pt", tmp_path / "network.onnx"
    table = {"nc": 5, "backbone": BACKBONE, **NETWORKS[name]}
    weights.write_bytes(checkpoints.checkpoint(checkpoints.model(table)))
    engine = TorchEngine(weights)
    if "onnx" in peer.packages:
        export_onnx(engine.module, engine.reference, onnx)
    layout = {output: each.axes for output, each in engine.reference.outputs.items()}
    runtime = make_runtime(*peer.make(Setup(str(weights), str(onnx), 1, layout)))
    runtime.imports()
    runtime.load()
    for shape in ((1, 64, 64, 3), (3, 96, 64, 3)):
        batch = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        runtime.prepare(*shape[:3])
        found, expected = runtime.outputs(runtime.infer(batch)), engine(batch)
        assert tuple(found) == tuple(expected) == load_weights(weights).meta.network.outputs
        for output in found:
            np.testing.assert_allclose(found[output], expected[output], rtol=1e-4, atol=1e-3)


def test_openvino_is_imported_without_a_look_at_the_network() -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    code = """
import socket, threading
socket.getaddrinfo = lambda *where, **options: print("looked up", where)
from yolo_max.bench.runtimes import import_openvino
import_openvino().Core()
for thread in threading.enumerate():
    if thread is not threading.main_thread():
        thread.join(10)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "looked up" not in done.stdout


def test_the_stock_graph_skips_other_sizes() -> None:
    from yolo_max.bench.runtimes import MaxRuntime

    runtime = MaxRuntime(SETUP, kernels="stock")
    runtime.size = (640, 640)
    runtime.prepare(8, 640, 640)  # a batch is run image by image
    with pytest.raises(NotMeasuredError, match="static size"):
        runtime.prepare(1, 320, 320)

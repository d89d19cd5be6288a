"""MaxEngine: its contract, its options, and both sets of kernels on one small network."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import raw_outputs
from max import driver
from max.dtype import DType
from numpy.typing import NDArray
from tiny import tiny_weights

from yolo_max import Detections, Detector
from yolo_max.engine import max_engine, max_target
from yolo_max.engine.choose import make_engine
from yolo_max.engine.max_engine import MaxEngine
from yolo_max.images.letterbox import Letterbox
from yolo_max.images.read import read_image
from yolo_max.kernels.precision import Precision
from yolo_max.model.architecture import parse_architecture
from yolo_max.runtime import cpu
from yolo_max.runtime.threads import quiet_poller
from yolo_max.support.errors import EngineError, UsageError, WeightsError, YoloMaxError
from yolo_max.weights.load import Weights


@pytest.fixture(scope="module")
def weights() -> Weights:
    return tiny_weights()


@pytest.fixture(scope="module")
def fused(weights: Weights) -> MaxEngine:
    return MaxEngine(weights, imgsz=(32, 32), kernels="fused")


@pytest.fixture(scope="module", params=Precision)
def of_precision(request: pytest.FixtureRequest, weights: Weights, fused: MaxEngine) -> MaxEngine:
    """The engine of either precision."""
    if request.param is Precision.F32:
        return fused
    if not cpu.has_bf16():
        pytest.skip(f"{cpu.model_name()} has no AVX512-BF16")
    return MaxEngine(weights, imgsz=(32, 32), precision=request.param)


class Static(MaxEngine):
    """A static engine for two images of 32 x 32 that sums pixels up, as compiling takes minutes."""

    def __init__(self) -> None:
        self._static = (2, 32, 32)
        self._outputs = ("head",)
        self._stride = 8

    def _execute(
        self, batch: NDArray[np.uint8], shared: bool = False, min_logit: float = -np.inf
    ) -> list[NDArray[np.float32]]:
        assert batch.shape == (2, 32, 32, 3)
        head: NDArray[np.float32] = batch.reshape(2, 1, -1).sum(2, keepdims=True, dtype=np.float32)
        return [head]


def test_stock_operations_refuse_input_of_many_sizes_before_they_are_compiled(weights: Weights) -> None:
    with pytest.raises(UsageError, match="MAX's stock operations are compiled for one; leave rect out"):
        MaxEngine(weights, imgsz=(32, 32), kernels="stock", rect=True)


def images(batch: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(batch).integers(0, 256, (batch, height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("batch", "height", "width"),
    [
        (1, 32, 32),  # what it was made for
        (3, 32, 32),  # another batch
        (1, 8, 8),  # one cell
        (2, 8, 200),  # a strip
        (1, 256, 64),  # upright
    ],
)
def test_one_graph_serves_every_batch_and_size(fused: MaxEngine, batch: int, height: int, width: int) -> None:
    pixels = images(batch, height, width)
    head = fused(pixels)["head"]
    assert head.shape == (batch, height // 8 * (width // 8), 4 * 16 + 64)
    assert head.dtype == np.float32
    for i in range(batch):
        np.testing.assert_array_equal(head[i], fused(pixels[i : i + 1])["head"][0])


@pytest.mark.parametrize(
    "batch",
    [
        1,  # half a batch: filled up
        2,  # exactly one
        5,  # two and a half
    ],
)
def test_a_static_graph_cuts_and_fills_batches(batch: int) -> None:
    pixels = images(batch, 32, 32)
    expected = pixels.reshape(batch, 1, -1).sum(2, keepdims=True, dtype=np.float32)
    np.testing.assert_array_equal(Static()(pixels)["head"], expected)
    for found, of_image in zip(Static().run(pixels, 0.0), expected, strict=True):
        assert found.keys() == {"head"}  # every cell, since all are computed
        np.testing.assert_array_equal(found["head"], of_image)


def test_outputs_in_bfloat16_come_as_their_bits() -> None:
    bits = np.array([[0, 0x3F80, 0xFF80]], np.uint16)
    output = driver.Buffer.from_numpy(bits).view(DType.bfloat16)
    np.testing.assert_array_equal(max_engine._array(output), bits)


def test_a_static_graph_takes_one_size() -> None:
    with pytest.raises(UsageError, match="compiled for images of 32 x 32 pixels, not 64 x 32"):
        Static()(images(1, 64, 32))


@pytest.mark.parametrize(
    ("batch", "complaint"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), "uint8 images"),  # scaled already
        (np.zeros((32, 32, 3), np.uint8), "uint8 images"),  # no batch
        (np.zeros((1, 32, 32, 4), np.uint8), "uint8 images"),  # alpha
        (np.zeros((0, 32, 32, 3), np.uint8), "uint8 images"),  # nothing
        (np.zeros((1, 32, 33, 3), np.uint8), "multiples of 8"),  # does not fit the strides
    ],
)
def test_what_does_not_fit_is_refused(fused: MaxEngine, batch: NDArray[Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        fused(batch)


def test_memory_that_is_not_contiguous_is_taken(fused: MaxEngine) -> None:
    pixels = images(1, 32, 64)
    mirrored = pixels[:, :, ::-1]
    np.testing.assert_array_equal(fused(mirrored)["head"], fused(np.ascontiguousarray(mirrored))["head"])


def test_results_outlive_the_next_execution(fused: MaxEngine) -> None:
    head = fused(images(1, 32, 32))["head"]
    before = head.copy()
    fused(images(2, 32, 32))
    np.testing.assert_array_equal(head, before)


def test_calls_at_the_same_time_do_not_disturb_each_other(fused: MaxEngine) -> None:
    batches = [images(batch, height, 64) for batch in (1, 2, 3) for height in (8, 64, 200)]
    expected = [fused(pixels)["head"] for pixels in batches]
    with ThreadPoolExecutor(6) as callers:
        # Some of them share the threads, some take all of them.
        calls = [
            callers.submit(fused.run, pixels, -np.inf, shared=i % 3 > 0)
            for i, pixels in enumerate(batches * 20)
        ]
        for i, call in enumerate(calls):
            logits = [found["head"] for found in call.result(timeout=60)]
            np.testing.assert_array_equal(logits, expected[i % len(batches)])


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        (False, 6),  # alone: all threads
        (True, 3),  # one of two callers
    ],
)
def test_how_many_threads_a_call_takes(
    fused: MaxEngine, monkeypatch: pytest.MonkeyPatch, shared: bool, expected: int
) -> None:
    given: list[Any] = []

    class Recorder:
        def execute(self, *inputs: Any) -> Any:
            given.extend(each.to_numpy() for each in inputs)
            return inputs

    for name, value in {"threads": 6, "_share": 3, "_model": Recorder()}.items():
        monkeypatch.setattr(fused, name, value)
    fused._execute(images(1, 32, 32), shared, 0.5)
    assert given[-1].tolist() == [expected, 0.5]


@pytest.mark.parametrize("share", [0, 0.003, 0.03, 0.3, 0.97, 1])  # of cells that are candidates, about
@pytest.mark.parametrize(
    ("batch", "height", "width"),
    [
        (1, 320, 320),
        (3, 96, 200),  # maps that end within a square
        (2, 8, 8),  # maps of a pixel
    ],
)
def test_what_candidates_get_does_not_depend_on_others(
    of_precision: MaxEngine, weights: Weights, batch: int, height: int, width: int, share: float
) -> None:
    engine, pixels = of_precision, images(batch, height, width)
    head = engine(pixels)["head"]
    sides = 4 * weights.meta.network.head.args["reg_max"]
    best = head[..., sides:].max(axis=2)
    least = {0.0: np.inf, 1.0: -np.inf}.get(share) or float(np.float32(np.quantile(best, 1 - share)))
    engine(255 - pixels)  # so that memory holds other numbers
    for found, of_image, exact in zip(engine.run(pixels, least), best > least, head, strict=True):
        cells = found.get("cells", np.arange(len(exact)))  # absent where it is all of them
        np.testing.assert_array_equal(cells, np.flatnonzero(of_image))
        np.testing.assert_array_equal(found["head"], exact[of_image])


@pytest.mark.parametrize("conf", [0.001, 0.25, 0.9])
def test_detections_are_those_of_the_whole_head(
    demo_engine: MaxEngine, demo_weights: Path, scenes: list[Path], conf: float
) -> None:
    detector = Detector(demo_weights, engine=demo_engine, conf=conf)
    found = 0
    for scene, result in zip(scenes, detector.stream(scenes), strict=True):
        image = read_image(scene)
        letterbox = Letterbox.fit((image.shape[0], image.shape[1]), detector.imgsz)
        head = demo_engine(letterbox.render(image)[None])["head"][0]
        expected = detector.decoder({"head": head}, letterbox)
        assert isinstance(expected, Detections)
        for detections in (detector(scene), result.prediction):
            assert isinstance(detections, Detections)
            for name in ("xyxy", "confidence", "class_id"):
                np.testing.assert_array_equal(getattr(detections, name), getattr(expected, name))
        found += len(expected)
    assert found > 0


@pytest.mark.parametrize(
    ("threads", "callers", "each"),
    [
        (1, 1, 1),  # nobody to share with
        (2, 2, 1),  # a thread each
        (8, 8, 1),  # as many callers as there are at most
        (9, 5, 2),  # more threads than that: none is idle
        (16, 8, 2),
        (64, 8, 8),
    ],
)
def test_callers_share_all_threads(threads: int, callers: int, each: int) -> None:
    assert max_target.shares(threads) == (callers, each)
    assert callers * each >= threads


def test_a_thread_is_the_least_that_works_on_a_run(fused: MaxEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = images(1, 64, 96)
    expected = fused(pixels)["head"]
    for threads in (0, -1, 1000):
        monkeypatch.setattr(fused, "threads", threads)
        np.testing.assert_array_equal(fused(pixels)["head"], expected)


def test_the_second_engine_comes_from_the_cache(fused: MaxEngine, weights: Weights) -> None:
    said: list[str] = []
    again = MaxEngine(weights, imgsz=(64, 96), kernels="fused", report=said.append)
    assert again.from_cache
    assert said == []
    pixels = images(1, 64, 96)
    np.testing.assert_array_equal(again(pixels)["head"], fused(pixels)["head"])


def test_other_weights_need_no_other_graph(fused: MaxEngine) -> None:
    other = MaxEngine(tiny_weights(seed=1), imgsz=(32, 32), kernels="fused")
    assert other.from_cache
    assert not np.allclose(other(images(1, 32, 32))["head"], fused(images(1, 32, 32))["head"])


@pytest.mark.parametrize("nc", [1, 15, 16, 17, 63])  # whole blocks of kernels, and parts of them
def test_one_graph_serves_every_number_of_classes(fused: MaxEngine, nc: int) -> None:
    weights = tiny_weights(nc=nc)
    engine = MaxEngine(weights, imgsz=(32, 32), kernels="fused")
    assert engine.from_cache
    pixels = images(2, 32, 64)
    _, reference = raw_outputs.run(weights, pixels)
    head = engine(pixels)["head"]
    np.testing.assert_allclose(head, reference["head"], rtol=0, atol=1e-4)
    threshold = float(np.median(head[..., 64:].max(2)))
    for found, whole in zip(engine.run(pixels, threshold), head, strict=True):
        np.testing.assert_array_equal(found["cells"], np.flatnonzero(whole[:, 64:].max(1) > threshold))
        np.testing.assert_array_equal(found["head"], whole[found["cells"]])


def test_a_compiled_graph_is_not_for_stock_operations_or_pytorch(weights: Weights) -> None:
    with pytest.raises(UsageError, match="MAX's stock operations are to run"):
        MaxEngine(weights, imgsz=(32, 32), kernels="stock", compiled="tiny.mef")
    with pytest.raises(UsageError, match="PyTorch does not run compiled graphs"):
        make_engine("torch", weights, precision="f32", compiled="tiny.mef")


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"device": "tpu"}, UsageError, "no device 'tpu'"),
        ({"kernels": "magic"}, UsageError, "no kernels 'magic'"),
        ({"precision": "int8"}, UsageError, "no precision 'int8'"),
        ({"precision": "bf16", "kernels": "stock"}, EngineError, "f32 only"),
        ({"threads": 0}, UsageError, "threads is 0"),
        ({"threads": 4096}, UsageError, "threads is 4096"),
    ],
)
def test_bad_options_are_one_sentence(
    weights: Weights, options: dict[str, Any], error: type[YoloMaxError], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        MaxEngine(weights, imgsz=(32, 32), **options)


def test_only_what_has_a_row_per_cell_is_reduced_to_the_candidates(demo_engine: MaxEngine) -> None:
    head, prototypes = np.arange(12).reshape(4, 3), np.arange(8).reshape(4, 2)  # as many rows, by chance
    outputs, mask = {"head": head, "prototypes": prototypes}, np.array([0, 1, 0, 1])
    found = demo_engine._candidates(outputs, mask)
    np.testing.assert_array_equal(found["head"], head[[1, 3]])
    np.testing.assert_array_equal(found["prototypes"], prototypes)
    assert found["cells"].tolist() == [1, 3]
    assert demo_engine._candidates(outputs, np.ones(4)) == outputs  # all of them


def test_a_gpu_that_is_not_there_is_an_error(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yolo_max.engine.max_target.driver.accelerator_count", lambda: 0)
    with pytest.raises(EngineError, match="no GPU"):
        MaxEngine(weights, imgsz=(32, 32), device="gpu")


def test_bf16_is_refused_where_the_cpu_lacks_it(weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "has_bf16", lambda: False)
    with pytest.raises(EngineError, match="AVX512-BF16"):
        MaxEngine(weights, imgsz=(32, 32), precision="bf16")


def test_a_cpu_without_the_kernels_falls_to_stock_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "runs_kernels", lambda: False)
    said: list[str] = []
    assert max_target.choose_kernels("auto", "cpu", Precision.F32, said.append) == "stock"
    assert len(said) == 1
    assert "stock operations" in said[0]
    with pytest.raises(EngineError, match="--kernels stock"):
        max_target.choose_kernels("fused", "cpu", Precision.F32, said.append)


def test_unported_layers_are_named_together(weights: Weights) -> None:
    table = {**weights.meta.architecture}
    table["backbone"] = [[-1, 1, "Conv", [64, 3, 2]], [-1, 1, "GhostConv", [64]], [-1, 1, "AIFI", [64]]]
    network = parse_architecture(table, weights.meta.nc)
    meta = type(weights.meta)(**{**vars(weights.meta), "architecture": table, "network": network})
    strange = type(weights)(**{**vars(weights), "meta": meta})
    with pytest.raises(WeightsError, match=r"GhostConv \(layer 1\), AIFI \(layer 2\)"):
        MaxEngine(strange, imgsz=(32, 32))


CHILD = """
import sys
sys.path.insert(0, sys.argv[1])
from tiny import tiny_weights
from yolo_max.engine.max_engine import MaxEngine
from yolo_max.support.errors import UsageError
import numpy as np, os
engine = MaxEngine(tiny_weights(), imgsz=(32, 32), kernels="fused", threads=1)
workers = [t for t in os.listdir("/proc/self/task") if "Thread" in open(f"/proc/self/task/{t}/comm").read()]
print(engine.threads, len(workers), len(os.sched_getaffinity(0)))
try:
    MaxEngine(tiny_weights(), imgsz=(32, 32), kernels="fused", threads=2)
except UsageError as error:
    print(error)
"""


@pytest.mark.skipif(cpu.available_threads() < 2, reason="needs two CPUs to tell one thread from two")
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted in /proc")
def test_threads_are_as_many_as_asked_for_and_fixed_for_the_process(fused: MaxEngine) -> None:
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent / "support")]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
    first, second = output.splitlines()
    assert first == f"1 1 {len(os.sched_getaffinity(0))}"
    assert "MAX already runs on 1 in this process" in second


def test_timer_slack_is_given_back() -> None:
    import ctypes

    libc = ctypes.CDLL(None)
    before = libc.prctl(30, 0, 0, 0, 0)
    with quiet_poller():
        assert libc.prctl(30, 0, 0, 0, 0) == 50_000_000
    assert libc.prctl(30, 0, 0, 0, 0) == before


def test_importing_the_network_compiles_nothing() -> None:
    # MAX's own layers would have a module in Mojo compiled, which needs a C compiler.
    script = (
        "import sys, yolo_max.model.max_nn; print([name for name in sys.modules if '_kv_cache_ops' in name])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_max_keeps_for_language_models_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import yolo_max.model.max_nn  # noqa: F401
    from max.nn.kv_cache import cache_params  # isort: skip

    module = types.ModuleType("max._kv_cache_ops")
    module.mha_decode_num_partitions = lambda *sizes: sum(sizes)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert cache_params.mha_decode_num_partitions(1, 2, 3, 4) == 10


def test_building_a_network_runs_nothing_from_the_working_directory(tmp_path: Path) -> None:
    for module in ("sitecustomize", "usercustomize", "pathlib", "sysconfig", "numpy"):
        (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'executed')!r}, 'w')")
    script = "import os; before = os.getcwd(); import yolo_max.model.max_nn; assert os.getcwd() == before"
    subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, check=True)
    assert not (tmp_path / "executed").exists()


def test_children_of_a_process_that_built_a_network_keep_its_environment() -> None:
    child = "subprocess.call([sys.executable, '-c', 'import yolo_max'])"
    script = f"import subprocess, sys, yolo_max.model.max_nn; sys.exit({child})"
    # As from a virtual environment that is not activated: another python3 comes first on the path.
    environment = {"PATH": "/usr/bin:/bin"}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 0

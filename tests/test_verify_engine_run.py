from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import checkpoints
import families
import numpy as np
import pytest
import torch
from fakes import write_image

from yolo_max.bench.worker import WorkerProcess
from yolo_max.engine.process import EngineProcess, EngineProcessError
from yolo_max.images.letterbox import letterbox
from yolo_max.images.read import read_image
from yolo_max.predict.detector import Detector
from yolo_max.support.errors import EngineError, UsageError, WeightsError
from yolo_max.tasks.detect.detections import Detections
from yolo_max.verify.engine_run import EngineRun, Workload, _predict, _require_torchvision
from yolo_max.weights.load import load_weights


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("process") / "tiny.pt"
    path.write_bytes(checkpoints.checkpoint(checkpoints.detection_model(checkpoints.tiny_table())))
    return str(path)


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    paths = [str(write_image(tmp_path / f"{name}.png", seed)) for seed, name in enumerate("abc")]
    Path(paths[1]).write_bytes(b"no image")
    return paths


OPTIONS: dict[str, Any] = {"imgsz": 64, "conf": 0.01, "threads": 1}


def test_one_image_after_another(checkpoint: str, images: list[str], tmp_path: Path) -> None:
    detector = Detector(checkpoint, engine="torch", **OPTIONS)
    with EngineRun(Workload("torch", checkpoint, images, OPTIONS, raw=str(tmp_path))) as process:
        assert process.name == "PyTorch"
        assert process.info == {"imgsz": [64, 64], "threads": 1, "source": "checkpoint"}
        outcomes = list(process)
    assert [outcome.path for outcome in outcomes] == images
    assert outcomes[1].error is not None
    assert outcomes[1].prediction is None
    for outcome in (outcomes[0], outcomes[2]):
        assert outcome.error is None
        assert outcome.prediction == detector(outcome.path)
        assert outcome.times_ms.keys() == {"decode", "letterbox", "infer", "postprocess"}
        canvas, _ = letterbox(read_image(outcome.path), (64, 64))
        np.testing.assert_allclose(
            outcome.take_raw()["head"], detector.engine.run(canvas[None])[0]["head"], atol=1e-4
        )
    assert outcomes[0].pixels_sha256 != outcomes[2].pixels_sha256
    assert not list(tmp_path.glob("*.npz"))


def test_a_classifier_says_nothing_of_options_that_nobody_gave(tmp_path: Path, images: list[str]) -> None:
    """Validation has settings of its own, such as conf and multi_label, whatever the task."""
    path = tmp_path / "cls.pt"
    model = checkpoints.classification_model(families.table("yolov8n-cls", nc=3))
    path.write_bytes(checkpoints.checkpoint(model))
    said: list[str] = []
    with EngineRun(
        Workload("torch", str(path), images, {**OPTIONS, "multi_label": True}), said.append
    ) as run:
        assert len(list(run)) == len(images)
    assert not said


def test_boxes_may_stay_outside_the_image(checkpoint: str, images: list[str]) -> None:
    """As validation measures them."""
    options = {**OPTIONS, "conf": 0.0}
    found = []
    for clip in (True, False):
        with EngineRun(Workload("torch", checkpoint, images, {**options, "clip": clip})) as process:
            (found_here, *_) = (outcome.prediction for outcome in process)
            assert isinstance(found_here, Detections)
            found.append(found_here)
    clipped, whole = found
    height, width = clipped.image_size
    limits = np.array([width, height] * 2, np.float32)
    assert (whole.xyxy < 0).any()
    assert (whole.xyxy > limits).any()
    np.testing.assert_array_equal(clipped.xyxy, whole.xyxy.clip(0, limits))


def test_without_raw_outputs(checkpoint: str, images: list[str]) -> None:
    """In validation every class of an anchor may give a box, and nothing but boxes is kept."""
    with EngineRun(Workload("torch", checkpoint, images, {**OPTIONS, "multi_label": True})) as process:
        outcomes = list(process)
    detector = Detector(checkpoint, engine="torch", multi_label=True, **OPTIONS)
    assert outcomes[0].prediction == detector(images[0])
    assert outcomes[1].error is not None
    assert (outcomes[0].raw_file, outcomes[0].pixels_sha256) == (None, None)


def test_an_image_without_a_single_object(checkpoint: str, images: list[str]) -> None:
    options: dict[str, Any] = {**OPTIONS, "conf": 1}
    with EngineRun(Workload("torch", checkpoint, images, options)) as process:
        first, broken, _ = process
    nothing = Detector(checkpoint, engine="torch", **options)(images[0])
    assert len(nothing) == 0
    assert first.prediction == nothing
    assert broken.prediction is None


@pytest.mark.parametrize(
    ("workload", "error", "message"),
    [
        (Workload("tensorflow", "{}", []), UsageError, "there is no engine 'tensorflow'"),
        (Workload("torch", "nowhere.pt", []), WeightsError, "nowhere.pt"),
        (Workload("torch", "{}", [], {"conf": 2}), UsageError, "conf is 2"),
        (Workload("ultralytics", "weights.safetensors", []), WeightsError, "weights.safetensors"),
    ],
)
def test_errors_of_the_child_are_raised_here(
    checkpoint: str, workload: Workload, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        EngineRun(replace(workload, weights=workload.weights.format(checkpoint)))


def _every_box(boxes: Any, *_: Any) -> Any:
    return torch.arange(len(boxes))


def test_ultralytics_predictor_opens_no_weights_file(
    demo_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given a module; PyTorch's and Ultralytics' own loading, which unpickle, are not called."""

    def opened(*_: Any, **__: Any) -> None:
        raise AssertionError("a weights file was unpickled")

    checkpoint = tmp_path / "tiny.pth"
    checkpoint.write_bytes(checkpoints.checkpoint(checkpoints.detection_model(checkpoints.tiny_table())))
    monkeypatch.setattr("torch.load", opened)
    monkeypatch.setattr("ultralytics.nn.tasks.torch_safe_load", opened)
    monkeypatch.setattr("yolo_max.verify.engine_run._require_torchvision", lambda: None)
    monkeypatch.setitem(sys.modules, "torchvision", SimpleNamespace(ops=SimpleNamespace(nms=_every_box)))
    for path in (demo_weights, checkpoint):
        sent: list[Mapping[str, Any]] = []
        _predict(Workload("ultralytics", str(path), [], {"conf": 0.99}), sent.append)
        assert sent[0]["names"] == dict(load_weights(path).meta.names)
        assert sent[-1] == {"done": True}


def _missing(_: str) -> str:
    raise metadata.PackageNotFoundError


@pytest.mark.parametrize(
    ("version", "state"),
    [
        (
            lambda _: "0.1.2",
            r"and torchvision 0\.1\.2 does not work with torch {} \(operator nms is gone\); ",
        ),
        (_missing, "which is not installed; "),
    ],
)
def test_torchvision_for_another_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: Callable[[str], str], state: str
) -> None:
    """Both versions are named, and what to install."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator nms is gone\\nat line 7')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    monkeypatch.setattr(metadata, "version", version)
    torch_version = re.escape(torch.__version__)
    said = f"{state.format(torch_version)}install the torchvision built for torch {torch_version} from "
    with pytest.raises(EngineError, match=said):
        _require_torchvision()


def test_a_child_that_dies(checkpoint: str, images: list[str]) -> None:
    with EngineRun(Workload("torch", checkpoint, images * 200, OPTIONS)) as process:
        outcomes = iter(process)
        next(outcomes)
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match="the PyTorch engine died: signal SIGKILL"):
            list(outcomes)


def test_what_lies_in_the_working_directory_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "numpy", "torch", "yolo_max"):
        (tmp_path / f"{name}.py").write_text("open('imported', 'w')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=r"nowhere\.pt"):
        EngineRun(Workload("torch", "nowhere.pt", []))
    assert not Path("imported").exists()


@pytest.mark.parametrize(
    ("own", "compared", "measured"),
    [
        (None, "PASSIVE", "None"),  # a peer is measured as it comes
        ("ACTIVE", "ACTIVE", "ACTIVE"),
    ],
)
def test_how_openmp_waits(
    own: str | None, compared: str, measured: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import os\nprint('waits', os.environ.get('OMP_WAIT_POLICY'))")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if own:
        monkeypatch.setenv("OMP_WAIT_POLICY", own)
    logs: list[str] = []
    close = EngineProcess.close

    def read_and_close(process: EngineProcess) -> None:
        logs.append(process.log_tail())
        close(process)

    monkeypatch.setattr(EngineProcess, "close", read_and_close)
    with pytest.raises(WeightsError, match=r"nowhere\.pt"):
        EngineRun(Workload("torch", "nowhere.pt", []))
    with WorkerProcess((), 1) as worker, pytest.raises(EngineProcessError, match="no_such_method"):
        worker.call("no_such_method", limit=60)
    assert [log.splitlines()[0] for log in logs] == [f"waits {compared}", f"waits {measured}"]


def test_a_child_that_cannot_start(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "nonsense")
    with pytest.raises(EngineError, match="the PyTorch engine died: "):
        EngineRun(Workload("torch", checkpoint, []))


def test_no_child_outlives_its_use(checkpoint: str, images: list[str]) -> None:
    with EngineRun(Workload("torch", checkpoint, images * 200, OPTIONS)) as process:
        child = process._process
    assert child.returncode == -signal.SIGKILL


def test_what_a_library_prints_is_no_message(
    checkpoint: str, images: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import atexit\nprint('hello', flush=True)\natexit.register(print, 'bye')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    with EngineRun(Workload("torch", checkpoint, images[:1], OPTIONS)) as process:
        assert [outcome.error for outcome in process] == [None]

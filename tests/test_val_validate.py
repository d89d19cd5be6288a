from __future__ import annotations

from pathlib import Path
from typing import Any

import comparisons
import pytest
import yaml  # type: ignore[import-untyped]
from fakes import fake_weights

from yolo_max.support.errors import SourceError, UsageError
from yolo_max.verify.val.evaluate import Accuracy
from yolo_max.verify.val.load import load_dataset
from yolo_max.verify.val.validate import AS_MEASURED, Validation, validate

NETWORK = {"imgsz": 64}


def _validate(
    monkeypatch: pytest.MonkeyPatch, data: Path, engines: tuple[str, ...], **nudges: Any
) -> Validation:
    comparisons.install(monkeypatch, fake_weights(), **nudges)
    return validate(
        load_dataset(data),
        fake_weights(),
        engines,
        options={"conf": 0.001, "iou": 0.7, **NETWORK},
        max_only={"kernels": "fused"},
    )


def test_what_is_labelled_is_found(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    validation = _validate(monkeypatch, data, ("torch", "max"), max=comparisons.rounding())
    for each in validation.engines:
        assert isinstance(each.accuracy, Accuracy)
        assert each.accuracy.mean.map50_95 == pytest.approx(1)
        assert each.accuracy.images == 6
        assert len(each.predictions) >= each.accuracy.objects
    assert validation.differences == {"mAP50-95": pytest.approx(0, abs=5e-4)}
    assert validation.verdict.holds
    assert [each.infer_ms for each in validation.engines] == [60, 20]


def test_an_engine_that_finds_less(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    validation = _validate(monkeypatch, data, ("torch", "max"), max=comparisons.without_best)
    assert validation.differences["mAP50-95"] < -0.1
    (failure,) = validation.verdict.failures
    assert failure.startswith("mAP50-95 differs by")


def test_one_engine_has_nothing_to_differ_from(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    validation = _validate(monkeypatch, data, ("max",), max=comparisons.without_best)
    assert validation.differences == {}
    assert validation.verdict.holds


def test_jobs_are_those_of_a_validation(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    process = comparisons.install(monkeypatch, fake_weights())
    options = {"conf": 0.001, "iou": 0.7}
    dataset = load_dataset(data)
    validate(
        dataset,
        fake_weights(),
        ("torch", "max"),
        options={**options, "max_det": 7},
        max_only={"kernels": "stock"},
    )
    assert [workload.options for workload in process.jobs] == [
        {"conf": 0.001, "iou": 0.7, "max_det": 7, **AS_MEASURED},
        {"conf": 0.001, "iou": 0.7, "max_det": 7, **AS_MEASURED, "kernels": "stock"},
    ]
    assert all(workload.raw is None for workload in process.jobs)


def test_an_unreadable_image_counts_for_no_engine(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    broken = data.parent / "images" / "3.png"
    broken.write_bytes(b"no image")
    validation = _validate(monkeypatch, data, ("torch", "max"))
    assert [each.accuracy.images for each in validation.engines] == [5, 5]
    assert validation.engines[0].accuracy.total().figures["mAP50-95"] == pytest.approx(1)
    assert list(validation.unreadable) == [str(broken)]


def test_nothing_left_to_measure_of_an_image_listed_twice(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    (data.parent / "images" / "3.png").write_bytes(b"no image")
    (data.parent / "val.txt").write_text("./images/3.png\n./images/3.png\n")
    data.write_text(yaml.safe_dump({**yaml.safe_load(data.read_text()), "val": "val.txt"}))
    with pytest.raises(SourceError, match="can be read"):
        _validate(monkeypatch, data, ("max",))


def test_nothing_left_to_measure(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    for image in (data.parent / "images").iterdir():
        image.write_bytes(b"no image")
    with pytest.raises(SourceError, match="none of the 6 images"):
        _validate(monkeypatch, data, ("max",))
    for label in (data.parent / "labels").iterdir():
        label.write_text("junk")
    with pytest.raises(SourceError, match="has labels that can be used"):
        _validate(monkeypatch, data, ("max",))


def test_classes_of_another_model(monkeypatch: pytest.MonkeyPatch, data: Path) -> None:
    data.write_text(yaml.safe_dump({"val": "images", "names": ["cat", "dog", "bird"]}))
    with pytest.raises(UsageError, match="does not know 3 of the dataset's 3 classes"):
        _validate(monkeypatch, data, ("max",))

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import comparisons
import numpy as np
import pytest
from fakes import fake_classifier, fake_weights, write_image

from yolo_max import cli
from yolo_max.runtime import host
from yolo_max.support.errors import ExitCode
from yolo_max.tasks.detect.detections import Detections
from yolo_max.tasks.rubric import TensorDifference
from yolo_max.verify.compare import comparison as compare
from yolo_max.verify.compare.comparison import Comparison, Settings
from yolo_max.verify.compare.folder import to_record


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    return [str(write_image(tmp_path / "in" / f"{name}.png", seed)) for seed, name in enumerate("abcde")]


def _compare(
    monkeypatch: pytest.MonkeyPatch, images: list[str], settings: Settings | None = None, **nudges: Any
) -> Comparison:
    comparisons.install(monkeypatch, fake_weights(), **nudges)
    return compare.compare(settings or Settings(fake_weights()), images)


def test_engines_that_agree(monkeypatch: pytest.MonkeyPatch, images: list[str]) -> None:
    comparison = _compare(monkeypatch, images, max=comparisons.rounding())
    assert comparison.verdict.holds
    assert [image.path for image in comparison.images] == images
    counts = comparison.counts()
    assert counts["matched"] > 5
    assert (counts["only_max"], counts["only_torch"], counts["excused"]) == (0, 0, 0)
    distributions = comparison.distributions()
    assert 0 < distributions["head_difference"]["p50"] <= distributions["head_difference"]["p100"] < 1e-4
    assert comparison.speed()["max"]["infer_ms_p50"] == 20
    assert comparison.speed()["torch"]["total_ms_p50"] == 61
    assert comparison.info == {"torch": {"threads": 1}, "max": {"threads": 1}}


def test_engines_that_do_not(monkeypatch: pytest.MonkeyPatch, images: list[str]) -> None:
    comparison = _compare(monkeypatch, images, max=comparisons.without_best)
    assert not comparison.verdict.holds
    assert comparison.counts()["only_torch"] == len(images)
    assert comparison.counts()["excused"] == 0
    assert all(failure.startswith(str(Path(images[0]).parent)) for failure in comparison.verdict.failures)


def test_the_worst_image_comes_first(monkeypatch: pytest.MonkeyPatch, images: list[str]) -> None:
    broken: list[int] = []

    def break_the_third(head: np.ndarray) -> np.ndarray:
        broken.append(1)
        return comparisons.without_best(head) if len(broken) == 3 else head

    comparison = _compare(monkeypatch, images, max=break_the_third)
    worst = comparison.worst_first()
    assert worst[0].path == images[2]
    assert not worst[0].verdict.holds
    assert all(image.verdict.holds for image in worst[1:])


def test_a_score_at_the_threshold_is_excused(monkeypatch: pytest.MonkeyPatch, images: list[str]) -> None:
    """One engine puts a box a hair above the threshold, the other a hair below: neither is wrong."""

    def at(score: float) -> Any:
        def nudge(head: np.ndarray) -> np.ndarray:
            head = head.copy()
            head[0, 64:] = (np.log(score / (1 - score)), -20, -20)
            return head

        return nudge

    comparison = _compare(monkeypatch, images[:1], max=at(0.25001), torch=at(0.24999))
    assert comparison.verdict.holds
    assert comparison.counts()["only_max"] == comparison.counts()["excused"] == 1


def test_other_pixels_are_a_failure(monkeypatch: pytest.MonkeyPatch, images: list[str]) -> None:
    (image,) = _compare(monkeypatch, images[:1]).images
    assert image.verdict.holds
    assert replace(image, same_pixels=False).verdict.failures == ("the engines saw different pixels",)


def test_a_layer_out_of_bounds_is_a_failure(monkeypatch: pytest.MonkeyPatch, images: list[str]) -> None:
    comparison = _compare(monkeypatch, images)
    layers = (TensorDifference("model.3 Conv", 1.0, 2.0), TensorDifference("head", 0.0, 1.0))
    assert replace(comparison, layers=layers).verdict.failures == (
        "model.3 Conv differs by 1, more than 0.0005 (values up to 2)",
    )


def test_raw_outputs_are_bounded_and_removed(
    monkeypatch: pytest.MonkeyPatch, images: list[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    whole = _compare(monkeypatch, images)
    head = 4 * 84 * 67
    monkeypatch.setattr(compare, "RAW_BYTES", 2 * 2 * head)
    process = comparisons.install(monkeypatch, fake_weights())
    most = 0

    def count(_: object) -> None:
        nonlocal most
        most = max(most, len(list(tmp_path.glob("temporary/*/*.npz"))))

    said: list[str] = []
    parts = compare.compare(Settings(fake_weights()), images, on_image=count, on_progress=said.append)
    assert [(workload.engine, len(workload.paths)) for workload in process.jobs] == [
        *(("torch", 2), ("max", 2)),
        *(("torch", 2), ("max", 2)),
        *(("torch", 1), ("max", 1)),
    ]
    assert most <= 2
    assert not list(tmp_path.glob("temporary/*"))
    assert [image.path for image in parts.images] == [image.path for image in whole.images]
    assert parts.counts() == whole.counts()
    assert said[:4] == ["PyTorch", "PyTorch", "MAX", "MAX"]


def test_unreadable_images(monkeypatch: pytest.MonkeyPatch, images: list[str]) -> None:
    Path(images[1]).write_bytes(b"no image")
    comparison = _compare(monkeypatch, images)
    assert len(comparison.images) == 4
    assert list(comparison.unreadable) == [images[1]]


def test_options_reach_the_engines(monkeypatch: pytest.MonkeyPatch, images: list[str]) -> None:
    process = comparisons.install(monkeypatch, fake_weights())
    settings = Settings(fake_weights(), "torch", {"conf": 0.5, "imgsz": 64}, {"kernels": "stock"})
    compare.compare(settings, images[:1])
    assert [workload.options for workload in process.jobs] == [
        {"conf": 0.5, "imgsz": 64},
        {"conf": 0.5, "imgsz": 64, "kernels": "stock"},
    ]
    assert settings.decoder.settings()["conf"] == 0.5


@pytest.mark.parametrize(
    ("noise", "headline", "holds"),
    [
        (0.03, "bf16 is within its bounds", True),  # of values up to 20: detections move
        (2.0, "bf16 is out of its bounds", False),
    ],
)
def test_bf16_is_judged_by_its_own_bounds(
    monkeypatch: pytest.MonkeyPatch, images: list[str], noise: float, headline: str, holds: bool
) -> None:
    in_bf16 = Settings(fake_weights(), max_only={"precision": "bf16"})
    comparison = _compare(monkeypatch, images, in_bf16, max=comparisons.rounding(noise))
    assert (comparison.headline, comparison.verdict.holds) == (headline, holds)
    assert "yolo-max val" in " ".join(comparison.cautions())
    in_f32 = _compare(monkeypatch, images, Settings(fake_weights(), "torch"), max=comparisons.rounding(noise))
    assert (in_f32.headline, in_f32.verdict.holds) == ("Parity does not hold", False)


GOOD = TensorDifference("model.3 Conv", 0.1, 2.0, precision="bf16")
BAD = TensorDifference("model.3 Conv", 1.0, 2.0, precision="bf16")


@pytest.mark.parametrize(
    ("layers", "headline", "holds"),
    [
        ((), "bf16 was not judged", None),  # Ultralytics' predictor shows no raw outputs
        ((GOOD,), "bf16 is within its bounds", True),  # its layers are
        ((BAD,), "bf16 is out of its bounds", False),
    ],
)
def test_bf16_against_ultralytics_predictor(
    monkeypatch: pytest.MonkeyPatch,
    images: list[str],
    layers: tuple[TensorDifference, ...],
    headline: str,
    holds: bool | None,
) -> None:
    in_bf16 = Settings(fake_weights(), "ultralytics", max_only={"precision": "bf16"})
    comparison = _compare(monkeypatch, images, in_bf16, max=comparisons.rounding(2.0))
    comparison = replace(comparison, layers=layers)
    record = to_record(comparison, host.record())
    assert (comparison.headline, record["verdict"]["holds"]) == (headline, holds)
    assert {image["verdict"]["holds"] for image in record["images"]} == {None}
    assert "use --baseline torch" in comparison.cautions()[0]


def test_against_ultralytics_predictor(monkeypatch: pytest.MonkeyPatch, images: list[str]) -> None:
    """It shows no raw heads; MAX's own then says what rounding excuses."""
    settings = Settings(fake_weights(), "ultralytics")
    comparison = _compare(monkeypatch, images, settings)
    assert comparison.verdict.holds
    assert all(image.raw is None for image in comparison.images)
    assert "head_difference" not in comparison.distributions()
    assert not _compare(monkeypatch, images, settings, ultralytics=comparisons.without_best).verdict.holds


# The command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Runs ``yolo-max compare`` on fake engines, in this process."""
    loaded = fake_weights()
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: loaded)

    def run(*arguments: str, **nudges: Any) -> int:
        comparisons.install(monkeypatch, loaded, **nudges)
        return cli.run(["compare", str(tmp_path / "in"), "--out", str(tmp_path / "out"), *arguments])

    return run


def test_nothing_is_replaced_unasked(command: Any, tmp_path: Path, capfd: Any) -> None:
    own = tmp_path / "out" / "report.html"
    own.parent.mkdir()
    own.write_text("mine")
    assert command() == ExitCode.OUTPUT
    assert own.read_text() == "mine"
    assert "out is not empty; choose another folder with --out, or use --overwrite" in capfd.readouterr().err


@pytest.mark.usefixtures("images")
def test_an_earlier_comparison_is_replaced_as_a_whole(command: Any, tmp_path: Path) -> None:
    assert command() == ExitCode.OK
    pictures = tmp_path / "out" / "images"
    assert len(list(pictures.iterdir())) > 1
    (pictures / "mine.png").touch()
    assert command() == ExitCode.OUTPUT
    assert command("--overwrite", "--no-save") == ExitCode.OK
    assert list(pictures.iterdir()) == [pictures / "mine.png"]


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("name", ["report.html", "images/a.png", "compare.json"])
def test_files_of_others_are_not_written_over(command: Any, tmp_path: Path, capfd: Any, name: str) -> None:
    own = tmp_path / "out" / name
    own.parent.mkdir(parents=True)
    mine = json.dumps({"images": [{"file_name": "a.png"}], "annotations": []})  # as COCO has them
    own.write_text(mine)
    assert command("--overwrite") == ExitCode.OUTPUT
    assert own.read_text() == mine
    assert f"{name} is not a result of an earlier comparison" in capfd.readouterr().err


@pytest.mark.usefixtures("images")
def test_each_comparison_gets_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = fake_weights()
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: loaded)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        comparisons.install(monkeypatch, loaded)
        assert cli.run(["compare", "in", "--no-save"]) == ExitCode.OK
    assert sorted(path.name for path in Path("runs").iterdir()) == ["compare", "compare-2"]


@pytest.mark.usefixtures("images")
def test_a_size_of_0_is_no_size(command: Any) -> None:
    assert command("--imgsz", "0") == ExitCode.USAGE


def test_writes_everything(command: Any, images: list[str], tmp_path: Path, capfd: Any) -> None:
    assert command() == ExitCode.OK
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")) == [
        "compare.json",
        "images",
        *(f"images/{name}.png" for name in "abcde"),
        "report.html",
    ]
    out, err = capfd.readouterr()
    assert "Parity holds on 5 images." in out
    assert "Compiling MAX." in err
    record = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert record["verdict"] == {"holds": True, "failures": []}
    assert record["counts"]["matched"] == sum(image["matched"] for image in record["images"]) > 0
    assert record["host"]["packages"]["torch"]


def test_exit_code_of_a_difference(command: Any, images: list[str], tmp_path: Path, capfd: Any) -> None:
    assert command(max=comparisons.without_best) == ExitCode.PARITY
    assert "Parity does not hold on 5 images." in capfd.readouterr().out
    record = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert len(record["images"][0]["only_torch"]) == 1
    assert record["images"][0]["only_torch"][0].keys() == {
        "class_id",
        "class_name",
        "confidence",
        "xyxy",
        "excused",
    }


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("baseline", "code", "said"),
    [
        ("torch", ExitCode.PARITY, "bf16 is out of its bounds on 5 images."),
        ("ultralytics", ExitCode.OK, "bf16 was not judged on 5 images."),
    ],
)
def test_exit_code_of_bf16(command: Any, capfd: Any, baseline: str, code: ExitCode, said: str) -> None:
    arguments = ("--precision", "bf16", "--baseline", baseline)
    assert command(*arguments, max=comparisons.rounding(2.0)) == code
    assert said in capfd.readouterr().out


def test_exit_code_of_unreadable_images(command: Any, images: list[str], capfd: Any) -> None:
    Path(images[1]).write_bytes(b"no image")
    assert command() == ExitCode.SOME_IMAGES_FAILED
    assert f"Not compared: {images[1]}" in capfd.readouterr().err
    for image in images:
        Path(image).write_bytes(b"no image")
    assert command("--overwrite") == ExitCode.SOURCE
    assert "none of 5 images can be read" in capfd.readouterr().err


def test_json_on_stdout(command: Any, images: list[str], tmp_path: Path, capfd: Any) -> None:
    assert command("--json", "--no-save") == ExitCode.OK
    out, err = capfd.readouterr()
    assert err == ""
    assert json.loads(out) == json.loads((tmp_path / "out" / "compare.json").read_text())
    assert not (tmp_path / "out" / "images").exists()


def test_the_digest_is_that_of_the_file_that_is_named(
    monkeypatch: pytest.MonkeyPatch, images: list[str]
) -> None:
    """`sha256sum` must give it, also for a checkpoint."""
    weights = fake_weights()
    meta = replace(weights.meta, source_sha256="5" * 64)
    weights = replace(weights, meta=meta, path=Path("own.pt"), is_checkpoint=True)
    comparison = _compare(monkeypatch, images[:1], Settings(weights))
    assert to_record(comparison, host.record())["weights"] == {"path": "own.pt", "sha256": "5" * 64}


def test_broken_numbers_are_still_json(command: Any, images: list[str], tmp_path: Path) -> None:
    def broken(head: np.ndarray) -> np.ndarray:
        head = head.copy()
        head[head[:, 64:].max(axis=1).argmin(), :64] = np.nan
        return head

    assert command("--quiet", max=broken) == ExitCode.PARITY
    text = (tmp_path / "out" / "compare.json").read_text()
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name))["images"][0]["head"] == {
        "difference": None,
        "box_px": None,
        "score": None,
    }


def test_sizes_are_rounded_up_once(command: Any, images: list[str], tmp_path: Path, capfd: Any) -> None:
    assert command("--imgsz", "50") == ExitCode.OK
    assert capfd.readouterr().err.count("is not a multiple of 32") == 1
    record = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert record["options"]["imgsz"] == [64, 64]


def test_quiet(command: Any, images: list[str], capfd: Any) -> None:
    assert command("--quiet") == ExitCode.OK
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--baseline", "tensorflow"], "there is no baseline 'tensorflow'; use torch or ultralytics."),
        (["--conf", "2"], "conf is 2.0, but it must lie between 0 and 1."),
        (["--classes", "cat"], "no class 'cat'"),
        (["--imgsz", "wide"], "imgsz is 'wide'"),
    ],
)
def test_mistakes(command: Any, images: list[str], capfd: Any, arguments: list[str], message: str) -> None:
    assert command(*arguments) == ExitCode.USAGE
    assert message in capfd.readouterr().err


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(("share", "said"), [(0.5, 1), (0.01, 0), (None, 0)])  # None: not told
def test_times_on_a_busy_machine_are_doubted(
    command: Any,
    capfd: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    share: float | None,
    said: int,
) -> None:
    monkeypatch.setattr("yolo_max.runtime.host.Disturbance.summary", lambda _: {"others_cpu_share": share})
    assert command() == ExitCode.OK
    assert capfd.readouterr().err.count("Other processes took 50% of this machine's CPU time") == said
    assert (tmp_path / "out" / "report.html").read_text().count("Other processes took 50%") == said


def test_a_verdict_on_few_pairs_says_so(command: Any, images: list[str], tmp_path: Path, capfd: Any) -> None:
    assert command("--max-det", "1") == ExitCode.OK
    warning = f"The verdict on detections rests on {len(images)} alone: compare more images."
    assert warning in capfd.readouterr().err
    assert warning in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("baseline", "compared"),
    [
        ("torch", "only raw outputs were compared"),
        ("ultralytics", "nothing was compared"),  # its predictor shows no raw outputs
    ],
)
def test_parity_without_detections_says_what_it_rests_on(
    command: Any, capfd: Any, baseline: str, compared: str
) -> None:
    assert command("--conf", "1", "--baseline", baseline) == ExitCode.OK
    assert f"No detections: {compared}." in capfd.readouterr().out


# A classifier


def _other_top1(logits: np.ndarray) -> np.ndarray:
    return np.roll(logits, 1)


@pytest.mark.parametrize(
    ("nudge", "top1", "holds"),
    [
        (comparisons.rounding(), 5, True),
        (_other_top1, 0, False),
        (lambda logits: logits + np.array([0, 0.1, 0], np.float32), 5, False),  # the same order
    ],
)
def test_classifiers(
    monkeypatch: pytest.MonkeyPatch, images: list[str], nudge: Any, top1: int, holds: bool
) -> None:
    comparisons.install(monkeypatch, fake_classifier(), max=nudge)
    comparison = compare.compare(Settings(fake_classifier()), images)
    assert comparison.verdict.holds is holds
    counts = comparison.counts()
    assert (counts["same_top1"], counts["same_top5"], counts["matched"]) == (top1, 5, 15)  # three classes
    assert comparison.distributions().keys() == {"probability_difference", "logit_difference"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], ""),
        (["--iou", "0.5"], "Ignored, as the weights are for the task classify: iou.\n"),
        (["--iou", "0.5", "--json"], ""),
    ],
)
def test_options_of_detection_are_ignored_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
    images: list[str],
    tmp_path: Path,
    capfd: Any,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: fake_classifier())
    comparisons.install(monkeypatch, fake_classifier())
    assert cli.run(["compare", images[0], "--out", str(tmp_path / "out"), *arguments]) == ExitCode.OK
    assert "".join(re.findall("Ignored.*\n", capfd.readouterr().err)) == said


def test_a_classifier_against_ultralytics_predictor(
    monkeypatch: pytest.MonkeyPatch, images: list[str]
) -> None:
    settings = Settings(fake_classifier(), "ultralytics")
    for nudge, holds in ((comparisons.rounding(), True), (_other_top1, False)):
        comparisons.install(monkeypatch, fake_classifier(), ultralytics=nudge)
        comparison = compare.compare(settings, images)
        assert comparison.verdict.holds is holds
        assert comparison.distributions().keys() == {"probability_difference"}


def test_the_command_on_a_classifier(
    monkeypatch: pytest.MonkeyPatch, images: list[str], tmp_path: Path, capfd: Any
) -> None:
    loaded = fake_classifier()
    monkeypatch.setattr("yolo_max.weights.load.load_weights", lambda _: loaded)
    comparisons.install(monkeypatch, loaded, max=_other_top1)
    monkeypatch.setattr("sys.argv", ["yolo-max", "compare"])  # the page shows how it was made
    out = tmp_path / "out"
    assert cli.run(["compare", str(tmp_path / "in"), "--out", str(out)]) == ExitCode.PARITY
    said = " ".join(capfd.readouterr().out.split())
    assert "class probability" in said
    assert "15 top-5 classes matched, 0 only by PyTorch, 0 only by MAX" in said
    assert "The same top-1 on 0 of 5 images." in said
    assert said.count(": a class probability differs by") == 5  # said once for each
    record = json.loads((out / "compare.json").read_text())
    assert record["options"] == {"imgsz": [32, 32]}
    assert record["images"][0]["logits"]["difference"] > 0
    assert (record["images"][0]["same_top1"], record["images"][0]["same_top5"]) == (False, True)
    page = (out / "report.html").read_text()
    for words in ("Confidence of each top-5 class", "images with the same top-1", "Δ probability"):
        assert words in page
    for words in ("detection", "NMS", "IoU"):
        assert words not in page
    assert len(list((out / "images").iterdir())) == 5


def test_side_by_side_shows_who_found_what(
    monkeypatch: pytest.MonkeyPatch, images: list[str], tmp_path: Path
) -> None:
    from yolo_max.verify.compare.side_by_side import (
        ALONE_COLOR,
        GAP,
        MAX_COLOR,
        REFERENCE_COLOR,
        side_by_side,
    )

    (image,) = _compare(monkeypatch, images[:1], max=comparisons.without_best).images
    width = 200
    canvas = np.zeros((160, width, 3), np.uint8)
    scaled = []
    for found in (image.ours, image.reference):
        assert isinstance(found, Detections)
        xyxy = found.xyxy * np.float32(3)
        scaled.append(Detections(xyxy, found.confidence, found.class_id, found.names, (160, width)))
    picture = side_by_side(canvas, replace(image, ours=scaled[0], reference=scaled[1]))
    assert picture.shape == (160, 2 * width + GAP, 3)
    left, right = picture[:, :width], picture[:, width + GAP :]

    def has(part: np.ndarray, color: tuple[int, int, int]) -> bool:
        return bool((part == color).all(axis=-1).any())

    assert (has(left, REFERENCE_COLOR), has(left, ALONE_COLOR), has(left, MAX_COLOR)) == (True, True, False)
    assert (has(right, REFERENCE_COLOR), has(right, ALONE_COLOR), has(right, MAX_COLOR)) == (
        False,
        False,
        True,
    )

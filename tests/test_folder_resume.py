"""Runs that end before their time: killed, refused, cut off, and resumed."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from fakes import SharedEngine, fake_weights, read_tree, write_image

from yolo_max.images.sources import find_images
from yolo_max.predict.detector import Detector
from yolo_max.predict.folder.manifest import Manifest
from yolo_max.predict.folder.previous_run import require_harmless
from yolo_max.predict.folder.run import FolderRun
from yolo_max.support.errors import OutputError, UsageError
from yolo_max.support.options import SaveOptions

KILLS, STORIES = 10, 6


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for i in range(60):
        write_image(folder / ("sub" if i % 3 else "") / f"{i:02}.png", i)
    (folder / "07 broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


def start(
    source: Path, out: Path, *, resume: bool = False, saving: SaveOptions | None = None, **options: Any
) -> FolderRun:
    detector = Detector(
        options.pop("weights", None) or fake_weights(), **{"engine": SharedEngine(), **options}
    )
    found = list(find_images([source], recursive=True, exclude=out))
    require_harmless(out, resume=resume, overwrite=False)
    saving = saving or SaveOptions(save_txt=True, save_csv=True, times=False)
    return FolderRun(detector, found, out, saving, resume=resume)


def finish(run: FolderRun) -> FolderRun:
    with run:
        for _ in run.images():
            pass
    return run


def interrupt(source: Path, out: Path, after: int, **options: Any) -> None:
    """A run that is stopped when ``after`` images are in the manifest."""
    with start(source, out, **options) as run:
        for _ in islice(run.images(), after):
            pass


def test_killed_at_random_moments(photos: Path, tmp_path: Path) -> None:
    """Sixty processes are killed; the result is that of an undisturbed run."""
    whole = finish(start(photos, tmp_path / "whole"))
    assert whole.totals.images == 61
    driver = [
        sys.executable,
        str(Path(__file__).parent / "support" / "killed.py"),
        str(photos),
        str(tmp_path),
    ]
    done = subprocess.run([*driver, str(STORIES), str(KILLS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    processes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(processes) == STORIES * (KILLS + 1)
    assert sum(process["killed"] for process in processes) >= 50
    assert sum(0 < process["after"] < 61 for process in processes) >= 20  # many of them half way
    for process in processes:
        assert process["after"] >= process["before"]  # no image that was done is lost
        assert process["redone"] == 0  # nor done again
    for story in range(STORIES):
        assert read_tree(tmp_path / f"out{story}") == read_tree(tmp_path / "whole")


@pytest.mark.parametrize("after", [0, 1, 30, 60])
def test_a_resumed_run_does_only_what_is_left(photos: Path, tmp_path: Path, after: int) -> None:
    interrupt(photos, tmp_path / "out", after)
    engine = SharedEngine()
    run = finish(start(photos, tmp_path / "out", resume=True, engine=engine))
    assert run.resumed == after
    assert run.totals.images == 61
    assert len(run.totals.failures) == 1
    assert len(engine.batches) == 60 - after + (after > 21)  # the broken one is the 22nd
    finish(start(photos, tmp_path / "whole"))
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "whole")


def test_a_finished_run_resumed_does_nothing(photos: Path, tmp_path: Path) -> None:
    finish(start(photos, tmp_path / "out"))
    engine = SharedEngine()
    run = finish(start(photos, tmp_path / "out", resume=True, engine=engine))
    assert (run.resumed, engine.batches, run.finished) == (61, [], True)


def test_images_that_came_since_are_done(photos: Path, tmp_path: Path) -> None:
    finish(start(photos, tmp_path / "out"))
    write_image(photos / "00 new.png", 77)
    engine = SharedEngine()
    run = finish(start(photos, tmp_path / "out", resume=True, engine=engine))
    assert (run.resumed, run.totals.images, len(engine.batches)) == (61, 62, 1)


def test_resume_where_nothing_is_begins(photos: Path, tmp_path: Path) -> None:
    assert finish(start(photos, tmp_path / "out", resume=True)).resumed == 0


@pytest.mark.parametrize(
    "damage",
    [
        lambda out: (
            (out / "predictions.jsonl").open("ab").write(b'{"path": "half a li')
        ),  # cut off by a crash
        lambda out: (out / "predictions.jsonl").open("ab").write(b"\0" * 4096),  # a block never written
        lambda out: (out / "predictions.jsonl").open("ab").write(b"[" * 100_000 + b"\n"),  # not ours at all
        lambda out: (out / "predictions.jsonl").open("ab").write(b'{"boxes": []}\n'),  # of no image
        lambda out: os.truncate(out / "predictions.jsonl", (out / "predictions.jsonl").stat().st_size - 1),
        lambda out: (out / "21.png").unlink(),  # a result that was deleted
        lambda out: (out / "sub" / "20.png").write_bytes(b""),  # or did not survive a power cut
        lambda out: (out / "labels" / "21.txt").unlink(),
        lambda out: (out / ".yolo-max-0123456789abcdef").write_bytes(b"half an image"),
        lambda out: (out / "labels" / "sub" / ".yolo-max-0123456789abcdef").write_bytes(b""),
    ],
)
def test_what_did_not_survive_is_done_again(photos: Path, tmp_path: Path, damage: Any) -> None:
    interrupt(photos, tmp_path / "out", 50)
    try:
        damage(tmp_path / "out")
    except FileNotFoundError:
        pytest.fail("the test damages a file that is not there")
    finish(start(photos, tmp_path / "out", resume=True))
    finish(start(photos, tmp_path / "whole"))
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "whole")


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": 3},  # no list
        {"boxes": [3]},  # of something else
        {"boxes": [{"class_id": 0}]},  # that lacks the rest
        {"boxes": [{"class_id": "0", "class_name": "circle", "confidence": 0.5, "xyxy": [0, 0, 1, 1]}]},
        {"boxes": [{"class_id": 0, "class_name": 7, "confidence": 0.5, "xyxy": [0, 0, 1, 1]}]},
        {"boxes": [{"class_id": 0, "class_name": "circle", "confidence": None, "xyxy": [0, 0, 1, 1]}]},
        {"boxes": [{"class_id": 10**99, "class_name": "circle", "confidence": 0.5, "xyxy": [0, 0, 1, 1]}]},
        {"boxes": [{"class_id": 0, "class_name": "circle", "confidence": 0.5, "xyxy": [0, 0, 1, math.nan]}]},
        {"boxes": [{"class_id": 0, "class_name": "horse", "confidence": 0.5, "xyxy": [0, 0, 1, 1]}]},
        {"image_size": "large"},
        {"image_size": ["a", "b"]},
        {"times_ms": [1]},
        {"times_ms": {"decode": "long"}},
        {"times_ms": {"decode": math.inf}},
        {"annotated": 3},
        {"annotated": "a\0b"},
        {"labels": ["21.txt"]},
        {"frames": "many"},
        {"frames": 0},
        {"error": 5},
        {"error": None},
        {"path": "03.png"},  # of an image that is done
    ],
)
def test_a_line_of_something_else_is_done_again(photos: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    out = tmp_path / "out"
    interrupt(photos, out, 50)
    manifest = out / "predictions.jsonl"
    *lines, last = manifest.read_text().splitlines()
    change = {key: str(photos / value) if key == "path" else value for key, value in change.items()}
    manifest.write_text("\n".join([*lines, json.dumps({**json.loads(last), **change})]) + "\n")
    run = finish(start(photos, out, resume=True))
    assert (run.resumed, run.total, run.totals.images) == (49, 61, 61)
    finish(start(photos, tmp_path / "whole"))
    assert read_tree(out) == read_tree(tmp_path / "whole")


def test_images_that_are_gone_since_count_as_done(photos: Path, tmp_path: Path) -> None:
    interrupt(photos, tmp_path / "out", 40)
    for path in sorted(photos.glob("*.png"))[:30]:
        path.unlink()
    with start(photos, tmp_path / "out", resume=True) as run:
        assert run.total == 61
        for _ in islice(run.images(), 5):
            pass
        assert run.total - run.totals.images == 16
    assert finish(start(photos, tmp_path / "out", resume=True)).totals.images == 61


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conf": 0.5}, r"conf was 0\.25 and is 0\.5"),
        ({"iou": 0.5}, r"iou was 0\.7 and is 0\.5"),
        ({"classes": ["star"]}, r"classes was null and is \[2\]"),
        ({"imgsz": 96}, r"imgsz was \[64, 64\] and is \[96, 96\]"),
        ({"max_det": 5}, "max_det was 300 and is 5"),
        ({"rect": True}, "rect was false and is true"),
        ({"agnostic_nms": True}, "agnostic_nms"),
        ({"weights": fake_weights(sha256="1" * 64)}, "weights was"),
        ({"saving": SaveOptions(save_txt=False, times=False)}, "save_txt was true and is false"),
        ({"conf": 0.5, "iou": 0.5}, "conf .*, iou "),
    ],
)
def test_a_changed_option_is_named_and_refused(
    photos: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    interrupt(photos, tmp_path / "out", 20)
    before = read_tree(tmp_path / "out")
    with pytest.raises(UsageError, match=message):
        start(photos, tmp_path / "out", resume=True, **change)
    assert read_tree(tmp_path / "out") == before


def test_what_results_do_not_depend_on_may_change(photos: Path, tmp_path: Path) -> None:
    interrupt(photos, tmp_path / "out", 20, batch=1)
    saving = SaveOptions(save_txt=True, save_csv=False, times=False)
    assert finish(start(photos, tmp_path / "out", resume=True, batch=4, saving=saving)).resumed == 20
    rows = (tmp_path / "out" / "predictions.csv").read_text().splitlines()
    boxes = sum(
        len(json.loads(line).get("boxes", ())) for line in (tmp_path / "out" / "predictions.jsonl").open()
    )
    assert len(rows) == 1 + boxes  # begun with a table, so it has all of the run


def test_an_unfinished_run_is_not_overwritten_by_mistake(photos: Path, tmp_path: Path) -> None:
    interrupt(photos, tmp_path / "out", 20)
    before = read_tree(tmp_path / "out")
    with pytest.raises(OutputError, match="an unfinished run; use --resume"):
        start(photos, tmp_path / "out")
    assert read_tree(tmp_path / "out") == before
    require_harmless(tmp_path / "out", resume=False, overwrite=True)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"settings": 1, "finished": true}', b"\xff", b"[" * 10**5]
)
def test_a_run_file_of_something_else(photos: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_bytes(content)
    for resume in (False, True):
        with pytest.raises(OutputError, match=r"run\.json was not written by yolo-max"):
            start(photos, tmp_path / "out", resume=resume)


@pytest.mark.parametrize(
    "record",
    [
        {"path": "new\nline\u2028\x00.jpg", "boxes": []},
        {"path": "\udcff\udc80.jpg", "error": "it is truncated"},  # a file name that is not UTF-8
        {"path": "日本.jpg", "error": '"'},
    ],
)
def test_a_record_comes_back_as_it_was(tmp_path: Path, record: dict[str, Any]) -> None:
    manifest = Manifest(tmp_path, {}, resume=False)
    manifest.append(record)
    manifest.append(record)
    manifest.close()
    again = Manifest(tmp_path, {}, resume=True)
    assert list(again.records()) == [record, record]
    again.close()

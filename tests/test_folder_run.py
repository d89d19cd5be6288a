"""Runs over real folders: nothing is lost, nothing is harmed, and every run gives the same."""

from __future__ import annotations

import json
import os
import pkgutil
import re
import resource
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fakes import SharedEngine, fake_weights, read_tree, write_image
from image_files import scene, with_orientation

from yolo_max.images.memory import MemoryBudget
from yolo_max.images.source import SourceFailure
from yolo_max.images.sources import find_images
from yolo_max.predict.detector import Detector
from yolo_max.predict.folder.previous_run import require_harmless
from yolo_max.predict.folder.run import FolderRun
from yolo_max.support.errors import OutputError, SourceError, UsageError
from yolo_max.support.options import SaveOptions
from yolo_max.tasks.detect.detections import Detections

EVERYTHING = SaveOptions(save_txt=True, save_conf=True, save_csv=True, times=False)


def run_folder(
    source: Path,
    out: Path,
    saving: SaveOptions = EVERYTHING,
    *,
    resume: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> FolderRun:
    """What `yolo-max predict -r SOURCE --out OUT` does, with a fake network."""
    detector = Detector(fake_weights(), **{"engine": SharedEngine(), "workers": 2, **options})
    found = list(find_images([source], recursive=True, exclude=out))
    require_harmless(out, resume=resume, overwrite=overwrite)
    with FolderRun(detector, found, out, saving, resume=resume, overwrite=overwrite) as run:
        for _ in run.images():
            pass
    return run


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "predictions.jsonl").read_bytes().splitlines()]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for i, name in enumerate(["b.jpg", "a.png", "deep/er/c.webp", "deep/d.bmp", "a.jpg", "deep/e.tif"]):
        write_image(folder / name, i)
    return folder


def test_the_tree_is_mirrored_in_the_same_formats(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = run_folder(photos, out)
    assert run.finished
    assert run.totals.images == 6
    assert {str(path) for path in read_tree(out)} == {
        *("a.jpg", "a.png", "b.jpg", "deep/d.bmp", "deep/e.tif", "deep/er/c.webp"),
        *(
            "labels/a.txt",
            "labels/a.png.txt",
            "labels/b.txt",
        ),  # one label file each, though two images are called a
        *("labels/deep/d.txt", "labels/deep/e.txt", "labels/deep/er/c.txt"),
        *("predictions.jsonl", "predictions.csv", "run.json"),
    }
    for record in records(out):
        source, annotated = cv2.imread(record["path"]), cv2.imread(str(out / record["annotated"]))
        assert source is not None
        assert annotated is not None
        assert annotated.shape == source.shape
        found = Detections.from_dict(record)
        assert len((out / record["labels"]).read_text().splitlines()) == len(found) > 0
    table = (out / "predictions.csv").read_text().splitlines()
    assert len(table) == 1 + run.totals.objects


def test_every_run_gives_the_same_bytes_however_many_threads(photos: Path, tmp_path: Path) -> None:
    for i in range(30):
        write_image(photos / f"more/{i}.jpg", 100 + i, (30 + i, 90 - i))
    trees = []
    for n, (workers, batch, callers) in enumerate(
        [(1, 1, 1), (1, 1, 1), (4, 1, 2), (3, 4, 2), (8, 64, 2), (1, None, 1), (1, None, 2), (4, None, 3)]
    ):
        engine = SharedEngine(callers)
        run_folder(photos, tmp_path / f"out{n}", engine=engine, workers=workers, batch=batch)
        trees.append(read_tree(tmp_path / f"out{n}"))
    assert len(trees[0]) == 2 * 36 + 3
    assert all(tree == trees[0] for tree in trees)


@pytest.mark.parametrize("budget", [1, 20_000])  # one image, or two
@pytest.mark.parametrize(("workers", "batch", "callers"), [(8, None, 4), (8, 16, 1), (2, 64, 1), (1, 1, 1)])
def test_little_memory_changes_nothing(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    budget: int,
    workers: int,
    batch: int | None,
    callers: int,
) -> None:
    for i in range(40):
        write_image(photos / f"more/{i}.jpg", 100 + i, (30 + i, 90 - i))
    run_folder(photos, tmp_path / "expected")
    for place in (
        "images.read._FILES",
        "images.read._DECODERS",
        "predict.result._KEPT",
        "predict.folder.saving._DRAWING",
    ):
        monkeypatch.setattr(f"yolo_max.{place}", MemoryBudget(budget))
    engine = SharedEngine(callers)
    run = run_folder(photos, tmp_path / "out", engine=engine, workers=workers, batch=batch)
    assert run.finished
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "expected")


def test_an_image_that_changes_while_nobody_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    budget = MemoryBudget(1)
    assert budget.take(1)  # somebody else has it
    monkeypatch.setattr("yolo_max.predict.result._KEPT", budget)
    path = write_image(tmp_path / "in" / "a.png", 0)

    class Changing(SharedEngine):
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            write_image(path, 1, (20, 20))
            return super().__call__(batch)

    run = run_folder(tmp_path / "in", tmp_path / "out", engine=Changing())
    assert run.totals.failures == [(str(path), "it changed while it was processed")]
    assert run.totals.unsaved == 1


def test_kept_images_stay_within_their_budget(tmp_path: Path) -> None:
    # In a process of its own: 24 images of 27 MB wait for one run of the network, with 54 MB to be kept.
    script = """
import sys, resource
from pathlib import Path
from fakes import FakeEngine, fake_weights
from image_files import encode
from yolo_max.images.memory import MemoryBudget
import numpy as np
import yolo_max.predict.result, yolo_max.predict.folder.saving, yolo_max.images.read
from yolo_max.images.sources import find_images
from yolo_max.predict.detector import Detector
from yolo_max.predict.folder.run import FolderRun
from yolo_max.support.options import SaveOptions
folder = Path(sys.argv[1])
(folder / "in").mkdir()
data = encode(np.zeros((3000, 3000, 3), np.uint8), "PNG")
for i in range(24):
    (folder / "in" / f"{i}.png").write_bytes(data)
yolo_max.predict.result._KEPT = MemoryBudget(54_000_000)
yolo_max.predict.folder.saving._DRAWING = MemoryBudget(1)
yolo_max.images.read._DECODERS = MemoryBudget(1)
detector = Detector(fake_weights(), engine=FakeEngine(), workers=4, batch=24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
with FolderRun(detector, find_images([folder / "in"]), folder / "out", SaveOptions()) as run:
    assert not [record for record in run.images() if "error" in record]
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    run = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    assert float(run.stdout) < 350  # MB; all 24 take 650


def test_stage_times_are_the_only_difference_that_times_make(photos: Path, tmp_path: Path) -> None:
    run_folder(photos, tmp_path / "timed", SaveOptions())
    run_folder(photos, tmp_path / "plain", SaveOptions(times=False))
    timed, plain = records(tmp_path / "timed"), records(tmp_path / "plain")
    assert [record.pop("times_ms").keys() for record in timed] == 6 * [
        {"decode", "letterbox", "infer", "postprocess", "draw", "encode", "write"}
    ]
    assert [record.pop("times_ms") for record in plain] == 6 * [{}]
    assert timed == plain


def test_nothing_is_drawn_or_kept_that_nobody_asked_for(photos: Path, tmp_path: Path) -> None:
    run_folder(photos, tmp_path / "out", SaveOptions(save=False))
    assert {str(path) for path in read_tree(tmp_path / "out")} == {"predictions.jsonl", "run.json"}
    assert all(record["times_ms"].keys() >= {"decode", "infer"} for record in records(tmp_path / "out"))
    assert not any("draw" in record["times_ms"] for record in records(tmp_path / "out"))


def test_unreadable_files_are_recorded_and_the_rest_is_done(photos: Path, tmp_path: Path) -> None:
    (photos / "empty.jpg").touch()
    (photos / "text.png").write_text("not an image")
    whole = (photos / "b.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "nowhere.jpg").symlink_to("gone")
    (photos / "loop").symlink_to(photos)
    os.mkfifo(photos / "fifo.jpg")
    (photos / "endless.jpg").symlink_to("/dev/zero")
    (photos / "terminal.jpg").symlink_to("/dev/ptmx")
    run = run_folder(photos, tmp_path / "out")
    assert run.finished
    failed = {Path(record["path"]).name for record in records(tmp_path / "out") if "error" in record}
    assert failed == {
        *("empty.jpg", "text.png", "cut.jpg", "nowhere.jpg", "fifo.jpg", "endless.jpg", "terminal.jpg")
    }
    assert {Path(path).name for path, _ in run.totals.failures} == failed
    assert run.totals.images == 6 + 7
    assert not {str(path) for path in read_tree(tmp_path / "out")} & failed


def test_what_one_may_not_read_is_recorded(nobody: Path) -> None:
    for i, name in enumerate(["a.jpg", "b.jpg", "locked/c.jpg", "open/d.jpg"]):
        write_image(nobody / "photos" / name, i)
    (nobody / "photos/a.jpg").chmod(0)
    (nobody / "photos/locked").chmod(0)
    try:
        run = run_folder(nobody / "photos", nobody / "out")
    finally:
        (nobody / "photos/locked").chmod(0o700)
    assert run.finished
    errors = {Path(record["path"]).name: record.get("error") for record in records(nobody / "out")}
    assert errors == {
        "locked": "it cannot be read (Permission denied)",
        "a.jpg": "it cannot be opened (Permission denied)",
        "b.jpg": None,
        "d.jpg": None,
    }


def test_a_folder_that_cannot_be_read_is_recorded(photos: Path, tmp_path: Path) -> None:
    found = [SourceFailure(photos / "locked", "it cannot be read"), *find_images([photos])]
    for resume, resumed in ((False, 0), (True, 4)):
        with FolderRun(
            Detector(fake_weights(), engine=SharedEngine()),
            found,
            tmp_path / "out",
            SaveOptions(),
            resume=resume,
        ) as run:
            assert run.total == 4
            assert run.resumed == resumed
            for _ in run.images():
                pass
        assert run.totals.failures == [(str(photos / "locked"), "it cannot be read")]
        assert records(tmp_path / "out")[0].keys() == {"path", "error", "times_ms"}
        assert len(records(tmp_path / "out")) == 4


class Vandal(SharedEngine):
    """Damages the folder during the first image, as another process may."""

    def __init__(self, damage: Any, callers: int = 2) -> None:
        super().__init__(callers)
        self.damage = damage
        self.first = threading.Lock()

    def __call__(self, batch: Any) -> Any:
        with self.first:
            if not self.batches:
                self.damage()
        return super().__call__(batch)


def test_files_that_vanish_or_change_meanwhile(photos: Path, tmp_path: Path) -> None:
    for i in range(40):
        write_image(photos / f"z/{i:02}.jpg", i)

    def damage() -> None:
        (photos / "z/39.jpg").unlink()
        (photos / "z/38.jpg").write_bytes(b"\xff\xd8\xff")
        write_image(photos / "z/37.jpg", 1, (11, 13))
        shutil.rmtree(photos / "deep")

    run = run_folder(photos, tmp_path / "out", engine=Vandal(damage), workers=1)
    by_name = {Path(record["path"]).name: record for record in records(tmp_path / "out")}
    assert len(by_name) == run.totals.images == 46
    assert "cannot be opened" in by_name["39.jpg"]["error"]
    assert "error" in by_name["38.jpg"]
    assert by_name["37.jpg"]["image_size"] == [11, 13]
    assert run.finished


def test_no_file_of_a_run_replaces_another(tmp_path: Path) -> None:
    """Where the sources have folders that are called as those of crops and thumbnails."""
    source, out = tmp_path / "in", tmp_path / "out"
    crops = [f"crops/{name}" for name in fake_weights().meta.names.values()]
    for i, folder in enumerate(("", *crops, "thumbnails")):
        write_image(source / folder / "a.jpg", i, (40 + i, 60))
    saving = SaveOptions(save_crop=True, gallery=True, save_txt=True)
    run_folder(source, out, saving, conf=0.01)
    done = records(out)
    files = [record[key] for record in done for key in ("annotated", "thumbnail", "labels")]
    files += [crop for record in done for crop in record["crops"]]
    assert len({name.casefold() for name in files}) == len(files) > 4 * len(done)
    for record in done:
        picture = cv2.imread(str(out / record["annotated"]))
        assert picture is not None
        assert list(picture.shape[:2]) == record["image_size"]
        assert record["annotated"] == str(Path(record["path"]).relative_to(source))


def test_crops_are_of_the_image_without_its_annotations(photos: Path, tmp_path: Path) -> None:
    for name, save in (("both", True), ("crops", False)):
        run_folder(photos, tmp_path / name, SaveOptions(save_crop=True, save=save), conf=0.01)
    both, crops = (read_tree(tmp_path / name / "crops") for name in ("both", "crops"))
    assert both == crops != {}


def test_results_inside_the_source_are_never_sources(photos: Path) -> None:
    out = photos / "results"
    first = run_folder(photos, out)
    tree = read_tree(out)
    assert first.totals.images == 6
    assert run_folder(photos, out, overwrite=True).totals.images == 6
    assert read_tree(out) == tree
    assert run_folder(photos, photos / "others").totals.images == 6  # nor are those of an earlier run


def test_a_source_is_never_overwritten(photos: Path, tmp_path: Path) -> None:
    before = read_tree(photos)
    with pytest.raises(SourceError, match="the output folder is never a source"):
        run_folder(photos, photos)
    with pytest.raises(SourceError, match="the output folder is never a source"):
        run_folder(photos / "deep", photos)
    with pytest.raises(SourceError, match="the output folder is never a source"):
        run_folder(photos / "deep", tmp_path)
    assert read_tree(photos) == before


def test_a_source_is_not_overwritten_through_another_name_of_its_folder(photos: Path, tmp_path: Path) -> None:
    """A link in the output folder leads to a source, though the folder itself does not."""
    before = read_tree(photos)
    out = tmp_path / "out"
    out.mkdir()
    (out / "deep").symlink_to(photos / "deep")
    detector = Detector(fake_weights(), engine=SharedEngine())
    with pytest.raises(UsageError, match="is a source, and would be overwritten"):
        FolderRun(detector, find_images([photos], recursive=True, exclude=out), out, SaveOptions())
    assert read_tree(photos) == before


def test_a_link_in_the_output_folder_is_replaced_and_not_followed(photos: Path, tmp_path: Path) -> None:
    run_folder(photos, tmp_path / "out")
    (tmp_path / "out" / "a.jpg").unlink()
    (tmp_path / "out" / "a.jpg").symlink_to(photos / "a.jpg")
    before = read_tree(photos)
    run_folder(photos, tmp_path / "out", overwrite=True)
    assert read_tree(photos) == before
    assert not (tmp_path / "out" / "a.jpg").is_symlink()


def replaced(out: Path) -> None:
    shutil.rmtree(out)
    out.mkdir()


@pytest.mark.parametrize("callers", [1, 2])
@pytest.mark.parametrize("saving", [EVERYTHING, SaveOptions(save=False, times=False)])
@pytest.mark.parametrize("images", [1, 40])
@pytest.mark.parametrize(
    "damage",
    [
        lambda out: out.rename(out.with_name("moved")),
        shutil.rmtree,
        replaced,
        lambda out: (out / "predictions.jsonl").unlink(),  # its manifest alone
    ],
)
def test_an_output_folder_that_goes_away_ends_the_run(
    tmp_path: Path, damage: Any, images: int, saving: SaveOptions, callers: int
) -> None:
    for i in range(images):
        write_image(tmp_path / "photos" / f"deep/{i:02}.jpg", i)
    out = tmp_path / "out"
    engine = Vandal(lambda: damage(out), callers)
    with pytest.raises(OutputError):
        run_folder(tmp_path / "photos", out, saving, engine=engine)
    assert not (out / "run.json").exists() or not json.loads((out / "run.json").read_text())["finished"]
    if (moved := tmp_path / "moved").exists():
        assert json.loads((moved / "run.json").read_text())["finished"] is False
        moved.rename(out)
        for folder in (out, tmp_path / "whole"):
            run_folder(tmp_path / "photos", folder, saving, resume=True, engine=Vandal(lambda: None))
        assert read_tree(out) == read_tree(tmp_path / "whole")


def test_a_folder_swapped_for_a_link_is_not_written_through(photos: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "out", read_tree(photos)
    (out / "deep").mkdir(parents=True)

    def damage() -> None:
        (out / "deep").rename(tmp_path / "was deep")
        (out / "deep").symlink_to(photos / "deep")

    run = run_folder(photos, out, overwrite=True, engine=Vandal(damage), workers=1, batch=1)
    assert read_tree(photos) == before
    assert run.finished
    assert {Path(path).name for path, _ in run.totals.failures} >= {"e.tif"}
    assert all(Path(path).parent != photos for path, _ in run.totals.failures)


def test_files_of_others_are_not_written_among(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_image(out / "a.jpg", 99)
    before = read_tree(out)
    with pytest.raises(OutputError, match=r"holds files that are not results of yolo-max; .* --overwrite"):
        run_folder(photos, out)
    assert read_tree(out) == before
    for resume in (False, True):  # there is no run to resume
        with pytest.raises(OutputError, match=r"a\.jpg is not a result of an earlier run"):
            run_folder(photos, out, overwrite=True, resume=resume)
        assert read_tree(out) == before


def test_a_file_in_the_place_of_the_output_folder(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="out"):
        run_folder(photos, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_two_runs_cannot_share_an_output_folder(photos: Path, tmp_path: Path) -> None:
    detector = Detector(fake_weights(), engine=SharedEngine())
    with (
        FolderRun(detector, find_images([photos]), tmp_path / "out", SaveOptions()),
        pytest.raises(OutputError, match="another yolo-max is writing"),
    ):
        FolderRun(detector, find_images([photos]), tmp_path / "out", SaveOptions())
    assert run_folder(photos, tmp_path / "out").finished


NAMES = [
    "ümläut 日本.jpg",
    " lead.jpg",
    "-dash.jpg",
    "new\nline.jpg",
    "A.JPG",
    "a.jpg",
    "100%.jpg",
    "[x].jpg",
    "'q\".jpg",
]


def test_names_of_every_kind(tmp_path: Path) -> None:
    for i, name in enumerate(NAMES):
        write_image(tmp_path / "in" / "x.jpg", i).rename(tmp_path / "in" / name)
    undecodable = os.fsencode(tmp_path / "in") + b"/\xff\xfe.jpg"
    Path(os.fsdecode(undecodable)).write_bytes((tmp_path / "in" / "a.jpg").read_bytes())
    out = tmp_path / "out"
    run = run_folder(tmp_path / "in", out)
    assert run.finished
    assert run.totals.failures == []
    found = records(out)
    assert {Path(record["path"]).name for record in found} == {*NAMES, os.fsdecode(b"\xff\xfe.jpg")}
    assert len({record["annotated"].casefold() for record in found}) == len(found)
    assert all((out / record["annotated"]).is_file() for record in found)
    before = read_tree(out)
    assert run_folder(tmp_path / "in", out, resume=True).resumed == len(found)
    assert read_tree(out) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=400", "tmpfs", str(mount)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.parametrize(
    ("callers", "least"),
    [
        (1, 6),  # one after the other
        (2, 1),  # side by side: later images may have taken the first one's room
    ],
)
def test_a_full_disk_stops_the_run_and_can_be_resumed(
    tmp_path: Path, small_disk: Path, callers: int, least: int
) -> None:
    for i in range(30):
        write_image(tmp_path / "in" / f"{i:02}.bmp", i, (60, 100))  # 18 kB each
    out = small_disk / "out"
    with pytest.raises(OutputError, match=r"cannot be written: No space left on device"):
        run_folder(tmp_path / "in", out, engine=SharedEngine(callers))
    assert not list(out.glob(".yolo-max-*"))  # no half is left behind
    done = records(out)
    assert least <= len(done) < 30
    for record in done:
        assert cv2.imread(str(out / record["annotated"])) is not None
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert run_folder(tmp_path / "in", out, resume=True).resumed == len(done)
    run_folder(tmp_path / "in", tmp_path / "whole")
    assert read_tree(out) == read_tree(tmp_path / "whole")


def test_a_read_only_disk(photos: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(OutputError, match="Read-only file system"):
        run_folder(photos, small_disk / "out")


def broken_pixels(monkeypatch: pytest.MonkeyPatch, place: str, error: Exception) -> None:
    """Has one step raise for c.png, an image of 7 x 7 pixels, and for no other."""
    step = pkgutil.resolve_name(place)

    def surprised(first: Any, *arguments: Any, **more: Any) -> Any:
        if Path(first).name == "c.png" if isinstance(first, str) else first.shape[:2] == (7, 7):
            raise error
        return step(first, *arguments, **more)

    monkeypatch.setattr(place, surprised)


@pytest.mark.parametrize(
    "place",
    [
        "yolo_max.predict.pending.read_picture",  # decoding
        "yolo_max.images.letterbox.cv2.resize",  # the letterbox
        "yolo_max.predict.folder.saving.draw",  # drawing
        "yolo_max.predict.folder.saving.encode_image",  # encoding
    ],
)
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "there is not enough memory for it"),
        (ZeroDivisionError("a surprise\nin two lines"), "a surprise"),
        (RecursionError(), "RecursionError"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (cv2.error("Insufficient memory"), "Insufficient memory"),
    ],
)
def test_a_surprise_costs_one_record(
    photos: Path, tmp_path: Path, place: str, error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(photos / "c.png", 9, (7, 7))
    broken_pixels(monkeypatch, place, error)
    run = run_folder(photos, tmp_path / "out")
    assert run.finished
    ((path, said),) = run.totals.failures
    assert Path(path).name == "c.png"
    assert reason in said
    assert "\n" not in said
    assert len(records(tmp_path / "out")) == 7
    assert run_folder(photos, tmp_path / "out", resume=True).resumed == 7


LONG = "n" * 248


@pytest.mark.parametrize(
    ("names", "failing", "in_the_way", "reason"),
    [
        # the annotated image of a GIF has a longer name than the GIF
        ([f"{LONG}.gif"], [f"{LONG}.gif"], None, "too long"),
        # as do the labels of one of two images that differ in their suffix alone
        ([f"{LONG}.jpg", f"{LONG}.png"], [f"{LONG}.png"], None, "too long"),
        # a file in place of a folder
        (["x/a.png", "x/b.png"], ["x/a.png", "x/b.png"], lambda out: (out / "x").touch(), "Not a directory"),
        # a folder in place of a file
        (["c.png"], ["c.png"], lambda out: (out / "c.png").mkdir(), "Is a directory"),
        # a link that leads to itself
        (["ring/a.png"], ["ring/a.png"], lambda out: (out / "ring").symlink_to("ring"), "link|directory"),
    ],
)
def test_a_result_that_cannot_have_its_name_costs_one_record(
    tmp_path: Path, names: list[str], failing: list[str], in_the_way: Any, reason: str
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    image = write_image(photos / "0.png", 0)
    run_folder(photos, out)
    for name in names:
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).write_bytes(image.read_bytes())
    if in_the_way:
        in_the_way(out)
    run = run_folder(photos, out, resume=True)
    assert run.finished
    assert run.totals.images == 1 + len(names)
    failures = dict(run.totals.failures)
    assert failures.keys() == {str(photos / name) for name in failing}
    assert all(re.search(reason, said) for said in failures.values())
    named = {each[key] for each in records(out) for key in ("annotated", "labels") if key in each}
    tables = {"predictions.jsonl", "predictions.csv", "run.json"}
    assert {str(path) for path in read_tree(out)} - {"x"} == named | tables  # nothing half done is left
    assert run_folder(photos, out, resume=True).resumed == 1 + len(names)
    again = run_folder(photos, out, overwrite=True)
    assert dict(again.totals.failures) == failures


def test_many_images_take_no_more_memory_or_files_than_a_few(tmp_path: Path) -> None:
    originals = [write_image(tmp_path / "few" / f"{i}.jpg", i, (150, 200)) for i in range(4)]
    (tmp_path / "many").mkdir()
    for i in range(1000):
        (tmp_path / "many" / f"{i:04}.jpg").symlink_to(originals[i % 4])
    detector = Detector(fake_weights(), engine=SharedEngine())
    found = find_images([tmp_path / "many"])
    peaks, descriptors = [], []
    with FolderRun(detector, found, tmp_path / "out", SaveOptions()) as run:
        for done, _ in enumerate(run.images()):
            if done % 200 == 199:
                peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
                descriptors.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))
    assert run.totals.images == 1000
    assert peaks[-1] - peaks[0] < 10  # MiB, over 800 images of 90 kB each
    assert descriptors[-1] - descriptors[0] < 40  # over 800 images; a few are under way at any moment


def test_what_is_written_lies_as_it_is_displayed(tmp_path: Path) -> None:
    """The annotated image is upright, and its EXIF data does not turn it again."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(with_orientation(scene(48, 64), "JPEG", 6, quality=95))
    run_folder(tmp_path / "in", tmp_path / "out")
    stored = cv2.imread(str(tmp_path / "out" / "a.jpg"), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    displayed = cv2.imread(str(tmp_path / "out" / "a.jpg"))
    assert stored is not None
    assert displayed is not None
    assert stored.shape == displayed.shape == (48, 64, 3)
    assert records(tmp_path / "out")[0]["image_size"] == [48, 64]


def test_pixels_of_the_original_are_drawn_on(photos: Path, tmp_path: Path) -> None:
    """The annotated image is the source with marks on it, not the letterboxed canvas."""
    run_folder(photos, tmp_path / "out", conf=0.5)
    source, annotated = cv2.imread(str(photos / "a.png")), cv2.imread(str(tmp_path / "out" / "a.png"))
    assert source is not None
    assert annotated is not None
    assert 0 < np.mean(np.any(source != annotated, axis=2)) < 1


def test_a_run_that_is_left_writes_nothing_more(photos: Path, tmp_path: Path) -> None:
    detector = Detector(fake_weights(), engine=SharedEngine(nap=0.01))
    with FolderRun(detector, find_images([photos], recursive=True), tmp_path / "out", EVERYTHING) as run:
        images = run.images()
        next(images)
    tree = read_tree(tmp_path / "out")
    assert list(images) == []
    assert read_tree(tmp_path / "out") == tree

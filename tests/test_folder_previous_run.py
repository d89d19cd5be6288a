"""A previous run in an output folder: never mixed with new results, and never lost unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from fakes import FakeEngine, fake_weights, read_tree, write_image

from yolo_max.images.sources import find_images
from yolo_max.predict.detector import Detector
from yolo_max.predict.folder.previous_run import latest, next_free, remove_results, require_harmless
from yolo_max.predict.folder.run import FolderRun
from yolo_max.support.errors import OutputError
from yolo_max.support.options import SaveOptions

EVERYTHING = SaveOptions(save_txt=True, save_csv=True, times=False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for i, name in enumerate(["a.jpg", "b.png", "deep/er/c.jpg", "deep/d.png"]):
        write_image(tmp_path / "photos" / name, i)
    return tmp_path / "photos"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    for i, name in enumerate(["b.png", "x.jpg"]):
        write_image(tmp_path / "other" / name, 10 + i)
    return tmp_path / "other"


def detect(
    source: Path, out: Path, saving: SaveOptions = EVERYTHING, *, after: int | None = None, **options: Any
) -> None:
    """A run; one that is stopped when ``after`` images are done."""
    detector = Detector(fake_weights(), engine=FakeEngine())
    found = list(find_images([source], recursive=True, exclude=out))
    with FolderRun(detector, found, out, saving, **options) as run:
        for _ in islice(run.images(), after):
            pass


def files(folder: Path) -> set[str]:
    return {str(path) for path in read_tree(folder)}


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (None, "holds the results of a finished run; .* --out, or use --overwrite to replace them"),
        (2, "holds an unfinished run; use --resume to finish it, or --overwrite"),
    ],
)
def test_a_run_is_not_replaced_unasked(
    photos: Path, other: Path, tmp_path: Path, after: int | None, message: str
) -> None:
    out = tmp_path / "out"
    detect(photos, out, after=after)
    before = read_tree(out)
    with pytest.raises(OutputError, match=message):
        require_harmless(out, resume=False, overwrite=False)
    with pytest.raises(OutputError, match=message):  # nor by one that begins while another ends
        detect(other, out)
    assert read_tree(out) == before
    require_harmless(out, resume=False, overwrite=True)
    require_harmless(out, resume=True, overwrite=False)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_is_no_folder(overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(OutputError, match=r"a\.jpg is a file; name a folder with --out"):
        require_harmless(tmp_path / "a.jpg", resume=False, overwrite=overwrite)


@pytest.mark.parametrize("address", ["s3://bucket/run", "gs://bucket/run", "https://host/run"])
def test_an_address_is_no_folder(address: str) -> None:
    with pytest.raises(OutputError, match=r"is an address, and results are written to folders; name one"):
        require_harmless(Path(address), resume=False, overwrite=False)


@pytest.mark.parametrize("after", [None, 2])
@pytest.mark.parametrize("saving", [EVERYTHING, SaveOptions(save=False, times=False)])
def test_overwriting_leaves_what_a_run_into_an_empty_folder_leaves(
    photos: Path, other: Path, tmp_path: Path, after: int | None, saving: SaveOptions
) -> None:
    """No picture, label or table of the previous run stays behind, whatever options were dropped."""
    detect(photos, tmp_path / "out", after=after)
    detect(other, tmp_path / "out", saving, overwrite=True)
    detect(other, tmp_path / "whole", saving)
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "whole")
    assert not (tmp_path / "out" / "deep").exists()


def test_overwriting_removes_what_a_stopped_process_wrote_ahead(
    photos: Path, other: Path, tmp_path: Path
) -> None:
    """Pictures without a line in the manifest, as a process leaves them that is killed."""
    out = tmp_path / "out"
    detect(photos, out, after=1)
    write_image(out / "deep" / "d.png", 1)  # the plan names it
    write_image(out / "deep" / "mine.png", 1)  # and not this one
    detect(other, out, overwrite=True)
    assert files(out) & {"deep/d.png", "deep/mine.png", "a.jpg"} == {"deep/mine.png"}
    assert "planned" not in json.loads((out / "run.json").read_text())


def test_overwriting_leaves_the_files_of_others(photos: Path, other: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    detect(photos, out)
    mine = {"notes.txt": b"mine", "deep/er/mine.jpg": b"a photograph", "labels/classes.txt": b"person"}
    for name, content in mine.items():
        (out / name).write_bytes(content)
    detect(other, out, overwrite=True)
    assert files(out) == {
        *mine,
        *("b.png", "x.jpg", "labels/b.txt", "labels/x.txt"),
        *("predictions.csv", "predictions.jsonl", "run.json"),
    }
    assert all((out / name).read_bytes() == content for name, content in mine.items())


@pytest.mark.parametrize("name", ["x.jpg", "labels/x.txt", "predictions.csv"])
@pytest.mark.parametrize("begun", [False, True])
def test_overwriting_does_not_write_over_the_files_of_others(
    photos: Path, other: Path, tmp_path: Path, name: str, begun: bool
) -> None:
    out = tmp_path / "out"
    if begun:
        detect(photos, out, SaveOptions(times=False))
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_bytes(b"mine")
    before = read_tree(out)
    with pytest.raises(
        OutputError, match=f"{name} is not a result of an earlier run, and would be overwritten"
    ):
        detect(other, out, overwrite=True)
    assert read_tree(out) == before


def test_a_manifest_of_somebody_else_is_not_overwritten(other: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "predictions.jsonl").write_text("mine")
    with pytest.raises(OutputError, match=r"predictions\.jsonl is not a result"):
        detect(other, tmp_path / "out", overwrite=True)
    assert (tmp_path / "out" / "predictions.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    "listed",
    [
        lambda here: "../mine.jpg",
        lambda here: str(here / "mine.jpg"),
        lambda here: "away/mine.jpg",  # through a link that leads out
        lambda here: 3,
        lambda here: None,
        lambda here: "a\0b/c.jpg",  # not a file name
    ],
)
def test_a_manifest_cannot_name_files_elsewhere(tmp_path: Path, listed: Callable[[Path], Any]) -> None:
    (tmp_path / "mine.jpg").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / "away").symlink_to(tmp_path)
    (out / "run.json").write_text('{"settings": {}, "finished": true}')
    (out / "predictions.jsonl").write_text(json.dumps({"path": "x", "annotated": listed(tmp_path)}) + "\n")
    remove_results(out)
    assert (tmp_path / "mine.jpg").read_text() == "mine"


def test_each_run_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    base = tmp_path / "runs" / "predict"
    assert latest(base) == base
    assert next_free(base) == base
    for name, expected in (("predict", "predict-2"), ("predict-2", "predict-3"), ("predict-3", "predict-4")):
        (base.with_name(name) / "run.json").touch()
        assert next_free(base) == base.with_name(expected)
        assert latest(base) == base.with_name(name)
    assert next_free(base) == base.with_name(
        "predict-5"
    )  # predict-4 is empty, but another run may have begun
    assert latest(base) == base.with_name("predict-3")
    base.with_name("predict-6").touch()
    assert next_free(base) == base.with_name("predict-7")
    (base / "run.json").unlink()
    base.rmdir()
    assert latest(base) == base.with_name("predict-3")  # whatever is missing before it


def test_no_two_runs_get_the_same_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        folders = list(pool.map(lambda _: next_free(tmp_path / "runs" / "predict"), range(64)))
    assert {folder.name for folder in folders} == {"predict", *(f"predict-{n}" for n in range(2, 65))}


@pytest.mark.parametrize("parent", ["file", "nowhere"])
def test_no_folder_can_be_made(tmp_path: Path, parent: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("gone/too")
    with pytest.raises(OutputError, match="cannot be written"):
        next_free(tmp_path / parent / "runs" / "predict")

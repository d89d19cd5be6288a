"""A run on Ray gives what a run on one machine gives, whatever happens to its workers or to it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from fakes import FakeEngine, fake_weights, read_tree, write_image
from ray_fake import FakeRay

from yolo_max.images.source import SourceImage
from yolo_max.images.sources import find_images
from yolo_max.predict.folder.crop_names import CropNames
from yolo_max.predict.folder.run import FolderRun
from yolo_max.predict.predictor import Predictor
from yolo_max.ray import stages
from yolo_max.ray.attempts import CRASHES
from yolo_max.ray.cluster import Workers, workers_of
from yolo_max.ray.run import RayRun
from yolo_max.ray.setup import Setup
from yolo_max.ray.shards import Item, read_shard, shard_name
from yolo_max.support.errors import EngineError, ImageError, OutputError, UsageError
from yolo_max.support.options import SaveOptions, SourceOptions
from yolo_max.support.ray_options import RayOptions

EVERYTHING = SaveOptions(save_txt=True, save_csv=True, times=False)
MANIFEST = Path("predictions.jsonl")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", fake)
    return fake


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Images of all kinds, and all kinds of what is none."""
    folder = tmp_path / "photos"
    for i in range(8):
        write_image(folder / f"{i}.{('jpg', 'png', 'webp', 'tif')[i % 4]}", i, (100, 150))
    whole = (folder / "0.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_bytes(b"no image" * 1000)
    (folder / "empty.jpg").touch()
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "fifo.jpg")
    (folder / "link.jpg").symlink_to("nowhere")
    (folder / os.fsdecode(b"\xff\xe2\x80\xa8.jpg")).write_bytes(whole)  # no UTF-8, and U+2028
    write_image(folder / "below/z.png", 9)
    return folder


def predictor(nap: float = 0) -> Predictor:
    return Predictor(fake_weights(), engine=FakeEngine(nap))


def found(photos: Path, out: Path) -> list[Any]:
    return list(find_images([photos], recursive=True, exclude=out))


def on_one_machine(photos: Path, out: Path) -> dict[Path, bytes]:
    with FolderRun(predictor(), found(photos, out), out, EVERYTHING) as run:
        assert list(run.images())
    return without_run(out)


def on_ray(ray: Any, photos: Path, out: Path, stop_after: int | None = None, **more: Any) -> RayRun:
    kind = more.pop("shard_format", "jsonl")
    on = RayOptions(ray="local", shard_images=3, shard_format=kind)
    run = RayRun(
        *(lambda: ray, predictor(), found(photos, out), out, EVERYTHING, on),
        network=FakeEngine(),
        **more,
    )
    seen: list[Any] = []
    with run:
        for each in run.images(stop=lambda: stop_after is not None and len(seen) >= stop_after):
            seen.append(each)
    return run


def without_run(out: Path) -> dict[Path, bytes]:
    """The files of a run, without those that only a run on Ray has, and the one that says how it was run."""
    return {
        path: data for path, data in read_tree(out).items() if path.parts[0] not in ("shards", "run.json")
    }


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_results_are_those_of_one_machine(ray: FakeRay, photos: Path, tmp_path: Path, kind: str) -> None:
    ray.order = lambda rows: rows[::-1]  # the manifest is in order all the same
    run = on_ray(ray, photos, tmp_path / "ray", shard_format=kind)
    assert run.finished
    assert without_run(tmp_path / "ray") == on_one_machine(photos, tmp_path / "one")
    shards = sorted((tmp_path / "ray/shards").iterdir())
    manifest = (tmp_path / "ray" / MANIFEST).read_bytes()
    if kind == "jsonl":
        lines = b"".join(path.read_bytes() for path in shards)
    else:
        records = [row["record"] for path in shards for row in pq.read_table(path).to_pylist()]
        lines = "".join(f"{each}\n" for each in records).encode()
    assert lines == manifest


def test_parquet_says_what_was_found(ray: FakeRay, photos: Path, tmp_path: Path) -> None:
    on_ray(ray, photos, tmp_path / "ray", shard_format="parquet")
    for row in pq.read_table(tmp_path / "ray/shards").to_pylist():
        record = json.loads(row["record"])
        assert row["error"] == record.get("error")
        boxes = record.get("boxes", [])
        assert row["confidences"] == [box["confidence"] for box in boxes]
        assert row["classes"] == [box["class_name"] for box in boxes]


def test_a_run_that_stopped_goes_on(ray: FakeRay, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "ray"
    run = on_ray(ray, photos, out, stop_after=4)
    assert not run.finished
    ray.done = 0
    assert on_ray(ray, photos, out, resume=True).finished
    assert ray.done == 3  # of five shards
    assert without_run(out) == on_one_machine(photos, tmp_path / "one")


def add_listed(shard: Path) -> None:
    shard.write_bytes(b"{}\n")
    file = shard.parent.parent / "run.json"
    run = json.loads(file.read_bytes())
    file.write_text(json.dumps({**run, "tables": [*run["tables"], f"shards/{shard.name}"]}))


HARM: dict[str, tuple[Callable[[Path], object], int]] = {
    # what happened to a shard after it was written, in a run whose manifest was lost
    "nothing": (lambda _: None, 0),
    "removed": (lambda shard: shard.unlink(), 1),
    "cut off": (lambda shard: shard.write_bytes(shard.read_bytes()[:-30]), 1),
    "without a record": (lambda shard: shard.write_bytes(shard.read_bytes().split(b"\n", 1)[1]), 1),
    "of other images": (lambda shard: shard.write_bytes((shard.with_name("00000001.jsonl")).read_bytes()), 1),
    "its picture removed": (lambda shard: (shard.parent.parent / "0.jpg").unlink(), 1),
    "a partial one beside it": (lambda shard: shard.with_name(".yolo-max-1234").write_bytes(b"{"), 0),
    "one of a longer list": (lambda shard: add_listed(shard.with_name("00000099.jsonl")), 0),
}


@pytest.mark.parametrize("harm", HARM)
def test_whole_shards_stay_and_the_rest_runs(ray: FakeRay, photos: Path, tmp_path: Path, harm: str) -> None:
    out = tmp_path / "ray"
    on_ray(ray, photos, out)
    before = read_tree(out)
    (out / MANIFEST).write_bytes(b"")
    change, again = HARM[harm]
    change(out / "shards/00000000.jsonl")
    ray.done = 0
    assert on_ray(ray, photos, out, resume=True).finished
    assert ray.done == again
    after = read_tree(out)
    del before[Path("run.json")], after[Path("run.json")]  # one row changes its list
    assert after == before


def test_what_a_killed_worker_had_is_decoded_in_another_process_first(
    ray: FakeRay, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def crash(places: Any, *, max_pixels: int) -> dict[str, str]:
        asked.append(list(places))
        return {place: "decoding it crashes the process (Killed)" for place in places if "3.tif" in place}

    monkeypatch.setattr("yolo_max.images.trial.find_crashes", crash)
    ray.reconstructed = True
    run = on_ray(ray, photos, tmp_path / "ray")
    assert run.totals.failures.count((str(photos / "3.tif"), "decoding it crashes the process (Killed)")) == 1
    assert len(asked) == stages.WAITING
    assert run.totals.images == 15


def test_an_image_that_ends_each_worker_that_predicts_it_is_a_record(
    ray: FakeRay, photos: Path, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    class Deadly(FakeEngine):
        dead: bytes | None = None  # the pixels that it cannot stand; those of the first image that it sees

        def __call__(self, batch: Any) -> Any:
            self.dead = self.dead or batch.tobytes()
            if any(image.tobytes() == self.dead for image in batch):
                raise Killed
            return super().__call__(batch)

    engine = Deadly()
    paths = sorted(photos.glob("[0-7].*"))
    with pytest.raises(Killed):
        Predictor(fake_weights(), engine=engine)(paths[2])
    out = tmp_path / "ray"
    out.mkdir()
    items = [Item(path.name, str(path), path.name, f"{path.stem}.txt", "") for path in paths]
    row = {"shard": 0, "items": json.dumps(items), "files": [None] * len(items)}

    def work() -> list[Any]:
        """What a worker makes of the shard."""
        setup = Setup.of(Predictor(fake_weights(), engine=engine), 1, engine)
        worker = stages.Predict(setup, CropNames(()), str(out), EVERYTHING, SourceOptions(), "jsonl")
        worker(dict(row))
        return list(read_shard(out / shard_name(0, "jsonl")))

    for _ in range(1 + CRASHES):
        with pytest.raises(Killed):
            work()
        ray.reconstructed = True
    records = work()
    assert [each["path"] for each in records] == [path.name for path in paths]
    assert [each.get("error") for each in records] == [
        "predicting what is in it crashes the process" if i == 2 else None for i in range(8)
    ]


def test_shards_are_results(ray: FakeRay, photos: Path, tmp_path: Path) -> None:
    """They are neither replaced unasked nor left behind."""
    out = tmp_path / "ray"
    on_ray(ray, photos, out, stop_after=1)
    (out / MANIFEST).write_bytes(b"")
    with pytest.raises(OutputError, match="holds an unfinished run"):
        on_ray(ray, photos, out)
    on = RayOptions(ray="x", shard_images=4)
    with pytest.raises(UsageError, match="shard_images was 3 and is 4"):
        RayRun(
            *(lambda: ray, predictor(), found(photos, out), out, EVERYTHING, on),
            resume=True,
        )
    with FolderRun(predictor(), found(photos, out), out, EVERYTHING, overwrite=True) as run:
        assert list(run.images())
    assert not (out / "shards").exists()


@pytest.mark.parametrize("previous", [False, True])
@pytest.mark.parametrize("begin", ["overwrite", "resume"])
def test_files_that_no_run_lists_stay(
    ray: FakeRay, photos: Path, tmp_path: Path, previous: bool, begin: str
) -> None:
    out = tmp_path / "ray"
    if previous:
        on_ray(ray, photos, out)
    foreign = [out / f"shards/{name}" for name in ("00000042.parquet", "00000007.jsonl", "notes.txt")]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("somebody's")
    assert on_ray(ray, photos, out, **{begin: True}).finished
    assert [path.read_text() for path in foreign] == ["somebody's"] * 3


def test_a_resumed_run_that_has_grown_replaces_no_file_of_somebody_else(
    ray: FakeRay, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ray"
    on_ray(ray, photos, out)
    foreign = out / "shards/00000005.jsonl"
    foreign.write_text("somebody's")
    for i in range(3):
        write_image(photos / f"more{i}.jpg", i)
    with pytest.raises(OutputError, match=r"00000005\.jsonl is not a result of an earlier run"):
        on_ray(ray, photos, out, resume=True)
    assert foreign.read_text() == "somebody's"


def test_a_folder_that_nodes_do_not_share_is_said(
    ray: FakeRay, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yolo_max.ray.stages.write_shard", lambda *_: None)
    with pytest.raises(OutputError, match="name a folder with --out that all nodes share"):
        on_ray(ray, photos, tmp_path / "ray")


def test_what_a_worker_raises_is_raised(
    ray: FakeRay, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ray.exceptions.RayError("failed on a node") from OutputError("the disk is full.")

    monkeypatch.setattr("yolo_max.ray.stages.write_shard", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        on_ray(ray, photos, tmp_path / "ray")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("The actor died unexpectedly.\n\tclass_name: MapWorker", "The actor died unexpectedly."),
        (
            "The actor died because of an error raised in its creation task, \x1b[36mray::W()\x1b[39m\n"
            '  File "stages.py", line 9\nMemoryError: no room',
            "MemoryError: no room",
        ),
        ("The \x1b[1;31mactor\x1b[0m died.", "The actor died."),
        (
            "The actor \x1b]0;title\x07 died.",
            "The actor \N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER} died.",
        ),
    ],
)
def test_what_ray_says_is_one_line(
    ray: FakeRay, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, reason: str
) -> None:
    def fail(*_: Any) -> None:
        raise ray.exceptions.RayError(said)

    monkeypatch.setattr("yolo_max.ray.stages.write_shard", fail)
    with pytest.raises(EngineError) as raised:
        on_ray(ray, photos, tmp_path / "ray")
    assert str(raised.value) == f"the run on Ray failed ({reason}); --resume goes on."


def test_a_finished_run_needs_no_cluster(ray: FakeRay, photos: Path, tmp_path: Path) -> None:
    def fail() -> Any:
        raise AssertionError("a cluster was asked for")

    out = tmp_path / "ray"
    given = (predictor(), found(photos, out), out, EVERYTHING, RayOptions(ray="local", shard_images=3))
    with RayRun(lambda: ray, *given, network=FakeEngine()) as run:
        list(run.images())
    before = read_tree(out)
    with RayRun(fail, *given, network=FakeEngine(), resume=True) as run:
        assert run.workers is None
        assert list(run.images()) == []
    assert run.finished
    assert read_tree(out) == before


def test_a_cluster_that_is_not_there_leaves_a_resumed_folder_as_it_was(
    ray: FakeRay, photos: Path, tmp_path: Path
) -> None:
    def fail() -> Any:
        raise EngineError("there is no cluster.")

    out = tmp_path / "ray"
    given = (predictor(), found(photos, out), out, EVERYTHING, RayOptions(ray="local", shard_images=3))
    on_ray(ray, photos, out, stop_after=4)
    before = read_tree(out)
    for _ in range(2):  # it is not left locked
        with pytest.raises(EngineError, match="there is no cluster"):
            RayRun(fail, *given, resume=True)
    assert read_tree(out) == before
    assert on_ray(ray, photos, out, resume=True).finished


def test_images_through_the_standard_input_are_refused(ray: FakeRay, tmp_path: Path) -> None:
    image = SourceImage(Path("-"), Path("stdin.png"), Path("stdin.txt"), b"data")
    with pytest.raises(UsageError, match="name files"):
        RayRun(lambda: ray, predictor(), [image], tmp_path / "out", EVERYTHING, RayOptions(ray="local"))


def test_what_is_read_ahead_is_bounded(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = sorted(photos.glob("*.tif"))
    items = [Item("", "", "", "", f"s3://bucket{path}") for path in paths]
    sizes = [path.stat().st_size for path in paths]

    def read_object(address: str, limit: int) -> bytes:
        data = Path(address.removeprefix("s3://bucket")).read_bytes()
        if len(data) > limit:
            raise ImageError("it is too large")
        return data

    monkeypatch.setattr(stages, "read_object", read_object)
    row = {"shard": 0, "items": json.dumps(items)}
    assert [len(data) for data in stages.read_ahead(row)["files"]] == sizes
    monkeypatch.setattr(stages, "READERS", 1)
    monkeypatch.setattr(stages, "AHEAD_BYTES", sizes[0] + 1)
    assert [data is None for data in stages.read_ahead(row)["files"]] == [False, True]
    monkeypatch.setattr(stages, "AHEAD_BYTES", 0)
    assert stages.read_ahead(row)["files"] == [None, None]
    monkeypatch.setattr(stages, "MAX_FILE", sizes[0] - 1)
    monkeypatch.setattr(stages, "AHEAD_BYTES", 2**20)
    assert [data is None for data in stages.read_ahead(row)["files"]] == [size >= sizes[0] for size in sizes]


SIZES = [
    # CPUs of the nodes, workers and threads asked for, what it gives
    ((2,), None, None, Workers(1, 2)),
    ((2,), 2, None, Workers(2, 1)),  # threads follow
    ((2,), None, 1, Workers(2, 1)),
    ((32, 32), None, None, Workers(8, 8)),  # of eight, since more gain little in one process
    ((32, 4), None, None, Workers(4, 8)),  # the small node has no room for one of eight
    ((6, 6), None, 4, Workers(2, 4)),  # a worker lies on one node
    ((0, 4), 3, None, Workers(3, 1)),
    ((2,), 3, None, "2 CPUs on 1 node, too few for 3 workers;"),
    ((4, 4), None, 5, "8 CPUs on 2 nodes, too few for 1 worker of 5 CPUs;"),
    ((), None, None, "0 CPUs on 0 nodes"),
]


@pytest.mark.parametrize(("cpus", "number", "threads", "expected"), SIZES)
def test_workers_fit_the_nodes(
    cpus: tuple[int, ...], number: int | None, threads: int | None, expected: Any
) -> None:
    if isinstance(expected, str):
        with pytest.raises(UsageError, match=expected):
            workers_of(FakeRay(cpus), number, threads)
    else:
        assert workers_of(FakeRay(cpus), number, threads) == expected

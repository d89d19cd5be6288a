"""`yolo-max predict --ray` as its users meet it; on a real cluster it runs in test_ray_cluster.py."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import read_tree
from ray_fake import FakeRay

from yolo_max.cli import run
from yolo_max.cli.alone import with_values
from yolo_max.support.errors import ExitCode

pytestmark = pytest.mark.usefixtures("fake_network")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were connected to; Ray Data runs in this process."""
    addresses: list[str] = []
    fake = FakeRay()

    @contextmanager
    def cluster(address: str) -> Iterator[Any]:
        addresses.append(address)
        yield fake

    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.setattr("yolo_max.ray.cluster.cluster", cluster)
    monkeypatch.setattr("yolo_max.ray.cluster.import_ray", lambda: fake)
    return addresses


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("photos --ray", "photos --ray=local"),
        ("photos --ray auto", "photos --ray auto"),
        ("photos --ray head:6379 --json", "photos --ray head:6379 --json"),
        ("--ray photos", "--ray=local photos"),  # a source, not an address
        ("photos --ray --json", "photos --ray=local --json"),
        ("photos --ray=auto", "photos --ray=auto"),
        ("--ray s3://bucket/photos", "--ray=local s3://bucket/photos"),
        ("--ray --ray-workers 2", "--ray=local --ray-workers 2"),
        ("photos", "photos"),
        ("-- --ray", "-- --ray"),  # what follows is a file
    ],
)
def test_the_address_may_be_left_out(words: str, expected: str) -> None:
    assert with_values(words.split(), ["--ray", "--workers"]) == expected.split()


def test_nothing_typed_stays_nothing() -> None:
    assert with_values([], ["--ray"]) == []


def test_it_writes_what_it_writes_without(
    photos: Path, ray: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.jpg").touch()
    given = ["predict", "photos", "-r", "--no-times", "--save-txt", "--save-csv", "--save-crop"]
    assert run([*given, "-o", "one"]) == ExitCode.SOME_IMAGES_FAILED
    one = capsys.readouterr()
    assert run([*given, "-o", "many", "--ray"]) == ExitCode.SOME_IMAGES_FAILED
    many = capsys.readouterr()
    assert ray == ["local"]
    starting = ["Starting Ray on this machine.", "Starting 1 worker of 2 CPUs."]
    compiling, *bad = one.err.splitlines()
    assert many.err.splitlines() == [compiling, *starting, *bad]
    assert many.out.splitlines()[:-2] == one.out.splitlines()[:-2]  # but for the time it took, and the folder
    before, after = read_tree(Path("one")), read_tree(Path("many"))
    assert {path: data for path, data in after.items() if path.parts[0] not in ("shards", "run.json")} == {
        path: data for path, data in before.items() if path.parts[0] != "run.json"
    }


@pytest.mark.parametrize(
    ("sources", "paths", "pictures"),
    [
        (
            "photos/a.jpg s3://photos",
            "photos/a.jpg s3://photos/a.jpg s3://photos/b.png",
            "a.jpg a_2.jpg b.png",
        ),
        (
            "s3://photos photos/a.jpg",
            "photos/a.jpg s3://photos/a.jpg s3://photos/b.png",
            "a.jpg a_2.jpg b.png",
        ),
        ("file://{photos} photos", "{photos}/a.jpg {photos}/b.png", "photos/a.jpg photos/b.png"),
        ("s3://photos s3://photos/ s3://photos/b.png", "s3://photos/a.jpg s3://photos/b.png", "a.jpg b.png"),
    ],
)
def test_sources_of_all_kinds_share_one_folder(
    photos: Path,
    ray: list[str],
    sources: str,
    paths: str,
    pictures: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fs = pytest.importorskip("pyarrow.fs")
    store = fs.SubTreeFileSystem(str(photos.parent), fs.LocalFileSystem())
    monkeypatch.setattr("yolo_max.ray.buckets._bucket", lambda _: store)
    given = [each.format(photos=photos) for each in sources.split()]
    assert run(["predict", *given, "--ray", "--allow-remote", "--json", "-o", "out"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)["predictions"]
    assert [each["path"] for each in found] == paths.format(photos=photos).split()
    assert [each["annotated"] for each in found] == pictures.split()


def test_the_output_folder_is_never_a_source_by_its_address(photos: Path, ray: list[str]) -> None:
    given = ["predict", f"file://{photos}", "-r", "--ray", "-o", "photos/run"]
    assert run(given) == ExitCode.OK
    before = read_tree(photos)
    assert run([*given, "--resume"]) == ExitCode.OK
    assert read_tree(photos) == before


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("ray: true", ["local"]),  # as --ray
        ("ray: false", []),
        ("ray:", []),
        ("ray: auto", ["auto"]),
    ],
)
def test_a_file_of_options_may_ask_for_it(
    photos: Path, ray: list[str], text: str, addresses: list[str]
) -> None:
    Path("my.yaml").write_text(text)
    assert run(["predict", "photos", "--cfg", "my.yaml", "-o", "out"]) == ExitCode.OK
    assert ray == addresses


def test_it_resumes_without_a_source(photos: Path, ray: list[str]) -> None:
    assert run(["predict", "photos", "--ray", "-o", "out"]) == ExitCode.OK
    before = read_tree(Path("out"))
    Path("out/predictions.jsonl").write_text("")
    assert run(["predict", "--ray", "-o", "out", "--resume"]) == ExitCode.OK
    assert read_tree(Path("out")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--ray", "nowhere:"], 4, "nowhere: does not exist"),  # a source
        (["--ray=nowhere"], 2, "'nowhere' is not the address of a Ray cluster; use HOST:PORT"),
        (["--ray", "ray://host:10001"], 2, "is not the address of a Ray cluster"),
        (["--ray", "127.0.0.1:9"], 5, "no Ray cluster answers at 127.0.0.1:9"),
        (["--ray-workers", "2"], 2, "--ray-workers goes with --ray only; add --ray."),
        (["--ray", "--ray-workers", "0"], 2, "ray_workers is 0"),
        (["--ray", "--shard-format", "csv"], 2, "shard_format is 'csv', but it must be jsonl or parquet."),
        (["--ray", "--shard-images", "0"], 2, "shard_images is 0"),
        (["--ray", "--tracker", "bytetrack"], 2, "--tracker is for videos, and --ray runs over images"),
        (["--ray", "--vid-stride", "2"], 2, "--vid-stride is for videos"),
        (["--ray", "--compiled", "net.mef"], 2, "--compiled must be an absolute path with --ray"),
        (["--ray", "clip.mp4"], 4, "clip.mp4 is a video, and only images are read here"),
        (["--ray", "0"], 4, "0 would be a webcam"),
        (["--ray", "s3://bucket/photos"], 4, "s3://bucket/photos is an address, which is read only with --a"),
        (["s3://bucket/photos"], 4, "s3://bucket/photos is an address"),
    ],
)
def test_mistakes(
    photos: Path, arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray")
    Path("clip.mp4").touch()
    assert run(["predict", "photos", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_without_ray_it_is_said_what_to_install(
    photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(["predict", "photos", "--ray"]) == ExitCode.ENGINE
    assert capsys.readouterr().err == "Error: Ray is not installed; pip install 'yolo-max[ray]'.\n"


def test_without_the_option_ray_is_not_imported(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert run(["predict", "photos"]) == ExitCode.OK

"""Finding weights: paths, names, and what is said when there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from yolo_max.support.errors import OutputError, WeightsError
from yolo_max.weights.locate import BUNDLED, locate


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that is empty but for a ./weights, an empty cache, and a home."""
    for folder in ("work/weights", "cache/weights", "home"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@pytest.mark.parametrize(
    ("files", "spec", "found"),
    [
        (["work/a.pt"], "a.pt", "a.pt"),  # a file in the working directory, by its full name
        (["work/a.pt"], "./a.pt", "a.pt"),
        (["work/sub/a.pt"], "sub/a.pt", "sub/a.pt"),
        (["home/a.pt"], "~/a.pt", "~/a.pt"),
        (
            ["work/weights/a.safetensors", "work/weights/a.pt"],
            "a",
            "weights/a.safetensors",
        ),  # no conversion needed
        (
            ["work/weights/a.safetensors", "work/weights/a.pt"],
            "a.pt",
            "weights/a.pt",
        ),  # unless it is asked for
        (["work/a.pt"], "a", "a.pt"),  # beside the user, as Ultralytics leaves it
        (["work/a.safetensors", "work/a.pt"], "a", "a.safetensors"),
        (["work/a.pt", "work/weights/a.safetensors"], "a", "a.pt"),  # first here, as with a full name
        (["work/a.pt", "work/weights/a.pt"], "a.pt", "a.pt"),
        (["work/weights/a.pt", "cache/weights/a.safetensors"], "a", "weights/a.pt"),  # then ./weights
        (["cache/weights/a.pt"], "a", "../cache/weights/a.pt"),
        (["cache/weights/a.pt"], "a.pt", "../cache/weights/a.pt"),
        (["work/weights/a.b.pt"], "a.b", "weights/a.b.pt"),  # a dot that is no suffix
        (["work/a/x", "work/weights/a.pt"], "a", "weights/a.pt"),  # a folder of that name is not meant
    ],
)
def test_found(files: list[str], spec: str, found: str, places: Path) -> None:
    for file in files:
        (places / file).parent.mkdir(parents=True, exist_ok=True)
        (places / file).write_bytes(b"")
    assert locate(spec).samefile(Path(found).expanduser())
    assert locate(Path(spec)).samefile(Path(found).expanduser())


@pytest.mark.parametrize(
    ("spec", "messages"),
    [
        # an official model: how to get it
        (
            "yolov8n",
            [
                *("no weights named 'yolov8n'", "in this folder, ./weights or", "cache/weights;"),
                "run `yolo-max weights fetch yolov8n`",
            ],
        ),
        ("yolov8n.pt", ["no weights named 'yolov8n.pt'", "run `yolo-max weights fetch yolov8n`"]),
        ("yolo26n-obb", ["run `yolo-max weights fetch yolo26n-obb`"]),
        # one that would not run
        ("rtdetr-l.pt", ["no weights named 'rtdetr-l.pt'", "and a detection transformer is not ported."]),
        # nearly one
        (
            "yolo8n",
            [
                "no weights named 'yolo8n'",
                "nearly that name is yolov8n: run `yolo-max weights fetch yolov8n`",
            ],
        ),
        ("yolov8", ["run `yolo-max weights fetch yolov8n`"]),  # of those that are equally close the first
        ("zebra", ["no weights named 'zebra'", "path of a .safetensors or .pt"]),
        # nearly one that is here
        ("yolov8n-shape", ["did you mean yolov8n-shapes?"]),
        # a path
        (
            "weights/yolov8n-shape.safetensors",
            ["no weights file weights/yolov8n-shape", "mean yolov8n-shapes?"],
        ),
        ("nowhere/at/all.pt", ["no weights file nowhere/at/all.pt"]),
        ("../../etc/zebra", ["no weights file ../../etc/zebra"]),
        ("", ["no weights"]),
        ("x" * 5000, ["no weights named 'xxx"]),
        ("~nobody-of-that-name/x.pt", ["no weights file ~nobody-of-that-name/x.pt"]),
        ("a\0b", ["no weights"]),
    ],
)
def test_missing(spec: str, messages: list[str]) -> None:
    Path("weights/yolov8n-shapes.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError) as caught:
        locate(spec)
    text = str(caught.value)
    for message in messages:
        assert message in text
    assert text.endswith(".")
    assert "\n" not in text


def test_what_is_converted_already_is_not_proposed_for_conversion() -> None:
    Path("weights/yolov8n-shapes.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"^weights/yolov8n-shapes.safetensors is .safetensors already; "):
        locate("yolov8n-shapes", (".pt",))


def test_a_user_without_a_home_has_no_cache_to_look_in(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise OutputError("there is no place for the cache.")

    monkeypatch.setattr("yolo_max.weights.locate.cache_root", no_home)
    with pytest.raises(WeightsError, match=r"no weights named 'yolov8n' in this folder, \./weights;"):
        locate("yolov8n")


def test_the_cache_of_another_user_is_not_looked_into(places: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where HOME is still root's: what is bundled is found all the same."""
    stat_of = Path.stat

    def stat(path: Path, **how: bool) -> os.stat_result:
        if path.is_relative_to(places / "cache"):
            raise PermissionError(13, "Permission denied")
        return stat_of(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    assert locate("yolov8n-shapes").parent == BUNDLED

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes import write_image

from yolo_max.images.trial import find_crashes

CRASHING_DECODER = Path(__file__).parent / "support" / "crashing_decoder"


@pytest.fixture(autouse=True)
def _crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(CRASHING_DECODER))


def crashing(path: Path) -> Path:
    """A JPEG with the comment "crash", which the decoder of these tests obeys."""
    data = write_image(path, 0).read_bytes()
    path.write_bytes(data[:2] + b"\xff\xfe\0\x07crash" + data[2:])
    return path


def test_only_what_crashes_is_found(tmp_path: Path) -> None:
    crashes = [crashing(tmp_path / name) for name in ("1.jpg", "2\nlines.jpg", os.fsdecode(b"\xff.jpg"))]
    harmless = [
        write_image(tmp_path / "good.jpg", 1),
        tmp_path / "missing.jpg",
        write_image(tmp_path / "last.jpg", 2),
    ]
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    harmless.append(tmp_path / "broken.jpg")
    # Alternating, so that an answer for the wrong file is noticed.
    paths = [str(path) for pair in zip(harmless, [*crashes, tmp_path], strict=True) for path in pair]
    found = find_crashes(paths, max_pixels=10**6)
    assert found == {str(path): "decoding it crashes the process (Segmentation fault)" for path in crashes}


def test_what_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    assert find_crashes([str(crashing(tmp_path / "1.jpg"))], max_pixels=60 * 40 - 1) == {}


def test_nothing_is_started_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", None)
    assert find_crashes([], max_pixels=1) == {}


def test_what_lies_in_the_working_directory_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cv2", "json", "subprocess"):
        (tmp_path / f"{name}.py").write_text("import os; os.abort()")
    good, bad = write_image(tmp_path / "good.jpg", 1), crashing(tmp_path / "bad.jpg")
    assert list(find_crashes([str(good), str(bad)], max_pixels=10**6)) == [str(bad)]

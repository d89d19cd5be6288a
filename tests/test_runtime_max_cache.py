"""MAX's own cache has a folder that can be written, whatever this user's home is."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from yolo_max import Detector
from yolo_max.runtime import max_cache
from yolo_max.runtime.max_cache import VARIABLE, place_max_cache
from yolo_max.support.errors import WeightsError

VARIABLES = (VARIABLE, "MODULAR_HOME", "HOME", "XDG_CACHE_HOME", "YOLO_MAX_CACHE_DIR")
NOWHERE = "file/folder"
"""A place below a file, where not even root can write."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that it is restored, whoever sets it
        monkeypatch.delenv(name)
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / NOWHERE))
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({VARIABLE: "given", "HOME": "home"}, "given"),
        ({VARIABLE: NOWHERE, "HOME": "home"}, "home/.cache/modular"),
        ({"MODULAR_HOME": "modular", "HOME": "home"}, "modular/cache"),
        ({"HOME": "home"}, "home/.cache/modular"),  # as MAX chooses
        ({"XDG_CACHE_HOME": "xdg", "HOME": "home"}, "xdg/modular"),
        ({"YOLO_MAX_CACHE_DIR": "ours"}, "ours/max"),  # no home
        ({"YOLO_MAX_CACHE_DIR": "ours", VARIABLE: NOWHERE}, "ours/max"),
    ],
)
def test_the_first_writable_folder_is_used(
    variables: dict[str, str], expected: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(place / "cache"))
    for name, value in variables.items():
        monkeypatch.setenv(name, str(place / value))
    said: list[str] = []
    for _ in range(2):  # it stays where it is
        place_max_cache(said.append)
        assert os.environ[VARIABLE] == str(place / expected)
        assert (place / expected).is_dir()
    assert said == []


def test_it_is_looked_for_once_until_someone_else_sets_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Path] = []
    writable = max_cache._is_writable

    def watch(folder: Path) -> bool:
        tried.append(folder)
        return writable(folder)

    monkeypatch.setattr(max_cache, "_is_writable", watch)
    for name, times in (("a", 2), ("b", 1), ("a", 3)):
        monkeypatch.setenv(VARIABLE, str(place / name))
        for _ in range(times):
            place_max_cache()
            assert os.environ[VARIABLE] == str(place / name)
    assert tried == [place / name for name in "aba"]


@pytest.mark.parametrize("closed", [False, True])
def test_a_closed_home_is_not_searched_by_max(
    place: Path, monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    """MAX waits forever for a home like root's when another user runs it."""
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(place / "cache"))
    stat_of = Path.stat

    def stat(path: Path, **how: bool) -> os.stat_result:
        if closed and path.is_relative_to(place / NOWHERE):
            raise PermissionError(13, "Permission denied")
        return stat_of(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    place_max_cache()
    assert os.environ.get("MODULAR_HOME") == (os.environ[VARIABLE] if closed else None)


def test_where_nothing_is_writable_a_temporary_folder_lasts_as_long_as_the_process(place: Path) -> None:
    script = f"""
import os
from yolo_max.runtime.max_cache import place_max_cache
said = []
place_max_cache(said.append)
folder = os.environ["{VARIABLE}"]
open(os.path.join(folder, "kernel"), "w").close()
print(folder, oct(os.stat(folder).st_mode), len(said))
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    folder, mode, said = run.stdout.split()
    assert stat.S_IMODE(int(mode, 8)) == 0o700
    assert said == "1"
    assert not Path(folder).exists()


def test_what_cannot_be_kept_is_said_before_anything_else(place: Path) -> None:
    said: list[str] = []
    with pytest.raises(WeightsError):
        Detector(place / "missing.pt", report=said.append)
    assert len(said) == 1
    assert "compiled anew at every start" in said[0]
    assert "set YOLO_MAX_CACHE_DIR" in said[0]

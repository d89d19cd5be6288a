"""Importing ultralytics leaves the machine as it was: no network, no files of its own, nothing printed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import os, socket, subprocess, sys
import cv2
reached = []
def refuse(*args, **options):
    reached.append(args)
    raise OSError("refused")
for module, name in ((socket, "getaddrinfo"), (socket.socket, "connect"), (subprocess, "check_output")):
    setattr(module, name, refuse)
environment, threads = dict(os.environ), cv2.getNumThreads()
from yolo_max.support.ultralytics_import import import_ultralytics
ultralytics = import_ultralytics()
from ultralytics.nn.tasks import DetectionModel
assert import_ultralytics() is ultralytics
assert not reached, reached
assert cv2.getNumThreads() == threads, cv2.getNumThreads()
changed = {k: v for k, v in os.environ.items() if environment.get(k) != v}
assert not any(name.startswith(("YOLO_", "ULTRALYTICS_")) for name in changed), changed
"""


def test_importing_has_no_side_effects(tmp_path: Path) -> None:
    home, work, cache = (tmp_path / name for name in ("home", "work", "cache"))
    home.mkdir()
    work.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "YOLO_", "ULTRALYTICS_"))}
    environment |= {"HOME": str(home), "YOLO_MAX_CACHE_DIR": str(cache)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not list(home.rglob("*"))
    assert not list(work.rglob("*"))
    assert {path.relative_to(cache).parts[0] for path in cache.rglob("*")} == {"ultralytics"}

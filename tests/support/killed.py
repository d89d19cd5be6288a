"""Runs killed at random moments and resumed until they are done: ``killed.py SOURCE OUT STORIES KILLS``.

Each run is a fork of this process, so it starts at once. Prints one line of JSON per process: how many
records it found and left, how many images with a record it wrote again, and whether it was killed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import cv2
from fakes import SharedEngine, fake_weights

from yolo_max.images.sources import find_images
from yolo_max.predict.detector import Detector
from yolo_max.predict.folder.run import FolderRun
from yolo_max.support.options import SaveOptions

WITHOUT_WAITING = os.WNOHANG | os.WNOWAIT


def run(source: Path, out: Path) -> None:
    """One run over all of the source, resuming what is there; slow enough to be killed on a fast machine."""
    detector = Detector(fake_weights(), engine=SharedEngine(nap=0.004), workers=3)
    found = find_images([source], recursive=True, exclude=out)
    with FolderRun(
        detector, found, out, SaveOptions(save_txt=True, save_csv=True, times=False), resume=True
    ) as run:
        for _ in run.images():
            pass


def manifest_lines(out: Path) -> int:
    """How many images are done."""
    try:
        return (out / "predictions.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def recorded(out: Path) -> list[Path]:
    """The annotated images that the manifest names, without a torn line at its end."""
    try:
        lines = (out / "predictions.jsonl").read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
    return [out / json.loads(line).get("annotated", "none") for line in lines]


def inodes(paths: list[Path]) -> list[int]:
    """A file that is written again has another inode."""
    return [path.stat().st_ino if path.exists() else 0 for path in paths]


def story(source: Path, out: Path, kills: int, moments: random.Random) -> None:
    """Kills ``kills`` runs, then lets one finish."""
    for n in range(kills + 1):
        before = recorded(out)
        inodes_before = inodes(before)
        child = os.fork()
        if not child:
            run(source, out)
            os._exit(0)
        if n < kills:
            # By the progress it makes and not by the clock: the machine may be busy.
            wanted = len(before) + moments.randrange(6)
            while manifest_lines(out) < wanted and not os.waitid(
                os.P_PID, child, os.WEXITED | WITHOUT_WAITING
            ):
                time.sleep(0.0005)
            time.sleep(moments.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        report = {
            "before": len(before),
            "after": len(recorded(out)),
            "redone": sum(a != b for a, b in zip(inodes_before, inodes(before), strict=True)),
            "killed": os.WIFSIGNALED(status),
        }
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    source, out, stories, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    cv2.setNumThreads(1)
    run(source, out / "warm")  # so that no fork has to import or fill a cache
    for number in range(stories):
        story(source, out / f"out{number}", kills, random.Random(number))

"""A long run over many images that watches memory, files and speed.

    python scripts/soak.py IMAGES --weights yolov8n --count 20000

Makes a folder of links to a few images, runs the pipeline of `yolo-max predict` over it, and prints, for each
tenth of the run, the resident memory, the open files, the threads, the images per second, and the CPU time
per image, which other work on the machine affects less.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from itertools import cycle, islice
from pathlib import Path

import cv2

from yolo_max.images.source import SourceImage
from yolo_max.images.sources import find_images
from yolo_max.predict.detector import Detector
from yolo_max.predict.folder.run import FolderRun
from yolo_max.support.options import SaveOptions

PARTS = 10


def main() -> None:
    """Runs over the images, and prints a row for each tenth of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="a folder with a few images")
    parser.add_argument("--weights", default="yolov8n")
    parser.add_argument("--imgsz", type=int)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--no-save", action="store_true", help="write no annotated images")
    options = parser.parse_args()

    cv2.setNumThreads(1)
    detector = Detector(options.weights, imgsz=options.imgsz, report=print)
    with tempfile.TemporaryDirectory() as folder:
        links = make_links(options.images, Path(folder) / "links", options.count)
        soak(detector, links, Path(folder) / "out", SaveOptions(save=not options.no_save))


def make_links(images: Path, folder: Path, count: int) -> Path:
    """A folder of ``count`` links to the images of another, in turn."""
    originals = [item.path.resolve() for item in find_images([images]) if isinstance(item, SourceImage)]
    folder.mkdir()
    for number, original in enumerate(islice(cycle(originals), count)):
        (folder / f"{number:06}{original.suffix}").symlink_to(original)
    return folder


def soak(detector: Detector, links: Path, out: Path, saving: SaveOptions) -> None:
    """Runs over the links and prints a line for each tenth of them."""
    found = list(find_images([links]))
    part = max(len(found) // PARTS, 1)
    print("  images  memory MiB  files  threads  images/s  CPU ms/image")
    start, cpu_start = time.perf_counter(), time.process_time()
    with FolderRun(detector, found, out, saving) as run:
        for done, _ in enumerate(run.images(), 1):
            if done % part == 0:
                rate = part / (time.perf_counter() - start)
                cpu = (time.process_time() - cpu_start) * 1000 / part
                usage = f"{memory_mib():10.0f}  {open_files():5}  {threading.active_count():7}"
                print(f"{done:8}  {usage}  {rate:8.1f}  {cpu:12.1f}", flush=True)
                start, cpu_start = time.perf_counter(), time.process_time()
    totals = run.totals
    print(json.dumps({"images": totals.images, "failed": len(totals.failures), "objects": totals.objects}))


def memory_mib() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_files() -> int:
    """Open file descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


if __name__ == "__main__":
    main()

"""The cost of Ray on one machine: ``yolo-max predict`` with and without it, whole commands, in turn.

    python scripts/bench_ray.py FOLDER -w yolov8n --workers 1 2 --rounds 1
    python scripts/bench_ray.py FOLDER --driver RUN     # what a shard and an image cost the driver

Prints JSON: seconds of each command, the memory of its workers in the first and the last third of their
lives, and what Ray's object store wrote to disk.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from pathlib import Path
from statistics import median
from typing import Any

WORKER = b"ray::MapWorker"


class Memory:
    """Samples the resident memory of Ray's actors until it is stopped."""

    def __init__(self, seconds: float = 0.5) -> None:
        """Starts."""
        self.samples: dict[int, list[float]] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(seconds,), daemon=True)
        self._thread.start()

    def _run(self, seconds: float) -> None:
        while not self._done.wait(seconds):
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    if (folder / "cmdline").read_bytes().startswith(WORKER):
                        pages = int((folder / "statm").read_text().split()[1])
                        self.samples.setdefault(int(folder.name), []).append(pages * 4096 / 2**20)
                except OSError:
                    continue

    def stop(self) -> list[dict[str, float]]:
        """MiB of each actor: median of the first and of the last third of its life, without its start."""
        self._done.set()
        self._thread.join()
        lives = [each[len(each) // 4 :] for each in self.samples.values() if len(each) > 12]
        return [
            {
                "first_third": round(median(life[: len(life) // 3])),
                "last_third": round(median(life[-(len(life) // 3) :])),
                "most": round(max(life)),
            }
            for life in lives
        ]


def measure(folder: Path, more: list[str]) -> dict[str, Any]:
    """Runs the command once, into a folder that is removed."""
    out = Path(tempfile.mkdtemp(prefix="yolo_max_"))
    memory, start = Memory(), time.monotonic()
    command = [sys.executable, "-m", "yolo_max", "predict", str(folder), "--no-times", "--json", "-o"]
    done = subprocess.run([*command, str(out / "run"), *more], capture_output=True, text=True, check=True)
    seconds, workers = time.monotonic() - start, memory.stop()
    shutil.rmtree(out)
    spilled = list(Path("/tmp/ray/session_latest").rglob("ray_spilled_objects*/*"))
    return {
        "seconds": round(seconds, 2),
        "images": json.loads(done.stdout)["images"],
        "workers": workers,
        "spilled_files": len(spilled) if "--ray" in more else 0,
    }


def driver(folder: Path, run: Path) -> dict[str, float]:
    """What the driver spends: on a shard that costs its workers nothing, and on an image.

    Args:
        folder: Images.
        run: The results of a run on Ray over them.
    """
    from yolo_max.images.source import SourceImage
    from yolo_max.images.sources import find_images
    from yolo_max.predict.folder.manifest import encode_line
    from yolo_max.ray.cluster import cluster
    from yolo_max.ray.shards import Item, read_shard, to_text

    tracemalloc.start()
    sources = [each for each in find_images([folder]) if isinstance(each, SourceImage)]
    text = to_text([Item.of(each) for each in sources])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    start = time.monotonic()
    records = [record for path in sorted((run / "shards").iterdir()) for record in read_shard(path)]
    lines = [encode_line(record) for record in records]
    per_record = (time.monotonic() - start) / len(lines)
    shards = 1000
    with cluster("local") as ray:
        tasks, actors = ray.data.TaskPoolStrategy(size=1), ray.data.ActorPoolStrategy(size=1)
        rows = ray.data.from_items(
            [{"shard": i, "items": ""} for i in range(shards)], override_num_blocks=shards
        )
        done = rows.map(dict.copy, compute=tasks, num_cpus=0).map(Nothing, compute=actors, num_cpus=1)
        times = [time.monotonic() for _ in done.map(dict.copy, compute=tasks, num_cpus=0).iter_rows()]
    half = len(times) // 2
    return {
        "bytes_per_image": held / len(sources),
        "bytes_per_row": len(text) / len(sources),
        "seconds_per_record": per_record,
        "bytes_per_record": sum(map(len, lines)) / len(lines),
        "seconds_per_shard": (times[-1] - times[half]) / (len(times) - half - 1),
    }


class Nothing:
    """An actor that does nothing."""

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row."""
        return row


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-w", "--weights", default="yolov8n")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="0 is the plain command")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--shard-images", type=int, default=256)
    parser.add_argument("--driver", type=Path, metavar="RUN")
    arguments = parser.parse_args()
    if arguments.driver:
        print(json.dumps(driver(arguments.folder, arguments.driver)))
        return
    for _ in range(arguments.rounds):
        for workers in arguments.workers:
            shards = ["--shard-images", str(arguments.shard_images)]
            ray = ["--ray", "--ray-workers", str(workers), *shards] if workers else []
            result = measure(arguments.folder, ["-w", arguments.weights, *ray])
            print(json.dumps({"ray_workers": workers, **result}), flush=True)


if __name__ == "__main__":
    main()

"""A folder of photographs to annotated ones: `yolo-max predict` against the usual tools.

    python scripts/folder_baselines.py PHOTOGRAPHS --weights yolov8n.pt --out runs/folder.json

Each contender is a process of its own and works on the same files, in rounds of random order:

- ``yolo-max predict``, by default, with ``--rect``, and in bf16 if the processor has it;
- a plain loop around OpenVINO in f32, as written by hand: decode, letterbox, infer, NMS, draw, write, one
  after the other, the network on all CPUs;
- Ultralytics' ``predict(save=True)``, on all CPUs, and by default, on one less. It fits its input to the
  shape of each photograph, so it has less to compute than all others but ``--rect``.

Images per second cover the images alone: every contender is loaded and compiled by then, and all but
``yolo-max predict``, whose clock starts with its first image, have run one image before. The seconds of the
whole process are shown too. Objects are counted, to show that all do the same work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolo_max.bench.report.tables import Table
from yolo_max.bench.report.text import markdown
from yolo_max.bench.runtimes import import_openvino
from yolo_max.bench.stats import Spread
from yolo_max.images.source import SourceImage
from yolo_max.images.sources import find_images
from yolo_max.runtime import cpu, host

OURS, RECT = "yolo-max predict", "yolo-max predict --rect"
RECT_BF16 = f"{RECT} --precision bf16"
LOOP = "OpenVINO f32, plain loop"
PREDICT, PREDICT_ALONE = "Ultralytics predict, all CPUs", "Ultralytics predict, left alone"
CONF, IOU, MAX_DET = 0.25, 0.7, 300
ONNX_FILE = "decoded.onnx"

Task = argparse.Namespace
"""What a contender is given: images (folder), weights, model (ONNX), out, threads, imgsz."""


# --- the plain loop -------------------------------------------------------------------------------


def export_decoded(weights: str, imgsz: int, path: Path) -> None:
    """Writes the network as people export it: NCHW float32 pixels to decoded boxes, ``[1, 4 + nc, A]``."""
    import torch

    from yolo_max.engine.torch_engine import TorchEngine

    module = TorchEngine(weights).module

    class Decoded(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.module(pixels)[0]

    pixels = torch.zeros(1, 3, imgsz, imgsz)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Decoded().eval(), (pixels,), path, opset_version=17, dynamo=False)


def plain_loop(task: Task) -> dict[str, float]:
    """Decode, letterbox, infer, NMS, draw, write: one image after the other."""
    core = import_openvino().Core()
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": task.threads,
        "NUM_STREAMS": 1,
    }
    request = core.compile_model(core.read_model(task.model), "CPU", hints).create_infer_request()
    size = task.imgsz

    def one(path: Path, out: Path) -> int:
        image = cv2.imread(str(path))
        assert image is not None, f"{path} cannot be read"
        height, width = image.shape[:2]
        scale = min(size / height, size / width)
        resized = cv2.resize(image, (round(width * scale), round(height * scale)))
        top, left = (size - resized.shape[0]) // 2, (size - resized.shape[1]) // 2
        canvas = np.full((size, size, 3), 114, np.uint8)
        canvas[top : top + resized.shape[0], left : left + resized.shape[1]] = resized
        blob = cv2.dnn.blobFromImage(canvas, 1 / 255, swapRB=True)
        output = request.infer([blob], share_inputs=True, share_outputs=True)[0][0]
        boxes, scores, classes = decoded_boxes(output)
        boxes[:, :2] -= (left, top)
        boxes /= scale
        for x, y, w, h in boxes:
            cv2.rectangle(image, (int(x), int(y)), (int(x + w), int(y + h)), (0, 0, 255), 2)
        for (x, y, _, _), score, class_id in zip(boxes, scores, classes, strict=True):
            text = f"{class_id} {score:.2f}"
            cv2.putText(image, text, (int(x), int(y) - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 255), 2)
        cv2.imwrite(str(out / path.name), image)
        return len(boxes)

    return timed(task, one)


def decoded_boxes(
    output: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.intp]]:
    """Threshold and NMS by class on ``[4 + nc, A]``: boxes (left, top, width, height), scores, ids."""
    best = output[4:].max(0)
    keep = best > CONF
    classes = output[4:, keep].argmax(0)
    x, y, w, h = output[:4, keep]
    boxes = np.stack([x - w / 2, y - h / 2, w, h], 1)
    survivors = cv2.dnn.NMSBoxesBatched(boxes.tolist(), best[keep].tolist(), classes.tolist(), CONF, IOU)
    chosen = np.asarray(survivors, np.intp).ravel()[:MAX_DET]
    return boxes[chosen], best[keep][chosen], classes[chosen]


# --- Ultralytics ----------------------------------------------------------------------------------


def ultralytics_predict(task: Task) -> dict[str, float]:
    """Ultralytics' own predictor over the folder, saving annotated images."""
    from yolo_max.support.ultralytics_import import import_ultralytics

    import_ultralytics()
    nms_stand_in()
    import torch
    from ultralytics import YOLO
    from ultralytics.utils import torch_utils

    if task.contender == PREDICT:
        torch_utils.NUM_THREADS = task.threads  # its number of PyTorch threads
    model = YOLO(task.weights)
    options = {"device": "cpu", "imgsz": task.imgsz, "save": True, "verbose": False, "project": task.out}
    images = sorted(Path(task.images).iterdir())
    model.predict(images[0], name="warm", **options)
    start = perf_counter()
    objects = sum(len(r.boxes) for r in model.predict(task.images, name="out", stream=True, **options))
    return {
        "seconds": perf_counter() - start,
        "objects": objects,
        "threads": torch.get_num_threads(),
    }


def nms_stand_in() -> None:
    """Where torchvision does not import, gives Ultralytics its own NMS in place of torchvision's."""
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        from ultralytics.utils.nms import TorchNMS

        stand_in: Any = SimpleNamespace(ops=SimpleNamespace(nms=TorchNMS.nms))
        sys.modules["torchvision"] = stand_in


# --- yolo-max -------------------------------------------------------------------------------------


def yolo_max_predict(task: Task) -> dict[str, float]:
    """The command, with its own clock around the images."""
    command = [sys.executable, "-c", "from yolo_max.cli import main; main()", "predict", task.images]
    command += ["--weights", task.weights, "--imgsz", str(task.imgsz), "--out", f"{task.out}/out", "--json"]
    command += task.contender.split()[2:]
    start = perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    whole = perf_counter() - start  # without process start
    if done.returncode:
        raise SystemExit(done.stderr.strip())
    summary = json.loads(done.stdout)
    return {
        "seconds": summary["seconds"],
        "objects": summary["objects"],
        "threads": task.threads,
        "process_seconds": whole,
    }


# --- the comparison -------------------------------------------------------------------------------

CONTENDERS: dict[str, Callable[[Task], dict[str, float]]] = {
    OURS: yolo_max_predict,
    RECT: yolo_max_predict,
    RECT_BF16: yolo_max_predict,
    LOOP: plain_loop,
    PREDICT: ultralytics_predict,
    PREDICT_ALONE: ultralytics_predict,
}


def timed(task: Task, one: Callable[[Path, Path], int]) -> dict[str, float]:
    """Runs a function over the images, the first of them once before the clock starts."""
    images, out = sorted(Path(task.images).iterdir()), Path(task.out)
    one(images[0], out)
    start = perf_counter()
    objects = sum(one(path, out) for path in images)
    return {"seconds": perf_counter() - start, "objects": objects, "threads": task.threads}


def run(task: Task, name: str) -> dict[str, Any]:
    """One contender in a process of its own; ``{"failed": reason}`` where it does not come to an end."""
    command = [sys.executable, __file__, "--contender", name]
    for option in ("images", "weights", "model", "threads", "imgsz"):
        command += [f"--{option}", str(getattr(task, option))]
    start = perf_counter()
    with tempfile.TemporaryDirectory(prefix="yolo_max_folder_") as out:
        done = subprocess.run([*command, "--out", out], capture_output=True, text=True, check=False)
    whole = perf_counter() - start
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no reason given"])[-1]}
    return {"process_seconds": whole, **json.loads(done.stdout.splitlines()[-1])}


def table(found: dict[str, list[dict[str, Any]]], images: int, imgsz: int) -> Table:
    """The rounds of all contenders as a table; ratios are taken within rounds."""
    rows = []
    for name, rounds in found.items():
        failed = next((each["failed"] for each in rounds if "failed" in each), None)
        if failed is not None:
            rows.append([name, f"failed: {failed}", *["–"] * 6])
            continue
        speed = Spread.of([images / each["seconds"] for each in rounds])
        ratios = [_times_as_fast(found[ours], rounds) for ours in (OURS, RECT)]
        last = rounds[-1]
        whole = Spread.of([each["process_seconds"] for each in rounds]).median
        rows.append(
            [
                name,
                f"{speed.median:.1f}",
                f"[{speed.low:.1f}–{speed.high:.1f}]",
                *ratios,
                f"{whole:.1f}",
                str(last["threads"]),
                str(last["objects"]),
            ]
        )
    faster = ("ours is × as fast", "ours with --rect is")
    headers = ["", "images/s", "quartiles", *faster, "process s", "threads", "objects"]
    title = f"A folder of {images} photographs to annotated ones, {imgsz} pixels, medians of the rounds"
    return Table("folder", title, headers, rows)


def _times_as_fast(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> str:
    """How many times as fast one contender was as another, in the same rounds."""
    if any("failed" in each for each in ours):
        return "–"
    ratio = Spread.of([b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)])
    return f"{ratio.median:.2f} [{ratio.low:.2f}–{ratio.high:.2f}]"


def compare(task: Task) -> None:
    """Runs all contenders in rounds of random order, then shows and writes the results."""
    cpus = host.pin(task.threads)
    if cpus:
        os.sched_setaffinity(0, cpus)
    here = [each.path.resolve() for each in find_images([task.images]) if isinstance(each, SourceImage)]
    record = host.record() | {"pinned_to": cpus}
    disturbance = host.Disturbance.start()
    rng = random.Random(task.seed)
    names = [name for name in CONTENDERS if name != RECT_BF16 or cpu.has_bf16()]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    orders = []
    with tempfile.TemporaryDirectory(prefix="yolo_max_folder_") as folder:
        photographs, task.model = Path(folder) / "photographs", str(Path(folder) / ONNX_FILE)
        photographs.mkdir()
        for number, path in enumerate(islice(cycle(here), task.count)):
            (photographs / f"{number:05}{path.suffix}").symlink_to(path)
        task.images = str(photographs)
        export_decoded(task.weights, task.imgsz, Path(task.model))
        for name in names:
            if name.startswith(OURS):
                run(task, name)  # compiles the network if necessary
        for number in range(1, task.rounds + 1):
            orders.append(rng.sample(names, len(names)))
            for name in orders[-1]:
                print(f"round {number} of {task.rounds}: {name}", file=sys.stderr, flush=True)
                found[name].append(run(task, name))
    record |= disturbance.summary()
    shown = table(found, task.count, task.imgsz)
    print(markdown(shown))
    for warning in host.warnings(record):
        print(warning, file=sys.stderr)
    if task.out:
        content = {
            "host": record,
            "images": task.count,
            "imgsz": task.imgsz,
            "orders": orders,
            "rounds": found,
        }
        Path(task.out).parent.mkdir(parents=True, exist_ok=True)
        Path(task.out).write_text(json.dumps(content, indent=1) + "\n")


def parse(arguments: list[str] | None = None) -> Task:
    """Reads the command line."""
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", help="photographs")
    parser.add_argument("--weights", required=True, help="a .pt checkpoint")
    parser.add_argument("--count", type=int, default=512, help="images, the folder's over and over (512)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(host.pin(10**6)) or os.cpu_count() or 1)
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="where to write the samples, as JSON")
    # One contender's own process.
    for hidden in ("--contender", "--images", "--model"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    task = parser.parse_args(arguments)
    if not (task.folder or task.images):
        parser.error("name a folder of photographs")
    task.images = task.images or task.folder
    return task


if __name__ == "__main__":
    TASK = parse()
    if TASK.contender:
        print(json.dumps(CONTENDERS[TASK.contender](TASK)))
    else:
        compare(TASK)

"""Measure how faithful MAX is to PyTorch, and put the figures into docs/fidelity.md.

    python scripts/fidelity.py --coco-weights yolov8n.pt --coco-data coco64.yaml
    python scripts/fidelity.py --coco-weights yolov8n.pt --coco-data coco64.yaml --target x86-64-v3

The second compares code for an older processor, run on this one. The demo is measured on new scenes that it
was never trained on, COCO weights, if given, on the photographs of their dataset, and both on pictures that
are no photographs. ``yolo-max compare`` and ``yolo-max val`` measure. This script adds the cost of each known
mistake, made on PyTorch's side, and bf16, on any processor: without its instructions the generic kernels
compute the same products and float32 sums.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import mistakes
from benchmark_tables import fill
from fidelity_tables import Said, Subject, accuracy, detections, layers, mistakes_table, provenance
from make_demo_images import write_scenes
from mistakes import Head, Pixels
from odd_pictures import OPTIONS, write_odd_pictures

from yolo_max.engine.contract import Engine
from yolo_max.engine.max_engine import MaxEngine
from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.engine.torch_module import build_module
from yolo_max.images.letterbox import Letterbox
from yolo_max.images.read import read_image
from yolo_max.runtime.cpu_target import TARGETS
from yolo_max.support.errors import ExitCode
from yolo_max.support.options import VAL_CONF
from yolo_max.tasks.detect.postprocess import Postprocess
from yolo_max.verify.val.classes import class_map
from yolo_max.verify.val.evaluate import Accuracy, AveragePrecision, Found, evaluate
from yolo_max.verify.val.load import load_dataset
from yolo_max.weights.load import Weights, load_weights
from yolo_max.weights.locate import BUNDLED

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO = BUNDLED / "yolov8n-shapes.safetensors"
UNSEEN = 1  # the seed of scenes that are for validation
COMMAND = Path(sys.executable).with_name("yolo-max")


def main() -> None:
    """Reads the command line, measures, and rewrites the document."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--coco-weights", type=Path, help="yolov8n.pt")
    parser.add_argument("--coco-data", type=Path, help="the YAML of photographs with COCO's classes")
    parser.add_argument("--scenes", type=int, default=200, help="scenes for the demo (default: 200)")
    parser.add_argument(
        "--compare-only", action="store_true", help="leave the tables of accuracy and mistakes as they are"
    )
    parser.add_argument("--target", choices=tuple(TARGETS), help="compare code for this processor only")
    parser.add_argument("--document", type=Path, default=REPOSITORY / "docs" / "fidelity.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fidelity_") as folder:
        write_scenes(Path(folder), UNSEEN, options.scenes, labels=True)
        subjects = [Subject("demo", DEMO, Path(folder) / "data.yaml")]
        if options.coco_weights and options.coco_data:
            subjects.append(Subject("COCO", options.coco_weights, options.coco_data))
        with compiled_for(options.target):
            compared = [compare(subject) for subject in subjects]
            odd = [compare_odd_pictures(subject) for subject in subjects]
        texts = {
            "fidelity-layers": layers(compared),
            "fidelity-detections": detections([*compared, *odd]),
        }
        if options.target:
            texts = {f"{name}-{options.target}": text for name, text in texts.items()}
        else:
            texts["fidelity-provenance"] = provenance(compared)
        if not options.compare_only and not options.target:
            costs = {subject.name: measure_mistakes(subject) for subject in subjects}
            in_bf16 = {subject.name: measure_bf16(subject) for subject in subjects}
            texts["fidelity-accuracy"] = accuracy([validate(each) for each in subjects], in_bf16)
            texts["fidelity-mistakes"] = mistakes_table(costs)
    options.document.write_text(fill(options.document.read_text(), texts))


@contextmanager
def compiled_for(target: str | None) -> Iterator[None]:
    """Has processes that begin meanwhile compile for a processor, in a cache of their own."""
    if target is None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="fidelity_") as folder:
        first = f"from max import driver\ndriver.set_virtual_cpu_target({target!r})\n"
        (Path(folder) / "sitecustomize.py").write_text(first)
        path = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        with mock.patch.dict(
            os.environ, PYTHONPATH=path, YOLO_MAX_CACHE_DIR=folder, MODULAR_CACHE_DIR=folder
        ):
            yield


def compare(subject: Subject) -> Said:
    """Runs ``yolo-max compare`` on a subject."""
    images = [str(example.path) for example in load_dataset(subject.data).examples]
    weights = ("--weights", str(subject.weights))
    with tempfile.TemporaryDirectory(prefix="fidelity_") as out:
        said = _run("compare", *images, *weights, "--layers", "--no-save", "--json", "--out", out)
    return Said(subject, said)


def compare_odd_pictures(subject: Subject) -> Said:
    """The same of pictures that are no photographs."""
    with tempfile.TemporaryDirectory(prefix="fidelity_") as folder:
        write_odd_pictures(Path(folder))
        out = str(Path(folder) / "out")
        weights = ("--weights", str(subject.weights))
        said = _run("compare", folder, *weights, *OPTIONS, "--no-save", "--json", "--out", out)
    return Said(replace(subject, name=f"{subject.name}, no photographs"), said)


def validate(subject: Subject) -> Said:
    """Runs ``yolo-max val`` on a subject."""
    return Said(
        subject,
        _run("val", str(subject.data), "--weights", str(subject.weights), "--engine", "both", "--json"),
    )


def _run(*arguments: str) -> dict[str, Any]:
    print("yolo-max", arguments[0], "...", file=sys.stderr)
    done = subprocess.run([COMMAND, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (ExitCode.OK, ExitCode.PARITY):
        raise SystemExit(f"yolo-max {arguments[0]} failed with exit code {done.returncode}")
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def measure_bf16(subject: Subject) -> Accuracy[AveragePrecision]:
    """How good MAX is on a subject with activations in bf16."""
    weights = load_weights(subject.weights)
    with mock.patch("yolo_max.runtime.cpu.has_bf16", return_value=True):
        engine = MaxEngine(weights, imgsz=(weights.meta.imgsz, weights.meta.imgsz), precision="bf16")
    return _evaluate(subject, weights, engine)


def measure_mistakes(subject: Subject) -> dict[str, float]:
    """mAP50-95 of PyTorch on a subject: as it is (under ""), then with each mistake, by name."""
    weights = load_weights(subject.weights)
    found: dict[str, float] = {"": mean_of_torch(subject)}
    if weights.is_checkpoint:
        wrong = build_module(weights)
        mistakes.fold_with_eps(wrong)
        found["BatchNorm folded with eps 1e-5"] = mean_of_torch(
            subject, module=wrong.eval().fuse(verbose=False)
        )
    for name, make in mistakes.IN_THE_NETWORK.items():
        engine = TorchEngine(weights)
        make(engine.module)
        found[name] = mean_of_torch(subject, module=engine.module)
    for name, in_head in mistakes.IN_THE_HEAD.items():
        found[name] = mean_of_torch(subject, in_head=in_head)
    for name, in_pixels in mistakes.IN_THE_PIXELS.items():
        found[name] = mean_of_torch(subject, in_pixels=in_pixels)
    for name, in_geometry in mistakes.IN_THE_GEOMETRY.items():
        found[name] = mean_of_torch(subject, in_geometry=in_geometry)
    return found


def mean_of_torch(
    subject: Subject,
    *,
    module: Any = None,
    in_pixels: Callable[[Pixels, Letterbox], Pixels] = lambda canvas, _: canvas,
    in_head: Callable[[Head, float], Head] = lambda head, _: head,
    in_geometry: Callable[[Letterbox], Letterbox] = lambda geometry: geometry,
) -> float:
    """mAP50-95 of PyTorch, with the mistakes that are given."""
    weights = load_weights(subject.weights)
    engine = TorchEngine(weights)
    engine.module = engine.module if module is None else module
    mean = _evaluate(
        subject, weights, engine, in_pixels=in_pixels, in_head=in_head, in_geometry=in_geometry
    ).mean.map50_95
    assert mean is not None
    return mean


def _evaluate(
    subject: Subject,
    weights: Weights,
    engine: Engine,
    *,
    in_pixels: Callable[[Pixels, Letterbox], Pixels] = lambda canvas, _: canvas,
    in_head: Callable[[Head, float], Head] = lambda head, _: head,
    in_geometry: Callable[[Letterbox], Letterbox] = lambda geometry: geometry,
) -> Accuracy[AveragePrecision]:
    """How good an engine is in the settings of ``yolo-max val``, with the mistakes that are given."""
    print(type(engine).__name__, "on", subject.name, "...", file=sys.stderr)
    dataset = load_dataset(subject.data)
    size = (weights.meta.imgsz, weights.meta.imgsz)
    postprocess = Postprocess(weights.meta.names, conf=VAL_CONF, multi_label=True)
    found = []
    for example in dataset.examples:
        image = read_image(example.path)
        geometry = Letterbox.fit((image.shape[0], image.shape[1]), size, round_up=True)
        (outputs,) = engine.run(in_pixels(geometry.render(image), geometry)[None])
        detections = postprocess({"head": in_head(outputs["head"], VAL_CONF)}, in_geometry(geometry))
        found.append(Found(example, detections))
    return evaluate(dataset, found, class_map(weights.meta.names, dataset.names))


if __name__ == "__main__":
    main()

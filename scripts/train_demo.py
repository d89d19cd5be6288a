"""Train the bundled weights: a YOLOv8n, from scratch, to find the shapes that make_demo_images.py draws.

The network and its loss are Ultralytics' own (`DetectionModel` from yolov8n.yaml, `v8DetectionLoss` with
the default gains); the loop around them is short and lives here. No scene is seen twice: background processes
draw them during training. Most steps are taken on small images, which cost a fraction of large ones, and
the last at the resolution that the weights are for. State is saved every few minutes, and the same command
resumes it.

    python scripts/train_demo.py --out runs/train
    python scripts/measure_demo.py runs/train/yolov8n-shapes.pt
    cd weights && yolo-max weights convert ../runs/train/yolov8n-shapes.pt --half --overwrite
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from measure_demo import IMGSZ, images_tensor, measure
from numpy.typing import NDArray
from shapes.scenes import CLASS_NAMES, draw_scene

from yolo_max.images.letterbox import letterbox

TRAINING_SEED = 0  # a series of scenes; 1 is for measuring, the bundled images are from 39
LEARNING_RATE, FINAL_SHARE, WARMUP_STEPS = 2e-3, 0.01, 150
WEIGHT_DECAY = 0.02
GRADIENT_NORM = 10.0
SAVE_EVERY = 240.0  # seconds
DRAWING_PROCESSES = 2


@dataclass(frozen=True)
class Phase:
    """A stretch of training at one resolution."""

    imgsz: int
    batch: int
    steps: int


PHASES = (Phase(160, 16, 1000), Phase(224, 16, 500), Phase(IMGSZ, 16, 450))
TOTAL_STEPS = sum(phase.steps for phase in PHASES)


# --- Data -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """A letterboxed scene.

    Attributes:
        image: RGB uint8 [S, S, 3].
        classes: int64 [N].
        boxes: float32 [N, 4], x1 y1 x2 y2 as shares of S.
    """

    image: NDArray[np.uint8]
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]


@dataclass(frozen=True)
class TrainingScenes:
    """A map-style data set: `count` scenes of the training series from `first` on, at one resolution."""

    first: int
    count: int
    imgsz: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> Sample:
        index = self.first + item
        rng = np.random.default_rng((TRAINING_SEED, index, 1))
        # Most scenes are drawn at the size they are seen; some are larger and get shrunk, as photographs are.
        longer = self.imgsz if rng.random() < 0.8 else round(self.imgsz * rng.uniform(1.2, 2))
        shorter = round(longer * rng.uniform(0.56, 1))
        size = (shorter, longer) if rng.random() < 0.5 else (longer, shorter)
        scene = draw_scene(TRAINING_SEED, index, size)
        image, geometry = letterbox(scene.image, (self.imgsz, self.imgsz))
        return Sample(image, scene.classes, geometry.to_canvas(scene.boxes) / np.float32(self.imgsz))


def collate(samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
    """Make the batch that Ultralytics' loss takes: boxes as centre and size, with their image's number."""
    boxes = torch.from_numpy(np.concatenate([sample.boxes for sample in samples]))
    top_left, bottom_right = boxes[:, :2], boxes[:, 2:]
    numbers = np.repeat(np.arange(len(samples)), [len(sample.boxes) for sample in samples])
    return {
        "img": images_tensor([sample.image for sample in samples]),
        "batch_idx": torch.from_numpy(numbers).float(),
        "cls": torch.from_numpy(np.concatenate([sample.classes for sample in samples])).float()[:, None],
        "bboxes": torch.cat([(top_left + bottom_right) / 2, bottom_right - top_left], 1),
    }


def use_one_thread(_process: int) -> None:
    """Keep a drawing process to one thread: the others belong to the training."""
    cv2.setNumThreads(1)


# --- Model ------------------------------------------------------------------------------------------------


def new_model() -> Any:
    """A YOLOv8n for the shapes, with random weights."""
    from ultralytics.cfg import get_cfg
    from ultralytics.nn.tasks import DetectionModel

    model = DetectionModel("yolov8n.yaml", nc=len(CLASS_NAMES), verbose=False)
    model.names = dict(enumerate(CLASS_NAMES))
    model.args = get_cfg()  # the loss reads its gains from here
    return model.to(memory_format=torch.channels_last)


def new_optimizer(model: Any) -> torch.optim.Optimizer:
    """AdamW, with decay on the filters and none on biases and BatchNorm."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE)


def learning_rate(step: int) -> float:
    """Linear warm-up, then a cosine down to a small share of the peak."""
    if step < WARMUP_STEPS:
        return LEARNING_RATE * (step + 1) / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(1, TOTAL_STEPS - WARMUP_STEPS)
    return LEARNING_RATE * (FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2)


def save_checkpoint(model: Any, path: Path) -> None:
    """Write a model in Ultralytics' layout: the module, in half precision, under "model"."""
    import ultralytics

    half = copy.deepcopy(model).half().to(memory_format=torch.contiguous_format)
    half.task = "detect"
    half.args = {"task": "detect", "model": "yolov8n.yaml", "imgsz": IMGSZ}
    content = {
        "epoch": -1,  # finished, not to be resumed
        "model": half,
        "train_args": half.args,
        "version": ultralytics.__version__,
        "license": "AGPL-3.0-or-later",
    }
    save_safely(content, path)


def save_safely(content: dict[str, Any], path: Path) -> None:
    """Write beside, then rename, so that an interruption never costs the file that was there."""
    partial = path.with_suffix(".partial")
    torch.save(content, partial)
    partial.replace(path)


# --- Training ---------------------------------------------------------------------------------------------


class Trainer:
    """A training run: its state, kept in one file, and the steps that change it.

    Args:
        out: The folder of the state's file; a state in it is resumed.
    """

    def __init__(self, out: Path) -> None:
        from ultralytics.utils.torch_utils import ModelEMA

        torch.manual_seed(TRAINING_SEED)
        self.state_path = out / "state.pt"
        self.model = new_model()
        self.optimizer = new_optimizer(self.model)
        self.average = ModelEMA(self.model, decay=0.999, tau=500)
        self.step = 0
        self.seconds = 0.0  # spent in phases, over all resumptions
        if self.state_path.exists():
            state = torch.load(self.state_path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.ema.load_state_dict(state["average"])
            self.average.updates, self.step, self.seconds = state["updates"], state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state's file."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.ema.state_dict(),
            "updates": self.average.updates,
            "step": self.step,
            "seconds": self.seconds,
        }
        save_safely(state, self.state_path)

    def run(self) -> None:
        """Go through what is left of the phases; each ends with a measurement."""
        first_step = first_scene = 0
        for phase in PHASES:
            done = min(max(self.step - first_step, 0), phase.steps)
            if done < phase.steps:
                self.run_phase(phase, first_scene + done * phase.batch, phase.steps - done)
                self.save()
                print(measure(self.average.ema, phase.imgsz, scenes=100).line(), flush=True)
            first_step += phase.steps
            first_scene += phase.steps * phase.batch

    def run_phase(self, phase: Phase, first_scene: int, steps: int) -> None:
        """Take `steps` steps at a phase's resolution, on the scenes from `first_scene` on."""
        loader = torch.utils.data.DataLoader(
            TrainingScenes(first_scene, steps * phase.batch, phase.imgsz),
            phase.batch,
            num_workers=DRAWING_PROCESSES,
            collate_fn=collate,
            worker_init_fn=use_one_thread,
            # A forked process would inherit OpenCV's locks, but not the threads that hold them.
            multiprocessing_context="spawn",
            prefetch_factor=4,
        )
        self.model.train()
        started = saved = last = time.monotonic()
        recent: list[list[float]] = []
        for number, batch in enumerate(loader, start=1):
            recent.append(self.train_on(batch))
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if number % 50 == 0 or number == steps:
                box, cls, dfl = np.mean(recent, axis=0)
                rate = number * phase.batch / (now - started)
                losses = f"box {box:.3f}  cls {cls:.3f}  dfl {dfl:.3f}"
                speed = f"{rate:.1f} images/s  {self.seconds / 60:.1f} min"
                print(f"{phase.imgsz} px  step {self.step}/{TOTAL_STEPS}  {losses}  {speed}", flush=True)
                recent.clear()
            if now - saved > SAVE_EVERY:
                self.save()
                saved = now

    def train_on(self, batch: dict[str, torch.Tensor]) -> list[float]:
        """Take one step; returns the box, class and DFL losses."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step)
        summed, _ = self.model.loss(batch)  # [3], each summed over the batch
        losses = summed / len(batch["img"])
        losses.sum().backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.model)
        self.step += 1
        return [float(loss) for loss in losses.detach()]


def main() -> None:
    """Parse the command line, train, save, measure."""
    parser = argparse.ArgumentParser(description="Train the bundled shape detector.")
    parser.add_argument("--out", type=Path, default=Path("runs/train"), help="folder (default: runs/train)")
    parser.add_argument("--threads", type=int, help="threads to train on (default: PyTorch's choice)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(arguments.out)
    trainer.run()
    path = arguments.out / "yolov8n-shapes.pt"
    save_checkpoint(trainer.average.ema, path)
    print(f"{path}: {TOTAL_STEPS} steps in {trainer.seconds / 60:.0f} minutes")
    accuracy = measure(trainer.average.ema)
    print(accuracy.line())
    print(accuracy.table())


if __name__ == "__main__":
    main()

"""Train a network of any task on drawn scenes: the bundled weights, and others to try.

Network and loss are Ultralytics' own, with the default gains; the loop around them is short and lives here.
No scene is seen twice: a background process draws them during training. Most steps are taken on small images,
which cost a fraction of large ones, and the last at the resolution that the weights are for. State is saved
every few minutes, and the same command resumes it.

    python scripts/train_demo.py --task segment --out runs/train
    python scripts/measure_demo.py runs/train/yolo11n-seg-shapes.pt
    yolo-max weights convert runs/train/yolo11n-seg-shapes.pt --half

To begin with what another task has learnt of the same scenes takes a part of the steps:

    python scripts/train_demo.py --task obb --start runs/train/yolo11n-seg-shapes.pt --out runs/train
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from shapes.batches import TRAINING_SEED, TrainingScenes, collate
from shapes.series import SERIES

LEARNING_RATE, FINAL_SHARE, WARMUP_STEPS = 2e-3, 0.01, 150
WEIGHT_DECAY = 0.02
GRADIENT_NORM = 10.0
SAVE_EVERY = 240.0  # seconds
AVERAGE_DECAY = 0.995  # over some 200 steps; Ultralytics' 0.9999 is for runs that are a hundred times as long
EPOCHS = 100  # in which the one-to-many loss of an end-to-end network gives way to the one-to-one loss


@dataclass(frozen=True)
class Phase:
    """A stretch of training at one resolution."""

    imgsz: int
    batch: int
    steps: int


@dataclass(frozen=True)
class Recipe:
    """How a task is trained.

    Attributes:
        network: Ultralytics' name of the one that is trained unless another is asked for.
        model: The class of its networks in `ultralytics.nn.tasks`.
        phases: In this order; the last one's resolution is that of the weights.
    """

    network: str
    model: str
    phases: tuple[Phase, ...]

    @property
    def steps(self) -> int:
        """Number of all steps."""
        return sum(phase.steps for phase in self.phases)


SMALL_TO_LARGE = (Phase(128, 16, 900), Phase(192, 16, 680), Phase(320, 16, 1320))
RECIPES = {
    "detect": Recipe(
        "yolov8n", "DetectionModel", (Phase(160, 16, 1000), Phase(224, 16, 500), Phase(320, 16, 450))
    ),
    "segment": Recipe("yolo11n-seg", "SegmentationModel", SMALL_TO_LARGE),
    "pose": Recipe("yolo11n-pose", "PoseModel", SMALL_TO_LARGE),
    "obb": Recipe("yolo11n-obb", "OBBModel", SMALL_TO_LARGE),
    "classify": Recipe("yolo11n-cls", "ClassificationModel", (Phase(96, 32, 200),)),
}


def use_one_thread(_process: int) -> None:
    """Keep a drawing process to one thread: the others belong to the training."""
    cv2.setNumThreads(1)


# --- Model ------------------------------------------------------------------------------------------------


def new_model(task: str, name: str, start: Path | None = None) -> Any:
    """A network of Ultralytics' for the scenes of a task.

    Args:
        task: detect, segment, pose, obb or classify.
        name: Of Ultralytics' model, such as yolo11n-seg.
        start: A checkpoint whose tensors it begins with, where names and shapes agree; else they are random.
    """
    from ultralytics.cfg import get_cfg
    from ultralytics.nn import tasks
    from ultralytics.utils.torch_utils import intersect_dicts

    names = SERIES[task].names
    model = getattr(tasks, RECIPES[task].model)(f"{name}.yaml", nc=len(names), verbose=False)
    model.names = dict(enumerate(names))
    model.args = get_cfg(overrides={"epochs": EPOCHS})  # the loss reads its gains and its schedule from here
    if start is not None:
        trained = torch.load(start, weights_only=False)["model"].float().state_dict()
        model.load_state_dict(intersect_dicts(trained, model.state_dict()), strict=False)
    return model.to(memory_format=torch.channels_last)


def new_optimizer(model: Any) -> torch.optim.Optimizer:
    """AdamW, with decay on the filters and none on biases and BatchNorm."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE)


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a small share of the peak at the last of `steps`."""
    if step < WARMUP_STEPS:
        return LEARNING_RATE * (step + 1) / WARMUP_STEPS
    progress = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return LEARNING_RATE * (FINAL_SHARE + (1 - FINAL_SHARE) * (1 + math.cos(math.pi * progress)) / 2)


def save_checkpoint(model: Any, task: str, path: Path) -> None:
    """Write a model in Ultralytics' layout: the module, in half precision, under "model"."""
    import ultralytics

    half = copy.deepcopy(model).half().to(memory_format=torch.contiguous_format)
    half.criterion = None
    half.task = task
    half.args = {
        "task": task,
        "model": f"{path.stem.removesuffix('-shapes')}.yaml",
        "imgsz": RECIPES[task].phases[-1].imgsz,
    }
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
    part = path.with_suffix(".partial")
    torch.save(content, part)
    part.replace(path)


# --- Training ---------------------------------------------------------------------------------------------


class Trainer:
    """A training run: its state, kept in one file, and the steps that change it.

    Args:
        out: The folder of the state's file and the weights; a state in it is resumed.
        task: Of the network.
        name: Of the network, as `new_model` takes it; None for that of the task's recipe.
        start: See `new_model`.
    """

    def __init__(self, out: Path, task: str, name: str | None = None, start: Path | None = None) -> None:
        from ultralytics.utils.torch_utils import ModelEMA

        torch.manual_seed(TRAINING_SEED)
        self.task = task
        self.recipe = RECIPES[task]
        name = name or self.recipe.network
        self.path = out / f"{name}-shapes.pt"
        self.state_path = out / f"{name}-state.pt"
        self.model = new_model(task, name, start)
        self.optimizer = new_optimizer(self.model)
        self.average = ModelEMA(self.model, decay=AVERAGE_DECAY, tau=500)
        self.model.criterion = self.model.init_criterion()
        self.step = 0
        self.seconds = 0.0  # spent in phases, over all resumptions
        if self.state_path.exists():
            state = torch.load(self.state_path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.average.ema.load_state_dict(state["average"])
            self.average.updates, self.step, self.seconds = state["updates"], state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state's file, and the weights as they are."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.ema.state_dict(),
            "updates": self.average.updates,
            "step": self.step,
            "seconds": self.seconds,
        }
        save_safely(state, self.state_path)
        save_checkpoint(self.average.ema, self.task, self.path)

    def run(self) -> None:
        """Go through what is left of the phases."""
        first_step = first_scene = 0
        for phase in self.recipe.phases:
            done = min(max(self.step - first_step, 0), phase.steps)
            if done < phase.steps:
                self.run_phase(phase, first_scene + done * phase.batch, phase.steps - done)
                self.save()
            first_step += phase.steps
            first_scene += phase.steps * phase.batch

    def run_phase(self, phase: Phase, first_scene: int, steps: int) -> None:
        """Take `steps` steps at a phase's resolution, on the scenes from `first_scene` on."""
        loader = torch.utils.data.DataLoader(
            TrainingScenes(self.task, first_scene, steps * phase.batch, phase.imgsz),
            phase.batch,
            num_workers=1,
            collate_fn=partial(collate, self.task),
            worker_init_fn=use_one_thread,
            # A forked process would inherit OpenCV's locks, but not the threads that hold them.
            multiprocessing_context="spawn",
            prefetch_factor=4,
        )
        self.model.train()
        started = saved = last = time.monotonic()
        recent: list[dict[str, float]] = []
        for number, batch in enumerate(loader, start=1):
            recent.append(self.train_on(batch))
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if number % 50 == 0 or number == steps:
                rate = number * phase.batch / (now - started)
                losses = "  ".join(
                    f"{name} {np.mean([one[name] for one in recent]):.3f}" for name in recent[0]
                )
                speed = f"{rate:.1f} images/s  {self.seconds / 60:.1f} min"
                print(
                    f"{phase.imgsz} px  step {self.step}/{self.recipe.steps}  {losses}  {speed}", flush=True
                )
                recent.clear()
            if now - saved > SAVE_EVERY:
                self.save()
                saved = now

    def train_on(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """Take one step; returns the losses by name."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.recipe.steps)
        if hasattr(self.model.criterion, "update"):
            self.model.criterion.updates = self.step * EPOCHS // self.recipe.steps - 1
            self.model.criterion.update()
        summed, losses = self.model.loss(batch)  # each summed over the batch; their means, by name
        (summed.sum() / (1 if self.task == "classify" else len(batch["img"]))).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.model)
        self.step += 1
        return {name.removesuffix("_loss"): float(loss) for name, loss in losses.items()}


def main() -> None:
    """Parse the command line, train, save."""
    parser = argparse.ArgumentParser(description="Train a network on drawn scenes.")
    parser.add_argument("--out", type=Path, default=Path("runs/train"), help="folder (default: runs/train)")
    parser.add_argument("--threads", type=int, help="threads to train on (default: PyTorch's choice)")
    parser.add_argument("--task", choices=list(RECIPES), default="detect", help="(default: detect)")
    networks = ", ".join(recipe.network for recipe in RECIPES.values())
    parser.add_argument("--model", help=f"Ultralytics' name of the network (default: {networks}, by task)")
    parser.add_argument("--start", type=Path, help="checkpoint to begin with, of any task (default: none)")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(arguments.out, arguments.task, arguments.model, arguments.start)
    trainer.run()
    trainer.save()
    print(f"{trainer.path}: {trainer.step} steps in {trainer.seconds / 60:.0f} minutes")


if __name__ == "__main__":
    main()

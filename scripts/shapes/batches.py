"""Scenes as the batches that Ultralytics' losses take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from shapes.scenes import Scene
from shapes.series import SERIES
from shapes.textures import Image
from yolo_max.images.letterbox import Letterbox, letterbox

TRAINING_SEED = 0  # a series of scenes; 1 is for measuring, the bundled images are from 39
MASK_STRIDE = 4  # prototypes have a quarter of the canvas' side


@dataclass(frozen=True)
class Sample:
    """A letterboxed scene; places are shares of the canvas' side.

    Attributes:
        image: RGB uint8 [S, S, 3].
        classes: int64 [N].
        boxes: float32 [N, 4], x1 y1 x2 y2.
        mask: int32 [S / 4, S / 4], k + 1 where shape k is seen, 0 elsewhere.
        keypoints: float32 [N, K, 3], x, y and visibility.
        corners: float32 [N, 4, 2], of the rotated boxes.
    """

    image: Image
    classes: NDArray[np.int64]
    boxes: NDArray[np.float32]
    mask: NDArray[np.int32]
    keypoints: NDArray[np.float32]
    corners: NDArray[np.float32]


@dataclass(frozen=True)
class TrainingScenes:
    """A map-style data set: `count` scenes of a task's training series from `first` on, at one resolution."""

    task: str
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
        if self.task == "classify":  # whose images are cropped to a square
            size = (longer, longer)
        return sample(SERIES[self.task].draw(TRAINING_SEED, index, size), self.imgsz)


def sample(scene: Scene, imgsz: int) -> Sample:
    """Letterbox a scene and its labels."""
    image, geometry = letterbox(scene.image, (imgsz, imgsz))
    side = np.float32(imgsz)
    keypoints = scene.keypoints.copy()
    keypoints[..., :2] = _points_to_canvas(geometry, keypoints[..., :2]) / side
    keypoints[keypoints[..., 2] == 0] = 0
    return Sample(
        image,
        scene.classes,
        geometry.to_canvas(scene.boxes) / side,
        _mask(scene.owner, geometry),
        keypoints,
        _points_to_canvas(geometry, scene.corners) / side,
    )


def _points_to_canvas(geometry: Letterbox, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map points [..., 2] from image to canvas pixels."""
    pairs = points.reshape(-1, 2)
    return geometry.to_canvas(np.hstack([pairs, pairs]))[:, :2].reshape(points.shape)


def _mask(owner: NDArray[np.int32], geometry: Letterbox) -> NDArray[np.int32]:
    """The owner of every fourth pixel of the canvas."""
    canvas = np.zeros(geometry.canvas_size, np.int32)
    height, width = geometry.resized_size
    resized = cv2.resize(owner.astype(np.float32), (width, height), interpolation=cv2.INTER_NEAREST)
    canvas[geometry.pad_top : geometry.pad_top + height, geometry.pad_left : geometry.pad_left + width] = (
        resized
    )
    middle = MASK_STRIDE // 2
    return canvas[middle::MASK_STRIDE, middle::MASK_STRIDE]


def images_tensor(images: Sequence[Image]) -> torch.Tensor:
    """RGB uint8 [H, W, 3] images as float32 [B, 3, H, W] of 0..1, channels last in memory."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


def collate(task: str, samples: Sequence[Sample]) -> dict[str, torch.Tensor]:
    """Make the batch that the loss of a task takes."""
    batch: dict[str, Any] = {"img": images_tensor([one.image for one in samples])}
    classes = torch.from_numpy(np.concatenate([one.classes for one in samples]))
    if task == "classify":
        return {**batch, "cls": classes}
    numbers = np.repeat(np.arange(len(samples)), [len(one.classes) for one in samples])
    batch |= {"batch_idx": torch.from_numpy(numbers).float(), "cls": classes.float()[:, None]}
    if task == "obb":
        batch["bboxes"] = rotated(np.concatenate([one.corners for one in samples]))
        return batch
    boxes = torch.from_numpy(np.concatenate([one.boxes for one in samples]))
    top_left, bottom_right = boxes[:, :2], boxes[:, 2:]
    batch["bboxes"] = torch.cat([(top_left + bottom_right) / 2, bottom_right - top_left], 1)
    if task == "segment":
        masks = torch.from_numpy(np.stack([one.mask for one in samples]))
        batch |= {"masks": masks.float(), "sem_masks": semantic(masks, samples)}
    elif task == "pose":
        batch["keypoints"] = torch.from_numpy(np.concatenate([one.keypoints for one in samples]))
    return batch


def rotated(corners: NDArray[np.float32]) -> torch.Tensor:
    """Corners [N, 4, 2] as Ultralytics' centre x y, width, height, angle: float32 [N, 5]."""
    from ultralytics.utils.ops import xyxyxyxy2xywhr

    return torch.from_numpy(xyxyxyxy2xywhr(corners.reshape(-1, 8)).astype(np.float32))


def semantic(masks: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
    """The class of each pixel of `masks`, which YOLO26 also learns; 0 where there is none."""
    classes = [np.concatenate([[0], one.classes])[one.mask] for one in samples]
    return torch.from_numpy(np.stack(classes)).to(masks.dtype)

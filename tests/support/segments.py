"""Random raw outputs of a segmentation head, and what Ultralytics makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ultralytics.engine.results import Results
from ultralytics.nn.modules import Segment
from ultralytics.utils import ops
from ultralytics_nms import non_max_suppression

from yolo_max.tasks.contract import Outputs, Placement

NAMES = {i: f"class {i}" for i in range(5)}
STRIDES = (8, 16, 32)
NM = 32


def random_outputs(
    canvas: tuple[int, int], seed: int = 0, reg_max: int = 16, strides: Sequence[int] = STRIDES
) -> dict[str, NDArray[Any]]:
    """Clusters of confident cells among much background; mask logits are of the size of one."""
    random = np.random.default_rng(seed)
    cells = sum(canvas[0] // stride * (canvas[1] // stride) for stride in strides)
    head = random.normal(0, 2, (cells, 4 * reg_max + len(NAMES)))
    if reg_max == 1:
        head[:, :4] = random.uniform(0.5, 4, (cells, 4))
    # No two scores are equal, so that their order is no matter of rounding.
    logits = random.permutation(np.linspace(-12, 0, cells * len(NAMES))).reshape(cells, -1)
    logits[random.random(cells) < 0.2] += 4
    head[:, 4 * reg_max :] = logits
    coarse = torch.from_numpy(random.standard_normal((1, NM, 2 + canvas[0] // 32, 2 + canvas[1] // 32)))
    size = (2 * canvas[0] // strides[0], 2 * canvas[1] // strides[0])
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bicubic")[0].permute(1, 2, 0)
    return {
        "head": head.astype(np.float32),
        "coefficients": (random.standard_normal((cells, NM)) / 6).astype(np.float32),
        "prototypes": np.ascontiguousarray(smooth.numpy().astype(np.float32)),
    }


def by_ultralytics(
    outputs: Outputs,
    where: Placement,
    *,
    reg_max: int = 16,
    end2end: bool = False,
    retina_masks: bool = False,
    conf: float = 0.25,
    iou: float = 0.7,
    classes: list[int] | None = None,
    agnostic_nms: bool = False,
    max_det: int = 300,
    strides: Sequence[int] = STRIDES,
) -> Results:
    """The result of its predictor, whose steps these are."""
    module = Segment(len(NAMES), NM, 8, reg_max, end2end, (16,) * len(strides)).eval()
    module.end2end = end2end
    module.stride = torch.tensor(strides)
    module.max_det, module.agnostic_nms = max(max_det, 300), agnostic_nms
    canvas = where.canvas_size
    boxes, scores = torch.from_numpy(outputs["head"]).T[None].split((4 * reg_max, len(NAMES)), 1)
    raw = {
        "boxes": boxes,
        "scores": scores,
        "mask_coefficient": torch.from_numpy(outputs["coefficients"]).T[None],
        "feats": [torch.zeros(1, 16, canvas[0] // stride, canvas[1] // stride) for stride in strides],
    }
    with torch.inference_mode():
        decoded = module._inference(raw)
        if end2end:
            decoded = module.postprocess(decoded.permute(0, 2, 1))
        (found,) = non_max_suppression(
            decoded,
            conf,
            iou,
            classes,
            agnostic_nms,
            max_det=max_det,
            nc=len(NAMES),
            end2end=end2end,
            max_time_img=60,
        )
        prototypes = torch.from_numpy(outputs["prototypes"]).permute(2, 0, 1)
        size = where.image_size
        if retina_masks:
            ops.scale_boxes(canvas, found[:, :4], size)
            masks = ops.process_mask_native(prototypes, found[:, 6:], found[:, :4], size)
        else:
            masks = ops.process_mask(prototypes, found[:, 6:], found[:, :4], canvas, upsample=True)
            ops.scale_boxes(canvas, found[:, :4], size)
        keep = masks.amax((-2, -1)) > 0 if len(masks) else torch.zeros(0, dtype=torch.bool)
    image = np.zeros((*size, 3), np.uint8)
    if not keep.any():
        return Results(image, "", NAMES, boxes=found[keep, :6])
    return Results(image, "", NAMES, boxes=found[keep, :6], masks=masks[keep])

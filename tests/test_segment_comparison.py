"""The rubric on masks: what passes, what fails, and what rounding excuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from segments import NAMES, random_outputs

from yolo_max.images.letterbox import Letterbox
from yolo_max.tasks.segment.comparison import SegmentJudge
from yolo_max.tasks.segment.decoder import SegmentDecoder

CANVAS = (96, 128)
WHERE = Letterbox.fit((200, 210), CANVAS)
Changed = dict[str, NDArray[Any]]


@pytest.fixture(params=[False, True], ids=["canvas", "retina"])
def judge(request: pytest.FixtureRequest) -> SegmentJudge:
    return SegmentJudge(SegmentDecoder(NAMES, conf=0.1, retina_masks=request.param))


def compared(judge: SegmentJudge, ours: Changed, theirs: Changed) -> Any:
    decoder = judge.postprocess
    return judge.predictions(decoder(ours, WHERE), decoder(theirs, WHERE), theirs, WHERE)


@pytest.mark.parametrize("seed", range(3))
def test_rounding_passes(judge: SegmentJudge, seed: int) -> None:
    theirs = random_outputs(CANVAS, seed)
    random = np.random.default_rng(seed)
    ours = {
        name: each + (1e-6 * random.standard_normal(each.shape)).astype(np.float32)
        for name, each in theirs.items()
    }
    found = compared(judge, ours, theirs)
    assert found.verdict.holds, str(found.verdict)
    assert len(found.pairs[0]) > 20
    assert found.samples["one_minus_mask_iou"].shape == found.pairs[0].shape
    assert found.record["min_mask_iou"] > 0.9
    raw = judge.raw(ours, theirs, CANVAS)
    assert raw.verdict.holds
    assert [each.name for each in raw.tensors] == ["head", "coefficients", "prototypes"]
    assert set(raw.samples()) | set(found.samples) == {measure.key for measure in judge.measures}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("prototypes", lambda x: x[:, ::-1]),  # mirrored
        ("prototypes", lambda x: np.roll(x, 1, axis=1)),  # half a pixel too far, or more
        (
            "prototypes",
            lambda x: x.reshape(x.shape[2], *x.shape[:2]).transpose(1, 2, 0),
        ),  # NCHW taken for NHWC
        ("prototypes", lambda x: x[..., ::-1]),  # in another order
        ("coefficients", lambda x: np.roll(x, 1, axis=0)),  # of the next cell
        ("coefficients", lambda x: np.tanh(x)),  # activated, as of old
        ("coefficients", lambda x: -x),
    ],
)
def test_mistakes_fail(judge: SegmentJudge, name: str, change: Any) -> None:
    theirs = random_outputs(CANVAS, 1)
    theirs["coefficients"] *= 3
    ours = theirs | {name: np.ascontiguousarray(change(theirs[name]))}
    assert not compared(judge, ours, theirs).verdict.holds
    assert not judge.raw(ours, theirs, CANVAS).verdict.holds


def test_a_pixel_whose_logit_is_close_to_zero_is_excused_and_no_other(judge: SegmentJudge) -> None:
    theirs = random_outputs(CANVAS, 1)
    # Every mask has stripes where its logit is 1, and stripes where it is nearly 0.
    theirs["prototypes"][:] = np.where(np.arange(32) // 4 % 2, 1, 1e-3)[None, :, None] / 32
    theirs["coefficients"][:] = 1
    ours = {name: each.copy() for name, each in theirs.items()}
    ours["prototypes"][ours["prototypes"] < 1e-3] *= -1
    found = compared(judge, ours, theirs)
    assert found.record["min_mask_iou"] < 0.95
    assert found.verdict.holds, str(found.verdict)
    ours["prototypes"][:, 5] = -1
    found = compared(judge, ours, theirs)
    assert "of masks too far apart (IoU down to" in str(found.verdict)


def test_where_nothing_is_found_nothing_differs(judge: SegmentJudge) -> None:
    theirs = random_outputs(CANVAS, 0)
    theirs["head"][:, -len(NAMES) :] = -20  # no candidate at all
    found = compared(judge, theirs, theirs)
    assert found.verdict.holds, str(found.verdict)
    assert len(found.pairs[0]) == 0


def test_what_has_no_pixel_is_missed_by_nobody(judge: SegmentJudge) -> None:
    theirs = random_outputs(CANVAS, 1)
    theirs["coefficients"][::2] = 0  # logits of exactly 0: rounding decides
    found = compared(judge, theirs, theirs)
    assert found.verdict.holds, str(found.verdict)
    theirs["prototypes"][..., 0] = 1
    theirs["coefficients"][::2, 0] = -1  # surely none
    assert compared(judge, theirs, theirs).verdict.holds
    theirs["coefficients"][::2, 0] = 1  # surely some
    ours = theirs | {"coefficients": theirs["coefficients"].copy()}
    ours["coefficients"][::2, 0] = -1
    assert "MAX lacks" in str(compared(judge, ours, theirs).verdict)


def test_the_size_of_the_raw_outputs(judge: SegmentJudge) -> None:
    outputs = random_outputs(CANVAS)
    assert judge.output_size(CANVAS) == sum(each.size for each in outputs.values())

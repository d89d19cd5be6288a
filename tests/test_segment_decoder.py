"""Objects with masks, against Ultralytics' own post-processing of the same raw outputs."""

from __future__ import annotations

import json
import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from segments import NAMES, STRIDES, by_ultralytics, random_outputs
from ultralytics.utils.ops import process_mask

from yolo_max.images.letterbox import Letterbox
from yolo_max.support.errors import EngineError
from yolo_max.tasks.rle import boundaries_of, decode, encode, iou
from yolo_max.tasks.segment import segmentation
from yolo_max.tasks.segment.decoder import SegmentDecoder
from yolo_max.tasks.segment.masks import interpolate
from yolo_max.tasks.segment.reference import REFERENCE
from yolo_max.tasks.segment.segmentation import Segmentation

CANVAS = (96, 128)
IMAGE = Letterbox.fit((200, 210), CANVAS)


@pytest.fixture(scope="module")
def found() -> Segmentation:
    return SegmentDecoder(NAMES, conf=0.1)(random_outputs(CANVAS, 1), IMAGE)


@pytest.mark.parametrize("retina_masks", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conf": 0.01, "iou": 0.3},
        {"conf": 0.01, "agnostic_nms": True, "max_det": 20},
        {"conf": 0.01, "classes": [1, 3]},
        {"conf": 0.99},  # nothing
    ],
    ids=str,
)
@pytest.mark.parametrize(("nms", "reg_max"), [(True, 16), (True, 1), (False, 1)])
@pytest.mark.parametrize(
    "image_size",
    [(200, 210), (96, 128), (31, 64)],  # padding beside it, none, enlarged with padding above it
)
def test_objects_are_those_of_ultralytics(
    image_size: tuple[int, int],
    nms: bool,
    reg_max: int,
    options: dict[str, Any],
    retina_masks: bool,
    tmp_path: Path,
) -> None:
    where = Letterbox.fit(image_size, CANVAS)
    outputs = random_outputs(CANVAS, 3, reg_max)
    result = by_ultralytics(
        outputs, where, reg_max=reg_max, end2end=not nms, retina_masks=retina_masks, **options
    )
    decoder = SegmentDecoder(NAMES, STRIDES, reg_max, nms, retina_masks=retina_masks, **options)
    ours, theirs = decoder(outputs, where), REFERENCE.prediction(result, NAMES)
    assert isinstance(theirs, Segmentation)
    np.testing.assert_allclose(ours.xyxy, theirs.xyxy, rtol=0, atol=1e-3)
    np.testing.assert_allclose(ours.confidence, theirs.confidence, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(ours.class_id, theirs.class_id)
    assert ours.mask_size == theirs.mask_size
    if not len(theirs):
        assert ours.labels() == ""
        return
    assert ours.mask_size == (image_size if retina_masks else CANVAS)
    same = ours.rle == theirs.rle  # but where rounding moves a pixel's logit across 0
    assert np.count_nonzero(same) >= len(same) - 1
    for a, b in zip(ours.rle, theirs.rle, strict=True):
        assert iou(decode(a, ours.mask_size), decode(b, ours.mask_size)) > 0.99
    for i in np.flatnonzero(same):
        assert ours.polygons[i].dtype == result.masks.xy[i].dtype
        assert np.array_equal(ours.polygons[i], result.masks.xy[i])
    lines = Path(result.save_txt(tmp_path / "0.txt")).read_text().splitlines()
    with_confidence = Path(result.save_txt(tmp_path / "1.txt", save_conf=True)).read_text().split("\n")[:-1]
    assert len(ours.labels().splitlines()) == len(lines)
    if same.all():
        assert ours.labels().splitlines() == lines
        for line, expected in zip(ours.labels(confidence=True).splitlines(), with_confidence, strict=True):
            (row, score), (its_row, its_score) = line.rsplit(" ", 1), expected.rsplit(" ", 1)
            assert row == its_row
            assert float(score) == pytest.approx(float(its_score), abs=1e-5)


def test_some_rows_give_what_all_rows_give(found: Segmentation) -> None:
    outputs = random_outputs(CANVAS, 1)
    decoder = SegmentDecoder(NAMES, conf=0.1)
    (cells,) = np.nonzero((outputs["head"][:, 64:] > decoder.min_logit).any(axis=1))
    some = {"cells": cells, "head": outputs["head"][cells], "coefficients": outputs["coefficients"][cells]}
    assert decoder(outputs | some, IMAGE) == found
    assert len(found) > 20


def test_validation_keeps_empty_masks_and_adds_coarse_ones() -> None:
    outputs = random_outputs(CANVAS, 1)
    outputs["coefficients"][:] = 0  # no logit is above 0
    assert len(SegmentDecoder(NAMES, conf=0.1)(outputs, IMAGE)) == 0
    outputs = random_outputs(CANVAS, 1)
    outputs["coefficients"][::2] = 0
    decoder = SegmentDecoder(NAMES, conf=0.1, coarse_masks=True, retina_masks=True)
    found = decoder(outputs, IMAGE)
    assert found.coarse_size == (24, 32)
    assert found.mask_size == IMAGE.image_size
    empty = np.array([not len(decode(counts, found.mask_size)) for counts in found.rle])
    assert empty.any()
    assert not empty.all()
    assert Segmentation.from_dict(json.loads(json.dumps(found.to_dict())), NAMES) == found


@pytest.mark.parametrize("retina_masks", [False, True])
def test_records_restore_the_result(retina_masks: bool) -> None:
    found = SegmentDecoder(NAMES, conf=0.1, retina_masks=retina_masks)(random_outputs(CANVAS, 1), IMAGE)
    record = json.loads(json.dumps(found.to_dict()))
    restored = Segmentation.from_dict(record, NAMES)
    assert restored == found
    assert restored.to_dict() == record
    assert pickle.loads(pickle.dumps(found)) == found
    none = found[:0]
    assert none.mask_size == IMAGE.image_size
    assert (
        Segmentation.from_dict(none.to_dict(), NAMES) == none == Segmentation.empty(NAMES, IMAGE.image_size)
    )
    assert record["boxes"][0].keys() == {
        *("class_id", "class_name", "confidence", "xyxy"),
        *("segmentation", "polygon"),
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda box: box.pop("segmentation"),
        lambda box: box["segmentation"].update(counts="0"),
        lambda box: box["segmentation"].update(counts=None),
        lambda box: box["segmentation"].update(size=[1, 2]),
        lambda box: box["segmentation"].update(size=[10**6, 10**6]),
        lambda box: box["segmentation"].update(size=[-CANVAS[0], -CANVAS[1]]),
        lambda box: box.update(coarse_segmentation=box["segmentation"]),  # which the others lack
        lambda box: box.update(segmentation=[[1, 2, 3, 4]]),
    ],
)
def test_a_damaged_record_is_refused(found: Segmentation, damage: Any) -> None:
    record = json.loads(json.dumps(found.to_dict()))
    damage(record["boxes"][1])
    with pytest.raises(ValueError, match=r"record|counts|Masks"):
        Segmentation.from_dict(record, NAMES)


def test_masks_are_in_pixels_of_the_image(found: Segmentation) -> None:
    import torch
    from ultralytics.utils.ops import scale_masks

    whole = np.zeros((len(found), *CANVAS), np.float32)
    for i, counts in enumerate(found.rle):
        ends = decode(counts, CANVAS)
        flat = np.zeros(CANVAS[0] * CANVAS[1], np.float32)
        for start, end in ends.reshape(-1, 2):
            flat[start:end] = 1
        whole[i] = flat.reshape(CANVAS[::-1]).T
    expected = scale_masks(torch.from_numpy(whole)[None], found.image_size)[0] > 0.5  # as `plot` draws them
    assert found.masks.shape == (len(found), 200, 210)
    assert (found.masks != expected.numpy()).sum() <= 1e-5 * expected.numel()
    assert np.array_equal(found.mask(3), found.masks[3])
    assert np.array_equal(found.mask(-1), found.masks[-1])
    with pytest.raises(
        IndexError, match=f"there is no mask {len(found)}: the image has {len(found)} objects"
    ):
        found.mask(len(found))
    native = SegmentDecoder(NAMES, conf=0.1, retina_masks=True)(random_outputs(CANVAS, 1), IMAGE)
    for box, mask in zip(native, native.masks, strict=True):
        y, x = np.nonzero(mask)
        assert x.min() >= box.xyxy[0]
        assert x.max() < box.xyxy[2]
        assert y.min() >= box.xyxy[1]
        assert y.max() < box.xyxy[3]


def test_a_selection_takes_its_masks(found: Segmentation) -> None:
    chosen = found[found.class_id == 2]
    assert 0 < len(chosen) < len(found)
    assert list(chosen.rle) == [counts for counts, c in zip(found.rle, found.class_id, strict=True) if c == 2]
    assert len(chosen.marks().masks) == len(chosen.marks().boxes) == len(chosen)


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        ("prototypes", lambda x: x[:-1], ValueError),  # of another canvas
        ("prototypes", lambda x: x.astype(np.float64), ValueError),
        ("coefficients", lambda x: x[:, 1:], ValueError),  # one prototype fewer
        ("coefficients", lambda x: x[1:], ValueError),  # one row fewer
        ("coefficients", lambda x: x * np.float32(np.nan), EngineError),
        ("prototypes", lambda x: x * np.float32(np.inf), EngineError),
    ],
)
def test_outputs_that_make_no_masks(name: str, change: Any, error: type[Exception]) -> None:
    outputs = random_outputs(CANVAS, 1)
    with pytest.raises(error, match=r"float32|not finite"):
        SegmentDecoder(NAMES)(outputs | {name: change(outputs[name])}, IMAGE)


def test_a_result_keeps_run_lengths_alone(found: Segmentation) -> None:
    """`yolo-max val` has thousands of results at once, and their processes send them as they are."""
    fresh = found[: len(found)]
    assert vars(fresh).keys() == {each.name for each in fields(Segmentation)}
    fresh.mask(0), fresh.labels(), fresh.marks()
    assert vars(fresh).keys() - {each.name for each in fields(Segmentation)} == {"polygons"}


def test_a_mask_costs_its_own_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the image's; and each strip interpolates the rows that it lies between, not all."""
    size = (3000, 4000)
    mask = np.zeros((96, 128), bool)
    mask[30:60, 40:50] = True
    counts = np.empty(1, object)
    counts[0] = encode(boundaries_of([mask], 0, 0, mask.shape), mask.shape)
    one = Segmentation(
        xyxy=np.zeros((1, 4), np.float32),
        confidence=np.ones(1, np.float32),
        class_id=np.zeros(1, np.int32),
        names=NAMES,
        image_size=size,
        rle=counts,
        mask_size=mask.shape,
        coarse_rle=np.full(1, "", object),
    )
    read = written = 0

    def counting(values: Any, rows: Any, columns: Any) -> Any:
        nonlocal read, written
        read, written = read + values.size, written + len(rows.low) * len(columns.low)
        return interpolate(values, rows, columns)

    monkeypatch.setattr(segmentation, "interpolate", counting)
    monkeypatch.setattr(segmentation, "STRIP", 2**14)  # many strips
    drawn = one.mask(0)
    assert drawn.sum() == pytest.approx(mask.sum() * (size[0] / mask.shape[0]) ** 2, rel=0.01)
    assert written < 1.2 * drawn.sum()
    assert read < 0.05 * written


@pytest.mark.parametrize("retina_masks", [False, True])
@pytest.mark.parametrize("strides", [(4, 8, 16, 32), (16, 32)])  # with a level P2, or without P3
@pytest.mark.parametrize("image_size", [(200, 210), (96, 128)])
def test_prototypes_are_as_fine_as_the_first_level_makes_them(
    image_size: tuple[int, int], strides: tuple[int, ...], retina_masks: bool
) -> None:
    where = Letterbox.fit(image_size, CANVAS)
    outputs = random_outputs(CANVAS, 3, strides=strides)
    result = by_ultralytics(outputs, where, retina_masks=retina_masks, strides=strides)
    theirs = REFERENCE.prediction(result, NAMES)
    assert isinstance(theirs, Segmentation)
    decoder = SegmentDecoder(NAMES, strides, retina_masks=retina_masks)
    ours = decoder(outputs, where)
    assert len(ours) == len(theirs) > 1
    np.testing.assert_allclose(ours.xyxy, theirs.xyxy, rtol=0, atol=1e-3)
    assert ours.mask_size == theirs.mask_size == (image_size if retina_masks else CANVAS)
    assert np.count_nonzero(ours.rle == theirs.rle) >= len(ours) - 1
    for a, b in zip(ours.rle, theirs.rle, strict=True):
        assert iou(decode(a, ours.mask_size), decode(b, ours.mask_size)) > 0.99
    # Those by which `yolo val` measures, where nothing is interpolated.
    small = replace(decoder, retina_masks=False, coarse_masks=True)
    kept = small.kept(outputs, where)
    weights, boxes = (torch.from_numpy(each) for each in (outputs["coefficients"][kept.row], kept.boxes))
    maps = torch.from_numpy(outputs["prototypes"]).permute(2, 0, 1)
    masks = process_mask(maps, weights, boxes, CANVAS).bool().numpy()
    for ours_small, mask in zip(small(outputs, where).coarse_rle, masks, strict=True):
        theirs_small = boundaries_of([mask], 0, 0, mask.shape)
        assert iou(decode(ours_small, mask.shape), theirs_small) > 0.99

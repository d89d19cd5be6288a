"""The scripts that train networks on drawn scenes and measure them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import make_demo_images
import measure_demo
import numpy as np
import pytest
import torch
import train_demo
from shapes import batches
from shapes.batches import TrainingScenes, collate
from shapes.series import SERIES
from train_demo import RECIPES, Phase, Recipe

from yolo_max.weights.checkpoint.read import read_checkpoint
from yolo_max.weights.load import load_weights

TASKS = tuple(SERIES)

pytestmark = pytest.mark.usefixtures("one_thread")


def test_training_and_measuring_see_different_scenes() -> None:
    seeds = {batches.TRAINING_SEED, measure_demo.VALIDATION_SEED, make_demo_images.BUNDLED_SEED}
    assert len(seeds) == 3


# --- Batches ----------------------------------------------------------------------------------------------


def samples_of(task: str, imgsz: int = 96) -> list[batches.Sample]:
    scenes = TrainingScenes(task, first=40, count=6, imgsz=imgsz)
    return [scenes[item] for item in range(len(scenes))]


@pytest.mark.parametrize("task", TASKS)
def test_a_batch_has_the_pixels_and_the_classes(task: str) -> None:
    samples = samples_of(task)
    batch = collate(task, samples)
    assert batch["img"].shape == (6, 3, 96, 96)
    assert batch["img"].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal((batch["img"][4] * 255).round().permute(1, 2, 0).numpy(), samples[4].image)
    classes = np.concatenate([one.classes for one in samples])
    assert batch["cls"].flatten().tolist() == classes.tolist()


@pytest.mark.parametrize("task", ["detect", "segment", "pose"])
def test_a_batch_has_boxes_as_centre_and_size(task: str) -> None:
    samples = samples_of(task)
    batch = collate(task, samples)
    for number, one in enumerate(samples):
        mine = batch["batch_idx"] == number
        centres, sides = batch["bboxes"][mine].split(2, dim=1)
        corners = torch.cat([centres - sides / 2, centres + sides / 2], 1).numpy()
        np.testing.assert_allclose(corners, one.boxes, atol=1e-6)
        assert batch["cls"][mine, 0].tolist() == one.classes.tolist()
        assert corners.min(initial=0) >= -1e-6
        assert corners.max(initial=0) <= 1 + 1e-6


def test_a_batch_has_masks_that_lie_in_their_boxes() -> None:
    samples = samples_of("segment", 160)
    batch = collate("segment", samples)
    assert batch["masks"].shape == batch["sem_masks"].shape == (6, 40, 40)
    found = 0
    for mask, semantic, one in zip(batch["masks"], batch["sem_masks"], samples, strict=True):
        assert mask.max() <= len(one.classes)
        for number, (box, class_id) in enumerate(zip(one.boxes * 40, one.classes, strict=True), start=1):
            rows, columns = torch.nonzero(mask == number, as_tuple=True)
            if not len(rows):
                continue  # thinner than four pixels
            found += 1
            assert box[0] - 1 < columns.min() <= columns.max() < box[2] + 1
            assert box[1] - 1 < rows.min() <= rows.max() < box[3] + 1
            assert (semantic[rows, columns] == class_id).all()
    assert found > 15


def test_a_batch_has_keypoints_and_rotated_boxes_that_ultralytics_reads_back() -> None:
    from ultralytics.utils.ops import xywhr2xyxyxyxy

    samples = samples_of("pose")
    keypoints = collate("pose", samples)["keypoints"].numpy()
    np.testing.assert_array_equal(keypoints, np.concatenate([one.keypoints for one in samples]))
    seen = keypoints[keypoints[..., 2] > 0]
    assert 0 <= seen[:, :2].min() <= seen[:, :2].max() <= 1

    samples = samples_of("obb")
    boxes = collate("obb", samples)["bboxes"]
    assert boxes.shape[1] == 5
    corners = np.concatenate([one.corners for one in samples])
    for expected, found in zip(corners, xywhr2xyxyxyxy(boxes).numpy(), strict=True):
        distances = np.linalg.norm(expected[:, None] - found[None], axis=2)  # it may begin at another corner
        assert distances.min(axis=1).max() < 1e-4


def test_what_is_outside_the_image_stays_at_its_corner() -> None:
    """A keypoint that is not there has no place, whatever letterboxing does to places."""
    scenes = [SERIES["pose"].draw(15, index, (100, 200)) for index in range(20)]
    points = np.concatenate([batches.sample(scene, 128).keypoints for scene in scenes])
    assert (points[..., 2] == 0).any()
    assert (points[points[..., 2] == 0] == 0).all()


# --- Training ---------------------------------------------------------------------------------------------


def test_the_learning_rate_rises_then_falls() -> None:
    steps = RECIPES["detect"].steps
    rates = [train_demo.learning_rate(step, steps) for step in range(steps)]
    peak = int(np.argmax(rates))
    assert rates[peak] == train_demo.LEARNING_RATE
    assert peak in (train_demo.WARMUP_STEPS - 1, train_demo.WARMUP_STEPS)
    assert np.all(np.diff(rates[:peak]) > 0)
    assert np.all(np.diff(rates[peak + 1 :]) < 0)
    assert rates[-1] == pytest.approx(train_demo.LEARNING_RATE * train_demo.FINAL_SHARE, rel=0.01)


def drawn_here(
    scenes: TrainingScenes, batch: int, *, collate_fn: Callable[..., Any], **_: object
) -> Iterator[Any]:
    """A DataLoader without its processes, which take seconds to start."""
    for first in range(0, len(scenes), batch):
        yield collate_fn([scenes[item] for item in range(first, first + batch)])


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps at 64 pixels, one at 96."""
    phases = (Phase(64, 2, 2), Phase(96, 2, 1))
    recipes = {task: Recipe(recipe.network, recipe.model, phases) for task, recipe in RECIPES.items()}
    monkeypatch.setattr(train_demo, "RECIPES", recipes)
    monkeypatch.setattr(torch.utils.data, "DataLoader", drawn_here)


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(("task", "name"), [("detect", None), ("detect", "yolo26n")])
def test_training_goes_on_where_it_stopped(task: str, name: str | None, tmp_path: Path) -> None:
    whole = train_demo.Trainer(tmp_path, task, name)
    whole.model.train()
    for first_scene, imgsz in ((0, 64), (2, 64), (4, 96)):
        scenes = TrainingScenes(task, first_scene, 2, imgsz)
        whole.train_on(collate(task, [scenes[0], scenes[1]]))
        if whole.step == 1:
            whole.save()

    resumed = train_demo.Trainer(tmp_path, task, name)
    assert resumed.step == 1
    resumed.run()
    assert resumed.step == whole.step == 3
    assert train_demo.Trainer(tmp_path, task, name).step == 3
    ours, theirs = resumed.average.ema.state_dict(), whole.average.ema.state_dict()
    for key, tensor in theirs.items():
        torch.testing.assert_close(
            ours[key], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, n=key: f"{n}: {text}"
        )


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("task", TASKS)
def test_a_step_changes_the_weights_and_the_checkpoint_is_ultralytics_own(task: str, tmp_path: Path) -> None:
    from ultralytics.nn.tasks import torch_safe_load

    trainer = train_demo.Trainer(tmp_path, task)
    before = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    scenes = TrainingScenes(task, 0, 2, 64)
    trainer.model.train()
    losses = trainer.train_on(collate(task, [scenes[0], scenes[1]]))
    assert all(np.isfinite(loss) for loss in losses.values())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in trainer.model.state_dict().items())
    trainer.save()
    checkpoint, _ = torch_safe_load(trainer.path, safe_only=True)
    model = checkpoint["model"]
    assert (model.task, model.args["task"], model.args["imgsz"]) == (task, task, 96)
    assert model.names == dict(enumerate(SERIES[task].names))
    assert model.yaml["nc"] == len(SERIES[task].names)
    assert next(model.parameters()).dtype == torch.float16


@pytest.mark.usefixtures("short")
def test_training_may_begin_with_another_task(tmp_path: Path) -> None:
    first = train_demo.Trainer(tmp_path, "detect", "yolo11n")
    first.save()
    second = train_demo.Trainer(tmp_path, "obb", start=first.path)
    ours, theirs = second.model.state_dict(), first.model.state_dict()
    same = [name for name in ours if name in theirs and torch.equal(ours[name], theirs[name].half().float())]
    assert "model.0.conv.weight" in same
    assert any(name.startswith("model.23.cv2") for name in same)  # boxes are the same in both heads
    assert not any(name.startswith("model.23.cv4") for name in same)  # angles are not


def test_the_checkpoint_can_be_converted(tmp_path: Path) -> None:
    trainer = train_demo.Trainer(tmp_path, "detect")
    trainer.save()
    meta, tensors = read_checkpoint(trainer.path.read_bytes(), trainer.path.name)
    names = dict(enumerate(SERIES["detect"].names))
    assert meta.names == names
    assert meta.imgsz == RECIPES["detect"].phases[-1].imgsz
    assert tensors["model.22.cv3.0.2.bias"].shape == (len(names),)


# --- Measuring --------------------------------------------------------------------------------------------


def test_the_bundled_detector_is_measured(demo_weights: Path) -> None:
    module = measure_demo.module_of(load_weights(demo_weights))
    accuracy = measure_demo.measure(module, "detect", 320, scenes=12)
    assert accuracy.columns == ("box AP50-95", "box AP50")
    assert list(accuracy.rows) == ["all", *SERIES["detect"].names]
    _, ap50 = accuracy.rows["all"]
    assert ap50 > 0.8
    mean = np.mean([row for name, row in accuracy.rows.items() if name != "all"], axis=0)
    np.testing.assert_allclose(accuracy.rows["all"], mean)
    assert accuracy.line().startswith(
        f"detect: box AP50-95 {accuracy.rows['all'][0]:.4f}  box AP50 {ap50:.4f}"
    )
    assert accuracy.table().count("\n") == 8


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_what_is_measured_is_ultralytics_own(task: str, tmp_path: Path) -> None:
    """Its head decodes: rotated boxes have angles in radians, say, and not what the branch gives."""
    model = train_demo.new_model(task, RECIPES[task].network)
    train_demo.save_checkpoint(model, task, tmp_path / "net.pt")
    pixels = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        found = measure_demo.module_of(load_weights(tmp_path / "net.pt"))(pixels)
        expected = model.half().float().eval().fuse(verbose=False)(pixels)
    tensors = [each[0] if task == "segment" else each for each in (found[0], expected[0])]
    torch.testing.assert_close(*tensors)


@pytest.mark.parametrize(
    ("task", "columns"),
    [
        ("segment", ("box AP50-95", "box AP50", "mask AP50-95", "mask AP50")),
        ("pose", ("box AP50-95", "box AP50", "keypoints AP50-95", "keypoints AP50")),
        ("obb", ("rotated box AP50-95", "rotated box AP50")),
        ("classify", ("top-1",)),
    ],
)
def test_an_untrained_network_knows_nothing(task: str, columns: tuple[str, ...]) -> None:
    model = train_demo.new_model(task, RECIPES[task].network)
    accuracy = measure_demo.measure(model, task, 64, scenes=6)
    assert accuracy.columns == columns
    assert max(accuracy.rows["all"]) < 0.7


def test_of_classes_the_first_counts() -> None:
    shown = [SERIES["classify"].draw(measure_demo.VALIDATION_SEED, index, (64, 64)) for index in range(6)]
    classes = [int(scene.classes[0]) for scene in shown]
    answers = iter([*classes[:4], *((class_id + 1) % 6 for class_id in classes[4:])])

    def answer(images: torch.Tensor) -> torch.Tensor:
        assert images.shape == (1, 3, 32, 32)
        return torch.nn.functional.one_hot(torch.tensor([next(answers)]), 6).float()

    accuracy = measure_demo.measure(mock.Mock(side_effect=answer), "classify", 32, scenes=6)
    np.testing.assert_allclose(accuracy.rows["all"], [4 / 6])

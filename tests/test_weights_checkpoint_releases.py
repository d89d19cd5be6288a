"""The forms in which releases of Ultralytics and PyTorch have saved networks: each is read as the same one.

The oracle is the module itself, which PyTorch runs without anything of a file in between.
"""

from __future__ import annotations

import copy
import io
import sys
import tempfile
import zipfile
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType, SimpleNamespace
from typing import Any

import checkpoints
import numpy as np
import pytest
import torch

from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.support.errors import WeightsError
from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.weights.load import Weights, load_weights, save_weights

PIXELS = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)


HEADS: dict[str, list[Any]] = {
    "segment": ["Segment", ["nc", 32, 256]],
    "pose": ["Pose", ["nc", "kpt_shape"]],
    "obb": ["OBB", ["nc", 1]],
}
CLASSIFIER = {
    "nc": 3,
    "backbone": [[-1, 1, "Conv", [8, 3, 2]], [-1, 1, "C2f", [16, True]], [-1, 1, "Conv", [32, 3, 2]]],
    "head": [[-1, 1, "Classify", ["nc"]]],
}


def new_model(task: str) -> Any:
    """A small network of a task, its weights random."""
    import_ultralytics()
    from ultralytics.nn import tasks

    kinds = {
        "detect": tasks.DetectionModel,
        "classify": tasks.ClassificationModel,
        "segment": tasks.SegmentationModel,
        "pose": tasks.PoseModel,
        "obb": tasks.OBBModel,
    }
    table: dict[str, Any] = CLASSIFIER if task == "classify" else checkpoints.table()
    if task == "detect":
        table = checkpoints.tiny_table()
    if task == "pose":
        table["kpt_shape"] = [5, 3]
    if task in HEADS:
        table["head"][-1][2:] = HEADS[task]
    model = checkpoints.randomised(kinds[task], table, 0, task, 64)
    model.task = task
    return model


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {task: new_model(task) for task in ("detect", "classify", *HEADS)}


@pytest.fixture(scope="module")
def model(models: dict[str, Any]) -> Any:
    return models["detect"]


def outputs_of(module: Any) -> dict[str, Any]:
    """The raw outputs of a module, fused by Ultralytics, in float32."""
    module = copy.deepcopy(module).float().eval().fuse(verbose=False)
    angles: list[Any] = []
    for branch in getattr(module.model[-1], "cv4", []):  # whose output OBB turns into radians
        branch.register_forward_hook(lambda _module, _input, output: angles.append(output.flatten(2)))
    with torch.inference_mode():
        raw = module(torch.from_numpy(PIXELS).permute(0, 3, 1, 2).contiguous().float() / 255)[1]
    if isinstance(raw, torch.Tensor):
        return {"logits": raw.numpy()}
    if "angle" in raw:
        raw["angle"] = torch.cat(angles, 2)
    outputs = {"head": torch.cat([raw["boxes"], raw["scores"]], 1).transpose(1, 2).numpy()}
    for name, key in (("coefficients", "mask_coefficient"), ("keypoints", "kpts"), ("angle", "angle")):
        if key in raw:
            outputs[name] = raw[key].transpose(1, 2).numpy()
    if "proto" in raw:
        outputs["prototypes"] = raw["proto"].permute(0, 2, 3, 1).numpy()
    return outputs


def head_of(module: Any) -> Any:
    """The raw head that a module for detection gives."""
    return outputs_of(module)["head"]


def load(data: bytes, folder: Path, name: str = "net.pt") -> Weights:
    (folder / name).write_bytes(data)
    return load_weights(folder / name)


def renamed(data: bytes, names: Mapping[bytes, bytes]) -> bytes:
    """The checkpoint with other text in its pickle, as another release has written it."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        members = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    pickle = members.pop("data.pkl")
    for before, after in names.items():
        assert before in pickle
        pickle = pickle.replace(before, after)
    return checkpoints.archive(pickle, members)


def with_criterion(model: Any) -> Any:
    """The model with the loss that training leaves in it."""
    from ultralytics.cfg import get_cfg

    model = copy.deepcopy(model)
    model.args = get_cfg(overrides=model.args)
    model.criterion = model.init_criterion()
    return model


def unstripped(model: Any) -> dict[str, Any]:
    """What an interrupted training leaves as last.pt."""
    trained = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(trained.parameters())
    for parameter in trained.parameters():
        parameter.requires_grad_(True).grad = torch.zeros_like(parameter)
    optimizer.step()
    return {
        "epoch": 3,
        "best_fitness": np.float64(0.25),
        "model": None,
        "ema": with_criterion(model).half(),
        "updates": 7,
        "optimizer": optimizer.state_dict(),
        "train_args": SimpleNamespace(imgsz=64, project=Path("runs"), device=torch.device("cpu")),
        "train_metrics": {"metrics/mAP50(B)": np.float32(0.5)},
        "train_results": {"epoch": [1, 2, 3], "time": [0.5, 1.0, 1.5]},
        "git": {"root": PurePosixPath("/home/someone"), "branch": None},
        "date": datetime(2024, 5, 6),
    }


def saved(content: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


RENAMED = {
    # what today's releases write: what 8.0.0 wrote
    b"ultralytics.utils.loss\nv8DetectionLoss": b"ultralytics.yolo.v8.detect.train\nLoss",
    b"ultralytics.utils.loss\nv8SegmentationLoss": b"ultralytics.yolo.v8.segment.train\nSegLoss",
    b"ultralytics.utils.loss\nv8PoseLoss": b"ultralytics.yolo.v8.pose.train\nPoseLoss",
    b"utils.loss\nv8ClassificationLoss": b"yolo.v8.classify.train\nClassificationLoss",
    b"cultralytics.utils": b"cultralytics.yolo.utils",
    b"ultralytics.nn.modules.conv\n": b"ultralytics.nn.modules\n",
    b"ultralytics.nn.modules.block\n": b"ultralytics.nn.modules\n",
    b"ultralytics.nn.modules.head\n": b"ultralytics.nn.modules\n",
}


def as_8_0(model: Any) -> bytes:
    """As 8.0 saved it after validation: names in a list, no task, a head that keeps what it last saw."""
    old = with_names_in_a_list(with_criterion(model))
    vars(old).pop("task", None)
    old.args = {"imgsz": 64, "mask_ratio": 4, "v5loader": False}
    keep_what_was_seen(old.model[-1])
    data = checkpoints.checkpoint(old, train_args={"imgsz": 64, "v5loader": False})
    for today, then in RENAMED.items():
        if today in data:
            data = renamed(data, {today: then})
    return data


def as_8_1(model: Any) -> bytes:
    """As 8.1 did: with the losses where they are today."""
    old = with_criterion(model)
    keep_what_was_seen(old.model[-1])
    return checkpoints.checkpoint(old)


def keep_what_was_seen(head: Any) -> None:
    """What inference left in a head of Detect's kind, and a function that other heads kept in 8.0 and 8.1."""
    from ultralytics.nn.modules import Detect

    if isinstance(head, Detect):
        head.inplace = True
        head.shape = torch.Size((1, 8, 8, 12))
        head.anchors, head.strides = torch.zeros(2, 126), torch.ones(1, 126)
        if type(head) is not Detect:
            head.detect = Detect.forward


def saved_by_yolo(model: Any) -> bytes:
    """What `YOLO.save` writes of a checkpoint that it has loaded."""
    from ultralytics import YOLO

    with tempfile.TemporaryDirectory() as folder:
        trained, again = Path(folder, "trained.pt"), Path(folder, "again.pt")
        trained.write_bytes(checkpoints.checkpoint(model, train_args={"imgsz": 64, "task": model.task}))
        YOLO(trained).save(again)
        return again.read_bytes()


def with_names_in_a_list(model: Any) -> Any:
    return with_(model, names=list(model.names.values()))


EVERY_TASK: dict[str, Callable[[Any], bytes]] = {
    "final, today": lambda m: checkpoints.checkpoint(m),
    "final, 8.0": as_8_0,
    "final, 8.1": as_8_1,
    "unstripped": lambda m: saved(unstripped(m)),
    "half, by YOLO.save": saved_by_yolo,
    "the average beside the model": lambda m: saved({"model": new_model(m.task), "ema": m}),
    "names in a list": lambda m: saved({"model": with_names_in_a_list(m)}),
    "a whole model": lambda m: saved(m),
}
FORMS: dict[str, Callable[[Any], bytes]] = {
    "final, 8.1 to 8.2": lambda m: checkpoints.checkpoint(with_criterion(m)),
    "final, 8.0.11x": lambda m: renamed(
        checkpoints.checkpoint(with_criterion(m)),
        {b"cultralytics.utils": b"cultralytics.yolo.utils"},
    ),
    "final, before 8.0.11x": lambda m: renamed(
        checkpoints.checkpoint(with_criterion(m)),
        {b"ultralytics.utils.loss\nv8DetectionLoss": b"ultralytics.yolo.v8.detect.train\nLoss"},
    ),
    "blocks in one file, before 8.0.10x": lambda m: renamed(
        checkpoints.checkpoint(m),
        {
            b"ultralytics.nn.modules.conv\n": b"ultralytics.nn.modules\n",
            b"ultralytics.nn.modules.block\n": b"ultralytics.nn.modules\n",
            b"ultralytics.nn.modules.head\n": b"ultralytics.nn.modules\n",
        },
    ),
    "unstripped": lambda m: saved(unstripped(m)),
    "arguments of NumPy's": lambda m: saved(
        {"model": with_(m, args={"imgsz": np.int64(64), "lr0": np.float32(0.5), "name": np.str_("run")})}
    ),
    "arguments in a namespace": lambda m: saved({"model": with_(m, args=Namespace(imgsz=64))}),
    "a path of Windows": lambda m: saved(
        {"model": m, "train_args": {"project": PureWindowsPath("C:\\runs\\detect")}}
    ),
    "a table of NumPy's numbers": lambda m: saved({"model": with_(m, yaml=in_numpy(m.yaml))}),
    "dill": lambda m: renamed(
        checkpoints.checkpoint(with_criterion(m)),
        {b"c__builtin__\nset\n": b"cdill._dill\n_load_type\nX\3\0\0\0set\x85R"},
    ),
    "a whole model": lambda m: saved(m),
    "a whole model in YOLO": lambda m: saved(around(m, "model")),
    "a whole model in YOLO, before it was a module": lambda m: saved(SimpleNamespace(model=m, ckpt=None)),
    "for several GPUs": lambda m: saved({"model": around(m, "module")}),
    "before torch 1.6": lambda m: saved({"model": m}, _use_new_zipfile_serialization=False),
    "before torch 1.6, unstripped": lambda m: saved(unstripped(m), _use_new_zipfile_serialization=False),
    "before torch 1.6, a whole model": lambda m: saved(m, _use_new_zipfile_serialization=False),
    "pickle protocol 3": lambda m: saved(unstripped(m), pickle_protocol=3),
    "pickle protocol 4": lambda m: saved(unstripped(m), pickle_protocol=4),
    "pickle protocol 5": lambda m: saved(unstripped(m), pickle_protocol=5),
    "in double precision": lambda m: saved({"model": copy.deepcopy(m).double()}),
    "channels last": lambda m: saved({"model": copy.deepcopy(m).to(memory_format=torch.channels_last)}),
}


def with_(model: Any, **attributes: Any) -> Any:
    changed = copy.deepcopy(model)
    vars(changed).update(attributes)
    return changed


def around(model: Any, name: str) -> Any:
    wrapper = torch.nn.Module()
    setattr(wrapper, name, model)
    return wrapper


def in_numpy(value: Any) -> Any:
    """The same table with NumPy's scalars for numbers and texts."""
    if isinstance(value, dict):
        return {key: in_numpy(v) for key, v in value.items()}
    if isinstance(value, list):
        return [in_numpy(v) for v in value]
    return np.array(value)[()] if isinstance(value, int | float | str) else value


@pytest.mark.parametrize("form", EVERY_TASK)
@pytest.mark.parametrize("task", ["detect", "classify", *HEADS])
def test_every_task_in_every_release(task: str, form: str, models: dict[str, Any], tmp_path: Path) -> None:
    model = models[task]
    weights = load(EVERY_TASK[form](model), tmp_path)
    assert weights.meta.task == task
    assert weights.meta.names == {0: "thing 0", 1: "thing 1", 2: "thing 2"}
    assert weights.meta.imgsz == 64
    in_half = form.startswith(("final", "half", "unstripped"))
    expected = outputs_of(copy.deepcopy(model).half() if in_half else model)
    outputs = TorchEngine(weights)(PIXELS)
    assert outputs.keys() == expected.keys()
    for name, output in outputs.items():
        np.testing.assert_array_equal(output, expected[name])  # bit for bit


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_the_same_network(form: str, model: Any, tmp_path: Path) -> None:
    data = FORMS[form](model)
    in_half = (
        form.startswith("final") or "unstripped" in form or form.split()[0] in ("blocks", "dill", "pickle")
    )
    expected = head_of(copy.deepcopy(model).half() if in_half else model)
    weights = load(data, tmp_path)
    assert weights.meta.names == {0: "thing 0", 1: "thing 1", 2: "thing 2"}
    np.testing.assert_array_equal(TorchEngine(weights)(PIXELS)["head"], expected)  # bit for bit
    plain = load(checkpoints.checkpoint(model) if in_half else saved({"model": model}), tmp_path, "plain.pt")
    for name, tensor in plain.tensors.items():
        np.testing.assert_array_equal(weights.tensors[name], tensor)


def test_a_network_that_was_fused_before_it_was_saved(model: Any, tmp_path: Path) -> None:
    """Its modules keep a bound method in place of their forward, which pickle looks up by getattr."""
    fused = copy.deepcopy(model).fuse(verbose=False)
    weights = load(saved({"model": fused}), tmp_path)
    np.testing.assert_array_equal(TorchEngine(weights)(PIXELS)["head"], head_of(fused))


def test_a_network_that_is_fused_in_part(model: Any, tmp_path: Path) -> None:
    fused = copy.deepcopy(model).fuse(verbose=False)
    mixed = copy.deepcopy(model)
    mixed.model[3] = fused.model[3]
    weights = load(saved({"model": mixed}), tmp_path)
    np.testing.assert_array_equal(TorchEngine(weights)(PIXELS)["head"], head_of(mixed))


def test_every_norm_keeps_its_own_eps(model: Any, tmp_path: Path) -> None:
    changed = copy.deepcopy(model)
    for i, norm in enumerate(m for m in changed.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        norm.eps = 1e-3 * (1 + i)
    weights = load(saved({"model": changed}), tmp_path)
    np.testing.assert_array_equal(TorchEngine(weights)(PIXELS)["head"], head_of(changed))
    assert np.abs(head_of(changed) - head_of(model)).max() > 0.1  # it would show


@pytest.mark.parametrize("name", ["net.pth", "NET.PT", "net", "net.ckpt", "net.safetensors"])
def test_the_content_decides_and_not_the_name(name: str, model: Any, tmp_path: Path) -> None:
    weights = load(saved({"model": model}), tmp_path, name)
    engine = TorchEngine(weights)
    assert engine.source == "checkpoint"
    np.testing.assert_array_equal(engine(PIXELS)["head"], head_of(model))


def saved_with_transforms(
    model: Any, mean: Sequence[float] = (0, 0, 0), std: Sequence[float] = (1, 1, 1), size: int | None = 224
) -> bytes:
    """A classifier as training leaves it: with the transform of its images, which is torchvision's."""
    names = [f"torchvision{end}" for end in ("", ".transforms", ".transforms.functional")]
    names.append("torchvision.transforms.transforms")
    *_, functional, transforms = modules = [ModuleType(name) for name in names]
    with pytest.MonkeyPatch.context() as patch:
        for module in modules:
            patch.setitem(sys.modules, module.__name__, module)
        make: Any = Enum
        mode = make("InterpolationMode", {"BILINEAR": "bilinear"}, module=functional.__name__)
        vars(functional)["InterpolationMode"] = mode
        for name, base in (("Compose", object), ("Resize", torch.nn.Module), ("Normalize", torch.nn.Module)):
            vars(transforms)[name] = type(name, (base,), {"__module__": transforms.__name__})
        compose, resize, normalize = (kind() for kind in list(vars(transforms).values())[-3:])
        vars(resize).update({} if size is None else {"size": size}, interpolation=mode.BILINEAR)
        vars(normalize).update(mean=torch.tensor(mean).float(), std=torch.tensor(std).float())
        compose.transforms = [resize, normalize]
        return saved({"ema": with_(model, transforms=compose)})


def test_a_classifier_with_the_transform_that_training_leaves(tmp_path: Path) -> None:
    import_ultralytics()
    from ultralytics.nn.tasks import yaml_model_load

    classifier = checkpoints.classification_model({**yaml_model_load("yolov8n-cls.yaml"), "nc": 7})
    weights = load(saved_with_transforms(with_criterion(classifier)), tmp_path)
    assert (weights.meta.task, weights.meta.nc) == ("classify", 7)
    with torch.inference_mode():
        pixels = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).contiguous().float() / 255
        _, logits = copy.deepcopy(classifier).float().eval().fuse(verbose=False)(pixels)
    np.testing.assert_array_equal(TorchEngine(weights)(PIXELS)["logits"], logits.numpy())


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize(("mean", "std"), [IMAGENET, ((0.5, 0.5, 0.5), (1, 1, 1)), ((0, 0, 0), (0.2, 1, 1))])
def test_a_classifier_whose_transform_normalises(
    mean: Sequence[float], std: Sequence[float], tmp_path: Path
) -> None:
    classifier = checkpoints.classification_model(CLASSIFIER)
    weights = load(saved_with_transforms(classifier, mean, std), tmp_path)
    saved = [tuple(torch.tensor(each).tolist()) for each in (mean, std)]
    assert weights.meta.network.normalization == tuple(saved)
    with torch.inference_mode():
        shift, scale = (torch.tensor(each).view(3, 1, 1) for each in saved)
        pixels = (torch.from_numpy(PIXELS).permute(0, 3, 1, 2).contiguous().float() / 255 - shift) / scale
        _, logits = classifier.float().eval().fuse(verbose=False)(pixels)
    np.testing.assert_array_equal(TorchEngine(weights)(PIXELS)["logits"], logits.numpy())
    save_weights(weights, tmp_path / "net.safetensors")
    again = load_weights(tmp_path / "net.safetensors")
    assert again.meta.network == weights.meta.network
    # The filters lie otherwise in memory, so that PyTorch may sum in another order.
    logits = logits.numpy()
    np.testing.assert_allclose(TorchEngine(again)(PIXELS)["logits"], logits, atol=3e-6 * np.abs(logits).max())


@pytest.mark.parametrize(
    ("mean", "std", "size", "message"),
    [
        (*IMAGENET, 256, "is for images of 224 pixels and resizes them to 256"),  # torchvision's own habit
        (*IMAGENET, None, "begin with 'Resize', which has no size and is not supported"),  # another crop
        ((0.5,), (0.5,), 224, "not by the mean and deviation of R, G, B"),  # of grey images
        ((0.5, 0.5, 0.5), (1, 0, 1), 224, "not by the mean and deviation of R, G, B"),  # divides by zero
        ((float("nan"), 0, 0), (1, 1, 1), 224, "not by the mean and deviation of R, G, B"),
    ],
)
def test_a_transform_that_cannot_be_applied(
    mean: Sequence[float], std: Sequence[float], size: int | None, message: str, tmp_path: Path
) -> None:
    classifier = checkpoints.classification_model(CLASSIFIER)
    with pytest.raises(WeightsError, match=message):
        load(saved_with_transforms(classifier, mean, std, size), tmp_path)

"""Checkpoints for the tests: small YOLOv8 networks with random weights, saved as training saves them."""

from __future__ import annotations

import copy
import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from yolo_max.model.architecture import expected_tensors, parse_architecture
from yolo_max.model.specs import SPECS, HeadSpec
from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.weights import container
from yolo_max.weights.checkpoint.read import read_checkpoint
from yolo_max.weights.load import Weights
from yolo_max.weights.meta import ModelMeta

ONLY_IN_TRAINING = ("semseg", "flow_model", "cv4_sigma", "one2one_cv4_sigma")
"""Modules of a head that give nothing in inference."""
NARROW = 0.0625
"""Width factor of the small networks: 8 to 64 channels."""


def table(nc: int = 3, *, depth: float = 0.33, width: float = NARROW, **changes: Any) -> dict[str, Any]:
    """YOLOv8's architecture table, as a checkpoint carries it, of one scale."""
    backbone = [
        [-1, 1, "Conv", [64, 3, 2]],
        [-1, 1, "Conv", [128, 3, 2]],
        [-1, 3, "C2f", [128, True]],
        [-1, 1, "Conv", [256, 3, 2]],
        [-1, 6, "C2f", [256, True]],
        [-1, 1, "Conv", [512, 3, 2]],
        [-1, 6, "C2f", [512, True]],
        [-1, 1, "Conv", [1024, 3, 2]],
        [-1, 3, "C2f", [1024, True]],
        [-1, 1, "SPPF", [1024, 5]],
    ]
    head = [
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 6], 1, "Concat", [1]],
        [-1, 3, "C2f", [512]],
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 4], 1, "Concat", [1]],
        [-1, 3, "C2f", [256]],
        [-1, 1, "Conv", [256, 3, 2]],
        [[-1, 12], 1, "Concat", [1]],
        [-1, 3, "C2f", [512]],
        [-1, 1, "Conv", [512, 3, 2]],
        [[-1, 9], 1, "Concat", [1]],
        [-1, 3, "C2f", [1024]],
        [[15, 18, 21], 1, "Detect", ["nc"]],
    ]
    scales = {"t": [depth, width, 1024]}
    return {"nc": nc, "scales": scales, "scale": "t", "backbone": backbone, "head": head, **changes}


def tiny_table(nc: int = 3) -> dict[str, Any]:
    """The table of a network of nine layers, each kind of YOLOv8's among them."""
    backbone = [
        [-1, 1, "Conv", [8, 3, 2]],
        [-1, 1, "Conv", [16, 3, 2]],
        [-1, 1, "C2f", [16, True]],
        [-1, 1, "Conv", [32, 3, 2]],
        [-1, 1, "SPPF", [32, 5]],
    ]
    head = [
        [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
        [[-1, 2], 1, "Concat", [1]],
        [-1, 1, "C2f", [16]],
        [[7, 4], 1, "Detect", ["nc"]],
    ]
    return {"nc": nc, "backbone": backbone, "head": head}


def random_weights(
    architecture: Mapping[str, Any], seed: int = 0, changes: Mapping[str, Any] | None = None
) -> bytes:
    """A weights file of the fused network with random numbers; ``changes`` replace tensors or add some."""
    network = parse_architecture(architecture)
    rng = np.random.default_rng(seed)
    tensors: dict[str, Any] = {
        name: rng.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in expected_tensors(network).items()
    }
    meta = ModelMeta.checked(
        names=[f"thing {i}" for i in range(network.nc)],
        nc=network.nc,
        imgsz=320,
        architecture=architecture,
        source="random.pt",
        source_sha256="0" * 64,
    )
    return container.serialise(tensors | dict(changes or {}), meta.to_header())


def detection_model(architecture: Mapping[str, Any], seed: int = 0) -> Any:
    """An Ultralytics DetectionModel with random weights: see `randomised`."""
    return model(architecture, seed)


def classification_model(architecture: Mapping[str, Any], seed: int = 0) -> Any:
    """An Ultralytics ClassificationModel with random weights: see `randomised`."""
    return model(architecture, seed, 224)


def model(architecture: Mapping[str, Any], seed: int = 0, imgsz: int = 320) -> Any:
    """Ultralytics' model for the head of a table, with random weights: see `randomised`."""
    import_ultralytics()
    from ultralytics.nn import tasks

    head = SPECS[architecture["head"][-1][2]]
    assert isinstance(head, HeadSpec)
    return randomised(getattr(tasks, head.ultralytics_model), architecture, seed, head.task, imgsz)


def randomised(kind: Any, architecture: Mapping[str, Any], seed: int, task: str, imgsz: int) -> Any:
    """A model of Ultralytics as training leaves it, its weights and BatchNorm statistics random.

    The variances go from 0.007 to 2.7, as they do in trained networks, so that a wrong eps shows.
    """
    import torch

    torch.manual_seed(seed)
    model = kind(copy.deepcopy(dict(architecture)), verbose=False).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            low, high = math.log(0.007), math.log(2.7)
            module.running_var.copy_(torch.exp(torch.empty_like(module.running_var).uniform_(low, high)))
            module.running_mean.normal_()
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
    model.names = {i: f"thing {i}" for i in range(model.yaml["nc"])}
    model.args = {"imgsz": imgsz, "task": task}
    return model


def reference(table: Mapping[str, Any]) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """Tensors and strides of the network that Ultralytics builds, on PyTorch's device without storage.

    A linear layer stands for a 1x1 convolution.
    """
    import_ultralytics()
    import torch
    from ultralytics.nn.modules import Detect
    from ultralytics.nn.modules.block import RepVGGDW
    from ultralytics.nn.modules.conv import RepConv
    from ultralytics.nn.tasks import parse_model

    with torch.device("meta"):
        layers, _ = parse_model(copy.deepcopy(dict(table)), ch=3, verbose=False)
        x = torch.zeros(1, 3, 1024, 1024)
        outputs: list[Any] = []
        strides: tuple[int, ...] = ()
        for layer in layers:
            sources = [layer.f] if isinstance(layer.f, int) else layer.f
            inputs = [x if f == -1 else outputs[f] for f in sources]
            if layer is layers[-1]:
                cells = inputs if isinstance(layer, Detect) else []
                strides = tuple(1024 // each.shape[-1] for each in cells)
            else:
                x = layer(inputs if isinstance(layer.f, list) else inputs[0])
                outputs.append(x)
    for module in layers.modules():
        if isinstance(module, RepVGGDW):
            module.fuse()
        elif isinstance(module, RepConv):  # its own fusing needs storage
            module.conv = torch.nn.Conv2d(module.c1, module.c2, 3, device="meta")
            del module.conv1, module.conv2
    tensors: dict[str, tuple[int, ...]] = {}
    for name, module in layers.named_modules():
        kinds = torch.nn.Conv2d | torch.nn.ConvTranspose2d | torch.nn.Linear
        ignored = name.endswith("dfl.conv") or not set(ONLY_IN_TRAINING).isdisjoint(name.split("."))
        if isinstance(module, kinds) and not ignored:
            c_out, c_in, *size = module.weight.shape
            if isinstance(module, torch.nn.ConvTranspose2d):
                c_out, c_in = c_in, c_out
            tensors[f"model.{name}.weight"] = (*(size or (1, 1)), c_in, c_out)
            tensors[f"model.{name}.bias"] = (c_out,)
        if getattr(module, "gamma", None) is not None:  # a factor for each channel: a depthwise convolution
            tensors[f"model.{name}.gamma.weight"] = (1, 1, 1, *module.gamma.shape)
            tensors[f"model.{name}.gamma.bias"] = (*module.gamma.shape,)
    return tensors, strides


def saved(content: Any) -> bytes:
    """What ``torch.save`` writes for an object."""
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def checkpoint(model: Any, **entries: Any) -> bytes:
    """A checkpoint as the trainer leaves it, in half precision; ``entries`` replace or add some."""
    content = {
        "epoch": -1,
        "model": copy.deepcopy(model).half(),
        "ema": None,
        "train_args": {"imgsz": 320},
        **entries,
    }
    return saved(content)


def read(data: bytes) -> tuple[ModelMeta, dict[str, Any]]:
    """A checkpoint's header and fused tensors."""
    return read_checkpoint(data, "net.pt")


def written(data: bytes, name: str = "net.safetensors") -> Path:
    """A file in the working directory."""
    path = Path(name).absolute()
    path.write_bytes(data)
    return path


def archive(pickle: bytes, members: Mapping[str, bytes] | None = None, *, root: str = "archive") -> bytes:
    """A zip in torch.save's layout around a pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in {
            "data.pkl": pickle,
            "version": b"3\n",
            "byteorder": b"little",
            **(members or {}),
        }.items():
            file.writestr(f"{root}/{name}", data)
    return buffer.getvalue()


def assert_equal(a: Weights, b: Weights) -> None:
    """Checks that weights are the same in all that counts."""
    assert list(a.tensors) == list(b.tensors)
    for name in a.tensors:
        np.testing.assert_array_equal(a.tensors[name], b.tensors[name])
    assert a.meta == b.meta


def calling(module: str, name: str, *args: str) -> bytes:
    """The pickle of a call by name, hand-written, so that the function need not exist here."""
    strings = b"".join(b"X" + len(a).to_bytes(4, "little") + a.encode() for a in args)
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(" + strings + b"tR."


def members_of(data: bytes) -> dict[str, bytes]:
    """The members of an archive, without their folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}

"""Checkpoints to fused tensors: folding against PyTorch in float64, modules against their rows."""

from __future__ import annotations

import copy
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest

from yolo_max.model.architecture import expected_tensors, parse_architecture
from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint import safe_pickle
from yolo_max.weights.checkpoint.calls import StandIn
from yolo_max.weights.checkpoint.read import fold, read_checkpoint
from yolo_max.weights.checkpoint.tensors import Tensor
from yolo_max.weights.meta import ModelMeta


@pytest.fixture(scope="module")
def model() -> Any:
    """A narrow YOLOv8 with random weights and wide BatchNorm statistics."""
    return checkpoints.detection_model(checkpoints.table())


@pytest.fixture(scope="module")
def tiny() -> Any:
    """A network of nine layers with each of the ported blocks."""
    return checkpoints.detection_model(checkpoints.tiny_table())


def read(data: bytes) -> tuple[ModelMeta, dict[str, Any]]:
    return read_checkpoint(data, "net.pt")


# Folding


def random_block(seed: int, eps: float) -> tuple[Any, Any]:
    """A convolution and a BatchNorm in float64 with random weights and wide statistics."""
    import torch

    torch.manual_seed(seed)
    c_in, c_out, k = [(3, 16, 3), (32, 8, 1), (5, 7, 5)][seed % 3]
    convolution = torch.nn.Conv2d(c_in, c_out, k, padding=k // 2, bias=False, dtype=torch.float64)
    norm = torch.nn.BatchNorm2d(c_out, eps=eps, dtype=torch.float64).eval()
    norm.running_var.copy_(torch.logspace(np.log10(0.007), np.log10(2.7), c_out, dtype=torch.float64))
    norm.running_mean.normal_()
    torch.nn.init.uniform_(norm.weight, -2, 2)
    torch.nn.init.normal_(norm.bias)
    return convolution, norm


def folded(convolution: Any, norm: Any, eps: float) -> tuple[Any, Any]:
    statistics = (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    gamma, beta, mean, variance = (value.detach().numpy() for value in statistics)
    return fold(convolution.weight.detach().numpy(), gamma, beta, mean, variance, eps)


@pytest.mark.parametrize("eps", [1e-3, 1e-5, 0.1])
@pytest.mark.parametrize("seed", range(6))
def test_a_folded_convolution_is_the_convolution_and_its_norm(seed: int, eps: float) -> None:
    import torch

    convolution, norm = random_block(seed, eps)
    x = torch.randn(2, convolution.in_channels, 9, 9, dtype=torch.float64)
    filters, bias = folded(convolution, norm, eps)
    fused = torch.nn.functional.conv2d(
        x, torch.from_numpy(filters), torch.from_numpy(bias), padding=convolution.padding
    )
    torch.testing.assert_close(fused, norm(convolution(x)), rtol=1e-12, atol=1e-12)


def test_the_wrong_eps_shows() -> None:
    """The first port of this network folded with PyTorch's default eps, where Ultralytics sets 1e-3."""
    convolution, norm = random_block(0, 1e-3)
    right, wrong = folded(convolution, norm, 1e-3)[0], folded(convolution, norm, 1e-5)[0]
    assert np.abs(wrong / right - 1).max() > 0.05


# Conversion


def reference_tensors(model: Any) -> dict[str, Any]:
    """The fused tensors by PyTorch's own folding, in float64, OIHW transposed to RSCF."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    model = copy.deepcopy(model).double()
    tensors = {}
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Conv2d) and not name.endswith("dfl.conv"):
            if name.endswith(".conv"):
                module = fuse_conv_bn_eval(module, model.get_submodule(f"{name.removesuffix('conv')}bn"))
            tensors[f"{name}.weight"] = module.weight.detach().permute(2, 3, 1, 0).numpy()
            tensors[f"{name}.bias"] = module.bias.detach().numpy()
    return tensors


def assert_close(tensors: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(tensors) == set(expected)
    for name, tensor in tensors.items():
        assert tensor.dtype == np.float32
        assert tensor.flags.c_contiguous
        np.testing.assert_allclose(tensor, expected[name], rtol=1.3e-7, atol=1e-30, err_msg=name)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_conversion_folds_in_float64_whatever_the_checkpoint_stores(model: Any, dtype: str) -> None:
    import torch

    stored = copy.deepcopy(model).to(getattr(torch, dtype))
    meta, tensors = read(checkpoints.saved({"model": stored}))
    assert_close(tensors, reference_tensors(stored))
    assert list(tensors) == list(expected_tensors(meta.network))
    assert {name: tensor.shape for name, tensor in tensors.items()} == expected_tensors(meta.network)


def test_every_module_keeps_its_own_eps(model: Any) -> None:
    import torch

    changed = copy.deepcopy(model)
    for i, module in enumerate(m for m in changed.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        module.eps = 1e-3 * (1 + i)
    _, tensors = read(checkpoints.saved({"model": changed}))
    assert_close(tensors, reference_tensors(changed))


def test_the_moving_average_is_preferred(model: Any) -> None:
    import torch

    average = copy.deepcopy(model)
    torch.nn.init.constant_(average.model[0].conv.weight, 0.125)
    _, tensors = read(checkpoints.saved({"model": model, "ema": average, "updates": 7}))
    assert_close(tensors, reference_tensors(average))
    _, tensors = read(checkpoints.saved({"model": None, "ema": average}))  # as the trainer's last.pt is
    assert_close(tensors, reference_tensors(average))


def test_a_network_that_is_fused_already(model: Any) -> None:
    import torch

    fused = copy.deepcopy(model).double().fuse(verbose=False)
    _, tensors = read(checkpoints.saved({"model": fused}))
    expected = reference_tensors(model)
    for name, tensor in tensors.items():
        torch.testing.assert_close(
            torch.from_numpy(tensor).double(), torch.from_numpy(expected[name]), rtol=1e-6, atol=1e-6
        )


def test_the_coco_checkpoint(coco_weights: Path) -> None:
    import torch
    from ultralytics.nn.tasks import DetectionModel

    data = coco_weights.read_bytes()
    meta, tensors = read(data)
    assert (meta.nc, meta.network.strides, meta.imgsz) == (80, (8, 16, 32), 640)
    assert meta.network.head.args["reg_max"] == 16
    assert (meta.names[0], meta.names[79]) == ("person", "toothbrush")
    with torch.serialization.safe_globals([]):
        model = DetectionModel(copy.deepcopy(dict(meta.architecture)), verbose=False).double().eval()
    saved_modules = safe_pickle.load(data)["model"]
    state_dict = {
        name: torch.from_numpy(value.array().copy()).double() for name, value in state(saved_modules)
    }
    model.load_state_dict(state_dict, strict=True)
    assert_close(tensors, reference_tensors(model))


def state(module: StandIn, prefix: str = "") -> list[tuple[str, Tensor]]:
    """The state dict of a stand-in's tree of modules."""
    found = [
        (prefix + k, v)
        for group in ("_parameters", "_buffers")
        for k, v in module.get(group).items()
        if v is not None
    ]
    for name, child in module.get("_modules").items():
        found += state(child, f"{prefix}{name}.")
    return found


@pytest.mark.parametrize("nc", [1, 6, 81])
def test_any_class_count(nc: int) -> None:
    model = checkpoints.detection_model(checkpoints.tiny_table(nc))
    meta, tensors = read(checkpoints.checkpoint(model))
    assert meta.nc == nc
    assert tensors["model.8.cv3.0.2.weight"].shape[-1] == nc
    assert_close(tensors, reference_tensors(copy.deepcopy(model).half()))


def test_bottlenecks_as_layers_and_four_levels() -> None:
    table: dict[str, Any] = {
        "nc": 2,
        "depth_multiple": 1.0,
        "width_multiple": 0.25,
        "backbone": [
            [-1, 1, "Conv", [32, 3, 2]],
            [-1, 2, "Bottleneck", [32]],
            [-1, 1, "Conv", [64, 3, 2]],
            [-1, 1, "Bottleneck", [64, False]],
            [-1, 1, "Conv", [64, 3, 2]],
        ],
        "head": [[-1, 1, "nn.Upsample", ["None", 2, "nearest"]], [[0, 1, 5, 4], 1, "Detect", ["nc"]]],
    }
    model = checkpoints.detection_model(table)
    meta, tensors = read(checkpoints.checkpoint(model))
    assert meta.network.strides == (2, 2, 4, 8)
    assert "model.1.1.cv2.conv.weight" in tensors
    assert_close(tensors, reference_tensors(copy.deepcopy(model).half()))


def test_a_class_count_that_was_taken_for_channels() -> None:
    """Ultralytics of before mid-2026 left rows unscaled whose channels equal the class count."""
    nc, width = 64, 0.125
    table = checkpoints.table(nc, width=width)
    built = copy.deepcopy(table)
    del built["scales"], built["scale"]
    for row in built["backbone"] + built["head"]:
        if row[2] in ("Conv", "C2f", "SPPF"):
            row[1] = 2 if row[1] == 6 else 1
            row[3][0] = nc if row[3][0] == nc else int(row[3][0] * width)
    model = checkpoints.detection_model(built)
    model.yaml = {**table, "nc": nc}
    meta, tensors = read(checkpoints.checkpoint(model))
    assert_close(tensors, reference_tensors(copy.deepcopy(model).half()))
    # The header's table says the same to today's Ultralytics.
    assert checkpoints.reference(meta.architecture)[0] == {name: t.shape for name, t in tensors.items()}


# Metadata


def test_metadata(tiny: Any) -> None:
    meta, _ = read(checkpoints.checkpoint(tiny))
    assert meta.names == {0: "thing 0", 1: "thing 1", 2: "thing 2"}
    assert (meta.nc, meta.network.strides, meta.imgsz) == (3, (4, 8), 320)
    assert meta.network.head.args["reg_max"] == 16
    assert meta.source == "net.pt"
    assert len(meta.source_sha256) == 64
    assert parse_architecture(meta.architecture) == meta.network


@pytest.mark.parametrize(
    ("model_args", "train_args", "imgsz"),
    [
        ({"imgsz": 256}, {"imgsz": 512}, 256),  # the model's own come first
        ({}, {"imgsz": 512}, 512),
        ({"imgsz": [480, 640]}, {}, 640),  # two sides: the larger one
        ({"imgsz": "large"}, {"imgsz": 512}, 512),
        ({"imgsz": 10**9}, {}, 640),  # nonsense: Ultralytics' default
        ({"imgsz": None}, None, 640),
        (None, {}, 640),
    ],
)
def test_input_size(tiny: Any, model_args: Any, train_args: Any, imgsz: int) -> None:
    changed = copy.deepcopy(tiny)
    changed.args = model_args
    assert read(checkpoints.saved({"model": changed, "train_args": train_args}))[0].imgsz == imgsz


def test_input_size_in_a_namespace(tiny: Any) -> None:
    """While training, the arguments are a namespace of Ultralytics, and not yet a dict."""
    from ultralytics.utils import IterableSimpleNamespace

    changed = copy.deepcopy(tiny)
    changed.args = IterableSimpleNamespace(imgsz=416)
    assert read(checkpoints.saved({"model": changed}))[0].imgsz == 416


def test_names_may_be_a_list_and_lose_what_steers_a_terminal(tiny: Any) -> None:
    changed = copy.deepcopy(tiny)
    changed.names = ["cat", "dog\x1b[31m\n", "犬"]
    assert read(checkpoints.saved({"model": changed}))[0].names == {0: "cat", 1: "dog�[31m�", 2: "犬"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({0: 0, 1: 1, 2: 2}, ["0", "1", "2"]),  # a dataset that numbers its classes
        ([1.5, True, "c"], ["1.5", "True", "c"]),  # what YAML makes of 1.5 and of yes
        (list(np.array(["cat", "dog", "犬"])), ["cat", "dog", "犬"]),  # NumPy's own strings
        (dict(zip(np.arange(3), np.array([7, 8, 9]), strict=True)), ["7", "8", "9"]),
        ({"0": "a", "1": "b", "2": "c"}, ["a", "b", "c"]),  # ids that went through JSON
        (["a", "b", "c", "d", "e"], ["a", "b", "c"]),  # more than classes: the first ones
        ({0: "a", 1: "b", 2: "c", 7: "z"}, ["a", "b", "c"]),
        (["a" * 256, "b", "c"], ["a" * 256, "b", "c"]),
        (["a" * 257, "b", "c" * 10_000], ["a" * 255 + "…", "b", "c" * 255 + "…"]),  # cut where it is seen
        ([10**5000, "b", "c"], ["a huge int", "b", "c"]),  # Python writes out no such number
    ],
)
def test_class_names_that_are_not_short_strings(tiny: Any, names: Any, expected: list[str]) -> None:
    changed = copy.deepcopy(tiny)
    changed.names = names
    meta, _ = read(checkpoints.saved({"model": changed}))
    assert list(meta.names.values()) == expected
    assert ModelMeta.from_header(meta.to_header()) == meta


def test_paths_of_the_training_machine_are_not_kept(tiny: Any) -> None:
    changed = copy.deepcopy(tiny)
    changed.yaml["yaml_file"] = "/home/someone/project/net.yaml"
    meta, _ = read(checkpoints.saved({"model": changed, "train_args": {"project": "/home/someone"}}))
    assert meta.architecture["yaml_file"] == "net.yaml"
    assert "someone" not in str(meta.to_header())


# What is refused


def without(attribute: str) -> Callable[[Any], None]:
    return lambda model: delattr(model, attribute)


def replaced(path: str, value: Any) -> Callable[[Any], None]:
    """Sets an attribute of a module: ``model.3.conv.stride``."""

    def change(model: Any) -> None:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent) if parent else model, name, value)

    return change


def poisoned(path: str, value: float) -> Callable[[Any], None]:
    """Puts a number into a parameter or buffer."""

    def change(model: Any) -> None:
        parent, _, name = path.rpartition(".")
        getattr(model.get_submodule(parent), name).data.view(-1)[0] = value

    return change


def module(path: str, make: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Replaces a module by one made with torch.nn."""

    def change(model: Any) -> None:
        import torch

        model.set_submodule(path, make(torch.nn))

    return change


def extra(path: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        import torch

        model.get_submodule(path).register_buffer("scale", torch.ones(3))

    return change


def unlisted(model: Any) -> None:
    model.yaml["backbone"][2][1] = 2


def endless_names(model: Any) -> None:
    """32 modules in one another under one name of 500 kB: their paths would take hundreds of megabytes."""
    name = "m" * 500_000
    inner = model.model
    for _ in range(30):
        inner._modules[name] = inner = type(model.model)()


def looping(model: Any) -> None:
    model.model[0]._modules["again"] = model.model[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        # modules that do something else than the table says
        (replaced("model.3.conv.stride", (1, 1)), r"stride \(1, 1\) in model.3.conv"),
        (replaced("model.3.conv.padding", (0, 0)), r"padding \(0, 0\) in model.3.conv"),
        (replaced("model.3.conv.dilation", (2, 2)), r"dilation \(2, 2\) in model.3.conv"),
        (replaced("model.3.conv.padding_mode", "reflect"), "padding_mode 'reflect'"),
        (replaced("model.3.conv.groups", 2), "groups 2 in model.3.conv"),
        (replaced("model.2.m.0.add", False), "add False in model.2.m.0"),
        (replaced("model.7.m.0.add", True), "add True in model.7.m.0"),
        (replaced("model.4.n", 4), "n 4 in model.4"),
        (replaced("model.4.add", True), "add True in model.4"),
        (replaced("model.4.m.kernel_size", 3), r"kernel_size \(3, 3\) in model.4.m"),
        (replaced("model.5.mode", "bilinear"), "mode 'bilinear' in model.5"),
        (replaced("model.5.scale_factor", 3.0), r"scale_factor \(3.0, 3.0\) in model.5"),
        (replaced("model.6.d", 2), "d 2 in model.6"),
        (replaced("model.6.f", [-1, 1]), r"from \(5, 1\) in model.6"),
        (replaced("model.8.nc", 4), "nc 4 in model.8"),
        (module("model.3.act", lambda nn: nn.ReLU()), "holds ReLU as model.3.act, where .* SiLU"),
        (
            module("model.4.cv1.act", lambda nn: nn.Identity()),
            "holds Identity as model.4.cv1.act",
        ),  # YOLO26's
        (module("model.3", lambda nn: nn.Identity()), "from .* in model.3"),
        (module("model.3.conv", lambda nn: nn.Identity()), "holds Identity as model.3.conv"),
        (unlisted, "holds nothing as model.2.m.1"),  # fewer bottlenecks than the table says
        (replaced("model.8.stride", None), "has strides"),
        # tensors
        (
            module("model.3.conv", lambda nn: nn.Conv2d(16, 33, 3, 2, 1, bias=False)),
            "model.3.conv.weight of shape",
        ),
        (module("model.3.conv", lambda nn: nn.Conv2d(16, 32, 1, 2, 0, bias=False)), "kernel_size"),
        (
            module("model.3.bn", lambda nn: nn.BatchNorm2d(32, affine=False)),
            "lacks the tensor model.3.bn.weight",
        ),
        (module("model.3.bn", lambda nn: nn.BatchNorm2d(31)), r"model.3.bn.weight of shape \(31,\)"),
        (module("model.3.bn", lambda nn: nn.BatchNorm2d(32, eps=-1.0)), "eps -1.0 in model.3.bn"),
        (module("model.3.bn", lambda nn: nn.BatchNorm2d(32, eps=float("nan"))), "eps nan in model.3.bn"),
        (module("model.3.bn", lambda nn: nn.Identity()), "eps None in model.3.bn"),
        (poisoned("model.3.conv.weight", float("nan")), "NaN or infinite numbers in model.3.conv"),
        (poisoned("model.3.bn.weight", float("inf")), "NaN or infinite numbers in model.3.conv"),
        (poisoned("model.3.bn.running_var", -3.0), "variance below zero in model.3.bn"),
        (poisoned("model.3.bn.running_var", float("nan")), "NaN or infinite numbers in model.3.conv"),
        (poisoned("model.8.cv3.1.2.bias", float("-inf")), "NaN or infinite numbers in model.8.cv3.1.2"),
        (extra("model.3"), "tensors that no layer .* model.3.scale"),
        (extra("model.8.dfl"), "tensors that no layer .* model.8.dfl.scale"),
        (
            module("model.8.dfl.conv", lambda nn: nn.Conv2d(16, 1, 1, bias=False)),
            "other numbers in model.8.dfl.conv.weight",
        ),
        # metadata
        (without("yaml"), "no Ultralytics detection model|architecture table"),
        (replaced("yaml", "yolov8n.yaml"), "no Ultralytics detection model|architecture table"),
        (replaced("names", {0: "a"}), "has 1 class names for 3 classes"),
        (replaced("names", {0: "a", 1: "b", 7: "c"}), "as the name of class 2"),
        (replaced("names", ["a", "b", None]), "has None as the name of class 2"),
        (replaced("names", ["a", "b", ["c"]]), "as the name of class 2"),
        (replaced("names", None), "has no class names"),
        (looping, "nested without end"),
        (endless_names, "without usable names"),
    ],
)
def test_a_model_that_is_not_what_its_table_says_is_refused(
    tiny: Any, change: Callable[[Any], None], message: str
) -> None:
    changed = copy.deepcopy(tiny)
    change(changed)
    with pytest.raises(WeightsError, match=message):
        read(checkpoints.saved({"model": changed}))


def test_layouts_of_storage_other_than_plain_are_refused(tiny: Any) -> None:
    import torch

    changed = copy.deepcopy(tiny)
    changed.model[0].conv.weight = torch.nn.Parameter(changed.model[0].conv.weight.int(), requires_grad=False)
    with pytest.raises(WeightsError, match=r"stores model.0.conv.weight as torch.int32"):
        read(checkpoints.saved({"model": changed}))


def expanded(model: Any) -> None:
    """Every filter is one number under all of its indices."""
    import torch

    for part in model.modules():
        if isinstance(part, torch.nn.Conv2d):
            shape = part.weight.shape
            part.weight = torch.nn.Parameter(torch.zeros(1).expand(shape), requires_grad=False)


def shared(model: Any) -> None:
    """Every filter is a part of the largest one."""
    import torch

    filters = [part for part in model.modules() if isinstance(part, torch.nn.Conv2d)]
    largest = max((part.weight.data for part in filters), key=torch.numel).flatten()
    for part in filters:
        view = largest[: part.weight.numel()].view(part.weight.shape)
        part.weight = torch.nn.Parameter(view, requires_grad=False)


@pytest.mark.parametrize("change", [expanded, shared])
def test_tensors_that_share_their_numbers_are_refused(change: Callable[[Any], None]) -> None:
    """A small file would otherwise be a large network."""
    changed = checkpoints.detection_model(checkpoints.table(width=0.25))
    change(changed)
    with pytest.raises(WeightsError, match=r"claims more bytes for model\.\d+\."):
        read(checkpoints.saved({"model": changed}))


def laughs(levels: int = 18) -> Any:
    """A value that is small in memory and takes megabytes when it is written out."""
    value: Any = ("ha",)
    for _ in range(levels):
        value = (value, value)
    return value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda m: {"state": laughs()}, "holds no model"),
        (lambda m: {"model": m, "ema": laughs()}, None),
        (lambda m: set_on(m, "yaml", {**m.yaml, "x": list(laughs())}), "in its architecture table"),
        (lambda m: set_on(m, "yaml", {**m.yaml, (1, 2): 1}), "in its architecture table"),
        (lambda m: set_on(m, "yaml", {**m.yaml, "x": [[0] * 300] * 300}), "in its architecture table"),
        (lambda m: set_on(m, "names", [laughs()] * 3), r"as the name of class 0"),
        (lambda m: set_on(m, "names", {(0, 0): "a", 1: "b", 2: "c"}), "as the name of class 0"),
        (lambda m: set_on(m, "args", {"imgsz": laughs()}), None),
        (lambda m: set_on(m.model[3], "f", laughs()), "from .* in model.3"),
        (lambda m: set_on(m.model[2].m[0], "add", laughs()), "add .* in model.2.m.0"),
        (lambda m: set_on(m.model[3].conv, "stride", laughs()), "stride .* in model.3.conv"),
    ],
)
def test_values_that_hold_each_other_many_times_over(
    tiny: Any, content: Callable[[Any], Any], message: str | None
) -> None:
    """The billion laughs: none of them is written out."""
    changed = copy.deepcopy(tiny)
    made = content(changed)
    data = checkpoints.saved(made if isinstance(made, dict) else {"model": changed})
    if message is None:
        read(data)
    else:
        with pytest.raises(WeightsError, match=message) as caught:
            read(data)
        assert len(str(caught.value)) < 500


def set_on(target: Any, attribute: str, value: Any) -> None:
    object.__setattr__(target, attribute, value)


@pytest.mark.parametrize(
    ("path", "attribute"),
    [
        ("model.2.m.0", "add"),
        ("model.3", "f"),
        ("model.3.conv", "stride"),
        ("model.3.conv", "groups"),
        ("model.3.bn", "eps"),
        ("model.4", "n"),
        ("model.5", "mode"),
        ("model.8", "nc"),
        ("", "names"),
        ("", "yaml"),
    ],
)
def test_a_tensor_where_a_value_belongs(tiny: Any, path: str, attribute: str) -> None:
    """Tensors compare element by element, and are neither true nor false."""
    import torch

    changed = copy.deepcopy(tiny)
    set_on(changed.get_submodule(path), attribute, torch.ones(3))
    with pytest.raises(WeightsError, match=r"Tensor|…|no class names"):
        read(checkpoints.saved({"model": changed}))


def test_damaged_pickles_give_weights_or_a_sentence(tiny: Any) -> None:
    """Any other exception fails this."""
    with zipfile.ZipFile(io.BytesIO(checkpoints.saved({"model": tiny}))) as file:
        members = {name.partition("/")[2]: file.read(name) for name in file.namelist()}
    pickle = members.pop("data.pkl")
    rng = random.Random(0)
    refused = 0
    for _ in range(40):
        mutant = bytearray(pickle)
        at, source = rng.randrange(len(pickle)), rng.randrange(len(pickle))
        match rng.randrange(3):
            case 0:
                mutant[at] ^= 1 << rng.randrange(8)
            case 1:
                del mutant[at : at + rng.randrange(1, 20)]
            case 2:
                mutant[at:at] = pickle[source : source + rng.randrange(1, 60)]
        try:
            read(checkpoints.archive(bytes(mutant), members))
        except WeightsError:
            refused += 1
    assert refused > 20


def test_all_unported_layers_are_named_at_once() -> None:
    from ultralytics.nn.tasks import DetectionModel

    with pytest.raises(WeightsError) as caught:
        read(checkpoints.saved({"model": DetectionModel("yolo11n.yaml", nc=2, verbose=False)}))
    assert str(caught.value) == (
        "holds a network with parts that are not ported: C3k2 (layers 2, 4, 6, 8, 13, 16, 19, 22), "
        "C2PSA (layer 10); use a YOLOv8 model that detects or classifies"
    )


def test_classes_of_another_network_are_named_as_such() -> None:
    """They are no names of YOLOv8's, and no threat either."""
    from ultralytics.nn.tasks import DetectionModel

    with pytest.raises(WeightsError, match=r"not ported: .*v10Detect \(layer 23\); use a YOLOv8"):
        read(checkpoints.saved({"model": DetectionModel("yolov10n.yaml", nc=2, verbose=False)}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], r"holds \[\], not the dict"),
        (7, "holds 7, not the dict"),
        ({}, r"holds no model, only \[\]"),
        ({"model": None, "ema": None}, "holds no model"),
        ({"model.0.conv.weight": 1, "model.0.bn.weight": 2}, "state dict"),
        ({"model": {"model.0.conv.weight": 1}}, "holds no model"),
    ],
    ids=str,
)
def test_what_is_no_checkpoint_of_a_model_is_refused(content: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        read(checkpoints.saved(content))

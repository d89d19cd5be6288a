"""The analysis of a network against Ultralytics' own counts, and of files that it must not trust."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import checkpoints
import pytest
import torch
import yaml  # type: ignore[import-untyped]
from families import table

from yolo_max.kernels.conv_kernel import HALVING, POLYPHASE
from yolo_max.kernels.precision import Precision
from yolo_max.model.architecture import parse_architecture
from yolo_max.model.fused import FusedBackend
from yolo_max.model.model import MaxYolo
from yolo_max.support.errors import UsageError, WeightsError
from yolo_max.weights.analysis.report import Analysis, analyze
from yolo_max.weights.analysis.tables import official, read_table

COUNTED = [
    "yolov10n",  # branches that are folded, and two heads
    "yolo26n-seg",  # attention; two heads without DFL; a transposed convolution, and parts for training alone
    "yolo26n-pose",
    "yolo11n-cls",
    "yolo12l",  # area attention, factors for channels
    "yolov9t",  # pools without modules, reparameterised convolutions
    "yolov9e",  # layers that give several maps
    "yolov6n",  # transposed convolutions as layers
    "yolov3-tiny",  # pools as layers
]


def network(name: str, *, fused: bool = False) -> Any:
    """Ultralytics' module."""
    from ultralytics.nn import tasks

    kinds = {"-cls": "Classification", "-seg": "Segmentation", "-pose": "Pose", "-obb": "OBB"}
    kind = next((kind for suffix, kind in kinds.items() if name.endswith(suffix)), "Detection")
    model = getattr(tasks, f"{kind}Model")(table(name), verbose=False).eval()
    return model.fuse(verbose=False) if fused else model


def written(rows: list[list[Any]], **changes: Any) -> Path:
    """A table in a file: a convolution, these rows, and a head on the last two."""
    head = [[[len(rows) - 1, len(rows)], 1, "Detect", ["nc"]]]
    backbone = [[-1, 1, "Conv", [16, 3, 2]], *rows]
    path = Path("net.yaml")
    path.write_text(yaml.safe_dump({"nc": 3, "backbone": backbone, "head": head, **changes}))
    return path


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", COUNTED)
def test_it_counts_as_ultralytics_does(name: str) -> None:
    from ultralytics.utils.torch_utils import get_flops, get_num_params

    theirs, ours = network(name), analyze(f"{name}.yaml")
    assert ours.cost.parameters == get_num_params(theirs)
    assert ours.cost.gflops == pytest.approx(get_flops(theirs, 640), rel=1e-12)
    assert [each.cost.parameters for each in ours.layers] == [get_num_params(each) for each in theirs.model]
    theirs = network(name, fused=True)
    assert ours.fused.parameters == get_num_params(theirs)
    assert ours.fused.gflops == pytest.approx(get_flops(theirs, 640), rel=1e-12)


def test_maps_have_the_shapes_of_ultralytics() -> None:
    shapes: list[tuple[int, ...]] = []
    theirs = network("yolo11n")
    for layer in theirs.model[:-1]:
        layer.register_forward_hook(lambda _, __, y: shapes.append((*y.shape[2:], y.shape[1])))
    with torch.no_grad():
        theirs(torch.zeros(1, 3, 128, 192))
    *maps, head = analyze("yolo11n.yaml", (128, 192)).layers
    assert [each.shapes[""] for each in maps] == shapes
    assert head.shapes == {"head": (16 * 24 + 8 * 12 + 4 * 6, 64 + 80)}


@pytest.mark.parametrize("name", ["yolo11n", "yolo26n", "yolov8n-cls"])
def test_kernels_are_those_of_the_graph(name: str) -> None:
    """At 640 no map of a stride of 2 wastes tiles, so `HALVING` is polyphase."""
    graph = MaxYolo(parse_architecture(table(name)), FusedBackend(Precision.F32, Path()))
    ours = [each.kernels for each in analyze(f"{name}.yaml").layers]
    named = {HALVING: POLYPHASE}
    expected = {name: str(named.get(kernel, kernel)) for name, kernel in graph.kernels().items()}
    assert {name: kernel for each in ours for name, kernel in each.items()} == expected


def test_what_halves_small_maps_is_named_by_what_computes_them() -> None:
    layers = analyze("yolov8n-cls.yaml", 224).layers
    assert [
        str(each.kernels.get(f"model.{each.layer.index}.conv"))
        for each in layers
        if each.layer.module == "Conv"
    ] == [
        *("stem", "polyphase", "polyphase", "direct", "direct")  # maps of 112, 56, 28, 14 and 7
    ]


def test_3x3_on_a_map_of_two_rows_is_named_direct() -> None:
    (kernels,) = (each.kernels for each in analyze("yolov8n-cls.yaml", 64).layers if each.layer.index == 8)
    assert set(kernels.values()) == {"direct"}  # winograd on larger ones


def test_a_checkpoint_is_counted_as_it_was_saved() -> None:
    from ultralytics.utils.torch_utils import get_flops, get_num_params

    for fused in (False, True):
        theirs = network("yolo11n", fused=fused)
        theirs.args = {"task": "detect"}
        Path("net.pt").write_bytes(checkpoints.checkpoint(theirs))
        ours = analyze("net.pt")
        assert (ours.ported, ours.cost.parameters) == (True, get_num_params(theirs))
        assert ours.cost.gflops == pytest.approx(get_flops(theirs, 640), rel=1e-12)
    assert ours.cost == ours.fused


def test_a_weights_file_is_counted_fused() -> None:
    Path("net.safetensors").write_bytes(checkpoints.random_weights(checkpoints.tiny_table()))
    ours = analyze("net.safetensors")
    assert (ours.ported, ours.nc, ours.task) == (True, 3, "detect")
    assert ours.cost == ours.fused


def test_unported_layers_of_a_checkpoint_are_counted_from_its_tensors() -> None:
    from ultralytics.utils.torch_utils import get_flops, get_num_params

    theirs = network("yolov8n-ghost")
    theirs.args = {"task": "detect"}
    Path("net.pt").write_bytes(checkpoints.checkpoint(theirs))
    ours = analyze("net.pt")
    assert [each.cost.parameters for each in ours.layers] == [get_num_params(each) for each in theirs.model]
    assert ours.coverage["layers"] == pytest.approx(9 / 23)
    ported = sum(get_num_params(each) for each in theirs.model if "Ghost" not in each.type)
    assert ours.coverage["parameters"] == pytest.approx(ported / get_num_params(theirs))
    assert (ours.coverage["gflops"], ours.ported) == (None, False)
    # What can be counted is.
    assert ours.counted_cost.parameters == ported
    assert 0 < (ours.counted_cost.gflops or 0) < get_flops(theirs, 640)
    assert ours.layers[4].shapes == {"": (80, 80, 64)}  # known from the row, behind a GhostConv
    assert ours.layers[9].cost.gflops == analyze("yolov8n.yaml").layers[9].cost.gflops  # the same SPPF


def test_networks_of_classes_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of another repository: its classes are not imported, and need not exist here."""
    stranger = ModuleType("models.common")
    names = {"__module__": "models.common", "__qualname__": "Mystery"}
    kind = type("Mystery", (torch.nn.Conv2d,), names)
    vars(stranger)["Mystery"] = kind
    model = checkpoints.detection_model(checkpoints.tiny_table())
    model.model[2] = kind(16, 16, 3)
    model.model[2].i, model.model[2].f = 2, -1
    model.yaml["backbone"][2] = [-1, 1, "Mystery", [16]]
    with monkeypatch.context() as scope:
        scope.setitem(sys.modules, "models", ModuleType("models"))
        scope.setitem(sys.modules, "models.common", stranger)
        Path("net.pt").write_bytes(checkpoints.checkpoint(model))
    ours = analyze("net.pt")
    assert "models.common" not in sys.modules
    assert ours.problems == ("Mystery (layer 2): an unknown block",)
    assert ours.layers[2].cost.parameters == 16 * 16 * 9 + 16
    assert (ours.layers[2].shapes, ours.layers[3].cost.gflops) == ({}, None)
    assert ours.task == "detect"


def test_what_a_table_does_not_say_is_unknown() -> None:
    ours = analyze(str(written([[-1, 1, "Mystery", [32]], [-1, 1, "Conv", [32, 3, 2]]])))
    assert ours.coverage == {"layers": 0.75, "parameters": None, "gflops": None}
    assert [each.cost.parameters for each in ours.layers] == [16 * 27 + 32, None, None, None]
    assert (ours.cost.gflops, ours.fused.gflops) == (None, None)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([-1, 1, "Mystery", []], "an unknown block"),
        ([-1, 1, "RTDETRDecoder", ["nc"]], "a transformer decoder with deformable attention"),
        ([-1, 1, "Conv", [32, 3, 2, None, 2]], "groups=2"),  # legal, but not ported
        ([-1, 1, "Conv", []], "lacks its argument 'c_out'"),
        ([-1, 1, "Conv", [32, 3, 2, None, 1, 1, True, 8]], "has 8 arguments, but takes at most 7"),
        ([-1, 1, "GhostConv", ["many"]], "no official weights use ghost convolutions"),
        ([-1, 1, "C2f", [-4]], "has output channels -4"),
        ([[-1, 0], 1, "Conv", [32, 3, 2]], "reads 2 layers, but takes one input"),
    ],
)
def test_a_row_that_does_not_fit_is_named(row: list[Any], problem: str) -> None:
    ours = analyze(str(written([[-1, 1, "Conv", [32, 3, 2]], row])))
    assert [bool(each.problem) for each in ours.layers[:3]] == [False, False, True]
    assert problem in ours.layers[2].problem
    assert any(f"{row[2]} (layer 2): " in each and problem in each for each in ours.problems)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"activation": "nn.Mish()"}, "activation 'nn.Mish()'"),
        ({"ch": 4}, "4 input channels"),
        ({"head": []}, "does not end in its one head"),
    ],
)
def test_the_whole_table_may_be_what_is_not_ported(changes: dict[str, Any], problem: str) -> None:
    ours = analyze(str(written([[-1, 1, "Conv", [32, 3, 2]], [-1, 1, "Conv", [32, 3, 2]]], **changes)))
    assert not any(each.problem for each in ours.layers)
    assert len(ours.problems) == 1
    assert problem in ours.problems[0]


def test_a_checkpoint_that_differs_from_its_table_does_not_run() -> None:
    model = checkpoints.detection_model(checkpoints.tiny_table())
    model.model[3].conv.padding_mode = "reflect"
    Path("net.pt").write_bytes(checkpoints.checkpoint(model))
    ours = analyze("net.pt")
    assert ours.coverage["layers"] == 1
    assert ours.problems == (
        "the file has padding_mode 'reflect' in model.3.conv, where its architecture table says 'zeros'",
    )


@pytest.mark.parametrize(
    "name",
    [
        "yolo11.yaml",  # the first scale
        "yolo11x.yaml",
        "yolo11s-seg.yaml",
        "yolov8m6.yaml",  # the old name of a p6
        "yolov9c.yaml",  # a size that is not one of the scales
        "yolov10b.yaml",
        "yoloe-11l-seg.yaml",
        "rtdetr-l.yaml",
        "yolov8n-cls-resnet50.yaml",
    ],
)
def test_a_name_means_the_table_that_it_means_to_ultralytics(name: str) -> None:
    from ultralytics.nn.tasks import yaml_model_load

    theirs = yaml_model_load(name)
    path, ours = read_table(name)
    assert ours == {key: value for key, value in theirs.items() if key != "yaml_file"}
    assert name in official() or name == "yolov8m6.yaml" or path.name == name


def test_a_file_comes_before_a_table_of_ultralytics() -> None:
    rows = [[-1, 1, "Conv", [64, 3, 2]], [-1, 1, "Conv", [64, 3, 2]]]
    scales = {"n": [1, 0.25, 64], "s": [1, 0.5, 64]}
    written(rows, scales=scales).rename("yolo11s.yaml")
    ours = analyze("yolo11s.yaml")
    assert (ours.nc, ours.scale, ours.scales) == (3, "s", ("n", "s"))
    Path("yolo11s.yaml").rename("yolo11.yaml")
    assert analyze("yolo11s.yaml").layers == ours.layers  # found without its size
    assert analyze("yolo11.yaml").scale == "n"


def laughs() -> str:
    """Lists that hold each other: 10 ** 9 values in a few lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    return "\n".join([*lines, "nc: 3", "backbone: *a8", "head: []"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (laughs(), "holds more than 100,000 values"),
        ("backbone: !!python/object/apply:os.system ['touch RAN']", "is not YAML"),
        ("[" * 5000, "nested too deeply"),
        ("", "does not describe a network"),
        ("nc: 3\nnames: [a, b, c]\ntrain: images", "does not describe a network"),  # a dataset
        ("nc: 3\nbackbone: 5\nhead: []", "no list of layers under 'backbone'"),
        ("nc: many\nbackbone: []\nhead: []", "class count is 'many'"),
        ("nc: 3\nbackbone: [[-1, 1, Conv]]\nhead: []", "is [-1, 1, 'Conv'], not"),
        ("nc: 3\nbackbone: [[5, 1, Conv, [16]]]\nhead: []", "which is not an earlier layer"),
        ("nc: 3\nbackbone: [[-1, 900, Conv, [16]]]\nhead: []", "repeats in layer 0"),
        ('nc: 3\nbackbone: [[-1, 1, "a\\nb", [16]]]\nhead: []', "not a module's name"),
        ("nc: 3\nbackbone: []\nhead: []", "has no layers"),
        (f"nc: 3\nbackbone: [{'[-1, 1, Conv, [16]], ' * 600}]\nhead: []", "or more layers, not 1 to 512"),
        ("nc: 3\nscales: {n: [1, 1]}\nbackbone: [[-1, 1, Conv, [16]]]\nhead: []", "not [depth, width"),
        ("nc: 3\nwhen: 2020-01-01\nbackbone: []\nhead: []", "in its architecture table"),
        (f"nc: 3\nbackbone: [{'[-1, 128, C2f, [8]], ' * 80}]\nhead: []", "more than 10,000 convolutions"),
        ("#" * 2**20 + "\n", "more than 1,048,576"),
    ],
)
def test_a_hostile_table_is_refused(text: str, message: str) -> None:
    Path("net.yaml").write_text(text)
    with pytest.raises(WeightsError) as error:
        analyze("net.yaml")
    assert message in str(error.value)
    assert not Path("RAN").exists()


def test_a_table_that_no_image_fits_is_at_fault_and_not_the_size() -> None:
    areas = [[-1, 1, "A2C2f", [64, True, prime]] for prime in (61, 59, 53)]
    ours = analyze(str(written([[-1, 1, "Conv", [64, 3, 2]], *areas])))
    assert ours.size == (640, 640)
    assert not ours.ported


def test_strings_of_a_table_are_not_evaluated() -> None:
    code = "__import__('pathlib').Path('RAN').touch()"
    ours = analyze(str(written([[-1, 1, "Conv", [code]], [-1, 1, "Mystery", [code]]], activation=code)))
    assert len(ours.problems) == 3
    assert not Path("RAN").exists()


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "subprocess.Popen", "torch.load"])
def test_a_checkpoint_that_could_run_code_is_refused(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    data = checkpoints.archive(checkpoints.calling(module, attribute, "touch RAN"))
    Path("net.pt").write_bytes(data)
    with pytest.raises(WeightsError, match="could run code"):
        analyze("net.pt")
    assert not Path("RAN").exists()


def test_a_call_of_an_unknown_name_makes_nothing() -> None:
    data = checkpoints.archive(checkpoints.calling("commands_of_tomorrow", "run", "touch RAN"))
    Path("net.pt").write_bytes(data)
    with pytest.raises(WeightsError, match="without an architecture table"):
        analyze("net.pt")
    assert not Path("RAN").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("yolo11z.yaml", "did you mean yolo11"),
        ("zebra.yaml", "give its path"),
        ("folder.yaml", "is not a regular file"),
        ("nowhere.pt", "no weights named"),
    ],
)
def test_a_file_that_is_not_there(name: str, message: str) -> None:
    Path("folder.yaml").mkdir()
    with pytest.raises(WeightsError, match=message):
        analyze(name)


def test_the_input_is_a_multiple_of_the_strides() -> None:
    with pytest.warns(UserWarning, match="256 is used"):
        assert analyze("yolov8n-p6.yaml", 200).size == (256, 256)
    with pytest.raises(UsageError, match="imgsz"):
        analyze("yolov8n.yaml", 0)


def test_an_analysis_changes_nothing() -> None:
    model = checkpoints.detection_model(checkpoints.tiny_table())
    Path("net.pt").write_bytes(checkpoints.checkpoint(copy.deepcopy(model)))
    first: Analysis = analyze("net.pt")
    assert first == analyze("net.pt")
    assert sorted(map(str, Path().iterdir())) == ["net.pt"]

"""The architecture table: what it comes to, held against Ultralytics, and what is refused."""

from __future__ import annotations

import copy
import random
import re
import time
from pathlib import Path
from typing import Any

import checkpoints
import pytest

from yolo_max.model.architecture import (
    Architecture,
    expected_tensors,
    parse_architecture,
)
from yolo_max.model.specs import SPECS
from yolo_max.model.specs.parts import Part
from yolo_max.model.table import MAX_LAYERS
from yolo_max.support.errors import WeightsError
from yolo_max.support.ultralytics_import import import_ultralytics


def official(name: str, **changes: Any) -> dict[str, Any]:
    """A table that comes with Ultralytics."""
    import_ultralytics()
    from ultralytics.nn.tasks import yaml_model_load

    return {**yaml_model_load(f"{name}.yaml"), **changes}


def assert_same(architecture: Architecture, table: dict[str, Any]) -> None:
    tensors, strides = checkpoints.reference(table)
    assert expected_tensors(architecture) == tensors
    assert architecture.strides == strides


@pytest.mark.parametrize("nc", [1, 6, 80])
@pytest.mark.parametrize("size", "nsmlx")
def test_every_size_and_class_count_is_what_ultralytics_builds(size: str, nc: int) -> None:
    table = official(f"yolov8{size}", nc=nc)
    architecture = parse_architecture(table)
    assert_same(architecture, table)
    assert architecture.nc == nc
    assert architecture.strides == (8, 16, 32)
    assert architecture.layers[-1].c_out == 64 + nc


@pytest.mark.parametrize(
    "name",
    [
        "yolov8n-p2",  # four levels
        "yolov3",  # Bottleneck as a layer, repeated; factors in the older keys
        "rtdetr-l",  # not ported: a transformer
        "yolov8n-seg",  # a third branch, and prototypes
        "yolo26n-pose",  # branches that only training needs
        "yolov8n-cls",  # another head
        "yolov8x-cls",
        "yolov6n",  # ReLU, transposed convolutions
        "yolov3-tiny",  # pools, one of them on a padded map
        "yolov9e",  # layers that give several maps
    ],
)
def test_other_tables_are_built_alike_or_their_unported_parts_are_all_named(name: str) -> None:
    table = official(name)
    architecture = parse_architecture(table)
    rows = [(i, row[2]) for i, row in enumerate(table["backbone"] + table["head"])]
    unported = [(i, module) for i, module in rows if module not in SPECS]
    problems = architecture.unsupported()
    for i, module in unported:
        (problem,) = (each for each in problems if each.startswith(f"{module} (layer"))
        assert str(i) in re.findall(r"\d+", problem.partition(" (")[2])
    assert bool(problems) == (name == "rtdetr-l")
    if not problems:
        assert_same(architecture, table)
    else:
        with pytest.raises(WeightsError) as caught:
            architecture.require()
        assert all(problem in str(caught.value) for problem in problems)
        with pytest.raises(WeightsError):
            expected_tensors(architecture)


def shipped() -> list[Any]:
    """Every table that comes with Ultralytics, of every task, at each of its sizes."""
    import_ultralytics()
    import ultralytics
    from ultralytics.utils import YAML

    cases = []
    for path in sorted((Path(ultralytics.__file__).parent / "cfg" / "models").rglob("*.yaml")):
        table = YAML.load(path)
        for size in table.get("scales") or [None]:
            given = table if size is None else {**table, "scale": size}
            cases.append(pytest.param(given, id=f"{path.stem}-{size}"))
    return cases


@pytest.mark.parametrize("table", shipped())
def test_a_table_of_ultralytics_is_ported_or_all_that_it_lacks_is_named(table: dict[str, Any]) -> None:
    architecture = parse_architecture(table)
    lacking = {row[2] for row in table["backbone"] + table["head"]} - SPECS.keys()
    named = {problem.partition(" ")[0] for problem in architecture.unsupported()}
    assert lacking <= named
    if named:
        with pytest.raises(WeightsError, match="not ported"):
            architecture.require()
    else:
        assert all(min(shape) > 0 for shape in expected_tensors(architecture).values())


JUNK: list[Any] = [
    0,
    -1,
    1,
    2,
    7,
    0.5,
    -0.5,
    10**9,
    float("nan"),
    float("inf"),
    True,
    None,
    "nc",
    "None",
    "x",
    [],
    [3, 3],
    {},
]


@pytest.mark.parametrize("hidden", [False, True], ids=["known", "hidden"])
@pytest.mark.parametrize("module", sorted(SPECS))
def test_whatever_the_arguments_a_row_is_resolved_or_refused(module: str, hidden: bool) -> None:
    """Any values, on an input whose channels are known, or hidden by a block that is not ported."""
    spec, rng = SPECS[module], random.Random(0)
    first = [-1, 1, "C3Ghost" if hidden else "Conv", [64, 3, 2]]
    source = [0] if spec.joins else 0
    for _ in range(300):
        args = [rng.choice([64, *JUNK]) for _ in range(rng.randint(0, len(spec.signature)))]
        row = [source, rng.choice([1, 2, *JUNK]), module, args]
        table = {"nc": 2, "backbone": [first, row], "head": [[[1], 1, "Detect", ["nc"]]]}
        try:
            architecture = parse_architecture(table)
        except WeightsError:
            continue
        if not architecture.unsupported():
            assert all(min(shape) > 0 for shape in expected_tensors(architecture).values())


def test_a_depthwise_row_behind_an_unported_block_is_not_blamed() -> None:
    table = change("backbone.2.2", "C3Ghost")
    table["backbone"][3] = [-1, 1, "Conv", [128, 3, 2, None, 8]]  # 8 channels, once scaled
    assert parse_architecture(table).unsupported() == ("C3Ghost (layer 2)",)


def test_a_port_of_fewer_blocks_names_what_it_lacks() -> None:
    architecture = parse_architecture(checkpoints.table())
    assert architecture.unsupported() == ()
    without = {layer.module for layer in architecture.layers} - {"SPPF", "nn.Upsample"}
    assert architecture.unsupported(without) == (
        "SPPF (layer 9)",
        "nn.Upsample (layers 10, 13)",
    )


@pytest.mark.parametrize(
    ("change", "task", "outputs", "strides", "stride"),
    [
        ({}, "detect", ("head",), (8, 16, 32), 32),
        # a head that reads the finest level alone, of which coarser ones are a part
        (
            {"head": [*checkpoints.table()["head"][:6], [[15], 1, "Detect", ["nc"]]]},
            "detect",
            ("head",),
            (8,),
            32,
        ),
        # no cells: any size
        ({"head": [[-1, 1, "Classify", ["nc"]]]}, "classify", ("logits",), (), 1),
        # four areas of the pixels at stride 32
        (
            {"head": [[-1, 1, "A2C2f", [1024, True, 4]], [-1, 1, "Classify", ["nc"]]]},
            "classify",
            ("logits",),
            (),
            64,
        ),
        # the means of a map at stride 32 are halved
        ({"head": [[-1, 1, "ADown", [64]], [-1, 1, "Classify", ["nc"]]]}, "classify", ("logits",), (), 64),
        # a map of stride 32 that is enlarged to fit one of 16
        (
            {"head": [*checkpoints.table()["head"][:3], [-1, 1, "Classify", ["nc"]]]},
            "classify",
            ("logits",),
            (),
            32,
        ),
    ],
)
def test_the_head_says_what_the_network_is_for(
    change: dict[str, Any], task: str, outputs: tuple[str, ...], strides: tuple[int, ...], stride: int
) -> None:
    network = parse_architecture(checkpoints.table(**change))
    assert network.head is network.layers[-1]
    assert (network.task, network.outputs, network.strides, network.stride) == (
        task,
        outputs,
        strides,
        stride,
    )


def test_layers_carry_what_a_block_needs() -> None:
    layers = parse_architecture(checkpoints.table(nc=7)).layers
    assert (layers[0].from_, layers[0].c_in, layers[0].c_out) == ((-1,), (3,), 8)
    assert layers[0].args.items() >= {"kernel": 3, "stride": 2, "padding": 1}.items()
    assert layers[4].args == {"bottlenecks": 2, "hidden": 8, "shortcut": True}
    assert layers[9].args.items() >= {"kernel": 5, "hidden": 32}.items()
    assert (layers[11].from_, layers[11].c_in, layers[11].c_out) == ((10, 6), (64, 32), 96)
    assert layers[22].from_ == (15, 18, 21)
    widths = {"box_hidden": 64, "class_hidden": 16}
    assert layers[22].args.items() >= {"nc": 7, "reg_max": 16, **widths}.items()


def test_copies_of_a_block_are_numbered() -> None:
    table = checkpoints.table()
    table["backbone"].insert(2, [-1, 2, "Bottleneck", [128]])
    table["scales"]["t"][0] = 1.0
    table["head"][-1][0] = [16, 19, 22]
    for row in table["head"]:
        if row[2] == "Concat":
            row[0] = [row[0][0], row[0][1] + 1]
    layer = parse_architecture(table).layers[2]
    assert layer.copies == 2
    assert layer.prefixes() == ("model.2.0", "model.2.1")
    assert_same(parse_architecture(table), table)


@pytest.mark.parametrize("seed", range(30))
def test_random_layouts_are_what_ultralytics_builds(seed: int) -> None:
    table = random_table(random.Random(seed))
    assert_same(parse_architecture(table), table)


def random_table(rng: random.Random) -> dict[str, Any]:
    """A network of the ported blocks, in any order that makes sense."""
    rows: list[list[Any]] = []
    stride, strides = 1, list[int]()
    for index in range(rng.randint(4, 12)):
        partner = next((i for i in range(len(rows) - 1) if strides[i] == stride), None)
        kinds = ["Conv", "Conv", "C2f", "Bottleneck", "SPPF"]
        if index > 0:
            kinds += ["nn.Upsample"] * (stride > 1) + ["Concat"] * 2 * (partner is not None)
        kind = rng.choice(kinds)
        c_out = rng.choice([17, 40, 64, 100, 333])
        repeats = 1
        args: list[Any] = [c_out]
        if kind == "Conv":
            step = rng.choice([1, 2]) if stride < 64 else 1
            args = [c_out, rng.choice([1, 3, 5]), step, *rng.choice([[], [None]])]
            stride *= step
        elif kind == "C2f":
            repeats = rng.randint(1, 9)
            args += rng.choice([[], [True], [False, 1, 0.25], ["True"]])
        elif kind == "Bottleneck":
            args += rng.choice([[], [False], [True, 1, [3, 3], 0.75]])
        elif kind == "SPPF":
            args += rng.choice([[], [3], [9]])
        elif kind == "nn.Upsample":
            args = ["None", 2, "nearest"]
            stride //= 2
        elif kind == "Concat":
            args = [1]
        source = (
            [rng.choice([-1, index - 1]), partner] if kind == "Concat" else rng.choice([-1, -1, index - 1])
        )
        rows.append([source if index else -1, repeats, kind, args])
        strides.append(stride)
    cut = rng.randint(1, len(rows))
    levels = [rng.randrange(len(rows)) for _ in range(rng.randint(1, 4))]
    head = [*rows[cut:], [levels, 1, "Detect", ["nc"]]]
    table: dict[str, Any] = {"nc": rng.choice([1, 2, 80, 150]), "backbone": rows[:cut], "head": head}
    if rng.random() < 0.5:
        table.update(depth_multiple=rng.choice([0.33, 1.5]), width_multiple=rng.choice([0.1, 0.5, 1.25]))
    else:
        table["scales"] = {"s": [rng.choice([0.33, 0.67]), rng.choice([0.25, 1.25]), rng.choice([64, 512])]}
    return table


def change(path: str, value: Any) -> dict[str, Any]:
    """The table with one entry replaced: ``backbone.4.1`` is the repeats of row 4."""
    table: Any = checkpoints.table()
    *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
    target = table
    for key in parents:
        target = target[key]
    target[last] = value
    return dict(table)


def endless() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("nc", 0, "class count is 0"),
        ("nc", -80, "class count is -80"),
        ("nc", True, "class count is True"),
        ("nc", "80", "class count is '80'"),
        ("nc", 10**9, "class count is 1000000000"),
        ("backbone", [], "does not end|has 13|earlier layer"),  # the head then reads layers that do not exist
        ("backbone", None, "no list of layers under 'backbone'"),
        ("head", {"a": 1}, "no list of layers under 'head'"),
        ("head", [], "does not end in its one head"),
        ("head.11", [-1, 1, "Classify", ["nc"]], "does not end in its one head"),  # another before it
        ("head.12", [[15, 18], 1, "Classify", ["nc"]], "reads 2 layers, but takes one"),
        ("head.12", [-1, 1, "Classify", [5]], "is for 5 classes, but the table is for 3"),
        ("head.12", [-1, 7, "Classify", ["nc"]], "its output cannot be its own input"),
        ("backbone", [[-1, 1, "Conv", [64, 3, 2]]] * (MAX_LAYERS + 1), "or more layers"),
        ("backbone.0", "Conv", "not \\[from, repeats, module, args\\]"),
        ("backbone.0", [-1, 1, "Conv"], "not \\[from, repeats, module, args\\]"),
        ("backbone.0.3", "64", "not \\[from, repeats, module, args\\]"),
        ("backbone.0.2", 7, "not a module's name"),
        ("backbone.0.2", "Conv\x1b[2J", "not a module's name"),
        ("backbone.0.2", "x" * 1000, "not a module's name"),
        # references
        ("backbone.0.0", 0, "reads from 0, which is not an earlier layer"),  # itself
        ("backbone.0.0", -2, "reads from -2"),
        ("backbone.4.0", 4, "layer 4 .* reads from 4"),  # itself
        ("backbone.4.0", 21, "layer 4 .* reads from 21"),  # forwards
        ("backbone.4.0", -5, "layer 4 .* reads from -5"),  # before the start
        ("backbone.4.0", "2", "reads from '2'"),
        ("backbone.4.0", True, "reads from True"),
        ("backbone.4.0", [3, 2], "reads 2 layers, but takes one"),
        ("backbone.4.0", [], "reads 0 layers"),
        ("backbone.4.0", endless(), "reads from \\[…\\]"),
        ("head.1.0", [-1, 4], "strides: 16, 8"),  # a concat of levels that do not fit
        ("head.12.0", [-1] * 10_000, "reads 10000 layers"),
        # repeats
        ("backbone.4.1", 0, "repeats in layer 4"),
        ("backbone.4.1", -3, "repeats in layer 4"),
        ("backbone.4.1", 10**30, "repeats in layer 4"),
        ("backbone.4.1", 1.5, "repeats in layer 4"),
        (
            "backbone.3.1",
            7,
            "its output cannot be its own input",  # copies of a block that changes the channels
        ),
        ("head.1.1", 7, "its output cannot be its own input"),
        # channels and other arguments
        ("backbone.4.3", [], "lacks its argument 'c_out'"),
        ("backbone.4.3", [-256], "output channels -256"),
        ("backbone.4.3", [0], "output channels 0"),
        ("backbone.4.3", [10**12], "output channels 1000000000000"),
        ("backbone.4.3", ["[" * 30], "output channels '\\[\\[\\["),
        ("backbone.4.3", [256, True, 1, -0.5], "expansion -0.5"),
        ("backbone.4.3", [256, True, 1, float("nan")], "expansion nan"),
        ("backbone.4.3", [256, True, 1, 0.001], "hidden channels 0"),
        ("backbone.4.3", [256] * 40, "has 40 arguments"),
        ("backbone.3.3", [256, 0, 2], "kernel 0"),
        ("backbone.3.3", [256, 10**6, 2], "kernel 1000000"),
        ("backbone.3.3", [256, 3, 0], "stride 0"),
        ("backbone.3.3", [256, 3, -2], "stride -2"),
        ("backbone.3.3", [256, 3, "os.system"], "stride 'os.system'"),
        ("backbone.3.3", [256, 3, 2, None, 0], "groups 0"),
        ("backbone.9.3", [1024, 5, 0], "pools 0"),
        ("backbone.9.3", [1024, 5, 10**9], "pools 1000000000"),
        ("backbone.9", [-1, 1, "SPP", [1024, 5]], "kernels 5, which is not a list of 1 to 16"),
        ("backbone.9", [-1, 1, "SPP", [1024, []]], "kernels \\[\\], which is not a list"),
        ("backbone.9", [-1, 1, "SPP", [1024, [5] * 17]], "kernels \\[5, 5"),
        ("backbone.9", [-1, 1, "SPP", [1024, ["os.system"]]], "kernel 'os.system'"),
        ("backbone.9", [-1, 1, "C2PSA", [512]], "gives 32 channels, but must give the 64 of its input"),
        ("backbone.9", [-1, 1, "PSA", [1024, 4.1]], "262 channels, which do not divide into 4 heads"),
        ("backbone.9", [-1, 1, "C3k2", [1024, False, 4.1, True]], "262 .* do not divide into 4 heads"),
        ("backbone.9", [-1, 1, "C3k2", [1024, True, 0.01]], "hidden channels 0"),
        ("head.12.3", [5], "is for 5 classes, but the table is for 3"),
        ("reg_max", 0, "reg_max is 0"),
        ("reg_max", 10**6, "reg_max is 1000000"),
        # scales
        ("scale", "q", "no scale 'q'; it has 't'"),
        ("scale", ["t"], "no scale \\['t'\\]"),
        ("scales", "n", "scales are 'n'"),
        ("scales.t", [0.33, 0.25], "not \\[depth, width, max_channels\\]"),
        ("scales.t.0", float("nan"), "depth is nan"),
        ("scales.t.0", -1, "depth is -1"),
        ("scales.t.0", 1e308, "depth is 1e\\+308"),
        ("scales.t.1", 0, "width is 0"),
        ("scales.t.1", 10**400, "width is 1000"),
        ("scales.t.1", 16, "asks for over 250,000,000 parameters"),
        ("head.1.0", [-1] * 300, "layer 11 .* concatenated channels"),
        ("scales.t.2", 0, "max_channels is 0"),
        ("scales.t.2", -1, "max_channels is -1"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(path: str, value: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        parse_architecture(change(path, value))
    assert len(str(caught.value)) < 300
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("table", [None, [], "yolov8n", 8, {}], ids=str)
def test_what_is_no_table_is_refused(table: Any) -> None:
    with pytest.raises(WeightsError):
        parse_architecture(table)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("backbone.3.3", [256, 3, 2, None, 4], "Conv with groups=4 (layer 3)"),
        ("backbone.3.3", [256, 3, 2, 1, 1, 2], "Conv with dilation=2 (layer 3)"),
        ("backbone.3.3", [256, 3, 2, 0], "Conv with padding=0 (layer 3)"),
        ("backbone.3.3", [256, 6, 2], "Conv with kernel=6 (layer 3)"),  # one pixel more than half the map
        ("backbone.3.3", [256, 3, 2, True], "Conv with padding=True (layer 3)"),
        ("backbone.3.3", [256, [1, 3], 2], "Conv with kernel=[1, 3] (layer 3)"),
        ("backbone.3.3", [256, 3, 2, None, 1, 1, "nn.ReLU()"], "Conv with activation='nn.ReLU()' (layer 3)"),
        ("backbone.4.3", [256, True, 2], "C2f with groups=2 (layer 4)"),
        ("backbone.9.3", [1024, 4], "SPPF with kernel=4 (layer 9)"),
        ("head.0.3", ["None", 3, "nearest"], "nn.Upsample with scale=3 (layer 10)"),
        ("head.0.3", ["None", 2, "bilinear"], "nn.Upsample with mode='bilinear' (layer 10)"),
        ("head.0.3", [[80, 80], None, "nearest"], "nn.Upsample with size=[80, 80], scale=None (layer 10)"),
        ("head.12", [-1, 1, "Classify", ["nc", 3]], "Classify with kernel=3 (layer 22)"),
        ("activation", "nn.LeakyReLU(0.1)", "activation 'nn.LeakyReLU(0.1)'"),
        ("channels", 4, "4 input channels"),
        ("backbone.4.2", "GhostConv", "GhostConv (layer 4)"),
    ],
)
def test_what_ultralytics_allows_and_the_port_does_not_is_named(path: str, value: Any, problem: str) -> None:
    assert problem in parse_architecture(change(path, value)).unsupported()


def test_too_many_parameters_are_refused_at_once() -> None:
    wide = [[-1, 1, "Conv", [16_384, 3, 2]], *[[-1, 128, "C2f", [16_384]]] * (MAX_LAYERS - 2)]
    table = {"nc": 16_384, "backbone": wide, "head": [[[-1], 1, "Detect", ["nc"]]]}
    start = time.perf_counter()
    with pytest.raises(WeightsError, match="asks for over"):
        parse_architecture(table)
    assert time.perf_counter() - start < 5


def test_too_many_convolutions_are_refused_before_they_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows of few parameters: copies of a block that repeats another one."""
    walked = 0

    def convolutions(part: Part, path: str) -> Any:
        nonlocal walked
        for each in original(part, path):
            walked += 1
            yield each

    original = Part.convolutions
    monkeypatch.setattr(Part, "convolutions", convolutions)
    block = [-1, 128, "RepNCSPELAN4", [64, 64, 64, 128]]
    rows = [[-1, 1, "Conv", [64, 3, 2]], *[block] * (MAX_LAYERS - 2)]
    with pytest.raises(WeightsError, match="more than 10,000 convolutions"):
        parse_architecture({"nc": 1, "backbone": rows, "head": [[[-1], 1, "Detect", ["nc"]]]})
    assert walked < 10 * 10_000  # at every depth of the block


def test_no_image_fits_a_stride_beyond_the_largest() -> None:
    areas = [[-1, 1, "A2C2f", [64, True, prime]] for prime in (61, 59, 53)]
    rows = [[-1, 1, "Conv", [64, 3, 2]], *areas]
    with pytest.raises(WeightsError, match=r"a multiple of 381,494 pixels, over"):
        parse_architecture({"nc": 1, "backbone": rows, "head": [[[-1], 1, "Detect", ["nc"]]]})


def test_the_table_is_not_written_to() -> None:
    table = checkpoints.table()
    before = copy.deepcopy(table)
    parse_architecture(table, nc=9)
    assert table == before

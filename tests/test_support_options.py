"""Options stand in one place: defaults, limits, and what the command line and Python make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pytest

from yolo_max.cli.parameters import Quiet, Some, Sources, takes
from yolo_max.serve.options import ApplicationOptions, ServerOptions
from yolo_max.support.errors import UsageError
from yolo_max.support.option import Options, about, with_keywords
from yolo_max.support.options import DrawOptions, PredictOptions, SaveOptions
from yolo_max.support.parse import parse_device, parse_imgsz
from yolo_max.support.ray_options import RayOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("conf", 0),  # both ends of a fraction
        ("conf", 1.0),
        ("iou", np.float32(0.5)),  # from an array
        ("max_det", np.int64(1)),
        ("batch", None),  # the choice is ours
        ("threads", 3),
    ],
)
def test_a_value_that_makes_sense(name: str, value: Any) -> None:
    assert getattr(PredictOptions().with_changes({name: value}), name) == value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conf": -0.1}, "conf is -0.1, but it must lie between 0 and 1"),
        ({"conf": float("nan")}, "conf is nan"),
        ({"conf": np.float32(1.5)}, r"conf is np\.float32\(1\.5\)"),  # NumPy's numbers are taken, too
        ({"conf": "0.5"}, "conf is '0.5'"),
        ({"iou": True}, "iou is True"),  # a number to Python
        ({"max_det": 0}, "max_det is 0, but it must be a whole number of at least 1"),
        ({"max_det": 1.5}, "max_det is 1.5"),
        ({"workers": True}, "workers is True"),
        ({"rect": "yes"}, "rect is 'yes', but it must be True or False"),
        ({"device": 0}, "device is 0, but it must be a word"),
        ({"cnf": 0.5}, "there is no option 'cnf'; did you mean conf"),
        ({"zzz": 1}, "there is no option 'zzz'; use one of imgsz, rect"),
        ({"batch": 1025}, "batch is 1025, but it must be a whole number from 1 to 1024"),
        ({"half": True}, "there is no option 'half'; use precision='bf16'"),  # one of Ultralytics'
        ({"show_conf": False}, "there is no option 'show_conf'; yolo_max.draw has show_conf"),
    ],
)
def test_a_value_that_makes_none(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PredictOptions().with_changes(changes)


LONG: Any = "x" * 10**6


@pytest.mark.parametrize(
    "make",
    [
        *(
            partial(PredictOptions().with_changes, {name: LONG})
            for name in ("conf", "iou", "overlap", "max_det", "batch", "rect")
        ),
        *(partial(PredictOptions().with_changes, {name: [LONG]}) for name in ("conf", "max_det", "engine")),
        partial(PredictOptions().with_changes, {LONG: 1}),
        partial(PredictOptions, batch=10**4400),  # which Python does not print
        partial(DrawOptions, color_mode=LONG),
        partial(RayOptions, shard_format=LONG),
        partial(ApplicationOptions().with_changes, {"timeout": LONG}),
        partial(ServerOptions().with_changes, {"host": [LONG]}),
        partial(ServerOptions().with_changes, {"allowed_host": LONG}),
        partial(ServerOptions().with_changes, {"token_file": [LONG]}),
        partial(parse_device, LONG),
        partial(parse_imgsz, [LONG] * 2),
        partial(parse_imgsz, [LONG] * 3),
    ],
)
def test_what_is_refused_is_named_in_short(make: Callable[[], object]) -> None:
    with pytest.raises(UsageError) as refused:
        make()
    assert len(str(refused.value)) < 1000


def test_a_class_checks_what_it_is_made_of() -> None:
    with pytest.raises(UsageError, match="line_width is 0"):
        SaveOptions(line_width=0)


@pytest.mark.parametrize("kind", [PredictOptions, SaveOptions])
def test_every_option_has_its_help(kind: type[Options]) -> None:
    for each in fields(kind):
        known = about(each)
        assert known.help.endswith(".")
        # A default of None says nothing by itself.
        assert (each.default is None) == (known.default_text is not None)
        assert (each.default in (True, False)) == (known.metavar == "")


def test_the_command_line_has_each_option_once_and_gives_them_back() -> None:
    @takes(options=Some(PredictOptions, conf=0.5))
    def command(source: Sources, options: PredictOptions, quiet: Quiet = False) -> Any:
        return source, options, quiet

    parameters = signature(command).parameters
    of_python = {"multi_label", "coarse_masks", "clip", "round_up"}
    written = [each.name for each in fields(PredictOptions) if each.name not in of_python]
    assert list(parameters) == ["source", *written, "quiet"]
    assert parameters["conf"].default == 0.5
    given = {name: each.default for name, each in parameters.items() if each.default is not Parameter.empty}
    changed = {**given, "source": "a.jpg", "imgsz": "480,640", "classes": ["a,b", "c"]}
    expected = PredictOptions(conf=0.5, imgsz=[480, 640], classes=["a", "b", "c"])
    assert command(**changed) == ("a.jpg", expected, False)


def test_a_command_may_take_some_options_only() -> None:
    @takes(options=Some(PredictOptions, "iou", "conf", conf=0.001, helps={"iou": "Overlap."}))
    def command(options: PredictOptions) -> PredictOptions:
        return options

    parameters = signature(command).parameters
    assert list(parameters) == ["conf", "iou"]
    assert parameters["iou"].annotation.__metadata__[0].help == "Overlap."
    assert command(conf=0.2, iou=0.6) == PredictOptions(conf=0.2, iou=0.6)


def test_python_shows_each_option_as_a_keyword() -> None:
    class Thing:
        @with_keywords(PredictOptions)
        def __init__(self, weights: str, *, device: str = "cpu", **changes: Any) -> None: ...

    parameters = signature(Thing).parameters
    assert set(parameters) == {"weights", *(each.name for each in fields(PredictOptions))}
    assert parameters["device"].default == "cpu"  # its own comes first
    assert parameters["iou"].default == 0.7


def test_classes_from_a_generator_can_be_read_again() -> None:
    options = PredictOptions(classes=(name for name in ("cat", "dog")))
    assert options.with_changes({"conf": 0.5}).classes == ("cat", "dog")

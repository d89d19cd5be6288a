"""Guards, signatures and structures: plain values that survive JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from yolo_max.convert.errors import ConversionError
from yolo_max.convert.guards import evaluate, from_json, unmet, written
from yolo_max.convert.signature import Signature
from yolo_max.convert.structure import PlainContainers

SIZES = {"h": 10, "w": 7}


@pytest.mark.parametrize(
    ("expression", "value", "text"),
    [
        (3, 3, "3"),
        ("h", 10, "h"),
        (("+", "h", "w", 1), 18, "h + w + 1"),
        (("*", 2, ("//", "h", 4)), 4, "2*(h//4)"),
        (("%", "w", 4), 3, "w%4"),
        (("*", 2, ("+", 1, ("*", "h", "w"))), 142, "2*(1 + h*w)"),
        (("max", "h", ("min", "w", 2)), 10, "max(h, min(w, 2))"),
        (("==", "h", ("*", 2, ("//", "h", 2))), True, "h == 2*(h//2)"),
        (("!=", "h", 10), False, "h != 10"),
        (("and", ("<", "w", "h"), (">=", "w", 7)), True, "w < h and w >= 7"),
        (("or", ("<=", "h", 9), (">", "w", 7)), False, "h <= 9 or w > 7"),
    ],
)
def test_an_expression(expression: Any, value: int, text: str) -> None:
    assert evaluate(expression, SIZES) == value
    assert written(expression) == text
    assert from_json(json.loads(json.dumps(expression))) == expression
    if not isinstance(expression, int | str):
        assert unmet([expression], SIZES) == (None if value else text)


SIGNATURE = Signature(
    (("batch", 3, "height"), ("batch", 4)),
    ("float32", "int64"),
    (None, (None,), (3,)),
    (("==", ("%", "height", 2), 0),),
)


def test_a_signature_survives_json() -> None:
    assert Signature.from_dict(json.loads(json.dumps(SIGNATURE.to_dict()))) == SIGNATURE


@pytest.mark.parametrize(
    ("shapes", "dtypes", "message"),
    [
        ([(2, 3, 4)], ["float32"], "net takes 2 inputs, and got 1"),
        ([(2, 3, 4), (2, 4)], ["float32", "int32"], "input 1 of net is int32; it takes int64"),
        (
            [(2, 5, 4), (2, 4)],
            ["float32", "int64"],
            r"input 0 .* shape \(2, 5, 4\); it takes \(batch, 3, h",
        ),
        ([(2, 3, 4), (3, 4)], ["float32", "int64"], r"input 1 .* shape \(3, 4\); it takes \(batch, 4\)"),
        ([(0, 3, 4), (0, 4)], ["float32", "int64"], r"input 0 .* shape \(0, 3, 4\)"),  # nothing at all
        ([(2, 3, 5), (2, 4)], ["float32", "int64"], "with batch = 2, height = 5; it needs height%2 == 0"),
    ],
)
def test_inputs_that_do_not_fit(shapes: Any, dtypes: list[str], message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        SIGNATURE.require_fit("net", shapes, dtypes)


def test_inputs_that_fit() -> None:
    SIGNATURE.require_fit("net", [(2, 3, 4), (2, 4)], ["float32", "int64"])


STRUCTURE = ["tuple", "leaf", ["dict", ["a", ["list", "leaf", "leaf"]], ["b", "leaf"]]]


def test_a_structure_is_taken_apart_and_put_together() -> None:
    containers = PlainContainers(STRUCTURE, STRUCTURE)
    value = (1, {"a": [2, 3], "b": 4})
    assert containers.flatten(value) == [1, 2, 3, 4]
    assert containers.unflatten([1, 2, 3, 4]) == value


@pytest.mark.parametrize(
    "value",
    [
        (1,),
        (1, {"a": [2, 3]}),
        (1, {"b": 4, "a": [2, 3]}),  # another order
        (1, {"a": (2, 3), "b": 4}),
        (1, {"a": [2, 3, 4], "b": 4}),
        ((1, 2), {"a": [2, 3], "b": 4}),
        (1, [2, 3, 4]),
    ],
)
def test_another_structure(value: Any) -> None:
    assert PlainContainers(STRUCTURE, STRUCTURE).flatten(value) is None

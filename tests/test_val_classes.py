"""Which of a model's classes are those of a dataset."""

from __future__ import annotations

import pytest

from yolo_max.support.errors import UsageError
from yolo_max.verify.val.classes import class_map, class_map_by_id


@pytest.mark.parametrize(
    ("model", "dataset", "expected"),
    [
        ({0: "disc", 1: "square"}, {0: "disc", 1: "square"}, {0: 0, 1: 1}),
        ({0: "disc", 1: "square", 2: "star"}, {0: "Disc", 1: "Square"}, {0: 0, 1: 1}),  # some of the model's
        ({0: "disc", 1: "square"}, {0: "class_0", 1: "class_1"}, {0: 0, 1: 1}),  # classes without names
        ({0: "disc", 1: "square"}, {1: "disc", 90: "square"}, {0: 1, 1: 90}),  # COCO's own ids
        ({0: "disc", 1: "square"}, {0: "square", 1: "disc"}, {0: 1, 1: 0}),  # another order
    ],
)
def test_class_map(model: dict[int, str], dataset: dict[int, str], expected: dict[int, int]) -> None:
    assert class_map(model, dataset) == expected


@pytest.mark.parametrize(
    ("dataset", "labelled", "expected"),
    [
        # a root category that nothing is labelled with, as Roboflow writes it
        ({0: "things", 1: "disc", 2: "square"}, {1, 2}, {0: 1, 1: 2}),
        # one that is called like a class
        ({0: "disc", 1: "disc", 2: "square"}, {1, 2}, {0: 1, 1: 2}),
        ({1: "disc", 2: "square", 3: "disc"}, {1, 2}, {0: 1, 1: 2}),
        ({0: "cat", 1: "square"}, set(), {1: 1}),
        # with a hole, and of one name in another case
        ({3: "Disc", 7: "disc"}, {7}, {0: 7}),
    ],
)
def test_only_labelled_classes_must_be_known(
    dataset: dict[int, str], labelled: set[int], expected: dict[int, int]
) -> None:
    assert class_map({0: "disc", 1: "square"}, dataset, labelled) == expected


def test_classes_of_one_name_are_kept_apart() -> None:
    """COCO's evaluator goes by category ids, whatever the names."""
    model = {0: "cat", 1: "dog", 2: "cat"}
    assert class_map(model, {1: "cat", 2: "dog", 3: "cat"}) == {0: 1, 1: 2, 2: 3}
    # A model that was trained for one of them finds neither more nor fewer than its own.
    with pytest.raises(UsageError, match="more classes of the name 'cat' than the model"):
        class_map({0: "cat", 1: "dog"}, {1: "cat", 2: "dog", 3: "cat"})
    assert class_map({0: "cat", 1: "dog"}, {1: "cat", 2: "dog", 3: "cat"}, {2, 3}) == {0: 3, 1: 2}


def test_renamed_classes_are_matched_by_id() -> None:
    model = {0: "disc", 1: "stop sign", 2: "star"}
    with pytest.warns(
        UserWarning, match=r"other names for 1 of the dataset's classes \('stopsign', \.\.\.\)"
    ):
        assert class_map(model, {0: "disc", 1: "stopsign", 2: "star"}) == {0: 0, 1: 1, 2: 2}
    # Not where another name shows that ids differ, or nothing shows that they agree.
    for names in ({0: "stop sign", 1: "cat", 2: "star"}, {0: "cat", 1: "dog", 2: "cow"}):
        with pytest.raises(UsageError, match="does not know"):
            class_map(model, names)


def test_classes_by_id() -> None:
    model = {0: "disc", 1: "square", 2: "star"}
    assert class_map_by_id(model, {0: "cat", 1: "dog", 7: "cow"}, {0, 1}) == {0: 0, 1: 1}
    with pytest.raises(UsageError, match="has objects of class 7, but the model's classes run from 0 to 2"):
        class_map_by_id(model, {0: "cat", 7: "cow"}, {0, 7})


def test_classes_that_the_model_does_not_know() -> None:
    with pytest.raises(UsageError, match=r"does not know 2 of the dataset's 3 classes \('cat', 'dog'\)"):
        class_map({0: "disc"}, {0: "cat", 1: "disc", 2: "dog"})

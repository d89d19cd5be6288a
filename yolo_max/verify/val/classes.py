"""Which of a model's classes are those of a dataset."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

from yolo_max.support.errors import UsageError


def class_map(model: Mapping[int, str], dataset: Mapping[int, str]) -> dict[int, int]:
    """The dataset's class ids by the model's, for the classes that both have.

    If all the dataset's names are the model's under the same ids (or "class_0" and so on), ids are the same.
    Otherwise classes are matched by name, ignoring case.

    Args:
        model: The model's class names by id.
        dataset: The dataset's.

    Raises:
        UsageError: The dataset has a class that the model does not know.
    """
    same = (
        model.get(i, "").casefold() == name.casefold() or name == f"class_{i}" for i, name in dataset.items()
    )
    if dataset.keys() <= model.keys() and all(same):
        return {class_id: class_id for class_id in dataset}
    by_name = {name.casefold(): class_id for class_id, name in model.items()}
    if strangers := [name for name in dataset.values() if name.casefold() not in by_name]:
        listed = ", ".join(map(repr, strangers[:5])) + (", ..." if len(strangers) > 5 else "")
        raise UsageError(
            f"the model does not know {len(strangers)} of the dataset's {len(dataset)} classes ({listed}); "
            "measure a model that was trained for them."
        )
    return {by_name[name.casefold()]: class_id for class_id, name in dataset.items()}


def class_map_by_order(model: Mapping[int, str], dataset: Mapping[int, str]) -> dict[int, int]:
    """As `class_map`, for names that are those of folders.

    If the model knows none of the names and has as many classes, as with ImageNet's codes, both are matched
    in order, with a warning.

    Args:
        model: The model's class names by id.
        dataset: The dataset's.

    Raises:
        UsageError: The dataset has a class that the model does not know.
    """
    known = {name.casefold() for name in model.values()}
    if len(model) == len(dataset) and not any(name.casefold() in known for name in dataset.values()):
        warnings.warn(
            f"the folders ({dataset[0]}, ...) are not named like the model's classes ({model[0]}, ...); both "
            "are matched in order.",
            stacklevel=2,
        )
        return {class_id: class_id for class_id in dataset}
    return class_map(model, dataset)

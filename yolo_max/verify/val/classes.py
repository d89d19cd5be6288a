"""Which of a model's classes are those of a dataset."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping

from yolo_max.support.errors import UsageError


def class_map(
    model: Mapping[int, str], dataset: Mapping[int, str], labelled: Collection[int] | None = None
) -> dict[int, int]:
    """The dataset's class ids by the model's, for the classes that both have.

    If all the dataset's names are the model's under the same ids (or "class_0" and so on), ids are the same.
    Otherwise classes are matched by name, ignoring case; several of one name are different classes, as in
    COCO, and are matched in the order of their ids. If that fails, but both have the same ids and every name
    that both know has the same id, the other classes have been renamed: ids decide, with a warning.

    Args:
        model: The model's class names by id.
        dataset: The dataset's.
        labelled: The dataset's ids that have an object, which the model must know; all by default.

    Raises:
        UsageError: The dataset has an object of a class that the model does not know.
    """
    same = (
        model.get(i, "").casefold() == name.casefold() or name == f"class_{i}" for i, name in dataset.items()
    )
    if dataset.keys() <= model.keys() and all(same):
        return {class_id: class_id for class_id in dataset}
    needed = dataset.keys() if labelled is None else labelled
    known = _by_name(model, dataset, needed)
    if strangers := [dataset[i] for i in sorted(needed) if i not in known]:
        if known and dataset.keys() == model.keys() and all(i == other for i, other in known.items()):
            warnings.warn(
                f"the model has other names for {len(strangers)} of the dataset's classes ({strangers[0]!r}, "
                "...); they are matched by id.",
                stacklevel=2,
            )
            return {class_id: class_id for class_id in dataset}
        listed = ", ".join(map(repr, strangers[:5])) + (", ..." if len(strangers) > 5 else "")
        if several := [name for name in strangers if name.casefold() in map(str.casefold, model.values())]:
            raise UsageError(
                f"the dataset has more classes of the name {several[0]!r} than the model, which "
                "cannot tell them apart; rename one, or use --classes-by-id or --single-cls."
            )
        raise UsageError(
            f"the model does not know {len(strangers)} of the dataset's {len(dataset)} classes ({listed}); "
            "measure a model that was trained for them, or use --classes-by-id or --single-cls."
        )
    return {class_id: i for i, class_id in sorted(known.items())}


def _by_name(model: Mapping[int, str], dataset: Mapping[int, str], needed: Collection[int]) -> dict[int, int]:
    """The model's class ids by the dataset's, where the names are equal."""
    ids: dict[str, list[int]] = {}
    for class_id in sorted(model, reverse=True):
        ids.setdefault(model[class_id].casefold(), []).append(class_id)
    # Labelled classes first: an unlabelled one of the same name, as Roboflow's root category, gives way.
    order = sorted(dataset, key=lambda i: (i not in needed, i))
    return {i: ids[name].pop() for i in order if ids.get(name := dataset[i].casefold())}


def class_map_by_id(
    model: Mapping[int, str], dataset: Mapping[int, str], labelled: Collection[int]
) -> dict[int, int]:
    """As `class_map`, by ids alone, whatever the names.

    Args:
        model: The model's class names by id.
        dataset: The dataset's.
        labelled: The dataset's ids that have an object.

    Raises:
        UsageError: The dataset has an object of a class id that the model does not have.
    """
    if strangers := sorted(set(labelled) - model.keys()):
        raise UsageError(
            f"the dataset has objects of class {strangers[0]}, but the model's classes run from {min(model)} "
            f"to {max(model)}; match them by name."
        )
    return {class_id: class_id for class_id in dataset if class_id in model}


def class_map_by_order(
    model: Mapping[int, str], dataset: Mapping[int, str], labelled: Collection[int] | None = None
) -> dict[int, int]:
    """As `class_map`, for names that are those of folders.

    If the model knows none of the names and has as many classes, as with ImageNet's codes, both are matched
    in order, with a warning.

    Args:
        model: The model's class names by id.
        dataset: The dataset's.
        labelled: As for `class_map`.

    Raises:
        UsageError: The dataset has an image of a class that the model does not know.
    """
    known = {name.casefold() for name in model.values()}
    if len(model) == len(dataset) and not any(name.casefold() in known for name in dataset.values()):
        warnings.warn(
            f"the folders ({dataset[0]}, ...) are not named like the model's classes ({model[0]}, ...); both "
            "are matched in order.",
            stacklevel=2,
        )
        return {class_id: class_id for class_id in dataset}
    return class_map(model, dataset, labelled)

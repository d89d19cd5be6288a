"""The options of a prediction: name, type, default, limits and help of each, in one place.

The command line's options and Python's keyword arguments both follow from these classes, so they always
agree. Names and defaults are Ultralytics' where it has them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from inspect import Parameter, signature
from numbers import Integral, Real
from typing import Any, ParamSpec, Self, TypeVar

from yolo_max.support.errors import UsageError
from yolo_max.support.parse import sides_of, words_of
from yolo_max.support.result_names import COCO_FILE, CSV_FILE, GALLERY_FILE, PARQUET_FILE
from yolo_max.support.ultralytics_options import IN_PYTHON, unknown_option

SOURCES, NETWORK, DETECTIONS, OUTPUT, RUN = "Sources", "Network", "Detections", "Output", "Run"
"""Groups of options, in the order of the help."""
VAL_CONF = 0.001
"""Minimum confidence for measuring accuracy, as in Ultralytics' validator."""

TRACK_CONF = 0.1
"""Minimum confidence for tracking, as in Ultralytics: less sure boxes continue a track."""

Check = Callable[[str, Any], None]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class About:
    """An option's metadata, besides its name, type and default.

    Attributes:
        group: Its panel of the help; empty for a Python-only option.
        help: One sentence.
        metavar: Placeholder for its value in the help; empty for a switch.
        check: Called with its name and a value; raises UsageError for an invalid one.
        default_text: Shown in the help in place of a default that is not self-explanatory.
        switches: Its names on the command line, if not ``--name``.
        written_as: Its type on the command line, if not the option's own.
        parse: Converts that to the option's type.
    """

    group: str
    help: str
    metavar: str
    check: Check
    default_text: str | None = None
    switches: tuple[str, ...] = ()
    written_as: Any = None
    parse: Callable[[Any], Any] | None = None


def at_least(low: int, high: float = math.inf) -> Check:
    """A check for an integer from ``low`` to ``high``, or None for the default."""
    limits = f"of at least {low}" if high == math.inf else f"from {low} to {high}"

    def check(name: str, value: Any) -> None:
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if value is not None and (not whole or not low <= value <= high):
            raise UsageError(f"{name} is {value!r}, but it must be a whole number {limits}.")

    return check


a_batch = at_least(1, 1024)
"""Checks a batch: a larger one would gain no speed, and need memory that no machine has."""


def a_fraction(name: str, value: Any) -> None:
    """Checks a number from 0 to 1."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= float(value) <= 1:  # also refuses NaN
        raise UsageError(f"{name} is {value!r}, but it must lie between 0 and 1.")


def a_switch(name: str, value: Any) -> None:
    """Checks a boolean."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}, but it must be True or False.")


def a_word(name: str, value: Any) -> None:
    """Checks a string; its allowed values are checked where it is used."""
    if not isinstance(value, str):
        raise UsageError(f"{name} is {value!r}, but it must be a word.")


def a_name(name: str, value: Any) -> None:
    """Checks a string, or None for the default."""
    if value is not None:
        a_word(name, value)


def a_color_mode(name: str, value: Any) -> None:
    """Checks what colors are chosen by."""
    if value not in ("class", "instance"):
        raise UsageError(f"{name} is {value!r}, but it must be class or instance.")


def a_path(name: str, value: Any) -> None:
    """Checks a path, or None for the default."""
    if not isinstance(value, str | os.PathLike | None):
        raise UsageError(f"{name} is {value!r}, but it must be a path.")


def anything(_name: str, _value: Any) -> None:
    """No check: the limits depend on the weights."""


def option(
    default: Any, group: str, help: str, metavar: str = "", check: Check = a_switch, **more: Any
) -> Any:
    """A field of an options class; see `About`."""
    return field(default=default, metadata={About: About(group, help, metavar, check, **more)})


def about(each: Field[Any]) -> About:
    """An option's metadata."""
    found: About = each.metadata[About]
    return found


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options with checked values."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Iterator):  # which could be read only once
                value = tuple(value)
                object.__setattr__(self, each.name, value)
            about(each).check(each.name, value)

    def given(self, **defaults: Any) -> list[str]:
        """The names of the options that do not have their default, which ``defaults`` may replace."""
        usual = {each.name: each.default for each in fields(self)} | defaults
        # By text, since what compares with an array is an array.
        return [name for name, value in usual.items() if repr(getattr(self, name)) != repr(value)]

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """These options with some values changed.

        Raises:
            UsageError: An option does not exist, or a value is invalid.
        """
        known = [each.name for each in fields(self)]
        for name in changes:
            if name not in known:
                raise UsageError(unknown_option(name, known, IN_PYTHON, f"use one of {', '.join(known)}."))
        return replace(self, **changes)


def with_keywords(kind: type[Options]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Has a function that takes some options as ``**keywords`` show each of them in its signature."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        plain = signature(function)
        own = [each for each in plain.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        taken = {each.name for each in own}
        options = [
            Parameter(each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
            for each in fields(kind)
            if each.name not in taken
        ]
        vars(function)["__signature__"] = plain.replace(parameters=[*own, *options])
        return function

    return decorate


@dataclass(frozen=True, kw_only=True)
class PredictOptions(Options):
    """Everything that a prediction depends on besides its weights; see the help texts.

    ``imgsz`` is one side or (height, width) in pixels; ``classes`` one or more ids or names; ``conf`` and
    ``iou`` lie in [0, 1]. None stands for the default that the help names.

    Raises:
        UsageError: A value is of the wrong type or out of range.
    """

    imgsz: int | Sequence[int] | None = option(
        None,
        NETWORK,
        "Input size in pixels: side, or HEIGHT,WIDTH.",
        "N",
        anything,
        default_text="the weights' own",
        written_as=str | None,
        parse=sides_of,
    )
    rect: bool = option(False, NETWORK, "Cut the input to each image's shape: faster.")
    engine: str = option("max", NETWORK, "max, or torch to compare with.", "NAME", a_word)
    device: str = option("auto", NETWORK, "auto, cpu or gpu.", "NAME", a_word)
    precision: str = option("f32", NETWORK, "f32, or bf16 where the CPU has it.", "NAME", a_word)
    kernels: str = option("auto", NETWORK, "auto, fused or stock.", "NAME", a_word)
    compiled: str | None = option(
        None,
        NETWORK,
        "A file of `weights compile`, so that nothing is compiled. It is native code: only one you trust.",
        "FILE",
        a_path,
        default_text="found or compiled",
    )
    nms: bool = option(
        True,
        NETWORK,
        "--no-nms takes the one-to-one head, if there is one, whose boxes need no NMS.",
        switches=("--nms/--no-nms",),
    )
    conf: float = option(0.25, DETECTIONS, "Minimum confidence of a box, 0 to 1.", "X", a_fraction)
    iou: float = option(0.7, DETECTIONS, "Maximum overlap of two boxes (NMS), 0 to 1.", "X", a_fraction)
    classes: int | str | Iterable[int | str] | None = option(
        None,
        DETECTIONS,
        "Only these, by name or id: person,car. May be repeated.",
        "LIST",
        anything,
        default_text="all",
        written_as=list[str] | None,
        parse=words_of,
    )
    max_det: int = option(300, DETECTIONS, "Maximum boxes per image.", "N", at_least(1))
    agnostic_nms: bool = option(False, DETECTIONS, "Let boxes of different classes suppress each other.")
    retina_masks: bool = option(False, DETECTIONS, "Compute masks at the image's own size: finer edges.")
    multi_label: bool = option(False, "", "Let a cell give one box per class, as in validation.")
    clip: bool = option(True, "", "Clip boxes and keypoints to the image; validation does not.")
    round_up: bool = option(False, "", "Round the sides of a resized image up, as in validation.")
    coarse_masks: bool = option(
        False, "", "Add masks at the prototypes' size and keep empty ones, as in validation."
    )
    max_pixels: int = option(200_000_000, RUN, "Refuse larger images, before decoding.", "N", at_least(1))
    batch: int | None = option(
        None,
        RUN,
        "Images per execution of the network.",
        "N",
        a_batch,
        default_text="1, several at a time on the fused kernels",
    )
    threads: int | None = option(
        None, RUN, "Threads of the network.", "N", at_least(1), default_text="all CPUs"
    )
    workers: int | None = option(
        None,
        RUN,
        "Images read and written while the network runs.",
        "N",
        at_least(1),
        default_text="all CPUs",
    )


@dataclass(frozen=True, kw_only=True)
class SourceOptions(Options):
    """How sources that are more than images are read; see the help texts.

    Raises:
        UsageError: A value is of the wrong type or out of range.
    """

    vid_stride: int = option(1, SOURCES, "Read every Nth frame of a video.", "N", at_least(1))
    stream_buffer: bool = option(False, SOURCES, "Keep all frames of a stream, not only the latest.")
    allow_remote: bool = option(False, SOURCES, "Read addresses: images, videos and streams.")
    allow_private: bool = option(False, SOURCES, "Those of the local network, too; never after a redirect.")
    tracker: str | None = option(
        None,
        SOURCES,
        "Number the objects of each video: bytetrack. --conf is 0.1 then, if it is not given.",
        "NAME",
        a_name,
        default_text="none",
    )


@dataclass(frozen=True, kw_only=True)
class DrawOptions(Options):
    """How a prediction is drawn on its image; see the help texts.

    Raises:
        UsageError: A value is of the wrong type or out of range.
    """

    line_width: int | None = option(
        None,
        OUTPUT,
        "Width of the boxes' lines in pixels; scales the font.",
        "N",
        at_least(1),
        default_text="by image size",
    )
    font_size: int | None = option(
        None, OUTPUT, "Font size of the labels in pixels.", "N", at_least(1), default_text="by image size"
    )
    show_labels: bool = option(True, OUTPUT, "Draw labels.", switches=("--show-labels/--hide-labels",))
    show_conf: bool = option(
        True, OUTPUT, "Draw confidences in labels.", switches=("--show-conf/--hide-conf",)
    )
    show_boxes: bool = option(
        True, OUTPUT, "Draw boxes, and their labels.", switches=("--show-boxes/--hide-boxes",)
    )
    color_mode: str = option("class", OUTPUT, "Colors by class or by instance.", "NAME", a_color_mode)


@dataclass(frozen=True, kw_only=True)
class SaveOptions(DrawOptions):
    """What is written for each image of a run, besides its line in the manifest; see the help texts.

    Raises:
        UsageError: A value is of the wrong type or out of range.
    """

    save: bool = option(True, OUTPUT, "Write annotated images.", switches=("--save/--no-save",))
    save_frames: bool = option(False, OUTPUT, "Write the annotated frames of videos as images, too.")
    save_txt: bool = option(False, OUTPUT, "Write labels, one .txt per image.")
    save_conf: bool = option(False, OUTPUT, "The same, with confidences.")
    save_crop: bool = option(False, OUTPUT, "Write a picture of each object, by class.")
    save_csv: bool = option(False, OUTPUT, "Write a table, predictions.csv.")
    save_json: bool = option(False, OUTPUT, "Write predictions.json in COCO's form of results.")
    save_parquet: bool = option(False, OUTPUT, "Write the table as predictions.parquet (needs polars).")
    gallery: bool = option(False, OUTPUT, "Write gallery.html: the run as a page to look through.")
    times: bool = option(
        True, OUTPUT, "Put stage times into predictions.jsonl.", switches=("--times/--no-times",)
    )

    @property
    def files(self) -> bool:
        """Whether any file is written besides the manifest."""
        return self.draws or self.labels or self.save_crop or bool(self.tables)

    @property
    def tables(self) -> list[str]:
        """The files that are made from the manifest, at the end."""
        wanted = {
            CSV_FILE: self.save_csv,
            COCO_FILE: self.save_json,
            PARQUET_FILE: self.save_parquet,
            GALLERY_FILE: self.gallery,
        }
        return [name for name, asked in wanted.items() if asked]

    @property
    def needs_images(self) -> bool:
        """Whether something is made of the images' pixels."""
        return self.draws or self.save_crop or self.gallery

    @property
    def draws(self) -> bool:
        """Whether predictions are drawn."""
        return self.save or self.save_frames

    @property
    def labels(self) -> bool:
        """Whether labels are written, with confidences or without."""
        return self.save_txt or self.save_conf

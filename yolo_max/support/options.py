"""The options of a prediction: name, type, default, limits and help of each, in one place.

The command line's options and Python's keyword arguments both follow from these classes, so they always
agree. Names and defaults are Ultralytics' where it has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from yolo_max.support.option import (
    Options,
    a_batch,
    a_color_mode,
    a_fraction,
    a_name,
    a_path,
    a_word,
    an_overlap,
    anything,
    at_least,
    option,
)
from yolo_max.support.parse import sides_of, words_of
from yolo_max.support.result_names import COCO_FILE, CSV_FILE, GALLERY_FILE, PARQUET_FILE

SOURCES, NETWORK, TILES = "Sources", "Network", "Large images"
DETECTIONS, OUTPUT, RUN = "Detections", "Output", "Run"
"""Groups of options, in the order of the help."""
VAL_CONF = 0.001
"""Minimum confidence for measuring accuracy, as in Ultralytics' validator."""

TRACK_CONF = 0.1
"""Minimum confidence for tracking, as in Ultralytics: less sure boxes continue a track."""


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
    precision: str = option(
        "f32", NETWORK, "f32, or bf16: faster on Zen 5, slower on Sapphire Rapids.", "NAME", a_word
    )
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
    tile: int | None = option(
        None,
        TILES,
        "Cut images into tiles of this side in pixels, and merge what is found.",
        "N",
        at_least(32),
        default_text="whole images",
    )
    overlap: float = option(
        0.2, TILES, "How much of a tile its neighbour has, too, 0 to 0.9.", "X", an_overlap
    )
    tile_merge: str | None = option(
        None,
        TILES,
        "nms keeps the best of what tiles have in common; nmm makes one of it.",
        "NAME",
        a_name,
        default_text="nmm; of poses nms",
    )
    tile_match: float = option(
        0.5,
        TILES,
        "From this overlap on, as a part of the smaller box, two boxes of a class are one object.",
        "X",
        a_fraction,
    )
    tile_whole: bool = option(
        True,
        TILES,
        "Predict the whole image as well, for what is larger than a tile.",
        switches=("--tile-whole/--no-tile-whole",),
    )
    conf: float = option(0.25, DETECTIONS, "Minimum confidence of a box, up to 1.", "X", a_fraction)
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


READING = ("vid_stride", "stream_buffer", "allow_remote", "allow_private")
"""The options of `SourceOptions` that a call in Python takes."""


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

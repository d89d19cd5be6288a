"""Ultralytics' options that have another name here, or no counterpart: what to use instead."""

from __future__ import annotations

from collections.abc import Iterable

from yolo_max.support.text import nearest

_NO_VIDEO = "only images are read, not videos or streams"
_NO_TRAINING = "nothing is trained here"
_NO_EXPORT = "weights are not exported here"
_FOLDER = "results go into the folder of --out"
_INSTEAD = {
    "source": "the source is an argument: yolo-max predict SOURCE",
    "data": "the dataset is an argument: yolo-max val DATA",
    "model": "the weights come first in Python: Predictor('best.pt')",
    "task": "the weights say the task",
    "mode": "the command is the mode: yolo-max predict",
    "project": _FOLDER,
    "name": _FOLDER,
    "save_dir": _FOLDER,
    "save": "yolo_max.save writes an annotated picture",
    "exist_ok": "use --overwrite to replace the results of an earlier run",
    "half": "use precision bf16 for 16-bit numbers",
    "int8": "int8 is not supported",
    "verbose": "use --quiet to print nothing but errors",
    "conf_thres": "use conf",
    "iou_thres": "use iou",
    "img_size": "use imgsz",
    "nosave": "use --no-save",
    "line_thickness": "use line_width",
    "show_labels": "use hide_labels",
    "show_conf": "use hide_conf",
    "show_boxes": "use --no-save to draw nothing",
    "show": "pictures are written to files, not shown",
    "save_crop": "crops are not written; a box's xyxy says where to cut",
    "save_frames": _NO_VIDEO,
    "stream": "Predictor.stream reads many images",
    "stream_buffer": _NO_VIDEO,
    "vid_stride": _NO_VIDEO,
    "tracker": "nothing is tracked here",
    "persist": "nothing is tracked here",
    "nms": "NMS always runs",
    "dnn": "use engine max or torch",
    "compile": "the network is always compiled",
    "plots": "plots are not drawn",
    "simplify": _NO_EXPORT,
    "dynamic": _NO_EXPORT,
    "opset": _NO_EXPORT,
    "format": _NO_EXPORT,
    "workspace": _NO_EXPORT,
    "epochs": _NO_TRAINING,
    "optimizer": _NO_TRAINING,
    "lr0": _NO_TRAINING,
    "patience": _NO_TRAINING,
    "pretrained": _NO_TRAINING,
    **dict.fromkeys(("augment", "visualize", "embed", "retina_masks", "save_hybrid"), "it is not supported"),
}


def unknown_option(written: str, known: Iterable[str], otherwise: str) -> str:
    """The message for an option that does not exist: what to use instead, or a known name if one is close.

    Args:
        written: The option as the user wrote it, "--save-crop" or "save_crop".
        known: The names that exist, written alike.
        otherwise: What to do if neither says more.
    """
    names = {_plain(name): name for name in known}
    name = _plain(written)
    if name in names:  # --max_det
        instead = f"use {names[name]}."
    elif name in _INSTEAD:
        instead = f"{_INSTEAD[name]}."
    elif close := nearest(name, names):
        instead = f"did you mean {names[close]}?"
    else:
        instead = otherwise
    return f"there is no option {written!r}; {instead}"


def _plain(name: str) -> str:
    return name.lstrip("-").replace("-", "_")

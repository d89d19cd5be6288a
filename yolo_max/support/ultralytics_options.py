"""Ultralytics' options that have another name here, or no counterpart: what to use instead."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from yolo_max.support.text import nearest, shorten

_SENTENCES = {
    "nothing is trained here": """
        epochs time patience save_period pretrained cls_remap optimizer seed deterministic cos_lr
        close_mosaic resume amp fraction profile freeze multi_scale overlap_mask mask_ratio dropout
        val lr0 lrf momentum nbs weight_decay warmup_epochs warmup_momentum warmup_bias_lr
        distill_model dis box cls cls_pw dfl pose kobj rle angle dlog dgrad dlam hsv_h hsv_s hsv_v
        degrees translate scale shear perspective flipud fliplr bgr mosaic mixup cutmix copy_paste
        copy_paste_mode auto_augment erasing""",
    "weights are not exported here": "format keras optimize dynamic simplify opset workspace",
    "tracks start anew for each video": "persist",
    "it is not supported": "augment visualize embed save_hybrid",
    "int8 is not supported": "int8",
    "the network is always compiled": "compile",
    "the network is always channels-last": "channels_last",
    "images are not kept in memory": "cache",
    "there is no such engine": "dnn",
    "yolo-max val --out FOLDER draws them": "plots",
    "--tile (tile in Python) cuts images into squares": "slice_height slice_width slice_size",
    "pictures are written to files, not shown": "show",
}
ABSENT = {name: sentence for sentence, names in _SENTENCES.items() for name in names.split()}
"""What to say to Ultralytics' options that nothing here corresponds to."""
NOT_FOR_PREDICTION = {
    *(" ".join(names for sentence, names in _SENTENCES.items() if "here" in sentence).split()),
    *("cache", "compile", "channels_last", "persist", "plots", "data", "mode", "task"),
}
"""Options of Ultralytics that change nothing in what is predicted: its files have all of them."""
IN_PYTHON = {
    **ABSENT,
    "source": "give the image with the call: predictor('street.jpg')",
    **dict.fromkeys(("vid_stride", "stream_buffer"), "Predictor.predict and track take it with the source"),
    "tracker": "Predictor.track numbers the objects of videos",
    "data": "the weights know their classes",
    "model": "the weights come first: Predictor('best.pt')",
    "task": "the weights know their task",
    "mode": "a Predictor only predicts",
    **dict.fromkeys(
        ("project", "name", "save_dir", "exist_ok", "save", "save_txt", "save_conf", "save_crop", "save_csv"),
        "yolo_max.save writes an annotated picture, and a prediction's to_dict and labels give the rest",
    ),
    **dict.fromkeys(("half", "quantize"), "use precision='bf16' for 16-bit numbers"),
    "verbose": "nothing is printed",
    **dict.fromkeys(("line_width", "line_thickness"), "yolo_max.draw has line_width"),
    **dict.fromkeys(("show_labels", "hide_labels"), "yolo_max.draw has show_labels"),
    **dict.fromkeys(("show_conf", "hide_conf"), "yolo_max.draw has show_conf"),
    "show_boxes": "yolo_max.draw has show_boxes",
    "save_json": "Result.to_coco gives COCO's form",
    "stream": "Predictor.stream reads many images",
    **dict.fromkeys(("single_cls", "split"), "accuracy is measured by yolo-max val"),
    "conf_thres": "use conf",
    "iou_thres": "use iou",
    "img_size": "use imgsz",
}
"""What to do in Python instead of giving one of Ultralytics' options."""


def unknown_option(written: str, known: Iterable[str], instead: Mapping[str, str], otherwise: str) -> str:
    """The message for an option that does not exist: what to use instead, or a known name if one is close.

    Args:
        written: The option as the user wrote it, "--save-crop" or "save_crop".
        known: The names that exist, as they are written.
        instead: What to say to names of Ultralytics.
        otherwise: What to do if neither says more.
    """
    names = {plain(name): name for name in known}
    name = plain(written)
    if name in names:  # --max_det
        advice = f"use {names[name]}."
    elif name in instead:
        advice = f"{instead[name]}."
    elif close := nearest(name, names):
        advice = f"did you mean {names[close]}?"
    else:
        advice = otherwise
    return f"there is no option {shorten(written)}; {advice}"


def plain(name: str) -> str:
    """An option's name in Python: ``max_det`` for ``--max-det``."""
    return name.lstrip("-").replace("-", "_")

"""``yolo-max predict``: options in, a run over the images, and what was found on the terminal."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Annotated

import typer

from yolo_max.cli.console import Debug, busy, say, warnings_as_lines
from yolo_max.cli.interrupt import Interrupt
from yolo_max.cli.parameters import (
    NETWORK,
    OUTPUT,
    RUN,
    AgnosticNms,
    AsJson,
    Classes,
    Conf,
    Imgsz,
    Iou,
    MaxDet,
    Quiet,
    Recursive,
    Sources,
    Weights,
    flag,
    option,
    sides,
    words,
)
from yolo_max.cli.summary import json_summary, print_summary, progress
from yolo_max.support.errors import ExitCode

DEFAULT_OUT = Path("runs/predict")


def predict(
    sources: Sources,
    weights: Weights = "yolov8n",
    imgsz: Imgsz = None,
    rect: Annotated[bool, flag(NETWORK, "Cut the input to each image's shape: faster.", "--rect")] = False,
    engine: Annotated[str, option(NETWORK, "max, or torch to compare with.", metavar="NAME")] = "max",
    device: Annotated[str, option(NETWORK, "auto, cpu or gpu.", metavar="NAME")] = "auto",
    precision: Annotated[str, option(NETWORK, "f32, or bf16 where the CPU has it.", metavar="NAME")] = "f32",
    kernels: Annotated[str, option(NETWORK, "auto, fused or stock.", metavar="NAME")] = "auto",
    conf: Conf = 0.25,
    iou: Iou = 0.7,
    classes: Classes = None,
    max_det: MaxDet = 300,
    agnostic_nms: AgnosticNms = False,
    out: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Folder for the results.",
            *("--out", "-o"),
            metavar="FOLDER",
            show_default="runs/predict, or the first free of runs/predict2, runs/predict3, ...",
        ),
    ] = None,
    save: Annotated[bool, flag(OUTPUT, "Write annotated images.", "--save/--no-save")] = True,
    save_txt: Annotated[bool, flag(OUTPUT, "Write labels, one .txt per image.", "--save-txt")] = False,
    save_conf: Annotated[bool, flag(OUTPUT, "The same, with confidences.", "--save-conf")] = False,
    save_csv: Annotated[bool, flag(OUTPUT, "Write them to predictions.csv as well.", "--save-csv")] = False,
    times: Annotated[
        bool, flag(OUTPUT, "Put stage times into predictions.jsonl.", "--times/--no-times")
    ] = True,
    line_width: Annotated[
        int | None,
        option(OUTPUT, "Of the boxes, in pixels.", metavar="N", show_default="by image size"),
    ] = None,
    overwrite: Annotated[
        bool, flag(OUTPUT, "Replace the results of the run in --out; other files stay.", "--overwrite")
    ] = False,
    recursive: Recursive = False,
    resume: Annotated[
        bool, flag(RUN, "Finish the interrupted run in --out, or else the latest.", "--resume")
    ] = False,
    strict: Annotated[bool, flag(RUN, "Stop at the first image that cannot be read.", "--strict")] = False,
    max_pixels: Annotated[
        int, option(RUN, "Refuse larger images, before decoding.", metavar="N")
    ] = 200_000_000,
    batch: Annotated[
        int | None,
        option(
            RUN,
            "Images in one execution of the network.",
            metavar="N",
            show_default="1, several at a time on the fused kernels",
        ),
    ] = None,
    threads: Annotated[
        int | None, option(RUN, "Threads of the network.", metavar="N", show_default="all CPUs")
    ] = None,
    workers: Annotated[
        int | None,
        option(RUN, "Images read and written while the network runs.", metavar="N", show_default="all CPUs"),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
    _debug: Debug = False,
) -> int:
    """Find out what is in images: objects, or what the weights are for.

    Writes annotated images, and one line per image to [cyan]predictions.jsonl[/].
    """
    quiet = quiet or as_json
    with Interrupt() as interrupt, warnings_as_lines(quiet):
        import cv2

        from yolo_max.images.read import silence_opencv
        from yolo_max.images.sources import find_images
        from yolo_max.output.draw import load_font
        from yolo_max.predict.folder.earlier import latest, next_free, require_harmless
        from yolo_max.predict.folder.run import FolderRun
        from yolo_max.predict.folder.saving import Saving
        from yolo_max.predict.predictor import Predictor

        silence_opencv()
        # Images are worked on side by side already; OpenCV's own threads would only fight for the same CPUs.
        cv2.setNumThreads(1)
        saving = Saving(save, save_txt or save_conf, save_conf, save_csv, times, line_width)
        if out is None:
            out = latest(DEFAULT_OUT) if resume else DEFAULT_OUT if overwrite else next_free(DEFAULT_OUT)
        found = list(find_images(sources, recursive=recursive, exclude=out))
        require_harmless(out, resume=resume, overwrite=overwrite)
        if save:
            load_font()
        with busy(quiet) as report:
            predictor = Predictor(
                weights,
                engine=engine,
                imgsz=sides(imgsz),
                conf=conf,
                iou=iou,
                classes=words(classes),
                max_det=max_det,
                agnostic_nms=agnostic_nms,
                device=device,
                precision=precision,
                kernels=kernels,
                threads=threads,
                batch=batch,
                workers=workers,
                rect=rect,
                max_pixels=max_pixels,
                report=report,
            )
        asked = {"sources": sources, "recursive": recursive}
        if not all(Path(source).is_absolute() for source in sources):
            asked["working_folder"] = str(Path.cwd())
        start = monotonic()
        with FolderRun(
            predictor, found, out, saving, settings=asked, resume=resume, overwrite=overwrite
        ) as run:
            interrupt.finish_what_has_begun(lambda: None if quiet else say(_DRAINING, "yellow"))
            with (
                progress(run, bar=not quiet, failures=not as_json) as show,
                closing(run.images(stop=lambda: interrupt.came)) as records,
            ):
                for record in records:
                    show(record)
                    if strict and "error" in record:
                        break
        seconds = monotonic() - start
    if as_json:
        typer.echo(json_summary(run, seconds, str(out), predictor.settings()))
    elif not quiet:
        print_summary(run, seconds, str(out))
    if interrupt.came:
        return ExitCode.INTERRUPTED
    return ExitCode.SOME_IMAGES_FAILED if run.tally.failures else ExitCode.OK


_DRAINING = "Finishing the images that have been begun; Ctrl-C again stops at once."

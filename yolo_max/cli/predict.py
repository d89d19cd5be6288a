"""``yolo-max predict``: a run over images."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Annotated

import typer

from yolo_max.cli.config import Config
from yolo_max.cli.console import Debug, busy, say, warnings_as_lines
from yolo_max.cli.interrupt import Interrupt
from yolo_max.cli.parameters import (
    MEDIA,
    TERMINAL,
    AsJson,
    Quiet,
    Recursive,
    Some,
    WeightsOrThoseOfTheRun,
    flag,
    option,
    takes,
)
from yolo_max.cli.spread import begun, find, require_goes_with_ray
from yolo_max.cli.summary import json_summary, print_line, print_summary, progress
from yolo_max.support.errors import ExitCode, UsageError
from yolo_max.support.options import OUTPUT, RUN, TRACK_CONF, PredictOptions, SaveOptions, SourceOptions
from yolo_max.support.ray_options import RayOptions
from yolo_max.support.text import shorten

DEFAULT_OUT = Path("runs/predict")
FORMATS = ("text", "json", "jsonl")


def _conf(context: typer.Context, value: float) -> float:
    """The confidence that is asked for, or the default; with a tracker, which wants more boxes, its own."""
    asked = context.get_parameter_source("conf")
    given = asked is not None and asked.name != "DEFAULT"
    return TRACK_CONF if context.params.get("tracker") and not given else value


@takes(
    reading=Some(SourceOptions),
    options=Some(PredictOptions, callbacks={"conf": _conf}),
    saving=Some(SaveOptions),
    on=Some(RayOptions),
)
def predict(
    sources: Annotated[list[str] | None, MEDIA] = None,
    weights: WeightsOrThoseOfTheRun = None,
    *,
    reading: SourceOptions,
    options: PredictOptions,
    saving: SaveOptions,
    on: RayOptions,
    out: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Folder for the results.",
            *("--out", "-o"),
            metavar="FOLDER",
            show_default="runs/predict, or the first free of runs/predict-2, runs/predict-3, ...",
        ),
    ] = None,
    project: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Folder for runs: --project runs --name street is --out runs/street, or the first free of them.",
            metavar="FOLDER",
            show_default="runs",
        ),
    ] = None,
    name: Annotated[
        str | None, option(OUTPUT, "Name of the run's folder.", metavar="NAME", show_default="predict")
    ] = None,
    overwrite: Annotated[
        bool,
        flag(
            OUTPUT,
            "Replace the results of the run in the folder; other files stay.",
            *("--overwrite", "--exist-ok"),
        ),
    ] = False,
    recursive: Recursive = False,
    resume: Annotated[
        bool,
        flag(
            RUN,
            "Finish the interrupted run in --out, or else the latest; SOURCE and -w may be left out.",
            "--resume",
        ),
    ] = False,
    strict: Annotated[bool, flag(RUN, "Stop at the first image that cannot be read.", "--strict")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
    output_format: Annotated[
        str,
        option(
            TERMINAL,
            "What is printed: text; json, as by --json; or jsonl, a line for each image once it is done.",
            "--format",
            metavar="NAME",
        ),
    ] = "text",
    _cfg: Config = None,
    _debug: Debug = False,
) -> int:
    """Predict what is in images and videos, of whatever task the weights are for: boxes, masks, classes, ...

    Writes annotated images and videos, and one line per image or frame to [cyan]predictions.jsonl[/].

    With --json and --no-save it prints the result, with those lines in it, and writes nothing; with --format
    jsonl and --no-save just the lines, for a pipe.
    """
    if output_format not in FORMATS:
        raise UsageError(
            f"--format is {shorten(output_format)}, but it must be one of {', '.join(FORMATS)}; it is "
            "what is printed, and weights are not exported here."
        )
    if out is not None and (project is not None or name is not None):
        raise UsageError("--out names the folder by itself; use it, or --project and --name.")
    as_json, as_lines = as_json or output_format == "json", output_format == "jsonl"
    if as_json and as_lines:
        raise UsageError("--json and --format jsonl are two forms; use one of them.")
    quiet = quiet or as_json or as_lines
    default_out = (DEFAULT_OUT.parent if project is None else project) / (name or DEFAULT_OUT.name)
    require_goes_with_ray(on, options, reading)
    with Interrupt() as interrupt, warnings_as_lines(quiet), ExitStack() as stack:
        os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(options.max_pixels)
        import cv2

        from yolo_max.images.addresses import is_address, is_webcam
        from yolo_max.images.lists import STDIN
        from yolo_max.images.read import silence_opencv
        from yolo_max.output.text_rendering import load_font
        from yolo_max.predict.folder.previous_run import (
            latest,
            next_free,
            require_harmless,
            sources_of,
            weights_of,
        )
        from yolo_max.predict.predictor import Predictor
        from yolo_max.predict.tracking import require_tracker

        silence_opencv()
        # Images already run in parallel; OpenCV's own threads would compete for the same CPUs.
        cv2.setNumThreads(1)
        if out is None and (resume or overwrite):
            out = latest(default_out) if resume else default_out
        if not sources and resume and out is not None:
            sources, recursive = sources_of(out)
        elif not sources:
            raise UsageError("no SOURCE is given; name images, folders or globs.")
        if weights is None and resume and out is not None:
            weights = weights_of(out)
        if resume and STDIN in sources:
            raise UsageError("a run over the standard input cannot be resumed; name files.")
        stdin = sys.stdin.buffer
        if resume and any(is_address(each) or is_webcam(each) for each in sources):
            raise UsageError("a run over addresses or webcams cannot be resumed; name files.")
        if reading.tracker is not None:  # before a network is compiled for it
            require_tracker(reading.tracker)
        remote = reading.allow_remote
        found = find(sources, on, recursive=recursive, exclude=out, stdin=stdin, remote=remote)
        if out is not None:
            require_harmless(out, resume=resume, overwrite=overwrite)
        if saving.draws:
            load_font()
        with busy(quiet) as report:
            predictor = Predictor(weights or "yolov8n", options, report=report)
        asked = {"sources": sources, "recursive": recursive}
        if not all(Path(source).is_absolute() for source in sources):
            asked["working_folder"] = str(Path.cwd())
        printed_only = out is None and (as_json or as_lines) and not saving.files
        if printed_only:
            out = Path(stack.enter_context(TemporaryDirectory(prefix="yolo_max_")))
        out = out or next_free(default_out)
        if saving.save_crop and not predictor.task.counted:
            say(f"Ignored, as the weights are for the task {predictor.task.name}: save_crop.", "yellow")
            saving = replace(saving, save_crop=False)
        start = monotonic()
        with begun(
            *(on, predictor, found, out, saving),
            reading=reading,
            settings=asked,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
        ) as run:
            interrupt.finish_what_has_begun(lambda: None if quiet else say(_DRAINING, "yellow"))
            with (
                progress(run, bar=not quiet, failures=not (as_json or as_lines)) as show,
                closing(run.images(stop=lambda: interrupt.came)) as records,
            ):
                for record in records:
                    show(record)
                    if as_lines:
                        print_line(record)
                    if strict and "error" in record:
                        break
            done = list(run.records()) if as_json else []
        seconds = monotonic() - start
    if as_json:
        place = None if printed_only else str(out)
        typer.echo(json_summary(run, done, seconds, place, predictor.settings()))
    elif not quiet:
        print_summary(run, seconds, str(out))
    if interrupt.came:
        return ExitCode.INTERRUPTED
    failed = run.totals.failures or run.totals.video_failures
    return ExitCode.SOME_IMAGES_FAILED if failed else ExitCode.OK


_DRAINING = "Finishing the images that have begun; a second signal (Ctrl-C) stops at once."

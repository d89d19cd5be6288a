"""A run over images on the terminal: its progress, and what it found as a table or JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

from yolo_max.cli.console import printable, say, stderr, stdout
from yolo_max.support.result_names import MANIFEST_FILE
from yolo_max.support.text import counted

if TYPE_CHECKING:
    from yolo_max.images.source import SourceSkipped
    from yolo_max.predict.folder.previous_run import Record
    from yolo_max.predict.folder.run import FolderRun

MAX_FAILURES_SHOWN = 20
MAX_CLASSES_SHOWN = 20


@contextmanager
def progress(run: FolderRun, *, bar: bool, failures: bool) -> Iterator[Callable[[Record], None]]:
    """Shows the progress of a run.

    Args:
        run: The run.
        bar: Whether to show a bar, on a terminal.
        failures: Whether to show one line per failed image.

    Yields:
        A function to call with each record.
    """
    shown = 0

    def show_failure(record: Record) -> None:
        nonlocal shown
        if not failures or "error" not in record:
            return
        shown += 1
        if shown <= MAX_FAILURES_SHOWN:
            place = f" (frame {record['frame']})" if "frame" in record else ""
            say(f"{printable(record['path'])}{place}: {record['error']}", "yellow")
        elif shown == MAX_FAILURES_SHOWN + 1:
            say(f"More images failed; {MANIFEST_FILE} lists them all.", "yellow")

    if not bar or not stderr().is_terminal:
        yield show_failure
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>5.1f} {task.fields[unit]}s/s"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=stderr(), transient=True, expand=True) as display:
        task = display.add_task("", total=run.expected, completed=run.resumed, rate=0.0, unit="image")
        start = monotonic()

        def advance(record: Record) -> None:
            show_failure(record)
            done = run.totals.images - run.resumed
            rate = done / max(monotonic() - start, 1e-9)
            display.update(task, advance=1, total=run.expected, rate=rate, unit=run.totals.unit)

        yield advance


def print_line(record: Record) -> None:
    """Prints a record as a line of JSON at once, for who reads them through a pipe; in ASCII."""
    stream = sys.stdout
    stream.write(f"{json.dumps(record)}\n")
    stream.flush()


def print_summary(run: FolderRun, seconds: float, out: str) -> None:
    """Prints what was found as a table, and the run in one line."""
    from rich.table import Table
    from rich.text import Text

    totals, console = run.totals, stdout()
    thing = totals.task.counted
    if totals.classes:
        table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
        table.add_column("class")
        tracked = totals.tracks is not None
        for heading in [f"{thing}s"] * bool(thing) + ["tracks"] * tracked + [f"{totals.unit}s", "best"]:
            table.add_column(heading, justify="right")
        ranked = totals.by_frequency()
        for name, count in ranked[:MAX_CLASSES_SHOWN]:
            objects = [str(count.objects)] * bool(thing) + [str(count.tracks)] * tracked
            table.add_row(Text(printable(name)), *objects, str(count.images), f"{count.best:.2f}")
        if len(ranked) > MAX_CLASSES_SHOWN:
            rest = ranked[MAX_CLASSES_SHOWN:]
            objects = [str(sum(count.objects for _, count in rest))] * bool(thing)
            objects += [str(sum(count.tracks for _, count in rest))] * tracked
            table.add_row(f"[dim]{len(rest)} more[/]", *objects, "", "")
        console.print(table)
    pictures = [(totals.read - totals.frames, "image"), (totals.frames, "frame")]
    images = " and ".join(counted(*each) for each in pictures if each[0]) or "0 images"
    parts = [f"{counted(totals.objects, thing)} in {images}" if thing else images]
    if totals.tracks is not None:
        parts.append(counted(len(totals.tracks), "track"))
    if unread := len(totals.failures) - totals.unsaved:
        parts.append(f"{unread} could not be read")
    if totals.unsaved:
        parts.append(f"{totals.unsaved} could not be saved")
    if run.resumed:
        parts.append(f"{run.resumed} {'was' if run.resumed == 1 else 'were'} done before")
    if read := totals.read - run.read_before:
        parts.append(f"{seconds:.1f} s, {read / seconds:.1f} {totals.unit}s/s")
    console.print(Text(" · ".join(parts), "bold"), soft_wrap=True)
    for line in (*skipped_lines(run.skipped), *_unseen_lines(run)):
        console.print(Text(line, "yellow"), soft_wrap=True)
    state = ""
    if run.left:
        state = f"{counted(run.left, 'image')} left to do; --resume goes on. "
    elif not run.finished:
        state = "Stopped at the last image; --resume finishes the run. "
    console.print(Text(f"{state}Results are in {printable(out)}."), soft_wrap=True)


def skipped_lines(skipped: Iterable[SourceSkipped]) -> Iterator[str]:
    """One line per reason for which something was skipped."""
    paths: dict[str, list[str]] = {}
    for item in skipped:
        paths.setdefault(item.reason, []).append(printable(str(item.path)))
    for reason, (first, *others) in paths.items():
        yield f"{1 + len(others)} skipped ({first}{', ...' if others else ''}): {reason}."


def _unseen_lines(run: FolderRun) -> Iterator[str]:
    """What of the images that were read is not in the results."""
    totals = run.totals
    if totals.in_frames:
        files = counted(totals.in_frames, "file")
        yield (
            f"Further frames or pages ({totals.further_frames:,} in {files}) are not read; save them as "
            "images, for instance with ImageMagick's magick FILE %06d.png."
        )
    for path, reason in totals.video_failures:
        yield f"{printable(path)}: {reason}."
    if totals.max_det_reached:
        images = counted(totals.max_det_reached, totals.unit)
        yield f"{images} reached --max-det {run.max_det}; raise it to see more."


def json_summary(
    run: FolderRun, records: Sequence[Record], seconds: float, out: str | None, settings: dict[str, Any]
) -> str:
    """The summary as one line of JSON, in ASCII, whatever the file names."""
    totals = run.totals
    read = totals.read - run.read_before
    things = f"{totals.task.counted}s" if totals.task.counted else None
    return json.dumps(
        {
            "finished": run.finished,
            "images": totals.images,
            "failed": len(totals.failures),
            "frames": totals.frames,
            "unsaved": totals.unsaved,
            "unsaved_videos": [{"path": path, "error": reason} for path, reason in totals.video_failures],
            "resumed": run.resumed,
            **({things: totals.objects} if things else {}),
            **({} if totals.tracks is None else {"tracks": len(totals.tracks)}),
            "classes": {
                name: {
                    **({things: count.objects} if things else {}),
                    **({} if totals.tracks is None else {"tracks": count.tracks}),
                    "images": count.images,
                    "best": count.best,
                }
                for name, count in totals.by_frequency()
            },
            "predictions": records,
            "failures": [{"path": path, "error": reason} for path, reason in totals.failures],
            "skipped": [{"path": str(item.path), "reason": item.reason} for item in run.skipped],
            "further_frames": {"files": totals.in_frames, "frames": totals.further_frames},
            "max_det_reached": totals.max_det_reached,
            "seconds": round(seconds, 3),
            "images_per_second": round(read / seconds, 2),
            "mean_times_ms": {
                stage: round(total / max(totals.read, 1), 3) for stage, total in totals.times_ms.items()
            },
            "out": out,
            "settings": settings,
        }
    )

"""A progress bar, with messages above it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from yolo_max.cli.console import say, stderr


class Counter(NamedTuple):
    """What counted work calls.

    Attributes:
        advance: Called after each step, with what is being done.
        report: Called with a sentence before a slow step.
    """

    advance: Callable[[str], None]
    report: Callable[[str], None]


@contextmanager
def counting(total: int, quiet: bool) -> Iterator[Counter]:
    """Shows progress: a bar on a terminal, elsewhere only the sentences.

    Args:
        total: Number of steps.
        quiet: Whether to show nothing.
    """
    if quiet:
        yield Counter(lambda _: None, lambda _: None)
        return
    if not stderr().is_terminal:
        yield Counter(lambda _: None, say)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=stderr(), transient=True) as bar:
        task = bar.add_task("", total=total)
        yield Counter(lambda step: bar.update(task, advance=1, description=step), say)

"""``yolo-max cache``: shows and clears what is kept between runs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from yolo_max.cli.commands import Command, Group, exit_codes
from yolo_max.cli.console import Debug
from yolo_max.cli.parameters import AsJson
from yolo_max.support.cache import KINDS, REMADE, cache_root, clear, entries
from yolo_max.support.errors import UsageError
from yolo_max.support.text import counted, file_size

app = typer.Typer(cls=Group, no_args_is_help=True, help="Show or clear what is kept between runs.")
_EXIT_CODES = exit_codes("cache")
_KINDS = f"{', '.join(list(KINDS)[:-1])} or {list(KINDS)[-1]}"


@app.command(cls=Command, epilog=_EXIT_CODES)
def info(as_json: AsJson = False, _debug: Debug = False) -> None:
    """Show where the cache is and what it holds."""
    found = list(entries())
    if as_json:
        files = [{"kind": each.kind, "path": str(each.path), "bytes": each.size} for each in found]
        typer.echo(json.dumps({"folder": str(cache_root()), "files": files}))
        return
    typer.echo(str(cache_root()))
    for kind, title in KINDS.items():
        sizes = [each.size for each in found if each.kind == kind]
        kept = "" if kind in REMADE or not sizes else "  (kept by `clear`)"
        typer.echo(f"  {title:<19} {len(sizes):>4} files {file_size(sum(sizes)):>11}{kept}")


@app.command(name="clear", cls=Command, epilog=_EXIT_CODES)
def clear_command(
    kind: Annotated[
        str | None,
        typer.Option(help=f"Only one kind: {_KINDS}.", metavar="KIND", show_default=" and ".join(REMADE)),
    ] = None,
    _debug: Debug = False,
) -> None:
    """Remove what can be made again; checkpoints are kept unless they are named."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"there is no kind {kind!r}; use {_KINDS}.")
    typer.echo(f"freed {file_size(clear(kind))} in {cache_root()}")
    if kind is None and (kept := sum(each.kind == "checkpoints" for each in entries())):
        typer.echo(f"kept {counted(kept, 'checkpoint')}; `--kind checkpoints` removes them")

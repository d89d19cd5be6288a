"""``yolo-max cache``: what is kept between runs, and getting rid of it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from yolo_max.cache import KINDS, cache_root, clear, entries

app = typer.Typer(no_args_is_help=True, help="Show or clear what is kept between runs.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@app.command()
def info(as_json: Json = False) -> None:
    """Show where the cache is and what it holds."""
    found = list(entries())
    if as_json:
        files = [{"kind": each.kind, "path": str(each.path), "bytes": each.size} for each in found]
        typer.echo(json.dumps({"folder": str(cache_root()), "files": files}))
        return
    typer.echo(str(cache_root()))
    for kind, title in KINDS.items():
        sizes = [each.size for each in found if each.kind == kind]
        typer.echo(f"  {title:<19} {len(sizes):>4} files {sum(sizes) / 1e6:>8.1f} MB")


@app.command(name="clear")
def clear_command(
    kind: Annotated[str | None, typer.Option(help=f"Only one kind: {' or '.join(KINDS)}.")] = None,
) -> None:
    """Remove what is cached; it is made again when it is next needed."""
    if kind is not None and kind not in KINDS:
        raise typer.BadParameter(
            f"there is no kind {kind!r}; take {' or '.join(KINDS)}.", param_hint="--kind"
        )
    typer.echo(f"freed {clear(kind) / 1e6:.1f} MB in {cache_root()}")

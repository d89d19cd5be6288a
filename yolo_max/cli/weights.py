"""``yolo-max weights``: converts checkpoints, shows weights files, fetches official ones, compiles."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolo_max.cli.analyze import analyze
from yolo_max.cli.commands import Command, Group, exit_codes
from yolo_max.cli.compile import compile_command
from yolo_max.cli.console import Debug, busy, printable, say, stdout
from yolo_max.cli.parameters import AsJson, Quiet, flag, option
from yolo_max.support.atomic import write_atomically
from yolo_max.support.errors import OutputError, UsageError
from yolo_max.support.options import OUTPUT
from yolo_max.support.text import counted, file_size

if TYPE_CHECKING:
    from rich.table import Table

    from yolo_max.weights.load import Weights

app = typer.Typer(cls=Group, no_args_is_help=True, help="Convert, inspect or fetch weights.")
_EXIT_CODES = exit_codes("weights")
MAX_NAMES = 12
"""Names of classes that are shown."""
app.command(name="analyze", cls=Command, epilog=_EXIT_CODES)(analyze)
app.command(name="compile", cls=Command, epilog=exit_codes("weights compile"))(compile_command)


@app.command(name="convert", cls=Command, epilog=_EXIT_CODES)
def convert_command(
    checkpoint: Annotated[
        str, typer.Argument(help="A checkpoint of a YOLO network, .pt.", metavar="IN.pt", show_default=False)
    ],
    out: Annotated[
        Path | None,
        option(
            OUTPUT,
            "Where to write.",
            *("--out", "-o"),
            metavar="OUT.safetensors",
            show_default="IN.safetensors, in this folder",
        ),
    ] = None,
    overwrite: Annotated[bool, flag(OUTPUT, "Replace a file that is there.", "--overwrite")] = False,
    half: Annotated[
        bool, flag(OUTPUT, "Store float16, half the size; inference is float32 all the same.", "--half")
    ] = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Fold BatchNorm into the convolutions and write safetensors, which load without PyTorch."""
    from yolo_max.weights.load import convert
    from yolo_max.weights.locate import locate

    target = out or Path(Path(checkpoint).name.removesuffix(".pt") + ".safetensors")
    if target.suffix != ".safetensors":
        raise UsageError(f"{target} must end in .safetensors; name another file with -o.")
    if target.exists() and target.samefile(locate(checkpoint, (".pt",))):
        raise UsageError(f"{target} is the checkpoint itself; name another file with -o.")
    if os.path.lexists(target) and not overwrite:
        raise OutputError(f"{target} exists; name another file with --out, or use --overwrite to replace it.")
    with busy(quiet) as begin:
        begin(f"Converting {printable(checkpoint)}")
        meta, data = convert(checkpoint, half=half)
        write_atomically(target, data)
    if not quiet:
        kind = "float16" if half else "float32"
        say(f"Wrote {printable(str(target))}: {counted(meta.nc, 'class')}, {kind}, {file_size(len(data))}.")


@app.command(cls=Command, epilog=_EXIT_CODES)
def info(
    weights: Annotated[
        str,
        typer.Argument(
            help="A .safetensors or .pt file, or a name.", metavar="FILE|NAME", show_default=False
        ),
    ],
    as_json: AsJson = False,
    _debug: Debug = False,
) -> None:
    """Show a weights file's layers, classes and origin."""
    from yolo_max.weights.load import load_weights

    loaded = load_weights(weights)
    if as_json:
        typer.echo(json.dumps(_summary(loaded), ensure_ascii=False))
        return
    stdout().print(_header(loaded))
    stdout().print()
    stdout().print(_layers(loaded))
    stdout().print("\n[bold]classes[/]")
    names = list(loaded.meta.names.values())
    more = f", ... and {len(names) - MAX_NAMES:,} more; --json has all" if len(names) > MAX_NAMES else ""
    stdout().print(", ".join(names[:MAX_NAMES]) + more, markup=False, emoji=False)


@app.command(name="fetch", cls=Command, epilog=_EXIT_CODES)
def fetch_command(
    name: Annotated[
        str,
        typer.Argument(
            help="An official model, of any size and task: yolo26n, yolo11s-seg, yolov8m-pose, yolov5mu, ...",
            metavar="NAME",
            show_default=False,
        ),
    ],
    force: Annotated[bool, flag(OUTPUT, "Download it even if it is in the cache.", "--force")] = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Download an official checkpoint through Ultralytics into the user's cache, and convert it."""
    from yolo_max.weights.fetch import fetch

    with busy(quiet) as begin:
        begin(f"Fetching {printable(name)}")
        loaded = fetch(name, force=force)
    if not quiet:
        say(f"{loaded.path}: {counted(loaded.meta.nc, 'class')}, sha256 {loaded.file_sha256}.")


def _summary(weights: Weights) -> dict[str, Any]:
    meta = weights.meta
    return {
        "path": str(weights.path),
        "file_sha256": weights.file_sha256,
        "sha256": weights.sha256,
        "source": meta.source,
        "source_sha256": meta.source_sha256,
        "format_version": meta.format_version,
        "library_version": meta.library_version,
        "stored_dtype": weights.stored_dtype,
        "parameters": weights.parameters,
        "task": meta.task,
        "nc": meta.nc,
        "names": dict(meta.names),
        **meta.network.facts,
        "imgsz": meta.imgsz,
        "normalization": meta.network.normalization and meta.network.normalization._asdict(),
        "layers": [
            {
                "index": layer.index,
                "from": list(layer.from_),
                "module": layer.module,
                "copies": layer.copies,
                "c_in": list(layer.c_in),
                "c_out": layer.c_out,
                "args": dict(layer.args),
                "parameters": layer.parameters,
            }
            for layer in meta.network.layers
        ],
    }


def _header(weights: Weights) -> Table:
    from rich.table import Table
    from rich.text import Text

    meta = weights.meta
    read = f"{meta.imgsz} x {meta.imgsz} pixels"
    if meta.network.normalization:
        mean, std = (", ".join(f"{each:.4g}" for each in part) for part in meta.network.normalization)
        read += f", normalised to mean {mean} and deviation {std}"
    facts = (f"{name} {value}" for name, value in meta.network.facts.items() if type(value) is not bool)
    origin = [
        ("converted from", f"{meta.source} by yolo_max {meta.library_version}"),
        ("its sha256", meta.source_sha256),
    ]
    table = Table.grid("key", "value", padding=(0, 2))
    for key, value in (
        ("file", str(weights.path)),
        ("its sha256", weights.file_sha256),
        ("as safetensors", weights.sha256),
        *([] if weights.is_checkpoint else origin),
        ("stored as", f"{weights.stored_dtype}, {weights.parameters:,} parameters"),
        ("task", meta.task),
        ("input", read),
        ("head", ", ".join([counted(meta.nc, "class"), *facts])),
    ):
        table.add_row(Text(key, "bold"), Text(printable(value), overflow="fold"))
    return table


def _layers(weights: Weights) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("layer", "from", "module", "channels", "parameters", ""):
        right = heading in ("layer", "channels", "parameters")
        table.add_column(heading, justify="right" if right else "left", no_wrap=heading == "module")
    for layer in weights.meta.network.layers:
        table.add_row(
            str(layer.index),
            ", ".join("image" if source < 0 else str(source) for source in layer.from_),
            layer.module + (f" x {layer.copies}" if layer.copies > 1 else ""),
            str(layer.c_out),
            f"{layer.parameters:,}" if layer.parameters else "",
            layer.spec.describe(layer),
        )
    return table

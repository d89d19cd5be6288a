"""``yolo-max weights``: converting checkpoints, looking into weights files, fetching the official ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from yolo_max.weights import Weights, convert, load_weights, write

app = typer.Typer(no_args_is_help=True, help="Convert, inspect or fetch weights.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@app.command(name="convert")
def convert_command(
    checkpoint: Annotated[str, typer.Argument(help="A YOLOv8 detection checkpoint, .pt.", metavar="IN.pt")],
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Where to write; by default IN.safetensors in this folder."),
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Store float16: half the size, computed in float32.")
    ] = False,
) -> None:
    """Fold BatchNorm into the convolutions and write safetensors, which load without PyTorch."""
    target = out or Path(Path(checkpoint).stem + ".safetensors")
    meta, data = convert(checkpoint, half=half)
    write(target, data)
    kind = "float16" if half else "float32"
    typer.echo(f"{target}: {meta.nc} classes, {kind}, {len(data) / 1e6:.1f} MB")


@app.command()
def info(
    weights: Annotated[str, typer.Argument(help="A .safetensors or .pt file, or a name.", metavar="FILE")],
    as_json: Json = False,
) -> None:
    """Show what a weights file holds: layers, classes, where it came from."""
    loaded = load_weights(weights)
    if as_json:
        typer.echo(json.dumps(_summary(loaded), ensure_ascii=False))
        return
    console = Console()
    console.print(_header(loaded))
    console.print(_layers(loaded))
    console.print(f"[bold]classes[/bold]  {escape(', '.join(loaded.meta.names.values()))}", highlight=False)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="An official model, such as yolov8n; n, s, m, l or x.")],
    force: Annotated[bool, typer.Option("--force", help="Download it even if it is there.")] = False,
) -> None:
    """Download an official checkpoint through Ultralytics into the user's cache, and convert it."""
    from yolo_max.fetch import fetch as fetch_weights

    loaded = fetch_weights(name, force=force)
    typer.echo(f"{loaded.path}: {loaded.meta.nc} classes, sha256 {loaded.meta.source_sha256}")


def _summary(weights: Weights) -> dict[str, Any]:
    meta = weights.meta
    return {
        "path": str(weights.path),
        "sha256": weights.sha256,
        "source": meta.source,
        "source_sha256": meta.source_sha256,
        "format_version": meta.format_version,
        "library_version": meta.library_version,
        "stored_dtype": weights.stored_dtype,
        "parameters": weights.parameters,
        "nc": meta.nc,
        "names": dict(meta.names),
        "reg_max": meta.reg_max,
        "strides": list(meta.strides),
        "imgsz": meta.imgsz,
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
            for layer in meta.network().layers
        ],
    }


def _header(weights: Weights) -> Table:
    meta = weights.meta
    table = Table.grid(padding=(0, 2))
    for key, value in (
        ("file", str(weights.path)),
        ("sha256", weights.sha256),
        ("converted from", f"{meta.source} by yolo_max {meta.library_version}"),
        ("its sha256", meta.source_sha256),
        ("stored as", f"{weights.stored_dtype}, {weights.parameters:,} parameters"),
        ("input", f"{meta.imgsz} x {meta.imgsz} pixels, strides {', '.join(map(str, meta.strides))}"),
        ("head", f"{meta.nc} classes, {meta.reg_max} bins a side"),
    ):
        table.add_row(f"[bold]{key}[/bold]", escape(value))
    return table


def _layers(weights: Weights) -> Table:
    table = Table(title="architecture", title_justify="left", box=None, header_style="bold")
    for heading in ("layer", "from", "module", "in", "out", "parameters"):
        table.add_column(heading, justify="left" if heading in ("from", "module") else "right")
    table.add_column("arguments")
    for layer in weights.meta.network().layers:
        table.add_row(
            str(layer.index),
            ", ".join("image" if source < 0 else str(source) for source in layer.from_),
            escape(layer.module) + (f" x {layer.copies}" if layer.copies > 1 else ""),
            " + ".join(map(str, layer.c_in)),
            str(layer.c_out),
            f"{layer.parameters:,}" if layer.parameters else "",
            escape(", ".join(f"{name} {value}" for name, value in layer.args.items())),
        )
    return table

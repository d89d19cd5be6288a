"""``yolo-max detect``: options in, a run over the images, and what was found on the terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from yolo_max.cli.console import Debug

NETWORK, DETECTIONS, OUTPUT, SPEED, TERMINAL = "Network", "Detections", "Output", "Speed", "Terminal"

EPILOG = (
    "[bold]Exit codes[/]  0 done · 1 unexpected error · 2 bad option · 3 weights · 4 no images · "
    "5 engine or device · 6 cannot write · 7 some images could not be read, the rest is done · "
    "130 interrupted"
)


def detect(
    sources: Annotated[
        list[str], typer.Argument(help="Images, folders or globs.", metavar="SOURCE...", show_default=False)
    ],
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            "--model",
            "-w",
            help="A .safetensors or .pt file, or a name: [cyan]yolov8n[/] finds 80 kinds of everyday things "
            "([cyan]yolo-max weights fetch yolov8n[/] brings it), [cyan]yolov8n-shapes[/] is the demo.",
            metavar="FILE|NAME",
            rich_help_panel=NETWORK,
        ),
    ] = "yolov8n",
    imgsz: Annotated[
        str | None,
        typer.Option(
            help="Side of the network's input in pixels, or HEIGHT,WIDTH.",
            metavar="PIXELS",
            show_default="the weights' own",
            rich_help_panel=NETWORK,
        ),
    ] = None,
    rect: Annotated[
        bool,
        typer.Option("--rect", help="Cut the input to each image's shape: faster.", rich_help_panel=NETWORK),
    ] = False,
    engine: Annotated[
        str, typer.Option(help="max, or torch for comparison.", metavar="ENGINE", rich_help_panel=NETWORK)
    ] = "max",
    device: Annotated[
        str, typer.Option(help="auto, cpu or gpu.", metavar="DEVICE", rich_help_panel=NETWORK)
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="f32 or bf16.", metavar="TYPE", rich_help_panel=NETWORK)
    ] = "f32",
    kernels: Annotated[
        str, typer.Option(help="auto, fused or stock.", metavar="KERNELS", rich_help_panel=NETWORK)
    ] = "auto",
    conf: Annotated[
        float, typer.Option(help="Least confidence.", metavar="0..1", rich_help_panel=DETECTIONS)
    ] = 0.25,
    iou: Annotated[
        float,
        typer.Option(help="Most overlap between boxes (NMS).", metavar="0..1", rich_help_panel=DETECTIONS),
    ] = 0.7,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these, by name or id: [cyan]--classes person,car[/].",
            metavar="LIST",
            show_default="all",
            rich_help_panel=DETECTIONS,
        ),
    ] = None,
    max_det: Annotated[
        int, typer.Option(help="Most boxes an image.", metavar="N", rich_help_panel=DETECTIONS)
    ] = 300,
    agnostic_nms: Annotated[
        bool,
        typer.Option("--agnostic-nms", help="Let classes suppress each other.", rich_help_panel=DETECTIONS),
    ] = False,
    debug: Debug = False,
) -> None:
    """Find objects in images."""

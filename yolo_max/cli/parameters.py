"""Options that several commands share, and how an option is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from yolo_max.cli.console import warnings_as_lines
from yolo_max.support.errors import UsageError

if TYPE_CHECKING:
    from yolo_max.weights.meta import ModelMeta

NETWORK, DETECTIONS, OUTPUT, RUN, TERMINAL = "Network", "Detections", "Output", "Run", "Terminal"


def option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option with a value, in a panel of the help."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def flag(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option without a value."""
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar="", **more)


Sources = Annotated[
    list[str], typer.Argument(help="Images, folders or globs.", metavar="SOURCE", show_default=False)
]
Weights = Annotated[
    str,
    option(
        NETWORK,
        "A .safetensors or .pt file; or a name, looked up in this folder, in ./weights and in the cache.",
        *("--weights", "--model", "-w"),
        metavar="FILE",
    ),
]
Imgsz = Annotated[
    str | None,
    option(
        NETWORK, "Input size in pixels: side, or HEIGHT,WIDTH.", metavar="N", show_default="the weights' own"
    ),
]
Device = Annotated[str, option(NETWORK, "auto, cpu or gpu, for MAX.", metavar="NAME")]
Precision = Annotated[str, option(NETWORK, "f32, or bf16 where the CPU has it, for MAX.", metavar="NAME")]
Kernels = Annotated[str, option(NETWORK, "auto, fused or stock, for MAX.", metavar="NAME")]
Threads = Annotated[int | None, option(RUN, "Threads of each engine.", metavar="N", show_default="all CPUs")]
Recursive = Annotated[bool, flag(RUN, "Look into subfolders.", "--recursive", "-r")]
Conf = Annotated[float, option(DETECTIONS, "Least confidence of a box, 0 to 1.", metavar="X")]
Iou = Annotated[float, option(DETECTIONS, "Most overlap of two boxes (NMS), 0 to 1.", metavar="X")]
Classes = Annotated[
    list[str] | None,
    option(
        DETECTIONS,
        "Only these, by name or id: person,car. May be repeated.",
        metavar="LIST",
        show_default="all",
    ),
]
MaxDet = Annotated[int, option(DETECTIONS, "Most boxes in an image.", metavar="N")]
AgnosticNms = Annotated[
    bool, flag(DETECTIONS, "Let boxes of different classes suppress each other.", "--agnostic-nms")
]
Quiet = Annotated[bool, flag(TERMINAL, "Say nothing but errors.", "--quiet", "-q")]
AsJson = Annotated[bool, flag(TERMINAL, "Print the result as JSON, and nothing else.", "--json")]


def sides(text: str | None) -> int | list[int] | None:
    """What ``--imgsz`` says: one side, or height and width.

    Raises:
        UsageError: It is something else.
    """
    if text is None:
        return None
    try:
        numbers = [int(word) for word in text.replace("x", ",").split(",")]
    except ValueError:
        raise UsageError(f"imgsz is {text!r}, but it must be one side in pixels, or HEIGHT,WIDTH.") from None
    return numbers[0] if len(numbers) == 1 else numbers


def canvas(text: str | None, meta: ModelMeta, quiet: bool) -> list[int]:
    """The size that ``--imgsz`` comes to for a model, (height, width); says so where it is rounded.

    Raises:
        UsageError: It is no size, or out of range.
    """
    from yolo_max.support.parse import parse_imgsz

    asked = sides(text)
    with warnings_as_lines(quiet):
        return list(parse_imgsz(meta.imgsz if asked is None else asked, meta.network.stride))


def words(lists: list[str] | None) -> list[str] | None:
    """The entries of comma-separated lists, which may be given several times."""
    if lists is None:
        return None
    return [word.strip() for text in lists for word in text.split(",") if word.strip()]

"""Options that several commands share, and how an option is declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields
from functools import partial, wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from yolo_max.cli.console import warnings_as_lines
from yolo_max.support.option import Options, about
from yolo_max.support.options import DETECTIONS, NETWORK, OUTPUT, RUN, SOURCES, TILES

if TYPE_CHECKING:
    from yolo_max.weights.meta import ModelMeta

TERMINAL = "Terminal"


def option(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option with a value, in a panel of the help."""
    return typer.Option(*names, help=text, rich_help_panel=panel, **more)


def flag(panel: str, text: str, *names: str, **more: Any) -> Any:
    """An option without a value."""
    return typer.Option(*names, help=text, rich_help_panel=panel, metavar="", **more)


SOURCE: Any = typer.Argument(help="Images, folders or globs.", metavar="SOURCE", show_default=False)
MEDIA: Any = typer.Argument(
    help="Images, videos, folders, globs; addresses; a webcam's number; lists of these (.txt, .csv, "
    ".streams); or - for the standard input.",
    metavar="SOURCE",
    show_default=False,
)
Sources = Annotated[list[str], SOURCE]


def _weights_at_hand(incomplete: str) -> list[str]:
    """For the shell: names; it completes files by itself where there are none."""
    from yolo_max.weights.locate import names_at_hand

    return [name for name in names_at_hand() if name.startswith(incomplete)]


_WEIGHTS = partial(
    option,
    NETWORK,
    "A .safetensors or .pt file; or a name, looked up here, in ./weights, the cache and the package.",
    *("--weights", "--model", "-w"),
    metavar="FILE",
    autocompletion=_weights_at_hand,
)
Weights = Annotated[str, _WEIGHTS()]
WeightsOrThoseOfTheRun = Annotated[
    str | None, _WEIGHTS(show_default="yolov8n; with --resume, those of the run")
]
Recursive = Annotated[bool, flag(RUN, "Look into subfolders.", "--recursive", "-r")]
Quiet = Annotated[bool, flag(TERMINAL, "Say nothing but errors.", "--quiet", "-q")]
AsJson = Annotated[bool, flag(TERMINAL, "Print the result as JSON, and nothing else.", "--json")]


def canvas(imgsz: int | Sequence[int] | None, meta: ModelMeta, quiet: bool) -> list[int]:
    """The canvas size (height, width) that ``imgsz`` gives for a model, with a warning if it is rounded.

    Raises:
        UsageError: ``imgsz`` is not a size, or is out of range.
    """
    with warnings_as_lines(quiet):
        return list(meta.canvas_size(imgsz))


BOTH_ENGINES = (
    *("imgsz", "nms", "conf", "iou", "classes", "max_det", "agnostic_nms", "retina_masks", "threads"),
)
"""Options that mean the same to both engines when they are compared."""
MAX_ONLY = ("device", "precision", "kernels")
TWO_ENGINES = {
    "device": "auto, cpu or gpu, for MAX.",
    "precision": "f32, or bf16 where the CPU has it, for MAX.",
    "kernels": "auto, fused or stock, for MAX.",
    "threads": "Threads of each engine.",
}
"""Help texts for commands that run two engines."""


PANELS = {SOURCES: 1, NETWORK: 2, TILES: 3, DETECTIONS: 4, OUTPUT: 6, RUN: 7, TERMINAL: 8}
"""The order of panels in the help: after the arguments; a command's own panels come fifth."""


class Some:
    """Options of a class that a command takes, some with defaults and help of its own."""

    def __init__(
        self,
        kind: type[Options],
        *names: str,
        helps: Mapping[str, str] | None = None,
        callbacks: Mapping[str, Callable[..., Any]] | None = None,
        **defaults: Any,
    ) -> None:
        """Picks the options.

        Args:
            kind: The class.
            names: Which options; without any, all that the command line has.
            helps: Help texts that replace the class's own, by name.
            callbacks: What typer calls with its context and the value of an option, by name.
            defaults: Defaults that replace the class's own.
        """
        self.kind = kind
        self.fields = [
            each for each in fields(kind) if about(each).group and (not names or each.name in names)
        ]
        self.defaults = defaults
        self._helps, self._callbacks = helps or {}, callbacks or {}

    def parameters(self) -> list[Parameter]:
        """One keyword parameter per option, as typer reads it."""
        return [self._parameter(each) for each in self.fields]

    def collect(self, given: dict[str, Any]) -> Options:
        """Moves the options out of ``given`` into one value.

        Raises:
            UsageError: A value makes no sense.
        """
        values = {}
        for each in self.fields:
            value, parse = given.pop(each.name), about(each).parse
            values[each.name] = value if parse is None or value is None else parse(value)
        return self.kind(**{**self.defaults, **values})

    def _parameter(self, each: Field[Any]) -> Parameter:
        known = about(each)
        hint = known.written_as or get_type_hints(self.kind)[each.name]
        switches = known.switches or (f"--{each.name.replace('_', '-')}",)
        written = typer.Option(
            *switches,
            help=self._helps.get(each.name, known.help),
            rich_help_panel=known.group,
            metavar=known.metavar,
            show_default=known.default_text or True,
            callback=self._callbacks.get(each.name),
        )
        default = self.defaults.get(each.name, each.default)
        return Parameter(
            each.name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, written]
        )


def takes(**kinds: Some) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Passes the options of a class to a command as one argument; the help lists each of them.

    @takes(options=Some(PredictOptions))
    def predict(sources: Sources, options: PredictOptions) -> int: ...
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        plain = signature(command, eval_str=True)
        parameters: list[Parameter] = []
        for name, parameter in plain.parameters.items():
            if name in kinds:
                parameters += kinds[name].parameters()
            else:
                parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY))
        parameters.sort(key=_panel)  # the help shows panels in the order of parameters

        @wraps(command)
        def run(**given: Any) -> Any:
            collected = {name: some.collect(given) for name, some in kinds.items()}
            return command(**given, **collected)

        vars(run)["__signature__"] = plain.replace(parameters=parameters)
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _panel(parameter: Parameter) -> int:
    """A parameter's place in the help."""
    panel = parameter.annotation.__metadata__[0].rich_help_panel
    return 0 if panel is None else PANELS.get(panel, 5)

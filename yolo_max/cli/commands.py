"""What all commands share: the look of their help, and typer's errors in this project's words."""

from __future__ import annotations

import signal
from inspect import cleandoc
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from yolo_max.cli import hints, leave_at_once
from yolo_max.cli.parameters import TERMINAL
from yolo_max.support.errors import ExitCode, UsageError
from yolo_max.support.text import shorten
from yolo_max.support.ultralytics_options import unknown_option

MAX_OPTION = 60
_CODES = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "an unexpected error",
    ExitCode.USAGE: "a bad option or argument",
    ExitCode.WEIGHTS: "weights are missing, damaged, unsafe or not ported",
    ExitCode.SOURCE: "the source does not exist or holds no image",
    ExitCode.ENGINE: "the device, kernels or graph cannot do what was asked",
    ExitCode.OUTPUT: "results cannot be written",
    ExitCode.INTERRUPTED: "interrupted",
}
# Where a command differs; None where it has no such code.
_CODES_OF: dict[str, dict[ExitCode, str | None]] = {
    "predict": {ExitCode.SOME_IMAGES_FAILED: "some images could not be read; the rest is done"},
    "compare": {
        ExitCode.OK: "parity holds",
        ExitCode.SOME_IMAGES_FAILED: "parity holds, but some images could not be read",
        ExitCode.PARITY: "parity does not hold",
    },
    "val": {
        ExitCode.SOURCE: "the dataset does not exist or makes no sense",
        ExitCode.SOME_IMAGES_FAILED: "some images or labels could not be read",
        ExitCode.PARITY: "the engines' accuracies differ by more than 0.0005",
    },
    "bench": {},
    "weights": {ExitCode.SOURCE: None, ExitCode.ENGINE: None},
    "cache": {ExitCode.WEIGHTS: None, ExitCode.SOURCE: None, ExitCode.ENGINE: None},
}


def exit_codes(command: str) -> str:
    """The list of exit codes below a command's help."""
    meanings = {**_CODES, **_CODES_OF[command]}
    lines = [f"{int(code):>3}  {meanings[code]}" for code in sorted(meanings) if meanings[code]]
    return "\n".join(["[bold]Exit codes[/]", *lines])


class Command(TyperCommand):
    """A command, with one look for its help."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.help = _paragraphs(self.help)
        for parameter in self.params:
            if parameter.param_type_name == "argument":
                # Its name says what it is; typer has no option to hide the Python type beside it.
                setattr(parameter, "display_type_rich", lambda **_: None)  # noqa: B010

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """What follows the command's name, without the braces that typer puts around arguments."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def get_help_option(self, ctx: Any) -> Any:
        """``--help``, in the panel of the terminal's options."""
        return _plain(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments; an error is raised in this project's words."""
        try:
            rest = super().parse_args(ctx, args)
        except typer.Exit:
            raise
        except Exception as error:
            raise _in_our_words(error, ctx) from error
        sources = ctx.params.get("sources") or ()
        if hint := hints.for_settings(ctx.command_path, sources, _switches(self)):
            raise UsageError(hint)
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Runs the command, which handles Ctrl-C itself from here on."""
        if signal.getsignal(signal.SIGINT) is leave_at_once:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return super().invoke(ctx)


class Group(TyperGroup):
    """A group of commands, with the look of `Command`."""

    def get_help_option(self, ctx: Any) -> Any:
        """``--help``, in the panel of the terminal's options."""
        return _plain(super().get_help_option(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of that name; a hint for those of `yolo`."""
        if args[0] not in self.commands and not args[0].startswith("-"):
            shown = [name for name, command in self.commands.items() if not command.hidden]
            raise UsageError(hints.for_command(args, shown))
        return super().resolve_command(ctx, args)


def _switches(command: Any) -> list[str]:
    """The command's options as they are written: "--conf", "--save", "--no-save"."""
    written = (switch for each in command.params for switch in (*each.opts, *each.secondary_opts))
    return [switch for switch in written if switch.startswith("--")]


def _plain(option: Any) -> Any:
    if option is not None:
        option.metavar, option.rich_help_panel = "", TERMINAL
    return option


def _paragraphs(text: str | None) -> str | None:
    """The text with one line per paragraph, for the terminal to wrap."""
    return text and "\n\n".join(" ".join(each.split()) for each in cleandoc(text).split("\n\n"))


def _in_our_words(error: Any, context: Any) -> Any:
    if hasattr(error, "possibilities"):  # an option that does not exist
        otherwise = f"see {context.command_path} --help."
        return UsageError(
            unknown_option(str(error.option_name)[:MAX_OPTION], _switches(context.command), otherwise)
        )
    for kind, wanted in (("float_parsing", "a number"), ("int_parsing", "a whole number")):
        for problem in getattr(error.__cause__, "errors", list)():
            if str(problem.get("type")).startswith(kind):
                name = getattr(getattr(error, "param", None), "name", "the value")
                return UsageError(f"{name} is {shorten(problem.get('input'))}, but it must be {wanted}.")
    return error

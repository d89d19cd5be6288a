"""What all commands share: the look of their help, and typer's errors in this project's words."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import cleandoc
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from yolo_max.cli import hints, leave_at_once
from yolo_max.cli.alone import with_values
from yolo_max.cli.parameters import TERMINAL
from yolo_max.cli.syntax import Syntax
from yolo_max.support.errors import ExitCode, UsageError
from yolo_max.support.text import shorten

_CODES = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "an unexpected error",
    ExitCode.USAGE: "a bad option or argument",
    ExitCode.WEIGHTS: "weights are missing, damaged, unsafe or not ported",
    ExitCode.SOURCE: "the source does not exist or holds no image",
    ExitCode.ENGINE: "the engine cannot do what was asked, or a package is not installed",
    ExitCode.OUTPUT: "results cannot be written",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.READER_GONE: "what reads the output has gone, as head does",
}
# Where a command differs; None where it has no such code.
_CODES_OF: dict[str, dict[ExitCode, str | None]] = {
    "predict": {ExitCode.SOME_IMAGES_FAILED: "some images could not be read; the rest is done"},
    "compare": {
        ExitCode.OK: "parity holds; bf16 is within its bounds, or was not judged",
        ExitCode.SOME_IMAGES_FAILED: "as 0, but some images could not be read",
        ExitCode.PARITY: "parity does not hold; bf16 is out of its bounds",
    },
    "val": {
        ExitCode.SOURCE: "the dataset does not exist or makes no sense",
        ExitCode.SOME_IMAGES_FAILED: "some images or labels could not be read",
        ExitCode.PARITY: "the engines' accuracies differ by more than 0.0005 (bf16: 0.003)",
    },
    "bench": {},
    "serve": {
        ExitCode.OK: "it was told to end, and all was answered",
        **dict.fromkeys((ExitCode.SOURCE, ExitCode.OUTPUT)),
    },
    "weights": {ExitCode.SOURCE: None, ExitCode.ENGINE: None},
    "convert": {
        ExitCode.OK: "all of the module can be converted",
        ExitCode.WEIGHTS: None,
        ExitCode.SOURCE: None,
        ExitCode.ENGINE: "some of the module cannot be converted, or a package is not installed",
    },
    "weights compile": {ExitCode.SOURCE: None},
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
        others = [*_commands(ctx.find_root()).values()]
        syntax = _syntax(self, ctx.command_path)
        args = hints.without_names(with_values(args, syntax.valued), syntax)
        if hint := hints.for_arguments(args, syntax, others):
            raise UsageError(hint)
        with _in_our_words(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command, which handles Ctrl-C itself from here on."""
        if signal.getsignal(signal.SIGINT) is leave_at_once:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return super().invoke(ctx)


class Group(TyperGroup):
    """A group of commands, with the look of `Command`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All options, typer's own among the terminal's."""
        found = super().get_params(ctx)
        for parameter in found:
            if parameter.name in ("install_completion", "show_completion"):
                _plain(parameter)
        return found

    def get_help_option(self, ctx: Any) -> Any:
        """``--help``, in the panel of the terminal's options."""
        return _plain(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the arguments; an error is raised in this project's words."""
        with _in_our_words(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that is named; a missing one is an error in this project's words."""
        with _in_our_words(ctx):
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of that name; a hint for those of `yolo`."""
        if args[0] not in self.commands or hints.is_of_yolo(args):
            raise UsageError(hints.for_command(args, ctx.command_path, _commands(ctx)))
        return super().resolve_command(ctx, args)


def _commands(context: Any) -> dict[str, Syntax]:
    """What each command of a group takes, but for hidden ones."""
    path, commands = context.command_path, context.command.commands
    return {name: _syntax(each, f"{path} {name}") for name, each in commands.items() if not each.hidden}


def _syntax(command: Any, path: str) -> Syntax:
    """What a command takes."""
    arguments = [each.name for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    flags = (name for each in options if each.is_flag for name in (*each.opts, *each.secondary_opts))
    valued = (name for each in options if not each.is_flag for name in each.opts)
    return Syntax(path, "".join(arguments[:1]), frozenset({"-h", "--help", *flags}), frozenset(valued))


def _plain(option: Any) -> Any:
    if option is not None:
        option.metavar, option.rich_help_panel = "", TERMINAL
    return option


def _paragraphs(text: str | None) -> str | None:
    """The text with one line per paragraph, for the terminal to wrap."""
    return text and "\n\n".join(" ".join(each.split()) for each in cleandoc(text).split("\n\n"))


@contextmanager
def _in_our_words(context: Any) -> Iterator[None]:
    """Turns typer's errors into this project's."""
    try:
        yield
    except typer.TyperException as error:
        message = error.format_message()
        if not message:  # the help was printed instead
            raise typer.Exit(ExitCode.USAGE) from error
        for kind, wanted in (("float_parsing", "a number"), ("int_parsing", "a whole number")):
            for problem in getattr(error.__cause__, "errors", list)():
                if str(problem.get("type")).startswith(kind):
                    name = getattr(getattr(error, "param", None), "name", "the value")
                    message = f"{name} is {shorten(problem.get('input'))}, but it must be {wanted}"
        message = f"{message[:1].lower()}{message[1:].rstrip('.')}"
        raise UsageError(f"{message}; see {context.command_path} --help.") from error

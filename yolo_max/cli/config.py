"""``--cfg``: options from a YAML file, with the names that they have on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from yolo_max.cli.alone import with_values
from yolo_max.cli.console import say
from yolo_max.cli.parameters import option
from yolo_max.support.errors import UsageError
from yolo_max.support.options import RUN
from yolo_max.support.plain_file import reason
from yolo_max.support.text import shorten
from yolo_max.support.ultralytics_options import ABSENT, NOT_FOR_PREDICTION, plain, unknown_option
from yolo_max.support.yaml_file import read_yaml

_INSTEAD = {
    **ABSENT,
    **dict.fromkeys(("half", "quantize"), "use precision: bf16 for 16-bit numbers"),
    "save_dir": "use out",
    "exist_ok": "use overwrite",
}
"""What to write for Ultralytics' options that have another name here, or none."""

_OF_A_MODE = {"format": "export", "tracker": "track"}
"""Options that Ultralytics' files always have, and read in one mode alone."""


@dataclass(frozen=True)
class Configuration:
    """What a file says.

    Attributes:
        values: The options that it gives, by their names in Python.
        ignored: Options in it that change nothing here: other commands', and Ultralytics'.
    """

    values: dict[str, Any]
    ignored: list[str]


def read_config(path: Path, known: Iterable[str], elsewhere: Iterable[str] = ()) -> Configuration:
    """The options of a file; those without a value, or others' that are off, ask for nothing.

    Args:
        path: The file: one ``name: value`` for each option, where "save-txt" is "save_txt".
        known: The names that there are.
        elsewhere: The names that other commands know, with which the file may be shared.

    Raises:
        UsageError: It cannot be read, or has options that do not exist; all are named.
    """
    try:
        values = read_yaml(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}.") from error
    except ValueError as error:
        raise UsageError(f"{path} {error}.") from error
    if not isinstance(values, Mapping):
        raise UsageError(f"{path} is no list of options; write one in each line, conf: 0.4.")
    known, found, wrong = set(known), {}, []
    ignored: list[str] = []
    mode = values.get("mode")
    known -= {name for name, its in _OF_A_MODE.items() if mode not in (None, its)}
    others = {*elsewhere, *_OF_A_MODE, *NOT_FOR_PREDICTION} - known
    for written, value in values.items():
        name = plain(str(written))
        if value is None or (value is False and name not in known and name in {*_INSTEAD, *others}):
            continue
        if name in known and isinstance(value, Mapping):
            wrong.append(f"{written} is {shorten(value)}, but it must be a value.")
        elif name in known:
            found[name] = value
        elif name in others:
            ignored.append(name)
        else:
            wrong.append(unknown_option(str(written), known, _INSTEAD, "see --help."))
    if wrong:
        raise UsageError(f"{path}: {' '.join(wrong)}")
    return Configuration(found, ignored)


_TYPED = ("--cfg", "--help", "--debug")
"""Options that make no sense in a file."""


def _take(context: typer.Context, path: Path | None) -> Path | None:
    """Makes the file's values the defaults: what is typed counts more."""
    if path is not None and not context.resilient_parsing:
        options, opposites = _options(context.command)
        commands = getattr(context.find_root().command, "commands", {}).values()
        elsewhere = [name for command in commands for those in _options(command) for name in those]
        read = read_config(path, [*options, *opposites], elsewhere)
        if read.ignored:
            say(f"Ignored in {path}, as it changes nothing here: {', '.join(read.ignored)}.", "yellow")
        defaults = {}
        for name, value in read.values.items():
            if name in options:
                defaults[options[name].name] = _as_typed(options[name], value)
            else:
                off = not value if isinstance(value, bool) else value
                defaults[opposites[name].name] = _as_typed(opposites[name], off)
        context.default_map = defaults
    return path


def _options(command: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """A command's parameters by their names in a file, and those by what switches them off."""
    parameters = getattr(command, "params", [])
    return (
        {name: each for each in parameters for name in _names(each)},
        {name: each for each in parameters for name in _opposites(each)},
    )


def _names(parameter: Any) -> list[str]:
    """What a parameter is called in a file; an argument for sources is "source", as in Ultralytics."""
    if parameter.param_type_name == "argument":
        return [parameter.name.removesuffix("s")]
    return [plain(each) for each in parameter.opts if each.startswith("--") and each not in _TYPED]


def _opposites(parameter: Any) -> list[str]:
    """What switches a parameter off: "hide_labels"; and "verbose", which is Ultralytics' for not "quiet"."""
    return [*(plain(each) for each in parameter.secondary_opts), *["verbose"] * ("--quiet" in parameter.opts)]


def _as_typed(parameter: Any, value: Any) -> Any:
    """A value as the command line would have it: an option with several takes a list, others text.

    Of an option that is no switch, false is as if it were not there, and true as if it were typed alone.

    Raises:
        UsageError: It needs a value, and has true.
    """
    if isinstance(value, bool) and not getattr(parameter, "is_flag", False):
        return _alone(parameter) if value else None
    if parameter.multiple or parameter.nargs != 1:
        return [str(each) for each in value] if isinstance(value, list) else str(value).split(",")
    if isinstance(value, list):
        return ",".join(str(each) for each in value)
    return value if isinstance(value, bool) or value is None else str(value)


def _alone(parameter: Any) -> str:
    """The value of an option that is typed without one."""
    name = _names(parameter)[0]
    written = f"--{name.replace('_', '-')}"
    _, given, value = with_values([written], [written])[0].partition("=")
    if not given:
        raise UsageError(f"{name} is true, but it must be a value.")
    return value


Config = Annotated[
    Path | None,
    option(
        RUN,
        "A YAML file of options, conf: 0.4; what is typed counts more.",
        "--cfg",
        metavar="FILE",
        show_default="none",
        is_eager=True,
        callback=_take,
    ),
]

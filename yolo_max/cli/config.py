"""``--cfg``: options from a YAML file, with the names that they have on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from yolo_max.cli.parameters import option
from yolo_max.cli.spread import with_address
from yolo_max.support.errors import UsageError
from yolo_max.support.options import RUN
from yolo_max.support.plain_file import reason
from yolo_max.support.text import shorten
from yolo_max.support.ultralytics_options import plain, unknown_option
from yolo_max.support.yaml_file import read_yaml


def read_config(path: Path, known: Iterable[str]) -> dict[str, Any]:
    """The options of a file, by their names in Python.

    Args:
        path: The file: one ``name: value`` for each option, where "save-txt" is "save_txt".
        known: The names that there are.

    Raises:
        UsageError: It cannot be read, or has an option that does not exist.
    """
    try:
        values = read_yaml(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {reason(error)}.") from error
    except ValueError as error:
        raise UsageError(f"{path} {error}.") from error
    if not isinstance(values, Mapping):
        raise UsageError(f"{path} is no list of options; write one in each line, conf: 0.4.")
    known, found = list(known), {}
    for written, value in values.items():
        name = plain(str(written))
        if name not in known:
            hint = unknown_option(str(written), known, {}, "see --help.")
            raise UsageError(f"{path}: {hint}")
        if isinstance(value, Mapping):
            raise UsageError(f"{path}: {written} is {shorten(value)}, but it must be a value.")
        found[name] = value
    return found


_TYPED = ("--cfg", "--help", "--debug")
"""Options that make no sense in a file."""


def _take(context: typer.Context, path: Path | None) -> Path | None:
    """Makes the file's values the defaults: what is typed counts more."""
    if path is not None and not context.resilient_parsing:
        options = {name: each for each in context.command.params for name in _names(each)}
        values = read_config(path, options)
        context.default_map = {
            options[name].name: _as_typed(options[name], value) for name, value in values.items()
        }
    return path


def _names(parameter: Any) -> list[str]:
    """What a parameter is called in a file; an argument for sources is "source", as in Ultralytics."""
    if parameter.param_type_name == "argument":
        return [parameter.name.removesuffix("s")]
    return [plain(each) for each in parameter.opts if each.startswith("--") and each not in _TYPED]


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
    _, given, value = with_address([f"--{name}"])[0].partition("=")
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

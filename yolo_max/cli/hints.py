"""What users of `yolo` type, and what to type here."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Collection, Sequence

from yolo_max.support.text import nearest, shorten
from yolo_max.support.ultralytics_options import unknown_option

_COMMANDS = {
    "benchmark": "`benchmark` is `bench` here: yolo-max bench",
    "train": "nothing is trained here; train with Ultralytics, and give best.pt to yolo-max predict with -w",
    "track": "nothing is tracked here; yolo-max predict treats each image by itself",
    "export": "nothing needs to be exported here; yolo-max predict takes a .pt with -w",
}
_SOURCES = {"source", "data"}
_VERBS = {"detect", "classify", "predict"}
"""Words that `yolo` has before its settings."""
_SETTING = re.compile(r"([a-z][a-z_]*)=(.*)")


def for_command(arguments: Sequence[str], commands: Collection[str]) -> str:
    """The message for an unknown command.

    Args:
        arguments: It and what follows.
        commands: The commands that exist.
    """
    name = arguments[0]
    if name in _COMMANDS:
        return f"{_COMMANDS[name]}."
    if os.path.lexists(name):
        return f"{name} is not a command; to find out what is in it: yolo-max predict {shlex.quote(name)}."
    close = nearest(name, commands)
    instead = f"did you mean {close}?" if close else f"use one of {', '.join(commands)}."
    return f"there is no command {shorten(name)}; {instead}"


def for_settings(command: str, sources: Sequence[str], switches: Collection[str]) -> str | None:
    """A sentence for ``name=value`` among the sources, which is how `yolo` takes options; else None.

    A file that has such a name is a source.

    Args:
        command: The command as it is called, "yolo-max predict".
        sources: Its arguments.
        switches: Its options.
    """
    found = {
        source: match
        for source in sources
        if (match := _SETTING.fullmatch(source)) and not os.path.lexists(source)
    }
    if not found:
        return None
    words = []
    for source in sources:
        if source in _VERBS and not os.path.lexists(source):
            continue  # `yolo detect predict source=...`
        name, value = found[source].groups() if source in found else ("source", source)
        switch = "--" + name.replace("_", "-")
        off = value.lower() == "false"
        if name in _SOURCES:
            words.append(shlex.quote(value))
        elif switch not in switches:
            if not off:
                return unknown_option(name, switches, f"see {command} --help.")
        elif off:
            words += {f"--no-{name}"} & set(switches)
        else:
            words += [switch] if value.lower() == "true" else [switch, shlex.quote(value)]
    return f"options are written as --name value here: {command} {' '.join(words)}."

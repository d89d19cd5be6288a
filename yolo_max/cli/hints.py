"""What users of `yolo` type, and what to type here."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

_COMMANDS = {
    "benchmark": "`benchmark` is `bench` here: yolo-max bench",
    "train": "nothing is trained here; train with Ultralytics, and give best.pt to yolo-max predict with -w",
    "track": "nothing is tracked here; yolo-max predict treats each image by itself",
    "export": "nothing needs to be exported here; yolo-max predict takes a .pt with -w",
}
_OPTIONS = {
    "--half": "numbers of 16 bits are --precision bf16 here, on a CPU that has them",
    "--source": "the source is an argument here: yolo-max predict SOURCE",
    "--data": "the dataset is an argument here: yolo-max val DATA",
    "--project": "the folder for the results is --out here",
    "--name": "the folder for the results is --out here",
    "--exist-ok": "to replace the results of an earlier run is --overwrite here",
    "--exist_ok": "to replace the results of an earlier run is --overwrite here",
}
_SOURCES = {"source", "data"}
_VERBS = {"detect", "classify", "predict"}
"""Words that `yolo` has before its settings."""
_SETTING = re.compile(r"([a-z][a-z_]*)=(.*)")


def for_command(arguments: Sequence[str]) -> str | None:
    """A sentence for an unknown command; None if there is nothing particular to say."""
    name = arguments[0]
    if name in _COMMANDS:
        return f"{_COMMANDS[name]}."
    if os.path.lexists(name):
        return f"{name} is not a command; to find out what is in it: yolo-max predict {shlex.quote(name)}."
    return None


def for_option(name: str | None) -> str | None:
    """A sentence for an unknown option; None if there is nothing particular to say."""
    return f"{_OPTIONS[name]}." if name in _OPTIONS else None


def for_settings(command: str, sources: Sequence[str]) -> str | None:
    """A sentence for ``name=value`` among the sources, which is how `yolo` takes options; else None.

    A file that has such a name is a source.
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
        if name in _SOURCES:
            words.append(shlex.quote(value))
        elif value.lower() in ("true", "false"):
            words += [switch] if value.lower() == "true" else []
        else:
            words += [switch, shlex.quote(value)]
    return f"options are written as --name value here: yolo-max {command} {' '.join(words)}."

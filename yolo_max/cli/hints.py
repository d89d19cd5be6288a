"""What users of `yolo` type, and what to type here."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from yolo_max.cli.syntax import Syntax
from yolo_max.support.text import nearest, shorten
from yolo_max.support.ultralytics_options import ABSENT, plain, unknown_option

_TASKS = ("detect", "segment", "semantic", "depth", "classify", "pose", "obb")
_MODES = {"predict": "predict", "track": "predict", "val": "val", "benchmark": "bench"}
"""The modes of `yolo`, and the commands for them."""
_TRACKER = "tracker=bytetrack"
_NO_MODES = {
    "train": "nothing is trained here; train with Ultralytics, and give best.pt to yolo-max predict with -w",
    "export": "nothing needs to be exported here; yolo-max predict takes a .pt with -w",
}
_OPTIONS = ("help", "version")
"""Commands of `yolo` that are options here."""
_FILES = {".pt": "weights info", ".safetensors": "weights info", ".yaml": "val", ".json": "val"}
"""The commands for files, by suffix."""
_OUT = ("results go into the folder of --out",)
_BF16 = ("use --precision bf16 for 16-bit numbers", "use --engines max,max-bf16 for 16-bit numbers")
_INSTEAD: Mapping[str, tuple[str, ...]] = {
    **{name: (sentence,) for name, sentence in ABSENT.items()},
    "source": ("the source is an argument: yolo-max predict SOURCE",),
    "data": ("class names come from the weights; for val the dataset is an argument: yolo-max val DATA",),
    "task": ("the weights know their task",),
    "mode": ("the command is the mode: yolo-max predict",),
    **dict.fromkeys(("project", "name", "save_dir"), _OUT),
    "exist_ok": ("use --overwrite to replace the results of an earlier run",),
    **dict.fromkeys(("half", "quantize"), _BF16),
    "batch": ("use --scenarios", "images are run one after another"),
    "rect": ("the input is square",),
    "verbose": ("use --quiet to print nothing but errors",),
    "stream": ("images are always read one after another",),
    "conf_thres": ("use --conf",),
    "iou_thres": ("use --iou",),
    "img_size": ("use --imgsz",),
    "nosave": ("use --no-save",),
    "line_thickness": ("use --line-width",),
}
"""What to say to an option of Ultralytics: the first sentence whose options the command has."""
_WRITTEN: Mapping[str, str] = {
    **dict.fromkeys(("half=true", "quantize=16", "quantize=fp16"), "--precision bf16"),
    "verbose=false": "--quiet",
    "show_labels=false": "--hide-labels",
    "show_conf=false": "--hide-conf",
    "show_boxes=false": "--hide-boxes",
    "exist_ok=true": "--overwrite",
    "save_json=true": "--save-json",
    **dict.fromkeys(("verbose=true", "save=true", "quantize=32", "quantize=fp32"), ""),
    **dict.fromkeys(("show_labels=true", "show_conf=true", "show_boxes=true"), ""),
}
"""What settings of `yolo` are here, where it is not the option of that name."""
_OFF = ("false", "none", "")
_TRUTH = {"0": "false", "1": "true"}
"""Numbers that `yolo` takes for a switch."""
_LISTS = ("imgsz", "classes")
"""Options that take several values."""
_ARGUMENTS = {"source": ("sources",), "data": ("data",), "model": ("weights", "checkpoint", "name")}
"""Settings of `yolo` that are arguments here, of these names."""
_SETTING = re.compile(r"([a-z][a-z0-9_]*)=(.*)")
_NUMBER = re.compile(r"\d+[\]),]*")
MAX_OPTION = 60


def for_command(arguments: Sequence[str], group: str, commands: Mapping[str, Syntax]) -> str:
    """The message for an unknown command.

    Args:
        arguments: It and what follows.
        group: What came before: "yolo-max", or "yolo-max weights".
        commands: The commands that exist.
    """
    name = arguments[0]
    if group == "yolo-max":
        if os.path.lexists(name):
            command = _FILES.get(os.path.splitext(name)[1].lower(), "predict")  # noqa: PTH122
            return (
                f"{name} is not a command; to find out what is in it: yolo-max {command} {shlex.quote(name)}."
            )
        if hint := _of_yolo(arguments, commands):
            return hint
    close = nearest(name, commands)
    instead = f"did you mean {close}?" if close else f"use one of {', '.join(commands)}."
    if name in _OPTIONS:
        instead = f"use yolo-max --{name}."
    return f"there is no command {shorten(name)}; {instead}"


def is_of_yolo(arguments: Sequence[str]) -> bool:
    """Whether these words begin with a task and a mode, as in `yolo detect predict`."""
    first, mode = (*arguments, "", "")[:2]
    return first in _TASKS and mode in (*_MODES, *_NO_MODES) and not os.path.lexists(mode)


def without_names(arguments: Sequence[str], syntax: Syntax) -> list[str]:
    """What was typed, without the names of what is an argument here: ``--source photos``, ``--data=a.yaml``.

    Args:
        arguments: What was typed behind the command.
        syntax: What the command takes.
    """
    named = [_switch(name) for name, those in _ARGUMENTS.items() if syntax.argument in those]
    names = [name for name in named if name not in syntax.valued]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    prefixes = tuple(f"{name}=" for name in names)
    values = (word.partition("=")[2] if word.startswith(prefixes) else word for word in arguments[:end])
    return [*(value for value in values if value not in names), *arguments[end:]]


def for_arguments(arguments: Sequence[str], syntax: Syntax, others: Sequence[Syntax]) -> str | None:
    """A sentence for arguments that `yolo` would take, or that no command takes; else None.

    A file that is named like a setting, ``a=b.jpg``, is a source.

    Args:
        arguments: What was typed behind the command.
        syntax: What the command takes.
        others: What other commands take, for options that belong there.
    """
    if "--" in arguments:  # all that follows is meant as it stands
        return None
    parts = list(_parts(arguments, syntax))
    for part in parts:
        if part.name.startswith("-") and not _is_known(part.name, syntax):
            return _unknown(part.name, syntax, others)
    if any(part.is_setting for part in parts):
        words = []
        for part in parts:
            written = _written(part, syntax)
            if written is None:
                return _unknown(part.name, syntax, others)
            words += written
        return f"options are written as --name or --name value here: {syntax.called_with(words)}."
    for part in parts:
        if part.name in syntax.valued and part.values and part.values[0] in syntax.names:
            return f"{part.name} takes a value, and the option {part.values[0]} follows instead."
        if len(part.values) > 1:
            return f"several values are joined by commas: {part.name} {part.joined}."
    files = [part.values[0] for part in parts if not part.name]
    if syntax.argument == "checkpoint" and len(files) == 2:
        rest = [word for word in arguments if word not in files]
        words = [files[0], "--out", files[1], *rest]
        return f"the file to write is named by --out: {syntax.called_with(words)}."
    return None


@dataclass
class _Part:
    """An option or a setting with its values; or an argument, which has no name."""

    name: str
    values: list[str] = field(default_factory=list)
    is_setting: bool = False

    @property
    def joined(self) -> str:
        return ",".join(value.strip("[]() ,") for value in self.values) if self.is_list else self.values[0]

    @property
    def is_list(self) -> bool:
        return plain(self.name) in _LISTS


def _parts(arguments: Sequence[str], syntax: Syntax) -> Iterator[_Part]:
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        setting = None if os.path.lexists(word) else _SETTING.fullmatch(word)
        if setting:
            part = _Part(setting[1], [setting[2]], is_setting=True)
        elif name in syntax.names and name in syntax.flags and (equals or _has_value(rest)):
            part = _Part(plain(name), [value if equals else rest.pop(0)], is_setting=True)
        elif name in syntax.valued:
            part = _Part(name, [value] if equals else rest[:1])
            del rest[: not equals]
        elif len(word) > 1 and word.startswith("-"):
            part = _Part(name if word.startswith("--") else word)
        elif _switch(word) in syntax.flags and not os.path.lexists(word):
            part = _Part(word, ["true"], is_setting=True)  # `yolo` reads save_txt as save_txt=True
        else:
            part = _Part("", [word])
        while part.is_list and rest and _NUMBER.fullmatch(rest[0]) and not os.path.lexists(rest[0]):
            part.values.append(rest.pop(0))
        yield part


def _switch(name: str) -> str:
    """``--save-txt`` for ``save_txt``."""
    return f"--{name.replace('_', '-')}"


def _has_value(following: Sequence[str]) -> bool:
    """Whether the value of a flag follows, as in ``--save-txt True``."""
    return bool(following) and following[0].lower() in ("true", "false") and not os.path.lexists(following[0])


def _is_known(option: str, syntax: Syntax) -> bool:
    if option.startswith("--"):
        return syntax.has([option])
    for letter in option[1:]:  # -rq, -orun
        if f"-{letter}" in syntax.valued:
            return True
        if f"-{letter}" not in syntax.flags:
            return False
    return True


def _written(part: _Part, syntax: Syntax) -> list[str] | None:
    """How a part is written here; None if there is no such option."""
    if not part.is_setting:
        if part.name:
            return [part.name, *([part.joined] if part.values else [])]
        (word,) = part.values
        is_file = os.path.lexists(word)
        return [] if word in (*_TASKS, *_MODES, "yolo") and not is_file else [word]
    name, value = part.name, part.joined
    switch = _switch(name)
    if switch in syntax.flags or f"{name}=true" in _WRITTEN:
        value = _TRUTH.get(value, value)
    off = value.lower() in _OFF
    if syntax.argument in _ARGUMENTS.get(name, ()):
        return [value]
    if name in ("task", "mode"):
        return []
    words = _WRITTEN.get(f"{name}={value.lower()}")
    if words is not None:
        return words.split() if syntax.has(words.split()) else None
    if switch in syntax.flags:
        return [f"--no-{name}"] * (f"--no-{name}" in syntax.flags) if off else [switch]
    if off and not name.startswith("show_"):  # off is the default
        return []
    return [switch, value] if switch in syntax.valued else None


def _unknown(option: str, syntax: Syntax, others: Sequence[Syntax]) -> str:
    """The message for an option that the command does not have."""
    name = plain(option)
    instead = {}
    for there in (syntax, *others):
        where = "" if there is syntax else f", in {there.command}"
        if where and _switch(name) in there.names:
            instead[name] = f"{there.command} has {_switch(name)}"
        elif fitting := [
            each for each in _INSTEAD.get(name, ()) if there.has(re.findall(r"--[a-z-]+", each))
        ]:
            instead[name] = f"{fitting[0]}{where}"
        if instead:
            break
    if name.startswith("no_") and _switch(name[3:]) in syntax.flags:
        off = _WRITTEN.get(f"{name[3:]}=false")
        instead[name] = f"use {off}" if off else f"it is off without {_switch(name[3:])}"
    return unknown_option(option[:MAX_OPTION], syntax.names, instead, f"see {syntax.command} --help.")


def _of_yolo(arguments: Sequence[str], commands: Mapping[str, Syntax]) -> str | None:
    """What `yolo TASK MODE name=value ...` is here; None for something else."""
    from yolo_max.tasks.registry import TASKS

    tasks: list[str] = []
    modes: list[str] = []
    rest: list[str] = []
    for word in arguments:
        name, _, value = word.partition("=")
        if name == "task" or (word in _TASKS and not modes):
            tasks.append(value or word)
        elif name == "mode" or (word in (*_MODES, *_NO_MODES) and not modes):
            modes.append(value or word)
        elif word != "yolo":
            rest.append(word)
    mode = modes[0] if modes else "predict"
    if rest[:1] == [arguments[0]] and not _SETTING.fullmatch(arguments[0]):
        return None
    if mode in _NO_MODES:
        return f"{_NO_MODES[mode]}."
    if strangers := [each for each in tasks if each not in TASKS]:
        return f"the task {shorten(strangers[0])} is not ported; {', '.join(TASKS)} are."
    syntax = commands[_MODES.get(mode, "predict")]
    if mode == "track" and not any(plain(word.partition("=")[0]) == "tracker" for word in rest):
        rest.append(_TRACKER)
    hint = for_arguments(rest, syntax, list(commands.values()))
    return hint or f"the weights know their task; type {syntax.called_with(rest)}."

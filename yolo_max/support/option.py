"""What an option is: its default, its check, its words in the help; and classes of options."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from inspect import Parameter, signature
from numbers import Integral, Real
from typing import Any, ParamSpec, Self, TypeVar

from yolo_max.support.errors import UsageError
from yolo_max.support.text import shorten
from yolo_max.support.ultralytics_options import IN_PYTHON, unknown_option

Check = Callable[[str, Any], None]
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class About:
    """An option's metadata, besides its name, type and default.

    Attributes:
        group: Its panel of the help; empty for a Python-only option.
        help: One sentence.
        metavar: Placeholder for its value in the help; empty for a switch.
        check: Called with its name and a value; raises UsageError for an invalid one.
        default_text: Shown in the help in place of a default that is not self-explanatory.
        switches: Its names on the command line, if not ``--name``.
        written_as: Its type on the command line, if not the option's own.
        parse: Converts that to the option's type.
    """

    group: str
    help: str
    metavar: str
    check: Check
    default_text: str | None = None
    switches: tuple[str, ...] = ()
    written_as: Any = None
    parse: Callable[[Any], Any] | None = None


def at_least(low: int, high: float = math.inf) -> Check:
    """A check for an integer from ``low`` to ``high``, or None for the default."""
    limits = f"of at least {low}" if high == math.inf else f"from {low} to {high}"

    def check(name: str, value: Any) -> None:
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if value is not None and (not whole or not low <= value <= high):
            raise UsageError(f"{name} is {shorten(value)}, but it must be a whole number {limits}.")

    return check


a_batch = at_least(1, 1024)
"""Checks a batch: a larger one would gain no speed, and need memory that no machine has."""


def a_fraction(name: str, value: Any) -> None:
    """Checks a number from 0 to 1."""
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not 0 <= float(value) <= 1:  # also refuses NaN
        raise UsageError(f"{name} is {shorten(value)}, but it must lie between 0 and 1.")


def an_overlap(name: str, value: Any) -> None:
    """Checks a number from 0 to 0.9: with more, there is no end of tiles."""
    a_fraction(name, value)
    if value > 0.9:
        raise UsageError(f"{name} is {shorten(value)}, but it must lie between 0 and 0.9.")


def a_switch(name: str, value: Any) -> None:
    """Checks a boolean."""
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {shorten(value)}, but it must be True or False.")


def a_word(name: str, value: Any) -> None:
    """Checks a string; its allowed values are checked where it is used."""
    if not isinstance(value, str):
        raise UsageError(f"{name} is {shorten(value)}, but it must be a word.")


def a_name(name: str, value: Any) -> None:
    """Checks a string, or None for the default."""
    if value is not None:
        a_word(name, value)


COLOR_MODES = ("class", "instance")


def a_color_mode(name: str, value: Any) -> None:
    """Checks what colors are chosen by."""
    if value not in COLOR_MODES:
        raise UsageError(f"{name} is {shorten(value)}, but it must be class or instance.")


def a_path(name: str, value: Any) -> None:
    """Checks a path, or None for the default."""
    if not isinstance(value, str | os.PathLike | None):
        raise UsageError(f"{name} is {shorten(value)}, but it must be a path.")


def anything(_name: str, _value: Any) -> None:
    """No check: the limits depend on the weights."""


def option(
    default: Any, group: str, help: str, metavar: str = "", check: Check = a_switch, **more: Any
) -> Any:
    """A field of an options class; see `About`."""
    return field(default=default, metadata={About: About(group, help, metavar, check, **more)})


def about(each: Field[Any]) -> About:
    """An option's metadata."""
    found: About = each.metadata[About]
    return found


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options with checked values."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Iterator):  # which could be read only once
                value = tuple(value)
                object.__setattr__(self, each.name, value)
            about(each).check(each.name, value)

    def given(self, **defaults: Any) -> list[str]:
        """The names of the options that do not have their default, which ``defaults`` may replace."""
        usual = {each.name: each.default for each in fields(self)} | defaults
        # By text, since what compares with an array is an array.
        return [name for name, value in usual.items() if repr(getattr(self, name)) != repr(value)]

    def with_changes(self, changes: Mapping[str, Any]) -> Self:
        """These options with some values changed.

        Raises:
            UsageError: An option does not exist, or a value is invalid.
        """
        known = [each.name for each in fields(self)]
        for name in changes:
            if name not in known:
                raise UsageError(unknown_option(name, known, IN_PYTHON, f"use one of {', '.join(known)}."))
        return replace(self, **changes)


def with_keywords(kind: type[Options]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Has a function that takes some options as ``**keywords`` show each of them in its signature."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        plain = signature(function)
        own = [each for each in plain.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        taken = {each.name for each in own}
        options = [
            Parameter(each.name, Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type)
            for each in fields(kind)
            if each.name not in taken
        ]
        vars(function)["__signature__"] = plain.replace(parameters=[*own, *options])
        return function

    return decorate

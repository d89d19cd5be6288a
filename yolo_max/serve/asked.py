"""The options of one request: those that may change with a call, within limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Any, get_type_hints

from yolo_max.predict.predictor import PER_CALL, Predictor
from yolo_max.support.errors import UsageError
from yolo_max.support.option import at_least
from yolo_max.support.options import VAL_CONF, DrawOptions, PredictOptions
from yolo_max.support.parse import words_of
from yolo_max.support.text import nearest, shorten

MAX_LINE_WIDTH, MAX_FONT_SIZE = 100, 200
_SWITCHES = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Asked:
    """What one request asks for.

    Attributes:
        prediction: Options for `yolo_max.predict.predictor.Predictor.result`.
        drawing: Options for `yolo_max.predict.result.Result.plot`.
    """

    prediction: Mapping[str, Any]
    drawing: Mapping[str, Any]


class Options:
    """The options that requests may have with one predictor.

    Attributes:
        fields: What is known of each, by name.
        limits: The least and the largest value of those that have them.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._options = predictor.options
        ignored = predictor.task.ignores
        self._predicting = [name for name in PER_CALL if name not in ignored]
        self.fields: dict[str, Field[Any]] = {
            each.name: each
            for each in (*fields(PredictOptions), *fields(DrawOptions))
            if each.name in self._predicting or each in fields(DrawOptions)
        }
        self._parse: dict[str, Callable[[str], Any]] = {
            name: _parser(get_type_hints(PredictOptions if name in self._predicting else DrawOptions)[name])
            for name in self.fields
        }
        self.limits: dict[str, tuple[float, float]] = {
            "conf": (min(VAL_CONF, self._options.conf), 1),
            "iou": (0, 1),
            "max_det": (1, max(self._options.max_det, PredictOptions.max_det)),
            "line_width": (1, MAX_LINE_WIDTH),
            "font_size": (1, MAX_FONT_SIZE),
        }

    def default(self, name: str) -> Any:
        """An option's value where a request has none; several as text; None if it depends on the image."""
        value = getattr(self._options if name in self._predicting else DrawOptions, name)
        return ",".join(map(str, value)) if isinstance(value, list | tuple) else value

    def asked(self, written: Mapping[str, Any]) -> Asked:
        """The options of a request, checked.

        Args:
            written: Values by name; text, or what JSON has.

        Raises:
            UsageError: There is no such option, or its value is invalid or out of the limits.
        """
        values = {name: self._value(name, value) for name, value in written.items()}
        predicting = {name: value for name, value in values.items() if name in self._predicting}
        drawing = {name: value for name, value in values.items() if name not in self._predicting}
        options, draw = self._options.with_changes(predicting), DrawOptions().with_changes(drawing)
        if options.conf < (lowest := self.limits["conf"][0]):
            raise UsageError(f"conf is {options.conf!r}, but here it must be at least {lowest:g}.")
        for name, value in (
            ("max_det", options.max_det),
            ("line_width", draw.line_width),
            ("font_size", draw.font_size),
        ):
            at_least(*map(int, self.limits[name]))(name, value)
        return Asked(predicting, drawing)

    def _value(self, name: str, value: Any) -> Any:
        if name not in self.fields:
            close = nearest(name, self.fields)
            advice = f"did you mean {close}?" if close else f"use one of {', '.join(self.fields)}."
            raise UsageError(f"there is no option {shorten(name)}; {advice}")
        if not isinstance(value, str):
            return value
        try:
            return self._parse[name](value)
        except (ValueError, KeyError):
            raise UsageError(f"{name} is {shorten(value)}, which is not a value for it.") from None


def _parser(hint: Any) -> Callable[[str], Any]:
    """From the type of an option, what converts text to it."""
    if hint is bool:
        return lambda text: _SWITCHES[text.lower()]
    if hint in (float, str):
        converted: Callable[[str], Any] = hint
        return converted
    if hint in (int, int | None):
        return int
    return lambda text: words_of([text])

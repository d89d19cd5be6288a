"""What is refused: a status of HTTP and one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from yolo_max.images.read import RAISED
from yolo_max.support.errors import (
    EngineError,
    ImageError,
    ImageFormatError,
    ImageSizeError,
    YoloMaxError,
)
from yolo_max.support.text import abridge

BUSY = {"Retry-After": "1"}
"""What is said to clients that may ask again."""


class RequestError(Exception):
    """A request that is not answered as it wished.

    Attributes:
        status: Of HTTP.
        sentence: What was wrong, and what to do; without its middle if it is long, since no budget counts it.
        headers: Of the response.
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        self.status, self.sentence, self.headers = status, abridge(sentence), dict(headers or {})
        super().__init__(self.status, self.sentence, self.headers)  # what it is made of again elsewhere


class ClientGoneError(Exception):
    """Nobody is there to answer."""


def request_error(error: YoloMaxError | MemoryError) -> RequestError:
    """The refusal for an error of a prediction."""
    if isinstance(error, ImageFormatError):
        return RequestError(415, f"the image cannot be read: {error}.")
    if isinstance(error, ImageSizeError):
        reason = f"{str(error).removesuffix(RAISED)}, which --max-pixels of the server raises"
        return RequestError(413, f"the image is too large: {reason}.")
    if isinstance(error, MemoryError):
        return RequestError(503, "there is not enough memory at the moment; try again.", BUSY)
    if isinstance(error, EngineError):
        return RequestError(503, str(error), BUSY)
    if isinstance(error, ImageError):
        return RequestError(422, f"the image cannot be read: {error}.")
    return RequestError(422, str(error))

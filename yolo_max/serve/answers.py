"""Responses: records as JSON, annotated pictures, and refusals; and what finds them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from time import perf_counter
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from yolo_max.images.memory import MemoryBudget
from yolo_max.output.encode import encode_image
from yolo_max.output.records import record
from yolo_max.predict.predictor import Predictor
from yolo_max.predict.result import Result
from yolo_max.serve.asked import Asked
from yolo_max.serve.errors import BUSY, RequestError, request_error
from yolo_max.support.errors import YoloMaxError

JSON = "application/json"
PICTURES = {"image/jpeg": ".jpg", "image/png": ".png"}
KINDS = (JSON, *PICTURES)
PIECE = 2**18


def kind_wanted(accept: str) -> str:
    """The kind of answer that a client likes best: JSON, or the annotated image.

    Args:
        accept: The header (RFC 9110, 12.5.1); anything goes without one.

    Raises:
        RequestError: There is none that it takes.
    """
    best, kind = 0.0, None
    for candidate in KINDS:
        liking = max((_liking(each, candidate) for each in (accept or "*/*").split(",")), default=(0, 0.0))[1]
        if liking > best:
            best, kind = liking, candidate
    if kind is None:
        raise RequestError(406, f"an answer is {', '.join(KINDS[:-1])} or {KINDS[-1]}; accept one of them.")
    return kind


def _liking(entry: str, kind: str) -> tuple[int, float]:
    """How exactly an entry of the header names a kind, and how much it is liked, 0 to 1."""
    named, *parameters = (part.strip().lower() for part in entry.split(";"))
    exactness = {kind: 3, f"{kind.partition('/')[0]}/*": 2, "*/*": 1}.get(named, 0)
    liking = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                liking = float(parameter[2:])
            except ValueError:
                liking = 0.0
    return (exactness, liking) if exactness else (0, 0.0)


class Backend(Protocol):
    """Finds answers, for any number of threads.

    Attributes:
        at_once: How many it works on at once.
    """

    at_once: int

    def answer(self, data: bytes, asked: Asked, kind: str) -> tuple[bytes, Mapping[str, float]]:
        """Predicts what is in an image, and encodes the answer.

        Args:
            data: The image file.
            asked: The request's options.
            kind: One of `KINDS`.

        Returns:
            The body of the answer, and the milliseconds of each stage.

        Raises:
            RequestError: There is no answer.
        """


class Here:
    """The backend that is a predictor of this process."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self.at_once = predictor.engine.callers + predictor.workers

    def answer(self, data: bytes, asked: Asked, kind: str) -> tuple[bytes, Mapping[str, float]]:
        """As `Backend` says."""
        try:
            result = self._predictor.result(data, keep_image=kind in PICTURES, **asked.prediction)
            if result.error:
                raise result.error
            start = perf_counter()
            if kind == JSON:
                return json.dumps(record_of(result), allow_nan=False).encode(), result.times_ms
            body = encode_image(result.plot(**asked.drawing), PICTURES[kind])
        except (YoloMaxError, MemoryError) as error:
            raise request_error(error) from error
        return body, {**result.times_ms, "answer": (perf_counter() - start) * 1000}


def record_of(result: Result) -> dict[str, Any]:
    """The line that ``yolo-max predict`` writes for an image, without its path: clients have none."""
    line = record(
        "",
        prediction=result.prediction,
        times_ms=result.times_ms,
        frames=result.frames,
        max_det_reached=result.max_det_reached,
    )
    del line["path"]
    return line


def refused(refusal: RequestError) -> Response:
    """The response to a request that is refused."""
    return Response(json.dumps({"error": refusal.sentence}), refusal.status, refusal.headers, media_type=JSON)


class Answer(Response):
    """A response that is sent no faster than it is taken, and held no longer than allowed.

    Args:
        body: All of it.
        media_type: Its type.
        seconds: How long a client may take to take it; then its connection is closed.
        budget: For the bytes of all answers together.

    Raises:
        RequestError: There is no memory for it.
    """

    def __init__(self, body: bytes, media_type: str, *, seconds: float, budget: MemoryBudget) -> None:
        if not budget.take(len(body)):
            raise RequestError(503, "too many answers are waiting to be taken; try again.", BUSY)
        super().__init__(body, media_type=media_type)
        self._seconds, self._budget = seconds, budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Sends it."""
        size = len(self.body)
        try:
            async with asyncio.timeout(self._seconds):
                head = {"type": "http.response.start", "status": self.status_code}
                await send({**head, "headers": self.raw_headers})
                for start in range(0, size, PIECE):
                    piece, more = self.body[start : start + PIECE], start + PIECE < size
                    await send({"type": "http.response.body", "body": piece, "more_body": more})
        except TimeoutError:
            return  # the server closes the connection of an answer that is not whole
        finally:
            self._budget.give_back(size)

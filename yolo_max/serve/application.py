"""The application: an ASGI app made of a predictor. It knows no socket and no process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.exceptions import HTTPException

from yolo_max import __version__
from yolo_max.images.memory import MemoryBudget
from yolo_max.predict.predictor import Predictor
from yolo_max.serve.access import Access
from yolo_max.serve.answers import Answer, Backend, Here, kind_wanted, refused
from yolo_max.serve.asked import Asked, Options
from yolo_max.serve.body import Body
from yolo_max.serve.description import (
    HEALTH,
    OPEN_TO_SOME,
    PAGE,
    PAGE_HEADERS,
    describe_prediction,
    page_of_routes,
)
from yolo_max.serve.errors import ClientGoneError, RequestError, request_error
from yolo_max.serve.metrics import CLIENT_GONE, Counted, Metrics
from yolo_max.serve.options import ApplicationOptions
from yolo_max.serve.predicting import Workers
from yolo_max.serve.upload import fetch, kind_of, read_form, read_image, read_json
from yolo_max.support.errors import UsageError

FETCHES = 8
"""Addresses that are fetched at once; a slow server keeps no image from being predicted."""
BODIES_AT_ONCE = 16
"""So many bodies of the largest size may be in memory, and as many bytes of answers."""
_JSON_BYTES = 2**16
"""What JSON may have besides the image in base64."""


class Service:
    """What the routes share.

    Attributes:
        draining: Whether the process is about to end; set by whoever ends it.
    """

    def __init__(self, predictor: Predictor, options: ApplicationOptions, backend: Backend | None) -> None:
        self.draining = False
        self.metrics = Metrics()
        self.accepted = Options(predictor)
        self._predictor, self._options = predictor, options
        self._backend = backend or Here(predictor)
        self._workers = Workers("yolo-max-serve", self._backend.at_once, options.queue)
        self._fetchers = Workers("yolo-max-fetch", FETCHES, 0)
        self._bodies = MemoryBudget(BODIES_AT_ONCE * options.max_bytes)
        self._answers = MemoryBudget(max(2**28, BODIES_AT_ONCE * options.max_bytes))
        self.metrics.watch(
            "yolo_max_waiting", "Requests that wait for a thread.", lambda: self._workers.waiting
        )
        self.metrics.watch("yolo_max_draining", "1 when the server is about to end.", lambda: self.draining)

    def health(self) -> Response:
        """Whether requests are taken."""
        status = {
            "status": "draining" if self.draining else "ready",
            "weights": self._predictor.weights.path.stem,
            "task": self._predictor.task.name,
            "version": __version__,
        }
        return JSONResponse(status, 503 if self.draining else 200)

    def names(self) -> Response:
        """What the weights call their classes."""
        return JSONResponse(list(self._predictor.names.values()))

    async def predict(self, request: Request) -> Answer:
        """Predicts what is in the image that a request brings.

        Raises:
            RequestError: Something is wrong with it, or there is no room.
            ClientGoneError: Its client is gone.
        """
        kind = kind_of(request.headers)
        larger = self._options.max_bytes * 4 // 3 + _JSON_BYTES
        body = Body(
            request,
            max_bytes=larger if kind == "json" else self._options.max_bytes,
            seconds=self._options.timeout,
            budget=self._bodies,
        )
        with body:
            try:
                wanted = kind_wanted(request.headers.get("accept", ""))
                written = _of_query(request)
                self._asked(written)
                self._workers.require_room()
                if kind == "form":
                    upload = await read_form(request.headers, body)
                elif kind == "json":  # if large, it would keep every other request waiting
                    upload = await asyncio.to_thread(read_json, await body.read())
                else:
                    upload = read_image(request.headers, await body.read())
            except RequestError:
                await body.discard()
                raise
            asked = self._asked({**written, **upload.options})
            gone = partial(_gone, request)
            data = upload.data if upload.url is None else await self._fetched(upload.url, gone)
            work = partial(self._work, data, asked, wanted)
            answer = await self._workers.run(work, self._options.timeout, gone)
        return Answer(answer, wanted, seconds=self._options.timeout, budget=self._answers)

    def close(self) -> None:
        """Ends the threads once they are done."""
        self._workers.close()
        self._fetchers.close()

    def _asked(self, written: Mapping[str, Any]) -> Asked:
        try:
            return self.accepted.asked(written)
        except UsageError as error:
            raise request_error(error) from None

    async def _fetched(self, url: str, gone: Callable[[], Awaitable[object]]) -> bytes:
        if not self._options.allow_remote:
            raise RequestError(422, "addresses are not fetched here; send the image itself.")
        seconds = self._options.timeout
        fetched = partial(fetch, url, max_bytes=self._options.max_bytes, seconds=seconds)
        return await self._fetchers.run(lambda _: fetched(), seconds, gone)

    def _work(self, data: bytes, asked: Asked, kind: str, waited_ms: float) -> bytes:
        """On a thread."""
        answer, times_ms = self._backend.answer(data, asked, kind)
        self.metrics.predicted({"queue": waited_ms, **times_ms})
        return answer


def application(
    predictor: Predictor,
    options: ApplicationOptions | None = None,
    *,
    token: str | None = None,
    hosts: Iterable[str] = (),
    backend: Backend | None = None,
) -> FastAPI:
    """The application, for any ASGI server.

    Args:
        predictor: Predicts, unless there is a backend; one is shared by all requests.
        options: What is taken from clients; the defaults when absent.
        token: As for `yolo_max.serve.access.Access`.
        hosts: Likewise.
        backend: What finds the answers in the predictor's place, like `yolo_max.serve.replicas.replicas`.

    Returns:
        The app; ``app.state.service`` is its `Service`.
    """
    options = options or ApplicationOptions()
    service = Service(predictor, options, backend)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="yolo_max",
        version=__version__,
        docs_url=None,  # FastAPI's pages load their scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        exception_handlers={
            RequestError: _refused,
            ClientGoneError: _gone_already,
            HTTPException: _refused_by_framework,
            Exception: _unexpected,
        },
    )
    app.state.service = service

    described = describe_prediction(service.accepted, predictor.task.name, allow_remote=options.allow_remote)

    @app.post("/predict", **described)
    async def predict(request: Request) -> Any:
        return await service.predict(request)

    @app.get("/health", summary="Whether requests are taken", response_class=JSONResponse, responses=HEALTH)
    async def health() -> Any:
        return service.health()

    @app.get("/names", summary="The classes, by id", response_class=JSONResponse, responses=OPEN_TO_SOME)
    async def names() -> Any:
        return service.names()

    @app.get(
        "/metrics",
        summary="Counts and times, for Prometheus",
        response_class=Response,
        responses=OPEN_TO_SOME,
    )
    async def metrics() -> Any:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/", include_in_schema=False)
    async def page() -> Any:
        return HTMLResponse(PAGE, headers=PAGE_HEADERS)

    @app.get("/docs", include_in_schema=False)
    async def routes() -> Any:
        return HTMLResponse(page_of_routes(app.openapi()), headers=PAGE_HEADERS)

    paths = frozenset({"/predict", "/health", "/names", "/metrics", "/", "/docs", "/openapi.json"})
    app.add_middleware(Access, token=token, hosts=hosts)
    app.add_middleware(Counted, metrics=service.metrics, paths=paths)  # the last is the outermost
    return app


_WORDS = {
    404: "there is nothing here; POST an image to /predict, or see /docs.",
    405: "this is asked in another way; see /docs.",
}


def _of_query(request: Request) -> dict[str, str]:
    """The options of a request's query; several of one name are a list."""
    options: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        options[name] = f"{options[name]},{value}" if name in options else value
    return options


async def _gone(request: Request) -> None:
    """Ends when the client is gone. Its body has been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(_: Request, error: Any) -> Response:
    return refused(error)


async def _refused_by_framework(_: Request, error: Any) -> Response:
    sentence = _WORDS.get(error.status_code, str(error.detail))
    return refused(RequestError(error.status_code, sentence, error.headers))


async def _gone_already(_: Request, __: Any) -> Response:
    """Nobody gets this; it is counted."""
    return Response(status_code=CLIENT_GONE)


async def _unexpected(_: Request, error: Exception) -> Response:
    """The response to a request that met a mistake of ours; the server logs it."""
    logging.getLogger("yolo_max").error("A request could not be answered.", exc_info=error)
    return refused(RequestError(500, "something went wrong here; the server's log says what."))

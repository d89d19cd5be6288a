"""Counts and times of the service, in Prometheus' text form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CLIENT_GONE = 499
"""What is counted for a client that left before its answer, as nginx does."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """What one application has counted."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "yolo_max_requests", "Requests, by path and status.", ("path", "status"), registry=registry
        )
        self.seconds = Histogram(
            "yolo_max_request_seconds",
            "From the head of a request for a prediction to the end of its answer.",
            registry=registry,
            buckets=SECONDS,
        )
        self.stages = Histogram(
            "yolo_max_stage_seconds",
            "Parts of a prediction: queue, decode, letterbox, infer, postprocess, answer.",
            ("stage",),
            registry=registry,
            buckets=SECONDS,
        )
        self.images = Counter("yolo_max_images", "Images that were predicted.", registry=registry)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Shows a value as it is whenever it is asked for."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def predicted(self, times_ms: Mapping[str, float]) -> None:
        """Counts an image, and the milliseconds of each stage."""
        self.images.inc()
        for stage, milliseconds in times_ms.items():
            self.stages.labels(stage).observe(milliseconds / 1000)

    def text(self) -> bytes:
        """All of it."""
        return generate_latest(self._registry)


class Counted:
    """Counts the requests of an application; around everything else.

    Args:
        app: The application.
        metrics: Where to.
        paths: Those that have a name of their own there; clients choose the others.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on and counts it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        status, start = CLIENT_GONE, perf_counter()

        async def seen(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, seen)
        except Exception:
            status = 500
            raise
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            self._metrics.requests.labels(path, str(status)).inc()
            if path == "/predict":
                self._metrics.seconds.observe(perf_counter() - start)

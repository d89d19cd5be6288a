"""Replicas: the predictors of a Ray cluster, by Ray Serve, behind the application of this process.

Ray Serve keeps them alive and gives each request to one that has room. Its HTTP proxy is not started: it has
no bounds on bodies and heads, so requests come in through this process, with all of its limits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from yolo_max.ray.cluster import workers_of
from yolo_max.ray.setup import Setup
from yolo_max.serve.answers import Here
from yolo_max.serve.errors import BUSY, RequestError
from yolo_max.support.errors import EngineError, YoloMaxError
from yolo_max.support.text import first_line

if TYPE_CHECKING:
    import ray as ray_package

    from yolo_max.engine.contract import Network
    from yolo_max.predict.predictor import Predictor
    from yolo_max.serve.asked import Asked

Found = tuple[bytes, Mapping[str, float]]
"""The body of an answer, and the milliseconds of each stage."""


class Replica:
    """A predictor with a process of its own, which Ray Serve calls."""

    def __init__(self, setup: ray_package.ObjectRef[Setup], at_once: int) -> None:
        """Loads the network.

        Args:
            setup: What it is made of.
            at_once: How many requests it gets at once.
        """
        import ray

        self._threads = ThreadPoolExecutor(at_once, "yolo-max-replica")
        self._error: YoloMaxError | None = None
        self._refused = False
        try:
            _listen_to_this_machine_alone()
            self._here = Here(ray.get(setup).predictor())
        except YoloMaxError as error:
            self._error = error  # Ray Serve would try again until all of them start, and say nothing

    async def wrong(self) -> YoloMaxError | None:
        """Why it cannot answer, if so."""
        return self._error

    async def check_health(self) -> None:
        """Has Ray Serve replace it when it cannot answer, once what is `wrong` could be asked."""
        if self._error is not None and self._refused:
            raise self._error

    async def answer(self, data: bytes, asked: Asked, kind: str) -> Found | RequestError:
        """The answer, or the refusal, which Ray would wrap if it were raised."""
        if self._error is not None:
            self._refused = True
            await asyncio.sleep(1)  # who answers at once is sent the next request, too
            return RequestError(503, f"a replica could not load the network: {self._error}", BUSY)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._here.answer, data, asked, kind)
        except RequestError as error:
            return error


def _listen_to_this_machine_alone() -> None:
    """Binds the gRPC server that a replica is about to start, which nobody asks here, to loopback.

    It would listen at all addresses, and it unpickles whatever it is sent.

    Raises:
        EngineError: This release of Ray starts it in another way.
    """
    from ray.serve._private import replica

    if not hasattr(replica, "add_port_to_grpc_server"):
        raise EngineError("replicas of this release of Ray would be open to the network; use Ray 2.60.")
    add_port = replica.add_port_to_grpc_server
    setattr(replica, "add_port_to_grpc_server", lambda server, _: add_port(server, "127.0.0.1:0"))  # noqa: B010


class Replicas:
    """The `yolo_max.serve.answers.Backend` that is on a cluster."""

    def __init__(self, handle: Any, at_once: int) -> None:
        """Those behind a handle of Ray Serve's."""
        self._handle, self.at_once = handle, at_once

    def answer(self, data: bytes, asked: Asked, kind: str) -> Found:
        """As `Backend` says."""
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import RayServeException

        try:
            found: Found | RequestError = self._handle.answer.remote(data, asked, kind).result()
        except RayTaskError:
            raise  # a mistake of ours
        except (RayError, RayServeException) as error:
            raise RequestError(503, "the replica that had this request was lost; try again.", BUSY) from error
        if isinstance(found, RequestError):
            raise found
        return found


@contextmanager
def replicas(
    ray: Any,
    predictor: Predictor,
    *,
    count: int | None = None,
    network: Network | None = None,
) -> Iterator[Replicas]:
    """Starts replicas on a cluster, and ends them with the ``with`` block.

        with cluster("auto") as ray, replicas(ray, predictor) as several:
            app = application(predictor, backend=several)

    Args:
        ray: The package, connected to the cluster.
        predictor: This process's; each replica makes its like.
        count: How many replicas; None for as many as fit.
        network: The network that the predictor was made with, if it is one of the caller's own.

    Raises:
        EngineError: They cannot be started.
        UsageError: The cluster is too small.
    """
    try:
        from ray import serve
        from ray.serve.handle import DeploymentHandle
    except ImportError as error:
        raise EngineError("Ray Serve is not installed; pip install 'yolo-max[ray]'.") from error

    if not hasattr(DeploymentHandle, "broadcast"):
        raise EngineError("replicas of this release of Ray cannot all be asked; use Ray 2.60.")
    logging.getLogger("ray.serve").setLevel(logging.CRITICAL)  # what goes wrong is raised
    count, threads = workers_of(ray, count, predictor.options.threads)
    at_once = threads + (predictor.options.workers or threads)
    setup = ray.put(Setup.of(predictor, threads, network))
    deployment = serve.deployment(
        Replica,
        num_replicas=count,
        max_ongoing_requests=at_once,
        ray_actor_options={"num_cpus": threads},
        graceful_shutdown_wait_loop_s=0.1,
        health_check_period_s=1,  # three that fail end a replica
    )
    name = f"yolo-max-{uuid4().hex[:8]}"
    serve.start(proxy_location="Disabled")
    try:
        try:
            handle = serve.run(deployment.bind(setup, at_once), name=name, route_prefix=None)
            wrong = [each for each in handle.broadcast("wrong").results() if each is not None]
        except Exception as error:  # what Ray Serve raises has no class of its own
            raise EngineError(f"the replicas did not start ({first_line(error)}).") from error
        if wrong:
            raise wrong[0]
        yield Replicas(handle, count * at_once)
    finally:
        serve.delete(name)

"""The engines for one number of threads, each in its own process and timed in turn."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from yolo_max.bench.engines import AnySetup, EngineSpec, NotMeasuredError
from yolo_max.bench.plan import Case, Plan
from yolo_max.bench.results import CaseResult
from yolo_max.bench.worker import WorkerProcess
from yolo_max.engine.process import EngineProcessError
from yolo_max.runtime import host

SETUP_LIMIT = 1800.0
"""Seconds to set up an engine: a first compile on MAX's stock operations takes many minutes."""
CALL_LIMIT = 300.0
"""Seconds for any other answer, on top of the measuring time."""
MAX_INFERENCES = 300
"""Max number of inferences in one timing."""

Tick = Callable[[str], None]
"""Called with a description before each step."""


class EnginePool:
    """Engines ready to be timed; a context manager.

    An engine that fails is dropped and reported; the others go on.
    """

    def __init__(
        self,
        specs: Sequence[EngineSpec],
        setup: AnySetup,
        first: Mapping[str, Any],
        on_failure: Callable[[str, EngineProcessError], None],
        tick: Tick,
        limits: tuple[float, float] = (SETUP_LIMIT, CALL_LIMIT),
        worker: type[WorkerProcess] = WorkerProcess,
    ) -> None:
        """Starts nothing yet.

        Args:
            specs: The engines.
            setup: Their setup.
            first: What `Worker.setup` takes besides the engine: the height and width of the first image.
            on_failure: Called with an engine's key and the error.
            tick: Called with a description before each step.
            limits: Seconds for setup, and for any other answer.
            worker: Of each engine.
        """
        self._specs = {spec.key: spec for spec in specs}
        self._setup = setup
        self._first = first
        self._worker = worker
        self._on_failure = on_failure
        self._tick = tick
        self._setup_limit, self._call_limit = limits
        self._workers: dict[str, WorkerProcess] = {}

    @property
    def keys(self) -> list[str]:
        """The engines still running."""
        return list(self._workers)

    def __enter__(self) -> Self:
        cpus = host.pin(self._setup.threads)
        try:
            for key, spec in self._specs.items():
                self._tick(f"{spec.label}: getting ready")
                self._workers[key] = self._worker(cpus, self._setup.threads)
                factory, arguments = spec.make(self._setup)
                self._request(
                    key,
                    "setup",
                    self._setup_limit,
                    factory=factory,
                    arguments=arguments,
                    **self._first,
                )
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for key in self.keys:
            self._workers.pop(key).__exit__(kind, error, trace)

    def ask(self, key: str, method: str, **arguments: Any) -> Any:
        """Sends a request to one engine; returns None if it failed and was dropped.

        Raises:
            NotMeasuredError: The engine skips this case.
        """
        return self._request(key, method, self._call_limit, **arguments)

    def drop(self, key: str, failure: EngineProcessError) -> None:
        """Stops an engine and reports its failure."""
        self._workers.pop(key).__exit__(None, None, None)
        self._on_failure(key, failure)

    def measure(self, case: Case, plan: Plan, rng: random.Random) -> CaseResult:
        """Times every engine on one case: warm-up, then rounds in a new random order each."""
        result = CaseResult(case)
        for key in self.keys:
            self._tick(f"{self._specs[key].label}: warming up, {case}")
            try:
                warm = self._request(
                    key,
                    "prepare",
                    self._setup_limit,  # it may have to compile
                    batch=case.batch,
                    height=case.height,
                    width=case.width,
                    warm=plan.warm_seconds,
                )
            except NotMeasuredError as reason:
                result.skipped[key] = str(reason)
                continue
            if warm is not None:
                result.warm_up[key] = warm
        result.orders, result.samples = self.time(list(result.warm_up), plan, rng, f"{case}")
        return result

    def time(
        self, keys: Sequence[str], plan: Plan, rng: random.Random, title: str
    ) -> tuple[list[list[str]], dict[str, list[list[float]]]]:
        """Times engines that are warm, in rounds.

        Returns:
            The order in each round; and by engine, round by round, milliseconds of each inference. Engines
            that failed half-way have none.
        """
        samples: dict[str, list[list[float]]] = {key: [] for key in keys}

        def time_one(key: str) -> None:
            found = self.ask(
                key,
                "time",
                seconds=plan.seconds,
                min_inferences=plan.min_inferences,
                max_inferences=MAX_INFERENCES,
            )
            if found is not None:
                samples[key].append(found)

        orders = self.in_rounds(keys, plan.rounds, rng, title, time_one)
        # Ratios need the same rounds on both sides.
        return orders, {key: done for key, done in samples.items() if len(done) == plan.rounds}

    def in_rounds(
        self, keys: Sequence[str], rounds: int, rng: random.Random, title: str, do: Callable[[str], None]
    ) -> list[list[str]]:
        """Calls ``do`` for each running engine once per round; returns the orders."""
        orders = []
        for number in range(1, rounds + 1):
            order = rng.sample(list(keys), len(keys))
            for key in order:
                self._tick(f"{title}, round {number} of {rounds}: {self._specs[key].label}")
                if key in self._workers:
                    do(key)
            orders.append(order)
        return orders

    def _request(self, key: str, method: str, limit: float, **arguments: Any) -> Any:
        try:
            return self._workers[key].call(method, limit=limit, **arguments)
        except EngineProcessError as failure:
            self.drop(key, failure)
            return None

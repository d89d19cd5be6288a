"""Time from process start to the first result, with empty and with warm caches; and peak memory."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from yolo_max.bench.engine_pool import SETUP_LIMIT, Tick
from yolo_max.bench.engines import OURS, EngineSpec, Setup
from yolo_max.bench.plan import Plan
from yolo_max.bench.results import EMPTY, WARM, ColdStart
from yolo_max.bench.worker import WorkerProcess
from yolo_max.engine.process import EngineProcessError
from yolo_max.runtime import host

COMMAND = "yolo-max predict"
"""Key of the whole command on one image."""
WARM_STARTS = 3
CACHE_VARIABLES = ("MODULAR_CACHE_DIR", "YOLO_MAX_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR")


def states(plan: Plan) -> list[str]:
    """The state of the caches at each start of an engine, in order."""
    return [WARM] if plan.quick else [EMPTY, *[WARM] * WARM_STARTS]


class ColdStarts:
    """Times fresh processes.

    Every engine has cache folders of its own, empty at its first start and warm afterwards. A quick run skips
    the first start and uses the user's own caches; OpenVINO then has none, since it needs to be given one.
    The operating system's file cache is always warm.
    """

    def __init__(self, plan: Plan, setup: Setup, work: Path, tick: Tick) -> None:
        """Starts nothing yet.

        Args:
            plan: What to measure.
            setup: The setup of the engines.
            work: Folder for the caches.
            tick: Called with a description before each step.
        """
        self._plan = plan
        self._setup = setup
        self._work = work
        self._tick = tick
        self.notes: list[str] = []

    def run(self, specs: Sequence[EngineSpec], image: Path, rng: random.Random) -> list[ColdStart]:
        """Starts the engines in random order, and the command on one image if our engine is among them.

        A failure is added to ``notes``, and an engine that failed is not started again.
        """
        starts: list[ColdStart] = []
        tasks: dict[str, EngineSpec | None] = {spec.key: spec for spec in specs}
        if OURS in tasks:
            tasks[COMMAND] = None
        for state in states(self._plan):
            for key in rng.sample(list(tasks), len(tasks)):
                spec = tasks[key]
                self._tick(f"cold start, {state} cache: {spec.label if spec else COMMAND}")
                try:
                    starts.append(self._engine(spec, state) if spec else self._command(image, state))
                except EngineProcessError as failure:
                    self.notes.append(f"A cold start of {key} with {state} caches failed: {failure}.")
                    del tasks[key]
        return starts

    def _engine(self, spec: EngineSpec, state: str) -> ColdStart:
        env = self._caches(spec.key)
        setup = self._setup if self._plan.quick else replace(self._setup, cache=env[CACHE_VARIABLES[0]])
        height, width = self._plan.imgsz
        with WorkerProcess(host.pin(setup.threads), setup.threads, env) as worker:
            factory, arguments = spec.make(setup)
            phases = worker.call(
                "setup",
                limit=SETUP_LIMIT,
                factory=factory,
                arguments=arguments,
                height=height,
                width=width,
            )
            worker.call("prepare", limit=SETUP_LIMIT, batch=1, height=height, width=width, warm=1.0)
            return ColdStart(spec.key, state, phases, worker.call("memory", limit=60)["peak"])

    def _command(self, image: Path, state: str) -> ColdStart:
        command = [sys.executable, "-P", "-c", "from yolo_max.cli import main; main()", "predict", str(image)]
        height, width = self._plan.imgsz
        out = self._work / "command"
        options = ["--weights", self._setup.weights, "--imgsz", f"{height},{width}", "--out", str(out)]
        env = {**os.environ, **self._caches("command")}
        command += [*options, "--overwrite", "--quiet"]
        start = perf_counter()
        try:
            done = subprocess.run(command, capture_output=True, env=env, timeout=SETUP_LIMIT, check=False)
        except subprocess.TimeoutExpired as error:
            raise EngineProcessError(f"no end within {SETUP_LIMIT:g} s") from error
        if done.returncode:
            raise EngineProcessError(done.stderr.decode(errors="replace").strip()[-300:])
        return ColdStart(COMMAND, state, {"total": (perf_counter() - start) * 1000})

    def _caches(self, key: str) -> dict[str, str]:
        """Environment variables for an engine's own cache folders; none in a quick run."""
        if self._plan.quick:
            return {}
        folder = self._work / "caches" / key
        folder.mkdir(parents=True, exist_ok=True)
        return {name: str(folder / name.lower()) for name in CACHE_VARIABLES}

"""A process for one side of a comparison, for bench_kernel.py: the kernels, PyTorch or MAX's operations.

The threads of two runtimes in one process are in each other's way, so each side has a process, and they work
in turn. A pause before a burst lets the threads of the other one go to sleep.
"""

from __future__ import annotations

import multiprocessing
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_operations import Operation
from bench_products import OPERATIONS
from kernel_library import Kernels, loaded
from numpy.typing import NDArray

PAUSE = 0.005
BURST = 0.02
"""Seconds of calls in a burst, and calls at least and at most."""
CALLS = (3, 1000)
LOOPS = 8
"""Loops in a row for a limit, of about a millisecond; the first ones wake the threads."""
PEAK_ROUNDS = 200_000
READ = 1 << 26
"""Bytes that are read at least for a bandwidth, from a memory of the operation's size."""


def seconds(call: Callable[[], Any]) -> float:
    """Seconds a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def burst(call: Callable[[], Any]) -> list[float]:
    """Seconds of each call in a burst; the first one wakes the threads and does not count."""
    time.sleep(PAUSE)
    call()
    times: list[float] = []
    while len(times) < CALLS[0] or (sum(times) < BURST and len(times) < CALLS[1]):
        times.append(seconds(call))
    return times


class Ours:
    """The kernels of a library."""

    def __init__(self, threads: int, library: Path) -> None:
        self.library = Kernels(library, threads)

    def begin(self, options: Namespace) -> str:
        """Takes an operation; the kernel's name, if it has one."""
        self.operation = OPERATIONS[options.operation](options)
        self.call = self.operation.ours(self.library)
        return self.operation.kernel

    def time(self) -> list[float]:
        """Seconds of calls."""
        return burst(self.call)

    def result(self) -> NDArray[np.float32]:
        """What is computed."""
        self.call()
        return loaded(self.operation.result)

    def limits(self) -> tuple[float, float]:
        """Seconds that its arithmetic takes at least, and reading as much memory."""
        library, operation, size = self.library, self.operation, 128 * self.library.workers
        memory = np.ones(-(-operation.bytes() // (4 * size)) * size, np.float32)
        passes = 1 + READ // memory.nbytes
        done = library.peak(1) * PEAK_ROUNDS
        peak = done / min(seconds(lambda: library.peak(PEAK_ROUNDS)) for _ in range(LOOPS))
        read = min(seconds(lambda: library.read(memory, passes)) for _ in range(LOOPS)) / passes
        return operation.flops * operation.part / peak, read * operation.bytes() / memory.nbytes


class Torch:
    """PyTorch, in the layout that is faster."""

    def __init__(self, threads: int) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)

    def begin(self, options: Namespace) -> str:
        """Takes an operation."""
        self.operation = OPERATIONS[options.operation](options)
        calls = list(self.operation.theirs(self.torch.float32))
        self.call = min(calls, key=lambda call: min(burst(call))) if len(calls) > 1 else calls[0]
        return ""

    def time(self) -> list[float]:
        """Seconds of calls."""
        return burst(self.call)

    def result(self) -> NDArray[np.float32]:
        """What is computed."""
        return self._array(self.call())

    def exact(self) -> NDArray[np.float64]:
        """The same in float64."""
        return self._array(next(self.operation.theirs(self.torch.float64))())

    def _array(self, y: Any) -> NDArray[Any]:
        array: NDArray[Any] = y.numpy().reshape(self.operation.result.shape)
        return array


class Stock:
    """MAX's own operation, in a graph."""

    def begin(self, options: Namespace) -> str:
        """Compiles an operation; the seconds that took."""
        from max import driver
        from max.dtype import DType
        from max.engine import InferenceSession
        from max.graph import DeviceRef, Graph, TensorType, Weight

        operation: Operation = OPERATIONS[options.operation](options)
        first, *others = operation.stock_inputs()
        cpu, constant = DeviceRef.CPU(), options.operation != "matmul"
        types = [TensorType(DType.float32, x.shape, cpu) for x in ([first] if constant else [first, *others])]
        registry = {f"weight{i}": x for i, x in enumerate(others)} if constant else {}
        with Graph("stock", input_types=types) as graph:
            weights = [Weight(name, DType.float32, x.shape, cpu) for name, x in registry.items()]
            graph.output(operation.stock(*(each.tensor for each in graph.inputs), *weights))
        session = InferenceSession(devices=[driver.CPU()])
        start = time.perf_counter()
        model = session.init(session.compile(graph), weights_registry=registry)
        took = time.perf_counter() - start
        inputs = [driver.Buffer.from_numpy(x) for x in ([first] if constant else [first, *others])]
        self.call: Callable[[], Any] = lambda: model.execute(*inputs)
        return f"compiled in {took:.1f} s"

    def time(self) -> list[float]:
        """Seconds of calls."""
        return burst(self.call)

    def result(self) -> NDArray[np.float32]:
        """What is computed."""
        array: NDArray[np.float32] = self.call()[0].to_numpy()
        return array


def _serve(pipe: Any, side: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    worker = side(*arguments)
    while (message := pipe.recv()) is not None:
        name, *rest = message
        try:
            pipe.send((getattr(worker, name)(*rest), ""))
        except Exception as error:  # the other process says it
            pipe.send((None, f"{type(error).__name__}: {error}".splitlines()[0]))


class SideError(Exception):
    """What a side could not do."""


class Side:
    """One of the classes above in a process of its own."""

    def __init__(self, side: Callable[..., Any], *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, side, arguments), daemon=True)
        self.process.start()

    def ask(self, method: str, *arguments: Any, limit: float = 600) -> Any:
        """Calls a method there.

        Raises:
            SideError: It raised, or took more than ``limit`` seconds; then the process is ended.
        """
        self.pipe.send((method, *arguments))
        if not self.pipe.poll(limit):
            self.process.kill()
            raise SideError(f"not done in {limit:.0f} s")
        answer, error = self.pipe.recv()
        if error:
            raise SideError(error)
        return answer

    def close(self) -> None:
        """Ends the process."""
        if self.process.is_alive():
            self.pipe.send(None)
        self.process.join()

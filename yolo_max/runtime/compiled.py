"""Compiled graphs and their cache: each network is compiled once per machine.

The key covers everything that the compiled code depends on, so a stale graph is never used: the
architecture (not the weights and their number of classes, which are bound when a graph is loaded), the
sources of graph and kernels, the versions of MAX and of this package, the processor, the precision and any
static sizes.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tempfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from max.engine import CompiledModel, InferenceSession, read
from max.graph import Graph

from yolo_max.kernels.conv_kernel import ConvKernel
from yolo_max.runtime import cpu
from yolo_max.runtime.max_errors import max_errors
from yolo_max.runtime.sources import GRAPH_SOURCES, sources_digest
from yolo_max.support.cache import cache_folder, locked, read_checked, write_checked
from yolo_max.support.errors import OutputError

WAITING = "Waiting for another process that compiles the same network."


def graph_key(sources: Sequence[str] = GRAPH_SOURCES, **params: Any) -> str:
    """The cache key of a graph: a digest of ``params`` and of this machine and installation.

    Args:
        sources: The modules and packages of ours that decide what the graph computes.
        params: Whatever else does.
    """
    everything = {
        **params,
        "yolo_max": version("yolo-max"),
        "max": version("max"),
        "sources": sources_digest(places=sources),
        "machine": platform.machine(),
        "cpu": cpu.model_name(),
        "features": sorted(cpu.features()),
    }
    return hashlib.sha256(json.dumps(everything, sort_keys=True, default=str).encode()).hexdigest()[:40]


class CompiledGraph(NamedTuple):
    """A compiled graph without its weights.

    Attributes:
        model: For ``InferenceSession.init``.
        kernels: The kernel of each convolution: see `yolo_max.kernels.conv_kernel.pack_weights`.
        from_cache: Whether it had been compiled before.
    """

    model: CompiledModel
    kernels: dict[str, ConvKernel]
    from_cache: bool


def compile_or_load(
    session: InferenceSession,
    key: str,
    trace: Callable[[], tuple[Graph, dict[str, ConvKernel]]],
    on_compile: Callable[[], None],
    shipped: Callable[[], CompiledGraph | None] = lambda: None,
    on_wait: Callable[[], None] = lambda: None,
) -> CompiledGraph:
    """Loads a graph from the cache or beside the package, or traces, compiles and caches it.

    Args:
        session: The session the graph is for.
        key: From :func:`graph_key`.
        trace: Returns the graph and its kernels; called only if it has to be compiled.
        on_compile: Called before compiling, which takes from half a minute to several minutes.
        shipped: Gives the graph that came with the package, if there is one; asked before compiling.
        on_wait: Called once if this process waits for another that compiles the graph.

    Raises:
        EngineError: MAX cannot compile the graph, or runs out of memory.
    """
    try:
        path = _place(key)
    except OutputError:
        path = None  # no usable cache: compile each time rather than not run
    if path is not None and (cached := _load(path)) is not None:
        return cached
    if (graph_at_hand := shipped()) is not None:
        return graph_at_hand
    # Of several processes that need it at the same time, one compiles.
    with locked(path, on_wait) if path is not None else nullcontext():
        if path is not None and (cached := _load(path)) is not None:
            return cached
        on_compile()
        graph, kernels = trace()
        with max_errors("compile the graph"):
            model = session.compile(graph)
        compiled = CompiledGraph(model, kernels, from_cache=False)
        if path is not None:
            _store(compiled, path)
        return compiled


def cached_bytes(key: str) -> bytes | None:
    """A graph of the cache, for `cache_bytes` on another machine; None if it is not there."""
    try:
        return read_checked(_place(key))
    except OutputError:
        return None


def cache_bytes(key: str, data: bytes) -> None:
    """Puts what `cached_bytes` gave on another machine into the cache, where it is found by its key.

    The key is that of the machine that compiled it: another processor does not ask for it.
    """
    with suppress(OutputError):  # without a cache it is compiled again
        path = _place(key)
        if not path.exists():
            write_checked(path, data)


def _place(key: str) -> Path:
    return cache_folder("graphs") / f"{key}.mef"


def _load(path: Path) -> CompiledGraph | None:
    """The graph at ``path``, or None if it is missing, damaged, or not accepted by this MAX."""
    data = read_checked(path)
    if data is None:
        return None
    # One line of JSON, then MAX's own format.
    head, _, artifact = data.partition(b"\n")
    try:
        kernels = {name: ConvKernel.named(value) for name, value in json.loads(head).items()}
        return CompiledGraph(read(io.BytesIO(artifact)), kernels, from_cache=True)
    except (RuntimeError, ValueError, AttributeError):
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None


def _store(compiled: CompiledGraph, path: Path) -> None:
    """Caches a graph; failing to (a full disk) only means compiling again next time."""
    head = json.dumps({name: kernel.name for name, kernel in compiled.kernels.items()}).encode()
    with suppress(OSError, OutputError), tempfile.TemporaryDirectory(prefix="yolo_max_") as folder:
        exported = Path(folder) / "graph.mef"
        compiled.model.export_mef(exported)
        write_checked(path, head + b"\n" + exported.read_bytes())

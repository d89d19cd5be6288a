"""A converted network on MAX: compiled, or out of the cache, with its constants bound. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from max import driver
from max.engine import InferenceSession
from max.graph import Graph
from numpy.typing import NDArray

from yolo_max.convert.constants import Bound
from yolo_max.convert.errors import ConversionError
from yolo_max.convert.max_model import MaxModel
from yolo_max.convert.report import Report
from yolo_max.convert.signature import Signature
from yolo_max.convert.structure import Containers
from yolo_max.kernels import packing
from yolo_max.kernels.precision import Precision
from yolo_max.runtime import cpu
from yolo_max.runtime import threads as runtime
from yolo_max.runtime.compiled import WAITING, compile_or_load, graph_key
from yolo_max.runtime.max_cache import place_max_cache
from yolo_max.runtime.max_errors import max_errors
from yolo_max.support.errors import UsageError

SOURCES = ("convert", "kernels")
"""Our packages that decide what a converted graph computes."""


def require_kernels(precision: Precision = Precision.F32) -> None:
    """Refuses a CPU that the kernels do not run on, in this precision.

    Raises:
        ConversionError: This is one.
    """
    if not cpu.runs_kernels():
        raise ConversionError(
            f"the kernels need AVX2 and FMA, or 64-bit Arm, which {cpu.model_name()} does not have."
        )
    if precision is Precision.BF16 and not cpu.has_bf16():
        raise ConversionError(
            f"bfloat16 needs AVX512-BF16 instructions, which {cpu.model_name()} does not have; use float32."
        )


def require_device(device: str, precision: Precision = Precision.F32) -> None:
    """Refuses a device that is not here.

    Raises:
        UsageError: There is no such kind.
        ConversionError: See :func:`require_kernels`, or there is no GPU.
    """
    if device not in ("cpu", "gpu"):
        raise UsageError(f"device is {device!r}, but modules are converted for 'cpu' or 'gpu'.")
    if device == "cpu":
        require_kernels(precision)
    elif not driver.accelerator_count():
        raise ConversionError("no GPU that MAX can use was found on this machine; use device='cpu'.")


def start(
    name: str,
    network: str | None,
    make_graph: Callable[[], Graph],
    constants: Sequence[Bound],
    arrays: Mapping[str, NDArray[Any]],
    signature: Signature,
    containers: Containers,
    announce: Callable[[str], None],
    report: Report | None = None,
    device: str = "cpu",
) -> MaxModel:
    """Compiles a network or finds it in the cache, packs its constants and loads them.

    Args:
        name: For messages.
        network: A digest of all that decides what the graph is, but for its constants; None for a graph that
            is not to be cached.
        make_graph: Called if it has to be compiled.
        constants: What the graph reads.
        arrays: What they are made of.
        signature: Of the network.
        containers: Of its inputs and outputs.
        announce: Called with a sentence before anything slow.
        report: The analyzer's.
        device: "cpu" or "gpu".

    Raises:
        EngineError: MAX cannot compile the graph, or runs out of memory.
    """
    place_max_cache()
    host, threads = runtime.start(None)
    place = host if device == "cpu" else driver.Accelerator()
    session = InferenceSession(devices=[place])
    sentence = f"Compiling {name} for this processor: about a minute, once for each network."
    if network is None:
        announce(sentence)
        with max_errors("compile the graph"):
            model, from_cache = session.compile(make_graph()), False
    else:
        read = [(each.name, str(each.dtype), each.shape) for each in constants]
        key = graph_key(SOURCES, graph=network, constants=read)
        found = compile_or_load(
            session,
            key,
            lambda: (make_graph(), {}),
            lambda: announce(sentence),
            on_wait=lambda: announce(WAITING),
        )
        model, from_cache = found.model, found.from_cache
    with max_errors("load the weights"):
        # MAX reads the arrays in place for as long as the model lives.
        registry: dict[str, Any] = packing.one_place(
            {each.name: (each.dtype, each.shape) for each in constants}
        )
        for each in constants:
            registry[each.name][...] = each.make(arrays)
        if device == "gpu":
            registry = {name: driver.Buffer.from_numpy(each).to(place) for name, each in registry.items()}
        loaded = session.init(model, weights_registry=registry)
    return MaxModel(name, loaded, registry, signature, containers, threads, from_cache, report, place)

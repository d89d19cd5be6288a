"""From a network to its graph, and to a file of its code for processors other than this one."""

from __future__ import annotations

from max import driver
from max.engine import InferenceSession
from max.graph import DeviceRef, Graph

from yolo_max.kernels.conv_kernel import ConvKernel
from yolo_max.kernels.precision import Precision
from yolo_max.model.architecture import Architecture
from yolo_max.runtime.cpu_target import CpuTarget
from yolo_max.runtime.kernel_package import precompile
from yolo_max.runtime.max_cache import place_max_cache
from yolo_max.runtime.max_errors import max_errors
from yolo_max.runtime.portable import purpose_of, to_bytes
from yolo_max.support.errors import UsageError


def trace(
    architecture: Architecture,
    precision: Precision,
    device: DeviceRef,
    *,
    static: tuple[int, int, int] | None = None,
    every_layer: bool = False,
) -> tuple[Graph, dict[str, ConvKernel]]:
    """Traces a network.

    Args:
        architecture: The network.
        precision: Of the activations.
        device: Where it will run.
        static: Batch, height and width for MAX's stock operations; None for the fused kernels.
        every_layer: Whether the graph also outputs every layer.

    Returns:
        The graph, and the kernel of each convolution.
    """
    # Imported here because a start from the cache does not need it.
    from yolo_max.model.backend import Backend
    from yolo_max.model.fused import FusedBackend
    from yolo_max.model.model import MaxYolo, build_graph
    from yolo_max.model.stock import StockBackend

    backend: Backend = StockBackend(device) if static else FusedBackend(precision, precompile().result())
    network = MaxYolo(architecture, backend)
    sizes = static or ("batch", "height", "width")
    graph = build_graph(network, *sizes, device=device, every_layer=every_layer)
    return graph, network.kernels()


def compile_for(architecture: Architecture, target: CpuTarget, precision: Precision) -> bytes:
    """Compiles a network for a processor, which need not be this one.

    What this process compiles afterwards is for that processor too, so run no engine in it.

    Args:
        architecture: The network; its number of classes does not matter.
        target: The processor.
        precision: Of the activations.

    Returns:
        The content of a file, for ``MaxEngine(compiled=...)``.

    Raises:
        UsageError: The processor does not compute in this precision.
        EngineError: MAX cannot compile the graph, or runs out of memory.
        WeightsError: The network is not supported.
    """
    if not target.computes(precision):
        raise UsageError(f"{target.name} has no bf16 instructions; use another target, or f32.")
    architecture.require()
    architecture = architecture.of_any_classes()
    place_max_cache()
    driver.set_virtual_cpu_target(target.name)
    session = InferenceSession(devices=[driver.CPU()])
    graph, kernels = trace(architecture, precision, DeviceRef.CPU())
    with max_errors("compile the graph"):
        return to_bytes(purpose_of(architecture, precision, target.name), session.compile(graph), kernels)

"""MaxEngine: from weights to a compiled MAX graph, and from pixels to the raw head."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from max import driver
from max.dtype import DType
from max.engine import InferenceSession, Model
from max.graph import DeviceRef, Graph
from numpy.typing import NDArray

from yolo_max.engine.contract import by_image, require_pixels
from yolo_max.kernels.conv_kernel import ConvKernel, pack_weights
from yolo_max.kernels.precision import Precision
from yolo_max.model.architecture import Architecture
from yolo_max.runtime import cpu
from yolo_max.runtime import threads as runtime
from yolo_max.runtime.compiled import compile_or_load, graph_key
from yolo_max.runtime.kernel_package import precompile
from yolo_max.support.errors import EngineError, UsageError
from yolo_max.support.parse import parse_device
from yolo_max.tasks.contract import Outputs
from yolo_max.weights.load import Weights

KERNELS = ("auto", "fused", "stock")


class MaxEngine:
    """YOLOv8 as a compiled MAX graph.

    On the fused kernels one graph takes any batch and any size whose height and width are multiples of the
    largest stride. On MAX's stock operations batch and size are static: smaller batches are filled up, larger
    ones cut. It may be called from several threads at once.

    Attributes:
        device: "cpu" or "gpu".
        kernels: "fused" or "stock".
        precision: What activations are held in between layers; the head is float32 in either case.
        threads: How many threads the graph runs on.
        from_cache: Whether the compiled graph was found in the cache.
        callers: How many calls at once, which share the threads, get most out of the machine.
    """

    def __init__(
        self,
        weights: Weights,
        *,
        imgsz: tuple[int, int],
        batch: int = 1,
        device: str = "auto",
        precision: str = "f32",
        kernels: str = "auto",
        threads: int | None = None,
        rect: bool = False,
        every_layer: bool = False,
        report: Callable[[str], None] | None = None,
    ) -> None:
        """Compiles the graph, or takes it from the cache, and binds the weights to it.

        Args:
            weights: Fused weights with their architecture table.
            imgsz: Height and width of the letterboxed images, in pixels.
            batch: Images in a batch; binding only for the stock operations.
            device: "cpu", "gpu", or "auto" for a GPU where there is one.
            precision: "f32" or "bf16".
            kernels: "fused", "stock", or "auto" for the fused ones wherever they run.
            threads: Defaults to the CPUs this process may run on.
            rect: Whether images of other sizes than ``imgsz`` will come.
            every_layer: Whether the graph also gives what `layers` returns.
            report: Called with a sentence when something happens that takes long or that the user should
                know.

        Raises:
            UsageError: An option has a value that does not exist, or ``rect`` is asked of stock operations.
            EngineError: The device, the kernels or the precision are not to be had on this machine.
            WeightsError: The weights describe a network that is not ported.
        """
        report = report or (lambda _: None)
        self.device = _choose_device(device)
        self.precision = Precision.parse(precision)
        self.kernels = _choose_kernels(kernels, self.device, self.precision, report)
        if rect and self.kernels == "stock":
            raise UsageError(
                "rectangular input comes in many sizes, and MAX's stock operations are compiled for one; "
                "leave rect out, or take the fused kernels."
            )
        architecture = weights.meta.network
        architecture.require()
        self._outputs = architecture.outputs
        self._every_layer = every_layer
        self._stride = architecture.stride
        self._static = (batch, *imgsz) if self.kernels == "stock" else None
        host, self.threads = runtime.start(threads)
        self.callers, self._share = shares(self.threads) if self.kernels == "fused" else (1, self.threads)
        self._device = driver.Accelerator() if self.device == "gpu" else host
        session = InferenceSession(devices=[self._device])
        compiled = compile_or_load(
            session,
            graph_key(
                architecture=architecture,
                every_layer=every_layer,
                kernels=self.kernels,
                precision=self.precision,
                device=self._device.architecture_name if self.device == "gpu" else "cpu",
                static=self._static,
            ),
            lambda: self._trace(architecture),
            lambda: report(_COMPILING[self.kernels]),
        )
        self.from_cache = compiled.from_cache
        registry: dict[str, Any] = pack_weights(weights.tensors, compiled.kernels, self.precision)
        if self.device == "gpu":
            registry = {k: driver.Buffer.from_numpy(v).to(self._device) for k, v in registry.items()}
        # MAX reads most of the arrays in place, for as long as the model lives.
        self._registry = registry
        with runtime.quiet_poller():
            self._model: Model = session.init(compiled.model, weights_registry=registry)
            self(np.zeros((batch, *imgsz, 3), np.uint8))

    def __call__(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Runs the network and gives its whole raw outputs.

        Args:
            batch: uint8 ``[B, H, W, 3]``, RGB, letterboxed.

        Returns:
            float32 ``[B, ...]`` by name, each as `yolo_max.tasks.contract.Outputs` has it.

        Raises:
            UsageError: The batch is of another type or shape than this engine takes.
        """
        require_pixels(batch, self._stride)
        if self._static is None:
            return self._named(self._execute(batch))
        size, height, width = self._static
        if batch.shape[1:3] != (height, width):
            raise UsageError(
                f"this engine was compiled for images of {height} x {width} pixels, not {batch.shape[1]} x "
                f"{batch.shape[2]}; make one with imgsz={batch.shape[1:3]}."
            )
        parts = []
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            filled = np.concatenate([part, np.zeros((size - len(part), height, width, 3), np.uint8)])
            parts.append([output[: len(part)] for output in self._execute(filled)])
        return self._named([np.concatenate(outputs) for outputs in zip(*parts, strict=True)])

    def run(
        self, batch: NDArray[np.uint8], min_logit: float = -math.inf, *, shared: bool = False
    ) -> list[Outputs]:
        """Runs the network, of a detection head for the cells that can be detections.

        On the fused kernels no boxes are computed for others, which is most of the box branch. What a
        candidate gets is what it has in the raw head, bit for bit.

        Args:
            batch: As for a call of the engine.
            min_logit: The class logit that a candidate exceeds, taken as float32. One that is not a number
                makes a candidate as well.
            shared: Whether other calls run beside this one, so that it takes its share of the threads only.

        Returns:
            The raw outputs of each image; those of a detection head for its candidates, if these are not all.

        Raises:
            UsageError: As for a call of the engine.
        """
        if self._static is not None or self._every_layer:  # no masks
            return by_image(self(batch))
        require_pixels(batch, self._stride)
        found = self._execute(batch, shared, min_logit)
        outputs = by_image(self._named(found))
        levels = [level.reshape(len(batch), -1) for level in found[: -len(self._outputs)]]
        if not levels:
            return outputs
        return [
            _chosen(image, mask) for image, mask in zip(outputs, np.concatenate(levels, axis=1), strict=True)
        ]

    def layers(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Runs the network and gives what each row of the architecture table gives.

        Args:
            batch: uint8 ``[B, H, W, 3]``, RGB, letterboxed, of the size and length the engine was made for.

        Returns:
            float32 ``[B, h, w, c]`` for every layer, the last one the raw head. Only an engine that was made
            with ``every_layer`` has more than that.
        """
        return self._execute(batch)

    def _trace(self, architecture: Architecture) -> tuple[Graph, dict[str, ConvKernel]]:
        # Imported here, since a start from the cache needs none of it.
        from yolo_max.model.backend import Backend
        from yolo_max.model.fused import FusedBackend
        from yolo_max.model.model import MaxYolo, build_graph
        from yolo_max.model.stock import StockBackend

        device = DeviceRef.from_device(self._device)
        backend: Backend
        if self.kernels == "fused":
            backend = FusedBackend(self.precision, precompile().result())
        else:
            backend = StockBackend(device)
        network = MaxYolo(architecture, backend)
        sizes = self._static or ("batch", "height", "width")
        graph = build_graph(network, *sizes, device=device, every_layer=self._every_layer)
        return graph, network.kernels()

    def _execute(
        self, batch: NDArray[np.uint8], shared: bool = False, min_logit: float = -math.inf
    ) -> list[NDArray[Any]]:
        """All outputs of the graph, the raw ones last; those in bfloat16 as their bits."""
        pixels = driver.Buffer.from_numpy(np.ascontiguousarray(batch))
        inputs = [pixels if self.device == "cpu" else pixels.to(self._device)]
        if self.kernels == "fused":
            threads = self._share if shared else self.threads
            inputs.append(driver.Buffer.from_numpy(np.array([threads, min_logit], np.float32)))
        return [_array(output) for output in self._model.execute(*inputs)]

    def _named(self, outputs: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The raw outputs, which are the last of the graph's, by name."""
        return dict(zip(self._outputs, outputs[-len(self._outputs) :], strict=True))


_MOST_CALLERS = 8
"""A run needs memory of its own for what lies between layers; of more threads than this, it gets several."""
_COMPILING = {
    "fused": "Compiling for this processor: about a minute, once for each network on this machine.",
    "stock": "Compiling MAX's stock operations: five minutes or more, once for each network on this machine.",
}


def _array(output: driver.Buffer) -> NDArray[Any]:
    narrow = output.dtype == DType.bfloat16  # which NumPy does not have
    array: NDArray[Any] = (output.view(DType.uint16) if narrow else output).to_numpy()
    return array


def _chosen(outputs: Outputs, mask: NDArray[Any]) -> Outputs:
    """The rows of the candidates, and which they are; everything where all are."""
    cells = np.flatnonzero(mask)
    if len(cells) == len(mask):
        return outputs
    return {**{name: rows[cells] for name, rows in outputs.items()}, "cells": cells}


def shares(threads: int) -> tuple[int, int]:
    """How many callers share these threads, and how many threads are each one's."""
    each = -(-threads // _MOST_CALLERS)
    return -(-threads // each), each


def _choose_device(device: str) -> str:
    device = parse_device(device)
    if device == "cpu":
        return "cpu"
    found = driver.accelerator_count() > 0
    if device == "gpu" and not found:
        raise EngineError("no GPU that MAX can use was found on this machine; take --device cpu or auto.")
    return "gpu" if found else "cpu"


def _choose_kernels(kernels: str, device: str, precision: Precision, report: Callable[[str], None]) -> str:
    if kernels not in KERNELS:
        raise UsageError(f"there are no kernels {kernels!r}; take one of {', '.join(KERNELS)}.")
    problem = None
    if device == "gpu":
        problem = "the fused kernels are written for CPUs"
    elif not cpu.runs_kernels():
        problem = (
            f"the fused kernels need AVX2 and FMA, or 64-bit Arm, which {cpu.model_name()} does not have"
        )
    if kernels == "fused" and problem:
        raise EngineError(f"{problem}; take --kernels stock.")
    chosen = "stock" if kernels == "stock" or problem else "fused"
    if precision is Precision.BF16:
        if chosen == "stock":
            raise EngineError("MAX's stock convolutions compute in f32 only; take --precision f32.")
        if not cpu.has_bf16():
            raise EngineError(
                f"bf16 needs AVX512-BF16 instructions, which {cpu.model_name()} does not have; "
                "take --precision f32."
            )
    if kernels == "auto" and device == "cpu" and problem:
        report(f"Running on MAX's stock operations: {problem}.")
    return chosen

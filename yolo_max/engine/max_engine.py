"""MaxEngine: from weights to a compiled MAX graph, and from pixels to raw outputs."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from max import driver
from max.dtype import DType
from max.engine import InferenceSession, Model
from max.graph import DeviceRef
from numpy.typing import NDArray

from yolo_max.engine.contract import by_image, require_pixels
from yolo_max.engine.max_target import choose_device, choose_kernels, shares
from yolo_max.engine.trace import trace
from yolo_max.kernels.conv_kernel import pack_weights
from yolo_max.kernels.precision import Precision
from yolo_max.model.architecture import Architecture
from yolo_max.runtime import threads as runtime
from yolo_max.runtime.compiled import WAITING, CompiledGraph, compile_or_load, graph_key
from yolo_max.runtime.cpu_target import runnable
from yolo_max.runtime.fork import require_same_process
from yolo_max.runtime.max_cache import place_max_cache
from yolo_max.runtime.max_errors import max_errors
from yolo_max.runtime.portable import load_named, load_shipped, purpose_of
from yolo_max.support.errors import UsageError
from yolo_max.support.text import counted
from yolo_max.tasks.contract import Outputs
from yolo_max.weights.load import Weights


class MaxEngine:
    """A network as a compiled MAX graph.

    On the fused kernels one graph works for any batch and any size whose height and width are multiples of
    the largest stride. On MAX's stock operations batch and size are static: smaller batches are padded,
    larger ones split. It may be called from several threads at once.

    Attributes:
        device: "cpu" or "gpu".
        kernels: "fused" or "stock".
        precision: Type of the activations between layers; the raw outputs are always float32.
        threads: How many threads the graph runs on.
        from_cache: Whether the graph had been compiled before: it was in the cache, came with the package, or
            was named.
        graph_key: Its key in the cache; None if it was named.
        callers: How many concurrent calls, sharing the threads, give the highest throughput.
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
        compiled: str | os.PathLike[str] | None = None,
        report: Callable[[str], None] | None = None,
    ) -> None:
        """Compiles the graph or loads it from the cache, and binds the weights to it.

        Args:
            weights: Fused weights with their architecture table.
            imgsz: Height and width of the letterboxed images, in pixels.
            batch: Images per batch; fixed only for the stock operations.
            device: "cpu", "gpu", or "auto" for a GPU if there is one.
            precision: "f32" or "bf16".
            kernels: "fused", "stock", or "auto" for the fused ones where they run.
            threads: Defaults to the CPUs available to this process.
            rect: Whether there will be images of sizes other than ``imgsz``.
            every_layer: Whether the graph also outputs what `layers` returns.
            compiled: A file of `yolo-max weights compile` for this network. It is native code: name only
                files that you trust.
            report: Called with a sentence about anything slow or that the user should know.

        Raises:
            UsageError: An option has an invalid value, or ``rect`` or ``compiled`` is used with stock
                operations.
            EngineError: The device, the kernels or the precision are not available on this machine,
                ``compiled`` is for something else, or memory runs out.
            WeightsError: The network is not supported.
        """
        report = report or (lambda _: None)
        self.device = choose_device(device)
        self.precision = Precision.parse(precision)
        self.kernels = choose_kernels(kernels, self.device, self.precision, report)
        if rect and self.kernels == "stock":
            raise UsageError(
                "rectangular input comes in many sizes, and MAX's stock operations are compiled for one; "
                "leave rect out, or use the fused kernels."
            )
        if compiled is not None and self.kernels == "stock":
            raise UsageError(
                "a compiled graph holds the fused kernels, but MAX's stock operations are to run; leave it."
            )
        architecture = weights.meta.network
        architecture.require()
        self._outputs, self._per_cell = architecture.outputs, architecture.per_cell
        self._every_layer = every_layer
        self._stride = architecture.stride
        self._static = (batch, *imgsz) if self.kernels == "stock" else None
        place_max_cache()
        host, self.threads = runtime.start(threads)
        self._classes: list[driver.Buffer] = []  # inputs of the graph
        if self.kernels == "fused":
            architecture = architecture.of_any_classes()
            if not architecture.nc:
                self._classes = [driver.Buffer.from_numpy(np.zeros(weights.meta.nc, np.uint8))]
        self.callers, self._share = shares(self.threads) if self.kernels == "fused" else (1, self.threads)
        self._device = driver.Accelerator() if self.device == "gpu" else host
        session = InferenceSession(devices=[self._device])
        self.graph_key: str | None = None
        if compiled is not None:
            graph = load_named(Path(compiled), purpose_of(architecture, self.precision))
        else:
            self.graph_key = graph_key(
                architecture=architecture,
                every_layer=every_layer,
                kernels=self.kernels,
                precision=self.precision,
                device=self._device.architecture_name if self.device == "gpu" else "cpu",
                static=self._static,
            )
            graph = compile_or_load(
                session,
                self.graph_key,
                lambda: trace(
                    architecture,
                    self.precision,
                    DeviceRef.from_device(self._device),
                    static=self._static,
                    every_layer=every_layer,
                ),
                lambda: report(_COMPILING[self.kernels]),
                lambda: self._shipped(architecture),
                on_wait=lambda: report(WAITING),
            )
        self.from_cache = graph.from_cache
        self._pid = os.getpid()
        with max_errors("load the weights"):
            registry: dict[str, Any] = pack_weights(weights.tensors, graph.kernels, self.precision)
            if self.device == "gpu":
                registry = {k: driver.Buffer.from_numpy(v).to(self._device) for k, v in registry.items()}
            # MAX reads most of the arrays in place for as long as the model lives.
            self._registry = registry
        with runtime.quiet_poller():
            with max_errors("load the weights"):
                self._model: Model = session.init(graph.model, weights_registry=registry)
            self(np.zeros((batch, *imgsz, 3), np.uint8))

    @property
    def info(self) -> dict[str, str | int]:
        """Device, precision, kernels and threads."""
        return {
            "device": self.device,
            "precision": str(self.precision),
            "kernels": self.kernels,
            "threads": self.threads,
        }

    def __call__(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Runs the network and returns its whole raw outputs.

        Args:
            batch: uint8 ``[B, H, W, 3]``, RGB, letterboxed.

        Returns:
            float32 ``[B, ...]`` by name, each as in `yolo_max.tasks.contract.Outputs`.

        Raises:
            UsageError: The batch is of another type or shape than this engine takes.
            EngineError: Memory ran out, or the process was forked after the engine had been loaded.
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
            padded = np.concatenate([part, np.zeros((size - len(part), height, width, 3), np.uint8)])
            parts.append([output[: len(part)] for output in self._execute(padded)])
        return self._named([np.concatenate(outputs) for outputs in zip(*parts, strict=True)])

    def run(
        self, batch: NDArray[np.uint8], min_logit: float = -math.inf, *, shared: bool = False
    ) -> list[Outputs]:
        """Runs the network; a head with boxes only for cells that can be detections.

        On the fused kernels no boxes are computed for other cells, which skips most of the box branch, nor
        anything else that is said of a box. The rows of a candidate are those of the whole outputs, bit for
        bit.

        Args:
            batch: As for a call of the engine.
            min_logit: The class logit that a candidate exceeds, as float32. A NaN also makes a candidate.
            shared: Whether other calls run at the same time, so that this one only uses its share of the
                threads.

        Returns:
            The raw outputs of each image; those with a row per cell only for candidates, unless all are.

        Raises:
            UsageError: As for a call of the engine.
            EngineError: Likewise.
        """
        if self._static is not None or self._every_layer:  # no masks
            return by_image(self(batch))
        require_pixels(batch, self._stride)
        found = self._execute(batch, shared, min_logit)
        outputs = by_image(self._named(found))
        levels = [level.reshape(len(batch), -1) for level in found[: -len(self._outputs)]]
        if not levels:
            return outputs
        masks = np.concatenate(levels, axis=1)
        return [self._candidates(image, mask) for image, mask in zip(outputs, masks, strict=True)]

    def layers(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Runs the network and returns the output of each row of the architecture table.

        Args:
            batch: uint8 ``[B, H, W, 3]``, RGB, letterboxed, of the engine's size and length.

        Returns:
            float32 ``[B, h, w, c]`` for every layer but the head, then its raw outputs. Without
            ``every_layer`` only these, behind the masks of candidates.
        """
        return self._execute(batch)

    def _shipped(self, architecture: Architecture) -> CompiledGraph | None:
        """The graph that came with the package, if there is one that runs here."""
        if self.kernels == "stock" or self._every_layer:
            return None
        targets = [target.name for target in runnable(self.precision)]
        return load_shipped(architecture, self.precision, targets)

    def _execute(
        self, batch: NDArray[np.uint8], shared: bool = False, min_logit: float = -math.inf
    ) -> list[NDArray[Any]]:
        """All outputs of the graph, the raw ones last; bfloat16 as its bits."""
        require_same_process(self._pid)
        count, height, width, _ = batch.shape
        with max_errors(f"run the network on {counted(count, 'image')} of {height} x {width} pixels"):
            pixels = driver.Buffer.from_numpy(np.ascontiguousarray(batch))
            inputs = [pixels if self.device == "cpu" else pixels.to(self._device), *self._classes]
            if self.kernels == "fused":
                threads = self._share if shared else self.threads
                inputs.append(driver.Buffer.from_numpy(np.array([threads, min_logit], np.float32)))
            return [_array(output) for output in self._model.execute(*inputs)]

    def _candidates(self, outputs: Outputs, mask: NDArray[Any]) -> Outputs:
        """Only the candidates' rows of what has one per cell, and ``cells``; all if every cell is one."""
        cells = np.flatnonzero(mask)
        if len(cells) == len(mask):
            return outputs
        return {**outputs, **{name: outputs[name][cells] for name in self._per_cell}, "cells": cells}

    def _named(self, outputs: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The raw outputs, the last of the graph's, by name."""
        return dict(zip(self._outputs, outputs[-len(self._outputs) :], strict=True))


_COMPILING = {
    "fused": "Compiling for this processor: about a minute, once for each network and head.",
    "stock": "Compiling MAX's stock operations: five minutes or more, once for each network and head.",
}


def _array(output: driver.Buffer) -> NDArray[Any]:
    narrow = output.dtype == DType.bfloat16  # NumPy does not have it
    array: NDArray[Any] = (output.view(DType.uint16) if narrow else output).to_numpy()
    return array

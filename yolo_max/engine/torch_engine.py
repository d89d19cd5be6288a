"""TorchEngine: the reference, Ultralytics' own fused module with the same contract as MaxEngine.

`torch_module.build_module` builds the module. From a checkpoint it is filled with the tensors as trained, and
PyTorch and Ultralytics fuse them: this project's own conversion is not involved, so a mistake there shows.
The weights of a `.safetensors` file are already folded and are used as they are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.engine.contract import by_image, require_pixels
from yolo_max.engine.torch_module import build_module, import_torch
from yolo_max.runtime.fork import require_same_process
from yolo_max.support.errors import UsageError
from yolo_max.tasks.contract import Outputs
from yolo_max.tasks.registry import task_of
from yolo_max.weights.load import Weights, load_weights

PRECISIONS = ("f32", "f64")


class TorchEngine:
    """A network in PyTorch, on the CPU.

    Attributes:
        module: The fused module, NCHW inside.
        source: "checkpoint" when PyTorch did the fusing, "safetensors" when the weights were folded already.
        reference: What its task knows of it.
        layer_names: "model.0 Conv" and so on, for each of `layers`; a head of several outputs has as many.
        threads: How many threads PyTorch runs on.
        callers: One, which uses all threads.
    """

    callers = 1

    def __init__(
        self,
        weights: Weights | str | os.PathLike[str],
        *,
        imgsz: tuple[int, int] | None = None,  # noqa: ARG002
        batch: int = 1,  # noqa: ARG002
        device: str = "auto",
        precision: str = "f32",
        kernels: str = "auto",
        threads: int | None = None,
        rect: bool = False,  # noqa: ARG002
        channels_last: bool = False,
        report: Callable[[str], None] | None = None,  # noqa: ARG002
    ) -> None:
        """Loads and fuses the module.

        Args:
            weights: Loaded weights, or what `load_weights` takes.
            imgsz: Accepted for symmetry with `MaxEngine`: any size works whose sides are multiples of the
                largest stride.
            batch: Likewise; batches of any length work.
            device: "auto" or "cpu".
            precision: "f32", or "f64": the same network folded and run in float64, against which the error
                of either engine is measured.
            kernels: "auto"; there is no choice.
            threads: PyTorch's threads, for the whole process; None leaves them unchanged.
            rect: Accepted like `imgsz`.
            channels_last: Whether PyTorch keeps its tensors NHWC in memory; the results are the same.
            report: Accepted like `imgsz`; nothing here takes long.

        Raises:
            UsageError: An option has a value that this engine does not support.
            WeightsError: The weights are missing or damaged.
            EngineError: PyTorch or Ultralytics is not installed.
        """
        for option, value, known in (
            ("device", device, ("auto", "cpu")),
            ("precision", precision, PRECISIONS),
            ("kernels", kernels, ("auto",)),
        ):
            if value not in known:
                raise UsageError(
                    f"the PyTorch engine has no {option} {value!r}; use {' or '.join(known)}, "
                    "or the MAX engine."
                )
        torch = import_torch()
        if threads is not None:
            torch.set_num_threads(threads)
        self.threads: int = torch.get_num_threads()
        if not isinstance(weights, Weights):
            weights = load_weights(weights)
        self.source = "checkpoint" if weights.is_checkpoint else "safetensors"
        self._pid = os.getpid()
        module = build_module(weights)
        self._dtype = torch.float64 if precision == "f64" else torch.float32
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.module = module.to(self._dtype).eval().fuse(verbose=False).requires_grad_(False)
        self.module.to(memory_format=self._format)
        self._stride = weights.meta.network.stride
        self.reference = task_of(weights.meta).reference()
        self.reference.prepare(self.module)
        *names, head = (f"model.{i} {type(layer).__name__}" for i, layer in enumerate(self.module.model))
        self._names = weights.meta.network.outputs
        several = len(self._names) > 1
        self.layer_names = (*names, *(f"{head} {name}" if several else head for name in self._names))

    @property
    def info(self) -> dict[str, str | int]:
        """Its threads and its source."""
        return {"threads": self.threads, "source": self.source}

    def __call__(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Runs the network and returns its whole raw outputs.

        Args:
            batch: uint8 ``[B, H, W, 3]``, RGB, letterboxed.

        Returns:
            By name, float32 (float64 at precision "f64"), as `MaxEngine` returns them.

        Raises:
            UsageError: The batch is of another type or shape than the network takes.
        """
        with import_torch().inference_mode():
            output = self.module(self._pixels(batch))
        return self._outputs(output)

    def run(
        self,
        batch: NDArray[np.uint8],
        min_logit: float = -math.inf,  # noqa: ARG002
        *,
        shared: bool = False,  # noqa: ARG002
    ) -> list[Outputs]:
        """Runs the network and returns all cells.

        Args:
            batch: As for a call of the engine.
            min_logit: Ignored; all cells are above it or may be returned as well.
            shared: Ignored.

        Returns:
            The raw outputs of each image.

        Raises:
            UsageError: As for a call of the engine.
        """
        return by_image(self(batch))

    def layers(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The output of each row of the architecture table, as `MaxEngine.layers` returns them.

        Args:
            batch: uint8 ``[B, H, W, 3]``, RGB, letterboxed.

        Returns:
            ``[B, h, w, c]`` for every layer but the head, then its raw outputs; dtypes as in a call. Several
            maps of a layer are joined along the channels.

        Raises:
            UsageError: The batch is of another type or shape than the network takes.
        """
        outputs: list[Any] = []
        hooks = [
            layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
            for layer in self.module.model
        ]
        try:
            with import_torch().inference_mode():
                self.module(self._pixels(batch))
        finally:
            for hook in hooks:
                hook.remove()
        joined = [import_torch().cat(y, 1) if isinstance(y, tuple) else y for y in outputs[:-1]]
        maps = [np.ascontiguousarray(y.permute(0, 2, 3, 1).numpy()) for y in joined]
        raw = self._outputs(outputs[-1])
        return [*maps, *(raw[name] for name in self._names)]

    def _pixels(self, batch: NDArray[np.uint8]) -> Any:
        """The batch as PyTorch's input: NCHW, ``float(x) / 255``."""
        require_same_process(self._pid)
        require_pixels(batch, self._stride)
        nchw = import_torch().from_numpy(np.ascontiguousarray(batch)).permute(0, 3, 1, 2)
        return nchw.contiguous(memory_format=self._format).to(self._dtype).div_(255)

    def _outputs(self, output: Any) -> dict[str, NDArray[np.float32]]:
        """The raw outputs in the contract's layout, from what the module returns."""
        tensors = self.reference.of_module(output)
        return {
            name: tensors[name].permute(each.axes).contiguous().numpy()
            for name, each in self.reference.outputs.items()
        }

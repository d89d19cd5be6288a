"""The engines on a PyTorch module, each used as its documentation advises for speed on a CPU.

All get the same NumPy arrays in PyTorch's order, and give their outputs as flat lists: a change of layout is
part of what is timed.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.bench.engines import make_runtime
from yolo_max.bench.runtimes import import_openvino
from yolo_max.bench.worker import Timed, answer_requests
from yolo_max.convert.signature import Shape

OPSET = 17
Arrays = list[NDArray[Any]]


@dataclass(frozen=True)
class ModuleSetup:
    """A module and its inputs.

    Attributes:
        module: "package.module:Factory".
        shapes: Of its inputs; names are symbolic.
        sizes: Of the names.
        threads: Number of threads.
        onnx: Path of the module as ONNX, with static sizes.
        path: Where Python modules are looked up besides.
    """

    module: str
    shapes: tuple[Shape, ...]
    sizes: Mapping[str, int]
    threads: int
    onnx: str
    path: tuple[str, ...] = ()

    def make(self) -> Any:
        """The module, with the same random weights in every process."""
        import torch

        from yolo_max.convert.factory import make_module

        sys.path.extend(place for place in self.path if place not in sys.path)
        torch.set_num_threads(self.threads)
        torch.manual_seed(0)
        return make_module(self.module)

    def inputs(self) -> Arrays:
        """Normal random numbers, the same in every process."""
        rng = np.random.default_rng(0)
        shapes = [
            [self.sizes[size] if isinstance(size, str) else size for size in shape] for shape in self.shapes
        ]
        return [rng.standard_normal(shape, np.float32) for shape in shapes]


class ConvertedRuntime:
    """The module converted to MAX."""

    def __init__(self, setup: ModuleSetup, dtype: str = "float32") -> None:
        self.setup, self.dtype = setup, dtype

    def load(self) -> None:
        """Converts, and compiles unless it is in the cache."""
        from yolo_max.convert import convert_pytorch_model

        self.model = convert_pytorch_model(self.setup.make(), self.setup.shapes, dtype=self.dtype)

    def infer(self, inputs: Arrays) -> Any:
        """NumPy in and out."""
        return self.model(*inputs)

    def outputs(self, output: Any) -> Arrays:
        """The leaves of the structure that the module returns."""
        return leaves(output)


class EagerRuntime:
    """PyTorch, channels_last, eager or compiled."""

    def __init__(self, setup: ModuleSetup, compiled: bool = False) -> None:
        self.setup, self.compiled = setup, compiled

    def load(self) -> None:
        """Makes the module, and compiles it unless eager."""
        import torch

        module = self.setup.make().to(memory_format=torch.channels_last)
        self.run: Any = module
        if self.compiled:
            self.run = torch.compile(module, dynamic=False, options={"freezing": True})

    def infer(self, inputs: Arrays) -> Any:
        """Tensors out; images are laid out for the module first."""
        import torch

        tensors = (torch.from_numpy(each) for each in inputs)
        with torch.no_grad():
            return self.run(
                *(
                    each.contiguous(memory_format=torch.channels_last) if each.ndim == 4 else each
                    for each in tensors
                )
            )

    def outputs(self, output: Any) -> Arrays:
        """The leaves as arrays."""
        return leaves(output)


class OnnxRuntime:
    """ONNX Runtime's CPU provider, all graph optimisations."""

    def __init__(self, setup: ModuleSetup) -> None:
        self.setup = setup

    def load(self) -> None:
        """Makes the session."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = self.setup.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.session = ort.InferenceSession(self.setup.onnx, options, providers=["CPUExecutionProvider"])
        self.names = [each.name for each in self.session.get_inputs()]

    def infer(self, inputs: Arrays) -> Arrays:
        """Arrays in and out."""
        outputs: Arrays = self.session.run(None, dict(zip(self.names, inputs, strict=True)))
        return outputs

    def outputs(self, output: Arrays) -> Arrays:
        """Returns them unchanged."""
        return output


class OpenVinoRuntime:
    """OpenVINO's CPU plugin with its latency hint."""

    def __init__(self, setup: ModuleSetup, precision: str = "f32") -> None:
        self.setup, self.precision = setup, precision

    def load(self) -> None:
        """Compiles the ONNX file."""
        core = import_openvino().Core()
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": self.setup.threads,
            "NUM_STREAMS": 1,
        }
        model = core.compile_model(core.read_model(self.setup.onnx), "CPU", hints)
        self.request = model.create_infer_request()

    def infer(self, inputs: Arrays) -> Arrays:
        """Arrays in and out; neither is copied."""
        results = self.request.infer(inputs, share_inputs=True, share_outputs=True)
        return [results[i] for i in range(len(results))]

    def outputs(self, output: Arrays) -> Arrays:
        """Returns them unchanged."""
        return output


class ModuleWorker(Timed):
    """The methods of an engine's process."""

    def setup(self, factory: str, arguments: Mapping[str, Any]) -> None:
        """Loads an engine and runs it once."""
        self._runtime = make_runtime(factory, arguments)
        self._batch = arguments["setup"].inputs()
        self._runtime.load()
        self._runtime.infer(self._batch)

    def outputs(self) -> Arrays:
        """The outputs, copied: the engine may reuse its own."""
        return [each.copy() for each in self._runtime.outputs(self._runtime.infer(self._batch))]

    def reference(self, setup: ModuleSetup, bf16: bool) -> dict[str, Arrays]:
        """PyTorch's outputs in f32 and f64, and its autocast's if ``bf16``."""
        import torch

        module, inputs = setup.make(), [torch.from_numpy(each) for each in setup.inputs()]
        with torch.no_grad():
            found = {"f32": leaves(module(*inputs))}
            if bf16:
                found["bf16"] = autocast(module, inputs)
            module.double()
            found["f64"] = leaves(module(*(each.double() for each in inputs)))
        return found

    def export(self, setup: ModuleSetup) -> None:
        """Writes the module's ONNX file."""
        import torch

        _export_onnx(setup.make(), [torch.from_numpy(each) for each in setup.inputs()], Path(setup.onnx))


def autocast(module: Any, inputs: Sequence[Any]) -> Arrays:
    """What PyTorch's autocast to bfloat16 computes, as float32."""
    import torch
    from torch.utils import _pytree as pytree

    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs = module(*inputs)
    return leaves(
        pytree.tree_map_only(
            torch.Tensor, lambda each: each.float() if each.dtype == torch.bfloat16 else each, outputs
        )
    )


def leaves(outputs: Any) -> Arrays:
    """The tensors in a structure, flat, as arrays."""
    from torch.utils import _pytree as pytree

    flat = (each.numpy() if hasattr(each, "detach") else each for each in pytree.tree_leaves(outputs))
    return [each for each in flat if isinstance(each, np.ndarray)]


def _export_onnx(module: Any, inputs: Sequence[Any], path: Path) -> None:
    import torch

    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operation of PyTorch's, which ONNX does not have
    try:
        with warnings.catch_warnings():
            # The tracing exporter is deprecated; its successor needs another package for the same graph.
            warnings.simplefilter("ignore")
            torch.onnx.export(module, tuple(inputs), path, opset_version=OPSET, dynamo=False)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def serve(connection: Any, _spawned_ns: str) -> None:
    """Runs in the child; see `yolo_max.bench.worker.serve`."""
    answer_requests(connection, ModuleWorker())

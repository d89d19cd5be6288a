"""The engines, each used as its documentation advises for speed on a CPU."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.bench.engines import NotMeasuredError, Setup


class MaxRuntime:
    """MAX: `MaxEngine` as `yolo-max predict` uses it."""

    def __init__(self, setup: Setup, kernels: str = "fused", precision: str = "f32") -> None:
        self.setup = setup
        self.kernels = kernels
        self.precision = precision
        self.size: tuple[int, int] | None = None

    def imports(self) -> None:
        """MAX's driver, graph API and engine."""
        import yolo_max.engine.max_engine  # noqa: F401

    def load(self) -> None:
        """Maps the safetensors file."""
        from yolo_max.weights.load import load_weights

        self.weights = load_weights(self.setup.weights)

    def prepare(self, batch: int, height: int, width: int) -> None:  # noqa: ARG002
        """Builds once: the fused graph takes any shape, the stock one runs a batch image by image."""
        from yolo_max.engine.max_engine import MaxEngine

        if self.size is None:
            self.size = (height, width)
            self.engine = MaxEngine(
                self.weights,
                imgsz=self.size,
                device="cpu",
                kernels=self.kernels,
                precision=self.precision,
                threads=self.setup.threads,
            )
        elif self.kernels == "stock" and self.size != (height, width):
            raise NotMeasuredError("its graph has one static size, and compiling another takes minutes")

    def infer(self, batch: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """The raw outputs as the contract has them."""
        return self.engine(batch)

    def outputs(self, output: dict[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Returns the output unchanged."""
        return output


class TorchRuntime:
    """PyTorch: Ultralytics' fused module up to its raw outputs, channels_last, eager or compiled."""

    def __init__(self, setup: Setup, compiled: bool = False) -> None:
        self.setup = setup
        self.compiled = compiled

    def imports(self) -> None:
        """torch, and Ultralytics for its module."""
        import torch

        import yolo_max.bench.raw_network  # noqa: F401

        torch.set_num_threads(self.setup.threads)

    def load(self) -> None:
        """Builds the module and loads the weights."""
        from yolo_max.bench.raw_network import RawNetwork
        from yolo_max.engine.torch_engine import TorchEngine

        engine = TorchEngine(self.setup.weights, threads=self.setup.threads, channels_last=True)
        self.module = RawNetwork(engine.module, engine.reference)
        self.run: Any = self.module

    def prepare(self, batch: int, height: int, width: int) -> None:
        """Compiles a graph for this shape, unless eager."""
        import torch

        if not self.compiled:
            return
        # Dynamo keeps eight shapes, then silently falls back to eager.
        torch._dynamo.reset()
        self.run = torch.compile(self.module, dynamic=False, options={"freezing": True})
        self.infer(np.zeros((batch, height, width, 3), np.uint8))

    def infer(self, batch: NDArray[np.uint8]) -> Any:
        """The raw outputs as tensors, in PyTorch's layout."""
        import torch

        with torch.no_grad():
            return self.run(torch.from_numpy(batch))

    def outputs(self, output: Any) -> dict[str, NDArray[np.float32]]:
        """Views of them."""
        return self.setup.outputs([tensor.numpy() for tensor in output])


class OnnxRuntime:
    """ONNX Runtime's CPU provider, all graph optimisations, sizes fixed for each case."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def imports(self) -> None:
        """The library."""
        import onnxruntime  # noqa: F401

    def load(self) -> None:
        """Reads the ONNX file."""
        self.model = Path(self.setup.onnx).read_bytes()

    def prepare(self, batch: int, height: int, width: int) -> None:
        """A session for this shape."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = self.setup.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        for name, size in (("batch", batch), ("height", height), ("width", width)):
            options.add_free_dimension_override_by_name(name, size)
        self.session = ort.InferenceSession(self.model, options, providers=["CPUExecutionProvider"])

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The raw outputs, in PyTorch's layout."""
        outputs: list[NDArray[np.float32]] = self.session.run(None, {"pixels": batch})
        return outputs

    def outputs(self, output: list[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Views of them."""
        return self.setup.outputs(output)


class OpenVinoRuntime:
    """OpenVINO's CPU plugin with its latency hint, the precision fixed by hint, sizes static."""

    def __init__(self, setup: Setup, precision: str = "f32") -> None:
        self.setup = setup
        self.precision = precision

    def imports(self) -> None:
        """The library."""
        import_openvino()

    def load(self) -> None:
        """Reads the ONNX file."""
        self.core = import_openvino().Core()
        if self.setup.cache:
            self.core.set_property({"CACHE_DIR": self.setup.cache})
        self.model = self.core.read_model(self.setup.onnx)

    def prepare(self, batch: int, height: int, width: int) -> None:
        """Compiles for this shape."""
        self.model.reshape([batch, height, width, 3])
        compiled = self.core.compile_model(
            self.model,
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": self.precision,
                "INFERENCE_NUM_THREADS": self.setup.threads,
                "NUM_STREAMS": 1,
            },
        )
        self.request = compiled.create_infer_request()

    def infer(self, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """The raw outputs, in PyTorch's layout; neither input nor output is copied."""
        results = self.request.infer([batch], share_inputs=True, share_outputs=True)
        return [results[i] for i in range(len(results))]

    def outputs(self, output: list[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """Views of them."""
        return self.setup.outputs(output)


def import_openvino() -> Any:
    """Imports ``openvino`` without its telemetry, which would report each import to its makers."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino

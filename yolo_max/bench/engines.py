"""MAX and its peers, all from uint8 pixels to the raw outputs.

The contract is `yolo_max.engine.contract.Engine`'s: uint8 ``[B, H, W, 3]`` RGB in, raw outputs
out. Cast, scaling and layout change are inside each engine's own graph, where it can fuse them. A peer may
return its outputs in PyTorch's layout; transposing that is a view and is not timed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from yolo_max.runtime import cpu
from yolo_max.support.errors import UsageError


class AnySetup(Protocol):
    """The setup of an engine, of whatever it runs."""

    @property
    def threads(self) -> int:
        """Number of threads."""
        ...


@dataclass(frozen=True)
class Setup:
    """The setup of an engine that runs a YOLO.

    Attributes:
        weights: Path of the fused weights, safetensors.
        onnx: Path of the same network as ONNX, exported once per run.
        threads: Number of threads.
        layout: For each raw output by name, the transpose from PyTorch's axes to the contract's.
        cache: Cache folder for engines that need to be given one, or None.
    """

    weights: str
    onnx: str
    threads: int
    layout: Mapping[str, tuple[int, ...]]
    cache: str | None = None

    def outputs(self, arrays: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """As the contract has them, a peer's raw outputs: in the order of ``layout``, PyTorch's axes."""
        named = zip(self.layout.items(), arrays, strict=True)
        return {name: array.transpose(axes) for (name, axes), array in named}


class Runtime(Protocol):
    """One engine inside its process. Its methods are called in this order, each timed as a phase."""

    def imports(self) -> None:
        """Imports the engine's libraries."""
        ...

    def load(self) -> None:
        """Reads the weights."""
        ...

    def prepare(self, batch: int, height: int, width: int) -> None:
        """Builds and compiles for one shape, if the engine needs that.

        Raises:
            NotMeasuredError: The engine cannot run that shape, or takes too long to compile.
        """
        ...

    def infer(self, batch: NDArray[np.uint8]) -> Any:
        """Runs the network; this is timed."""
        ...

    def outputs(self, output: Any) -> Mapping[str, NDArray[np.float32]]:
        """The output of `infer` as the contract has it: ``[B, ...]`` by name."""
        ...


class NotMeasuredError(Exception):
    """An engine skips this case; the message says why."""


@dataclass(frozen=True)
class EngineSpec:
    """One engine of the benchmark.

    Attributes:
        key: Its name on the command line and in bench.json.
        label: Its name in tables.
        factory: "module:attribute" that makes its `Runtime` from a `Setup` and ``options``.
        precision: "f32" or "bf16"; anything but f32 is marked.
        packages: Packages that must be installed; their versions are recorded.
        needs: Returns why this machine cannot run it, or None.
        options: Keyword arguments for the factory.
        quick: Whether a quick run includes it by default.
    """

    key: str
    label: str
    factory: str
    precision: str = "f32"
    packages: tuple[str, ...] = ()
    needs: Callable[[], str | None] = field(default=lambda: None, compare=False)
    options: Mapping[str, Any] = field(default_factory=dict, compare=False)
    quick: bool = True

    @property
    def marked(self) -> bool:
        """Whether it computes in another precision than the reference."""
        return self.precision != "f32"

    def absent(self) -> str | None:
        """Why it cannot run here, or None."""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            return f"{' and '.join(missing)} not installed (pip install {' '.join(missing)})"
        return self.needs()

    def versions(self) -> dict[str, str]:
        """The versions of its packages."""
        return {name: importlib.metadata.version(name) for name in self.packages}

    def make(self, setup: AnySetup) -> tuple[str, dict[str, Any]]:
        """The factory and arguments from which a worker process makes the runtime."""
        return self.factory, {"setup": setup, **self.options}


def make_runtime(factory: str, arguments: Mapping[str, Any]) -> Runtime:
    """Makes a runtime, without heavy imports."""
    module, _, attribute = factory.partition(":")
    runtime: Runtime = getattr(importlib.import_module(module), attribute)(**arguments)
    return runtime


def _no_kernels() -> str | None:
    return None if cpu.runs_kernels() else "the fused kernels do not run on this CPU"


def _no_bf16() -> str | None:
    if cpu.features() & {"avx512_bf16", "amx_bf16"}:
        return None
    return "no bf16 instructions on this CPU"


def _no_max_bf16() -> str | None:
    if cpu.has_bf16():
        return _no_kernels()
    return "no AVX512-BF16 instructions on this CPU"


def _no_compiler() -> str | None:
    # PyTorch looks for it in the same way.
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return None if shutil.which(compiler) else f"no C++ compiler on this machine ({compiler})"


def _not_x86() -> str | None:
    machine = platform.machine()
    return None if machine in ("x86_64", "AMD64") else f"not measured on {machine}"


OURS = "max"
"""The key of the engine that `yolo-max predict` and `Predictor` use."""
RUNTIMES = "yolo_max.bench.runtimes"
ENGINES: tuple[EngineSpec, ...] = (
    EngineSpec(OURS, "MAX fused f32", f"{RUNTIMES}:MaxRuntime", packages=("max",), needs=_no_kernels),
    EngineSpec(
        "max-bf16",
        "MAX fused bf16",
        f"{RUNTIMES}:MaxRuntime",
        precision="bf16",
        packages=("max",),
        needs=_no_max_bf16,
        options={"precision": "bf16"},
    ),
    EngineSpec(
        "max-stock",
        "MAX stock ops",
        f"{RUNTIMES}:MaxRuntime",
        packages=("max",),
        options={"kernels": "stock"},
        quick=False,
    ),
    EngineSpec("torch", "PyTorch eager", f"{RUNTIMES}:TorchRuntime", packages=("torch", "ultralytics")),
    EngineSpec(
        "torch-compile",
        "torch.compile",
        f"{RUNTIMES}:TorchRuntime",
        packages=("torch", "ultralytics"),
        needs=_no_compiler,
        options={"compiled": True},
        quick=False,
    ),
    EngineSpec("onnxruntime", "ONNX Runtime", f"{RUNTIMES}:OnnxRuntime", packages=("onnx", "onnxruntime")),
    EngineSpec("openvino", "OpenVINO f32", f"{RUNTIMES}:OpenVinoRuntime", packages=("onnx", "openvino")),
    EngineSpec(
        "openvino-bf16",
        "OpenVINO bf16",
        f"{RUNTIMES}:OpenVinoRuntime",
        precision="bf16",
        packages=("onnx", "openvino"),
        needs=lambda: _not_x86() or _no_bf16(),
        options={"precision": "bf16"},
    ),
)


def choose(keys: Sequence[str] | None, engines: Sequence[EngineSpec] = ENGINES) -> list[EngineSpec]:
    """The engines with these keys, in the registry's order; all for None.

    Raises:
        UsageError: A key is unknown, or none is given.
    """
    known = [spec.key for spec in engines]
    if unknown := [key for key in keys or () if key not in known]:
        raise UsageError(f"there is no engine {unknown[0]!r}; use some of {', '.join(known)}.")
    chosen = [spec for spec in engines if keys is None or spec.key in keys]
    if not chosen:
        raise UsageError(f"engines is empty; use some of {', '.join(known)}.")
    return chosen

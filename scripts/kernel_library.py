"""The kernels as a shared library, called on NumPy arrays.

One library serves every shape and needs no graph; and it can be built for another processor.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.kernels import packing, pools, products
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import BEFORE, BEHIND, TRANSPOSED, ConvKernel, conv_params
from yolo_max.kernels.kernel_table import (
    CONVOLUTIONS_AND_POOLS,
    COPIES,
    NORMS,
    OTHER_CONVOLUTIONS,
    POOLS,
    KernelTable,
)
from yolo_max.kernels.precision import Precision
from yolo_max.kernels.window import Pair, Window, transposed_window
from yolo_max.model import fused

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "yolo_max"
SOURCE = Path(__file__).with_suffix(".mojo")
TABLES = (CONVOLUTIONS_AND_POOLS, fused.DETECT, products.PRODUCTS, POOLS, OTHER_CONVOLUTIONS, COPIES, NORMS)
"""In the order of kernel_library.mojo."""


def mojo(*arguments: str | Path) -> None:
    """Runs the Mojo compiler that comes with MAX; its complaints become the error."""
    command = Path(sys.executable).with_name("mojo")
    program = str(command) if command.exists() else shutil.which("mojo")
    assert program, "the Mojo compiler is not installed; it comes with the package max"
    with TemporaryDirectory() as folder:
        # It wants to find a C compiler, by which it links, whatever it is to do. This is last on the path.
        nothing = Path(folder) / "cc"
        nothing.write_text("#!/bin/sh\nexit 1\n")
        nothing.chmod(0o755)
        run(program, *arguments, PATH=f"{os.environ['PATH']}{os.pathsep}{folder}")


def run(*command: str | Path, **environment: str) -> None:
    """Runs a program, whose complaints become the error."""
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stderr}"


def link(compiled: Path, library: Path) -> None:
    """Links with the linker that comes with MAX; `mojo` would use a C compiler for it."""
    package = find_spec("modular")
    assert package is not None, "MAX is not installed"
    folder = Path(next(iter(package.submodule_search_locations or [])))
    runtime = ["-lKGENCompilerRTShared", "-lAsyncRTMojoBindings", "-rpath", str(folder / "lib")]
    run(
        folder / "bin" / "lld",
        "-flavor",
        "gnu",
        "-shared",
        compiled,
        "-L",
        folder / "lib",
        *runtime,
        "-o",
        library,
    )


def digest(*sources: Path) -> str:
    """Of the kernels, this library, and some sources more."""
    hashed = hashlib.sha256()
    for source in [SOURCE, *sorted(PACKAGE.rglob("*.mojo")), *sources]:
        hashed.update(source.read_bytes())
    return hashed.hexdigest()[:16]


def compile_object(compiled: Path, *options: str) -> None:
    """Compiles the library."""
    mojo("build", "--emit", "object", *options, "-I", REPOSITORY, SOURCE, "-o", compiled)


def build(folder: Path, target: str | None) -> Path:
    """The library for a processor (as LLVM names it; None for this one), built once for given sources."""
    library = folder / f"{target or 'native'}-{digest()}.so"
    if not library.exists():
        unfinished = library.with_suffix(f".{os.getpid()}")
        compiled = library.with_suffix(f".{os.getpid()}.o")
        compile_object(compiled, *(["--target-cpu", target] if target else []))
        link(compiled, unfinished)
        compiled.unlink()
        unfinished.rename(library)
    return library


@dataclass
class Map:
    """Channels ``start .. start + channels`` of an NHWC array, doubled or not, as the kernels see a slice."""

    tensor: NDArray[Any]
    start: int = 0
    channels: int = field(default=-1)
    doubled: bool = False

    def __post_init__(self) -> None:
        if self.channels < 0:
            self.channels = self.tensor.shape[3] - self.start

    def values(self) -> NDArray[Any]:
        """What the slice stands for."""
        taken = self.tensor[..., self.start : self.start + self.channels]
        return taken.repeat(2, axis=1).repeat(2, axis=2) if self.doubled else taken


class Kernels:
    """The kernels of one library, on arrays: float32, or uint16 that hold bfloat16."""

    def __init__(self, library: Path, workers: int = 2) -> None:
        self.path = library
        self.library = ctypes.CDLL(str(library))
        self.workers = workers
        for name, arguments in ("run", 1), ("target", 0), ("peak", 2), ("read", 4), ("start", 0):
            function = getattr(self.library, f"library_{name}")
            function.argtypes, function.restype = [ctypes.c_int64] * arguments, ctypes.c_int64
        self.context = int(self.library.library_start()) if workers > 1 else 0

    @property
    def bf16_instructions(self) -> bool:
        """Whether the library multiplies bfloat16 pairs in one instruction."""
        return bool(self.library.library_target() == 2)

    def peak(self, rounds: int) -> int:
        """Multiplies and adds in registers on every thread; returns the floating-point operations done."""
        return int(self.library.library_peak(rounds, self.workers))

    def read(self, values: NDArray[np.float32], passes: int) -> None:
        """Reads memory several times, a part on each thread: a multiple of 128 numbers."""
        self.library.library_read(values.ctypes.data, values.size, passes, self.workers)

    def convolve(
        self,
        kernel: ConvKernel,
        maps: Sequence[Map],
        weight: NDArray[Any],
        bias: NDArray[np.float32],
        result: NDArray[Any],
        *,
        k: int | Pair,
        s: int | Pair,
        padding: int | Pair | tuple[int, int, int, int] | None = None,
        dilation: int | Pair = 1,
        groups: int = 1,
        activation: Activation = Activation.SILU,
        slope: float = 0.01,
        residual: Map | None = None,
        residual_first: bool = False,
        residual_scale: float = 1.0,
        factor: Map | None = None,
        mask: Map | None = None,
        halo: int = 0,
        divisor: int = 255,
    ) -> None:
        """One convolution, into ``result``; where ``mask`` says so, and in the halo of tiles around it."""
        params = conv_params(
            Window.of(k, s, padding, dilation, groups),
            sum(map.channels for map in maps),
            result.shape[3],
            activation=activation,
            slope=slope,
            residual=0 if residual is None else BEFORE if residual_first else BEHIND,
            scale=residual_scale,
            factor=factor is not None,
            halo=None if mask is None else halo,
            divisor=divisor if maps[0].tensor.dtype == np.uint8 else 0,
        )
        others = [each for each in (residual, factor, mask) if each is not None]
        self.run(kernel.table, kernel.id, params, [*maps, *others], weight, bias, result)

    def conv_transpose(
        self,
        maps: Sequence[Map],
        weight: NDArray[Any],
        bias: NDArray[np.float32],
        result: NDArray[Any],
        *,
        k: int | Pair,
        s: int | Pair,
        padding: int | Pair,
        activation: Activation,
    ) -> None:
        """One transposed convolution, into ``result``."""
        channels = sum(map.channels for map in maps)
        params = conv_params(
            transposed_window(k, s, padding), channels, result.shape[3], activation=activation
        )
        self.run(TRANSPOSED.table, TRANSPOSED.id, params, maps, weight, bias, result)

    def max_pool(self, x: Map, k: int, result: NDArray[Any]) -> None:
        """Pools k x k pixels of one slice around every pixel, into ``result``."""
        self.run(CONVOLUTIONS_AND_POOLS, pools.MAX_POOL, [0, *[k, 1, k // 2, 1] * 2], [x], None, None, result)

    def candidates(
        self,
        x: Map,
        weight: NDArray[Any],
        bias: NDArray[np.float32],
        nc: int,
        threshold: float,
        result: NDArray[Any],
    ) -> None:
        """Masks cells with a class logit above ``threshold`` in ``result``, [batch, height, width, 1]."""
        self.run(fused.DETECT, fused.CANDIDATES, [nc], [x], weight, bias, result, threshold)

    def head(
        self,
        maps: Sequence[Map],
        weight: NDArray[Any],
        bias: NDArray[np.float32],
        channels: Sequence[int],
        result: NDArray[np.float32],
    ) -> None:
        """The last convolutions of a head's branches into ``result``, [batch, cells, columns].

        For each level, ``channels`` has those of all branches, and ``maps`` what these read, then the mask.
        """
        levels = len(maps) - len(channels)
        self.run(fused.DETECT, fused.HEAD, [levels, *channels], maps, weight, bias, result[:, None])

    def run(
        self,
        table: KernelTable,
        kernel: int,
        params: Sequence[int],
        maps: Sequence[Map],
        weight: NDArray[Any] | None,
        bias: NDArray[Any] | None,
        result: NDArray[Any],
        threshold: float = 0,
    ) -> None:
        """Runs a kernel of a table on slices of NHWC arrays, into ``result``."""
        self.prepare(table, kernel, params, maps, weight, bias, result, threshold)()

    def prepare(
        self,
        table: KernelTable,
        kernel: int,
        params: Sequence[int],
        maps: Sequence[Map],
        weight: NDArray[Any] | None,
        bias: NDArray[Any] | None,
        result: NDArray[Any],
        threshold: float = 0,
    ) -> Callable[[], None]:
        """The same as a function, whose calls cost hardly more than the kernel."""
        numbers = np.array([*params, *(n for m in maps for n in (m.start, m.channels, m.doubled))], np.int32)
        tensors = [m.tensor for m in maps] + [result]
        assert all(t.flags.c_contiguous for t in tensors)
        call = self._prepare(
            TABLES.index(table),
            kernel,
            any(t.dtype == np.uint16 for t in tensors),
            numbers,
            tensors,
            np.zeros(0, np.float32) if weight is None else weight,
            np.zeros(0, np.float32) if bias is None else bias,
            np.array([self.workers, threshold], np.float32),
        )

        def run() -> None:
            if complaint := call():
                raise ValueError(complaint)

        return run

    def _prepare(
        self,
        table: int,
        kernel: int,
        bf16: bool,
        params: NDArray[np.int32],
        tensors: Sequence[NDArray[Any]],
        weight: NDArray[Any],
        bias: NDArray[Any],
        run: NDArray[np.float32],
    ) -> Callable[[], str]:
        """A call of the kernel, which returns what it complains of, or nothing."""
        shapes = np.array([n for t in tensors for n in (t.ctypes.data, *t.shape)], np.int64)
        message = ctypes.create_string_buffer(400)
        arrays = (params, shapes, weight, bias, run)
        of_params, of_shapes, of_weight, of_bias, of_run = (array.ctypes.data for array in arrays)
        numbers = [table, kernel, bf16, of_params, of_shapes, len(tensors) - 1, of_weight, of_bias, of_run]
        job = np.array([*numbers, self.context, ctypes.addressof(message), len(message)], np.int64)
        library_run, address, alive = self.library.library_run, job.ctypes.data, (job, arrays, tensors)

        def call() -> str:
            _ = alive  # while it may be called, its memory is kept
            return message.value.decode() if library_run(address) else ""

        return call


def from_bf16(values: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 of the same value."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def stored(values: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    """Activations as the kernels hold them."""
    return packing.to_bf16(values) if precision is Precision.BF16 else np.ascontiguousarray(values)


def loaded(values: NDArray[Any]) -> NDArray[np.float32]:
    """Activations as numbers."""
    return from_bf16(values) if values.dtype == np.uint16 else values

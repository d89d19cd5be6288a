"""The kernels built for 64-bit Arm, called in an emulator: a program a call (``kernel_emulated.c``)."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from kernel_library import Kernels, compile_object, digest, run
from numpy.typing import NDArray

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
TARGET = ("--target-triple", "aarch64-unknown-linux-gnu", "--target-cpu", "neoverse-n1")
DRIVER = Path(__file__).with_suffix(".c")


def missing() -> list[str]:
    """What this machine lacks of the programs that it takes."""
    return [program for program in (COMPILER, EMULATOR) if shutil.which(program) is None]


def build(folder: Path) -> Path:
    """The program, built once for given sources."""
    program = folder / f"neon-{digest(DRIVER)}"
    if not program.exists():
        unfinished = program.with_suffix(f".{os.getpid()}")
        compiled = program.with_suffix(f".{os.getpid()}.o")
        compile_object(compiled, *TARGET)
        run(COMPILER, "-O1", "-Wall", "-Werror", "-static", DRIVER, compiled, "-o", unfinished)
        compiled.unlink()
        unfinished.rename(program)
    return program


class EmulatedKernels(Kernels):
    """The kernels of such a program, on one thread."""

    def __init__(self, program: Path) -> None:
        self.path = program
        self.workers = 1

    @property
    def bf16_instructions(self) -> bool:
        """There are none before Armv8.6."""
        return False

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
        others: tuple[NDArray[Any], ...] = (params, run, weight, bias)
        shapes = [number for t in tensors for number in (t.nbytes, *t.shape)]
        numbers = [table, kernel, bf16, len(tensors) - 1, *shapes, *(array.nbytes for array in others)]
        job = b"".join(array.tobytes() for array in (np.array(numbers, np.int64), *others, *tensors))

        def call() -> str:
            done = subprocess.run([EMULATOR, self.path], input=job, capture_output=True, check=False)
            assert done.returncode == 0, f"{EMULATOR} ended with {done.returncode}: {done.stderr.decode()}"
            failed, answer = np.frombuffer(done.stdout[:8], np.int64)[0], done.stdout[8:]
            if failed:
                return answer.decode()
            tensors[-1][...] = np.frombuffer(answer, tensors[-1].dtype).reshape(tensors[-1].shape)
            return ""

        return call

"""What MAX raises becomes an EngineError of one sentence, which says when memory ran out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import tiny_weights

from yolo_max.engine.max_engine import MaxEngine
from yolo_max.runtime.max_errors import max_errors
from yolo_max.support.errors import EngineError, ExitCode, UsageError

NO_MEMORY = "^there is not enough memory to run the network; use a smaller imgsz or batch"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("kernel failed:\nAt device_context.mojo: Memory allocation failed\nTo get"), NO_MEMORY),
        (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY: out of memory"), NO_MEMORY),
        (RuntimeError("std::bad_alloc"), NO_MEMORY),
        (MemoryError(), NO_MEMORY),  # NumPy's
        (RuntimeError("no such operation"), "^MAX could not run the network: no such operation$"),
    ],
)
def test_errors_of_max(error: Exception, message: str) -> None:
    with pytest.raises(EngineError, match=message) as raised, max_errors("run the network"):
        raise error
    assert raised.value.exit_code == ExitCode.ENGINE


def test_other_errors_pass() -> None:
    with pytest.raises(UsageError), max_errors("run the network"):
        raise UsageError("our own")


CHILD = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from tiny import tiny_weights
from yolo_max.engine.max_engine import MaxEngine
from yolo_max.support.errors import EngineError
engine = MaxEngine(tiny_weights(), imgsz=(32, 32), kernels="fused")
small, large = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((2, 4096, 4096, 3), np.uint8)
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**24, hard))
try:
    engine(large)
except EngineError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
engine(small)
print("goes on")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited in Linux's way")
def test_too_little_memory_is_one_sentence() -> None:
    MaxEngine(tiny_weights(), imgsz=(32, 32), kernels="fused")  # so that the child need not compile
    child = [sys.executable, "-c", CHILD, str(Path(__file__).parent / "support")]
    output = subprocess.run(child, capture_output=True, text=True, check=False, timeout=300).stdout
    assert "not enough memory to run the network on 2 images of 4096 x 4096 pixels;" in output
    assert "goes on" in output

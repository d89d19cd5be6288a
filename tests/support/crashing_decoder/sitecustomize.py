"""On PYTHONPATH, a decoder that dies of data which holds the word "crash", and chatters about all other."""

import os
import signal
from typing import Any

import cv2

_imdecode = cv2.imdecode


def _crashing(data: Any, flags: int) -> Any:
    if b"crash" in data.tobytes():
        os.kill(os.getpid(), signal.SIGSEGV)
    os.write(1, b"11\n")
    return _imdecode(data, flags)


cv2.imdecode = _crashing  # type: ignore[assignment]

"""Guards against forked processes: threads do not survive a fork, so MAX and PyTorch would hang."""

from __future__ import annotations

import os

from yolo_max.support.errors import EngineError


def require_same_process(pid: int) -> None:
    """Rejects the use of an engine in a process that was forked after its library had started.

    Args:
        pid: The process that started it.

    Raises:
        EngineError: It was another process.
    """
    if os.getpid() != pid:
        raise EngineError(
            "the engine was loaded before this process was forked, and its threads did not come along; start "
            'processes with multiprocessing.get_context("spawn"), and load it in each.'
        )

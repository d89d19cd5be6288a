"""An engine's process: messages are no prints, its end has a reason, and nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import children
import pytest

from yolo_max.engine.process import LOG_TAIL, EngineProcess, EngineProcessError


@pytest.fixture(autouse=True)
def found_by_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(children.__file__).parent), prepend=os.pathsep)


def test_messages_go_both_ways_and_what_is_printed_is_a_log() -> None:
    with EngineProcess("children:echoes", "hello") as process:
        assert process.receive(30) == ("hello", process.pid)
        process.send({"any": ["picklable", 1.5]})
        assert process.receive() == {"any": ["picklable", 1.5]}
        assert process.returncode is None
        assert process.log_tail() == "on stdout\non stderr\n"
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("how", "limit", "reason"),
    [
        ("exit", 30, "its process ended with exit code 3"),
        ("signal", 30, "its process ended with signal SIGTERM"),
        ("raise", 30, "its process ended with exit code 1"),
        ("hang", 4, "no answer within 4 s"),
    ],
)
def test_an_end_has_a_reason_and_last_lines(how: str, limit: float, reason: str) -> None:
    with EngineProcess("children:ends", how) as process:
        process.send("to nobody")
        with pytest.raises(EngineProcessError) as failure:
            process.receive(limit)
        assert str(failure.value) == reason
        assert failure.value.log.startswith("goodbye\n")
        assert len(failure.value.log) <= LOG_TAIL
        assert ("ValueError: no more" in failure.value.log) == (how == "raise")
        with pytest.raises(ProcessLookupError):
            os.kill(process.pid, 0)


def is_gone(pid: int) -> bool:
    try:
        return "(zombie)" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child only notices when it next answers")
def test_a_child_dies_with_its_parent() -> None:
    code = (
        "from yolo_max.engine.process import EngineProcess; "
        "process = EngineProcess('children:echoes', ''); "
        "print(process.receive()[1], flush=True); input()"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    end = time.monotonic() + 30
    while not is_gone(child):
        assert time.monotonic() < end, "the child is still there"
        time.sleep(0.01)

"""Networks for the workers of a real Ray cluster, which are other processes."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fakes import FakeEngine
from numpy.typing import NDArray

from yolo_max.predict.predictor import Predictor
from yolo_max.ray.setup import Setup
from yolo_max.support.errors import EngineError


class MarkedEngine(FakeEngine):
    """A `FakeEngine` that leaves a file called like its process in a folder."""

    def __init__(self, folder: Path, nap: float = 0) -> None:
        super().__init__(nap)
        self.folder, self.driver = folder, os.getpid()

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        if os.getpid() != self.driver:
            (self.folder / str(os.getpid())).touch()
        return super().__call__(batch)

    @property
    def workers(self) -> list[int]:
        """The processes that have run it."""
        return [int(each.name) for each in self.folder.iterdir()]


@dataclass(frozen=True)
class LameSetup(Setup):
    """A setup of which one worker can make nothing, the first that tries; its network is a `MarkedEngine`."""

    def predictor(self) -> Predictor:
        assert isinstance(self.network, MarkedEngine)
        try:
            (self.network.folder / "lame").touch(exist_ok=False)
        except FileExistsError:
            return super().predictor()
        raise EngineError("this node has no network.")


class DeadlyEngine(MarkedEngine):
    """A `MarkedEngine` that white images kill."""

    def __call__(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        found = super().__call__(batch)
        if any((image[image.shape[0] // 2] == 255).all() for image in batch):
            os.kill(os.getpid(), signal.SIGKILL)
        return found


def listening(pids: set[int]) -> set[str]:
    """The local addresses, in hex, on which processes listen for TCP connections."""
    sockets = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(link.readlink())
            except OSError:
                continue
            sockets.add(target.removeprefix("socket:[").rstrip("]"))
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                found.add(fields[1].partition(":")[0])
    return found


def descendants(pid: int) -> set[int]:
    """The processes below a process."""
    parents: dict[int, Any] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return below

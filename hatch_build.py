"""Puts the graphs of `make graphs` into a wheel, if they are of these very sources."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

TAG = "py3-none-manylinux_2_34_x86_64"
"""Of a wheel with graphs: MAX's own for this machine."""


class Graphs(BuildHookInterface):
    """Marks a wheel with graphs as one for their kind of machine; without, it is for any."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Checks the graphs.

        Raises:
            ValueError: One of them is of other sources or of another version.
        """
        graphs = sorted(Path(self.root, "yolo_max", "graphs").glob("*.mef"))
        if version == "editable" or not graphs:
            return
        names = runpy.run_path(str(Path(self.root, "yolo_max", "runtime", "sources.py")))
        current = {"sources": names["sources_digest"](), "yolo_max": self.metadata.version}
        for path in graphs:
            with path.open("rb") as file:
                head = json.loads(file.readline())
            if any(head[name] != value for name, value in current.items()):
                raise ValueError(f"{path} is of other sources; run `make graphs`, or remove the folder.")
        build_data["tag"] = TAG

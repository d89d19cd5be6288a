"""An exported network: a safetensors file that runs without PyTorch.

Its tensors are the module's parameters and buffers by their paths, and below ``graph/`` what passes have
made of them (batch norms folded, constants computed). Its header has the graph in MAX's own language, how
each constant of the graph is packed, and the signature. Graph and packing belong to one version of this
package and of MAX; the tensors can be read by anything that reads safetensors.

The graph is a program: load files of your own, or of people whose programs you would run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from max.graph import Graph
from numpy.typing import NDArray

from yolo_max.convert.constants import Bound, bound_from_dict, bound_to_dict
from yolo_max.convert.errors import ConversionError
from yolo_max.convert.max_model import MaxModel
from yolo_max.convert.runtime import SOURCES, require_kernels, start
from yolo_max.convert.signature import Signature
from yolo_max.convert.structure import PlainContainers
from yolo_max.kernels.precision import Precision
from yolo_max.runtime.kernel_package import precompile
from yolo_max.runtime.sources import sources_digest
from yolo_max.support.atomic import write_atomically
from yolo_max.support.errors import SourceError, WeightsError
from yolo_max.weights import container
from yolo_max.weights.meta import EXPORTED

GRAPH = "graph/"
"""Begins the names of tensors that are no parameter and no buffer."""
_KERNELS = re.compile(r"_kernel_library_paths = \[[^\]]*\](, )?")


@dataclass(frozen=True)
class Exported:
    """What an exported file has.

    Attributes:
        name: Of the module.
        graph: In MAX's language.
        network: The converter's digest of it.
        constants: What the graph reads.
        signature: Its flat inputs and outputs.
        containers: Their structures.
        tied: For each parameter that is another one as well, that one's path.
        precision: Of the maps between kernels.
        tensors: All arrays.
    """

    name: str
    graph: str
    network: str
    constants: tuple[Bound, ...]
    signature: Signature
    containers: PlainContainers
    tied: dict[str, str]
    precision: Precision
    tensors: dict[str, NDArray[Any]]

    def write(self, path: Path) -> None:
        """Writes the file.

        Raises:
            OutputError: It cannot be written.
        """
        header = {
            "name": self.name,
            "made_by": _maker(),
            "network": self.network,
            "signature": self.signature.to_dict(),
            "takes": self.containers.takes,
            "gives": self.containers.gives,
            "tied": self.tied,
            "precision": self.precision,
            "constants": [bound_to_dict(each) for each in self.constants],
            "graph": _KERNELS.sub("", self.graph, count=1),
        }
        write_atomically(path, container.serialise(self.tensors, {EXPORTED: json.dumps(header)}))

    @staticmethod
    def read(path: Path, *, to_run: bool = True) -> Exported:
        """Reads a file.

        Args:
            path: The file.
            to_run: Whether to refuse a graph that another version has made.

        Raises:
            SourceError: There is no such file.
            WeightsError: The file is damaged, or is no exported network.
            ConversionError: Another version of this package or of MAX has made it.
        """
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path} cannot be read ({error.strerror}); check the path.") from error
        try:
            metadata, tensors = container.parse(data, container.NUMBERS)
        except WeightsError as error:
            raise WeightsError(f"{path} {error}.") from error
        if EXPORTED not in metadata:
            raise WeightsError(f"{path} is no exported network; use yolo_max.convert.export to make one.")
        try:
            header = json.loads(metadata[EXPORTED])
            if to_run and header["made_by"] != _maker():
                raise ConversionError(
                    f"{path} was exported by another version of yolo_max or MAX; export the module again "
                    "(its weights can still be read, by state_dict)."
                )
            return Exported(
                header["name"],
                header["graph"],
                header["network"],
                tuple(map(bound_from_dict, header["constants"])),
                Signature.from_dict(header["signature"]),
                PlainContainers(header["takes"], header["gives"]),
                header["tied"],
                Precision(header.get("precision", Precision.F32)),  # earlier versions had none
                tensors,
            )
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise WeightsError(
                f"{path} has a damaged header ({type(error).__name__}: {error}); export the module again."
            ) from error


def load(path: str | Path, *, report: Callable[[str], None] | None = None) -> MaxModel:
    """Loads an exported network; PyTorch is not imported.

    Args:
        path: A file from `yolo_max.convert.export`. It holds a program, so it has to be trusted like one.
        report: Called with a sentence before anything slow: the graph is compiled on the first start on a
            machine, and comes out of the cache then. When absent it is logged, as a warning of the logger
            "yolo_max".

    Returns:
        The network, called with NumPy arrays.

    Raises:
        SourceError: There is no such file.
        WeightsError: The file is damaged, or is no exported network.
        ConversionError: Another version has made it, or the kernels do not run on this CPU, in its precision.
        EngineError: MAX cannot compile the graph, or runs out of memory.
    """
    found = Exported.read(Path(path))
    require_kernels(found.precision)
    return start(
        found.name,
        # What the file says of its graph may not be so; other graphs are cached by what they claim.
        hashlib.sha256(f"{found.network} {found.graph}".encode()).hexdigest(),
        lambda: _graph(found.graph),
        found.constants,
        found.tensors,
        found.signature,
        found.containers,
        report or logging.getLogger("yolo_max").warning,
    )


def _graph(text: str) -> Graph:
    with tempfile.TemporaryDirectory(prefix="yolo_max_") as folder:
        path = Path(folder) / "graph.mlir"
        path.write_text(text, encoding="utf-8")
        graph = Graph("converted", path=path)
    # A graph that is read has no way to be told of kernels but the one that its constructor uses.
    graph._import_kernels([precompile().result()])
    return graph


def _maker() -> Sequence[str]:
    return [version("max"), sources_digest(places=SOURCES)]

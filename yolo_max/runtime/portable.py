"""Compiled graphs as files that go to other machines: beside the package, or where a user names one.

    {"format": ..., "target": "x86-64-v4", ...}   one line of JSON: what the code is for, and its checksum
    MAX's own format, compressed (xz)

Such a file is native code. It is loaded only out of the installed package, or if a user names it.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from max.engine import CompiledModel, read

from yolo_max.kernels.conv_kernel import ConvKernel
from yolo_max.runtime.compiled import CompiledGraph
from yolo_max.runtime.cpu_target import TARGETS
from yolo_max.runtime.sources import SHIPPED, sources_digest
from yolo_max.support.errors import EngineError
from yolo_max.support.plain_file import read_plain_file, reason

FORMAT = "yolo_max graph 1"
MAX_BYTES = 2**26
"""Of a file, and of what it is unpacked to: many times what the largest network takes."""
_AGAIN = "make it again with `yolo-max weights compile`"


@dataclass(frozen=True)
class Purpose:
    """What a portable graph is for; code is run only for its very purpose.

    Attributes:
        architecture: Digest of the network, without its weights and number of classes.
        precision: Of the activations.
        input: Type and shape of the pixels.
        target: A name of `yolo_max.runtime.cpu_target.TARGETS`.
        yolo_max: Version of this package.
        max: Version of MAX.
        sources: Digest of the sources of the graph and the kernels.
    """

    architecture: str
    precision: str
    input: str
    target: str
    yolo_max: str
    max: str
    sources: str

    @property
    def file_name(self) -> str:
        """The name of its file in `SHIPPED`."""
        return f"{hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:40]}.mef"


def purpose_of(architecture: Any, precision: str, target: str = "") -> Purpose:
    """The purpose of a graph of this installation.

    Args:
        architecture: The network, as a value whose ``repr`` says all that decides the graph.
        precision: Of the activations.
        target: Name of the processor, if it matters.
    """
    return Purpose(
        architecture=hashlib.sha256(repr(architecture).encode()).hexdigest()[:40],
        precision=precision,
        input="uint8 [batch, height, width, 3]",
        target=target,
        yolo_max=version("yolo-max"),
        max=version("max"),
        sources=sources_digest(),
    )


def to_bytes(purpose: Purpose, model: CompiledModel, kernels: Mapping[str, ConvKernel]) -> bytes:
    """A compiled graph as a file's content.

    Args:
        purpose: What it is for.
        model: The compiled graph.
        kernels: The kernel of each convolution.
    """
    with tempfile.TemporaryDirectory(prefix="yolo_max_") as folder:
        exported = Path(folder) / "graph.mef"
        model.export_mef(exported)
        code = lzma.compress(exported.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
    head = {
        "format": FORMAT,
        **asdict(purpose),
        "kernels": {name: kernel.name for name, kernel in kernels.items()},
        "sha256": hashlib.sha256(code).hexdigest(),
    }
    return json.dumps(head).encode() + b"\n" + code


def load_shipped(architecture: Any, precision: str, targets: list[str]) -> CompiledGraph | None:
    """The first graph beside the package that is for this network and one of these targets; None without.

    Args:
        architecture: As for `purpose_of`.
        precision: Likewise.
        targets: Names of targets that run here, the preferred one first.

    Raises:
        EngineError: The file is damaged: the package must be installed again.
    """
    if not SHIPPED.is_dir():
        return None
    purpose = purpose_of(architecture, precision)
    for target in targets:
        wanted = replace(purpose, target=target)
        if (path := SHIPPED / wanted.file_name).is_file():
            return load_named(path, wanted)
    return None


def load_named(path: Path, purpose: Purpose) -> CompiledGraph:
    """The graph in a file that somebody named.

    Args:
        path: The file.
        purpose: What it must be for; any target that runs here will do.

    Raises:
        EngineError: It cannot be read, is damaged, is for something else, or does not run on this processor.
    """
    try:
        head, _, code = read_plain_file(path, MAX_BYTES).partition(b"\n")
    except OSError as error:
        raise EngineError(f"the compiled graph {path} cannot be read: {reason(error)}.") from error
    try:
        given = json.loads(head)
        found = Purpose(**{name: str(given[name]) for name in asdict(purpose)})
        names, checksum = dict(given["kernels"]), given["sha256"]
        known = given["format"] == FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise EngineError(f"{path} was not made by this version of `yolo-max weights compile`.")
    _require_equal(path, found, purpose)
    _require_runnable(path, found.target)
    if hashlib.sha256(code).hexdigest() != checksum:
        raise EngineError(f"{path} is damaged: its content does not have its checksum; {_AGAIN}.")
    try:
        unpacked = lzma.LZMADecompressor().decompress(code, MAX_BYTES)
        kernels = {str(name): ConvKernel.named(value) for name, value in names.items()}
        return CompiledGraph(read(io.BytesIO(unpacked)), kernels, from_cache=True)
    except (RuntimeError, ValueError, AttributeError, lzma.LZMAError) as error:
        raise EngineError(f"{path} is not accepted by this MAX ({error}); {_AGAIN}.") from error


def _require_equal(path: Path, found: Purpose, wanted: Purpose) -> None:
    if (found.yolo_max, found.max) != (wanted.yolo_max, wanted.max):
        raise EngineError(
            f"{path} was made by yolo_max {found.yolo_max} for MAX {found.max}, but these are yolo_max "
            f"{wanted.yolo_max} and MAX {wanted.max}; {_AGAIN}."
        )
    if found.sources != wanted.sources:
        raise EngineError(f"{path} was made by other sources of yolo_max {found.yolo_max}; {_AGAIN}.")
    if found.precision != wanted.precision:
        raise EngineError(
            f"{path} computes in {found.precision}, not {wanted.precision}; use --precision "
            f"{found.precision}, or {_AGAIN}."
        )
    if (found.architecture, found.input) != (wanted.architecture, wanted.input):
        raise EngineError(f"{path} is for another network than these weights; {_AGAIN} -w these weights.")


def _require_runnable(path: Path, name: str) -> None:
    target = TARGETS.get(name)
    if target is None:
        raise EngineError(f"{path} is for the processor {name!r}, which this yolo_max does not know.")
    if target.missing:
        raise EngineError(
            f"{path} is for {name}, and this processor has no {', '.join(target.missing)}; make one for "
            "another --target with `yolo-max weights compile`."
        )

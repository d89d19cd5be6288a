"""Meta data of a weights file: the header beside its tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from yolo_max import __version__
from yolo_max.model.architecture import Architecture, Normalization, parse_architecture
from yolo_max.support.errors import WeightsError
from yolo_max.support.parse import MAX_IMGSZ, parse_imgsz
from yolo_max.support.text import shorten, visible

FORMAT = "yolo_max"
FORMAT_VERSION = 1
EXPORTED = "yolo_max.convert"
"""The entry of a header that the converter wrote for another module."""
MIN_IMGSZ = 32
MAX_NAME_LENGTH = 256
MAX_NORMALIZATION = 1e6
"""What an image is shifted by at most; it is divided by its inverse at least."""


@dataclass(frozen=True)
class ModelMeta:
    """The header of a weights file.

    Attributes:
        names: Class names by class id, 0 to nc - 1.
        imgsz: Side of the square input the model was trained for, in pixels.
        architecture: The checkpoint's own table (its ``yaml``).
        network: That table, parsed and checked.
        source: File name of the checkpoint the weights were converted from.
        source_sha256: SHA-256 of that file, in hex.
        format_version: Version of this header's layout.
        library_version: The yolo_max that wrote it.
    """

    names: Mapping[int, str]
    imgsz: int
    architecture: Mapping[str, Any]
    network: Architecture
    source: str
    source_sha256: str
    format_version: int = FORMAT_VERSION
    library_version: str = __version__

    @property
    def task(self) -> str:
        """The network's task: "detect", "segment", "pose", "obb" or "classify"."""
        return self.network.task

    @property
    def nc(self) -> int:
        """Number of classes."""
        return self.network.nc

    def canvas_size(self, imgsz: int | Sequence[int] | None) -> tuple[int, int]:
        """(height, width) of the network's input, in pixels.

        Args:
            imgsz: What a user asked for, as `parse_imgsz` takes it; None for the model's own.

        Raises:
            UsageError: It is not a size, or is out of range.
        """
        return parse_imgsz(self.imgsz if imgsz is None else imgsz, self.network.stride)

    def to_header(self) -> dict[str, str]:
        """The header as safetensors metadata: strings, with JSON for anything else."""
        normalization = self.network.normalization
        return {
            "format": FORMAT,
            "format_version": str(self.format_version),
            "library_version": self.library_version,
            "source": self.source,
            "source_sha256": self.source_sha256,
            "nc": str(self.nc),
            **{name: json.dumps(value) for name, value in self.network.facts.items()},
            "imgsz": str(self.imgsz),
            **({"normalization": json.dumps(normalization._asdict())} if normalization else {}),
            "names": json.dumps(self.names, ensure_ascii=False),
            "architecture": json.dumps(self.architecture, ensure_ascii=False),
        }

    @classmethod
    def from_header(cls, header: Mapping[str, str]) -> ModelMeta:
        """Reads and checks what `to_header` wrote.

        Raises:
            WeightsError: A value is missing, makes no sense, or contradicts the architecture table. The
                message is a sentence without its subject: the caller prepends the file's name.
        """
        if EXPORTED in header:
            raise WeightsError(
                "is a PyTorch module that yolo_max.convert exported, not the weights of a YOLO; call "
                "yolo_max.convert.load with it"
            )
        if header.get("format") != FORMAT:
            raise WeightsError(
                "is a safetensors file without yolo_max's header; make one from a .pt checkpoint by "
                "`yolo-max weights convert`"
            )
        version = header.get("format_version")
        if version != str(FORMAT_VERSION):
            raise WeightsError(
                f"has format version {shorten(version)}, but this yolo_max {__version__} reads version "
                f"{FORMAT_VERSION}; convert the checkpoint again or install the yolo_max that wrote it"
            )
        meta = cls.checked(
            **{name: _json(header, name) for name in ("nc", "imgsz", "names", "architecture")},
            normalization=_json(header, "normalization") if "normalization" in header else None,
            source=visible(header.get("source", "")),
            source_sha256=visible(header.get("source_sha256", "")),
            library_version=visible(header.get("library_version", "")),
        )
        for name, fact in meta.network.facts.items():
            if (value := _json(header, name)) != fact:
                raise WeightsError(f"has {name} {shorten(value)}, but its architecture table gives {fact}")
        return meta

    @classmethod
    def checked(
        cls,
        *,
        names: Any,
        nc: Any,
        imgsz: Any,
        architecture: Any,
        source: str,
        source_sha256: str,
        library_version: str = __version__,
        normalization: Any = None,
    ) -> ModelMeta:
        """Builds a header from untrusted values; ``normalization`` has ``mean`` and ``std``, if any.

        Raises:
            WeightsError: They make no sense or contradict the architecture table; as in `from_header`.
        """
        try:
            network = parse_architecture(architecture, nc)
        except WeightsError as error:
            raise WeightsError(
                f"describes a network that cannot be built: {str(error).rstrip('.')}"
            ) from error
        network.require()
        if isinstance(imgsz, bool) or not isinstance(imgsz, int) or not MIN_IMGSZ <= imgsz <= MAX_IMGSZ:
            raise WeightsError(f"has imgsz {shorten(imgsz)}, which is not from {MIN_IMGSZ} to {MAX_IMGSZ}")
        return cls(
            names=class_names(names, network.nc),
            imgsz=imgsz,
            architecture=architecture,
            network=replace(network, normalization=_checked_normalization(normalization)),
            source=source,
            source_sha256=source_sha256,
            library_version=library_version,
        )


def _json(header: Mapping[str, str], name: str) -> Any:
    try:
        return json.loads(header[name])
    except (KeyError, ValueError, RecursionError) as error:
        raise WeightsError(f"has no usable {name!r} in its header") from error


def _checked_normalization(given: Any) -> Normalization | None:
    """Raises WeightsError unless they are three numbers each, and nothing is divided by zero."""
    if given is None:
        return None
    parts = [given.get(name) for name in Normalization._fields] if isinstance(given, Mapping) else []
    vectors = [tuple(part) if isinstance(part, list | tuple) else () for part in parts]
    numbers = [each for vector in vectors for each in vector]
    usual = all(isinstance(each, int | float) and abs(each) <= MAX_NORMALIZATION for each in numbers)
    if [len(each) for each in vectors] != [3, 3] or not usual or min(vectors[1]) < 1 / MAX_NORMALIZATION:
        raise WeightsError(f"normalises images by {shorten(given)}, not by the mean and deviation of R, G, B")
    mean, std = (tuple(map(float, vector)) for vector in vectors)
    return Normalization(mean, std)


def class_names(names: Any, nc: int) -> dict[int, str]:
    """Class names by id, from a list or a mapping; unprintable characters are replaced.

    Raises:
        WeightsError: They are not exactly ``nc`` strings; as in `ModelMeta.from_header`.
    """
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, Mapping) or len(names) != nc:
        count = len(names) if isinstance(names, Mapping) else "no"
        raise WeightsError(f"has {count} class names for {nc} classes")
    result = {}
    for i in range(nc):
        name = names.get(i, names.get(str(i)))
        if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH:
            raise WeightsError(f"has {shorten(name)} as the name of class {i}")
        result[i] = visible(name)
    return result

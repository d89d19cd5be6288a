"""What a weights file says about its model, besides the tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from yolo_max import __version__
from yolo_max.model.architecture import Architecture, parse_architecture
from yolo_max.support.errors import WeightsError
from yolo_max.support.options import MAX_IMGSZ
from yolo_max.support.text import shorten, visible

FORMAT = "yolo_max"
FORMAT_VERSION = 1
MIN_IMGSZ = 32
MAX_NAME_LENGTH = 256


@dataclass(frozen=True)
class ModelMeta:
    """The header of a weights file.

    Attributes:
        names: Class names by class id, 0 to nc - 1.
        nc: Number of classes.
        reg_max: Bins of the box distribution (DFL) per side.
        strides: Input pixels per cell at each level of the head.
        imgsz: Side of the square input the model was trained for, in pixels of the letterboxed image.
        architecture: The checkpoint's own table (its ``yaml``), for
            `yolo_max.model.architecture.parse_architecture`.
        source: File name of the checkpoint the weights were converted from.
        source_sha256: SHA-256 of that file, in hex.
        format_version: Version of this header's layout.
        library_version: The yolo_max that wrote it.
    """

    names: Mapping[int, str]
    nc: int
    reg_max: int
    strides: tuple[int, ...]
    imgsz: int
    architecture: Mapping[str, Any]
    source: str
    source_sha256: str
    format_version: int = FORMAT_VERSION
    library_version: str = __version__

    def network(self) -> Architecture:
        """The architecture table, resolved."""
        return parse_architecture(self.architecture, self.nc)

    def to_header(self) -> dict[str, str]:
        """The header as safetensors metadata: strings, JSON where the value is more than that."""
        return {
            "format": FORMAT,
            "format_version": str(self.format_version),
            "library_version": self.library_version,
            "source": self.source,
            "source_sha256": self.source_sha256,
            "nc": str(self.nc),
            "reg_max": str(self.reg_max),
            "strides": json.dumps(self.strides),
            "imgsz": str(self.imgsz),
            "names": json.dumps(self.names, ensure_ascii=False),
            "architecture": json.dumps(self.architecture, ensure_ascii=False),
        }

    @classmethod
    def from_header(cls, header: Mapping[str, str]) -> ModelMeta:
        """Reads and checks what `to_header` wrote.

        Raises:
            WeightsError: A key is missing, makes no sense, or contradicts the architecture table. The
                message is a sentence without its subject, "is not ...": the caller puts the file's name
                before it.
        """
        if header.get("format") != FORMAT:
            raise WeightsError(
                "is a safetensors file without yolo_max's header; make one from a YOLOv8 .pt checkpoint by "
                "`yolo-max weights convert`"
            )
        version = header.get("format_version")
        if version != str(FORMAT_VERSION):
            raise WeightsError(
                f"has format version {shorten(version)}, but this yolo_max {__version__} reads version "
                f"{FORMAT_VERSION}; convert the checkpoint again or install the yolo_max that wrote it"
            )
        values: dict[str, Any] = {"strides": None, "names": None, "architecture": None}
        for key in ("nc", "reg_max", "imgsz", *values):
            try:
                values[key] = json.loads(header[key])
            except (KeyError, ValueError, RecursionError) as error:
                raise WeightsError(f"has no usable {key!r} in its header") from error
        return cls.checked(
            **values,
            source=visible(header.get("source", "")),
            source_sha256=visible(header.get("source_sha256", "")),
            library_version=visible(header.get("library_version", "")),
        )

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
        reg_max: Any = None,
        strides: Any = None,
        library_version: str = __version__,
    ) -> ModelMeta:
        """Builds a header from untrusted values; where reg_max and strides are absent they are the table's.

        Raises:
            WeightsError: They make no sense or contradict the architecture table; the subject is left out,
                as in `from_header`.
        """
        try:
            network = parse_architecture(architecture, nc)
        except WeightsError as error:
            raise WeightsError(
                f"describes a network that cannot be built: {str(error).rstrip('.')}"
            ) from error
        network.require()
        if reg_max not in (None, network.reg_max):
            raise WeightsError(
                f"has reg_max {shorten(reg_max)}, but its architecture table says {network.reg_max}"
            )
        if strides is not None and strides != list(network.strides):
            raise WeightsError(
                f"has strides {shorten(strides)}, but its architecture table comes to {list(network.strides)}"
            )
        if isinstance(imgsz, bool) or not isinstance(imgsz, int) or not MIN_IMGSZ <= imgsz <= MAX_IMGSZ:
            raise WeightsError(f"has imgsz {shorten(imgsz)}, which is not from {MIN_IMGSZ} to {MAX_IMGSZ}")
        return cls(
            names=class_names(names, network.nc),
            nc=network.nc,
            reg_max=network.reg_max,
            strides=network.strides,
            imgsz=imgsz,
            architecture=architecture,
            source=source,
            source_sha256=source_sha256,
            library_version=library_version,
        )


def class_names(names: Any, nc: int) -> dict[int, str]:
    """Class names by id, from a list or a mapping; unprintable characters are replaced.

    Raises:
        WeightsError: They are not exactly ``nc`` strings; the subject is left out, as in
            `ModelMeta.from_header`.
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

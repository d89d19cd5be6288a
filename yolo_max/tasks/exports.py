"""What predictions of every task can be turned into: tables, JSON, COCO's form, supervision's classes."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from yolo_max.support.errors import UsageError
from yolo_max.support.extras import require
from yolo_max.support.option import a_switch
from yolo_max.support.text import shorten

LIBRARIES = {"polars": "df", "pandas": "pandas"}
"""Those that have a table, and the extras that install them."""
ROWS_SHOWN = 20
"""How many things a notebook lists."""


class Exports(ABC):
    """A prediction that can be handed on; `summary` has the words of Ultralytics' ``Results.summary``."""

    @abstractmethod
    def summary(self, normalize: bool = False, decimals: int = 5) -> list[dict[str, Any]]:
        """What was found, as plain JSON types with Ultralytics' names.

        Args:
            normalize: Whether coordinates are fractions of the image's width and height, not pixels.
            decimals: To how many decimals numbers are rounded; `to_dict` has all of them.

        Returns:
            ``{"name", "class", "confidence"}`` for each thing, most confident first; of objects also "box",
            its corners ``{"x1", "y1", "x2", "y2"}`` (of rotated ones to "x4", "y4"), "track_id" if it is
            tracked, and what the task adds: "segments" ``{"x": [...], "y": [...]}``, "keypoints"
            ``{"x": [...], "y": [...], "visible": [...]}``.
        """

    @abstractmethod
    def to_coco(
        self, image_id: int | str = 0, categories: Mapping[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """What was found in COCO's form of results, as pycocotools' ``loadRes`` takes it.

        Args:
            image_id: The image's id.
            categories: The dataset's category of each class id; by default they are the same.

        Returns:
            ``{"image_id", "category_id", "bbox": [left, top, width, height], "score"}`` for each object, in
            pixels, clipped to the image, boxes to a thousandth; and what the task adds: "segmentation" (run
            lengths of the image's size), "keypoints", or "rbox" and "poly".

        Raises:
            UsageError: COCO has no such form.
        """

    @abstractmethod
    def to_supervision(self) -> Any:
        """What was found as Roboflow's supervision has it.

        Returns:
            ``supervision.Detections``, of poses ``supervision.KeyPoints``, of a classification
            ``supervision.Classifications``.

        Raises:
            EngineError: The package is not installed.
        """

    def to_json(self, normalize: bool = False, decimals: int = 5) -> str:
        """`summary` as JSON, in ASCII."""
        return json.dumps(self.summary(normalize, decimals))

    def to_df(self, normalize: bool = False, decimals: int = 5, *, library: str = "polars") -> Any:
        """`summary` as a table, one row for each thing.

        Args:
            normalize: As for `summary`.
            decimals: As for `summary`.
            library: "polars", as in Ultralytics, or "pandas".

        Returns:
            A ``polars.DataFrame``, in which boxes are structs, or a ``pandas.DataFrame``, in which they are
            dicts. Where nothing was found it has no rows, but all columns.

        Raises:
            EngineError: It is not installed.
            UsageError: There is no such library, or ``normalize`` is one.
        """
        a_switch("normalize", normalize)
        if library not in LIBRARIES:
            raise UsageError(f"library is {shorten(library)}, but it must be {' or '.join(LIBRARIES)}.")
        rows = self.summary(normalize, decimals)
        table = require(library, LIBRARIES[library], "to_df").DataFrame(rows or [self._blank_row()])
        return table if rows else table.head(0)

    @abstractmethod
    def _blank_row(self) -> dict[str, Any]:
        """A row of no object, with the keys and types that `summary` has."""

    def _repr_html_(self) -> str | None:
        """The table that a notebook shows."""
        rows = self.summary(decimals=2)
        lines = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(row))}</tr>" for row in rows]
        if len(lines) > ROWS_SHOWN:
            lines[ROWS_SHOWN:] = [f"<tr><td colspan=3>{len(lines) - ROWS_SHOWN} more</td></tr>"]
        head = "<tr><th>class</th><th>confidence</th><th>box</th></tr>" if rows else ""
        return f"<p>{escape(str(self))}</p><table>{head}{''.join(lines)}</table>"


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    track = f"id:{row['track_id']} " if "track_id" in row else ""
    yield f"{track}{row['name']}"
    yield f"{row['confidence']:.2f}"
    yield ", ".join(f"{side:g}" for side in row.get("box", {}).values())

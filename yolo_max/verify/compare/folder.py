"""The output folder of a comparison: side-by-side images, ``compare.json`` and ``report.html``."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from yolo_max.images.read import read_image
from yolo_max.images.source import SourceImage
from yolo_max.output.encode import write_image
from yolo_max.predict.folder.previous_run import is_free, require_no_file
from yolo_max.runtime import host
from yolo_max.support.atomic import cannot_write, write_atomically
from yolo_max.support.errors import ImageError, OutputError
from yolo_max.support.result_names import COMPARISON_FILE, REPORT_FILE
from yolo_max.verify.compare.comparison import Comparison, ImageComparison, Settings
from yolo_max.verify.compare.report import Picture, render
from yolo_max.verify.compare.side_by_side import side_by_side, thumbnail

IMAGES_FOLDER = "images"
THUMBNAILS = 100
"""How many of the worst images the report itself shows."""


class ComparisonFolder:
    """Receives each image as it is compared, then the whole comparison; a context manager.

    Where it is left before the comparison is finished, it takes back what it wrote.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path, images: Iterable[SourceImage], *, save_images: bool = True) -> None:
        """Creates the folder, and deletes the results of an earlier comparison in it.

        Args:
            path: The folder.
            images: The images, each with its place in the image tree.
            save_images: Whether to write side-by-side images.

        Raises:
            OutputError: A result would overwrite another file, or the folder cannot be written.
        """
        self.path = path
        self._places = {str(image.path): Path(IMAGES_FOLDER) / image.annotated for image in images}
        self._save_images = save_images
        self._saved: set[str] = set()
        self._finished = False
        self._made = not path.exists()
        earlier = results_of(path)
        planned = [*(self._places.values() if save_images else ()), REPORT_FILE, COMPARISON_FILE]
        for target in (path / each for each in planned):
            if os.path.lexists(target) and target.relative_to(path).as_posix() not in earlier:
                raise OutputError(
                    f"{target} is not a result of an earlier comparison and would be overwritten; "
                    "choose another folder with --out."
                )
        try:
            path.mkdir(parents=True, exist_ok=True)
            for each in earlier:
                (path / each).unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(path, error) from error

    def add(self, image: ImageComparison) -> None:
        """Writes the side-by-side image of one comparison.

        Raises:
            OutputError: It cannot be written.
        """
        if not self._save_images:
            return
        try:
            picture = side_by_side(read_image(image.path), image)
            write_image(self.path / self._places[image.path], picture)
        except ImageError:
            return  # deleted since, or too wide for its format; its figures remain
        self._saved.add(image.path)

    def finish(
        self, comparison: Comparison, warnings: Sequence[str] = ()
    ) -> tuple[dict[str, Any], list[Path]]:
        """Writes ``compare.json`` and ``report.html``.

        Args:
            comparison: The whole comparison.
            warnings: Sentences about what casts doubt on it.

        Returns:
            The content of ``compare.json``, and the paths of both files.

        Raises:
            OutputError: A file cannot be written.
        """
        facts = host.record()
        record = _finite({**to_record(comparison, facts), "warnings": list(warnings)})
        for image in record["images"]:
            image["picture"] = self._picture_file(image["path"])
        pictures = {image.path: self._picture(image, False) for image in comparison.images}
        for image in comparison.worst_first()[:THUMBNAILS]:
            pictures[image.path] = self._picture(image, True)
        page = render(comparison, pictures, warnings=warnings, provenance=_provenance(comparison, facts))
        written = [self.path / REPORT_FILE, self.path / COMPARISON_FILE]
        write_atomically(written[0], page.encode("utf-8", "backslashreplace"))
        write_atomically(written[1], json.dumps(record, indent=1, allow_nan=False).encode())
        self._finished = True
        return record, written

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._finished:
            return
        folders = {self.path} if self._made else set()
        for place in (Path(REPORT_FILE), *(self._places.values() if self._save_images else ())):
            folders |= {self.path / folder for folder in place.parents if folder != Path()}
            with suppress(OSError):
                (self.path / place).unlink(missing_ok=True)
        for folder in sorted(folders, reverse=True):  # what is deeper comes first
            with suppress(OSError):  # it holds something else
                folder.rmdir()

    def _picture(self, image: ImageComparison, with_thumbnail: bool) -> Picture:
        file = self._picture_file(image.path)
        if not with_thumbnail:
            return Picture(file, None)
        try:
            return Picture(file, thumbnail(side_by_side(read_image(image.path), image)))
        except ImageError:
            return Picture(file, None)

    def _picture_file(self, image: str) -> str | None:
        return self._places[image].as_posix() if image in self._saved else None


def require_empty_or_allowed(folder: Path, *, overwrite: bool) -> None:
    """Refuses an output folder that is not empty, unless it may be overwritten.

    Raises:
        OutputError: It is not empty, not a folder, or cannot be listed.
    """
    require_no_file(folder)
    try:
        harmless = overwrite or is_free(folder)
    except OSError as error:
        raise cannot_write(folder, error) from error
    if not harmless:
        raise OutputError(
            f"{folder} is not empty; choose another folder with --out, or use --overwrite to replace the "
            "results of the comparison in it."
        )


def results_of(folder: Path) -> set[str]:
    """The files of the comparison in a folder, relative to it; none if there is no comparison."""
    try:
        record = json.loads((folder / COMPARISON_FILE).read_bytes())
        if not {"verdict", "baseline", "engines"} <= record.keys():  # COCO's annotations have "images" too
            return set()
        pictures = {str(image["picture"]) for image in record["images"] if image.get("picture")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()
    root = folder.resolve()
    inside = {
        each for each in pictures if "\0" not in each and (root / each).parent.resolve().is_relative_to(root)
    }
    return inside | {COMPARISON_FILE, REPORT_FILE}


def to_record(comparison: Comparison, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison in plain JSON types.

    Args:
        comparison: The comparison.
        facts: The host record, from `yolo_max.runtime.host.record`.
    """
    settings = comparison.settings
    return {
        "verdict": _verdict(comparison),
        "baseline": settings.baseline,
        "weights": {"path": str(settings.weights.path), "sha256": settings.weights.file_sha256},
        "options": {"imgsz": list(settings.canvas_size), **settings.decoder.settings()},
        "engines": {engine: dict(info) for engine, info in comparison.info.items()},
        "counts": comparison.counts(),
        "distributions": comparison.distributions(),
        "speed": comparison.speed(),
        "layers": [
            {
                "name": layer.name,
                "difference": layer.difference,
                "bound": layer.bound,
                "magnitude": layer.magnitude,
                "times_torch_distance_from_float64": layer.ratio,
                "holds": layer.verdict.holds,
            }
            for layer in comparison.layers
        ],
        "images": [_image(image, settings) for image in comparison.worst_first()],
        "unreadable": dict(comparison.unreadable),
        "host": {name: facts[name] for name in ("cpu", "available_cpus", "python", "packages", "command")},
    }


def _image(image: ImageComparison, settings: Settings) -> dict[str, Any]:
    difference, listed = image.difference, settings.judge.listed
    alone = [
        [{**things[i], "excused": bool(excused[i])} for i in indices.tolist()]
        for things, indices, excused in zip(
            (each.to_dict()[listed] for each in (image.ours, image.reference)),
            difference.alone,
            difference.excused,
            strict=True,
        )
    ]
    return {
        "path": image.path,
        "verdict": _verdict(image),
        "matched": len(difference.pairs[0]),
        **difference.same,
        **difference.record,
        "only_max": alone[0],
        f"only_{settings.baseline}": alone[1],
        settings.weights.meta.network.outputs[0]: image.raw and image.raw.to_dict(),
        "times_ms": {engine: dict(times) for engine, times in image.times_ms.items()},
    }


def _finite(value: Any) -> Any:
    """The value with None for numbers that are not finite, which JSON lacks."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _verdict(compared: Comparison | ImageComparison) -> dict[str, Any]:
    verdict = compared.verdict
    return {
        "holds": verdict.holds if compared.is_judged else None,
        "failures": list(verdict.failures),
    }


def _provenance(comparison: Comparison, facts: Mapping[str, Any]) -> dict[str, str]:
    packages = {name: version for name, version in facts["packages"].items() if version}
    return {
        "command": shlex.join(facts["command"]),
        "weights": f"{comparison.settings.weights.path}, sha256 {comparison.settings.weights.file_sha256}",
        "versions": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "machine": f"{facts['cpu']}, {facts['available_cpus']} CPUs, Python {facts['python']}",
    }

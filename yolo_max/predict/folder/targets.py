"""Where the files of a run go, and what they must not replace."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from yolo_max.images.source import Source, SourceImage, SourceVideo
from yolo_max.output.crops import folder_of
from yolo_max.predict.folder.crop_names import CropNames
from yolo_max.predict.folder.previous_run import holds_file, read_run, results_of
from yolo_max.predict.folder.saving import LABELS_FOLDER
from yolo_max.support.atomic import TEMPORARY_PREFIX
from yolo_max.support.errors import OutputError, UsageError
from yolo_max.support.options import SaveOptions
from yolo_max.support.result_names import MANIFEST_FILE


def _folders(sources: Iterable[Source], out: Path, names: CropNames, cropped: Collection[str]) -> set[Path]:
    """The folders of the results; ``cropped`` are the classes of crops."""
    folders = set()
    roots = [LABELS_FOLDER, names.thumbnails, *(names.folder / folder_of(each) for each in cropped)]
    for source in sources:
        places = [source.annotated, *(root / source.labels for root in roots)]
        if isinstance(source, SourceVideo):
            places.append(source.frames / "1.jpg")
        folders |= {out / place.parent for place in places}
    return folders


def remove_remnants(sources: Iterable[Source], out: Path, names: CropNames, cropped: Collection[str]) -> None:
    """Removes the partial files that a killed process left."""
    for folder in _folders(sources, out, names, cropped):
        with suppress(OSError):  # there may be no such folder, nor any of so long a name
            for remnant in folder.glob(f"{TEMPORARY_PREFIX}*"):
                remnant.unlink(missing_ok=True)


def targets(sources: Iterable[Source], names: CropNames, saving: SaveOptions) -> Iterator[Path]:
    """The paths of the sources' files relative to the output folder, without those of frames and crops."""
    for source in sources:
        if saving.save:
            yield source.annotated
        if saving.labels and isinstance(source, SourceImage):
            yield LABELS_FOLDER / source.labels
        if saving.gallery and isinstance(source, SourceImage):
            yield names.thumbnail(source, None)


def require_no_target_is_foreign(places: Iterable[str], out: Path) -> None:
    """Refuses to overwrite files that no run lists.

    Raises:
        OutputError: There is such a file in place of a result.
    """
    own = results_of(out) | ({out / MANIFEST_FILE} if read_run(out) else set())
    for target in (out / name for name in (*places, MANIFEST_FILE)):
        if target not in own and holds_file(target):
            raise OutputError(
                f"{target} is not a result of an earlier run, and would be overwritten; choose another "
                "folder with --out."
            )


def require_no_target_is_a_source(found: Collection[Source], out: Path) -> None:
    """Refuses to overwrite a source, whatever path or mount leads to it.

    Raises:
        UsageError: An annotated image or video would replace its source or another.
    """

    @cache
    def identity(folder: Path) -> tuple[int, int] | Path:
        try:
            status = folder.stat()
        except OSError:
            return folder
        return status.st_dev, status.st_ino

    sources = {(identity(image.path.parent), image.path.name) for image in found}
    for image in found:
        target = out / image.annotated
        if (identity(target.parent), target.name) in sources:
            raise UsageError(
                f"{target} is a source, and would be overwritten; choose another folder with --out."
            )

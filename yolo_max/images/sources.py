"""Finding images: files, folders and globs, one after another and in the same order every time.

Nothing is lost on the way: a folder that cannot be read is reported in its place. Nothing is found twice, no
loop of links is walked, and the output folder is never a source. Each image gets its own place in the output
tree, on file systems that tell case apart and on those that do not.
"""

from __future__ import annotations

import glob
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path

from yolo_max.support.errors import SourceError
from yolo_max.support.result_names import (
    COMPARISON_FILE,
    MANIFEST_FILE,
    REPORT_FILE,
    RUN_FILE,
    annotated_name,
)

IMAGE_SUFFIXES = frozenset(
    (
        ".avif",
        ".bmp",
        ".gif",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".mpo",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    )
)
"""Of the files that are taken from a folder, in any case. A file that is named itself is always tried."""
_VIDEO_SUFFIXES = frozenset(
    (".asf", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm", ".wmv")
)
_STREAMS = ("rtmp", "rtsp", "rtsps", "srt", "tcp", "udp")


@dataclass(frozen=True)
class SourceImage:
    """One image to be read.

    Attributes:
        path: Where it is, as the user named it or its folder.
        annotated: The place of its annotated image in the output tree: the path below the folder it was found
            in, in a format that can be written. Its own among all images, even where case does not count.
        labels: The place of its ``.txt`` in a tree of labels; its own among all images as well.
    """

    path: Path
    annotated: Path
    labels: Path


@dataclass(frozen=True)
class SourceFailure:
    """A folder that could not be read, so that images may be missing.

    Attributes:
        path: The folder.
        reason: What is wrong with it.
    """

    path: Path
    reason: str


def find_images(
    sources: Sequence[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    exclude: str | os.PathLike[str] | None = None,
) -> Iterator[SourceImage | SourceFailure]:
    """Finds the images of some files, folders and globs, lazily.

    Of a folder the images right in it are taken, by name; then, if asked for, those of its subfolders, links
    to folders included. Hidden files and folders are passed over, unless they are named, and so are the
    results of earlier runs (a ``run.json`` beside a ``predictions.jsonl``) and comparisons (a
    ``compare.json`` beside a ``report.html``). Of a glob (``*``, ``?``, ``[abc]``, and ``**`` for any folders
    but links) the images are taken that it matches, and the folders as if they were named.

    Args:
        sources: Paths or globs. What exists under a name is never taken for a glob.
        recursive: Whether to look into subfolders.
        exclude: A folder whose content is no source: the one that results are written to.

    Yields:
        The images and the folders that cannot be read, each once.

    Raises:
        SourceError: A source does not exist (raised at once), or there is no image at all (at the end).
    """
    named = [os.fspath(source) for source in sources]
    for source in named:
        if not source:
            raise SourceError("a source is empty; name images or folders.")
        if reason := _no_source(source):
            raise SourceError(f"{source} {reason}.")
    missing = [source for source in named if not os.path.lexists(source) and not glob.has_magic(source)]
    if missing:
        raise SourceError(f"{', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not exist.")
    walk = _Walk(recursive, os.path.realpath(exclude) if exclude is not None else None)
    # Folders that are named side by side keep their names in the output tree; a single one is its root.
    several = sum(Path(source).is_dir() for source in named) > 1
    return _never_empty(chain.from_iterable(walk.source(source, several) for source in named), named, walk)


def _no_source(source: str) -> str | None:
    """What a source is that people may expect to work, and what to do; None for what may be images."""
    if Path(source).suffix.lower() in _VIDEO_SUFFIXES and "://" not in source and not Path(source).is_dir():
        return (
            "is a video, and only images are read; cut it into images first, for instance with "
            f"ffmpeg -i {shlex.quote(source)} %06d.png"
        )
    if os.path.exists(source):  # noqa: PTH110  (a Path would raise for some names that are no paths)
        regular = os.path.isfile(source) or os.path.isdir(source)  # noqa: PTH112, PTH113
        if not regular:
            return "is a pipe or a device; images are read from files, so name one"
        if _is_list(source):
            return f"is a list of images; give them as sources, as in $(cat {shlex.quote(source)})"
        return None
    scheme, separator, _ = source.partition("://")
    if separator:
        if scheme.lower() in _STREAMS:
            return "is a stream, and only images are read; save some of its frames as images first"
        return "is an address; files and folders can be read, so download it first"
    if source.isdecimal():
        return "would be a webcam, and only images are read; save some of its frames as images first"
    if source == "-":
        return "would be the standard input; images are read from files, so name one"
    return None


def _is_list(source: str) -> bool:
    """Whether this is a text file with a path an image a line, as `yolo` takes it."""
    if not source.lower().endswith(".txt"):
        return False
    try:
        with open(source, encoding="utf-8-sig") as lines:  # noqa: PTH123
            return _is_image(Path(lines.readline(4096).strip()))
    except (OSError, ValueError):
        return False


def _never_empty(
    found: Iterator[SourceImage | SourceFailure], sources: list[str], walk: _Walk
) -> Iterator[SourceImage | SourceFailure]:
    empty = True
    failures = set()
    for item in found:
        empty = False
        if item not in failures:
            yield item
        if isinstance(item, SourceFailure):  # the parts of a glob may meet the same folder
            failures.add(item)
    if empty:
        hint = "images are files with one of the suffixes " + " ".join(sorted(IMAGE_SUFFIXES))
        if walk.passed_subfolders:
            hint = "there are subfolders, which --recursive looks into"
        if walk.passed_output:
            hint = "the output folder is never a source"
        elif walk.passed_results:
            hint = "the results of earlier runs are no sources, unless their folder is named"
        raise SourceError(f"there is no image in {', '.join(sources) or 'no source'}; {hint}.")


@dataclass
class _Walk:
    recursive: bool
    exclude: str | None
    passed_subfolders: bool = False
    passed_output: bool = False
    passed_results: bool = False
    folders: set[tuple[int, int]] = field(default_factory=set)  # walked, by device and inode
    files: set[tuple[str, str]] = field(default_factory=set)  # found, by true folder and name
    places: set[str] = field(default_factory=set)  # taken in the output tree, case-folded

    def source(self, source: str, several: bool) -> Iterator[SourceImage | SourceFailure]:
        path = Path(source)
        if path.is_dir():
            yield from self.folder(path, Path(Path(os.path.realpath(path)).name if several else ""))
        elif os.path.lexists(path):
            yield from self.file(path, Path())
        else:
            # A pattern that spells its suffix out means those files, whatever the suffix.
            any_suffix = bool(path.suffix) and not glob.has_magic(path.suffix)
            fixed = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
            base = Path(*path.parts[:fixed])
            for match in self.glob(base, path.parts[fixed:]):
                if isinstance(match, SourceFailure):
                    yield match
                elif _is_folder(match):
                    yield from self.folder(match, match.relative_to(base))
                elif any_suffix or _is_image(match):
                    yield from self.file(match, match.relative_to(base).parent)

    def folder(self, root: Path, place: Path) -> Iterator[SourceImage | SourceFailure]:
        """The images of a folder, which go to ``place`` in the output tree."""
        waiting = [
            (root, os.path.realpath(root))
        ]  # and no recursion: folders may be nested deeper than it goes
        while waiting:
            folder, true_folder = waiting.pop()
            if self.is_output(true_folder):
                continue
            try:
                status = folder.stat()
                if (status.st_dev, status.st_ino) in self.folders:
                    continue
                self.folders.add((status.st_dev, status.st_ino))
                visible = [path for path in _sorted(folder) if not path.name.startswith(".")]
                if folder != root and _are_results(visible):
                    self.passed_results = True
                    continue
                subfolders = {
                    path: os.path.realpath(path) if path.is_symlink() else str(Path(true_folder, path.name))
                    for path in visible
                    if path.is_dir()
                }
            except OSError as error:
                yield _failure(folder, error)
                continue
            for path in visible:
                if _is_image(path) and path not in subfolders:
                    yield from self.file(path, place / folder.relative_to(root), true_folder)
            if self.recursive:
                waiting += reversed(subfolders.items())
            elif subfolders:
                self.passed_subfolders = True

    def file(self, path: Path, place: Path, true_folder: str | None = None) -> Iterator[SourceImage]:
        """A file, which goes to the folder ``place`` of the output tree; it may be no image, or no file."""
        true_folder = true_folder or os.path.realpath(path.parent)
        if self.is_output(true_folder) or (true_folder, path.name) in self.files:
            return
        self.files.add((true_folder, path.name))
        annotated = self.claim(place / annotated_name(path.name))
        # Where a.jpg has taken a.txt, a.png gets a.png.txt.
        labels = annotated.with_suffix(".txt")
        if _key(labels) in self.places:
            labels = annotated.with_name(f"{annotated.name}.txt")
        yield SourceImage(path, annotated, self.claim(labels))

    def claim(self, place: Path) -> Path:
        """Takes a place in the output tree, or the next one to it that is free."""
        free, number = place, 1
        while _key(free) in self.places:
            number += 1
            free = place.with_name(f"{place.stem}_{number}{place.suffix}")
        self.places.add(_key(free))
        return free

    def is_output(self, true_folder: str) -> bool:
        if self.exclude is None or not Path(true_folder).is_relative_to(self.exclude):
            return False
        self.passed_output = True
        return True

    def glob(self, folder: Path, parts: Sequence[str]) -> Iterator[Path | SourceFailure]:
        """What matches a pattern below a folder; unlike `glob.glob`, it tells what it could not read."""
        part, rest = parts[0], parts[1:]
        if part == "**":
            matches = self.tree(folder)
        elif glob.has_magic(part):
            matches = _matching(folder, part)
        else:
            matches = iter([folder / part] if os.path.lexists(folder / part) else [])
        for match in matches:
            if rest and isinstance(match, Path):
                yield from self.glob(match, rest)
            else:
                yield match

    def tree(self, root: Path) -> Iterator[Path | SourceFailure]:
        """A folder and all folders below it that are neither hidden nor links, nor results."""
        waiting: list[Path | SourceFailure] = [root]
        while waiting:
            folder = waiting.pop()
            if isinstance(folder, SourceFailure):
                yield folder
                continue
            inside = list(_matching(folder, "*"))
            if folder != root and _are_results(inside):
                self.passed_results = True
                continue
            yield folder
            waiting += [
                entry
                for entry in reversed(inside)
                if isinstance(entry, SourceFailure) or (_is_folder(entry) and not entry.is_symlink())
            ]


def _matching(folder: Path, pattern: str) -> Iterator[Path | SourceFailure]:
    """The entries of a folder with matching names; hidden ones if the pattern begins with a dot."""
    if not folder.is_dir():
        return
    try:
        entries = _sorted(folder)
    except OSError as error:
        yield _failure(folder, error)
        return
    for path in entries:
        if fnmatchcase(path.name, pattern) and (pattern.startswith(".") or not path.name.startswith(".")):
            yield path


def _sorted(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: os.fsencode(path.name))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # in a folder that may be listed, but not entered
        return False


def _are_results(inside: Sequence[Path | SourceFailure]) -> bool:
    """Whether a folder that holds this was written by a run, or by a comparison."""
    names = {entry.name for entry in inside if isinstance(entry, Path)}
    return {RUN_FILE, MANIFEST_FILE} <= names or {COMPARISON_FILE, REPORT_FILE} <= names


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _key(place: Path) -> str:
    return str(place).casefold()


def _failure(folder: Path, error: OSError) -> SourceFailure:
    return SourceFailure(folder, f"it cannot be read ({error.strerror or error})")

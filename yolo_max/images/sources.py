"""Finding images: files, folders and globs, one after another and in the same order every time.

A folder that cannot be read is reported in its place. Nothing is found twice, loops of links are walked once,
and the output folder is never a source.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from yolo_max.images.addresses import file_name, is_address, is_image_address, is_webcam
from yolo_max.images.folders import are_results, identity, in_order, is_folder, is_listed_folder
from yolo_max.images.globs import RESULTS, matches
from yolo_max.images.lists import STDIN, STREAMS_SUFFIX, is_list, read_list, read_stdin
from yolo_max.images.places import Places
from yolo_max.images.source import (
    Found,
    Source,
    SourceFailure,
    SourceImage,
    SourceSkipped,
    SourceVideo,
    failure,
)
from yolo_max.images.suffixes import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_image, is_video, why_not_read
from yolo_max.images.unsupported import unsupported
from yolo_max.support.errors import ImageError, SourceError


def find_images(
    sources: Sequence[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    exclude: str | os.PathLike[str] | None = None,
    videos: bool = False,
    stdin: BinaryIO | None = None,
    remote: bool = False,
    places: Places | None = None,
) -> Iterator[Found]:
    """Finds the images of some files, folders, globs and lists of these, lazily.

    A folder gives the images directly in it, by name; then, if ``recursive``, those of its subfolders and of
    links to folders. Unless named, these are left out: hidden files and folders, and the results of earlier
    runs (a ``run.json`` beside a ``predictions.jsonl``) and comparisons (a ``compare.json`` beside a
    ``report.html``). A glob (``*``, ``?``, ``[abc]``, and ``**`` for any folders except links) gives the
    images that it matches, and the folders that it matches as if they were named.

    Args:
        sources: Paths or globs. A name that exists is never a glob.
        recursive: Whether to look into subfolders.
        exclude: The output folder; nothing in it is a source.
        videos: Whether videos are read as well, where PyAV is installed.
        stdin: What ``-`` means.
        remote: Whether addresses on the network are read.
        places: Those that are taken in the output tree, where others write to it too; more are, afterwards.

    Yields:
        The images and the folders that cannot be read, each once; at the end what is skipped: videos, images
        of other formats, results, and subfolders unless ``recursive``.

    Raises:
        SourceError: A source does not exist or is a list that cannot be read (raised at once), or there is no
            image at all (at the end).
    """
    named = [os.fspath(source) for source in sources]
    listed: dict[str, list[str]] = {}
    for source in named:
        if not source:
            raise SourceError("a source is empty; name images or folders.")
        if (source == STDIN and stdin is not None) or (videos and is_webcam(source)):
            continue
        if remote and is_address(source):
            continue
        if is_list(source):
            listed[source] = read_list(source)
        elif reason := unsupported(source, videos=videos):
            raise SourceError(f"{source} {reason}.")
    missing = [
        source
        for source in named
        if source != STDIN
        and not is_address(source)
        and not is_webcam(source)
        and not os.path.lexists(source)
        and not glob.has_magic(source)
    ]
    if missing:
        raise SourceError(f"{', '.join(missing)} {'does' if len(missing) == 1 else 'do'} not exist.")
    exclude = os.path.realpath(exclude) if exclude is not None else None
    walk = _Walk(places or Places(), recursive, exclude, videos, remote)
    # Several named folders keep their names in the output tree; a single one is its root.
    every = [entry for source in named for entry in listed.get(source, [source])]
    several = sum(is_folder(Path(source)) for source in every) > 1

    def found() -> Iterator[Source | SourceFailure]:
        for source in named:
            if source == STDIN and stdin is not None:
                yield from walk.piped(read_stdin(stdin), several)
            elif source in listed:
                streams = source.lower().endswith(STREAMS_SUFFIX)
                entries = walk.entries(listed[source], several, webcams=streams and videos)
                yield from _together(entries, source) if streams else entries
            else:
                yield from walk.source(source, several)

    return _never_empty(found(), named, walk)


def _together(found: Iterator[Source | SourceFailure], streams: str) -> Iterator[Source | SourceFailure]:
    """The streams of a list one behind the other, after all else: one that does not end holds up no other."""
    videos = []
    for item in found:
        if isinstance(item, SourceVideo):
            videos.append(replace(item, streams=streams))
        else:
            yield item
    yield from videos


def _never_empty(found: Iterator[Source | SourceFailure], sources: list[str], walk: _Walk) -> Iterator[Found]:
    empty = True
    failures = set()
    for item in found:
        empty = False
        if item not in failures:
            yield item
        if isinstance(item, SourceFailure):  # a glob may meet the same folder twice
            failures.add(item)
    skipped = list(walk.skipped())
    if empty:
        hint = "images are files with one of the suffixes " + " ".join(sorted(IMAGE_SUFFIXES))
        if walk.videos:
            hint += ", videos with one of " + " ".join(sorted(VIDEO_SUFFIXES))
        if walk.passed_output:
            hint = "the output folder is never a source"
        elif skipped:
            hint = skipped[0].reason
        raise SourceError(f"there is no image in {', '.join(sources) or 'no source'}; {hint}.")
    yield from skipped


_SUBFOLDERS = "subfolders are read only with --recursive"


@dataclass
class _Walk:
    places: Places
    recursive: bool
    exclude: str | None
    videos: bool
    remote: bool
    passed_output: bool = False
    folders: set[tuple[int, int]] = field(default_factory=set)  # walked, by device and inode
    files: set[tuple[str, str]] = field(default_factory=set)  # found, by true folder and name
    left_out: dict[tuple[str, str], SourceSkipped] = field(default_factory=dict)  # like files

    def source(self, source: str, several: bool) -> Iterator[Source | SourceFailure]:
        path = Path(source)
        if is_address(source) or is_webcam(source):
            yield from self.address(source)
        elif is_folder(path):
            yield from self.folder(path, Path(Path(os.path.realpath(path)).name if several else ""))
        elif os.path.lexists(path):
            yield from self.file(path, Path())
        else:
            # A pattern with a literal suffix means those files, whatever the suffix.
            any_suffix = bool(path.suffix) and not glob.has_magic(path.suffix)
            fixed = next(i for i, part in enumerate(path.parts) if glob.has_magic(part))
            base = Path(*path.parts[:fixed])
            for match in matches(base, path.parts[fixed:]):
                if isinstance(match, SourceFailure):
                    yield match
                elif isinstance(match, SourceSkipped):
                    self.skip(Path(match.path), match.reason)
                elif is_folder(match):
                    yield from self.folder(match, match.relative_to(base), named="**" not in path.parts)
                elif any_suffix or is_image(match) or self.reads_as_video(match):
                    yield from self.file(match, match.relative_to(base).parent)
                else:
                    self.skip(match, why_not_read(match, videos=self.videos))

    def entries(
        self, entries: Iterable[str], several: bool, *, webcams: bool = False
    ) -> Iterator[Source | SourceFailure]:
        """The sources in a list; one that does not exist costs itself."""
        for entry in entries:
            if is_address(entry) and not self.remote:
                yield SourceFailure(entry, "it is an address, which is read only with --allow-remote")
            elif webcams and is_webcam(entry):
                yield from self.address(entry)
            elif os.path.lexists(entry) or glob.has_magic(entry) or is_address(entry):
                yield from self.source(entry, several)
            else:
                yield SourceFailure(Path(entry), "it does not exist")

    def address(self, source: str) -> Iterator[Source | SourceFailure]:
        """An image, video or stream on the network, or a webcam."""
        try:
            name = file_name(source) if is_address(source) else f"webcam{source}"
            is_picture = is_address(source) and is_image_address(source)
        except ImageError as error:
            yield SourceFailure(source, error.reason)
            return
        if is_picture:
            yield SourceImage(Path(name), *self.places.claim(Path(), name), address=source)
        else:
            yield SourceVideo(Path(name), *self.places.claim_video(Path(), name), address=source)

    def piped(self, content: bytes | list[str], several: bool) -> Iterator[Source | SourceFailure]:
        """What came through the standard input."""
        if isinstance(content, bytes):
            yield SourceImage(Path(STDIN), *self.places.claim(Path(), "stdin.png"), content)
        else:
            yield from self.entries(content, several)

    def folder(self, root: Path, place: Path, *, named: bool = True) -> Iterator[Source | SourceFailure]:
        """The images of a folder, which go to ``place`` in the output tree; results only if it is named."""
        # A stack, since folders may be nested deeper than Python recurses.
        waiting = [(root, os.path.realpath(root))]
        while waiting:
            folder, true_folder = waiting.pop()
            if self.is_output(true_folder):
                continue
            try:
                its_identity = identity(folder)
                if its_identity in self.folders:
                    continue
                self.folders.add(its_identity)
                visible = [path for path in in_order(folder) if not path.name.startswith(".")]
                if not (named and folder == root) and are_results(visible):
                    self.skip(folder, RESULTS)
                    self.folders.discard(its_identity)  # it may be named as well
                    continue
                subfolders = {
                    path: os.path.realpath(path) if path.is_symlink() else str(Path(true_folder, path.name))
                    for path in visible
                    if is_listed_folder(path)
                }
            except OSError as error:
                yield failure(folder, error)
                continue
            for path in visible:
                if path in subfolders:
                    if not self.recursive and not self.is_output(subfolders[path]):
                        self.skip(path, _SUBFOLDERS)
                elif is_image(path) or self.reads_as_video(path):
                    yield from self.file(path, place / folder.relative_to(root), true_folder)
                else:
                    self.skip(path, why_not_read(path, videos=self.videos))
            if self.recursive:
                waiting += reversed(subfolders.items())

    def file(self, path: Path, place: Path, true_folder: str | None = None) -> Iterator[Source]:
        """A file whose results go to the folder ``place``; whether it is an image, reading will tell."""
        true_folder = true_folder or os.path.realpath(path.parent)
        if self.is_output(true_folder) or (true_folder, path.name) in self.files:
            return
        self.files.add((true_folder, path.name))
        if self.reads_as_video(path):
            yield SourceVideo(path, *self.places.claim_video(place, path.name))
        else:
            yield SourceImage(path, *self.places.claim(place, path.name))

    def reads_as_video(self, path: Path) -> bool:
        return self.videos and is_video(path)

    def skip(self, path: Path, reason: str | None) -> None:
        """Notes what is left out for a reason; None if nobody would expect it to be read."""
        if reason is not None:
            self.left_out.setdefault((os.path.realpath(path.parent), path.name), SourceSkipped(path, reason))

    def skipped(self) -> Iterator[SourceSkipped]:
        """What was left out, and not read in another place either."""
        for key, item in self.left_out.items():
            with suppress(OSError):  # it is gone, or a link to nowhere
                if identity(Path(item.path)) not in self.folders and key not in self.files:
                    yield item

    def is_output(self, true_folder: str) -> bool:
        if self.exclude is None or not Path(true_folder).is_relative_to(self.exclude):
            return False
        self.passed_output = True
        return True

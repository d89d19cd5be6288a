"""What may be found where a user says that images are."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SourceImage:
    """One image to be read.

    Attributes:
        path: Where it is, as the user named it or its folder.
        annotated: Where its annotated image goes, relative to the output tree. Unique among all images, even
            on file systems that ignore case.
        labels: Where its ``.txt`` goes, relative to a tree of labels. Unique likewise.
        data: The file's bytes, if they came through the standard input.
        address: Where it is on the network; ``path`` is then but a name.
    """

    path: Path
    annotated: Path
    labels: Path
    data: bytes | None = field(default=None, repr=False)
    address: str | None = None

    @property
    def name(self) -> str:
        """As the user named it."""
        return self.address or str(self.path)


@dataclass(frozen=True)
class SourceVideo:
    """One video to be read.

    Attributes:
        path: Where it is, as the user named it or its folder.
        annotated: Where its annotated video goes, relative to the output tree.
        frames: The folder of its annotated frames, likewise.
        labels: What ``_1.txt``, ``_2.txt``, ... are added to for its frames, relative to a tree of labels.
        address: Where it is on the network, or the number of a webcam; ``path`` is then but a name.
        streams: The list of streams that it is read with, a frame of each in turn.
    """

    path: Path
    annotated: Path
    frames: Path
    labels: Path
    address: str | None = None
    streams: str | None = None

    @property
    def name(self) -> str:
        """As the user named it."""
        return self.address or str(self.path)


@dataclass(frozen=True)
class SourceFailure:
    """A folder that could not be read, so that images may be missing; or an entry of a list.

    Attributes:
        path: The folder or entry; an address as it is written.
        reason: What is wrong with it.
    """

    path: Path | str
    reason: str


@dataclass(frozen=True)
class SourceSkipped:
    """A file or folder that was found but is not read, although somebody may expect it.

    Attributes:
        path: Where it is; an address as it is written.
        reason: Why, and what to do; the same words for all that are skipped for this reason.
    """

    path: Path | str
    reason: str


Source = SourceImage | SourceVideo
Found = Source | SourceFailure | SourceSkipped


def failure(folder: Path, error: OSError) -> SourceFailure:
    """What a folder is that the system does not let us read."""
    return SourceFailure(folder, f"it cannot be read ({error.strerror or error})")

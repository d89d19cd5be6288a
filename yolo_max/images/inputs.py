"""Whatever a caller gives as a source, as images and frames one after another.

Colour is what Ultralytics takes it to be: an array is BGR, as OpenCV gives it; a PIL image says itself what
it is; a torch tensor is RGB.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from yolo_max.images.frame import Frame, Position
from yolo_max.images.read import ImageSource, bytes_of, is_open_file, read_image
from yolo_max.images.remote import fetch_image
from yolo_max.images.source import SourceFailure, SourceImage, SourceVideo
from yolo_max.images.sources import find_images
from yolo_max.images.together import frames_of, grouped
from yolo_max.images.video import broken
from yolo_max.support.errors import UsageError
from yolo_max.support.options import SourceOptions
from yolo_max.support.text import shorten


@runtime_checkable
class Capture(Protocol):
    """A ``cv2.VideoCapture``, or what behaves like one."""

    def isOpened(self) -> bool:  # noqa: N802
        """Whether there may be frames."""
        ...

    def read(self) -> tuple[bool, NDArray[np.uint8]]:
        """Whether there is another frame, and its BGR pixels."""
        ...


_MILLISECONDS, _FRAME_COUNT = 0, 7
"""What OpenCV calls CAP_PROP_POS_MSEC and CAP_PROP_FRAME_COUNT."""

Input = Any
"""Paths, folders, globs of images and videos; images in memory; a torch tensor; a `Capture`; or several."""


def inputs(source: Input, reading: SourceOptions, *, max_pixels: int) -> Iterator[ImageSource | Frame]:
    """The images and frames of a source, one after another; nothing is read ahead.

    Args:
        source: Text or a path: an image, a video, a folder, a glob, an address; the number of a webcam. The
            bytes of an image file, or one that is open. A PIL image.
            An array: uint8 [H, W, 3] BGR and what else `yolo_max.images.read.read_image` takes, or
            [B, H, W, 3], B images. A torch tensor, as for `images_of_tensor`. A ``cv2.VideoCapture``. A list,
            tuple, generator or other iterable of these.
        reading: How videos are read.
        max_pixels: Larger frames are refused.

    Raises:
        ImageError: It is an open file that `yolo_max.images.read.bytes_of` refuses.
        UsageError: It is none of these.
        SourceError: A path does not exist, or leads to no image or video.
    """
    if isinstance(source, str | os.PathLike):
        yield from _of_path(source, reading, max_pixels)
    elif isinstance(source, int) and not isinstance(source, bool):
        yield from _of_path(str(source), reading, max_pixels)
    elif isinstance(source, bytes | bytearray | memoryview | Image.Image):
        yield bytes(source) if isinstance(source, bytearray | memoryview) else source
    elif isinstance(source, np.ndarray):
        yield from source if source.ndim == 4 else (source,)
    elif hasattr(source, "detach") and hasattr(source, "cpu"):
        yield from images_of_tensor(source)
    elif is_open_file(source):
        yield bytes_of(source)
    elif isinstance(source, Capture):
        yield from frames_of_capture(source, reading.vid_stride)
    elif isinstance(source, Iterable):
        for each in source:
            yield from inputs(each, reading, max_pixels=max_pixels)
    else:
        raise UsageError(f"{shorten(source)} is not a source; give a path, an image, or several.")


def _of_path(path: str | os.PathLike[str], reading: SourceOptions, max_pixels: int) -> Iterator[Any]:
    for group in grouped(find_images([path], videos=True, remote=reading.allow_remote)):
        found = group[0]
        if isinstance(found, SourceImage) and found.address is not None:
            fetch = partial(fetch_image, found.address, private=reading.allow_private, max_pixels=max_pixels)
            yield Frame(found.name, None, fetch)
        elif isinstance(found, SourceImage):
            yield str(found.path)
        elif isinstance(found, SourceFailure):
            yield Frame(str(found.path), None, partial(broken, found.reason))
        elif isinstance(found, SourceVideo):
            videos = [each for each in group if isinstance(each, SourceVideo)]
            with closing(frames_of(videos, reading, max_pixels=max_pixels)) as frames:
                yield from frames


def frames_of_images(images: Iterable[ImageSource | Frame]) -> Iterator[ImageSource | Frame]:
    """Takes images in memory as the frames of one video; files stay what they are."""
    index = 0
    for image in images:
        if isinstance(image, Frame | str | os.PathLike):
            yield image
        else:
            yield Frame("<images>", Position(index, index + 1), partial(read_image, image))
            index += 1


def images_of_tensor(tensor: Any) -> Iterator[NDArray[np.uint8]]:
    """The images of a torch tensor, as Ultralytics takes one.

    Args:
        tensor: [B, 3, H, W] or [3, H, W] **RGB**, in [0, 1]; or integers, or numbers up to 255.

    Yields:
        uint8 [H, W, 3] BGR. (Ultralytics runs a tensor as it stands; here each image goes through the
        letterbox, which changes nothing where it has the size of the network's input.)

    Raises:
        UsageError: It has another shape, or numbers that are no pixels.
    """
    array = np.asarray(tensor.detach().cpu().float().numpy())
    array = array[None] if array.ndim == 3 else array
    if array.ndim != 4 or array.shape[1] != 3 or 0 in array.shape:
        raise UsageError(f"the tensor has the shape {tuple(tensor.shape)}, but it must be [B, 3, H, W], RGB.")
    if not (array.min() >= 0 and array.max() <= 255):
        raise UsageError("the tensor's values must lie in [0, 1], or in [0, 255].")
    scale = 255 if array.max() <= 1 and tensor.is_floating_point() else 1
    for image in array:
        yield np.ascontiguousarray(np.rint(image * scale).astype(np.uint8)[::-1].transpose(1, 2, 0))


def frames_of_capture(capture: Capture, stride: int = 1) -> Iterator[Frame]:
    """The frames of a ``cv2.VideoCapture``; it stays open, and goes on where it was.

    Args:
        capture: An open one.
        stride: Of so many frames the last is given.

    Raises:
        UsageError: It is not open.
    """
    if not capture.isOpened():
        raise UsageError("the capture is not open; check what it was made of.")
    ask = getattr(capture, "get", lambda _: -1.0)
    is_live = ask(_FRAME_COUNT) <= 0  # a file knows how many it has
    index = -1
    while capture.isOpened():
        there, pixels = capture.read()
        if not there:
            return
        index += 1
        if (index + 1) % stride == 0:
            milliseconds = ask(_MILLISECONDS)
            time = Fraction(milliseconds).limit_denominator(10**6) / 1000 if milliseconds >= 0 else None
            position = Position(index, (index + 1) // stride, time, live=is_live)
            yield Frame("<capture>", position, partial(_same, pixels))


def _same(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels

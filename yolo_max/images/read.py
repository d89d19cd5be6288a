"""Reads images from a path, bytes, PIL or NumPy to BGR pixels as displayed.

An image in memory is uint8 [H, W, 3] BGR, C-contiguous, with its EXIF orientation applied: what
``cv2.imread`` and Ultralytics give. OpenCV decodes; Pillow decodes GIF and AVIF, and pillow-heif HEIC. Of
animations and multi-page files the first frame is used (of an APNG the default image, which nearly always is
the first frame; of HEIC the primary image). Alpha is dropped, not blended (but libtiff blends a TIFF's with
black); of 16 bits the upper 8 are kept.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.AvifImagePlugin import AvifImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile

from yolo_max.images.chunks import TRUNCATED
from yolo_max.images.header import SIGNATURE_BYTES, ImageHeader, read_header, require_signature
from yolo_max.images.jpeg import endings
from yolo_max.images.memory import MemoryBudget
from yolo_max.images.regular_file import regular_file
from yolo_max.images.still import still
from yolo_max.support.errors import ImageError, ImageSizeError
from yolo_max.support.options import PredictOptions
from yolo_max.support.text import first_line

MAX_FILE_BYTES = 2**30
RAISED = " (max_pixels raises it)"
"""Behind a limit of pixels; a service has another name for that."""

_FILES, _DECODERS = MemoryBudget(2**30), MemoryBudget(2**30)
"""For the bytes of files that are being decoded, and for decoding them, on all threads together."""
_PEAK_BYTES_PER_PIXEL = {
    "JPEG": 9,
    "PNG": 7,
    "WebP": 7,
    "BMP": 6,
    "GIF": 12,
    "TIFF": 13,
    "JPEG 2000": 17,
    "AVIF": 20,
    "HEIC": 17,
}
"""What decoding 8 bits per channel takes at its peak, as measured; the result is included."""

ImageSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | NDArray[Any]
"""A path, the bytes of an image file, a PIL image, or BGR pixels."""


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: uint8 [H, W, 3] BGR, C-contiguous, as displayed.
        frames: How many frames or pages its file holds, of which this is one; 1 for an image in memory.
    """

    pixels: NDArray[np.uint8]
    frames: int = 1


def read_image(source: ImageSource, *, max_pixels: int = PredictOptions.max_pixels) -> NDArray[np.uint8]:
    """Reads an image from a file or from memory.

    Args:
        source: A path; the bytes of an image file, or one that is open; a PIL image; or an array: uint8 (or
            uint16) [H, W, 3] BGR, [H, W, 4] BGRA, or gray [H, W] or [H, W, 1].
        max_pixels: Larger images are refused by their header, before any decoding.

    Returns:
        uint8 [H, W, 3] BGR, C-contiguous, EXIF applied. An array of that form is returned as it is.

    Raises:
        ImageError: It cannot be read; the message names the path, if there is one.
    """
    return read_picture(source, max_pixels=max_pixels).pixels


def read_picture(source: ImageSource, *, max_pixels: int = PredictOptions.max_pixels) -> Picture:
    """As `read_image`, with the number of frames."""
    if isinstance(source, np.ndarray):
        return Picture(_from_array(source))
    if isinstance(source, Image.Image):
        return Picture(_from_pil(source, max_pixels))
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode_file(bytes(source), max_pixels)
    if is_open_file(source):
        return _decode_file(bytes_of(source), max_pixels)
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"a path, bytes, a PIL image or an array is needed, not {type(source).__name__}")
    try:
        with regular_file(source, MAX_FILE_BYTES) as file:
            require_signature(file.read(SIGNATURE_BYTES))
            with _FILES.lease(file.seek(0, os.SEEK_END)):
                file.seek(0)
                return _decode_file(file.read(), max_pixels)
    except ImageError as error:
        raise ImageError(error.reason, os.fspath(source)) from error
    except OSError as error:
        raise ImageError(f"it cannot be read ({error.strerror or error})", os.fspath(source)) from error
    except MemoryError as error:
        raise ImageError("there is not enough memory to read it", os.fspath(source)) from error


def is_open_file(source: Any) -> bool:
    """Whether something is a file that is open, or behaves like one: ``io.BytesIO``."""
    return hasattr(source, "read") and hasattr(source, "seek")


def bytes_of(file: Any) -> bytes:
    """What an open file still holds.

    Raises:
        ImageError: It is open as text, closed, cannot be read, or is larger than an image may be.
    """
    if getattr(file, "closed", False):
        raise ImageError("the file is closed; open it again")
    try:
        data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ImageError(f"the file cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError:  # of an image, as text
        data = ""
    if not isinstance(data, bytes):
        raise ImageError("the file is open as text; open it with mode 'rb'")
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"it has more than the {MAX_FILE_BYTES:,} bytes of an image")
    return data


def decode(data: bytes, *, max_pixels: int = PredictOptions.max_pixels) -> NDArray[np.uint8]:
    """Decodes the bytes of an image file.

    Args:
        data: The whole file; its content decides the format.
        max_pixels: Larger images are refused by their header.

    Returns:
        uint8 [H, W, 3] BGR, C-contiguous, EXIF applied.

    Raises:
        ImageError: The data is damaged, truncated, too large or not an image.
    """
    return _decode_file(data, max_pixels).pixels


def _decode_file(data: bytes, max_pixels: int) -> Picture:
    header = read_header(data)
    _check_size(header, max_pixels)
    depth = header.bytes_per_pixel / 4
    with _DECODERS.lease(int(header.width * header.height * depth * _PEAK_BYTES_PER_PIXEL[header.format])):
        return Picture(_decode(data, header, max_pixels), header.frames)


def _decode(data: bytes, header: ImageHeader, max_pixels: int) -> NDArray[np.uint8]:
    try:
        if header.format in _PILLOW:
            with _PILLOW[header.format](io.BytesIO(data)) as image:
                _check_leased(image.size, header)  # Pillow also finds a GIF's frame behind garbage
                return _from_pil(image, max_pixels)
        if header.format == "HEIC":
            return _from_array(_decode_heic(data, header))
        if not header.ended:
            data = _with_end(data)
        # Only this flag reads a TIFF's floats, and its 16 bits without rounding.
        flags = cv2.IMREAD_UNCHANGED if header.format == "TIFF" else cv2.IMREAD_COLOR
        pixels = cv2.imdecode(np.frombuffer(still(data, header.format), np.uint8), flags)
    except ImageError:
        raise
    except Exception as error:  # damaged data makes decoders raise anything
        raise ImageError(f"its {header.format} data cannot be decoded ({first_line(error)})") from error
    if pixels is None:
        raise ImageError(f"its {header.format} data is damaged, or of a kind that cannot be decoded")
    return _from_array(pixels)


def _decode_heic(data: bytes, header: ImageHeader) -> NDArray[Any]:
    """The primary image, turned by libheif as its properties say; EXIF's orientation repeats them."""
    try:
        from pillow_heif import open_heif
    except ImportError as error:
        raise ImageError("it is a HEIC image, which pillow-heif reads; pip install pillow-heif") from error
    image = open_heif(data, bgr_mode=True)
    _check_leased(image.size, header)
    pixels = np.array(image)
    return pixels[..., :1] if image.mode.startswith("L") and pixels.ndim == 3 else pixels  # gray with alpha


def _with_end(data: bytes) -> bytes:
    """Adds the end marker to a JPEG without one; a JPEG whose last pixels are missing is refused."""
    ended = endings(data)
    # Pillow, since libjpeg prints warnings in OpenCV.
    first, *others = (np.asarray(JpegImageFile(io.BytesIO(each))) for each in ended)
    if not all(np.array_equal(first, other) for other in others):
        raise ImageError(TRUNCATED)
    return ended[0]


# The classes themselves: `Image.open` warns of sizes that are checked here, and Ultralytics replaces it.
_PILLOW = {"GIF": GifImageFile, "AVIF": AvifImageFile}


def silence_opencv() -> None:
    """Keeps OpenCV from printing why it cannot decode something; the `ImageError` says it.

    It affects the whole process, so programs call it and this library does not.
    """
    # OpenCV 5 moved the logging functions.
    owner = getattr(cv2.utils, "logging", cv2)
    owner.setLogLevel(0)


def _check_size(header: ImageHeader, max_pixels: int) -> None:
    # Deep pixels take more memory than ordinary ones, and count as more of them.
    if header.width * header.height * header.bytes_per_pixel > 4 * max_pixels:
        raise ImageSizeError(
            f"its {header.width} x {header.height} pixels are more than the limit of {max_pixels:,}{RAISED}"
        )


def _check_leased(size: tuple[int, int], header: ImageHeader) -> None:
    """Refuses what a decoder takes for larger than the header, by which memory was leased."""
    if size[0] * size[1] > header.width * header.height:
        raise ImageError(f"its {header.format} header gives it too small a size")


def _from_pil(image: Image.Image, max_pixels: int) -> NDArray[np.uint8]:
    """Decodes a PIL image, which may not be loaded yet."""
    _check_size(ImageHeader(image.format or "PIL", *image.size), max_pixels)
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("F", "I") or image.mode.startswith("I;16"):
            return _from_array(np.asarray(image))
        rgb = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except Exception as error:  # see decode()
        raise ImageError(f"it cannot be decoded ({first_line(error)})") from error
    return _from_array(rgb[:, :, ::-1])


def _from_array(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Converts an array from OpenCV, Pillow or a caller to uint8 BGR."""
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            f"an array of shape {array.shape} is not an image: [H, W], [H, W, 3] or [H, W, 4] is"
        )
    if array.dtype == np.uint16:
        array = array >> 8
    elif array.dtype.kind == "f":
        array = _from_floats(array)
    elif array.dtype != np.uint8:
        raise ImageError(
            f"its pixels are {array.dtype}, for which no display range is defined; convert them to uint8"
        )
    if channels == 1:
        array = np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3], np.uint8)


def _from_floats(array: NDArray[Any]) -> NDArray[Any]:
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= 255):  # also refuses NaN
        raise ImageError(
            f"its floating-point pixels run from {low:g} to {high:g}; only [0, 1] and [0, 255] can be shown"
        )
    pixels: NDArray[Any] = np.rint(array * 255 if high <= 1 else array)
    return pixels

"""The markers of a JPEG: its size, its scans, and whether its end is there.

What decoders read in different ways (a zero marker between segments, a segment shorter than its length field)
is refused, so that no decoder sees another size than the one found here.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np

from yolo_max.images.chunks import TRUNCATED
from yolo_max.support.errors import ImageError

_DAMAGED = "its JPEG markers are damaged"
_MAX_SEGMENTS = 10_000
"""A hostile file may hold nothing but tiny segments; no real image comes near this number."""
_MAX_SCANS = 100
"""Of a progressive JPEG, which decoders go through once per scan; encoders write about ten."""
_BLOCK = 2**20
_MAX_ZEROS = 256
"""Bytes in a row, where zeros stand for coefficients that are not zero; a lost sector has at least 512."""
_WIDE_BAND = 32
"""Coefficients of a block in a scan: as many do not all have the same value by chance, block after block."""

_SOF, _PROGRESSIVE = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}, (0xC2, 0xC6, 0xCA, 0xCE)
_HUFFMAN = (0xC0, 0xC1, 0xC2)
_DHT, _SOS, _EOI = 0xC4, 0xDA, 0xD9
_ZEROS_INSIDE = re.compile(rb"\0{%d}\0*[^\0]" % _MAX_ZEROS)
_BETWEEN_SCANS = {0xC4, 0xCC, _SOS, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xFE}


@dataclass
class Jpeg:
    """The markers up to the end of the first image.

    Attributes:
        width: In pixels, as stored.
        height: In pixels, as stored.
        progressive: Whether its scans refine each other.
        scans: How many there are.
        ended: Whether the end marker is there.
    """

    width: int = 0
    height: int = 0
    progressive: bool = False
    scans: int = 0
    ended: bool = False
    _missing_bits: dict[int, list[int]] = field(default_factory=dict)  # by component, of its 64 coefficients
    _zero_symbols: dict[int, int] = field(default_factory=dict)  # by class and number of a Huffman table
    _huffman: bool = False

    def frame(self, data: bytes, at: int, marker: int) -> None:
        """Reads a frame header."""
        self.height, self.width, components = struct.unpack_from(">HHB", data, at + 5)
        self.progressive, self._huffman = marker in _PROGRESSIVE, marker in _HUFFMAN
        self._missing_bits = {data[at + 10 + 3 * i]: [99] * 64 for i in range(components)}

    def tables(self, data: bytes, at: int, end: int) -> None:
        """Reads Huffman tables. The first symbol of each has the code of zeros."""
        while at + 17 < end:
            self._zero_symbols[data[at]] = data[at + 17]
            at += 17 + sum(data[at + 1 : at + 17])

    def zeros_are_damage(self, data: bytes, at: int) -> bool:
        """Whether nothing but damage makes a long row of zeros in the scan whose header this is.

        Zeros may be the code for the end of a block, which a flat picture repeats, or refine coefficients by
        nothing. Where they stand for a coefficient, every coefficient of every block would be the same.
        """
        count = data[at + 4]
        first, last, bits = struct.unpack_from("3B", data, at + 5 + 2 * count)
        if not self._huffman or last - first < _WIDE_BAND or bits >> 4:
            return False
        tables = (0x10 | data[at + 6 + 2 * i] & 15 for i in range(count))
        return any(self._zero_symbols.get(table, 0) & 15 for table in tables)

    def scan(self, data: bytes, at: int) -> None:
        """Reads a scan header."""
        self.scans += 1
        components = data[at + 4]
        first, last, bits = struct.unpack_from("3B", data, at + 5 + 2 * components)
        if not self.progressive:
            first, last, bits = 0, 63, 0
        for i in range(components):
            missing = self._missing_bits.get(data[at + 5 + 2 * i], [])
            missing[first : last + 1] = [bits & 15] * len(missing[first : last + 1])

    @property
    def has_every_scan(self) -> bool:
        """Whether the scans bring every bit of every coefficient."""
        return not any(any(missing) for missing in self._missing_bits.values())


def read_jpeg(data: bytes) -> Jpeg:
    """Walks through the markers.

    Args:
        data: The whole file.

    Raises:
        ImageError: The markers are damaged, there are too many, or the data ends before the last scan.
        IndexError: The data ends in a header.
        struct.error: Likewise.
    """
    jpeg = Jpeg()
    at = 2
    for _ in range(_MAX_SEGMENTS):
        marker = data[at + 1]
        if data[at] != 0xFF:
            break
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # without a segment
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker == 0 or length < 2:
            break
        if marker in _SOF:
            if jpeg._missing_bits:
                break
            jpeg.frame(data, at, marker)
        if marker == _DHT:
            jpeg.tables(data, at + 4, at + 2 + length)
        if marker != _SOS:
            at += 2 + length
            continue
        if not jpeg._missing_bits:
            break
        jpeg.scan(data, at)
        if jpeg.scans > _MAX_SCANS:
            raise ImageError(f"it is a JPEG of more than {_MAX_SCANS} scans")
        end = _end_of_scan(data, at + 2 + length)
        if jpeg.zeros_are_damage(data, at) and _has_zeros_inside(data, at + 2 + length, end or len(data)):
            raise ImageError("a part of its JPEG data was overwritten by zeros")
        if end is None or data[end + 1] == _EOI:
            if end is None and not jpeg.has_every_scan:
                raise ImageError(TRUNCATED)
            jpeg.ended = end is not None
            return jpeg
        if data[end + 1] not in _BETWEEN_SCANS:
            break
        at = end
    raise ImageError(_DAMAGED)


def _end_of_scan(data: bytes, at: int) -> int | None:
    """Where the next marker is that is not part of a scan; None if the data ends before."""
    for start in range(at, len(data), _BLOCK):
        block = np.frombuffer(data, np.uint8, min(_BLOCK + 1, len(data) - start), start)
        marks = np.flatnonzero(block[:-1] == 0xFF)
        kinds = block[marks + 1]
        # A zero makes it data, another 0xFF fills, and 0xD0 to 0xD7 are restart markers.
        marks = marks[(kinds != 0) & (kinds != 0xFF) & (kinds & 0xF8 != 0xD0)]
        if marks.size:
            return start + int(marks[0])
    return None


def _has_zeros_inside(data: bytes, start: int, end: int) -> bool:
    """Whether a range has a long row of zeros, with something behind it that is not padding."""
    at = data.find(bytes(_MAX_ZEROS), start, end)  # much faster than a regular expression
    return at >= 0 and _ZEROS_INSIDE.search(data, at, end) is not None


def endings(data: bytes) -> list[bytes]:
    """Ways to end a JPEG without its end marker that all give the same pixels if the image is whole.

    What is missing of a scan is read from what is put behind it, or is gray where that is nothing.

    Args:
        data: As `read_jpeg` accepted it, without its end.

    Returns:
        The file with the end marker first.
    """
    data = data.rstrip(b"\xff")  # the first byte of a pair
    scan = data.rfind(bytes((0xFF, _SOS)))
    restarts = [data.rfind(bytes((0xFF, 0xD0 + i)), scan) for i in range(8)]
    newest = max(range(8), key=restarts.__getitem__)
    following = (newest + 1) % 8 if max(restarts) > 0 else 0
    noise = bytes(range(254, 0, -1)) * 2  # high bytes first, for they mean large steps of brightness
    return [data + each + b"\xff\xd9" for each in (b"", noise, bytes((0xFF, 0xD0 + following)) + noise)]

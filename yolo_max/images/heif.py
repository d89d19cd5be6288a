"""HEIC and AVIF files (ISO/IEC 23008-12): their size, and how many pictures they hold."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from yolo_max.images.boxes import DAMAGED, boxes, occurrences
from yolo_max.images.coded_size import Size, av1_sizes, hevc_configured_sizes, hevc_sizes
from yolo_max.support.errors import ImageError

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_HEVC, _AV1 = (b"hvc1", b"hev1"), b"av01"
_ARRANGED = {b"grid": 4, b"iovl": 10}
"""Items made of others, and where they state their size."""
_PICTURES = (*_HEVC, _AV1, *_ARRANGED, b"iden", b"jpeg", b"avc1", b"j2k1", b"unci")
"""The types of items that are pictures; others are metadata."""
_MAX_EXTENTS = 100_000
"""A hostile file may claim more; no real image comes near this number."""


@dataclass
class _Item:
    """An item of a file.

    Attributes:
        kind: Its type.
        part: Whether it is hidden, or a tile, a thumbnail or an auxiliary image of another.
        extents: The ranges of the file that it consists of.
    """

    kind: bytes = b""
    part: bool = False
    extents: list[tuple[int, int]] = field(default_factory=list)


def heif_format(data: bytes) -> str | None:
    """AVIF or HEIC, by the brands in the first box; None for other files."""
    length = min(int.from_bytes(data[:4], "big"), 512)
    major, *others = (data[at : at + 4] for at in (8, *range(16, length, 4)))
    if major not in HEIC_BRANDS[:-2] and any(brand in _AVIF_BRANDS for brand in (major, *others)):
        return "AVIF"
    return "HEIC" if any(brand in HEIC_BRANDS for brand in (major, *others)) else None


def heif_header(data: bytes) -> tuple[int, int, int]:
    """What a file holds.

    A grid has one size per tile and one for the whole image. Coded pictures state their own size as well,
    which decoders take memory for before they compare the two, or scale the picture.

    Returns:
        The largest width and height of anything in it, in pixels; how many pictures there are, at least 1,
        without those that are part of another.

    Raises:
        ImageError: Its boxes are damaged, or there is no still picture.
        struct.error: A box ends too early.
        IndexError: Likewise, or the header of a coded picture does.
    """
    sizes, pictures, samples = [(0, 0)], 0, 1
    still = False
    for kind, start, end in boxes(data, 0, len(data)):
        if kind == b"meta":
            still = True
            items = _items(data, start + 4, end)
            sizes += _sizes(data, start, end, items)
            pictures += sum(item.kind in _PICTURES and not item.part for item in items)
        elif kind == b"moov":
            for each, at, its_end in boxes(data, start, end):
                if each == b"trak":
                    sizes += _sizes_of_track(data, at, its_end)
            counts = (_number(data, at + 8, 4) for at in occurrences(data, b"stsz", start, end))
            # A frame takes a byte at least, whatever a header claims.
            samples = min(max(counts, default=1), len(data))
    if not still:
        raise ImageError(f"{DAMAGED}, or it holds no still picture")
    return *max(sizes, key=lambda size: size[0] * size[1]), max(1, pictures, samples)


def _sizes(data: bytes, start: int, end: int, items: list[_Item]) -> Iterator[Size]:
    """Of the pictures of a meta box."""
    for at in occurrences(data, b"ispe", start, end):
        yield struct.unpack_from(">II", data, at + 4)
    prefixes = set()
    for at in occurrences(data, b"hvcC", start, end):
        prefixes.add(1 + (data[at + 21] & 3))
        yield from hevc_configured_sizes(data, at)
    left = 2 * len(data)  # to be read; extents may overlap
    for item in items:
        left -= sum(its_end - at for at, its_end in item.extents)
        if left < 0:
            raise ImageError(DAMAGED)
        coded = b"".join(data[at:its_end] for at, its_end in item.extents)
        if item.kind in _ARRANGED:
            at, width = _ARRANGED[item.kind], 4 if coded[1] & 1 else 2
            yield _number(coded, at, width), _number(coded, at + width, width)
        elif item.kind == _AV1:
            yield from av1_sizes(coded)
        elif item.kind in _HEVC:
            for prefix in prefixes:
                yield from hevc_sizes(coded, prefix)


def _sizes_of_track(data: bytes, start: int, end: int) -> Iterator[Size]:
    """Of a track, to which its pictures are scaled, and of its first picture, if it is AV1."""
    for kind, _, its_end in boxes(data, start, end):
        if kind == b"tkhd":
            yield _number(data, its_end - 8, 2), _number(data, its_end - 4, 2)
    if data.find(_AV1, start, end) < 0:
        return
    for at in occurrences(data, b"stsz", start, end):
        length = _number(data, at + 4, 4) or _number(data, at + 12, 4)
        for kind, width in ((b"stco", 4), (b"co64", 8)):
            for its_at in occurrences(data, kind, start, end):
                first = _number(data, its_at + 8, width)
                yield from av1_sizes(data[first : first + length])


def _items(data: bytes, start: int, end: int) -> list[_Item]:
    """The items of a meta box's content."""
    found: dict[int, _Item] = {}
    own_data = next((at for kind, at, _ in boxes(data, start, end) if kind == b"idat"), 0)
    for kind, at, its_end in boxes(data, start, end):
        if kind == b"iinf":
            for _, entry, _ in boxes(data, at + (6 if data[at] == 0 else 8), its_end):
                width = 4 if data[entry] > 2 else 2  # of its number
                item = found.setdefault(_number(data, entry + 4, width), _Item())
                item.kind = data[entry + 6 + width : entry + 10 + width]
                item.part |= bool(data[entry + 3] & 1)
        elif kind == b"iref":
            for number in _parts(data, at, its_end):
                found.setdefault(number, _Item()).part = True
        elif kind == b"iloc":
            for number, extent in _extents(data, at, its_end, own_data):
                found.setdefault(number, _Item()).extents.append(extent)
    return list(found.values())


def _parts(data: bytes, start: int, end: int) -> Iterator[int]:
    """The items that an item reference box calls tiles, thumbnails or auxiliary images."""
    width = 4 if data[start] else 2
    for kind, at, its_end in boxes(data, start + 4, end):
        if kind in (b"thmb", b"auxl"):
            yield _number(data, at, width)
        elif kind == b"dimg":
            yield from (_number(data, i, width) for i in range(at + width + 2, its_end, width))


def _extents(data: bytes, start: int, end: int, own_data: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """From an item location box, each item's number with a range of the file."""
    version, at = data[start], start + 4

    def take(width: int) -> int:
        nonlocal at
        at += width
        if at > end:
            raise ImageError(DAMAGED)
        return _number(data, at - width, width)

    left = _MAX_EXTENTS
    widths = take(2)
    of_offset, of_length, of_base, of_index = (widths >> shift & 15 for shift in (12, 8, 4, 0))
    number_width = 2 if version < 2 else 4
    for _ in range(take(number_width)):
        number = take(number_width)
        method = take(2) & 15 if version else 0
        take(2)
        base = take(of_base) + (own_data if method == 1 else 0)
        count = take(2)
        left -= count
        if left < 0:
            raise ImageError(DAMAGED)
        for _ in range(count):
            take(of_index if version else 0)
            offset, length = base + take(of_offset), take(of_length)
            if method < 2:  # else it is a part of another item
                yield (
                    number,
                    (min(offset, len(data)), min(offset + length if length else len(data), len(data))),
                )


def _number(data: bytes, at: int, width: int) -> int:
    return int.from_bytes(data[at : at + width], "big")

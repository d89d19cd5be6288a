"""The boxes of a HEIC or AVIF file: its size, and how many pictures it holds.

ISO/IEC 14496-12 has the boxes, 23008-12 the items, ITU-T H.265 the parameters of HEVC.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from yolo_max.images.chunks import TRUNCATED
from yolo_max.support.errors import ImageError

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_PICTURES = (b"hvc1", b"hev1", b"av01", b"grid", b"iovl", b"iden", b"jpeg", b"avc1", b"j2k1", b"unci")
"""The types of items that are pictures; others are metadata."""
_MAX_BOXES = 10_000
_MAX_HEVC_ARRAYS = 16
"""Of parameter sets, and of sets in each; encoders write three arrays of one."""
_MAX_PARAMETERS = 256
"""The bytes of a sequence parameter set that are read; its size stands within the first hundred."""
_DAMAGED = "its boxes are damaged"

Box = tuple[bytes, int, int]
"""(kind, start, end); the range is the box's content."""


def heif_format(data: bytes) -> str | None:
    """AVIF or HEIC, by the brands in the first box; None for other files."""
    length = min(int.from_bytes(data[:4], "big"), 512)
    major, *others = (data[at : at + 4] for at in (8, *range(16, length, 4)))
    if major not in HEIC_BRANDS[:-2] and any(brand in _AVIF_BRANDS for brand in (major, *others)):
        return "AVIF"
    return "HEIC" if any(brand in HEIC_BRANDS for brand in (major, *others)) else None


def heif_size(data: bytes) -> tuple[int, int]:
    """The largest width and height, in pixels, of anything that a file says it holds.

    A grid has one size per tile and one for the whole image. HEVC states its own size as well, which decoders
    take memory for before they compare the two.

    Raises:
        ImageError: Its boxes are damaged, or there is no still picture.
        struct.error: A box ends too early.
    """
    sizes = [(0, 0)]
    for start, end in _metas(data):
        for at in _occurrences(data, b"ispe", start, end):
            sizes.append(struct.unpack_from(">II", data, at + 4))
        for at in _occurrences(data, b"hvcC", start, end):
            sizes += _sizes_of_hevc(data, at)
    return max(sizes, key=lambda size: size[0] * size[1])


def count_pictures(data: bytes) -> int:
    """How many pictures a file holds, at least 1, without tiles, thumbnails, masks and depth maps."""
    samples = (
        struct.unpack_from(">I", data, at + 8)[0]
        for kind, start, end in _boxes(data, 0, len(data))
        if kind == b"moov"
        for at in _occurrences(data, b"stsz", start, end)
    )
    items = sum(_pictures(data, start + 4, end) for start, end in _metas(data))
    # A frame takes a byte at least, whatever a header claims.
    return max(1, items, min(max(samples, default=0), len(data)))


def _pictures(data: bytes, start: int, end: int) -> int:
    """The pictures among the items of a meta box's content that are not part of another."""
    parts = {
        item
        for kind, at, its_end in _boxes(data, start, end)
        if kind == b"iref"
        for item in _parts(data, at, its_end)
    }
    found = 0
    for kind, at, its_end in _boxes(data, start, end):
        if kind != b"iinf":
            continue
        for _, entry, _ in _boxes(data, at + (6 if data[at] == 0 else 8), its_end):
            wide = data[entry] > 2  # the version; since version 3 item numbers have four bytes
            item = int.from_bytes(data[entry + 4 : entry + (8 if wide else 6)], "big")
            hidden = data[entry + 3] & 1
            what = data[entry + (10 if wide else 8) :][:4]
            found += what in _PICTURES and not hidden and item not in parts
    return found


def _parts(data: bytes, start: int, end: int) -> Iterator[int]:
    """The items that an item reference box calls tiles, thumbnails or auxiliary images."""
    width = 4 if data[start] else 2
    for kind, at, its_end in _boxes(data, start + 4, end):
        numbers = [
            int.from_bytes(data[i : i + width], "big") for i in (at, *range(at + width + 2, its_end, width))
        ]
        if kind in (b"thmb", b"auxl"):
            yield numbers[0]
        elif kind == b"dimg":
            yield from numbers[1:]


def _metas(data: bytes) -> Iterator[tuple[int, int]]:
    found = False
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"meta":
            found = True
            yield start, end
    if not found:
        raise ImageError(f"{_DAMAGED}, or it holds no still picture")


def _boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes of a range, up to the first that does not fit in it.

    Raises:
        ImageError: That one is the file's pictures.
    """
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        length, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", data, content)
            content += 8
        length = length or end - start
        if kind == b"mdat" and length > end - start:  # some tiles may be there, and libheif paints the others
            raise ImageError(TRUNCATED)
        if not content - start <= length <= end - start:
            return
        yield kind, content, start + length
        start += length


def _occurrences(data: bytes, kind: bytes, start: int, end: int) -> Iterator[int]:
    """Where the contents of all boxes of a kind begin, however deep they lie."""
    for _ in range(_MAX_BOXES):
        start = data.find(kind, start, end) + 4
        if start < 4:
            return
        yield start
    raise ImageError(_DAMAGED)


def _sizes_of_hevc(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """The sizes in the sequence parameter sets of an HEVC configuration."""
    at += 23
    arrays = data[at - 1]
    for _ in range(arrays):
        kind, count = data[at] & 63, int.from_bytes(data[at + 1 : at + 3], "big")
        at += 3
        if max(arrays, count) > _MAX_HEVC_ARRAYS:
            raise ImageError(_DAMAGED)
        for _ in range(count):
            length = int.from_bytes(data[at : at + 2], "big")
            if kind == 33:
                yield _size_of_sequence(data[at + 4 : at + 2 + min(length, _MAX_PARAMETERS)])
            at += 2 + length


def _size_of_sequence(parameters: bytes) -> tuple[int, int]:
    """Width and height of an HEVC sequence parameter set without its NAL header (ITU-T H.265, 7.3.2.2)."""
    payload = parameters.replace(b"\0\0\3", b"\0\0")
    bits = "".join(f"{byte:08b}" for byte in payload)
    layers = int(bits[4:7], 2)
    at = 104  # behind the general profile and level
    if layers:
        profiles, levels = bits[at : at + 2 * layers : 2], bits[at + 1 : at + 2 * layers : 2]
        at += 16 + 88 * profiles.count("1") + 8 * levels.count("1")

    def number() -> int:  # Exp-Golomb
        nonlocal at
        zeros = bits.index("1", at) - at
        at += 2 * zeros + 1
        return int(bits[at - zeros - 1 : at], 2) - 1

    number()
    in_planes = number() == 3
    at += in_planes  # a flag that only 4:4:4 has
    return number(), number()

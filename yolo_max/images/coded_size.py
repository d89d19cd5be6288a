"""The sizes that coded pictures state of themselves, which decoders take memory for: AV1 and HEVC."""

from __future__ import annotations

from collections.abc import Iterator

from yolo_max.support.errors import ImageError

Size = tuple[int, int]
"""(width, height) in pixels."""

_MAX_UNITS = 100_000
"""Of one picture; a hostile file may hold nothing but tiny ones."""
_MAX_ARRAYS = 16
"""Of parameter sets in a configuration, and of sets in each; encoders write three arrays of one."""
_MAX_HEADER = 256
"""The bytes of a header that are read; sizes stand within the first hundred."""


def av1_sizes(data: bytes) -> Iterator[Size]:
    """The sizes in the sequence headers among open bitstream units (AV1 specification, 5.3)."""
    start = 0
    for _ in range(_MAX_UNITS):
        if start >= len(data):
            return
        header = data[start]
        start += 1 + (header >> 2 & 1)
        length = len(data) - start
        if header & 2:
            length = 0
            for i in range(8):
                length |= (data[start] & 127) << 7 * i
                start += 1
                if data[start - 1] < 128:
                    break
        if header >> 3 & 15 == 1:
            yield _av1_size(_Bits(data[start : start + min(length, _MAX_HEADER)]))
        start += length
    raise ImageError("its AV1 data is damaged")


def _av1_size(bits: _Bits) -> Size:
    """Of a sequence header (5.5)."""
    bits.read(4)
    if bits.read(1):  # of a still picture, reduced
        bits.read(5)
    else:
        delay = 0
        if bits.read(1):  # timing
            bits.read(64)
            if bits.read(1):
                bits.golomb()
            if bits.read(1):
                delay = 1 + bits.read(5)
                bits.read(42)
        initial_delay = bits.read(1)
        for _ in range(1 + bits.read(5)):  # operating points
            bits.read(12)
            if bits.read(5) > 7:
                bits.read(1)
            if delay and bits.read(1):
                bits.read(2 * delay + 1)
            if initial_delay and bits.read(1):
                bits.read(4)
    width, height = 1 + bits.read(4), 1 + bits.read(4)
    return 1 + bits.read(width), 1 + bits.read(height)


def hevc_sizes(data: bytes, prefix: int) -> Iterator[Size]:
    """The sizes in the parameter sets among units, each behind its length in ``prefix`` bytes."""
    start = 0
    for _ in range(_MAX_UNITS):
        if start >= len(data):
            return
        length, start = int.from_bytes(data[start : start + prefix], "big"), start + prefix
        yield from _of_unit(data[start : start + min(length, _MAX_HEADER)])
        start += length
    raise ImageError("its HEVC data is damaged")


def hevc_configured_sizes(data: bytes, at: int) -> Iterator[Size]:
    """The sizes in the parameter sets of a configuration record (ISO/IEC 14496-15, 8.3.3.1)."""
    arrays, at = data[at + 22], at + 23
    for _ in range(arrays):
        count = int.from_bytes(data[at + 1 : at + 3], "big")
        at += 3
        if max(arrays, count) > _MAX_ARRAYS:
            raise ImageError("its HEVC configuration is damaged")
        for _ in range(count):
            length = int.from_bytes(data[at : at + 2], "big")
            yield from _of_unit(data[at + 2 : at + 2 + min(length, _MAX_HEADER)])
            at += 2 + length


def _of_unit(unit: bytes) -> Iterator[Size]:
    """Of a unit that is a sequence parameter set (ITU-T H.265, 7.3.2.2)."""
    if len(unit) < 2 or unit[0] >> 1 & 63 != 33:
        return
    bits = _Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))
    bits.read(4)
    layers = bits.read(3)
    bits.read(97)  # the general profile and level
    present = [(bits.read(1), bits.read(1)) for _ in range(8 if layers else 0)][:layers]
    for profile, level in present:
        bits.read(88 * profile + 8 * level)
    bits.golomb()
    if bits.golomb() == 3:  # 4:4:4
        bits.read(1)
    yield bits.golomb(), bits.golomb()


class _Bits:
    """Bits in order, the highest of each byte first.

    Raises:
        IndexError: There are no more.
    """

    def __init__(self, data: bytes) -> None:
        self._value, self._left = int.from_bytes(data, "big"), 8 * len(data)

    def read(self, count: int) -> int:
        """An unsigned number."""
        self._left -= count
        if self._left < 0:
            raise IndexError("the bits end")
        return self._value >> self._left & (1 << count) - 1

    def golomb(self) -> int:
        """An unsigned number in Exp-Golomb code."""
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

"""Run by test_images_fuzz.py in a process of its own: decodes seeded mutants of image files, and counts."""

from __future__ import annotations

import json
import resource
import sys
import zlib
from collections import Counter

import numpy as np
from image_files import files_of, heic_files, in_parts_of, scene

from yolo_max.images.header import read_header
from yolo_max.images.read import decode, silence_opencv
from yolo_max.support.errors import ImageError

MEMORY = 512 * 2**20


def mutant(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """The file with damaged bits, bytes, blocks or numbers, cut off, or with a part of another file."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        # Damage does most in headers.
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 200)
        at = int(rng.integers(reach)) if reach else 0
        size = int(rng.integers(1, 40))
        match rng.integers(7):
            case 0:
                changed[at : at + 1] = bytes([changed[at] ^ 1 << int(rng.integers(8))]) if reach else b""
            case 1:
                changed[at : at + size] = rng.bytes(size)
            case 2:
                del changed[at : at + size]
            case 3:
                changed[at:at] = changed[at : at + size] * int(rng.integers(1, 4))
            case 4:
                changed[at : at + 4] = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"][
                    rng.integers(3)
                ]
            case 5:
                del changed[at:]
            case 6:
                start = int(rng.integers(len(other)))
                changed[at : at + size] = other[start : start + size]
    return bytes(changed)


def with_right_checksums(data: bytes) -> bytes:
    """The PNG with its checksums corrected, so that the damage reaches the decoder."""
    repaired, at = bytearray(data), 8
    while at + 12 <= len(repaired):
        end = at + 8 + int.from_bytes(repaired[at : at + 4], "big")
        repaired[end : end + 4] = zlib.crc32(repaired[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(repaired)


def main(seed: int, count: int) -> None:
    silence_opencv()
    files = files_of(scene(24, 32)) | in_parts_of(scene(40, 48)) | heic_files(scene(96, 160))
    for data in files.values():  # everything is loaded before memory is limited
        decode(data)
    with open("/proc/self/statm") as statm:  # noqa: PTH123
        limit = int(statm.read().split()[0]) * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    rng = np.random.default_rng(seed)
    names = list(files)
    outcomes: Counter[str] = Counter()
    for number in range(count):
        name, other = names[number % len(names)], names[rng.integers(len(names))]
        data = mutant(files[name], files[other], rng)
        if name.startswith("png") and rng.random() < 0.8:
            data = with_right_checksums(data)
        if len(sys.argv) > 3:  # to find the culprit of a crash
            with open(sys.argv[3], "wb") as last:  # noqa: PTH123
                last.write(data)
        try:
            image = decode(data, max_pixels=4_000_000)
        except ImageError:
            outcomes["refused"] += 1
        else:
            assert image.dtype == np.uint8
            assert image.ndim == 3
            assert image.shape[2] == 3
            header = read_header(data)
            assert image.size <= 3 * header.width * header.height <= 3 * 4_000_000  # no more than was judged
            outcomes["decoded"] += 1
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))

from __future__ import annotations

import pytest
from image_files import encode, heic, in_frames, scene
from PIL import Image

from yolo_max.images.coded_size import av1_sizes, hevc_configured_sizes, hevc_sizes
from yolo_max.support.errors import ImageError

SIZES = [(64, 64), (640, 480), (3000, 64), (129, 1001)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chroma", [420, 444])
def test_hevc(size: tuple[int, int], chroma: int) -> None:
    pytest.importorskip("pillow_heif")
    data = heic(Image.new("RGB", size), chroma=chroma)
    at = data.index(b"hvcC") + 4
    # Coded pictures consist of blocks of at least 8 pixels.
    coded = tuple(-(-side // 8) * 8 for side in size)
    assert list(hevc_configured_sizes(data, at)) == [coded]
    # As a picture may have it beside its pixels.
    start = data.index(b"\x42\x01", at)
    length = int.from_bytes(data[start - 2 : start], "big")
    unit = data[start : start + length]
    for prefix in (1, 2, 4):
        units = b"".join(len(each).to_bytes(prefix, "big") + each for each in (b"\x40\x01abc", unit))
        assert list(hevc_sizes(units, prefix)) == [coded]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("frames", [1, 3])
def test_av1(size: tuple[int, int], frames: int) -> None:
    data = encode(Image.new("RGB", size), "AVIF") if frames == 1 else in_frames(scene(*size[::-1]), "AVIF")
    content = data[data.rindex(b"mdat") + 4 :]
    assert set(av1_sizes(content)) == {size}


@pytest.mark.parametrize("data", [b"\x0a\x04\0\0\0\0", b"\x0a", b"\x0e\0", b"\x0a\xff\xff\xff"])
def test_an_av1_header_that_ends_too_early(data: bytes) -> None:
    with pytest.raises(IndexError):
        list(av1_sizes(data))


def test_units_without_end_are_refused() -> None:
    with pytest.raises(ImageError, match="AV1 data is damaged"):
        list(av1_sizes(b"\x12\0" * 200_000))
    with pytest.raises(ImageError, match="HEVC data is damaged"):
        list(hevc_sizes(bytes(800_000), 4))

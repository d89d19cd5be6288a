from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from image_files import (
    bmp_header_only,
    encode,
    encode_cv2,
    files_of,
    gif_frame_only,
    gif_header_only,
    in_frames,
    jpeg_2000_header_only,
    jpeg_header_only,
    pil,
    png_header_only,
    scene,
    tiff_with,
    tiled_tiff,
    webp_header_only,
    with_orientation,
)
from PIL import Image

from yolo_max.images.header import read_header
from yolo_max.images.read import MAX_FILE_BYTES, decode, read_image
from yolo_max.support.errors import ExitCode, ImageError

SCENE = scene()
FILES = files_of(SCENE)
EXACT = {
    "png",
    "png interlaced",
    "webp lossless",
    "webp extended",
    "bmp",
    "jpeg 2000",
    "jpeg 2000 codestream",
} | {name for name in FILES if name.startswith("tiff")}


def assert_image(image: np.ndarray) -> None:
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.flags.c_contiguous


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_picture(name: str) -> None:
    image = decode(FILES[name])
    assert_image(image)
    error = np.abs(image.astype(int) - SCENE)
    assert error.max() <= (0 if name in EXACT else 30 if name == "gif" else 16)
    assert error.mean() <= (6 if name == "gif" else 2)


@pytest.mark.parametrize("name", [n for n in FILES if not n.startswith(("gif", "avif"))])
def test_the_pixels_are_those_of_opencv(name: str) -> None:
    expected = cv2.imdecode(np.frombuffer(FILES[name], np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decode(FILES[name]), expected)


def test_photographs_have_the_pixels_that_ultralytics_reads(photographs: list[Path]) -> None:
    from ultralytics.utils.patches import imread

    for path in photographs:
        np.testing.assert_array_equal(read_image(path), imread(str(path)))


GRAY = SCENE[:, :, 2]
ALPHA = np.ascontiguousarray(SCENE[:, ::-1, 0])
RGB = np.ascontiguousarray(SCENE[:, :, ::-1])
GRAY_BGR = np.repeat(GRAY[:, :, None], 3, axis=2)


def _palette() -> tuple[bytes, np.ndarray]:
    image = pil(SCENE).quantize(32)
    return encode(image, "PNG"), np.asarray(image.convert("RGB"))[:, :, ::-1]


def _cmyk(format_name: str) -> bytes:
    return encode(
        pil(SCENE).convert("CMYK"), format_name, **({"quality": 95} if format_name == "JPEG" else {})
    )


@pytest.mark.parametrize(
    ("data", "expected", "tolerance"),
    [
        # Alpha is dropped and not blended, as by OpenCV and Ultralytics: transparent pixels keep their color.
        (encode(Image.fromarray(np.dstack([RGB, ALPHA])), "PNG"), SCENE, 0),
        (encode(Image.fromarray(np.dstack([RGB, ALPHA])), "WEBP", lossless=True, exact=True), SCENE, 0),
        # But libtiff blends it with black.
        (encode(Image.fromarray(np.dstack([RGB, ALPHA])), "TIFF"), SCENE * (ALPHA[:, :, None] / 255), 1),
        (encode(Image.fromarray(np.dstack([RGB, ALPHA])), "JPEG2000"), SCENE, 0),
        (
            encode(Image.fromarray(np.dstack([RGB, ALPHA])), "AVIF", quality=95, subsampling="4:4:4"),
            SCENE,
            16,
        ),
        (encode(Image.fromarray(np.dstack([GRAY, ALPHA])), "PNG"), GRAY_BGR, 0),
        (encode(Image.fromarray(np.dstack([GRAY, ALPHA])), "TIFF"), GRAY_BGR, 0),
        # Gray, in every depth; of 16 bits the upper 8 are kept.
        (encode(Image.fromarray(GRAY), "PNG"), GRAY_BGR, 0),
        (encode(Image.fromarray(GRAY), "JPEG", quality=95), GRAY_BGR, 4),
        (encode(Image.fromarray(GRAY), "TIFF"), GRAY_BGR, 0),
        (encode(Image.fromarray(GRAY), "BMP"), GRAY_BGR, 0),
        (encode(Image.fromarray(GRAY), "GIF"), GRAY_BGR, 0),
        (encode_cv2(GRAY.astype(np.uint16) * 256 + 200, ".png"), GRAY_BGR, 0),
        (encode_cv2(GRAY.astype(np.uint16) * 256 + 200, ".tiff"), GRAY_BGR, 0),
        (encode_cv2(SCENE.astype(np.uint16) * 256 + 200, ".png"), SCENE, 0),
        (encode_cv2(SCENE.astype(np.uint16) * 256 + 200, ".tiff"), SCENE, 0),
        # Floating point in [0, 1] or [0, 255].
        (encode_cv2(SCENE.astype(np.float32) / 255, ".tiff"), SCENE, 0),
        (encode_cv2(SCENE.astype(np.float32), ".tiff"), SCENE, 0),
        (encode_cv2(GRAY.astype(np.float64) / 255, ".tiff"), GRAY_BGR, 0),
        (encode(Image.fromarray(GRAY.astype(np.float32)), "TIFF"), GRAY_BGR, 0),
        # Palettes and CMYK.
        (*_palette(), 0),
        (_cmyk("JPEG"), SCENE, 12),
        (_cmyk("TIFF"), SCENE, 2),
        (encode(pil(SCENE).convert("1"), "PNG"), None, 0),
        (encode(pil(SCENE).convert("1"), "TIFF", compression="group4"), None, 0),
        # Of several frames or pages, the first.
        (in_frames(SCENE, "PNG"), SCENE, 0),
        (in_frames(SCENE, "GIF"), SCENE, 30),
        (in_frames(SCENE, "WEBP", lossless=True), SCENE, 0),
        (in_frames(SCENE, "TIFF"), SCENE, 0),
        (in_frames(SCENE, "AVIF", quality=95, subsampling="4:4:4"), SCENE, 16),
        (in_frames(SCENE, "MPO", quality=95), SCENE, 40),
        # The default image of an animation that begins with another one.
        (in_frames(SCENE, "PNG", default_image=True), SCENE, 0),
        # In tiles that reach beyond the right and lower edge.
        (tiled_tiff(SCENE), SCENE, 0),
        (tiled_tiff(SCENE, compressed=True), SCENE, 0),
    ],
)
def test_kinds_of_pixels(data: bytes, expected: np.ndarray | None, tolerance: int) -> None:
    image = decode(data)
    assert_image(image)
    if expected is None:  # black and white: dithered, so only the tone survives
        assert set(np.unique(image)) == {0, 255}
        expected, image = np.array(SCENE.mean()), np.array(image.mean())
        tolerance = 25
    np.testing.assert_allclose(image.astype(int), expected.astype(int), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            encode_cv2(SCENE.astype(np.float32) * 100, ".tiff"),
            "run from 0 to",
        ),  # no display range is defined
        (encode_cv2(np.full((4, 4), np.nan, np.float32), ".tiff"), "nan"),
        (encode_cv2(GRAY.astype(np.float32) - 100, ".tiff"), "run from -100"),
        (encode(Image.fromarray(GRAY.astype(np.int32)), "TIFF"), "int32"),
    ],
)
def test_pixels_without_a_display_range_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode(data)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("format_name", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("TIFF", {}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 12),
        ("AVIF", {"quality": 95, "subsampling": "4:4:4"}, 16),
    ],
)
def test_every_orientation_gives_the_picture_as_displayed(
    format_name: str, options: dict[str, Any], tolerance: int, orientation: int
) -> None:
    image = decode(with_orientation(SCENE, format_name, orientation, **options))
    assert_image(image)
    np.testing.assert_allclose(image.astype(int), SCENE.astype(int), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", FILES)
def test_truncated_anywhere_is_an_error(name: str) -> None:
    whole = FILES[name]
    for tenth in range(10):
        with pytest.raises(ImageError):
            decode(whole[: len(whole) * tenth // 10])


@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive"])
def test_a_jpeg_without_its_last_rows_is_truncated_and_not_gray(name: str) -> None:
    with pytest.raises(ImageError, match="truncated"):
        decode(FILES[name][:-40])


@pytest.mark.parametrize("suffix", [".jpg", ".JPG", ".png", ".tif", ".txt", ""])
@pytest.mark.parametrize("name", ["jpeg", "png", "webp lossless", "tiff", "gif"])
def test_the_content_decides_and_not_the_name(name: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    path.write_bytes(FILES[name])
    np.testing.assert_array_equal(read_image(path), decode(FILES[name]))


BOMBS = {
    "png": png_header_only(60_000, 60_000),
    "jpeg": jpeg_header_only(60_000, 60_000),
    "bmp": bmp_header_only(60_000, 60_000),
    "bmp top-down": bmp_header_only(60_000, -60_000),
    "gif": gif_header_only(60_000, 60_000),
    "gif frame": gif_frame_only(60_000, 60_000),  # far larger than the screen it is shown on
    "webp": webp_header_only(2**24, 2**24),
    "tiff": tiff_with({256: 60_000, 257: 60_000}),
    "jpeg 2000": jpeg_2000_header_only(60_000, 60_000),
    "one row": png_header_only(2**31 - 1, 1),
    "square": png_header_only(20_000, 20_000),
    "just over": png_header_only(20_000, 10_001),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_by_their_header(name: str) -> None:
    with pytest.raises(ImageError, match="more than the limit of 200,000,000"):
        decode(BOMBS[name])


def test_memory_is_leased_for_what_is_decoded_of_a_gif() -> None:
    """The first frame may exceed the screen, which Pillow then extends."""
    data = bytearray(encode(scene(48, 64), "GIF"))
    struct.pack_into("<HH", data, 6, 1, 1)
    header = read_header(bytes(data))
    assert decode(bytes(data)).shape == (header.height, header.width, 3) == (48, 64, 3)
    table = 13 + (3 << (data[10] & 7) + 1)
    data[table:table] = b"\x55"  # garbage, which Pillow skips
    with pytest.raises(ImageError, match="GIF header gives it too small a size"):
        decode(bytes(data))


def test_bombs_take_no_memory() -> None:
    # In a process of its own, with 256 MB to spare once everything is imported.
    script = """
import resource, sys, test_images_read
from yolo_max.support.errors import ImageError
from yolo_max.images.header import read_header
from yolo_max.images.read import decode
decode(test_images_read.FILES["jpeg"])
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 256 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
for name, data in test_images_read.BOMBS.items():
    try:
        decode(data)
    except ImageError as error:
        assert "limit" in error.reason, (name, error)
    else:
        raise SystemExit(f"{name} was decoded")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)


@pytest.mark.parametrize(
    ("max_pixels", "fits"),
    [(64 * 48, True), (64 * 48 - 1, False)],
)
@pytest.mark.parametrize("name", FILES)
def test_max_pixels_is_a_limit_that_may_be_reached(name: str, max_pixels: int, fits: bool) -> None:
    if fits:
        assert decode(FILES[name], max_pixels=max_pixels).shape == (48, 64, 3)
    else:
        with pytest.raises(ImageError, match="64 x 48 pixels"):
            decode(FILES[name], max_pixels=max_pixels)


def test_deep_pixels_count_as_more_of_them() -> None:
    data = encode_cv2(
        SCENE.astype(np.float64), ".tiff"
    )  # 24 bytes a pixel, six times those of an ordinary one
    assert decode(data, max_pixels=64 * 48 * 6).shape == SCENE.shape
    with pytest.raises(ImageError, match="limit"):
        decode(data, max_pixels=64 * 48 * 6 - 1)


@pytest.mark.parametrize("size", [(1, 1), (1, 10_000), (10_000, 1), (2, 65_000)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    image = np.arange(size[0] * size[1] * 3, dtype=np.uint64).astype(np.uint8).reshape(*size, 3)
    np.testing.assert_array_equal(decode(encode_cv2(image, ".png")), image)


NAMES = [
    "été 猫.jpg",
    "two words.jpg",
    "line\nbreak.jpg",
    "-rf.jpg",
    "'\"$(x);.jpg",
    ".hidden.jpg",
    "a" * 250 + ".jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(FILES["jpeg"])
    assert read_image(name).shape == SCENE.shape
    assert read_image(tmp_path / name).shape == SCENE.shape


def test_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff\xfe.jpg"
    with open(path, "wb") as file:  # noqa: PTH123  (a path of bytes)
        file.write(FILES["jpeg"])
    assert read_image(os.fsdecode(path)).shape == SCENE.shape


def _missing(folder: Path) -> Path:
    return folder / "missing.jpg"


def _unreadable(folder: Path) -> Path:
    path = folder / "secret.jpg"
    path.write_bytes(FILES["jpeg"])
    path.chmod(0)
    return path


def _loop(folder: Path) -> Path:
    path = folder / "loop.jpg"
    path.symlink_to(path)
    return path


def _fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo.jpg")
    return folder / "fifo.jpg"


def _socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s.jpg"))
    return folder / "s.jpg"


def _huge(folder: Path) -> Path:
    path = folder / "sparse.jpg"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_missing, "No such file"),
        (_loop, "symbolic links"),
        (_fifo, "a FIFO, not a file"),  # and opening it does not wait
        (_socket, "cannot be opened"),
        (lambda folder: folder, "a folder, not a file"),
        (lambda folder: Path("/dev/zero"), "a device, not a file"),
        (_huge, "more than the 1,073,741,824"),
        (lambda folder: folder / "a\0b.jpg", "null"),
        (lambda folder: folder / ("x" * 300), "too long"),
    ],
)
def test_anything_that_is_not_a_readable_file_is_named(make: Any, reason: str, tmp_path: Path) -> None:
    path = make(tmp_path)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"
    assert caught.value.exit_code == ExitCode.SOME_IMAGES_FAILED


def test_a_file_without_permission(nobody: Path) -> None:
    with pytest.raises(ImageError, match="Permission denied"):
        read_image(_unreadable(nobody))


def test_a_huge_file_that_is_not_an_image_is_not_read(tmp_path: Path) -> None:
    tracemalloc.start()
    try:
        for start in (b"", b"ID3", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftypmp42"):
            path = tmp_path / "sparse.jpg"
            path.write_bytes(start)
            os.truncate(path, MAX_FILE_BYTES)
            with pytest.raises(ImageError, match=r"it is .*; JPEG, PNG"):
                read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_large_images_share_one_budget_of_memory() -> None:
    # In a process of its own: four threads decode a GIF of 36 million pixels, which takes 432 MB each.
    script = """
import resource, threading
from image_files import gif_header_only
from yolo_max.images.header import read_header
from yolo_max.images.read import decode
data = gif_header_only(6000, 6000)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
decode(gif_header_only(64, 64))
before = peak()
threads = [threading.Thread(target=decode, args=(data,)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(peak() - before)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run(
        [sys.executable, "-c", script], check=True, env=environment, capture_output=True, text=True
    )
    assert float(run.stdout) < 1.1 * 1024


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (SCENE, SCENE),
        (GRAY, GRAY_BGR),
        (GRAY[:, :, None], GRAY_BGR),
        (np.dstack([SCENE, ALPHA]), SCENE),  # BGRA
        (SCENE.astype(np.uint16) * 256 + 9, SCENE),  # 16 bits
        (SCENE[:, ::-1], SCENE[:, ::-1]),  # a view
        (SCENE.astype(np.float32) / 255, SCENE),
    ],
)
def test_arrays(array: np.ndarray, expected: np.ndarray) -> None:
    image = read_image(array)
    assert_image(image)
    np.testing.assert_array_equal(image, expected)


def test_an_array_that_is_right_already_is_not_copied() -> None:
    assert np.shares_memory(read_image(SCENE), SCENE)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),  # a batch
        (np.zeros((3, 4, 5), np.uint8), "shape"),  # five channels
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((4, 4, 3), np.int64), "int64"),
        (np.array(["a"]), "shape"),
        (None, "NoneType"),
        (7, "int"),
    ],
)
def test_arrays_that_are_not_images_are_refused(source: Any, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        read_image(source)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "I", "F", "I;16"])
def test_pil_images_of_every_mode(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(GRAY.astype(np.uint16) * 256)
    elif mode == "I":
        with pytest.raises(ImageError, match="int32"):
            read_image(pil(SCENE).convert("I"))
        return
    else:
        image = pil(SCENE).convert(mode)
    assert image.mode == mode
    result = read_image(image)
    assert_image(result)
    expected = {"L": None, "LA": None, "1": None, "F": None, "I;16": GRAY_BGR}.get(mode, SCENE)
    if expected is not None:
        np.testing.assert_allclose(result.astype(int), expected.astype(int), atol=60 if mode == "P" else 3)


def test_the_exif_of_a_pil_image_is_applied() -> None:
    import io

    image = Image.open(io.BytesIO(with_orientation(SCENE, "PNG", 6)))
    np.testing.assert_array_equal(read_image(image), SCENE)


def test_a_pil_image_not_loaded_yet_is_measured_first() -> None:
    import io

    with pytest.raises(ImageError, match="60000 x 1000 pixels"):
        read_image(Image.open(io.BytesIO(png_header_only(60_000, 1000))), max_pixels=1000)


def test_bytes_of_every_type() -> None:
    for data in (FILES["png"], bytearray(FILES["png"]), memoryview(FILES["png"])):
        np.testing.assert_array_equal(read_image(data), SCENE)  # type: ignore[arg-type]


def test_opencv_can_be_kept_quiet() -> None:
    # OpenCV writes to the process' own stderr, past sys.stderr.
    script = """
import sys, test_images_read
from yolo_max.support.errors import ImageError
from yolo_max.images.header import read_header
from yolo_max.images.read import decode, silence_opencv
if sys.argv[1:]:
    silence_opencv()
data = test_images_read.FILES["tiff lzw"]
try:
    decode(data[:100] + bytes(200) + data[300:])
except ImageError as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    loud, quiet = (
        subprocess.run(
            [sys.executable, "-c", script, *arguments],
            check=True,
            env=environment,
            capture_output=True,
            text=True,
        )
        for arguments in ([], ["quiet"])
    )
    assert loud.stderr
    assert not quiet.stderr
    assert quiet.stdout == loud.stdout

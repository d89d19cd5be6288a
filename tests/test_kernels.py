"""The kernels, called through a C interface (``kernel_library``), against PyTorch in float64."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from guarded import survives
from kernel_cases import (
    F32,
    NONE,
    SLOPE,
    Case,
    check,
    convolution,
    poisoned,
    problem,
    solve,
)
from kernel_library import REPOSITORY, Kernels, Map, loaded, mojo, stored
from numpy.typing import NDArray
from toom_cook import ALGORITHMS, Algorithm

from yolo_max.kernels import packing
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import DIRECT, POLYPHASE, STEM, WINOGRAD, ConvKernel
from yolo_max.kernels.precision import Precision

torch = pytest.importorskip("torch")


def official_shapes() -> list[tuple[int, int, int, int, Activation]]:
    """Every distinct convolution of YOLOv8 n, s, m, l and x: c1, c2, k, s, activated."""
    from ultralytics.nn.tasks import yaml_model_load

    from yolo_max.model.architecture import parse_architecture
    from yolo_max.model.model import MaxYolo

    from max.nn.layer import Module  # isort: skip  (after yolo_max.model.max_nn, so that it compiles nothing)

    class Nothing(Module):  # type: ignore[misc]
        def __call__(self) -> None: ...

    shapes = set()

    class Recorder:
        def conv2d(self, c1: int, c2: int, k: int, s: int, *_: Any, activation: Activation, **__: Any) -> Any:
            shapes.add((c1, c2, k, s, activation))
            return Nothing()

    recorder: Any = Recorder()
    for size in "nsmlx":
        MaxYolo(parse_architecture(yaml_model_load(f"yolov8{size}.yaml")), recorder)
    return sorted(shapes)


def official_cases() -> Iterator[Case]:
    """At sizes that end in the middle of a tile, of a square and of a row of squares."""
    for index, (c1, c2, k, s, activation) in enumerate(official_shapes()):
        height, width = [(9, 7), (6, 11), (13, 5)][index % 3]
        if c1 < 128:
            height, width = height * 2, width * 3
        residual = bool(activation) and c1 == c2 and k == 3 and s == 1
        yield Case(c1, c2, k, s, height, width, activation=activation, residual=residual)


ODD = [
    Case(8, 8, 1, 1, 5, 5),  # fewer channels than a block
    Case(8, 100, 1, 1, 9, 30),  # a panel that ends within a block
    Case(24, 40, 3, 1, 7, 5, batch=3, residual=True),  # half a block left over on both sides
    Case(40, 24, 3, 2, 9, 13, batch=2),
    Case(1, 1, 3, 1, 4, 4),  # a single channel
    Case(5, 7, 3, 2, 6, 6, residual=True),  # odd channels: a pair of bfloat16 that is half empty
    Case(17, 33, 1, 1, 3, 3, residual=True),  # one more than a block, one more than a panel
    Case(32, 32, 3, 1, 20, 1),  # width 1
    Case(32, 32, 3, 2, 1, 20),  # height 1
    Case(64, 64, 3, 1, 1, 1, batch=5),  # a map of one pixel, as images of 32 x 32 have it at stride 32
    Case(64, 64, 3, 2, 2, 2),  # down to one pixel
    Case(64, 80, 1, 1, 1, 1, batch=3, activation=NONE),  # the head on such a map
    Case(48, 1, 1, 1, 10, 10, activation=NONE),  # a single class
    Case(16, 48, 3, 1, 4, 113),  # more squares than a strip holds, in one row
    Case(16, 16, 3, 1, 33, 2, batch=2),
    Case(16, 16, 5, 1, 9, 8),  # other kernels
    Case(16, 24, 7, 2, 12, 12),
    Case(20, 16, 5, 3, 11, 14),
    Case(16, 16, 1, 2, 7, 9),
    Case(3, 16, 3, 2, 32, 32, batch=3),  # the stem
    Case(3, 24, 3, 2, 2, 2),
    Case(3, 8, 3, 2, 64, 3, batch=2),
]


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("case", [*official_cases(), *ODD], ids=str)
def test_convolutions(kernels: Kernels, case: Case, precision: Precision) -> None:
    for kernel in case.kernels():
        rounded = kernel.weight_dtype(precision) is not np.float32
        p = problem(case, precision, rounded)
        check(solve(kernels, p, kernel, precision), p, precision)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tiles_are_transformed_by_toom_cook(kernels: Kernels, algorithm: Algorithm) -> None:
    """Each of 36 output channels has a filter that is 1 at one point, each image a single 1 in the patch."""
    side = algorithm.input.shape[1]
    first = 4 * algorithm.stride - 1  # of the patch of the second tile, which padding does not touch
    patches = np.eye(side * side, dtype=np.float32).reshape(-1, side, side)
    images = np.pad(patches, ((0, 0), (first, 4), (first, 4)))[..., None]
    out = -(-images.shape[1] // algorithm.stride)
    result = poisoned((len(images), out, out, 36), F32)
    kernels.convolve(
        algorithm.kernel,
        [Map(images)],
        packing.pack_tiles(np.eye(36, dtype=np.float32).reshape(6, 6, 1, 36), np.eye(6)),
        packing.pack_bias(np.zeros(36, np.float32)),
        result,
        k=3,
        s=algorithm.stride,
        activation=NONE,
    )
    one_way = np.zeros((6, 4, side))
    for point, index in enumerate(algorithm.filter_of):
        along = np.outer(algorithm.output[:, point], algorithm.input[point])
        one_way[index] += algorithm.scales[point] * along
    expected = np.einsum("pir,qjs->rsijpq", one_way, one_way).reshape(side * side, 4, 4, 36)
    np.testing.assert_allclose(result[:, 4:8, 4:8], expected, rtol=5e-7, atol=1e-7)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(
    "slices",
    [
        # (channels of the tensor, first, taken, doubled)
        [(32, 0, 32, False)],
        [(64, 32, 32, False)],  # the second half, as C2f's bottlenecks read it
        [(32, 0, 32, True)],  # doubled
        [(32, 0, 32, True), (48, 0, 48, False)],  # upsample and concat, as YOLOv8's neck has them
        [(256, 0, 256, True), (128, 0, 128, False)],  # the same with long sums, which are parted
        [(40, 8, 24, False), (16, 0, 16, True)],  # slices that do not begin at a block
        [(48, 0, 48, False), *[(24, 0, 24, False)] * 6],  # many, not of whole blocks
        [(7, 1, 5, True), (9, 2, 3, False), (1, 0, 1, True)],  # odd
    ],
    ids=str,
)
@pytest.mark.parametrize(("k", "s"), [(1, 1), (3, 1), (3, 2)])
def test_views_are_read_as_if_they_were_one_tensor(
    kernels: Kernels, slices: list[tuple[int, int, int, bool]], k: int, s: int, precision: Precision
) -> None:
    rng = np.random.default_rng(3)
    batch, height, width = 2, 10, 14
    maps = []
    for total, start, channels, doubled in slices:
        scale = 2 if doubled else 1
        # What is not taken must not be read: it is NaN.
        tensor = np.full((batch, height // scale, width // scale, total), np.nan, np.float32)
        tensor[..., start : start + channels] = rng.standard_normal((*tensor.shape[:3], channels))
        maps.append(Map(stored(tensor, precision), start, channels, doubled))
    whole = np.concatenate([loaded(m.values()) for m in maps], axis=3)
    case = Case(whole.shape[3], 40, k, s, height, width, batch)
    for kernel in case.kernels():
        rounded = kernel.weight_dtype(precision) is not np.float32
        p = problem(case, precision, rounded)
        added = rng.standard_normal((*p.exact.shape[:3], 50)).astype(np.float32)
        added[..., :6] = added[..., 46:] = np.nan
        residual = Map(stored(added, precision), 6, 40)
        added = loaded(residual.values())
        p = replace(p, exact=convolution(case, whole, p.filters, p.bias, p.slopes, added))
        result = poisoned(p.exact.shape, precision)
        kernels.convolve(
            kernel,
            maps,
            kernel.pack(p.filters, precision),
            packing.pack_bias(p.bias),
            result,
            k=k,
            s=s,
            residual=residual,
        )
        check(loaded(result), p, precision)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("activation", Activation)
@pytest.mark.parametrize(
    ("doubled", "fine", "c2"),
    [
        ([32], [16], 40),  # as YOLOv8's neck has it, with a panel that is not full
        ([16, 48], [8, 24, 1], 100),  # several slices of either kind; the last not of whole blocks
        ([8, 24], [16], 64),  # slices that are whole blocks only together
        ([32], [], 24),  # nothing else
        ([24], [40], 32),  # no whole blocks, which go the long way
    ],
)
def test_sums_over_doubled_channels_are_as_exact_as_others(
    kernels: Kernels,
    doubled: list[int],
    fine: list[int],
    c2: int,
    activation: Activation,
    precision: Precision,
) -> None:
    rng = np.random.default_rng(11)
    batch, height, width = 3, 14, 18
    size, half = (batch, height, width), (batch, height // 2, width // 2)
    maps = [
        Map(stored(rng.standard_normal((*shape, channels)).astype(np.float32), precision), doubled=twice)
        for group, shape, twice in ((doubled, half, True), (fine, size, False))
        for channels in group
    ]
    whole = Map(np.concatenate([m.values() for m in maps], axis=3))
    case = Case(whole.channels, c2, 1, 1, height, width, batch, activation, residual=True)
    p = problem(case, precision, precision is Precision.BF16)
    assert p.residual is not None
    residual = Map(stored(p.residual, precision))
    x = loaded(whole.tensor)
    exact = convolution(case, x, p.filters, p.bias, p.slopes, p.residual)
    p = replace(p, x=x, exact=exact)
    weight = DIRECT.pack(p.filters, precision)
    for view in (maps, [whole]):
        result = poisoned((*size, c2), precision)
        kernels.convolve(
            DIRECT,
            view,
            weight,
            packing.pack_bias(p.bias, p.slopes),
            result,
            k=1,
            s=1,
            activation=activation,
            slope=SLOPE,
            residual=residual,
        )
        check(loaded(result), p, precision)


@pytest.mark.parametrize(
    "case",
    [
        Case(200, 40, 1, 1, 9, 11, activation=NONE),  # two parts of the sums
        Case(40, 40, 3, 1, 9, 11, activation=NONE),
        Case(40, 24, 3, 2, 9, 11, activation=NONE),
        Case(3, 24, 3, 2, 9, 11, activation=NONE),
        Case(40, 40, 5, 1, 9, 11, activation=NONE, groups=40),
        Case(40, 40, 3, 3, 9, 11, activation=NONE, groups=40),
    ],
    ids=str,
)
def test_a_bias_is_added_to_the_whole_sum(kernels: Kernels, case: Case) -> None:
    """So the result is rounded to the size of a large bias once, and not with every term."""
    for kernel in case.kernels():
        p = problem(case, F32, False)
        bias = np.full_like(p.bias, 1000)
        exact = p.exact - p.bias + 1000
        result = solve(kernels, replace(p, bias=bias), kernel, F32)
        half_a_unit = 2.0**-15
        assert np.abs(result - exact).max() <= half_a_unit + 1e-5


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("divisor", [255, 256, 127, 3, 1])
def test_the_stem_divides_bytes_as_pytorch_does(kernels: Kernels, divisor: int, precision: Precision) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2, 33, 40, 3), np.uint8)
    image.reshape(-1)[:256] = np.arange(256)
    unit = (torch.from_numpy(image).float() / divisor).numpy()
    # A filter of a single one in the middle passes the pixel itself on, so that the division can be seen.
    filters = np.zeros((3, 3, 3, 16), np.float32)
    filters[1, 1, range(3), range(3)] = 1
    result = poisoned((2, 17, 20, 16), precision)
    kernels.convolve(
        STEM,
        [Map(image)],
        packing.pack_stem(filters, precision),
        packing.pack_bias(np.zeros(16, np.float32)),
        result,
        k=3,
        s=2,
        activation=NONE,
        divisor=divisor,
    )
    expected = loaded(stored(np.ascontiguousarray(unit[:, ::2, ::2]), precision))
    np.testing.assert_array_equal(loaded(result)[..., :3], expected)
    assert not loaded(result)[..., 3:].any()


POOLED = [
    # batch, height, width, channels of the tensor, first, taken, k
    (1, 20, 20, 128, 0, 128, 5),
    (2, 1, 1, 16, 0, 16, 5),  # a single pixel: nothing around it
    (1, 3, 2, 48, 16, 32, 5),  # a window larger than the map, channels out of the middle
    (3, 7, 5, 24, 0, 24, 5),  # half a block left over
    (1, 6, 6, 8, 1, 5, 3),
    (1, 9, 9, 16, 0, 16, 1),
]


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(("batch", "height", "width", "total", "start", "channels", "k"), POOLED)
def test_max_pool_of_a_slice(
    kernels: Kernels,
    batch: int,
    height: int,
    width: int,
    total: int,
    start: int,
    channels: int,
    k: int,
    precision: Precision,
) -> None:
    rng = np.random.default_rng(0)
    tensor = np.full((batch, height, width, total), np.nan, np.float32)
    # All below zero: padding with zeros would show.
    taken = rng.uniform(-0.278, -0.1, (batch, height, width, channels)).astype(np.float32)
    tensor[..., start : start + channels] = taken
    result = poisoned(taken.shape, precision)
    kernels.max_pool(Map(stored(tensor, precision), start, channels), k, result)
    nchw = torch.from_numpy(loaded(stored(taken, precision))).permute(0, 3, 1, 2)
    expected = torch.nn.functional.max_pool2d(nchw, k, 1, k // 2).permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(loaded(result), expected)


MASKED = [
    # batch, height, width, outputs in the mask (image, y, x), halo: the tiles of 4 x 4 that are computed
    (1, 12, 12, [(0, 5, 6)], 0, {(0, 1, 1)}),
    (1, 12, 20, [(0, 0, 0)], 1, {(0, y, x) for y in (0, 1) for x in (0, 1)}),  # in a corner
    (1, 9, 22, [(0, 8, 21)], 1, {(0, y, x) for y in (1, 2) for x in (4, 5)}),  # in the last, partial square
    (2, 8, 8, [(1, 0, 0)], 1, {(1, y, x) for y in (0, 1) for x in (0, 1)}),  # not in the image before
    (1, 20, 20, [(0, 9, 9)], 2, {(0, y, x) for y in range(5) for x in range(5)}),
    (3, 4, 4, [], 0, set()),  # nothing to do
    (1, 40, 64, [(0, y, x) for y in range(40) for x in range(64)], 0,
     {(0, y, x) for y in range(10) for x in range(16)}),  # everything
]  # fmt: skip


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(("batch", "height", "width", "outputs", "halo", "tiles"), MASKED)
def test_tiles_outside_of_the_mask_are_left_alone(
    kernels: Kernels,
    batch: int,
    height: int,
    width: int,
    outputs: list[tuple[int, int, int]],
    halo: int,
    tiles: set[tuple[int, int, int]],
    precision: Precision,
) -> None:
    p = problem(Case(32, 48, 3, 1, height, width, batch), precision, False)
    mask = np.zeros((batch, height, width, 1), np.float32)
    for output in outputs:
        mask[output] = 1
    expected = np.full(p.exact.shape, np.nan, np.float32)
    whole = solve(kernels, p, WINOGRAD, precision)
    for image, y, x in tiles:
        here = image, slice(4 * y, 4 * y + 4), slice(4 * x, 4 * x + 4)
        expected[here] = whole[here]
    result = poisoned(p.exact.shape, precision)
    kernels.convolve(
        WINOGRAD,
        [Map(stored(p.x, precision))],
        WINOGRAD.pack(p.filters, precision),
        packing.pack_bias(p.bias),
        result,
        k=3,
        s=1,
        mask=Map(stored(mask, precision)),
        halo=halo,
    )
    np.testing.assert_array_equal(loaded(result), expected)


def empty(*shape: int) -> NDArray[np.float32]:
    return np.zeros(shape, np.float32)


WHOLE = Map(empty(1, 8, 8, 16))
MISFITS = [
    ([WHOLE, Map(empty(1, 8, 7, 16))], None, (1, 8, 8, 16), "a slice is 1 x 8 x 7"),
    ([WHOLE, Map(empty(2, 8, 8, 16))], None, (1, 8, 8, 16), "a slice is 2 x 8 x 8"),
    ([WHOLE, Map(empty(1, 3, 4, 16), doubled=True)], None, (1, 8, 8, 16), "a doubled slice is 1 x 3 x 4"),
    ([Map(WHOLE.tensor, 4, 16)], None, (1, 8, 8, 16), "slice 0 takes channels 4 to 20 of a tensor"),
    ([WHOLE], None, (1, 7, 8, 16), "the result is 1 x 7 x 8"),
    ([WHOLE], Map(empty(1, 8, 4, 16)), (1, 8, 8, 16), "the residual is 1 x 8 x 4"),
    ([WHOLE], Map(empty(1, 8, 8, 8)), (1, 8, 8, 16), "the residual has 8 channels where 16 are needed"),
]  # fmt: skip


@pytest.mark.parametrize(("maps", "residual", "shape", "message"), MISFITS, ids=[m[3] for m in MISFITS])
def test_tensors_that_do_not_fit_are_refused(
    kernels: Kernels, maps: list[Map], residual: Map | None, shape: tuple[int, ...], message: str
) -> None:
    filters = np.zeros((1, 1, sum(m.channels for m in maps), shape[3]), np.float32)
    with pytest.raises(ValueError, match=message):
        kernels.convolve(
            DIRECT,
            maps,
            packing.pack_direct(filters, F32),
            packing.pack_bias(np.zeros(shape[3], np.float32)),
            np.zeros(shape, np.float32),
            k=1,
            s=1,
            residual=residual,
        )


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 4, 1), "the mask is 1 x 8 x 4"),
        ((1, 8, 8, 2), "a mask has one channel, not 2"),
    ],
)
def test_masks_that_do_not_fit_are_refused(kernels: Kernels, shape: tuple[int, ...], message: str) -> None:
    weight = packing.pack_tiles(np.zeros((3, 3, 16, 16), np.float32), packing.WINOGRAD_G)
    bias = packing.pack_bias(np.zeros(16, np.float32))
    with pytest.raises(ValueError, match=message):
        kernels.convolve(
            WINOGRAD, [WHOLE], weight, bias, empty(1, 8, 8, 16), k=3, s=1, mask=Map(empty(*shape))
        )


@pytest.mark.parametrize(
    ("kernel", "stride", "most"),
    [
        (WINOGRAD, 1, 5),  # 3.3; 8.9 with a single sum of all channels
        (POLYPHASE, 2, 2),  # 1.3; 3.8
    ],
    ids=str,
)
def test_transforms_magnify_the_rounding_of_short_sums_only(
    kernels: Kernels, kernel: ConvKernel, stride: int, most: float
) -> None:
    p = problem(Case(512, 32, 3, stride, 12, 12, activation=NONE), F32, False)
    ours, direct = (np.square(solve(kernels, p, each, F32) - p.exact).mean() for each in (kernel, DIRECT))
    assert ours <= most**2 * direct


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 64])
def test_any_number_of_tasks_gives_the_same(kernels: Kernels, workers: int) -> None:
    """A task's share begins anywhere; more tasks than rows or squares leave none without work."""
    several = Kernels(kernels.path, workers)
    # Few pixels, and channels enough for 33, 16 and 16 threads.
    for case in (Case(768, 768, 1, 1, 3, 5, 2), Case(256, 256, 3, 1, 3, 5), Case(256, 256, 3, 2, 5, 9)):
        p = problem(case, F32, False)
        for kernel in case.kernels():
            np.testing.assert_array_equal(
                solve(several, p, kernel, F32), solve(kernels, p, kernel, F32), err_msg=kernel
            )


@pytest.mark.parametrize(
    ("pixels", "alone"),
    [
        (63, True),  # 16,384 products each: less than twice the 2^19 that are worth a thread
        (64, False),
    ],
)
def test_small_convolutions_run_on_one_thread(kernels: Kernels, pixels: int, alone: bool) -> None:
    without_context = Kernels(kernels.path, 1)  # by which other threads are started
    without_context.workers = 2
    p = problem(Case(128, 128, 1, 1, 1, pixels), F32, False)
    assert survives(lambda: solve(without_context, p, DIRECT, F32)) is alone


TARGETED = [
    # options for the compiler, what its assembly must hold, what it must not
    (["--target-cpu", "znver4"], "vdpbf16ps", None),  # AVX-512 with products of bfloat16
    (["--target-cpu", "sapphirerapids"], "vdpbf16ps", None),
    (["--target-cpu", "skylake-avx512"], "vfmadd231ps", "vdpbf16ps"),  # AVX-512 without
    (["--target-cpu", "haswell"], "vfmadd231ps", "%zmm"),  # AVX2
    (["--target-triple", "aarch64-unknown-linux-gnu", "--target-cpu", "neoverse-n1"], "fmla", None),  # NEON
]


@pytest.mark.parametrize(("options", "needed", "forbidden"), TARGETED, ids=[t[0][-1] for t in TARGETED])
def test_processors_get_their_own_instructions(
    options: list[str], needed: str, forbidden: str | None, tmp_path: Path
) -> None:
    source = Path(__file__).parent / "support" / "kernel_assembly.mojo"
    assembly = tmp_path / "kernels.s"
    mojo("build", "--emit", "asm", *options, "-I", REPOSITORY, source, "-o", assembly)
    text = assembly.read_text()
    assert needed in text
    assert forbidden is None or forbidden not in text

"""Put the tables about the kernels into docs/kernels.md, between their markers (benchmark_tables.py).

python scripts/kernel_tables.py             what is supported, from the kernels and their tests
python scripts/kernel_tables.py --measure   the measured shapes as well
"""

from __future__ import annotations

import argparse
import ast
import tempfile
from collections.abc import Mapping
from pathlib import Path

import kernel_sizes
from bench_kernel import Bench, Measured, command_line
from benchmark_tables import fill
from kernel_library import REPOSITORY, Kernels, build

from yolo_max.kernels import call, norms, pools, products, resize
from yolo_max.kernels.conv_kernel import KERNELS, TRANSPOSED
from yolo_max.kernels.kernel_table import CONVOLUTIONS_AND_POOLS, COPIES, NORMS, OTHER_CONVOLUTIONS, POOLS
from yolo_max.kernels.precision import Precision
from yolo_max.runtime import cpu

PAGE = REPOSITORY / "docs" / "kernels.md"
TESTS = REPOSITORY / "tests"
WINDOWS = "test_kernels_windows.py::test_windows"
POOL, MATMUL = "test_kernels_pool.py", "test_kernels_matmul.py"

SHOWN_BY = {
    (TRANSPOSED.table, TRANSPOSED.id): (
        "convolution, transposed",
        "test_kernels_transposed.py::test_transposed_convolutions",
    ),
    (CONVOLUTIONS_AND_POOLS, pools.MAX_POOL): ("max-pool", f"{POOL}::test_max_pool"),
    (POOLS, pools.AVERAGE_POOL): ("average pool", f"{POOL}::test_average_pool"),
    (POOLS, resize.RESIZE): ("resize", "test_kernels_resize.py::test_resize_to_a_size"),
    (products.PRODUCTS, products.MATMUL): ("matmul", f"{MATMUL}::test_products"),
    (products.PRODUCTS, products.LINEAR): ("linear", f"{MATMUL}::test_linear"),
    (products.PRODUCTS, products.SOFTMAX): ("softmax", f"{MATMUL}::test_softmax"),
    (products.PRODUCTS, products.ATTENTION): (
        "attention",
        "test_kernels_attention.py::test_attention",
    ),
    (NORMS, norms.LAYER_NORM): ("layer norm", "test_kernels_norms.py::test_layer_norm"),
    (COPIES, call.COPY): ("copies of views", "test_kernels_copies.py::test_views_become_one_tensor"),
}
"""What a place of a table computes, and the test that shows it; convolutions have entries of their own."""
BUILDS = {"avx512": "AVX-512", "native": "AVX-512 with bf16", "avx2": "AVX2"}
"""Builds that the fixture ``kernels`` of the tests makes, by the instructions they are to show."""

SEED_PRODUCTS = [
    "matmul 32,512,512 32,512,512",
    "matmul 2,1,512 2,512,1000",
    "matmul 2,1,512 2,512,10",
    "matmul 2,512,32 2,32,16",
]
SEED_CONVOLUTIONS = [
    f"conv2d 16,32,{k},{s} --size 64x32 --batch 32 --padding {p}"
    for k, p, s in [(3, 0, 1), (3, 3, 1), (5, 0, 1), (5, 3, 2), (6, 0, 1), (6, 3, 1), (6, 3, 2)]
]
NETWORKS = [
    "conv2d 3,16,3,2 --size 640 --activation silu",  # YOLOv8n
    "conv2d 64,64,3,1 --size 80 --activation silu",
    "conv2d 64,128,3,2 --size 80 --activation silu",
    "conv2d 384,128,1,1 --size 40 --activation silu",
    "max-pool 128,5,1 --size 20 --padding 2",
    "conv2d 3,64,7,2 --size 224 --activation relu",  # ResNet
    "conv2d 64,64,3,1 --size 56 --activation relu",
    "conv2d 512,512,3,1 --size 7 --activation relu",
    "conv2d 256,64,1,1 --size 56 --activation relu",
    "conv2d 96,96,3,2 --size 112 --groups 96 --activation relu6",  # MobileNet
    "conv2d 384,384,3,1 --size 14 --groups 384 --activation relu6",
    "conv2d 384,64,1,1 --size 14",
    "conv2d 96,96,7,1 --size 56 --groups 96",  # ConvNeXt
    "conv2d 3,96,4,4 --size 224 --padding 0",
    "conv-transpose 64,32,4,2 --size 40 --padding 1",
    "linear 197,768,3072",  # ViT
    "attention 12,197,64,64",
    "softmax 2364,197",
    "average-pool 512,7,1 --size 7",
    "resize 256 --size 20 --to 40",
]
TRIES = 3
"""Of a shape while other programs disturb it."""
SIZES = "sizes"
"""The table of kernel_sizes.py."""
MEASURED = {"products": SEED_PRODUCTS, "convolutions": SEED_CONVOLUTIONS, "networks": NETWORKS}


def parameters(file: str, test: str) -> set[str]:
    """Names of the arguments of a test."""
    for node in ast.parse((TESTS / file).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == test:
            return {each.arg for each in node.args.args}
    raise ValueError(f"{file} has no {test}.")


def emulated() -> set[str]:
    """Tests that also run on 64-bit Arm: those that test_kernels_neon.py imports."""
    tree = ast.parse((TESTS / "test_kernels_neon.py").read_text(encoding="utf-8"))
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return {f"{node.module}.py::{each.name}" for node in imports for each in node.names}


def support() -> str:
    """The support matrix: a row for each operation and precision."""
    rows = [
        (
            f"convolution, {k.name}",
            WINDOWS,
            k.weight_dtype(Precision.BF16) is not k.weight_dtype(Precision.F32),
        )
        for k in KERNELS
    ]
    tables = CONVOLUTIONS_AND_POOLS, OTHER_CONVOLUTIONS, POOLS, products.PRODUCTS, NORMS, COPIES
    places = {(table, i) for table in tables for i in range(table.size)}
    assert places == {(k.table, k.id) for k in KERNELS} | set(SHOWN_BY), "a kernel has no row"
    rows += [(what, test, what.startswith("convolution")) for what, test in SHOWN_BY.values()]
    lines = [
        "| operation | activations | AVX-512 | AVX-512 with bf16 | AVX2 | NEON | shown by |",
        "|---" * 7 + "|",
    ]
    for what, test, multiplies_bf16 in rows:
        names = parameters(*test.split("::"))
        assert "kernels" in names, f"{test} does not run on every build"
        for precision in Precision if "precision" in names else [Precision.F32]:
            is_bf16 = precision is Precision.BF16
            cells = ["f32"] * len(BUILDS)
            if is_bf16 and multiplies_bf16:
                cells[list(BUILDS.values()).index("AVX-512 with bf16")] = "bf16"
            neon = "f32" if test in emulated() else "not tested"
            lines.append(f"| {what} | {precision} | {' | '.join(cells)} | {neon} | `{test}` |")
    return "\n".join(lines) + "\n"


def row(line: str, measured: Measured) -> str:
    """A row of a table of measured shapes."""
    limit = "arithmetic" if measured.limits[0] > measured.limits[1] else "memory"
    ours, theirs = (min(times) * 1e3 for times in (measured.ours, measured.theirs))
    return (
        f"| `{line}` | {measured.kernel} | {ours:.3f} | {theirs:.3f} | {measured.ratio:.2f}"
        f" ({measured.median_ratio:.2f}) | {measured.share:.0%} {limit}"
        f" | {measured.errors[0]:.1e} ({measured.errors[1]:.1e}) |"
    )


def measure(names: list[str], threads: int) -> dict[str, str]:
    """Measures shapes; the tables, by name."""
    folder = Path(tempfile.gettempdir()) / "yolo_max_kernels"
    folder.mkdir(exist_ok=True)
    library = build(folder, None)
    texts = {SIZES: kernel_sizes.table(Kernels(library, threads))} if SIZES in names else {}
    bench = Bench([library], threads, rounds=10)
    header = "| shape | kernel | ms | PyTorch, ms | ratio (medians) | of the limit | error (PyTorch's) |"
    for name in MEASURED.keys() & set(names):
        lines = [header, "|---|---" + "|---:" * 5 + "|"]
        for line in MEASURED[name]:
            options = command_line().parse_args(line.split())
            for _ in range(TRIES):
                measured = bench.measure(options)[0]
                if not measured.is_disturbed:
                    break
            lines.append(row(line, measured))
            print(lines[-1], flush=True)
        texts[name] = "\n".join(lines)
    bench.close()
    return {name: f"{text}\n\nOn {threads} threads of {cpu.model_name()}.\n" for name, text in texts.items()}


def update(page: str, texts: Mapping[str, str] | None = None) -> str:
    """The page with its tables."""
    return fill(page, {"support": support(), **(texts or {})})


def main() -> None:
    """Rewrites the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    tables = [*MEASURED, SIZES]
    parser.add_argument("--measure", nargs="*", choices=tables, help="these tables, or all of them")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    texts = None if options.measure is None else measure(options.measure or tables, options.threads)
    PAGE.write_text(update(PAGE.read_text(encoding="utf-8"), texts), encoding="utf-8")


if __name__ == "__main__":
    main()

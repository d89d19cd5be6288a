"""What stands once in Python and once in Mojo is the same; and the kernels know no network."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kernel_library import PACKAGE

from yolo_max.kernels import call, norms, packing, pools, products, resize
from yolo_max.kernels.activation import Activation
from yolo_max.kernels.conv_kernel import KERNELS, TRANSPOSED
from yolo_max.kernels.kernel_table import CONVOLUTIONS_AND_POOLS, COPIES, NORMS, OTHER_CONVOLUTIONS, POOLS
from yolo_max.model import fused

KERNEL_SOURCES = sorted(path for path in (PACKAGE / "kernels").iterdir() if path.suffix in (".mojo", ".py"))


def constants(source: str) -> dict[str, int]:
    """Whole numbers that a Mojo file gives a name."""
    text = (PACKAGE / source).read_text(encoding="utf-8")
    found = re.findall(r"^ *comptime (\w+) = (?:Self\()?(\d+)\)?$", text, re.MULTILINE)
    return {name: int(value) for name, value in found}


def test_kernels_have_one_id() -> None:
    assert constants("kernels/table.mojo") == {
        **{k.name.upper(): k.id for k in KERNELS if k.table is CONVOLUTIONS_AND_POOLS},
        "MAX_POOL": pools.MAX_POOL,
        "COUNT": CONVOLUTIONS_AND_POOLS.size,
    }


def test_other_convolutions_have_one_id() -> None:
    assert constants("kernels/other_convolutions.mojo") == {
        **{k.name.upper(): k.id for k in (*KERNELS, TRANSPOSED) if k.table is OTHER_CONVOLUTIONS},
        "COUNT": OTHER_CONVOLUTIONS.size,
    }


def test_kernels_of_the_head_have_one_id() -> None:
    assert constants("model/detect/__init__.mojo") == {
        "CANDIDATES": fused.CANDIDATES,
        "HEAD": fused.HEAD,
        "COUNT": fused.DETECT.size,
    }


def test_products_have_one_id() -> None:
    assert constants("kernels/products.mojo") == {
        "MATMUL": products.MATMUL,
        "LINEAR": products.LINEAR,
        "SOFTMAX": products.SOFTMAX,
        "ATTENTION": products.ATTENTION,
        "COUNT": products.PRODUCTS.size,
    }


def test_pools_have_one_id_and_resizing_one_number_per_mode() -> None:
    assert constants("kernels/pools.mojo") == {
        "AVERAGE_POOL": pools.AVERAGE_POOL,
        "RESIZE": resize.RESIZE,
        "COUNT": POOLS.size,
    }
    assert constants("kernels/resize.mojo") == {mode.name: mode.value for mode in resize.Resize}


def test_copies_and_norms_have_one_id() -> None:
    assert constants("kernels/copies.mojo") == {"COPY": call.COPY, "COUNT": COPIES.size}
    assert constants("kernels/norms.mojo") == {"LAYER_NORM": norms.LAYER_NORM, "COUNT": NORMS.size}


def test_activations_have_one_number() -> None:
    assert constants("kernels/activation.mojo") == {each.name: each.value for each in Activation}


def test_a_block_has_one_size() -> None:
    assert constants("kernels/lanes.mojo")["BLOCK"] == packing.BLOCK


@pytest.mark.parametrize("source", KERNEL_SOURCES, ids=lambda path: path.name)
def test_kernels_know_no_network(source: Path) -> None:
    text = re.sub(r"\byolo_max\.", "", source.read_text(encoding="utf-8"))
    assert not re.findall(r"yolo|detect|candidate|logit|anchor", text, re.IGNORECASE)

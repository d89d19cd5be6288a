"""Which equations of ``torch.einsum`` become a product of matrices. Nothing is compiled."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import nn

from yolo_max.convert.analyzer import captured
from yolo_max.convert.program import name_of
from yolo_max.convert.rules import builtin_rules

SIZES = dict(zip("abhijkd", (2, 4, 3, 5, 7, 6, 8), strict=True))
MATMUL, PERMUTE = "aten.matmul.default", "aten.permute.default"


class Einsum(nn.Module):  # type: ignore[misc]
    def __init__(self, equation: str) -> None:
        super().__init__()
        self.equation = equation

    def forward(self, *tensors: Any) -> Any:
        return torch.einsum(self.equation, *tensors)


def operations(equation: str, *shapes: tuple[int | str, ...]) -> dict[str, int]:
    """Of the captured graph, which computes what the module does."""
    module = Einsum(equation).eval()
    program = captured(module, shapes, None, builtin_rules())
    inputs = [
        torch.randn([SIZES["b"] if size == "batch" else int(size) for size in shape]) for shape in shapes
    ]
    torch.testing.assert_close(program.run(*inputs)[0], module(*inputs))
    return dict(Counter(name_of(node) for node in program.calls()))


def shapes_of(equation: str) -> list[tuple[int, ...]]:
    inputs = equation.replace("...", "ab").replace(" ", "").split("->")[0].split(",")
    return [tuple(SIZES[each] for each in word) for word in inputs]


@pytest.mark.parametrize(
    ("equation", "permutes"),
    [
        ("ij,jk->ik", 0),
        ("bij,bjk->bik", 0),
        ("b i d, b j d -> b i j", 1),  # keys
        ("abhid,abhjd->abhij", 1),  # of MaxViT
        ("bhij,bhjd->bhid", 0),
        ("bhjd,bhij->bhid", 0),  # the second is the left one
        ("bihd,bjhd->bhij", 3),  # heads behind places
        ("bhij,bjhd->bihd", 2),
        ("hbid,bhjd->bhij", 2),  # the batches in another order
        ("...ij,...jk->...ik", 0),
        ("...id,...jd->...ij", 1),
    ],
)
def test_a_product_of_matrices(equation: str, permutes: int) -> None:
    found = operations(equation, *shapes_of(equation))
    assert found == {MATMUL: 1, **({PERMUTE: permutes} if permutes else {})}


def test_a_product_of_symbolic_batches() -> None:
    assert operations("bij,bjk->bik", ("batch", 5, 7), ("batch", 7, 6)) == {MATMUL: 1}


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bij,bjk", None),  # letters of the output by the alphabet
        ("ij->ji", None),
        ("ij,jk,kd->id", None),
        ("i,j->ij", None),  # nothing is summed over
        ("ij,ij->ij", None),
        ("bij,bjk->ik", None),  # the batches are summed over
        ("bijd,bjdk->bik", None),  # two letters are summed over
        ("bhid,jd->bhij", None),  # three letters of the first alone
        ("ythwc,hkc->ythwk", [(2, 3, 4, 5, 8), (4, 7, 8)]),  # of MViT: several rows
        ("bijk,bjd->bid", None),  # k is summed over beforehand
        ("bii,bij->bij", [(2, 5, 5), (2, 5, 7)]),  # a diagonal
        ("...ij,jk->...ik", None),
        ("bij,bjk->bik", [(1, 5, 7), (4, 7, 6)]),  # one matrix for all
        ("bij,bjk->bik", [(4, 5, 1), (4, 7, 6)]),  # a column for each row
    ],
)
def test_what_is_left_to_pytorch(equation: str, shapes: Any) -> None:
    """To its own decomposition: products of flattened matrices."""
    found = operations(equation, *(shapes or shapes_of(equation)))
    assert not {MATMUL, "aten.einsum.default"} & found.keys()

"""``torch.einsum`` of two tensors as a product of matrices, wherever it is one.

PyTorch's own decomposition is a chain of views and permutations around a flat product, in which no attention
is recognised.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from string import ascii_letters
from typing import Any, NamedTuple

import torch


class Product(NamedTuple):
    """``x @ y``, all in letters.

    Attributes:
        x: Which operand is ``x``: 0 or 1.
        batch: Letters of both and of the output, in its order.
        row: The letter of ``x`` and the output.
        column: The letter of ``y`` and the output, behind ``row`` there.
        inner: The letter that is summed over.
        operands: Of ``x``, ``y`` and the output.
    """

    x: int
    batch: str
    row: str
    column: str
    inner: str
    operands: tuple[str, str, str]


def einsum(equation: str, tensors: Sequence[torch.Tensor], path: Sequence[int] | None = None) -> Any:
    """``aten.einsum``, to be captured instead of it: PyTorch's own where it is no product of matrices."""
    # Its `decompose` would come back here.
    own = torch._C.DispatchKey.CompositeImplicitAutograd
    theirs = partial(torch.ops.aten.einsum.default._op_dk, own, equation, tensors, path=path)
    product = parse(equation, [each.ndim for each in tensors])
    if product is None:
        return theirs()
    x, y = (tensors[product.x], tensors[1 - product.x])
    of_x, of_y, output = product.operands
    sizes = [dict(zip(letters, each.shape, strict=True)) for letters, each in ((of_x, x), (of_y, y))]
    if any(str(sizes[0][each]) != str(sizes[1][each]) for each in product.batch + product.inner):
        return theirs()  # a size 1 is repeated
    x = _permuted(x, of_x, product.batch + product.row + product.inner)
    if of_y.index(product.inner) < of_y.index(product.column):
        y = _permuted(y, of_y, product.batch + product.inner + product.column)
    else:
        rank = y.ndim
        y = _permuted(y, of_y, product.batch + product.column + product.inner)
        y = y.permute([*range(rank - 2), rank - 1, rank - 2])
    return _permuted(x @ y, product.batch + product.row + product.column, output)


def _permuted(x: torch.Tensor, letters: str, wanted: str) -> torch.Tensor:
    return x if letters == wanted else x.permute([letters.index(each) for each in wanted])


def parse(equation: str, ranks: Sequence[int]) -> Product | None:
    """The product that an equation is, or None.

    Args:
        equation: As ``torch.einsum`` takes it.
        ranks: Of the tensors.
    """
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    operands = inputs.split(",")
    if not arrow or len(operands) != 2 or len(ranks) != 2:
        return None
    words = _without_dots([*operands, output], ranks)
    if words is None or any(len(set(word)) < len(word) for word in words):
        return None
    first, second, output = words
    batch = "".join(each for each in output if each in first and each in second)
    rows, columns = ([each for each in word if each in output and each not in batch] for word in words[:2])
    inner = [each for each in first if each in second and each not in output]
    if (len(rows), len(columns), len(inner)) != (1, 1, 1) or len(batch) + 2 != len(output):
        return None
    if len(first) != len(output) or len(second) != len(output):
        return None  # a letter of one operand alone is summed over
    row, column = rows[0], columns[0]
    if output.index(row) < output.index(column):
        return Product(0, batch, row, column, inner[0], (first, second, output))
    return Product(1, batch, column, row, inner[0], (second, first, output))


def _without_dots(words: Sequence[str], ranks: Sequence[int]) -> list[str] | None:
    """With a letter for each dimension of ``...``; None if the operands have other numbers of them."""
    counts = {
        rank - len(word.replace("...", "")) for word, rank in zip(words, ranks, strict=False) if "..." in word
    }
    if len(counts) > 1 or (counts and not all("..." in word for word in words)):
        return None
    unused = [each for each in ascii_letters if not any(each in word for word in words)]
    return [word.replace("...", "".join(unused[: max(counts, default=0)])) for word in words]

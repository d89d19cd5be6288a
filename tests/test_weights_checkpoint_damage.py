"""Damaged checkpoints give weights or one sentence."""

from __future__ import annotations

import copy
import io
import random
from collections.abc import Iterator
from typing import Any

import checkpoints
import numpy as np
import pytest

from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint import safe_pickle


def test_every_truncation_is_one_sentence() -> None:
    import torch

    data = checkpoints.saved({"x": torch.zeros(3), "date": "today"})
    for length in range(0, len(data), 7):
        with pytest.raises(WeightsError) as caught:
            safe_pickle.load(data[:length])
        assert "\n" not in str(caught.value)


def test_flipped_bits_never_escape() -> None:
    """Any other exception than ours, or none at all where the bytes do not matter, would fail this."""
    import torch

    rng = np.random.default_rng(0)
    data = bytearray(checkpoints.saved({"x": torch.arange(40.0), "names": {0: "a", 1: "b"}}))
    refused = 0
    for _ in range(400):
        position = int(rng.integers(len(data)))
        mutant = bytearray(data)
        mutant[position] ^= 1 << int(rng.integers(8))
        try:
            safe_pickle.load(bytes(mutant))
        except WeightsError:
            refused += 1
    assert refused > 20


SPLICES = [
    b"cos\nsystem\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ctorch._tensor\n_rebuild_from_type_v2\n",
    b"cnumpy\ndtype\n",
    b"cpathlib\nPath\n",
    b"c__builtin__\ngetattr\n",
    *(bytes([code]) for code in b"()]}NtRb\x81\x85\x86\x87\x88Qaesu0\x8f\x90\x91\x93\x94o."),
    b"K\xff",
    b"J\xff\xff\xff\x7f",
    b"\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"q\x00",
    b"h\x00",
]


def mutants(data: bytes, rng: random.Random, count: int) -> Iterator[bytes]:
    """Bits flipped, parts cut and copied, and opcodes put anywhere into the pickle."""
    members = checkpoints.members_of(data) if data.startswith(b"PK") else None
    pickle = members.pop("data.pkl") if members is not None else data
    for _ in range(count):
        mutant = bytearray(pickle)
        for _ in range(rng.randrange(1, 4)):
            at, source = rng.randrange(len(mutant)), rng.randrange(len(mutant))
            match rng.randrange(5):
                case 0:
                    mutant[at] ^= 1 << rng.randrange(8)
                case 1:
                    del mutant[at : at + rng.randrange(1, 40)]
                case 2:
                    mutant[at:at] = mutant[source : source + rng.randrange(1, 60)]
                case 3:
                    mutant[at:at] = rng.choice(SPLICES)
                case 4:
                    mutant[at : at + 1] = rng.choice(SPLICES)
        if members is None:
            yield bytes(mutant)
        else:
            yield checkpoints.archive(bytes(mutant), members)
        whole = bytearray(data)
        whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        yield bytes(whole[: rng.randrange(len(whole))] if rng.random() < 0.2 else whole)


@pytest.mark.parametrize("legacy", [False, True])
def test_mutants_give_weights_or_a_sentence(tiny: Any, legacy: bool) -> None:
    import torch

    from yolo_max.weights.checkpoint.read import read_checkpoint

    buffer = io.BytesIO()
    torch.save({"model": copy.deepcopy(tiny).half()}, buffer, _use_new_zipfile_serialization=not legacy)
    sentences: list[str] = []
    for mutant in mutants(buffer.getvalue(), random.Random(17), 150):
        try:
            read_checkpoint(mutant, "net.pt")
        except WeightsError as error:
            sentences.append(str(error))
    assert len(sentences) > 100
    assert max(map(len, sentences)) < 800
    assert not any("\n" in sentence for sentence in sentences)

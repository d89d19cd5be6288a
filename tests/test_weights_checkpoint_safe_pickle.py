"""Untrusted checkpoints: nothing in them runs, nothing is imported by their word, and a sentence says why."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest

from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint import safe_pickle
from yolo_max.weights.checkpoint.calls import StandIn
from yolo_max.weights.checkpoint.tensors import Storage, Tensor


class Call:
    """Pickles as a call of any function with any arguments."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file that the malicious pickles try to create."""
    return tmp_path / "executed"


MALICIOUS: list[tuple[str, Callable[[str], Any], str]] = [
    ("os.system", lambda path: Call(os.system, f"touch {path}"), r"posix\.system"),
    ("subprocess", lambda path: Call(subprocess.check_call, ["touch", path]), "check_call"),
    ("eval", lambda path: Call(eval, f"open({path!r}, 'w')"), "eval"),
    ("exec", lambda path: Call(exec, f"open({path!r}, 'w')"), "exec"),
    ("open", lambda path: Call(open, path, "w"), "open"),
    ("importing by name", lambda path: Call(builtins.__import__, "antigravity"), "__import__"),
    (
        "nested pickle",
        lambda path: Call(pickle.loads, pickle.dumps(Call(os.system, f"touch {path}"))),
        "loads",
    ),
    # deep inside an otherwise plausible checkpoint
    (
        "nested value",
        lambda path: {"model": {"a": [(1, {"b": Call(os.system, f"touch {path}")})]}},
        r"posix\.system",
    ),
    ("allocation", lambda path: Call(bytearray, 10**15), "bytearray"),
]


@pytest.mark.parametrize(
    ("content", "named"), [case[1:] for case in MALICIOUS], ids=[case[0] for case in MALICIOUS]
)
def test_a_malicious_checkpoint_is_refused_by_name(
    content: Callable[[str], Any], named: str, canary: Path
) -> None:
    with pytest.raises(WeightsError, match=f"names .*{named}.*not opened"):
        safe_pickle.load(checkpoints.saved(content(str(canary))))
    assert not canary.exists()


@pytest.mark.parametrize(
    ("pickle_", "message"),
    [
        (checkpoints.calling("os", "system", "touch x"), "names os.system"),
        (checkpoints.calling("nt", "system", "dir"), "names nt.system"),
        (checkpoints.calling("importlib", "import_module", "os"), "names importlib.import_module"),
        (checkpoints.calling("torch.hub", "load", "evil/repo", "model"), "names torch.hub.load"),
        (checkpoints.calling("torch.serialization", "load", "x.pt"), "names torch.serialization.load"),
        (checkpoints.calling("torch", "load", "x.pt"), "names torch.load"),
        (checkpoints.calling("numpy", "load", "x.npy"), "names numpy.load"),
        # functions, and dotted paths into modules, of the packages whose classes are stood in for
        (
            checkpoints.calling("ultralytics.utils.downloads", "safe_download", "http://x"),
            "names ultralytics.utils.downloads.safe",
        ),
        (
            checkpoints.calling("ultralytics.utils.checks", "check_requirements", "evil"),
            "names ultralytics.utils.checks.check",
        ),
        (
            checkpoints.calling("ultralytics.nn.tasks", "torch_safe_load", "x.pt"),
            "names ultralytics.nn.tasks.torch_safe_load",
        ),
        (checkpoints.calling("ultralytics.nn.tasks", "Path.cwd", "x"), "names ultralytics.nn.tasks.Path.cwd"),
        # a checkpoint of the YOLOv5 repository; with something else in it, it is not taken for one
        (b"\x80\x02cmodels.yolo\nModel\n.", "looks like a network that is not ported, made of models.yolo.M"),
        (b"\x80\x02cmodels.yolo\nModel\ncos\nsystem\n.", "names os.system, which could run code"),
        (checkpoints.calling("__main__", "Model"), "names __main__.Model"),
        # a module that is called, where one is only ever restored: it might take what memory it likes
        (checkpoints.calling("torch.nn.modules.linear", "Linear", "1000000"), "calls Linear"),
        # other ways to find or call things, which other protocols write
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R.", "names os.system"),
        (b"(S'ls'\nios\nsystem\n.", "names os.system"),
        (b"(cos\nsystem\nS'ls'\no.", "names os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92.", "names os.system"),
        # by a registry outside of the pickle
        (b"\x80\x02\x82\x01.", "opcode EXT1"),
        (b"Pname\n.", "opcode PERSID"),
        # damage
        (b"", "damaged pickle"),
        (b"not a pickle", "damaged pickle"),
        (b"\x80\x02}", "damaged pickle"),
        (b"\x80\x02\x8a\xff.", "damaged pickle"),
        (b"\x80\x02X\xff\xff\xff\xffabc.", "damaged pickle"),
        (b"\x80\x02h\x07.", "cannot be read"),  # a reference to nothing
        (b"\x80\x02R.", "cannot be read"),  # a call without a function
        (b"\x80\x02}}s.", "cannot be read"),  # a dict as a key
    ],
)
def test_a_hostile_or_damaged_pickle_is_refused(pickle_: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        safe_pickle.load(checkpoints.archive(pickle_))


def test_deep_nesting_does_not_recurse() -> None:
    depth = 100_000
    content = safe_pickle.load(checkpoints.archive(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."))
    assert type(content) is list


def test_tensors_that_claim_more_than_the_file_has_are_refused() -> None:
    import torch

    data = checkpoints.saved({"x": torch.zeros(3)})
    claims = [
        (b"K\x03", b"J\x00\x00\x00\x40", 1),  # a storage of a billion elements
        (b"K\x03\x85", b"J\x00\x00\x00\x40\x85", 1),  # a view of a billion elements of a small one
    ]
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        body = file.read("archive/data.pkl")
        storage = {"data/0": file.read("archive/data/0")}
    for before, after, count in claims:
        assert before in body
        with pytest.raises(WeightsError, match=r"12 bytes in storage '0', where|reaches past its storage"):
            safe_pickle.load(checkpoints.archive(body.replace(before, after, count), storage))["x"].array()


def test_classes_become_stand_ins_and_metadata_is_tolerated() -> None:
    import torch

    content = {
        "module": torch.nn.BatchNorm2d(2, eps=0.25),
        "fitness": np.float64(0.5),
        "where": Path("/home/someone/runs"),
        "shape": torch.zeros(2, 3).shape,
        "seen": {1, 2},
    }
    loaded = safe_pickle.load(checkpoints.saved(content))
    module = loaded["module"]
    assert isinstance(module, StandIn)
    assert not isinstance(module, torch.nn.Module)
    assert (module.kind, module.get("eps")) == ("BatchNorm2d", 0.25)
    np.testing.assert_array_equal(module.get("_buffers")["running_var"].array(), np.ones(2, np.float32))
    assert loaded["fitness"] == 0.5
    assert loaded["where"] == "/home/someone/runs"
    assert loaded["shape"] == (2, 3)
    assert loaded["seen"] == {1, 2}


def test_neither_torch_nor_pickle_is_needed(tmp_path: Path) -> None:
    """Not for a file that is refused, nor for one that is read."""
    import torch

    (tmp_path / "evil.pt").write_bytes(checkpoints.archive(checkpoints.calling("os", "system", "true")))
    (tmp_path / "good.pt").write_bytes(checkpoints.saved({"module": torch.nn.Conv2d(1, 1, 1)}))
    script = (
        "import sys; from pathlib import Path\n"
        "from yolo_max.weights.checkpoint import safe_pickle\n"
        "from yolo_max.support.errors import WeightsError\n"
        "import pickle; pickle.Unpickler = pickle.load = pickle.loads = None\n"
        "print(safe_pickle.load(Path('good.pt').read_bytes())['module'].kind)\n"
        "try: safe_pickle.load(Path('evil.pt').read_bytes())\n"
        "except WeightsError: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, capture_output=True)
    assert done.stdout.split() == [b"Conv2d", b"False"]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("zipped", [True, False])
def test_every_protocol_and_container(protocol: int, zipped: bool) -> None:
    import torch

    content = {
        "module": torch.nn.BatchNorm2d(2, eps=0.25),
        "when": (1, -(2**40), 2.5, None, b"bytes", frozenset({3}), [True, {"a": {"b"}}]),
        "where": Path("runs/best"),
        "tensor": torch.arange(12.0).reshape(3, 4).t()[1:],
    }
    buffer = io.BytesIO()
    torch.save(content, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    loaded = safe_pickle.load(buffer.getvalue())
    assert (loaded["module"].kind, loaded["module"].get("eps")) == ("BatchNorm2d", 0.25)
    assert loaded["when"] == content["when"]
    assert loaded["where"] == "runs/best"
    np.testing.assert_array_equal(loaded["tensor"].array(), content["tensor"].numpy())


@pytest.mark.parametrize(
    "dtype",
    [*("float16", "bfloat16", "float32", "float64"), *("uint8", "int8", "int16", "int32", "int64", "bool")],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_are_what_torch_saved(dtype: str, zipped: bool) -> None:
    import torch

    torch.manual_seed(0)
    base = (torch.randn(4, 5, 6) * 50).to(getattr(torch, dtype))
    views = [
        base,
        base[1:, ::2, 3],  # strided, and not from the start
        base.permute(2, 0, 1),
        base[:0],  # of no elements
        base[2, 3, 4],  # of no axes
        base[:1].expand(3, 5, 6),  # one element under several indices
        torch.nn.Parameter(base, requires_grad=False),
    ]
    buffer = io.BytesIO()
    torch.save(views, buffer, _use_new_zipfile_serialization=zipped)
    for found, view in zip(safe_pickle.load(buffer.getvalue()), views, strict=True):
        expected = (view.float() if dtype == "bfloat16" else view).numpy()
        assert found.array().dtype == expected.dtype
        np.testing.assert_array_equal(found.array(), expected)


def test_an_empty_tensor_that_is_huge_along_other_axes_is_refused() -> None:
    storage = Storage("0", "float32", 4, lambda _: bytes(4), "<")
    with pytest.raises(WeightsError, match="larger than any file"):
        Tensor.view(storage, 0, (2**47, 2**47, 0), (1, 1, 1))
    assert Tensor.view(storage, 0, (2**20, 0), (1, 1)).array().shape == (2**20, 0)

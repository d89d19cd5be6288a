"""Checkpoints made to run code, or to be read in two ways: whatever is done with one, nothing of it runs.

docs/security.md says what is promised.
"""

from __future__ import annotations

import ast
import copy
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import checkpoints
import numpy as np
import pytest

import yolo_max
from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint import safe_pickle
from yolo_max.weights.load import load_weights

COMMAND = "__import__('pathlib').Path('RAN').touch()"
CLASS = b"cultralytics.nn.tasks\nDetectionModel\n"


@pytest.fixture(scope="module")
def model() -> Any:
    return checkpoints.detection_model(checkpoints.tiny_table())


def text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def pickled(value: Any) -> bytes:
    """Protocol 2 of a plain value."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return b"J" + value.to_bytes(4, "little", signed=True)
    if isinstance(value, list):
        return b"]" + b"".join(pickled(item) + b"a" for item in value)
    return b"}" + b"".join(pickled(key) + pickled(item) + b"s" for key, item in value.items())


def with_entry(data: bytes, value: bytes) -> bytes:
    """The checkpoint with one more entry in its dict, whose value is what these opcodes make."""
    members = checkpoints.members_of(data)
    pickle = members.pop("data.pkl")
    return checkpoints.archive(pickle[:-1] + text("note") + value + b"s.", members)


def evaluated_table() -> dict[str, Any]:
    return {
        "nc": 1,
        "activation": f"({COMMAND}, torch.nn.SiLU())[1]",
        "backbone": [[-1, 1, "Conv", [16, 3, 2]]],
        "head": [[[0], 1, "Detect", ["nc"]]],
    }


def planting(method: str, table: dict[str, Any]) -> bytes:
    """A state given as pairs plants a method on an instance, and the next BUILD calls what was planted."""
    return CLASS + b")\x81" + b"](" + text(method) + CLASS + b"\x86eb" + pickled(table) + b"b"


def loading_another_file(method: str) -> bytes:
    """An instance whose method is shadowed by one that opens a file from the working directory."""
    load = b"cultralytics.nn.tasks\nBaseModel\n)\x81}" + text("weights") + text("other.pt") + b"sb"
    return CLASS + b")\x81}" + text(method) + load + b"sb"


def with_shadow(model: Any, method: str) -> bytes:
    """A module where the model, restored by PyTorch, would have a method."""
    changed = copy.deepcopy(model)
    if method.startswith("__"):
        vars(changed)["_modules"] = {**changed._modules, method: changed.model[0]}
    else:
        vars(changed)[method] = changed.model[0]
    return checkpoints.saved({"model": changed})


HOSTILE: dict[str, Callable[[Any], bytes]] = {
    "__setstate__ planted by pairs": lambda m: with_entry(
        checkpoints.checkpoint(m), planting("__setstate__", evaluated_table())
    ),
    "__reduce__ planted by pairs": lambda m: with_entry(
        checkpoints.checkpoint(m), planting("__reduce__", evaluated_table())
    ),
    "__init__ planted, then made": lambda m: with_entry(
        checkpoints.checkpoint(m), CLASS + pickled(evaluated_table()) + b"\x85\x81"
    ),
    **{
        f"the method {method} of the model shadowed": partial(with_shadow, method=method)
        for method in ("float", "to", "eval", "fuse", "modules", "forward", "_apply", "__class__", "__dict__")
    },
    "a class whose float opens another file": lambda m: with_entry(
        checkpoints.checkpoint(m), loading_another_file("float")
    ),
    "activation": lambda m: checkpoints.checkpoint(
        in_table(m, activation=f"({COMMAND}, torch.nn.SiLU())[1]")
    ),
    "activation that begins well": lambda m: checkpoints.checkpoint(
        in_table(m, activation=f"torch.nn.SiLU() if {COMMAND} else torch.nn.SiLU()")
    ),
    "an argument of a block": lambda m: checkpoints.checkpoint(
        in_row(m, 0, [16, 3, 2, None, 1, 1, f"({COMMAND}, True)[1]"])
    ),
    "the scale of an upsampling": lambda m: checkpoints.checkpoint(
        in_row(m, 5, ["None", COMMAND, "nearest"])
    ),
    "a key of the table": lambda m: checkpoints.checkpoint(in_table(m, **{COMMAND: COMMAND})),
    "a kind of scaling": lambda m: checkpoints.checkpoint(in_table(m, scale=COMMAND)),
    "a name of a class": lambda m: checkpoints.checkpoint(named(m, COMMAND)),
}


def in_table(model: Any, **entries: Any) -> Any:
    changed = copy.deepcopy(model)
    changed.yaml |= entries
    return changed


def in_row(model: Any, index: int, arguments: list[Any]) -> Any:
    changed = copy.deepcopy(model)
    (changed.yaml["backbone"] + changed.yaml["head"])[index][3] = arguments
    return changed


def named(model: Any, name: str) -> Any:
    changed = copy.deepcopy(model)
    changed.names = [name] * 3
    return changed


CHILD = """
import sys
from unittest import mock
import numpy as np
from yolo_max.support.errors import WeightsError

seen = []
WATCHED = ("pickle.find_class", "os.system", "subprocess.Popen")
sys.addaudithook(lambda event, arguments: seen.append(event) if event in WATCHED else None)
for path in sys.argv[1:]:
    from yolo_max.engine.torch_engine import TorchEngine
    from yolo_max.verify import engine_run as process
    try:
        head = TorchEngine(path)(np.zeros((1, 64, 64, 3), np.uint8))
        process._require_torchvision = lambda: None
        sys.modules["torchvision"] = mock.MagicMock()
        process._predict(process.Workload("ultralytics", path, []), lambda message: None)
        print("read")
    except WeightsError as error:
        print("refused", error)
assert not seen, seen
"""


def test_nothing_of_a_hostile_checkpoint_runs(model: Any, tmp_path: Path) -> None:
    """Through PyTorch's engine and Ultralytics' predictor; neither unpickles anything at all."""
    paths = []
    for number, make in enumerate(HOSTILE.values()):
        paths.append(tmp_path / f"{number}.pt")
        paths[-1].write_bytes(make(model))
    work = tmp_path / "work"
    work.mkdir()
    other = with_entry(checkpoints.checkpoint(model), b"cpathlib\nPath\n" + text("RAN") + b"\x85R")
    (work / "other.pt").write_bytes(other)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, paths)], cwd=work, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in work.iterdir()) == ["other.pt"]
    outcomes = dict(zip(HOSTILE, done.stdout.splitlines(), strict=True))
    read = {name for name, outcome in outcomes.items() if outcome == "read"}
    # What stands where nobody looks does no harm; what would change the network is refused.
    assert {name for name in HOSTILE if "planted" in name or "shadowed" in name or "name of" in name} <= read
    assert {"activation", "activation that begins well", "an argument of a block"}.isdisjoint(read)


def test_a_hostile_checkpoint_gives_the_network_that_it_holds(model: Any, tmp_path: Path) -> None:
    (tmp_path / "plain.pt").write_bytes(checkpoints.checkpoint(model))
    (tmp_path / "evil.pt").write_bytes(HOSTILE["__setstate__ planted by pairs"](model))
    plain, evil = (load_weights(tmp_path / f"{name}.pt").tensors for name in ("plain", "evil"))
    for name, tensor in plain.items():
        np.testing.assert_array_equal(evil[name], tensor)


def called(module: ast.Module) -> Iterator[str]:
    """What a module imports, and every attribute that it names, dotted as it stands there."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def test_nothing_in_the_package_unpickles() -> None:
    """pickletools reads opcodes and makes nothing of them."""
    unpicklers = (
        "pickle",
        "_pickle",
        "dill",
        "shelve",
        "marshal",
        "joblib",
        "torch.load",
        "torch.serialization",
    )
    found = [
        (path.name, name)
        for path in Path(yolo_max.__file__).parent.rglob("*.py")
        for name in called(ast.parse(path.read_text(encoding="utf-8")))
        if name in unpicklers or name.startswith(tuple(f"{each}." for each in unpicklers))
    ]
    assert found == []


# Sentences


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["mypackage.losses Focal"], "names mypackage.losses.Focal, which this reader does not know"),
        (["__main__ Head"], "names __main__.Head, which this reader does not know"),
        (["torch.nn.functional silu"], "names torch.nn.functional.silu, which this reader does not know"),
        (["numpy.random mtrand"], "names numpy.random.mtrand, which this reader does not know"),
        (["mypackage Focal", "os system"], "names os.system, which could run code"),
        (["builtins eval"], "names builtins.eval, which could run code"),
        (["subprocess Popen"], "names subprocess.Popen, which could run code"),
        (["functools partial"], "names functools.partial, which this reader does not know"),
        (["models.yolo Model", "models.common Conv"], "looks like a network that is not ported"),
    ],
)
def test_only_what_runs_code_is_spoken_of_as_such(names: list[str], message: str) -> None:
    opcodes = b"".join(b"c" + name.replace(" ", "\n").encode() + b"\n0" for name in names)
    with pytest.raises(WeightsError) as caught:
        safe_pickle.load(checkpoints.archive(b"\x80\x02" + opcodes + b"}."))
    assert str(caught.value).startswith(message)
    assert ("could run code" in str(caught.value)) == ("could run code" in message)


@pytest.mark.parametrize("attribute", ["__class__", "__subclasses__", "__globals__"])
def test_getattr_does_not_reach_into_classes(attribute: str) -> None:
    opcodes = b"c__builtin__\ngetattr\n" + CLASS + text(attribute) + b"\x86R."
    with pytest.raises(WeightsError, match=rf"looks up '{attribute}' .*could run code"):
        safe_pickle.load(checkpoints.archive(b"\x80\x02" + opcodes))

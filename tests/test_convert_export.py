"""A module written to a file: it runs without PyTorch, and its weights come back bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import convert_networks as networks
import numpy as np
import pytest
import torch
from torch import nn

from yolo_max.convert import ConversionError, convert_pytorch_model, export, exported, load, state_dict
from yolo_max.convert.exported import Exported
from yolo_max.convert.max_model import MaxModel
from yolo_max.convert.signature import Signature
from yolo_max.convert.structure import PlainContainers
from yolo_max.support.errors import EngineError, SourceError, WeightsError
from yolo_max.weights import container
from yolo_max.weights.meta import EXPORTED

WITHOUT_TORCH = """
import sys, time
from contextlib import suppress
from pathlib import Path
sys.modules["torch"] = None  # importing it fails
import numpy as np
from yolo_max.convert import load

def read_wakes():  # of each thread; one may end meanwhile
    wakes = {"": 0}
    for path in Path("/proc/self/task").glob("*/status"):
        with suppress(OSError):
            words = path.read_text().split()
            wakes[path.parent.name] = int(words[words.index("voluntary_ctxt_switches:") + 1])
    return wakes

said = []
network = load(sys.argv[1], report=said.append)
np.save(sys.argv[3], network(np.load(sys.argv[2])))
wakes = [read_wakes()]
for _ in range(3):  # what wakes once, after a compile, is no poller
    time.sleep(0.1)
    wakes.append(read_wakes())
pairs = list(zip(wakes, wakes[1:]))
often = [t for t in wakes[0] if all(after.get(t, 0) - before.get(t, 0) >= 100 for before, after in pairs)]
print(len(said), network.from_cache, often)
"""


class Tied(nn.Module):  # type: ignore[misc]
    """Two names for one weight, a buffer of integers, a folded batch norm, and a dictionary of results."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        x = self.norm(self.conv(x)).mean((2, 3))
        return {"rows": [self.second(self.first(x))], "all": (x, None, 3)}


@pytest.fixture
def tied() -> nn.Module:
    torch.manual_seed(0)
    return networks.settled(Tied(), torch.randn(4, 3, 8, 8))


def test_weights_come_back_bit_for_bit(tied: nn.Module, tmp_path: Path) -> None:
    export(tied, tmp_path / "tied.safetensors", [("batch", 3, 8, 8)])
    back = state_dict(tmp_path / "tied.safetensors")
    assert sorted(back) == sorted(tied.state_dict())
    for name, value in tied.state_dict().items():
        assert back[name].dtype == value.dtype, name
        assert back[name].numpy().tobytes() == value.numpy().tobytes(), name
    made = Tied()
    made.load_state_dict(back)
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(made.eval()(x)["rows"][0], tied(x)["rows"][0])


def test_a_tied_weight_is_written_once(tied: nn.Module, tmp_path: Path) -> None:
    export(tied, tmp_path / "tied.safetensors", [("batch", 3, 8, 8)])
    found = Exported.read(tmp_path / "tied.safetensors")
    assert found.tied == {"second.weight": "first.weight"}
    assert not [name for name in found.tensors if "second.weight" in name]


def test_others_read_the_file(tied: nn.Module, tmp_path: Path) -> None:
    import safetensors.numpy

    export(tied, tmp_path / "tied.safetensors", [("batch", 3, 8, 8)])
    tensors = safetensors.numpy.load_file(tmp_path / "tied.safetensors")
    np.testing.assert_array_equal(tensors["first.bias"], tied.state_dict()["first.bias"].numpy())


def test_what_is_packed_is_what_the_converter_packs(tied: nn.Module, tmp_path: Path) -> None:
    """Each constant of the graph, made of the file's tensors."""
    from yolo_max.convert.converter import Network
    from yolo_max.convert.rules import builtin_rules

    shapes = [("batch", 3, 8, 8)]
    export(tied, tmp_path / "tied.safetensors", shapes)
    network = Network.of(tied, shapes, None, None, builtin_rules())
    found = Exported.read(tmp_path / "tied.safetensors")
    assert found.network == network.digest()
    assert found.signature == network.signature()
    assert len(found.constants) == len(network.constants)
    for ours, theirs in zip(found.constants, network.constants, strict=True):
        expected = theirs.make(network.program.arrays())
        assert (ours.name, ours.shape, ours.dtype) == (theirs.name, expected.shape, expected.dtype)
        np.testing.assert_array_equal(ours.make(found.tensors), expected)


def test_it_runs_without_torch_where_nothing_is_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And where something is cached, nothing is compiled; MAX's poller does not wake all the time."""
    torch.manual_seed(0)
    mlp, x = networks.MLP().eval(), torch.randn(3, 20)
    export(mlp, tmp_path / "mlp.safetensors", [("batch", 20)])
    np.save(tmp_path / "x.npy", x.numpy())
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    command = [sys.executable, "-c", WITHOUT_TORCH]
    command += [str(tmp_path / name) for name in ("mlp.safetensors", "x.npy", "y.npy")]
    for said in ("1 False []", "0 True []"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == said
        with torch.no_grad():
            np.testing.assert_allclose(np.load(tmp_path / "y.npy"), mlp(x).numpy(), atol=1e-6)


@pytest.mark.parametrize("way", ["convert", "load"])
def test_who_gives_no_report_finds_what_is_slow_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, way: str
) -> None:
    def compile_nothing(_session: Any, _key: str, _make: Any, on_compile: Any, **_: Any) -> Any:
        on_compile()
        raise EngineError("stopped.")

    mlp, path = networks.MLP().eval(), tmp_path / "mlp.safetensors"
    export(mlp, path, [("batch", 20)])
    monkeypatch.setattr("yolo_max.convert.runtime.compile_or_load", compile_nothing)
    with pytest.raises(EngineError, match="stopped"):
        load(path) if way == "load" else convert_pytorch_model(mlp, [("batch", 20)])
    assert [(each.name, each.levelname) for each in caplog.records] == [("yolo_max", "WARNING")]
    assert caplog.messages[0].startswith("Compiling MLP for this processor: about a minute")


class Pair(nn.Module):  # type: ignore[misc]
    """Returns what is no plain container."""

    def forward(self, x: Any) -> Any:
        return torch.max(x, 1)


def test_other_containers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"has a max among its inputs or outputs, and only tuples"):
        export(Pair().eval(), tmp_path / "pair.safetensors", [(3, 4)])


def test_a_file_of_another_version(tied: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "tied.safetensors"
    export(tied, path, [("batch", 3, 8, 8)])
    metadata, tensors = container.parse(path.read_bytes(), container.NUMBERS)
    header = json.loads(metadata[EXPORTED]) | {"made_by": ["26.6.0", "0"]}
    path.write_bytes(container.serialise(tensors, {EXPORTED: json.dumps(header)}))
    with pytest.raises(ConversionError, match="was exported by another version of yolo_max or MAX"):
        load(path)
    assert set(state_dict(path)) == set(tied.state_dict())


def test_what_is_no_exported_network(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        load(tmp_path / "nothing.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"12345")
    with pytest.raises(WeightsError, match="is truncated: it has only 5 bytes"):
        load(tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(container.serialise({"a": np.zeros(3, np.float32)}, {}))
    with pytest.raises(WeightsError, match="is no exported network; use "):
        load(tmp_path / "x.safetensors")


class Odd(nn.Module):  # type: ignore[misc]
    """A buffer besides what the graph needs."""

    def __init__(self, buffer: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("odd", buffer)

    def forward(self, x: Any) -> Any:
        return x + 1


class WithState(Odd):
    """A state that is no tensor."""

    def get_extra_state(self) -> Any:
        return {"epoch": 3}


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Odd(torch.zeros(2, dtype=torch.int16)), "odd is int16, which is not exported; use .*float32"),
        (Odd(torch.zeros(2, dtype=torch.bfloat16)), "odd is bfloat16, which is not exported"),
        (WithState(torch.zeros(2)), "_extra_state is no tensor"),
    ],
)
def test_a_state_that_is_not_exported(module: nn.Module, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=message):
        export(module.eval(), tmp_path / "odd.safetensors", [(3, 4)])


def test_a_number_comes_back_without_dimensions(tmp_path: Path) -> None:
    export(Odd(torch.tensor(3.0)).eval(), tmp_path / "odd.safetensors", [(3, 4)])
    assert state_dict(tmp_path / "odd.safetensors")["odd"].shape == ()


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "{",
        lambda _: "3",
        lambda header: json.dumps({**header, "signature": 3}),
        lambda header: json.dumps({**header, "constants": [{}]}),
        lambda header: json.dumps({key: value for key, value in header.items() if key != "graph"}),
    ],
)
def test_a_damaged_header_is_said(damage: Any, tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    export(Odd(torch.zeros(2)).eval(), path, [(3, 4)])
    metadata, tensors = container.parse(path.read_bytes(), container.NUMBERS)
    path.write_bytes(container.serialise(tensors, {EXPORTED: damage(json.loads(metadata[EXPORTED]))}))
    with pytest.raises(WeightsError, match="has a damaged header"):
        load(path)


class Scaled(nn.Module):  # type: ignore[misc]
    """A constant as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(4.0))

    def forward(self, x: Any) -> Any:
        return x * self.scale


def test_a_header_of_other_shapes_than_its_tensors_is_refused(tmp_path: Path) -> None:
    """NumPy would broadcast them."""
    path = tmp_path / "scaled.safetensors"
    export(Scaled().eval(), path, [(2, 4)])
    metadata, tensors = container.parse(path.read_bytes(), container.NUMBERS)
    assert tensors["scale"].shape == (4,)
    path.write_bytes(container.serialise({**tensors, "scale": tensors["scale"][:1]}, metadata))
    found = Exported.read(path)
    with pytest.raises(WeightsError, match=r"the graph takes .* export the module again"):
        [each.make(found.tensors) for each in found.constants]


def test_a_graph_is_cached_by_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, keys = tmp_path / "odd.safetensors", []
    monkeypatch.setattr(exported, "start", lambda _name, network, *_: keys.append(network))
    export(Odd(torch.zeros(2)).eval(), path, [(3, 4)])
    metadata, tensors = container.parse(path.read_bytes(), container.NUMBERS)
    header = json.loads(metadata[EXPORTED])
    for graph in (header["graph"], header["graph"], header["graph"] + " "):
        path.write_bytes(container.serialise(tensors, {EXPORTED: json.dumps({**header, "graph": graph})}))
        load(path)
    assert keys[0] == keys[1] != keys[2]


def test_a_number_is_passed_without_dimensions() -> None:
    """Of the model only what it is given matters."""
    given: list[Any] = []

    class Compiled:
        def execute(self, *buffers: Any) -> list[Any]:
            given.extend(buffers)
            return []

    signature = Signature(((),), ("float32",), (), ())
    containers = PlainContainers(["tuple", "leaf"], ["tuple"])
    model: Any = Compiled()
    assert MaxModel("net", model, {}, signature, containers, 1, False)(np.float32(3)) == ()
    assert given[0].to_numpy() == 3

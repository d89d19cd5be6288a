"""Compiled graphs are kept, found again, and made anew when what is kept is no good."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.dtype import DType
from max.engine import CompiledModel, InferenceSession
from max.graph import DeviceRef, Graph, TensorType

from yolo_max.kernels.conv_kernel import STEM, ConvKernel
from yolo_max.runtime import compiled
from yolo_max.runtime.compiled import cache_bytes, cached_bytes, compile_or_load, graph_key
from yolo_max.runtime.sources import GRAPH_SOURCES, sources_digest
from yolo_max.support.cache import cache_folder, write_checked
from yolo_max.support.errors import EngineError


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


class OneCompile:
    """A session that compiles for real once, since that takes seconds, and hands out the same artifact."""

    def __init__(self) -> None:
        self.session = InferenceSession(devices=[CPU()])
        self.init = self.session.init
        self.artifact: CompiledModel | None = None

    def compile(self, graph: Graph) -> CompiledModel:
        self.artifact = self.artifact or self.session.compile(graph)
        return self.artifact


@pytest.fixture(scope="module")
def session() -> OneCompile:
    return OneCompile()


def increment() -> tuple[Graph, dict[str, ConvKernel]]:
    """The smallest graph there is: x + 1."""
    with Graph("increment", input_types=[TensorType(DType.float32, ["n"], DeviceRef.CPU())]) as graph:
        graph.output(graph.inputs[0].tensor + 1.0)
    return graph, {"model.0.conv": STEM}


def obtain(session: Any, key: str = "k") -> tuple[float, bool, int]:
    """What 1 + 1 is according to the graph, whether it was cached, and how many compiles were announced."""
    announced: list[None] = []
    graph = compile_or_load(session, key, increment, lambda: announced.append(None))
    assert graph.kernels == {"model.0.conv": STEM}
    (y,) = session.init(graph.model).execute(Buffer.from_numpy(np.ones(1, np.float32)))
    return float(y.to_numpy()[0]), graph.from_cache, len(announced)


def test_second_time_it_is_found(session: OneCompile) -> None:
    assert obtain(session) == (2.0, False, 1)
    assert obtain(session) == (2.0, True, 0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-100]),  # cut short: the digest tells
        lambda path: path.write_bytes(b""),  # emptied
        lambda path: write_checked(path, b"{}\nno graph at all"),  # whole, but MAX does not take it
        lambda path: write_checked(path, b"[]\n"),  # nor do we
    ],
    ids=["truncated", "empty", "foreign", "strange"],
)
def test_what_is_damaged_is_compiled_again(session: OneCompile, damage: object) -> None:
    obtain(session)
    (path,) = cache_folder("graphs").iterdir()
    damage(path)  # type: ignore[operator]
    assert obtain(session) == (2.0, False, 1)
    assert obtain(session) == (2.0, True, 0)


def test_without_a_usable_cache_it_compiles_all_the_same(session: OneCompile, root: Path) -> None:
    root.write_text("a file where the folder should be")
    assert obtain(session) == (2.0, False, 1)


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (os, "replace"),  # the cache's own disk
        (tempfile, "mkdtemp"),  # the one of temporary files
    ],
)
def test_on_a_full_disk_it_runs_all_the_same(
    session: OneCompile, owner: Any, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, step, full)
    assert obtain(session) == (2.0, False, 1)
    assert list(cache_folder("graphs").iterdir()) == []


def test_of_several_that_need_a_graph_at_once_one_compiles(session: OneCompile, root: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: obtain(session), range(4)))
    assert sorted(compiles for _, _, compiles in found) == [0, 0, 0, 1]
    assert sorted(from_cache for _, from_cache, _ in found) == [False, True, True, True]
    assert {path.suffix for path in (root / "graphs").iterdir()} == {".mef"}  # no lock stays behind


def test_a_graph_goes_from_one_cache_to_another(
    session: OneCompile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cached_bytes("k") is None
    obtain(session)
    data = cached_bytes("k")
    assert data is not None
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "other"))
    cache_bytes("k", data)
    assert obtain(session) == (2.0, True, 0)


def test_a_graph_that_does_not_compile_is_our_error(session: OneCompile) -> None:
    class Broken:
        def compile(self, _: Graph) -> None:
            raise RuntimeError("no such operation")

    with pytest.raises(EngineError, match="could not compile the graph: no such operation"):
        compile_or_load(Broken(), "k", increment, lambda: None)


def test_the_key_follows_everything_the_code_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {
        graph_key(precision="f32"),
        graph_key(precision="bf16"),
        graph_key(precision="f32", static=(1, 640, 640)),
    }
    monkeypatch.setattr("yolo_max.runtime.cpu.features", lambda: frozenset({"avx2"}))
    keys.add(graph_key(precision="f32"))
    monkeypatch.setattr(compiled, "version", lambda name: f"{name} of tomorrow")
    keys.add(graph_key(precision="f32"))
    monkeypatch.setattr(compiled, "sources_digest", lambda **_: "of other sources")
    keys.add(graph_key(precision="f32"))
    assert len(keys) == 6
    assert graph_key(precision="f32") in keys  # and it is the same every time


def sources(root: Path) -> Path:
    """A package with a module, and one below it with another module and a kernel."""
    (root / "port" / "deep").mkdir(parents=True)
    (root / "port" / "blocks.py").write_text("a")
    (root / "port" / "deep" / "head.py").write_text("b")
    (root / "port" / "deep" / "conv.mojo").write_text("c")
    (root / "one.py").write_text("d")
    return root


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "port" / "blocks.py").write_text("A"),  # a module is edited
        lambda root: (root / "port" / "deep" / "conv.mojo").write_text("C"),  # a kernel below another folder
        lambda root: (root / "port" / "deep" / "new.py").write_text(""),  # a module is added
        lambda root: (root / "port" / "deep" / "head.py").unlink(),  # one is removed
        lambda root: (root / "port" / "blocks.py").rename(root / "port" / "block.py"),  # or renamed
        lambda root: (root / "one.py").write_text("D"),  # a module that is named by itself
    ],
)
def test_the_digest_follows_every_source(tmp_path: Path, change: Any) -> None:
    root = sources(tmp_path)
    before = sources_digest(root, ("port", "one.py"))
    assert before == sources_digest(root, ("port", "one.py"))
    change(root)
    assert before != sources_digest(root, ("port", "one.py"))


@pytest.mark.parametrize("place", ["gone", "gone.py", "empty"])
def test_a_place_without_sources_is_an_error(tmp_path: Path, place: str) -> None:
    (sources(tmp_path) / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=place):
        sources_digest(tmp_path, ("port", place))


def test_all_that_a_trace_imports_is_in_the_key() -> None:
    """On the real tree: whatever of ours the port imports decides the graph, but for words and errors."""
    script = (
        "import sys; import yolo_max.model.model, yolo_max.model.fused, yolo_max.model.stock;"
        "print(*(name for name in sys.modules if name.startswith('yolo_max.')))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = {name.removeprefix("yolo_max.").replace(".", "/") for name in run.stdout.split()}
    assert "model/blocks" in modules  # so the modules are seen
    covered = {place.removesuffix(".py") for place in GRAPH_SOURCES}
    neutral = {"support"}
    assert {name for name in modules if name.partition("/")[0] not in covered | neutral} == set()
    assert all(sources_digest(places=(place,)) for place in GRAPH_SOURCES)


CHILD = """
import sys
from max.driver import CPU
from max.engine import CompiledModel, InferenceSession
sys.path.insert(0, sys.argv[1])
from test_runtime_compiled import obtain
print(*obtain(InferenceSession(devices=[CPU()])))
"""


def test_two_processes_at_once_both_succeed(root: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for child in children:
        output, _ = child.communicate(timeout=300)
        assert output.split()[0] == "2.0"
    assert [path.name for path in cache_folder("graphs").iterdir()] == ["k.mef"]

"""Compiled graphs as files: found for what they are for, refused for anything else before they are loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from max.driver import CPU, Buffer
from max.engine import InferenceSession
from test_runtime_compiled import increment

from yolo_max.kernels.conv_kernel import STEM
from yolo_max.kernels.precision import Precision
from yolo_max.runtime import cpu_target, portable
from yolo_max.runtime.compiled import CompiledGraph, compile_or_load
from yolo_max.runtime.cpu_target import TARGETS, runnable, target_named
from yolo_max.runtime.portable import Purpose, load_named, load_shipped, purpose_of, to_bytes
from yolo_max.support.errors import EngineError, UsageError

NETWORK = "a network"
V3, V4 = "x86-64-v3", "x86-64-v4"


@pytest.fixture(scope="module")
def session() -> InferenceSession:
    return InferenceSession(devices=[CPU()])


@pytest.fixture(scope="module")
def content(session: InferenceSession) -> bytes:
    """The smallest graph there is, x + 1, compiled for this processor, as if for AVX2."""
    graph, kernels = increment()
    return to_bytes(purpose_of(NETWORK, "f32", V3), session.compile(graph), kernels)


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch) -> Callable[[frozenset[str]], None]:
    """Has this machine's processor say that it has AVX2 and no more, or what a test wants."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")

    def has(features: frozenset[str]) -> None:
        monkeypatch.setattr("yolo_max.runtime.cpu.features", lambda: features)

    has(TARGETS[V3].features)
    return has


@pytest.fixture
def path(content: bytes, tmp_path: Path) -> Path:
    (tmp_path / "net.mef").write_bytes(content)
    return tmp_path / "net.mef"


def runs(session: InferenceSession, graph: CompiledGraph) -> bool:
    """Whether the graph says that 1 + 1 is 2."""
    assert graph.kernels == {"model.0.conv": STEM}
    (y,) = session.init(graph.model).execute(Buffer.from_numpy(np.ones(1, np.float32)))
    return bool(y.to_numpy()[0] == 2)


def test_a_file_is_the_graph(session: InferenceSession, path: Path) -> None:
    graph = load_named(path, purpose_of(NETWORK, "f32"))
    assert graph.from_cache
    assert runs(session, graph)


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        ({"architecture": "another"}, "is for another network than these weights"),
        ({"input": "float32 [batch, 3, height, width]"}, "is for another network"),
        ({"precision": "bf16"}, "computes in f32, not bf16; use --precision f32, or make it again"),
        ({"max": "99.1"}, r"was made by yolo_max \S+ for MAX \S+, but these are yolo_max \S+ and MAX 99.1"),
        ({"yolo_max": "99.2"}, "but these are yolo_max 99.2"),
        ({"sources": "edited"}, "was made by other sources of yolo_max"),
    ],
)
def test_what_is_for_something_else_is_refused(path: Path, wanted: dict[str, str], complaint: str) -> None:
    purpose = replace(purpose_of(NETWORK, "f32"), **wanted)
    with pytest.raises(EngineError, match=complaint):
        load_named(path, purpose)


def changed(content: bytes, **values: object) -> bytes:
    head, _, code = content.partition(b"\n")
    return json.dumps({**json.loads(head), **values}).encode() + b"\n" + code


def of_code(content: bytes, code: bytes) -> bytes:
    head = content.partition(b"\n")[0] + b"\n"
    return changed(head + code, sha256=hashlib.sha256(code).hexdigest())


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda c: c[:-10], "is damaged: its content does not have its checksum"),
        (lambda c: c[:-1] + bytes([c[-1] ^ 1]), "is damaged"),  # one bit
        (lambda c: of_code(c, b"no archive"), "is not accepted by this MAX"),
        (lambda c: of_code(c, b""), "is not accepted by this MAX"),
        (lambda c: changed(c, kernels={"model.0.conv": "none"}), "is not accepted by this MAX"),
        (lambda c: changed(c, target="pentium"), "for the processor 'pentium', which this yolo_max does not"),
        (
            lambda c: changed(c, format="yolo_max graph 0"),
            "was not made by this version of `yolo-max weights c",
        ),
        (lambda c: changed(c, kernels=3), "was not made by this version"),
        (lambda c: b"{}\n", "was not made by this version"),
        (lambda c: b"[" * 10**5 + b"\n", "was not made by this version"),
        (lambda c: b"", "was not made by this version"),
        (lambda c: b"\xee\xf0\x03\x83p\x00grt.chain", "was not made by this version"),  # MAX's own format
    ],
)
def test_what_is_no_graph_is_one_sentence(
    path: Path, damage: Callable[[bytes], bytes], complaint: str
) -> None:
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EngineError, match=complaint) as caught:
        load_named(path, purpose_of(NETWORK, "f32"))
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_missing_file_or_a_folder_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mef", tmp_path):
        with pytest.raises(EngineError, match="cannot be read"):
            load_named(path, purpose_of(NETWORK, "f32"))


def test_code_that_this_processor_lacks_instructions_for_is_never_read(
    path: Path, processor: Callable[[frozenset[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "read", lambda _: pytest.fail("it was given to MAX"))
    processor(TARGETS[V3].features - {"fma", "avx2"})
    with pytest.raises(EngineError, match=f"is for {V3}, and this processor has no avx2, fma; make one for"):
        load_named(path, purpose_of(NETWORK, "f32"))
    processor(TARGETS[V4].features)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(EngineError, match="this processor has no x86-64-v3"):
        load_named(path, purpose_of(NETWORK, "f32"))


@pytest.mark.parametrize(
    ("has", "precision", "names"),
    [
        (V3, Precision.F32, [V3]),
        (V4, Precision.F32, [V4, V3]),
        (V4, Precision.BF16, []),
        ("cooperlake", Precision.BF16, ["cooperlake"]),
        ("znver4", Precision.F32, ["znver4", "cooperlake", V4, V3]),
        ("znver4", Precision.BF16, ["znver4", "cooperlake"]),
    ],
)
def test_the_targets_that_run_here_are_those_whose_features_are_here(
    processor: Callable[[frozenset[str]], None], has: str, precision: Precision, names: list[str]
) -> None:
    processor(TARGETS[has].features | {"hypervisor"})
    assert [target.name for target in runnable(precision)] == names


def test_an_unknown_target_is_one_sentence() -> None:
    with pytest.raises(UsageError, match="there is no target 'x86-64-v5'; did you mean x86-64-v"):
        target_named("x86-64-v5")
    with pytest.raises(UsageError, match="there is no target 'm1'; use one of znver4, "):
        target_named("m1")


@pytest.fixture
def shipped(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside the package with that graph."""
    monkeypatch.setattr(portable, "SHIPPED", tmp_path / "graphs")
    (tmp_path / "graphs").mkdir()
    (tmp_path / "graphs" / purpose_of(NETWORK, "f32", V3).file_name).write_bytes(content)
    return tmp_path / "graphs"


@pytest.mark.usefixtures("shipped")
def test_a_shipped_graph_is_found_and_nothing_is_compiled(
    session: InferenceSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    graph = compile_or_load(
        session,
        "key",
        lambda: pytest.fail("it was traced"),
        lambda: pytest.fail("it is said to be compiled"),
        lambda: load_shipped(NETWORK, "f32", [V4, V3]),
    )
    assert runs(session, graph)


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    ("network", "precision", "targets", "change"),
    [
        ("another network", "f32", [V3], {}),
        (NETWORK, "bf16", [V3], {}),
        (NETWORK, "f32", [V4], {}),
        (NETWORK, "f32", [], {}),  # a processor that nothing is shipped for
        (NETWORK, "f32", [V3], {"max": "99.1"}),  # MAX was replaced
        (NETWORK, "f32", [V3], {"sources": "edited"}),
    ],
)
def test_what_is_not_shipped_is_not_found(
    network: str,
    precision: str,
    targets: list[str],
    change: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def purpose(*arguments: str) -> Purpose:
        return replace(purpose_of(*arguments), **change)

    monkeypatch.setattr(portable, "purpose_of", purpose)
    assert load_shipped(network, precision, targets) is None


def test_a_checkout_has_nothing_shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "SHIPPED", tmp_path / "graphs")
    assert load_shipped(NETWORK, "f32", [V3]) is None


def test_nothing_beside_images_or_weights_is_code(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files with the very names of shipped graphs, wherever a user may put what a stranger gave him."""
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(portable, "SHIPPED", tmp_path / "package" / "graphs")
    name = purpose_of(NETWORK, "f32", V3).file_name
    for folder in (".", "graphs", "weights", "weights/graphs", "images"):
        (tmp_path / folder).mkdir(exist_ok=True)
        for each in (name, "key.mef", "net.mef", "graph.mef"):
            (tmp_path / folder / each).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(portable, "read", lambda _: pytest.fail("it was given to MAX"))
    monkeypatch.setattr("yolo_max.runtime.compiled.read", lambda _: pytest.fail("it was given to MAX"))

    def compile_it() -> NoReturn:
        raise EngineError("nothing was found")

    with pytest.raises(EngineError, match="nothing was found"):
        compile_or_load(
            InferenceSession(devices=[CPU()]),
            "key",
            compile_it,
            lambda: None,
            lambda: load_shipped(NETWORK, "f32", [V3]),
        )


def test_every_target_has_what_the_one_before_it_in_its_line_has() -> None:
    assert TARGETS[V3].features < TARGETS[V4].features < TARGETS["cooperlake"].features
    assert TARGETS["cooperlake"].features < TARGETS["znver4"].features
    assert {"avx2", "fma"} <= TARGETS[V3].features
    # Zen 5 without rdseed, which Linux hides there: compilers use it only where it is asked for.
    assert not {"rdrand", "rdseed"} & TARGETS["znver4"].features
    assert list(cpu_target.TARGETS) == ["znver4", "cooperlake", V4, V3]

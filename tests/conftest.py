"""Fixtures shared by the tests: where the real weights and photographs are, and private caches."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from yolo_max.weights.locate import BUNDLED

if TYPE_CHECKING:
    from kernel_library import Kernels

    from yolo_max.engine.max_engine import MaxEngine

SHARED_VARIABLE = "YOLO_MAX_SHARED"
NO_SHARED = f"{SHARED_VARIABLE} is not set: it names the folder with the COCO weights and photographs"
NOBODY = 65534
REPOSITORY = Path(__file__).resolve().parent.parent

hypothesis.settings.register_profile("yolo_max", deadline=None)  # the machine may be busy
hypothesis.settings.load_profile("yolo_max")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuses names that differ from process to process, by which pytest-xdist shares out tests."""
    for item in items:
        for value in item.callspec.params.values() if hasattr(item, "callspec") else ():
            if isinstance(value, set | frozenset) and str(value) in item.name:
                raise pytest.UsageError(f"{item.nodeid} is named after a set; use a list.")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with `weights/yolov8n.pt` and `coco/`; tests that need it skip where it is not given."""
    value = os.environ.get(SHARED_VARIABLE)
    if not value:
        pytest.skip(NO_SHARED)
    folder = Path(value)
    assert folder.is_dir(), f"{SHARED_VARIABLE} names {folder}, which is not a folder"
    return folder


@pytest.fixture(scope="session")
def coco_weights(shared: Path) -> Path:
    """The COCO checkpoint, `.pt`."""
    return shared / "weights" / "yolov8n.pt"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """On so little work, threads cost more than they bring."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder of a user who may not read and write everything; root becomes that user for the test."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are root's alone
    os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(0)
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def photographs(shared: Path) -> list[Path]:
    """The COCO photographs, sorted by name."""
    return sorted((shared / "coco" / "images").glob("*.jpg"))


@pytest.fixture(scope="session")
def scenes() -> list[Path]:
    """The bundled images, sorted by name."""
    return sorted(path for path in (REPOSITORY / "images").iterdir() if path.suffix in (".jpg", ".png"))


@pytest.fixture(scope="session")
def demo_weights() -> Path:
    """The bundled demo weights."""
    return BUNDLED / "yolov8n-shapes.safetensors"


@pytest.fixture(scope="session")
def demo_engine(demo_weights: Path) -> MaxEngine:
    """The demo network on the fused kernels: any batch, any size. Compiled once for the whole suite."""
    from yolo_max.engine.max_engine import MaxEngine
    from yolo_max.weights.load import load_weights

    return MaxEngine(load_weights(demo_weights), imgsz=(320, 320), kernels="fused")


@pytest.fixture(scope="session")
def coco_engine(coco_weights: Path) -> MaxEngine:
    """YOLOv8n with the COCO weights on the fused kernels. Compiled once for the whole suite."""
    from yolo_max.engine.max_engine import MaxEngine
    from yolo_max.weights.load import load_weights

    return MaxEngine(load_weights(coco_weights), imgsz=(640, 640), kernels="fused")


TARGETS = {
    # LLVM's name of a processor (None: this one), and what it takes to run a build for it
    "native": (None, set()),
    "avx512": ("skylake-avx512", {"avx512f", "avx512bw", "avx512dq", "avx512vl"}),
    "avx2": ("haswell", {"avx2", "fma"}),
}


@pytest.fixture(scope="session", params=TARGETS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """The kernels built for this processor, for Intel's first with AVX-512, and for one with AVX2 at most."""
    from kernel_library import Kernels, build

    from yolo_max.runtime import cpu

    target, needed = TARGETS[request.param]
    if not needed <= cpu.features():
        pytest.skip(f"a build for {target} does not run on {cpu.model_name()}")
    assert request.config.cache is not None
    return Kernels(build(request.config.cache.mkdir("kernels"), target))


@pytest.fixture(scope="module")
def fake_engines() -> Iterator[None]:
    """The processes of the benchmark's engines find `bench_runtimes`."""
    import bench_runtimes

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(bench_runtimes.__file__).parent), prepend=os.pathsep)
        yield


@pytest.fixture(scope="session")
def tiny() -> Any:
    """A network of nine layers with each of the ported blocks."""
    import checkpoints

    return checkpoints.detection_model(checkpoints.tiny_table())


@pytest.fixture(scope="session")
def checkpoint(tiny: Any) -> bytes:
    """The checkpoint of that network."""
    import checkpoints

    return checkpoints.checkpoint(tiny)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place for weights in a cache of the test's own; the working directory is empty."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("YOLO_MAX_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


@pytest.fixture
def pt(tmp_path: Path, checkpoint: bytes) -> Path:
    """That checkpoint as a file."""
    path = tmp_path / "net.pt"
    path.write_bytes(checkpoint)
    return path


@pytest.fixture
def fake_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`yolo-max predict` in an empty folder, with a network that takes no time."""
    from fake_cli import make_engine
    from fakes import fake_weights

    monkeypatch.setattr("yolo_max.predict.predictor.make_engine", make_engine)
    monkeypatch.setattr("yolo_max.predict.predictor.load_weights", lambda _: fake_weights())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**30))  # which the command changes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of two images, and of one in a subfolder."""
    from fakes import write_image

    for i, name in enumerate(["a.jpg", "b.png", "sub/c.jpg"]):
        write_image(tmp_path / "photos" / name, i)
    return tmp_path / "photos"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset whose labels are exactly what the fake engine finds with confidence above 0.5."""
    import comparisons
    import numpy as np
    import yaml  # type: ignore[import-untyped]
    from fakes import NAMES, FakeEngine, fake_weights, write_image

    from yolo_max.predict.detector import Detector

    fake = FakeEngine()
    detector = Detector(
        fake_weights(), engine=lambda batch: np.stack([comparisons.small(h) for h in fake(batch)]), conf=0.5
    )
    for number in range(6):
        image = write_image(tmp_path / "images" / f"{number}.png", number)
        label = tmp_path / "labels" / f"{number}.txt"
        label.parent.mkdir(exist_ok=True)
        found = detector(image)
        rows = zip(found.class_id, found.xyxy / np.array([60, 40, 60, 40]), strict=True)
        label.write_text(
            "".join(f"{c} {(a + x) / 2} {(b + y) / 2} {x - a} {y - b}\n" for c, (a, b, x, y) in rows)
        )
    path = tmp_path / "data.yaml"
    path.write_text(yaml.safe_dump({"val": "images", "names": dict(NAMES)}))
    return path

"""Classification on MAX against PyTorch: the logits of yolov8n-cls, on maps of any size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import checkpoints
import networks
import numpy as np
import pytest
from numpy.typing import NDArray
from test_images_centre_crop import by_torchvision

from yolo_max import Classification, Predictor, cli
from yolo_max.bench.raw_network import RawNetwork
from yolo_max.engine.max_engine import MaxEngine
from yolo_max.engine.torch_engine import TorchEngine
from yolo_max.images.read import read_image
from yolo_max.support.errors import ExitCode
from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.tasks.classify.comparison import judge_probabilities
from yolo_max.tasks.rubric import SCORE_BOUND, TensorDifference, largest_difference
from yolo_max.weights.load import Weights, load_weights, save_weights
from yolo_max.weights.meta import ModelMeta

torch = pytest.importorskip("torch")

SIZES = [
    (224, 224, 2),  # what it is trained for: the last map is 7 x 7
    (225, 131, 1),  # no multiples of anything: odd maps all the way down
    (33, 64, 3),
    (1, 1, 1),  # a single pixel
]
SMALL: dict[str, Any] = {
    "nc": 16,
    "backbone": [[-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [16, 3, 2]]],
    "head": [[-1, 1, "Classify", ["nc"]]],
}
"""Few convolutions: MAX's own operations compile each of them for many seconds."""


def fused(module: Any, table: dict[str, Any]) -> Weights:
    """The weights of a module in float64 that PyTorch has fused."""
    tensors = {}
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.Conv2d | torch.nn.Linear):
            weight = part.weight.numpy()
            weight = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
            tensors[f"{name}.weight"] = np.ascontiguousarray(weight.transpose(2, 3, 1, 0), np.float32)
            tensors[f"{name}.bias"] = part.bias.numpy().astype(np.float32)
    nc = table["nc"]
    meta = ModelMeta.checked(
        names=[f"thing {i}" for i in range(nc)],
        nc=nc,
        imgsz=224,
        architecture=table,
        source="cls.pt",
        source_sha256="0" * 64,
    )
    return Weights(
        tensors=tensors,
        meta=meta,
        path=Path("cls.safetensors"),
        is_checkpoint=False,
        sha256="",
        stored_dtype="float32",
    )


class Pair:
    """A network on MAX, and PyTorch's in both precisions."""

    def __init__(self, table: dict[str, Any], imgsz: tuple[int, int], batch: int, kernels: str) -> None:
        model = checkpoints.classification_model(table).requires_grad_(False)
        self.exact = model.double().fuse(verbose=False)
        self.weights = fused(self.exact, table)
        self.single = checkpoints.classification_model(table).fuse(verbose=False)
        self.engine = MaxEngine(self.weights, imgsz=imgsz, batch=batch, kernels=kernels)

    def difference(self, pixels: NDArray[np.uint8]) -> TensorDifference:
        image = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        with torch.inference_mode():
            _, theirs = self.single(image.float() / 255)
            _, exact = self.exact(image.double() / 255)
        return TensorDifference.between(
            "logits", self.engine(pixels)["logits"], theirs.numpy(), exact.numpy()
        )


def pixels(height: int, width: int, batch: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height).integers(0, 256, (batch, height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def pair() -> Pair:
    import_ultralytics()
    from ultralytics.nn.tasks import yaml_model_load

    return Pair(yaml_model_load("yolov8n-cls.yaml"), (224, 224), 1, "fused")


@pytest.mark.parametrize(("height", "width", "batch"), SIZES)
def test_logits_on_the_fused_kernels(pair: Pair, height: int, width: int, batch: int) -> None:
    pair.difference(pixels(height, width, batch)).verdict.require()


def test_the_network_takes_any_size(pair: Pair) -> None:
    network = pair.weights.meta.network
    assert (network.task, network.outputs, network.strides, network.stride) == (
        "classify",
        ("logits",),
        (),
        1,
    )


def test_the_command_gives_pytorchs_probabilities(pair: Pair, scenes: list[Path], tmp_path: Path) -> None:
    """From files to the manifest; the pixels are those of `test_images_centre_crop.by_torchvision`."""
    save_weights(pair.weights, tmp_path / "cls.safetensors")
    sources = [str(scene) for scene in scenes]
    options = ["-w", str(tmp_path / "cls.safetensors"), "-o", str(tmp_path / "out"), "--save-txt", "--quiet"]
    assert cli.run(["predict", *sources, *options]) == ExitCode.OK
    records = [json.loads(line) for line in (tmp_path / "out" / "predictions.jsonl").open()]
    assert [record["path"] for record in records] == sources
    for scene, record in zip(scenes, records, strict=True):
        found = Classification.from_dict(record, pair.weights.meta.names)
        image = torch.from_numpy(by_torchvision(read_image(scene), (224, 224)).copy())
        with torch.inference_mode():
            expected, _ = pair.single(image.permute(2, 0, 1)[None].float() / 255)
        judge_probabilities(largest_difference(found.probabilities, expected[0].numpy())).require()
        assert found.class_id[0] == expected[0].argmax()


def test_the_comparison_of_both_engines(pair: Pair, scenes: list[Path], tmp_path: Path) -> None:
    save_weights(pair.weights, tmp_path / "cls.safetensors")
    out = tmp_path / "out"
    options = ["-w", str(tmp_path / "cls.safetensors"), "-o", str(out), "--quiet"]
    assert cli.run(["compare", *map(str, scenes), *options]) == ExitCode.OK
    record = json.loads((out / "compare.json").read_text())
    assert record["engines"]["max"]["kernels"] == "fused"
    assert record["counts"]["same_top1"] == len(record["images"]) == len(scenes)
    assert record["distributions"]["probability_difference"]["p100"] <= SCORE_BOUND


def torchvision_transforms() -> Any:
    """``torchvision.transforms``, also where its compiled operators are for another build of PyTorch."""
    networks.torchvision_models()
    from torchvision import transforms

    return transforms


@pytest.fixture(scope="module")
def normalising(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of Ultralytics', its classifier's images normalised as ImageNet's."""
    model = checkpoints.classification_model(SMALL)
    kinds = torchvision_transforms()
    steps = [kinds.Resize(224), kinds.CenterCrop(224), kinds.ToTensor()]
    model.transforms = kinds.Compose([*steps, kinds.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])
    model.task = "classify"
    path = tmp_path_factory.mktemp("normalising") / "cls.pt"
    torch.save({"model": model.half(), "train_args": {"imgsz": 224}}, path)
    return path


@pytest.mark.parametrize("engine", ["torch", pytest.param("max", marks=pytest.mark.zoo)])
def test_a_classifiers_own_mean_and_deviation(engine: str, normalising: Path, scenes: list[Path]) -> None:
    """Borders too: the padding's zeros are added behind the normalisation."""
    from ultralytics import YOLO

    predictor = Predictor(normalising, engine=engine)
    theirs = YOLO(normalising)
    for scene in scenes:
        (expected,) = theirs.predict(read_image(scene), verbose=False, save=False, device="cpu")
        found = predictor(scene)
        assert isinstance(found, Classification)
        difference = largest_difference(found.probabilities, expected.probs.data.numpy())
        judge_probabilities(difference).require()


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_peers_of_a_benchmark_normalise_too(normalising: Path) -> None:
    """They are made of this network, traced."""
    engine = TorchEngine(normalising)
    some = pixels(131, 225, 2)
    network = torch.jit.trace(RawNetwork(engine.module, engine.reference).eval(), torch.from_numpy(some))
    (found,) = network(torch.from_numpy(some))
    np.testing.assert_allclose(found.numpy(), engine(some)["logits"], rtol=1e-4, atol=1e-3)


@pytest.mark.zoo
def test_normalised_logits_on_the_fused_kernels(normalising: Path) -> None:
    weights = load_weights(normalising)
    some = pixels(131, 225, 2)
    ours = MaxEngine(weights, imgsz=(224, 224))(some)["logits"]
    theirs = TorchEngine(weights)(some)["logits"]
    exact = TorchEngine(weights, precision="f64")(some)["logits"].astype(np.float64)
    TensorDifference.between("logits", ours, theirs, exact).verdict.require()


@pytest.mark.zoo  # MAX's own convolutions compile for minutes
def test_logits_on_stock_operations() -> None:
    """An odd map at each layer."""
    Pair(SMALL, (37, 51), 2, "stock").difference(pixels(37, 51, 2)).verdict.require()

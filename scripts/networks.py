"""PyTorch networks to measure with: Ultralytics' from a file, and torchvision's and timm's by name.

Without a file of weights a network has random ones, and BatchNorm statistics of its own activations: after
each normalisation they have mean 0 and variance 1, as in a trained network, instead of growing or vanishing.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch


def network(name: str, weights: Path | None = None, *, seed: int = 0) -> tuple[Any, int]:
    """A network in evaluation mode.

    Args:
        name: A .pt or .safetensors file of a YOLO, ``torchvision/resnet18`` or ``timm/resnet18``; a name
            alone is looked up in torchvision, then in timm.
        weights: A state dict for a network that was named.
        seed: Of random weights.

    Returns:
        The module, float32, and the height and width in pixels of the images that it takes.

    Raises:
        ValueError: There is no such network.
    """
    if Path(name).suffix in {".pt", ".pth", ".safetensors"}:
        from yolo_max.engine.torch_engine import TorchEngine

        return TorchEngine(name, channels_last=True).module, 640
    torch.manual_seed(seed)
    library, _, model = name.rpartition("/")
    makers = [make for key, make in _LIBRARIES.items() if library in {"", key}]
    made = next(filter(None, (make(model) for make in makers)), None)
    if made is None:
        raise ValueError(f"there is no network {name!r} in torchvision or timm; use a name or a .pt file.")
    module, size = made
    if weights:
        module.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    else:
        fill_zeros(module)
        settle_batch_norms(module, torch.randn(2, 3, size, size))
    return module.eval().to(memory_format=torch.channels_last), size


def fill_zeros(module: Any) -> None:
    """Makes weights that are initialised to zero (ViT's head) random, lest they hide what comes before."""
    for parameter in module.parameters():
        if parameter.ndim > 1 and not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)


def settle_batch_norms(module: Any, *inputs: torch.Tensor) -> None:
    """Gives every BatchNorm the statistics of what it reads of these inputs."""
    norms = [
        each for each in module.modules() if isinstance(each, torch.nn.BatchNorm2d | torch.nn.BatchNorm3d)
    ]
    module.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    with torch.inference_mode():
        module(*inputs)
    module.eval()


def torchvision_models() -> Any:
    """``torchvision.models``, also where the wheel's compiled operators are for another build of PyTorch."""
    try:
        from torchvision import models
    except RuntimeError:
        # Its Python code describes operators that were never declared, for want of its library.
        _declare_operators()
        from torchvision import models
    return models


def _declare_operators() -> None:
    found = find_spec("torchvision")
    assert found is not None
    assert found.origin is not None
    source = Path(found.origin).with_name("_meta_registrations.py").read_text(encoding="utf-8")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in set(re.findall(r'register_meta\("(\w+)"|torchvision::(\w+)"', source)):
        library.define(f"{name[0] or name[1]}(Tensor a) -> Tensor")
    _DECLARED.append(library)


_DECLARED: list[Any] = []
"""An operator lives as long as the library that declared it."""


def _from_torchvision(name: str) -> tuple[Any, int] | None:
    models = torchvision_models()
    if name not in models.list_models(module=models):
        return None
    module = models.get_model(name, weights=None)
    crop = models.get_model_weights(name)
    sizes = [each.transforms().crop_size[0] for each in crop][:1]
    return module, sizes[0] if sizes else 224


def _from_timm(name: str) -> tuple[Any, int] | None:
    torchvision_models()  # which timm imports
    import timm

    if not timm.is_model(name):
        return None
    module = timm.create_model(name, pretrained=False)
    return module, module.default_cfg["input_size"][1]


_LIBRARIES = {"torchvision": _from_torchvision, "timm": _from_timm}

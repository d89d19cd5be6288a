"""Converts torchvision's networks, and a few of our own, and writes docs/convert-zoo.md.

python scripts/zoo.py                           # which are convertible: all, minutes
python scripts/zoo.py resnet18 unet             # some
python scripts/zoo.py resnet18 --run            # compiled, small, and held against float64
python scripts/zoo.py resnet18 --any-size       # likewise at several sizes, from one graph
python scripts/zoo.py resnet18 --time           # and timed against its peers at its own size
python scripts/zoo.py --page                    # only the page, from what was found so far

What is found is kept in docs/convert-zoo.json, so that a run may cover a few networks. Weights are random;
BatchNorm has the statistics of its own activations.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from image_networks import IMAGE_NETWORKS
from networks import fill_zeros, settle_batch_norms, torchvision_models
from small_networks import SMALL_NETWORKS
from zoo_page import PAGE, page

from yolo_max.convert import analyze, convert_pytorch_model
from yolo_max.convert.max_model import MaxModel
from yolo_max.convert.parity import RATIO, ratio
from yolo_max.convert.signature import Shape
from yolo_max.support.text import counted

FOUND = PAGE.with_suffix(".json")
OWN: dict[str, Callable[[], torch.nn.Module]] = {
    **{name: make for name, (make, _) in SMALL_NETWORKS.items()},
    **IMAGE_NETWORKS,
}
KINDS = ("", ".segmentation", ".video", ".optical_flow")
"""Whose networks are tried: detection's end in NMS over lists of images, quantised ones are int8."""
SIZES = {"inception_v3": 299, "swin_v2": 256, "maxvit": 224, "unet": 224, "rrdb": 128}
"""Height and width of an input, by the beginning of a name; 224 otherwise."""
SMALL = {"inception_v3": 96, "swin": 64, "maxvit": 224, "vit": 224}
"""Where only the numbers count; 64 otherwise."""
BATCH_ALONE = ("cnn", "vit", "maxvit", "swin", "inception")
"""Which take images of one size, or are written so that a size cannot be a name."""
ANY_SIZES = (
    {"batch": 1, "height": 64, "width": 64, "length": 5},
    {"batch": 3, "height": 96, "width": 64, "length": 33},
    {"batch": 2, "height": 128, "width": 176, "length": 64},
)
"""What a graph whose sizes are named is run at."""
SAMPLES = 4
MOST = 100_000_000
"""Parameters in a graph, of several networks."""


def names() -> list[str]:
    """Ours, then torchvision's."""
    models = torchvision_models()
    theirs = [name for kind in KINDS for name in _of_kind(models, kind)]
    return [*OWN, *theirs]


def _of_kind(models: Any, kind: str) -> list[str]:
    module = getattr(models, kind[1:]) if kind else models
    found: list[str] = models.list_models(module=module)
    return found


def kind_of(name: str) -> str:
    """What a network is for, as torchvision sorts them; "own" for ours."""
    if name in OWN:
        return "own"
    models = torchvision_models()
    return next(kind[1:] or "classification" for kind in KINDS if name in _of_kind(models, kind))


def make(name: str, settled: bool = True) -> torch.nn.Module:
    """A network in evaluation mode."""
    if name in OWN:
        module = OWN[name]()
    else:
        more: dict[str, Any] = {"weights_backbone": None} if kind_of(name) == "segmentation" else {}
        more |= {"init_weights": True} if name in {"googlenet", "inception_v3"} else {}
        module = torchvision_models().get_model(name, weights=None, **more)
    fill_zeros(module)
    if settled:
        settle_batch_norms(module, *map(torch.randn, shapes(name, batch=2)))
    return module.eval()


def __getattr__(name: str) -> Callable[[], torch.nn.Module]:
    """``zoo:resnet18`` is a factory for `yolo-max convert bench`."""
    if name in names():
        return partial(make, name)
    raise AttributeError(name)


def shapes(
    name: str, batch: int = 1, sizes: dict[str, int] = SIZES, plain: int = 224
) -> list[tuple[int, ...]]:
    """The shape of each input."""
    if name in SMALL_NETWORKS:
        return [(batch, *SMALL_NETWORKS[name][1])]
    side = next((size for start, size in sizes.items() if name.startswith(start)), plain)
    kind = kind_of(name)
    if kind == "video":
        side = 224 if name.startswith(("mvit", "s3d")) else 112
        return [(batch, 3, 16, side, side)]
    return [(batch, 3, 128, 128)] * 2 if kind == "optical_flow" else [(batch, 3, side, side)]


def look(name: str) -> dict[str, Any]:
    """Whether a network is convertible, or what is in the way."""
    module = make(name, settled=False)
    report = analyze(module, shapes(name))
    blocked = {
        f"{each.operation}: {each.reason}" if each.reason != "there is no rule for it" else each.operation
        for each in report.blockers
    }
    return {
        "kind": kind_of(name),
        "convertible": report.convertible,
        "parameters": sum(each.numel() for each in module.parameters()),
        "operations": len(report.layers),
        "blockers": sorted(blocked),
        "error": report.error,
        "transposes": report.transposes,
    }


class Together(torch.nn.Module):  # type: ignore[misc]
    """Networks on the same inputs, so that MAX's compiler starts once for all of them."""

    def __init__(self, networks: Sequence[torch.nn.Module]) -> None:
        super().__init__()
        self.networks = torch.nn.ModuleList(networks)

    def forward(self, *inputs: Any) -> Any:
        """What each returns."""
        return tuple(each(*inputs) for each in self.networks)


def small_shapes(name: str) -> list[Shape]:
    """The shape of each input where only the numbers count."""
    return list(shapes(name, sizes=SMALL, plain=64))


def named_shapes(name: str) -> list[Shape]:
    """The shape of each input, with names for the sizes that may be any."""
    if name == "transformer":
        return [("batch", "length", 256)]
    if kind_of(name) == "video" or name == "mlp" or name.startswith(BATCH_ALONE):
        return [("batch", *shape[1:]) for shape in small_shapes(name)]
    return [("batch", channels, "height", "width") for _, channels, *_ in small_shapes(name)]


def groups(
    names: Sequence[str],
    found: Mapping[str, Any],
    shapes_of: Callable[[str], list[Shape]] = small_shapes,
) -> list[list[str]]:
    """Networks that are compiled together: neighbours on inputs of one shape, up to `MOST` parameters."""
    together: list[list[str]] = []
    last, total = None, 0
    for name in names:
        key, size = shapes_of(name), found[name].get("parameters", MOST)
        if key == last and total + size <= MOST:
            together[-1].append(name)
            total += size
        else:
            together.append([name])
            last, total = key, size
    return together


def run(names: Sequence[str], asked: list[Shape]) -> dict[str, dict[str, Any]]:
    """How near to float64 networks are on inputs of these shapes, which all of them take.

    Where a size is named, the one graph is run at each of :data:`ANY_SIZES`, and the worst counts.
    """
    torch.manual_seed(0)
    module = Together([make(name) for name in names]).eval()
    converted = convert_pytorch_model(module, asked, "+".join(names))
    at = list(dict.fromkeys(tuple(_static(shape, sizes) for shape in asked) for sizes in ANY_SIZES))
    worst = [0.0] * len(names)
    for inputs in at:
        worst = list(map(max, worst, _ratios(converted, module, inputs)))
    where = {"input": asked} if len(at) == 1 else {"input": asked, "at": at}
    return {name: {**where, "ratio": each} for name, each in zip(names, worst, strict=True)}


def _static(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(sizes[size] if isinstance(size, str) else size for size in shape)


def _ratios(converted: MaxModel, module: Together, inputs: Sequence[tuple[int, ...]]) -> list[float]:
    given = [[torch.randn(shape) for shape in inputs] for _ in range(SAMPLES)]
    with torch.no_grad():
        ours = [converted(*each) for each in given]
        plain = [module(*each) for each in given]
        module.double()
        exact = [module(*(x.double() for x in each)) for each in given]
        module.float()
    found = []
    for i in range(len(module.networks)):
        leaves = ([_leaves(each[i]) for each in outputs] for outputs in (ours, plain, exact))
        joined = ([np.stack(each) for each in zip(*outputs, strict=True)] for outputs in leaves)
        found.append(ratio(*joined))
    return found


def _leaves(output: Any) -> list[Any]:
    return [each.numpy() for each in torch.utils._pytree.tree_leaves(output)]


def time(name: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Its time and its peers'."""
    from yolo_max.bench.module_bench import ModuleBench

    shape = [",".join(map(str, each)) for each in shapes(name)]
    return ModuleBench(f"zoo:{name}", shape, rounds=rounds, seconds=seconds).run(print).to_dict()


def _write(found: dict[str, Any]) -> None:
    text = json.dumps(found, indent=1)
    FOUND.write_text(f"{text}\n", encoding="utf-8")


def main() -> None:
    """Looks at networks, and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NAME", help="all by default")
    parser.add_argument(
        "--run", action="store_true", help="compile small ones, and hold them against float64"
    )
    parser.add_argument(
        "--any-size", action="store_true", help="likewise, with named sizes: several from one graph"
    )
    parser.add_argument("--time", action="store_true", help="compile and time them against their peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each engine in a round")
    parser.add_argument("--page", action="store_true", help="only write the page")
    asked = parser.parse_args()
    known = names()
    if unknown := [name for name in asked.networks if name not in known]:
        parser.error(f"there is no network {unknown[0]!r}; use some of {', '.join(known)}.")
    found: dict[str, Any] = json.loads(FOUND.read_text(encoding="utf-8")) if FOUND.exists() else {}
    found = {name: found.get(name, {"kind": kind_of(name)}) for name in known}
    for name in [] if asked.page else asked.networks or known:
        here = found[name]
        if not (asked.run or asked.any_size or asked.time):
            here |= look(name)
            print(name, "yes" if here["convertible"] else here["error"] or here["blockers"], flush=True)
        if asked.time:
            here["time"] = time(name, asked.rounds, asked.seconds)
        _write(found)
        gc.collect()
    for kind, shapes_of in (("run", small_shapes), ("any_size", named_shapes)):
        asked_names = (asked.networks or known) if getattr(asked, kind) else []
        for some in groups(asked_names, found, shapes_of):
            for name, each in run(some, shapes_of(some[0])).items():
                found[name][kind] = each
                print(f"{name}: {each['ratio']:.2f} (at most {RATIO:g})", flush=True)
            _write(found)
            gc.collect()
    _write(found)
    PAGE.write_text(page(found), encoding="utf-8")
    print(f"wrote {PAGE.name}: {counted(len(found), 'network')}")


if __name__ == "__main__":
    main()

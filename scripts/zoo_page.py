"""docs/convert-zoo.md, out of what scripts/zoo.py has found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "convert-zoo.md"
PEERS = {"torch": "eager", "torch-compile": "compile", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
TOP = """# The converter on torchvision's networks

`python scripts/zoo.py` writes this page. It captures each network that torchvision has by name and asks
the rules. Detection networks, which end in NMS over lists of images, and quantised ones are left out.
`--run` compiles networks at a small size, several in a graph, and holds each against float64, `--any-size`
at several sizes from one graph. `--time` times one against its peers at its own size, each in its own
process, in turn. Weights are random, and BatchNorm has the statistics of its own activations. `mlp`, `cnn`,
`transformer`, `mini_resnet`, `unet` and `rrdb` are this project's own. RAFT's two are not held against
float64: torchvision makes their grids of float32, whatever they compute in.
"""


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page, of what was found about each network by name."""
    theirs = [each for each in found.values() if each.get("kind") != "own"]
    verdicts = [each.get("convertible") for each in theirs]
    good, blocked = verdicts.count(True), verdicts.count(False)
    ran, sized, timed = (
        {name: each for name, each in found.items() if what in each} for what in ("run", "any_size", "time")
    )
    parts = [
        TOP,
        f"**{good} of {len(theirs)}** of torchvision's networks are convertible, {blocked} are not, "
        f"{len(theirs) - good - blocked} were not looked at. {len(ran)} networks were compiled and held "
        f"against float64, {len(timed)} timed; the others were not run.\n",
        *_parity(ran),
        *_any_size(sized),
        *_times(timed),
        "## Which are convertible\n",
        _table(["network", "parameters", "operations", "converted"], map(_verdict, found.items())),
    ]
    return "\n".join(parts)


def _verdict(item: tuple[str, Mapping[str, Any]]) -> list[str]:
    name, each = item
    if "convertible" not in each:
        return [name, "", "", "not looked at"]
    reasons = each["error"] or "; ".join(f"`{blocker}`" for blocker in each["blockers"])
    size = f"{each['parameters'] / 1e6:.1f} M"
    return [name, size, str(each["operations"] or ""), "yes" if each["convertible"] else reasons]


def _parity(ran: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not ran:
        return []
    rows = [
        [name, _shapes(each["run"]["input"]), f"{each['run']['ratio']:.2f}"] for name, each in ran.items()
    ]
    text = "The largest error over four inputs, as a multiple of PyTorch's own; the bound is 4.\n"
    return ["## How near to float64\n", text, _table(["network", "input", "error"], rows)]


def _any_size(sized: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not sized:
        return []
    rows = []
    for name, each in sized.items():
        found = each["any_size"]
        sizes = ", ".join(map(_shapes, found["at"]))
        rows.append([name, _shapes(found["input"]), sizes, f"{found['ratio']:.2f}"])
    text = (
        "Sizes that the input's shape names may be any: one graph is run at several, with four inputs each.\n"
    )
    headers = ["network", "input", "run at", "error"]
    return ["## One graph for any batch and size\n", text, _table(headers, rows)]


def _times(timed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    if not timed:
        return []
    rows = []
    for name, each in timed.items():
        engines = each["time"]["engines"]
        ours = (engines.get("max") or {}).get("ms")
        if ours is None:
            continue
        ratios = [_part(engines, peer) for peer in PEERS]
        rows.append([name, _shapes(each["time"]["shapes"]), f"{ours['p50']:.1f}", *ratios])
    text = "MAX's time as a part of each peer's, median over rounds: below 1 MAX is faster. Float32.\n"
    headers = ["network", "input", "MAX, ms", *PEERS.values()]
    return ["## How fast\n", text, _table(headers, rows)]


def _part(engines: Mapping[str, Any], peer: str) -> str:
    ours, theirs = engines["max"], engines.get(peer) or {}
    if not ours.get("speed_up") or not theirs.get("speed_up"):
        return "–"
    return f"{theirs['speed_up'] / ours['speed_up']:.2f}"


def _shapes(shapes: Iterable[Iterable[int]]) -> str:
    return " and ".join(" x ".join(map(str, shape)) for shape in shapes)


def _table(headers: list[str], rows: Iterable[list[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)

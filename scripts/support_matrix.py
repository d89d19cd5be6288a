"""Write docs/support-matrix.md: every table of the installed Ultralytics, and whether its networks run here.

    python scripts/support_matrix.py

The parameters of layers that are not ported are counted in Ultralytics' own modules.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import networks
import torch

from yolo_max.model.specs import SPECS
from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.weights.analysis.report import Analysis, analyze_subject
from yolo_max.weights.analysis.subject import read_subject
from yolo_max.weights.analysis.tables import shipped

PAGE = Path(__file__).resolve().parent.parent / "docs" / "support-matrix.md"
FAMILIES = {"v5": "YOLOv5u", "v3": "YOLOv3u", "rt-detr": "RT-DETR"}
"""Families by Ultralytics' folders, where these do not say their names."""
WIRED = "`test_model_families.py::test_every_layer_is_wired_as_in_pytorch`"
BUILT = "`test_model_families.py::test_a_table_is_what_ultralytics_builds`"
REFUSED = "`test_support_matrix.py::test_what_is_not_ported_is_refused`"
MAX_WIRED = 6_000_000
"""Parameters of networks that are small enough for a test of their layers."""
SLOW = "yolo12-"
"""Their attention takes half a minute in plain arithmetic; only the detector's layers are tested."""
HEADER = """\
# What runs here
Written by `scripts/support_matrix.py` from the blocks' specs, for every table that Ultralytics {version}
ships; `test_support_matrix.py::test_the_page_is_up_to_date` fails when it is stale.
`yolo-max weights analyze` says the same of any checkpoint or YAML, layer by layer.
"""


def main() -> None:
    """Writes the page."""
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page."""
    import_ultralytics()
    from ultralytics import __version__

    analyses = [analysis_of(path) for path in shipped()]
    return "\n".join([HEADER.format(version=__version__), *ported(analyses), "", *unported(analyses), ""])


def ported(analyses: list[Analysis]) -> Iterator[str]:
    """The section of tables that run."""
    found = [each for each in analyses if each.ported]
    yield f"## Ported: {len(found)} of {len(analyses)} tables"
    yield "Parameters and GFLOPs are those of the first size, fused, at 640 x 640 pixels."
    yield ""
    yield "| family | table | task | sizes | parameters | GFLOPs | shown by |"
    yield "|---|---|---|---|---:|---:|---|"
    for each in ordered(found):
        parameters, gflops = each.fused.parameters, each.fused.gflops
        assert parameters is not None
        assert gflops is not None
        cost = f"{parameters / 1e6:.1f} M | {gflops:.1f}"
        wired = parameters < MAX_WIRED and not each.path.stem.startswith(SLOW)
        test = WIRED if wired else BUILT
        yield f"| {family(each)} | `{each.path.stem}` | {each.task} | {sizes(each)} | {cost} | {test} |"


def unported(analyses: list[Analysis]) -> Iterator[str]:
    """The section of tables that do not run, and why."""
    found = [each for each in analyses if not each.ported]
    yield "## Not ported"
    yield "Coverage is the part of the layers, and of the parameters, that is in ported blocks."
    yield ""
    yield "| family | table | task | sizes | layers | parameters | what is missing | shown by |"
    yield "|---|---|---|---|---:|---:|---|---|"
    for each in ordered(found):
        coverage = " | ".join(percent(each.coverage[what]) for what in ("layers", "parameters"))
        yield (
            f"| {family(each)} | `{each.path.stem}` | {each.task} | {sizes(each)} | {coverage} "
            f"| {missing(each)} | {REFUSED} |"
        )
    yield ""
    yield "## Blocks"
    yield f"Ported: {', '.join(f'`{name}`' for name in sorted(SPECS, key=str.lower))}."
    yield ""
    yield "| not ported | why |"
    yield "|---|---|"
    reasons = {layer.layer.module: layer.problem for each in found for layer in each.layers if layer.problem}
    for module, why in sorted(reasons.items(), key=lambda pair: pair[0].lower()):
        yield f"| `{module}` | {why} |"


def analysis_of(path: Path) -> Analysis:
    """The analysis of a table, complete where Ultralytics can say what the port cannot."""
    subject = read_subject(str(path))
    first = analyze_subject(subject)
    for size in first.scales[1:]:
        other = analyze_subject(replace(subject, table={**subject.table, "scale": size}))
        assert other.problems == first.problems, f"{path.name} is not ported in the same way at size {size}"
    return first if first.ported else analyze_subject(replace(subject, parameters=counted(subject.table)))


def counted(table: Mapping[str, Any]) -> dict[int, int]:
    """The parameters of each layer that Ultralytics builds, on PyTorch's device without storage."""
    networks.torchvision_models()
    from ultralytics.nn.tasks import parse_model

    plain = copy.deepcopy(dict(table))
    for row in (*plain["backbone"], *plain["head"]):
        row[3] = [None if argument == "DEFAULT" else argument for argument in row[3]]  # weights to download
    with torch.device("meta"):
        layers, _ = parse_model(plain, ch=3, verbose=False)
    return {layer.i: sum(each.numel() for each in layer.parameters()) for layer in layers}


def ordered(analyses: list[Analysis]) -> list[Analysis]:
    """By family, the latest first; then by name."""

    def key(each: Analysis) -> tuple[int, str]:
        number = re.search(r"\d+", family(each))
        return -int(number[0]) if number else 0, each.path.stem

    return sorted(analyses, key=key)


def family(analysis: Analysis) -> str:
    """The family of a table, after Ultralytics' folder."""
    folder = analysis.path.parent.name
    return FAMILIES.get(folder, f"YOLO{folder}")


def sizes(analysis: Analysis) -> str:
    """``n s m l x``."""
    return " ".join(analysis.scales) or "one"


def missing(analysis: Analysis) -> str:
    """The unported blocks, without their layers."""
    modules = dict.fromkeys(each.layer.module for each in analysis.layers if each.problem)
    settings = [each for each in analysis.problems if "(layer" not in each]
    return ", ".join([*(f"`{module}`" for module in modules), *settings])


def percent(part: float | None) -> str:
    """``84%``."""
    return "?" if part is None else f"{part:.0%}"


if __name__ == "__main__":
    main()

"""The table and the plot of docs/side-by-side.md, out of what scripts/side_by_side_cnn.py has measured."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from yolo_max.output.figures import styled

DOCS = Path(__file__).resolve().parent.parent / "docs"
ENGINES = {
    "torch-nchw": "PyTorch, NCHW",
    "torch": "PyTorch",
    "torch-compile": "torch.compile",
    "max": "MAX",
}
"""PyTorch's maps are channels_last, but in the first."""
KINDS = {"mnist": "grey, 28 x 28", "cifar": "color, 32 x 32"}
"""What images have the shapes of."""
COLORS = {"torch-nchw": "#c3cad8", "torch": "#8d99ae", "torch-compile": "#4a5f8c", "max": "#e4572e"}
BATCH = 512
WAYS = {"batches": BATCH, "single": 1}
"""How the images are run: the number in each call."""
TITLES = {"batches": f"batches of {BATCH}", "single": "one by one"}

Found = Mapping[str, Mapping[str, Any]]


def table(found: Found) -> str:
    """A row for each data and engine, Markdown."""
    cells = ["data", "engine", "accuracy"]
    cells += [f"{title}, {unit}" for title in TITLES.values() for unit in ("s", "ratio")]
    lines = [cells, ["---"] * len(cells)]
    for kind, each in found.items():
        for engine, here in each["engines"].items():
            cells = [KINDS[kind], ENGINES[engine], f"{here['accuracy']:.2%}"]
            for way in WAYS:
                ratio = np.median(np.divide(here[way], each["engines"]["torch"][way]))
                cells += [f"{sum(here[way]):.1f}", f"{ratio:.2f}"]
            lines.append(cells)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def draw_plot(found: Found, path: Path) -> None:
    """Bars of the seconds for all images."""
    from matplotlib.figure import Figure

    with styled({"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(8, 1.6 + 1.1 * len(found)), layout="constrained")
        for axes, way in zip(figure.subplots(1, len(WAYS), sharey=True), WAYS, strict=True):
            places, ticks = 0.0, []
            for kind, each in found.items():
                for engine, here in each["engines"].items():
                    bar = axes.barh(places, sum(here[way]), color=COLORS[engine])
                    axes.bar_label(bar, fmt="%.1f", padding=3)
                    ticks.append((places, f"{KINDS[kind]}: {ENGINES[engine]}"))
                    places += 1
                places += 0.5
            axes.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
            axes.tick_params(left=False)
            axes.margins(x=0.18)
            axes.set_xlim(left=0)
            axes.set_title(TITLES[way], fontsize=11)
            axes.set_xlabel("seconds for all images")
            axes.yaxis.set_inverted(True)
        figure.savefig(path, dpi=120)

"""Curves and confusion matrices as PNG, drawn with matplotlib."""

from __future__ import annotations

import importlib.util
import io
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolo_max.output.figures import styled
from yolo_max.support.errors import EngineError
from yolo_max.verify.val.confusion import BACKGROUND, Confusion
from yolo_max.verify.val.curves import Curves, smooth

LEGEND = 20
"""With more classes a curve each cannot be told apart: they are gray, without a legend."""
LABELLED, NUMBERED = 100, 30
"""With fewer rows a matrix has their names, or numbers in its cells."""
DPI = 160
NAME = 24
"""How many characters of a class name are shown."""
MEAN, SINGLE = "#d9481f", "#9aa3b5"
STYLE = {"font.size": 11, "text.parse_math": False, "axes.grid": True, "grid.color": "#e6e9ef"}


def require() -> None:
    """Checks that matplotlib is installed; quick, so that it can come first.

    Raises:
        EngineError: It is not.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise EngineError("drawing curves needs matplotlib; install it with `pip install matplotlib`.")


def pr_curve(curves: Curves) -> bytes:
    """Precision over recall."""
    labels = [f"{_name(name)} {ap:.3f}" for name, ap in zip(curves.names, curves.ap50, strict=True)]
    y = curves.precision_at_recall
    mean = y.mean(axis=0)
    label = f"all classes {curves.ap50.mean():.3f} mAP@0.5"
    return _curves(curves.x, y, mean, labels, label, "Recall", "Precision", "Precision-Recall Curve")


def confidence_curve(curves: Curves, figure: str, y: NDArray[np.float64]) -> bytes:
    """A figure over confidence.

    Args:
        curves: Whose it is.
        figure: Its name.
        y: float64 [C, POINTS].
    """
    mean = smooth(y.mean(axis=0))
    label = f"all classes {mean.max():.2f} at {curves.x[mean.argmax()]:.3f}"
    labels = [_name(name) for name in curves.names]
    title = f"{figure}-Confidence Curve"
    return _curves(curves.x, y, mean, labels, label, "Confidence", figure, title)


def confusion_matrix(confusion: Confusion, *, normalize: bool) -> bytes:
    """Rows are what was predicted, columns what is true.

    The background's column has no say in the shades: at a low confidence its false alarms outnumber all.
    """
    from matplotlib.figure import Figure

    counts: NDArray[Any] = confusion.normalized if normalize else confusion.counts
    size = len(counts)
    side = float(np.clip(4.5 + 0.19 * size, 6, 21))
    with styled(STYLE):
        figure = Figure((side * 1.18, side), DPI, layout="constrained")
        axes = figure.add_subplot()
        axes.grid(visible=False)
        shown = np.where(counts > (0.005 if normalize else 0), counts, np.nan)
        objects = counts[:, : -1 if confusion.names[-1] == BACKGROUND else None]
        top = 1.0 if normalize else max(float(objects.max(initial=0)), 1.0)
        image = axes.imshow(shown, cmap="Blues", vmin=0, vmax=top, interpolation="none")
        figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
        if size < NUMBERED:
            for i, j in np.argwhere(~np.isnan(shown)):
                color = "white" if shown[i, j] > 0.5 * top else "black"
                text = f"{shown[i, j]:.2f}" if normalize else f"{int(shown[i, j])}"
                font = float(np.clip(13 - 0.25 * size, 6.5, 11))
                axes.text(j, i, text, ha="center", va="center", color=color, fontsize=font)
        if size < LABELLED:
            names = [_name(name) for name in confusion.names]
            font = float(min(11, 0.55 * 72 * side / size))  # of a row's height, the margins left out
            axes.set_xticks(range(size), names, rotation=90, fontsize=font)
            axes.set_yticks(range(size), names, fontsize=font)
        axes.set_xlabel("True", fontsize=max(11, side))
        axes.set_ylabel("Predicted", fontsize=max(11, side))
        axes.set_title("Confusion Matrix" + " Normalized" * normalize, fontsize=max(12, side))
        return _png(figure)


def _curves(
    x: NDArray[np.float64],
    rows: NDArray[np.float64],
    mean: NDArray[np.float64],
    labels: Sequence[str],
    label: str,
    across: str,
    up: str,
    title: str,
) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with styled(STYLE):
        figure = Figure((9, 6), DPI, layout="constrained")
        axes = figure.add_subplot()
        if len(rows) <= LEGEND:
            colors = mpl.colormaps["tab20"](range(LEGEND))
            for row, each, color in zip(rows, labels, colors, strict=False):
                axes.plot(x, row, linewidth=1.2, label=each, color=color)
        else:
            axes.plot(x, rows.T, linewidth=0.7, color=SINGLE, alpha=0.6)
        axes.plot(x, mean, linewidth=3, color=MEAN, label=label)
        axes.set(xlabel=across, ylabel=up, xlim=(0, 1), ylim=(0, 1.02), title=title)
        axes.legend(bbox_to_anchor=(1.02, 1), loc="upper left", frameon=False)
        return _png(figure)


def _name(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME - 1]}…"


def _png(figure: Any) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names in scripts that the font does not have
        FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()

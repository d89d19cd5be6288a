"""``yolo-max weights compile``: a network's code in a file, for machines that shall not compile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from yolo_max.cli.console import Debug, busy, printable, say
from yolo_max.cli.parameters import Quiet, Some, Weights, flag, option, takes
from yolo_max.support.atomic import write_atomically
from yolo_max.support.errors import OutputError, UsageError
from yolo_max.support.options import NETWORK, OUTPUT, PredictOptions
from yolo_max.support.text import file_size


@takes(options=Some(PredictOptions, "precision", "nms"))
def compile_command(
    weights: Weights = "yolov8n",
    *,
    options: PredictOptions,
    target: Annotated[
        str | None,
        option(
            NETWORK,
            "The processor: x86-64-v3 (AVX2), x86-64-v4 (AVX-512), cooperlake (with bf16) or znver4 (AMD's).",
            metavar="NAME",
            show_default="the best that this machine runs",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        option(OUTPUT, "Where to write.", *("--out", "-o"), metavar="OUT.mef", show_default="WEIGHTS.mef"),
    ] = None,
    overwrite: Annotated[bool, flag(OUTPUT, "Replace a file that is there.", "--overwrite")] = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Compile a network for a processor, for `yolo-max predict --compiled OUT.mef` with weights like these.

    It fits every training of the network, whatever the weights and the number of classes up to 64, and this
    version of yolo_max and of MAX. It is native code: take only files that you or people you trust have made.
    """
    from yolo_max.engine.trace import compile_for
    from yolo_max.kernels.precision import Precision
    from yolo_max.runtime.cpu_target import runnable, target_named
    from yolo_max.weights.load import load_weights

    precision = Precision.parse(options.precision)
    chosen = target_named(target) if target else next(iter(runnable(precision)), None)
    if chosen is None:
        raise UsageError(f"no target computes in {precision} on this machine; name one with --target.")
    path = out or Path(f"{Path(weights).stem}.mef")
    if path.suffix != ".mef":
        raise UsageError(f"{path} must end in .mef; name another file with -o.")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path} exists; name another file with --out, or use --overwrite to replace it.")
    with busy(quiet) as begin:
        loaded = load_weights(weights)
        loaded = loaded if options.nms else loaded.without_nms()
        begin(f"Compiling {printable(weights)} for {chosen.name}: about a minute")
        data = compile_for(loaded.meta.network, chosen, precision)
        write_atomically(path, data)
    if not quiet:
        say(f"Wrote {printable(str(path))}: {precision}, {chosen.name}, {file_size(len(data))}.")

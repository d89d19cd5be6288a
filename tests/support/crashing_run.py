"""A run over SOURCE into OUT that resumes what is there: ``crashing_run.py SOURCE OUT [BATCH]``."""

from __future__ import annotations

import sys
from pathlib import Path

from fakes import SharedEngine, fake_weights

from yolo_max.images.sources import find_images
from yolo_max.predict.detector import Detector
from yolo_max.predict.folder.run import FolderRun
from yolo_max.support.options import SaveOptions

if __name__ == "__main__":
    source, out, *batch = sys.argv[1:]
    detector = Detector(
        fake_weights(), engine=SharedEngine(), workers=3, batch=int(batch[0]) if batch else None
    )
    found = find_images([source], recursive=True, exclude=Path(out))
    with FolderRun(detector, found, Path(out), SaveOptions(times=False), resume=True) as run:
        for _ in run.images():
            pass

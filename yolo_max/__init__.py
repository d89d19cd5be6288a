"""yolo_max: YOLOv8 detection ported by hand onto Modular MAX."""

from importlib.metadata import version

__version__ = version("yolo-max")

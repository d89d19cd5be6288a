"""``python -m yolo_max``: the command line, where ``yolo-max`` is not on the path."""

from yolo_max.cli import main

if __name__ == "__main__":
    main()

"""Write scenes of shapes: the pictures in images/, or a labelled data set of any length for any task.

    python scripts/make_demo_images.py --out images --seed 39 --count 8
    python scripts/make_demo_images.py --out scenes --seed 1 --count 300 --task segment --labels

Series 0 trained the bundled weights and series 1 measured them; the bundled images are from series 39, picked
for show.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
from shapes.figures import FLIPPED_KEYPOINTS, KEYPOINT_SHAPE
from shapes.labels import LABELS
from shapes.series import SERIES

# The series of images/, picked for show; 0 is for training, 1 for measuring.
BUNDLED_SEED = 39
WRITE_OPTIONS = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 88], ".png": [cv2.IMWRITE_PNG_COMPRESSION, 9]}


def write_scenes(out: Path, seed: int, count: int, labels: bool = False, task: str = "detect") -> list[Path]:
    """Write the first `count` scenes of a series under `out`, every fourth as PNG, the others as JPEG.

    With `labels`, they go to out/images beside out/labels and out/data.yaml, the layout of a YOLO data set;
    for classify, to out/val/CLASS.

    Returns:
        The images' paths.

    Raises:
        OSError: An image could not be written.
    """
    series = SERIES[task]
    digits = max(2, len(str(count - 1)))
    paths = []
    for index in range(count):
        scene = series.numbered(seed, index)
        suffix = ".png" if index % 4 == 3 else ".jpg"
        folder = out
        if labels and task == "classify":
            folder = out / "val" / series.names[scene.classes[0]]
        elif labels:
            folder = out / "images"
        path = folder / f"{series.noun}-{index:0{digits}d}{suffix}"
        folder.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), scene.image, WRITE_OPTIONS[suffix]):
            raise OSError(f"{path}: the image could not be written")
        paths.append(path)
        if labels and task != "classify":
            label = out / "labels" / f"{path.stem}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text("".join(f"{line}\n" for line in LABELS[task](scene)), encoding="utf-8")
    if labels and task != "classify":
        (out / "data.yaml").write_text(dataset_yaml(task), encoding="utf-8")
    return paths


def dataset_yaml(task: str) -> str:
    """The text of a data set's data.yaml."""
    # No `path`: the folders are then relative to this file, wherever the data set is moved.
    lines = ["train: images", "val: images"]
    if task == "pose":
        lines += [f"kpt_shape: {list(KEYPOINT_SHAPE)}", f"flip_idx: {list(FLIPPED_KEYPOINTS)}"]
    lines += ["names:", *(f"  {class_id}: {name}" for class_id, name in enumerate(SERIES[task].names))]
    return "".join(f"{line}\n" for line in lines)


def main() -> None:
    """Parse the command line, write the scenes, print their paths."""
    parser = argparse.ArgumentParser(description="Draw scenes, with or without labels.")
    parser.add_argument("--out", type=Path, default=Path("images"), help="folder (default: images)")
    parser.add_argument(
        "--seed", type=int, default=BUNDLED_SEED, help=f"series of scenes (default: {BUNDLED_SEED})"
    )
    parser.add_argument("--count", type=int, default=8, help="number of scenes (default: 8)")
    parser.add_argument("--task", choices=list(SERIES), default="detect", help="(default: detect)")
    parser.add_argument("--labels", action="store_true", help="write a data set of the task, with its labels")
    arguments = parser.parse_args()
    for path in write_scenes(
        arguments.out, arguments.seed, arguments.count, arguments.labels, arguments.task
    ):
        print(path)


if __name__ == "__main__":
    main()

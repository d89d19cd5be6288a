"""Write scenes of shapes: the pictures in images/, or a labelled YOLO data set of any length.

    python scripts/make_demo_images.py --out images --seed 39 --count 8
    python scripts/make_demo_images.py --out scenes --seed 1 --count 300 --labels

Series 0 trained the bundled weights and series 1 measured them; the bundled images are from series 39, picked
for show.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
from shapes.scenes import CLASS_NAMES, Scene, draw_scene

# The series of images/, picked for show; 0 is for training, 1 for measuring.
BUNDLED_SEED = 39
# The images go round these (width, height), so that letterboxing has something to do.
SIZES = ((640, 480), (480, 640), (640, 360), (512, 512), (800, 450), (640, 427), (450, 600), (640, 480))
WRITE_OPTIONS = {".jpg": [cv2.IMWRITE_JPEG_QUALITY, 88], ".png": [cv2.IMWRITE_PNG_COMPRESSION, 9]}


def numbered_scene(seed: int, index: int) -> Scene:
    """Scene `index` of a series, in the size that its number gives it."""
    width, height = SIZES[index % len(SIZES)]
    return draw_scene(seed, index, (height, width))


def label_lines(scene: Scene) -> list[str]:
    """A scene's labels in YOLO's format: class, then centre x, y, width, height as shares of the image."""
    height, width = scene.image.shape[:2]
    lines = []
    for (x1, y1, x2, y2), class_id in zip(scene.boxes.tolist(), scene.classes.tolist(), strict=True):
        centre = f"{(x1 + x2) / 2 / width:.6f} {(y1 + y2) / 2 / height:.6f}"
        lines.append(f"{class_id} {centre} {(x2 - x1) / width:.6f} {(y2 - y1) / height:.6f}")
    return lines


def write_scenes(out: Path, seed: int, count: int, labels: bool = False) -> list[Path]:
    """Write the first `count` scenes of a series under `out`, every fourth as PNG, the others as JPEG.

    With `labels`, they go to out/images beside out/labels and out/data.yaml, the layout of a YOLO data set.

    Returns:
        The images' paths.

    Raises:
        OSError: An image could not be written.
    """
    images = out / "images" if labels else out
    images.mkdir(parents=True, exist_ok=True)
    digits = max(2, len(str(count - 1)))
    paths = []
    for index in range(count):
        scene = numbered_scene(seed, index)
        suffix = ".png" if index % 4 == 3 else ".jpg"
        path = images / f"shapes-{index:0{digits}d}{suffix}"
        if not cv2.imwrite(str(path), scene.image, WRITE_OPTIONS[suffix]):
            raise OSError(f"{path}: the image could not be written")
        paths.append(path)
        if labels:
            label = out / "labels" / f"{path.stem}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text("".join(f"{line}\n" for line in label_lines(scene)), encoding="utf-8")
    if labels:
        names = "".join(f"  {class_id}: {name}\n" for class_id, name in enumerate(CLASS_NAMES))
        # No `path`: the folders are then relative to this file, wherever the data set is moved.
        text = f"train: images\nval: images\nnames:\n{names}"
        (out / "data.yaml").write_text(text, encoding="utf-8")
    return paths


def main() -> None:
    """Parse the command line, write the scenes, print their paths."""
    parser = argparse.ArgumentParser(description="Draw scenes of shapes, with or without labels.")
    parser.add_argument("--out", type=Path, default=Path("images"), help="folder (default: images)")
    parser.add_argument(
        "--seed", type=int, default=BUNDLED_SEED, help=f"series of scenes (default: {BUNDLED_SEED})"
    )
    parser.add_argument("--count", type=int, default=8, help="number of scenes (default: 8)")
    parser.add_argument("--labels", action="store_true", help="write a YOLO data set, with data.yaml")
    arguments = parser.parse_args()
    for path in write_scenes(arguments.out, arguments.seed, arguments.count, arguments.labels):
        print(path)


if __name__ == "__main__":
    main()

"""``yolo-max val``: how accurate an engine is on labelled images.

dataset.py          labelled images
objects.py          their objects, and what of them is measured: boxes
masks.py              masks
keypoints.py          keypoints
load.py             reads them:
yolo_dataset.py       Ultralytics' YAML, labels.py its label files
coco_json.py          COCO's annotations
coordinates.py          their coordinates, checked
evaluate.py         mean average precision by COCO's definition
curves.py           precision and recall over confidence
confusion.py        which classes are taken for which
ultralytics_map.py  the same by Ultralytics' formula
shape_accuracy.py   of shapes and of the boxes around them
rotated.py          rotated boxes, by that formula
image_folder.py     images in one folder per class
accuracy.py         top-1 and top-5
classes.py          the model's classes and the dataset's
figures.py          figures, common to all metrics
metrics.py          the metrics by name
report/             files and a page to look at
validate.py         engines on a dataset, and whether they differ
"""

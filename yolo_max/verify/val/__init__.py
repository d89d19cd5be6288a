"""``yolo-max val``: how well an engine knows what is labelled.

dataset.py          labelled images: Ultralytics' YAML and YOLO labels, or COCO's json
evaluate.py         mean average precision by COCO's definition
ultralytics_map.py  the same as Ultralytics' validator adds it up
image_folder.py     images in a folder for each class
accuracy.py         top-1 and top-5
classes.py          the model's classes and the dataset's
figures.py          what all metrics give
metrics.py          the metrics by name
validate.py         engines over a dataset, and whether they differ
"""

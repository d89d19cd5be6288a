"""``yolo-max val``: how well an engine finds what is labelled.

dataset.py          labelled images: Ultralytics' YAML and YOLO labels, or COCO's json
evaluate.py         mean average precision by COCO's definition
ultralytics_map.py  the same as Ultralytics' validator adds it up
validate.py         engines over a dataset, and whether they differ
"""

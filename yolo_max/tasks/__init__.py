"""What the outputs of a network mean: one package per task. NumPy and OpenCV only.

contract.py    raw outputs, decoders, predictions
comparison.py  what a task says about the results of two engines
rubric.py      the parity rubric: its bounds, and the verdict
reference.py   what to know of Ultralytics' side of a task
marks.py       what to draw, as plain data
exports.py     predictions as tables, JSON, COCO's form, supervision's classes
records.py     what records of all tasks have in common
selection.py   which rows an index means
rle.py         run lengths of masks
tiles.py       what is found in tiles of an image, merged
task.py        all that a task provides
registry.py    the tasks by name; code outside this package never asks which one it has
"""

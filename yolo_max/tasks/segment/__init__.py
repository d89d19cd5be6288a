"""Objects with masks; detection's steps, and masks from prototypes.

decoder.py       raw outputs to the result
masks.py         masks from prototypes and coefficients
polygons.py      the outline of a mask
segmentation.py  the result
comparison.py    its part of the parity rubric
reference.py     Ultralytics' side
task.py          the task, as the rest of the package sees it
"""

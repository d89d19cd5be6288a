"""Boxes and their keypoints, in NumPy, the same for both engines.

decoder.py     raw keypoints to pixels, on top of detection
poses.py       the result
skeleton.py    what to draw of it
comparison.py  its part of the parity rubric
reference.py   Ultralytics' side
task.py        the task, as the rest of the package sees it
"""

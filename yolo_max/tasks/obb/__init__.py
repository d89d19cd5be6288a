"""The raw head and angles to rotated boxes, in NumPy, the same for both engines.

decode.py              angles, rotated boxes and their corners
probiou.py             how alike two rotated boxes are, as Ultralytics measures it
fast_nms.py            fast non-maximum suppression
postprocess.py         threshold, decode, NMS, undo the letterbox
rotated_detections.py  the result
comparison.py          its part of the parity rubric:
overlap.py               the exact IoU of rotated boxes
tolerant_nms.py          which candidates NMS must keep or drop, and which rounding decides
reference.py           Ultralytics' side
task.py                the task, as the rest of the package sees it
"""

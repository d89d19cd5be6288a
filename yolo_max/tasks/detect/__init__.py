"""The raw head to detections, in NumPy, the same for both engines.

decode.py        logits to confidences, distributions to boxes
nms.py           greedy non-maximum suppression
postprocess.py   threshold, decode, NMS, undo the letterbox
detections.py    the result             exports.py  what it can be turned into
comparison.py    its part of the parity rubric:
matching.py        two sets of detections, one to one
tolerant_nms.py    which candidates NMS must keep or drop, and which rounding decides
reference.py     Ultralytics' side
task.py          the task, as the rest of the package sees it
"""

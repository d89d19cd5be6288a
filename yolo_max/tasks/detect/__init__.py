"""The raw head to detections, in NumPy, the same for both engines.

decode.py       logits to confidences, distributions to boxes
nms.py          greedy non-maximum suppression
postprocess.py  threshold, decode, NMS, undo the letterbox
detections.py   the result
task.py         the task, as the rest of the package sees it
"""

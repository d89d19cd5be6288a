"""The raw head to detections, in NumPy, the same for both engines.

decode.py       logits to confidences, distributions to boxes
nms.py          greedy non-maximum suppression
postprocess.py  threshold, decode, NMS, and back out of the letterbox
detections.py   the result
task.py         all of it, as the rest of the house sees it
"""

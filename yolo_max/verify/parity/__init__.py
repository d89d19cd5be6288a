"""What it takes to say that MAX computes what PyTorch computes.

rubric.py    the bounds, and the verdict on layers, heads and detections
tolerant_nms.py  which candidates NMS must keep or drop, and which rounding decides
matching.py  two sets of detections, one to one
layers.py    the network layer by layer, to find the first one that diverges
"""

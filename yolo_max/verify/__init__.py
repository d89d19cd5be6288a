"""Holding the port against PyTorch and against labels.

engine_run.py  an engine over images, in a process of its own
layers.py      the network layer by layer, to find the first one that diverges
"""

"""Weights: from a name to checked tensors. The only room that opens untrusted weights files.

name ──locate.py, fetch.py──► yolov8n.pt ──checkpoint/──► yolov8n.safetensors ──load.py──► Weights

locate.py     the file that a name stands for     fetch.py   Ultralytics' release files
checkpoint/   reads a .pt without running it
container.py  the safetensors container           meta.py    its header: the model's meta data
load.py       loads and checks weights; converts and saves them
analysis/     which layers of any network are ported
"""

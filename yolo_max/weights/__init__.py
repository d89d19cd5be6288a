"""Weights: what a name means, what a file holds, and that it can be trusted.

name ──locate.py, fetch.py──► yolov8n.pt ──checkpoint/──► yolov8n.safetensors ──load.py──► Weights

locate.py     what a user's word for weights stands for     fetch.py   Ultralytics' release files
checkpoint/   a .pt without running what is in it
container.py  the safetensors container                     meta.py    what its header says of the model
load.py       Weights: loaded and checked, converted and saved
"""

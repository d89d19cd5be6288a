"""Detections out: as pictures and as text.

draw.py    boxes and labels on an image      palette.py  a color for each class
encode.py  the image as a file               records.py  JSON lines, YOLO labels, CSV
"""

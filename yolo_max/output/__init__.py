"""Predictions as pictures and as text.

draw.py    marks on an image                 palette.py  a color for each class
encode.py  the image as a file               records.py  JSON lines, CSV
"""

"""``yolo-max compare``: the same images on MAX and PyTorch.

comparison.py    both engines, image by image, and whether parity holds
side_by_side.py  pictures of it
report.py        the report as one page (report.html)
folder.py        the output folder: pictures, compare.json, report.html
"""

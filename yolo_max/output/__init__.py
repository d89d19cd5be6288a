"""Predictions as pictures and as text.

draw.py            marks on an image
rotated_box.py     rotated boxes on it
mask_fill.py       masks on it
label_layout.py    where labels go
text_rendering.py  text as pixels; with shaping.py and transliteration.py for what OpenCV's font lacks
trails.py          where tracked objects have been
skeletons.py       keypoints and limbs
fixed_point.py     coordinates for OpenCV
palette.py         a color for each class
crops.py           objects cut out of it
figures.py         figures of matplotlib
encode.py          the image as a file
video.py           frames as a video, with the sound of another
records.py         JSON lines, CSV
tables.py          what is made of all records: CSV, COCO's json, Parquet
gallery.py         a run as a page to look through
"""

"""A run over a folder, which can be killed and resumed.

run.py           predicts, writes and records, in order
saving.py        what is written for each image
targets.py       where it is written, and what must not be replaced
crop_names.py    where crops go
frames.py        the frames of a video, and the annotated video that they become
output_tree.py   the output folder, held open
manifest.py      what the run is, and which images are done
totals.py        what was found so far
previous_run.py  a run that the output folder already holds
in_flight.py     the images that a process was working on when it died
"""

"""Images in: found, decoded, fitted to the canvas of the network.

sources.py    files, folders and globs to images, in order, each with its place in the output tree
header.py     format and size from the first bytes, before anything is decoded
chunks.py     what a PNG or WebP consists of
still.py      the picture in a file, without the frames behind it
read.py       a path, bytes, PIL or NumPy to BGR pixels as displayed
trial.py      which files crash the process that decodes them
letterbox.py  pixels to the canvas, and boxes back out of it
letterbox.py  pixels to the canvas, and boxes back out of it; centre_crop.py another way there
transforms.py these ways by name
"""

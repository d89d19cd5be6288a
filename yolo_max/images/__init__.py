"""Images in: found, decoded, fitted to the canvas of the network.

sources.py    files, folders and globs to images, in order, each with its place in the output tree
header.py     format and size from the first bytes, before anything is decoded
read.py       a path, bytes, PIL or NumPy to BGR pixels as displayed
letterbox.py  pixels to the canvas, and boxes back out of it; centre_crop.py another way there
transforms.py these ways by name
"""

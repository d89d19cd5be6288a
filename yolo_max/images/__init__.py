"""Images in: found, decoded, fitted to the canvas of the network.

sources.py      files, folders and globs to images, in order
source.py       one of them
globs.py        what matches a pattern
folders.py      what lies in a folder
inputs.py       whatever a caller gives as a source
suffixes.py     which files in a folder are images or videos
unsupported.py  sources that cannot be images, and what to do instead
addresses.py    addresses on the network, checked, and connected to as they were checked
wire.py         a connection to a web server, within time
rtsp.py         a relay to an RTSP server
remote.py       images, videos and streams there, and webcams
together.py     several streams at the same time
lists.py        lists of sources: .txt, .csv, .streams, the standard input
places.py       where the results of each image go
video.py        the frames of a video, as displayed
decoded.py      its pixels, once they are needed
display.py      how they are turned
frame.py        one of them
regular_file.py a file of somebody else, opened
header.py       format and size from the first bytes, before anything is decoded
chunks.py       the chunks of a PNG or WebP, and the blocks of a GIF
jpeg.py         the markers of a JPEG
tiff.py         the tags of a TIFF
heif.py         the items of a HEIC or AVIF
boxes.py        the boxes that they lie in
coded_size.py   the size that AV1 and HEVC state themselves
still.py        the first picture of a file, without the frames behind it
read.py         a path, bytes, PIL or NumPy to BGR pixels as displayed
memory.py       the memory that all threads decode with
trial.py        which files crash the process that decodes them
letterbox.py    pixels to the canvas, and boxes back to the image
centre_crop.py  the same for classification
transforms.py   both by name
tiles.py        an image cut into tiles
"""

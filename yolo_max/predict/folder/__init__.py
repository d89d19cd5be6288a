"""A run over a folder, which can be killed and resumed.

run.py       detects, writes and records, in order, whatever happens between
saving.py    what is written for each image      manifest.py  what is done, and what the run is
tally.py     what was found so far               earlier.py   a run that the folder holds already
"""

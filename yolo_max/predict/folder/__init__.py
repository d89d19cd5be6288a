"""A run over a folder, which can be killed and resumed.

run.py       detects, writes and records, in order, whatever happens between
saving.py    what is written for each image      manifest.py  what is done, and what the run is
totals.py    what was found so far               previous_run.py   a run that the folder holds already
in_flight.py what a process was at when it died
"""

"""Portability: which layers of a network are ported, what they cost, and whether it runs here.

tables.py    the YAML that a name means, as Ultralytics finds it
subject.py   what is analyzed: a table, and what its file says beside it
layers.py    each row of the table, resolved and counted
report.py    the whole: totals, coverage, verdict
"""

"""What heads mean: a room for each task. NumPy only.

contract.py  what all tasks have in common: the seam between a network and the rest of the house
marks.py     what to draw, as plain data
registry.py  the tasks by name; nothing outside this room knows one from another
"""

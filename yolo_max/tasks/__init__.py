"""What the outputs of a network mean: one package per task. NumPy only.

contract.py  what every task provides
marks.py     what to draw, as plain data
registry.py  the tasks by name; code outside this package never asks which one it has
"""

"""Class logits to a classification, in NumPy, the same for both engines.

decoder.py         softmax
classification.py  the result
comparison.py      its part of the parity rubric
reference.py       Ultralytics' side
task.py            the task, as the rest of the package sees it
"""

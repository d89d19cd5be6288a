"""Class logits to a classification, in NumPy, the same for both engines.

decoder.py         softmax
classification.py  the result
task.py            the task, as the rest of the package sees it
"""

"""The logits of a classifier to a classification, in NumPy, the same for both engines.

decoder.py         softmax
classification.py  the result
task.py            all of it, as the rest of the house sees it
"""

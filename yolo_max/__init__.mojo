"""The Mojo half of the package; Mojo's packages have the names of Python's.

    kernels         convolutions and pools, for any graph
    model.detect    what only a detection head computes
"""

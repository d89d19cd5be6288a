"""Kernels of the detection head."""

"""Holding the port against PyTorch and against labels."""

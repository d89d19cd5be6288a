"""Holding the port against PyTorch and against labels; engine_run.py runs an engine over images for both."""

"""The hand port of YOLOv8 onto MAX, and nothing else."""

"""What heads mean: a room for each task."""

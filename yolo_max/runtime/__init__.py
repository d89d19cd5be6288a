"""MAX in this process: threads, compiled graphs, this machine. Knows no network."""

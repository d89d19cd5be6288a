"""MAX in this process: its threads, its compiled graphs, this machine; no network is known here."""

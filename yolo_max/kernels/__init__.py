"""The Mojo kernels, and what graphs need to call them; no network is known here."""

"""Errors, options, text, tables, the cache, atomic writes: what every package may use."""

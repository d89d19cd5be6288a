"""Errors, options, text, tables, the cache, atomic writes: what every room may use."""

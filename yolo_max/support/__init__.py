"""Errors, options, text, tables, the cache, atomic writes: what every package may use.

errors.py                 the errors that yolo_max raises, and their exit codes
options.py, option.py     the options with their defaults, and what an option is
ray_options.py            the options of a run on Ray
parse.py                  values as users write them
text.py, numbers.py       values as text for messages
terminal_table.py         tables for terminals     html.py  HTML pages from templates
cache.py, atomic.py       the user's private cache, and files that are whole or not there
plain_file.py             files that are neither pipes nor devices     yaml_file.py  YAML within limits
result_names.py           names of result files
extras.py                 packages that not everybody has
ultralytics_import.py     Ultralytics without its side effects
ultralytics_options.py    the names of Ultralytics' options
"""

"""A `.pt` checkpoint of Ultralytics to fused tensors, without running anything that is in it.

safe_pickle.py   opens it: an allow-list, and stand-ins for the rest
pickle_work.py   refuses, unread, what would take forever to read
legacy_width.py  tables of old checkpoints, as the network was built from them
layers.py        holds every module against its row of the table
read.py          folds BatchNorm into the convolutions, in float64
"""

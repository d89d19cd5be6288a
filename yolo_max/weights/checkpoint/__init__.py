"""A `.pt` checkpoint of Ultralytics to fused tensors, without running anything that is in it.

signature.py      how such a file begins
safe_pickle.py    opens it, as plain values
archive.py        the containers that torch.save writes
pickle_machine.py the pickle's opcodes; names.py: what they may name; calls.py: what they may make
pickle_work.py    a limit to the work that they ask for
tensors.py        tensors as NumPy arrays
metadata.py       class names, input size, table
legacy_width.py   tables of old checkpoints, as the network was built from them
layers.py         holds every module against its row of the table
read.py           the network as it was trained, and with BatchNorm folded in float64
"""

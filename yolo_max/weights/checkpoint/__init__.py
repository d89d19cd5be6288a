"""From an Ultralytics `.pt` checkpoint to fused tensors, without running anything in it.

signature.py       recognises such a file by its first bytes
safe_pickle.py     reads it as plain values
archive.py         the containers that torch.save writes
pickle_machine.py  the pickle's opcodes; names.py: names they may use; calls.py: objects they may make
pickle_stack.py    its stack and containers
pickle_work.py     limits the work that they cause
tensors.py         tensors as NumPy arrays
metadata.py        class names, input size, table
modules.py         the model in a checkpoint, and its modules by name
outline.py         what it says of layers that may not be ported
legacy_width.py    tables of old checkpoints, rewritten as the network was built
saved_head.py      what a table does not say of its head
layers.py          checks every module against its row of the table
read.py            the network as it was trained, and with BatchNorm folded in float64
"""

"""The hand port of YOLOv8 onto MAX, and nothing else.

blocks.py, head.py  Conv, Bottleneck, C2f, SPPF; the detect head up to its logits
feature_map.py      what flows between them: views of tensors
model.py            the registry of blocks, and the walk through the checkpoint's table
backend.py          what a block needs to be computed
fused.py, stock.py  that on the Mojo kernels, and on MAX's own operations
"""

import contextlib
import os

# Importing max.nn starts a Python that looks for modules in the working directory first, where files from
# anywhere may lie; so that is another folder meanwhile.
with contextlib.chdir("/"):
    import max.nn  # noqa: F401  (imported for what it does to the environment, which is undone below)

# It also tells child processes, behind os.environ's back, to be whatever `python3` is first on the path: a
# child started with sys.executable would not find its own virtual environment any more.
for _name in ("PYTHONEXECUTABLE", "PYTHONPATH"):
    if (_value := os.environ.get(_name)) is None:
        os.unsetenv(_name)
    else:
        os.putenv(_name, _value)

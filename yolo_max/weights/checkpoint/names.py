"""The names in a checkpoint's pickle: which are known, and the error for others.

Names are never imported or called; they stay two words. Unknown ones are refused all the same, so that a file
that holds something other than a model is not mistaken for one.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from yolo_max.model.architecture import REMEDY
from yolo_max.support.text import some

MAX_LENGTH = 200

# Objects that are restored attribute by attribute: a model's modules, and leftovers of training.
_OBJECT = re.compile(
    r"(ultralytics|torch\.(nn|optim|amp|cuda\.amp)|torchvision\.transforms)(\.\w+)* ([A-Z]|v\d)\w*"
    r"|ultralytics(\.yolo)?\.utils\.callbacks\.\w+ \w+|omegaconf(\.\w+)+ [A-Z]\w*|typing Any"
)
# Values that are made by a call.
_VALUE = re.compile(
    r"pathlib(\._local)? (Pure)?(Posix|Windows)?Path"
    r"|numpy (dtype|ndarray|\w+_|u?int\d+|float\d+)"
    r"|numpy\._?core\.(multiarray|numeric) (scalar|_reconstruct|_frombuffer)"
    r"|torchvision\.transforms\.functional InterpolationMode"
    r"|ultralytics(\.yolo)?\.utils IterableSimpleNamespace|argparse Namespace|types SimpleNamespace"
    r"|collections (OrderedDict|defaultdict|Counter|deque)|datetime (datetime|date|time|timedelta|timezone)"
    r"|(__builtin__|builtins) (set|frozenset|list|dict|tuple|int|long|float|str|bytes|bool|slice)"
    r"|(__builtin__|builtins) (object|getattr)|(copy_reg|copyreg) (_reconstructor|__newobj__)"
    r"|_codecs encode|dill\._dill _\w+|__main__ __dict__"
)
_TORCH = re.compile(
    r"torch (Size|device|Tensor|b?float\d+\w*|u?int\d+|bool|complex\d+|\w+Storage)|torch\.storage \w+Storage"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state)"
    r"|torch\._tensor _rebuild_from_type_v2|torch\.torch_version TorchVersion"
)
# Networks of other repositories, YOLOv5's and YOLOv7's: not ported, but no threat.
_OTHER_NETWORK = re.compile(r"models(\.\w+)+ [A-Z]\w*")
# Names that can run something: commands, code in a string, files, another pickle, an import.
_RUNS_CODE = re.compile(
    r"(os|posix|nt|subprocess|sys|shutil|socket|importlib|runpy|_?pickle|cPickle|marshal|codeop?|_?ctypes|pty"
    r"|pip|webbrowser|urllib|requests|pdb|bdb|timeit|c?[pP]rofile|torch\.(hub|serialization)"
    r"|ultralytics\.utils\.(checks|downloads))(\.\w+)* .+"
    r"|(__builtin__|builtins) (eval|exec|execfile|compile|open|file|input|__import__|apply|setattr)"
    r"|(torch|numpy) load|types (FunctionType|CodeType)"
)


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function, by its module and its name there."""

    module: str
    attribute: str

    @property
    def spaced(self) -> str:
        """``module attribute``, the form that the patterns of this module match."""
        return f"{self.module} {self.attribute}"

    @property
    def dotted(self) -> str:
        """``module.attribute``, as in Python."""
        return f"{self.module}.{self.attribute}"

    @property
    def is_object(self) -> bool:
        """Whether it is a class that is restored, never called with arguments."""
        return _OBJECT.fullmatch(self.spaced) is not None and _VALUE.fullmatch(self.spaced) is None

    @property
    def is_known(self) -> bool:
        """Whether a checkpoint may name it."""
        return any(pattern.fullmatch(self.spaced) for pattern in (_OBJECT, _VALUE, _TORCH))

    @property
    def runs_code(self) -> bool:
        """Whether it can run something, wherever it is called."""
        return _RUNS_CODE.fullmatch(self.spaced) is not None


def refusal(names: Collection[Name]) -> str:
    """The error for a pickle with these unknown names: a sentence without its subject."""
    spaced = sorted({name.spaced for name in names})
    if code := sorted({name.spaced for name in names if name.runs_code}):
        return f"names {_listed(code)}, which could run code; it was not opened"
    if all(_OTHER_NETWORK.fullmatch(name) for name in spaced):
        return (
            f"looks like a network that is not ported, made of {_listed(spaced)}; it was not opened; {REMEDY}"
        )
    return (
        f"names {_listed(spaced)}, which this reader does not know; it was not opened; "
        "save the model again without it"
    )


def _listed(spaced: list[str]) -> str:
    return some([name.replace(" ", ".") for name in spaced])

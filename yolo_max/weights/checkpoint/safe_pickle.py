"""Opening an untrusted PyTorch checkpoint without running anything in it.

PyTorch's weights-only unpickler does the reading, and three things narrow it further. The archive is judged
first: sizes, no compression, no odd members. Then the pickle is scanned, and every global it names must be
on the allow-list below; anything else is refused by name, before torch is even imported, and so is a pickle
that would take forever to read. Last, the classes of Ultralytics and of torch.nn are not loaded at all: a
`StandIn` that only holds data takes the place of each, so no code of theirs runs, none needs to be installed,
and their versions do not matter.
"""

from __future__ import annotations

import contextlib
import io
import pickletools
import re
import threading
import warnings
import zipfile
from collections.abc import Iterator
from typing import Any

from yolo_max.model.architecture import REMEDY
from yolo_max.support.errors import WeightsError
from yolo_max.weights.checkpoint.pickle_work import require_little_work

MAX_PICKLE_BYTES = 16 * 1024**2
MAX_MEMBERS = 50_000

# What torch's own unpickler builds: tensors and containers, as torch.save writes them.
_TORCH = re.compile(
    r"collections OrderedDict|(__builtin__|builtins) set|_codecs encode"
    r"|torch (Size|device|b?float\d+|u?int\d+|\w+Storage)|torch\.storage UntypedStorage"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|parameter|parameter_with_state)"
)
# What a stand-in takes the place of: the modules of a model, and the metadata that training leaves beside it.
_STAND_IN = re.compile(
    r"(ultralytics|torch)\.nn(\.\w+)+ ([A-Z]|v\d)\w*|ultralytics(\.yolo)?\.utils\.(loss|tal) [A-Z]\w*"
)
_VALUE = re.compile(
    r"pathlib(\._local)? (Posix|Windows)Path|numpy dtype|numpy(\._core|\.core)\.multiarray scalar"
    r"|ultralytics(\.yolo)?\.utils IterableSimpleNamespace|(__builtin__|builtins) getattr"
)
# What the networks of this and of the YOLOv5 repository are made of: other ones than YOLOv8, and no threat.
_OTHER_NETWORK = re.compile(r"(ultralytics\.(nn|models)|models)(\.\w+)+\.[A-Z]\w*")
# Opcodes that find or call something by another way than GLOBAL; torch.save writes none of them.
_REFUSED_OPCODES = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID"}

_torch_registry = threading.Lock()  # torch keeps one allow-list per process


class StandIn:
    """An object of a class that is not loaded; its attributes are those it was saved with.

    Modules are restored attribute by attribute, never constructed: a pickle that calls one is refused.
    """

    def __init__(self, *_: Any) -> None:
        """Refuses to be called."""
        raise WeightsError(
            f"calls {type(self).__name__}, where a checkpoint only restores it; it was not opened"
        )

    def __setstate__(self, state: Any) -> None:
        """Takes over the saved attributes."""
        if isinstance(state, dict):
            vars(self).update(state)


class _Value(StandIn):
    """Metadata that a checkpoint does construct: a path, a NumPy scalar, a namespace."""

    def __init__(self, *_: Any) -> None:
        """Drops the arguments: no value that takes any is needed."""


def load(data: bytes) -> Any:
    """Reads a checkpoint that ``torch.save`` wrote.

    Args:
        data: The whole file.

    Returns:
        The saved object: dicts, lists, numbers, strings, torch tensors on the CPU, and `StandIn` objects
        whose class carries the saved class's name. The values are as untrusted as the file.

    Raises:
        WeightsError: It is damaged, or names anything that is not on the allow-list. The message is a
            sentence without its subject, "names os.system, ...": the caller puts the file's name before it.
    """
    pickle = _pickle_of(data)
    stand_ins = _scan(pickle)
    require_little_work(pickle)
    import torch

    registered = [
        (type(name.split()[1], (_Value if _VALUE.fullmatch(name) else StandIn,), {}), _modern(name))
        for name in sorted(stand_ins)
    ]
    try:
        with _only_these_globals(registered), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # the unpickler lets whatever a malformed pickle provokes pass through
        raise WeightsError(f"cannot be read as a PyTorch checkpoint ({_first_line(error)})") from error
    return content


@contextlib.contextmanager
def _only_these_globals(registered: list[tuple[type, str]]) -> Iterator[None]:
    """Makes these torch's whole allow-list for a while.

    Others in the process may have added to it: Ultralytics' own restricted loader leaves its real classes
    there, under the names of our stand-ins.
    """
    import torch.serialization

    with _torch_registry:
        others = torch.serialization.get_safe_globals()
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(registered)
        try:
            yield
        finally:
            torch.serialization.clear_safe_globals()
            torch.serialization.add_safe_globals(others)


def _pickle_of(data: bytes) -> bytes:
    """The pickle inside the archive, once the archive as a whole is plausible."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            names = {member.filename for member in members}
            if len(members) > MAX_MEMBERS:
                raise WeightsError(f"has {len(members)} members, which no checkpoint has")
            if len(names) < len(members) or len({name.split("/")[0] for name in names}) != 1:
                raise WeightsError(
                    "has several members of one name or no common folder, which torch.save never writes"
                )
            if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
                raise WeightsError("has compressed or encrypted members, which torch.save never writes")
            if sum(member.file_size for member in members) > len(data):
                raise WeightsError("has members that overlap or reach past its end")
            root = members[0].filename.split("/")[0] if members else ""
            if f"{root}/constants.pkl" in names:
                raise WeightsError(
                    "is a TorchScript archive; convert the .pt checkpoint that it was exported from"
                )
            if f"{root}/data.pkl" not in names:
                raise WeightsError("is a zip archive, but not a PyTorch checkpoint: it has no data.pkl")
            if archive.getinfo(f"{root}/data.pkl").file_size > MAX_PICKLE_BYTES:
                raise WeightsError(f"has a pickle of more than {MAX_PICKLE_BYTES // 1024**2} MiB")
            return archive.read(f"{root}/data.pkl")
    except (
        zipfile.BadZipFile,
        OSError,
        ValueError,
        NotImplementedError,
        EOFError,
        UnicodeDecodeError,
    ) as error:
        raise WeightsError(f"is a truncated or damaged checkpoint ({_first_line(error)})") from error


def _scan(pickle: bytes) -> set[str]:
    """Globals to stand in for, as "module name"; refuses a pickle that names anything not allowed."""
    stand_ins: set[str] = set()
    refused: set[str] = set()
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            name = str(argument) if opcode.name == "GLOBAL" else None
            if name is not None and (_STAND_IN.fullmatch(name) or _VALUE.fullmatch(name)):
                stand_ins.add(name)
            elif name is not None and not _TORCH.fullmatch(name):
                refused.add(name.replace(" ", "."))
            elif opcode.name in _REFUSED_OPCODES:
                refused.add(f"the pickle opcode {opcode.name}")
    except Exception as error:  # pickletools raises whatever the bytes provoke
        raise WeightsError(f"holds a damaged pickle ({_first_line(error)})") from error
    if refused:
        listed = ", ".join(sorted(refused)[:5]) + (", ..." if len(refused) > 5 else "")
        if all(_OTHER_NETWORK.fullmatch(name) for name in refused):
            raise WeightsError(
                f"looks like a network that is not ported, made of {listed}; it was not opened; {REMEDY}"
            )
        raise WeightsError(
            f"names {listed}, which no YOLOv8 checkpoint needs and which could run code; it was not opened"
        )
    return stand_ins


def _modern(name: str) -> str:
    """The dotted name under which torch looks a global up: Python 2's module name is Python 3's by then."""
    return name.replace("__builtin__", "builtins").replace(" ", ".")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__

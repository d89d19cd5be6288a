"""The two containers of ``torch.save``: a zip archive and, before torch 1.6, a sequence of pickles.

An archive that another reader could understand differently is refused: members whose names differ only in
case, two folders, other data before or after, members that overlap.
"""

from __future__ import annotations

import io
import posixpath
import struct
import unicodedata
import zipfile
from collections.abc import Mapping
from typing import Literal

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten, visible
from yolo_max.weights.checkpoint.tensors import Storage

MAX_PICKLE_BYTES = 16 * 1024**2
MAX_MEMBERS = 50_000
_DIRECTORY_ENTRY, _END = b"PK\x01\x02", b"PK\x05\x06"
_END_SIZE, _LOCAL_SIZE, _COUNT_SIZE = 22, 30, 8


class Archive:
    """A zip archive of ``torch.save``.

    Attributes:
        pickle: The bytes of its data.pkl.
        order: Byte order of the numbers, "<" or ">".
    """

    def __init__(self, data: bytes) -> None:
        """Checks the archive as a whole and reads its pickle.

        Args:
            data: The whole file.

        Raises:
            WeightsError: It is damaged, odd, or not a checkpoint; a sentence without its subject.
        """
        if data.count(_DIRECTORY_ENTRY) > MAX_MEMBERS:
            raise WeightsError(f"has more than {MAX_MEMBERS:,} members, which no checkpoint has")
        try:
            self._file = zipfile.ZipFile(io.BytesIO(data))
            self._root = _common_folder(self._file, data)
        except _DAMAGE as error:
            raise _damaged(error) from error
        self._storages: dict[str, bytes] = {}
        self.pickle = self._read("data.pkl")
        self.order: Literal["<", ">"] = (
            ">" if self._has("byteorder") and self._read("byteorder") == b"big" else "<"
        )

    def storage(self, key: str) -> bytes:
        """The bytes of a storage.

        Raises:
            WeightsError: It is missing or damaged.
        """
        if key not in self._storages:
            if not self._has(f"data/{key}"):
                raise WeightsError(f"lacks the storage {shorten(key)}")
            self._storages[key] = self._read(f"data/{key}")
        return self._storages[key]

    def _has(self, name: str) -> bool:
        return f"{self._root}/{name}" in self._file.NameToInfo

    def _read(self, name: str) -> bytes:
        try:
            return self._file.read(f"{self._root}/{name}")
        except _DAMAGE as error:
            raise _damaged(error) from error


class LegacyStorages:
    """Storages at the end of the older container; located after everything before them was read."""

    def __init__(self, data: bytes) -> None:
        """No storage is known yet."""
        self._data = memoryview(data)
        self._places: dict[str, tuple[int, int]] = {}

    def locate(self, start: int, keys: object, storages: Mapping[str, Storage]) -> None:
        """Locates the storages, which follow one another, each preceded by its number of elements.

        Args:
            start: Offset of the first one in the file.
            keys: Their names, in the order of the file.
            storages: What the pickle says of each.

        Raises:
            WeightsError: The pickle and the file disagree.
        """
        for key in keys if isinstance(keys, list) else ():
            if not isinstance(key, str) or key not in storages or key in self._places:
                raise WeightsError(f"lists a storage {shorten(key)} that its pickle does not have")
            size = storages[key].size
            count = int.from_bytes(self._data[start : start + _COUNT_SIZE], "little")
            if count * storages[key].item_size != size:
                raise WeightsError(f"has {count:,} numbers in storage {shorten(key)}: truncated or damaged")
            self._places[key] = start + _COUNT_SIZE, size
            start += _COUNT_SIZE + size

    def storage(self, key: str) -> memoryview:
        """The bytes of a storage; fewer than its length if the file is truncated.

        Raises:
            WeightsError: There is no storage of that name.
        """
        if key not in self._places:
            raise WeightsError(f"lacks the storage {shorten(key)}")
        start, size = self._places[key]
        return self._data[start : start + size]


_DAMAGE = (
    zipfile.BadZipFile,
    OSError,
    ValueError,
    NotImplementedError,
    EOFError,
    struct.error,
)


def _common_folder(archive: zipfile.ZipFile, data: bytes) -> str:
    """The folder of all members, once the archive as a whole is plausible."""
    members = archive.infolist()
    names = {_alike(member.filename) for member in members}
    if len(names) < len(members) or len({member.filename.split("/")[0] for member in members}) != 1:
        raise WeightsError(
            "has several members of one name or no common folder, which torch.save never writes"
        )
    if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1 for member in members):
        raise WeightsError("has compressed or encrypted members, which torch.save never writes")
    end = data[-_END_SIZE:]
    if not end.startswith(_END) or end[-2:] != b"\0\0" or min(m.header_offset for m in members) != 0:
        raise WeightsError("is a zip archive with other data before or after it")
    _require_no_overlap(members, archive.start_dir, data)
    root = members[0].filename.split("/")[0]
    if f"{root}/constants.pkl" in archive.NameToInfo:
        raise WeightsError("is a TorchScript archive; convert the .pt checkpoint that it was exported from")
    if f"{root}/data.pkl" not in archive.NameToInfo:
        raise WeightsError("is a zip archive, but not a PyTorch checkpoint: it has no data.pkl")
    if archive.getinfo(f"{root}/data.pkl").file_size > MAX_PICKLE_BYTES:
        raise WeightsError(f"has a pickle of more than {MAX_PICKLE_BYTES // 1024**2} MiB")
    return root


def _alike(name: str) -> str:
    """A key that is equal for names that some reader may treat as one."""
    return unicodedata.normalize("NFKC", posixpath.normpath(name.replace("\\", "/"))).casefold()


def _require_no_overlap(members: list[zipfile.ZipInfo], limit: int, data: bytes) -> None:
    """Refuses members that do not end before the next one, or before ``limit``."""
    ordered = sorted(members, key=lambda member: member.header_offset)
    for member, after in zip(ordered, [m.header_offset for m in ordered[1:]] + [limit], strict=True):
        name_size, extra_size = struct.unpack_from("<HH", data, member.header_offset + 26)
        if member.header_offset + _LOCAL_SIZE + name_size + extra_size + member.file_size > after:
            raise WeightsError("has members that overlap or reach past its end")


def _damaged(error: Exception) -> WeightsError:
    lines = str(error).strip().splitlines()
    reason = visible(lines[0][:200]) if lines else type(error).__name__
    return WeightsError(f"is a truncated or damaged checkpoint ({reason})")

"""Reads an untrusted PyTorch checkpoint as data; nothing that it names is run.

There is one reader, `pickle_machine.Machine`. Neither torch nor Ultralytics is imported, so their versions do
not matter.
"""

from __future__ import annotations

import io
from typing import Any, Literal

from yolo_max.support.errors import WeightsError
from yolo_max.support.text import shorten
from yolo_max.weights.checkpoint.archive import MAX_PICKLE_BYTES, Archive, LegacyStorages
from yolo_max.weights.checkpoint.pickle_machine import Machine
from yolo_max.weights.checkpoint.signature import is_legacy

LEGACY_PROTOCOL = 1001


def load(data: bytes, *, any_class: bool = False) -> Any:
    """Reads a checkpoint that ``torch.save`` wrote, in either of its containers.

    Args:
        data: The whole file.
        any_class: Whether objects of unknown classes are read as well, as `StandIn`: for looking at networks
            that are not ported. Names that can run code are refused all the same.

    Returns:
        The saved object: dicts, lists, numbers, strings, `Tensor` and `StandIn`. The values are as untrusted
        as the file.

    Raises:
        WeightsError: It is damaged, takes too much work, or uses unknown names. The message is a sentence
            without its subject, "names os.system, ...": the caller prepends the file's name.
    """
    if is_legacy(data):
        return _load_legacy(data, any_class)
    archive = Archive(data)
    return Machine(archive.storage, archive.order, any_class).run(io.BytesIO(archive.pickle))


def _load_legacy(data: bytes, any_class: bool) -> Any:
    """Reads the older container: magic number, protocol, system, the object, storage names, storages."""
    file = io.BytesIO(data[:MAX_PICKLE_BYTES])
    storages = LegacyStorages(data)
    _, protocol, system = (Machine(storages.storage, "<").run(file) for _ in range(3))
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict):
        raise WeightsError(f"is a checkpoint of the unknown protocol {shorten(protocol)}")
    order: Literal["<", ">"] = ">" if system.get("little_endian") is False else "<"
    machine = Machine(storages.storage, order, any_class)
    content = machine.run(file)
    keys = Machine(storages.storage, order).run(file)
    storages.locate(file.tell(), keys, machine.storages)
    return content

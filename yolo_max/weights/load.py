"""Weights of a fused network: loading, checking and saving.

Running needs a `.safetensors` file, which is data only. A `.pt` checkpoint is converted on first use, and the
result is cached under the checkpoint's SHA-256. A file's content decides its type, not its name.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from yolo_max.model.architecture import expected_tensors
from yolo_max.support import cache
from yolo_max.support.atomic import write_atomically
from yolo_max.support.errors import OutputError, WeightsError
from yolo_max.support.text import some
from yolo_max.weights import container
from yolo_max.weights.checkpoint import signature
from yolo_max.weights.locate import locate
from yolo_max.weights.meta import FORMAT_VERSION, ModelMeta

if TYPE_CHECKING:
    from yolo_max.weights.checkpoint.read import Unfused

MAX_FILE_BYTES = 2 * 1024**3
NO_ONE_TO_ONE_HEAD = "Ignored, as the network has no one-to-one head: --no-nms (nms=False)."
"""What to say to someone who wants it without NMS; see `Weights.without_nms`."""
HALF_MAX = float(np.finfo(np.float16).max)

# First bytes of files that are mistaken for weights.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a git-lfs pointer, not the file it points to; run `git lfs pull`"),
    (b"\xff\xd8\xff", "is a JPEG image, not weights"),
    (b"\x89PNG", "is a PNG image, not weights"),
    (b"<", "is an HTML or XML page, not weights; a download may have gone wrong"),
    (b"\x80", "is a bare pickle, which is never opened; save it again with torch.save as a .pt"),
    (b"\x1f\x8b", "is a gzip archive, not weights; unpack it first"),
)


@dataclass(frozen=True)
class Weights:
    """A fused network's weights, checked.

    Attributes:
        tensors: float32 arrays by the checkpoint's own names ("model.4.m.1.cv2.conv.weight"): filters RSCF
            ``(kh, kw, c_in, c_out)``, biases ``(c_out,)``; each starts at a multiple of 64 bytes.
        meta: What the header says about the model.
        path: The file that was asked for, `.safetensors` or `.pt`.
        is_checkpoint: Whether that file is a PyTorch checkpoint.
        sha256: SHA-256 of the weights as safetensors, in hex: equal for equal weights and headers.
        stored_dtype: "float32" or "float16", as in the file.
    """

    tensors: Mapping[str, NDArray[np.float32]]
    meta: ModelMeta
    path: Path
    is_checkpoint: bool
    sha256: str
    stored_dtype: str

    @property
    def file_sha256(self) -> str:
        """SHA-256 of the file at ``path``, in hex."""
        return self.meta.source_sha256 if self.is_checkpoint else self.sha256

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(tensor.size for tensor in self.tensors.values())

    def without_nms(self) -> Weights:
        """The same with the outputs of the one-to-one head, which need no NMS; unchanged if it has none."""
        return replace(self, meta=replace(self.meta, network=self.meta.network.without_nms()))


def load_weights(spec: str | os.PathLike[str]) -> Weights:
    """Loads weights.

    Args:
        spec: A `.safetensors` file; a `.pt` checkpoint, which is converted and cached the first time; or a
            name such as ``"yolov8n"``, looked up in the current folder, in ``./weights`` and in the user's
            cache.

    Returns:
        The weights, every name, shape and value checked.

    Raises:
        WeightsError: There is no such file, or it is damaged, unsafe, or of a network that is not ported.
    """
    path = locate(spec)
    data = read_file(path)
    with errors_of(path):
        if signature.is_checkpoint(data):
            return _from_checkpoint(path, data)
        return _from_safetensors(path, data)


def load_unfused(weights: Weights) -> Unfused:
    """Reads a checkpoint's network as it was trained, for a reference that fuses it by itself.

    Args:
        weights: Weights that were loaded from a checkpoint.

    Raises:
        WeightsError: The file is gone or has changed.
    """
    from yolo_max.weights.checkpoint.read import read_unfused

    path = weights.path
    data = read_file(path)
    if hashlib.sha256(data).hexdigest() != weights.meta.source_sha256:
        raise WeightsError(f"{path} has changed since its weights were loaded; load them again.")
    with errors_of(path):
        return read_unfused(data, path.name)


def convert(checkpoint: str | os.PathLike[str], *, half: bool = False) -> tuple[ModelMeta, bytes]:
    """Converts a `.pt` checkpoint into the bytes of a safetensors file.

    Args:
        checkpoint: The checkpoint, or the name of one as for `load_weights`.
        half: Store float16 instead of float32.

    Raises:
        WeightsError: The checkpoint cannot be converted, or a value does not fit float16.
    """
    path = locate(checkpoint, (".pt",))
    data = read_file(path)
    with errors_of(path):
        if not signature.is_checkpoint(data):
            raise WeightsError("is not a .pt checkpoint")
        return _convert(data, path.name, half)


def save_weights(weights: Weights, path: str | os.PathLike[str], *, half: bool = False) -> None:
    """Writes weights as safetensors, whole or not at all.

    Raises:
        WeightsError: A value does not fit float16.
        OutputError: The file cannot be written.
    """
    with errors_of(weights.path):
        data = _serialise(weights.meta, weights.tensors, half)
    write_atomically(Path(path), data)


@contextlib.contextmanager
def errors_of(path: Path) -> Iterator[None]:
    """Prepends the file's name to errors, which are sentences without their subject."""
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path} {error}.") from error


def read_file(path: Path) -> bytes:
    """The whole file, so that the checked bytes are the bytes used."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise WeightsError(f"{path} is a folder, not a weights file.")
        if not path.is_file():
            raise WeightsError(f"{path} is not a regular file.")
        if size > MAX_FILE_BYTES:
            raise WeightsError(
                f"{path} has more than {MAX_FILE_BYTES // 1024**3} GiB, so it is not a YOLO weights file."
            )
        with _open(path) as file:
            start = file.read(signature.SIZE)
            if not signature.is_checkpoint(start) and start[8:9] != b"{":  # where a safetensors header begins
                raise WeightsError(f"{path} {_describe(start)}.")
            file.seek(0)
            return file.read()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error


def _open(path: Path) -> BinaryIO:
    """Opens a weights file; one in the cache only if nobody else could write it."""
    with contextlib.suppress(OutputError):  # no cache is available
        if path.parent == cache.cache_root() / "weights":
            if file := cache.open_own(path):
                return file
            raise WeightsError(
                f"{path} is a link, belongs to another user, or can be written by others; run `chmod go-w` "
                "on it if it is yours, or put a copy of your own there."
            )
    return path.open("rb")


def _describe(start: bytes) -> str:
    """Describes a file that is neither safetensors nor a zip archive, by its first bytes."""
    if not start:
        return "is empty"
    for prefix, description in _SIGNATURES:
        if start.startswith(prefix):
            return description
    return "is neither a safetensors file nor a .pt checkpoint"


def _from_checkpoint(path: Path, data: bytes) -> Weights:
    """The converted checkpoint from the cache; converted now if it is missing or damaged there."""
    digest = hashlib.sha256(data).hexdigest()
    try:
        entry = cache.cache_folder("weights") / f"{digest}-v{FORMAT_VERSION}.weights"
    except OutputError:
        entry = None  # no cache is available: convert each time
    if entry is not None and (cached := cache.read_checked(entry)) is not None:
        with contextlib.suppress(WeightsError):  # written by another version of this library: convert again
            weights = _from_safetensors(path, cached, is_checkpoint=True)
            if weights.meta.source_sha256 == digest:
                return weights
    _, converted = _convert(data, path.name, half=False)
    if entry is not None:
        with contextlib.suppress(OutputError):  # weights can be used even if the disk is full
            cache.write_checked(entry, converted)
    return _from_safetensors(path, converted, is_checkpoint=True)


def _convert(data: bytes, source: str, half: bool) -> tuple[ModelMeta, bytes]:
    from yolo_max.weights.checkpoint.read import read_checkpoint

    meta, tensors = read_checkpoint(data, source)
    return meta, _serialise(meta, tensors, half)


def _serialise(meta: ModelMeta, tensors: Mapping[str, NDArray[np.float32]], half: bool) -> bytes:
    stored: dict[str, NDArray[Any]] = dict(tensors)
    if half:
        for name, tensor in tensors.items():
            if (largest := float(np.abs(tensor).max())) > HALF_MAX:
                raise WeightsError(f"has {largest:g} in {name}, which half precision cannot hold")
            stored[name] = tensor.astype(np.float16)
    return container.serialise(stored, meta.to_header())


def _from_safetensors(path: Path, data: bytes, *, is_checkpoint: bool = False) -> Weights:
    meta = ModelMeta.from_header(container.metadata_of(data))
    _, stored = container.parse(data)
    expected = expected_tensors(meta.network)
    if missing := [name for name in expected if name not in stored]:
        raise WeightsError(f"lacks tensors of its architecture: {some(missing)}")
    if extra := [name for name in stored if name not in expected]:
        raise WeightsError(f"has tensors that its architecture does not know: {some(extra)}")
    for name, shape in expected.items():
        if stored[name].shape != shape:
            raise WeightsError(
                f"has tensor {name} of shape {stored[name].shape}, but its architecture says {shape}"
            )
        if not np.isfinite(stored[name]).all():
            raise WeightsError(f"has NaN or infinite numbers in tensor {name}")
    dtypes = {tensor.dtype.name for tensor in stored.values()}
    return Weights(
        tensors=container.aligned_float32({name: stored[name] for name in expected}),
        meta=meta,
        path=path,
        is_checkpoint=is_checkpoint,
        sha256=hashlib.sha256(data).hexdigest(),
        stored_dtype="/".join(sorted(dtypes)),
    )

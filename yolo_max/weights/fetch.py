"""Downloads official checkpoints into the user's cache, by Ultralytics' own downloader."""

from __future__ import annotations

import tempfile
from pathlib import Path

from yolo_max.support.atomic import TEMPORARY_PREFIX
from yolo_max.support.cache import cache_folder
from yolo_max.support.errors import UsageError, WeightsError
from yolo_max.support.ultralytics_import import import_ultralytics
from yolo_max.weights.load import Weights, load_weights
from yolo_max.weights.locate import OFFICIAL, OFFICIAL_IN_SHORT, closest, not_ported

_CHOICE = f"take one of {OFFICIAL_IN_SHORT}, with its size and task, such as yolo11n-seg or yolov5su"


def fetch(name: str, *, force: bool = False) -> Weights:
    """Downloads an official model, unless the cache has it, and converts it.

    Args:
        name: One of `yolo_max.weights.locate.OFFICIAL`, with or without ``.pt``.
        force: Download it even if the cache has it.

    Returns:
        The converted weights; ``path`` is the checkpoint in the user's cache, from now on found by name.

    Raises:
        UsageError: There is no such official model, or it is not ported, or a file is meant.
        WeightsError: The download failed, or is not a checkpoint that can run.
    """
    stem = name.removesuffix(".pt")
    if kind := not_ported(stem):
        raise UsageError(f"{stem} is {kind}, which is not ported; {_CHOICE}.")
    if stem not in OFFICIAL and Path(name).is_file():
        raise UsageError(f"{name} is a file of your own; `yolo-max weights convert {name}` converts it.")
    if stem not in OFFICIAL:
        raise UsageError(f"there is no official model {name!r}{closest(stem, OFFICIAL)}; {_CHOICE}.")
    folder = cache_folder("weights")
    target = folder / f"{stem}.pt"
    if force or not target.is_file():
        # Checked before it is moved into place, so that a bad download is never found by name.
        with tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=folder) as part:
            downloaded = _download(f"{stem}.pt", Path(part))
            try:
                load_weights(downloaded)
            except WeightsError as error:
                raise WeightsError(f"the downloaded {stem}.pt cannot be used: {error}") from error
            downloaded.chmod(0o600)  # whatever the umask: what others could write is not loaded
            downloaded.replace(target)
    return load_weights(target)


def _download(name: str, folder: Path) -> Path:
    import_ultralytics()
    from ultralytics.utils.downloads import attempt_download_asset

    target = folder / name
    try:
        attempt_download_asset(str(target), progress=False)
    except Exception as error:  # the downloader passes on errors of four libraries
        reason = (str(error).strip("\N{CROSS MARK}. \n").splitlines() or [type(error).__name__])[-1]
        raise WeightsError(
            f"{name} could not be downloaded ({reason}); check the connection, or put the file into "
            f"{folder.parent} or ./weights yourself."
        ) from error
    if not target.is_file():
        raise WeightsError(f"{name} could not be downloaded: this Ultralytics does not offer it.")
    return target
